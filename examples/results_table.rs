//! A Markdown table out of run folders: `results_table FOLDER SET…` reads `FOLDER/SET-SEED/report.json` for every
//! seed that is there. Errors of values are in units of the training target's standard deviation; lower is
//! better. Of classes it is accuracy in percent; higher is better. With `--steps` before the folder: by steps of adaptation,
//! mean over the seeds and the worst of them.

use std::path::Path;
use std::process::ExitCode;

use hyperloom::experiment::{HeldOut, Report};

/// What a run found on unseen tasks.
struct Found {
    seed: u64,
    seconds: f64,
    held_out: HeldOut,
}

/// What the runs of one set found, in the order of their seeds.
fn reports(folder: &Path, set: &str) -> Result<Vec<Found>, String> {
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
        let held_out = report.held_out.ok_or_else(|| format!("{}: is about one task", file.display()))?;
        found.push(Found { seed: report.seed, seconds: report.seconds, held_out });
    }
    found.sort_by_key(|r| r.seed);
    Ok(found)
}

fn mean(reports: &[Found], value: impl Fn(&HeldOut) -> f64) -> f64 {
    reports.iter().map(|r| value(&r.held_out)).sum::<f64>() / reports.len() as f64
}

fn table(folder: &Path, sets: &[String]) -> Result<(), String> {
    println!(
        "| set | seeds | support mean | pooled | pooled + residual | pooled, fine-tuned | hyperloom | 80 % intervals cover | seconds |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for set in sets {
        let reports = reports(folder, set)?;
        if reports.is_empty() {
            println!("| {set} | 0 | | | | | | | |");
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
            "| {set} | {} | {} | {} | {} | {} | {} | {} | {:.0} |",
            reports.len(),
            show(&|h| h.baselines.support_mean),
            show(&|h| h.baselines.pooled),
            show(&|h| h.baselines.pooled_residual),
            show(&|h| h.baselines.pooled_fine_tuned),
            show(&|h| h.chosen),
            covered(&reports, 0.8).map_or("–".into(), |c| format!("{:.1} %", 100.0 * c)),
            reports.iter().map(|r| r.seconds).sum::<f64>() / reports.len() as f64,
        );
    }
    Ok(())
}

/// Mean share of rows inside the intervals of a level.
fn covered(reports: &[Found], level: f64) -> Option<f64> {
    let each = reports.iter().map(|r| {
        let at = r.held_out.coverage.iter().find(|c| (c.level - level).abs() < 1e-9);
        at.map(|c| c.covered)
    });
    let all: Option<Vec<f64>> = each.collect();
    all.map(|all| all.iter().sum::<f64>() / reports.len() as f64)
}

/// Rows of sets, columns of steps: the mean over seeds, and the worst.
fn by_steps(folder: &Path, sets: &[String]) -> Result<(), String> {
    let mut rows = Vec::new();
    let mut steps: Vec<usize> = Vec::new();
    for set in sets {
        let reports = reports(folder, set)?;
        for r in &reports {
            steps.extend(r.held_out.by_steps.keys().filter_map(|k| k.parse::<usize>().ok()));
        }
        rows.push((set, reports));
    }
    steps.sort_unstable();
    steps.dedup();
    let head: Vec<String> = steps.iter().map(|k| format!("{k} steps")).collect();
    println!("| run | seeds | {} | seconds |", head.join(" | "));
    println!("|---|---|{}---|", "---|".repeat(steps.len()));
    for (set, reports) in rows.into_iter().filter(|r| !r.1.is_empty()) {
        let cells: Vec<String> = steps
            .iter()
            .map(|k| {
                let all: Option<Vec<f64>> =
                    reports.iter().map(|r| r.held_out.by_steps.get(&k.to_string()).copied()).collect();
                let Some(all) = all else { return String::new() };
                let accuracy = reports[0].held_out.metric == "accuracy";
                let worst = all.iter().copied().fold(all[0], |a, b| if (b > a) != accuracy { b } else { a });
                let mean = all.iter().sum::<f64>() / all.len() as f64;
                if accuracy {
                    format!("{:.1} % ({:.1})", 100.0 * mean, 100.0 * worst)
                } else {
                    format!("{mean:.3e} ({worst:.3e})")
                }
            })
            .collect();
        let seconds = reports.iter().map(|r| r.seconds).sum::<f64>() / reports.len() as f64;
        println!("| {set} | {} | {} | {seconds:.0} |", reports.len(), cells.join(" | "));
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let steps = arguments.first().is_some_and(|a| a == "--steps");
    if steps {
        arguments.remove(0);
    }
    let Some((folder, sets)) = arguments.split_first().filter(|(_, sets)| !sets.is_empty()) else {
        eprintln!("usage: results_table [--steps] FOLDER SET...");
        return ExitCode::from(2);
    };
    let show = if steps { by_steps } else { table };
    match show(Path::new(folder), sets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
