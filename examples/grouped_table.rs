//! A Markdown table out of run folders: `grouped_table FOLDER SET…` reads `FOLDER/SET-SEED/report.json` for every
//! seed that is there. Regression errors are in units of the training target's standard deviation; lower is
//! better. Classification is accuracy in percent; higher is better.

use std::path::Path;
use std::process::ExitCode;

use hyperloom::meta::experiment::{HeldOut, Report};

/// Reports of one set, in the order of their seeds.
fn reports(folder: &Path, set: &str) -> Result<Vec<Report>, String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let seed = name.strip_prefix(set).and_then(|rest| rest.strip_prefix('-'));
        if seed.is_none_or(|s| s.parse::<u64>().is_err()) || !path.join("report.json").is_file() {
            continue;
        }
        let file = path.join("report.json");
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let report: Report = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        found.push(report);
    }
    found.sort_by_key(|r| r.seed);
    Ok(found)
}

fn mean(reports: &[Report], value: impl Fn(&HeldOut) -> f64) -> f64 {
    reports.iter().map(|r| value(&r.held_out)).sum::<f64>() / reports.len() as f64
}

fn table(folder: &Path, sets: &[String]) -> Result<(), String> {
    println!(
        "| set | seeds | support mean | pooled | pooled + residual | pooled, fine-tuned | hyperloom | seconds |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for set in sets {
        let reports = reports(folder, set)?;
        if reports.is_empty() {
            println!("| {set} | 0 | | | | | | |");
            continue;
        }
        let show = |value: &dyn Fn(&HeldOut) -> f64| -> String {
            if reports[0].held_out.metric == "accuracy" {
                format!("{:.1} %", 100.0 * mean(&reports, value))
            } else {
                format!("{:.3}", mean(&reports, |h| value(h) / h.target_std))
            }
        };
        println!(
            "| {set} | {} | {} | {} | {} | {} | {} | {:.0} |",
            reports.len(),
            show(&|h| h.baselines.support_mean),
            show(&|h| h.baselines.pooled),
            show(&|h| h.baselines.pooled_residual),
            show(&|h| h.baselines.pooled_fine_tuned),
            show(&|h| h.chosen),
            reports.iter().map(|r| r.seconds).sum::<f64>() / reports.len() as f64,
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((folder, sets)) = arguments.split_first().filter(|(_, sets)| !sets.is_empty()) else {
        eprintln!("usage: grouped_table FOLDER SET...");
        return ExitCode::from(2);
    };
    match table(Path::new(folder), sets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
