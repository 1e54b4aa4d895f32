//! `hyperloom explain`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::experiment::explain::{ExplainOptions, Explanation, explain};
use hyperloom::experiment::policies::SETTINGS;
use hyperloom::files::write_atomically;
use hyperloom::{Error, Result};

use super::eval::finished;
use super::{check_new, check_steps, figure, open_device, say};

/// Rows that are printed.
const PRINTED: usize = 10;

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The run folder of a trained model.
    run: PathBuf,
    /// The known rows of a new task; of pictures a folder with a folder for each class (not given: one of the run's own unseen tasks).
    #[arg(long, value_name = "FILE.csv|FOLDER")]
    support: Option<PathBuf>,
    /// Rows that it is asked about (not given: the known ones).
    #[arg(long, value_name = "FILE.csv|FOLDER|PICTURE", requires = "support")]
    query: Option<PathBuf>,
    /// Which task, by its name: one of the run's own unseen ones, or of the groups in the file (not given: the first, or the only one).
    #[arg(long, value_name = "TASK")]
    of: Option<String>,
    /// Known rows of the run's own tasks (not given: eval.shots).
    #[arg(long)]
    shots: Option<usize>,
    /// Steps of adaptation (not given: as many as were chosen on validation tasks).
    #[arg(long)]
    steps: Option<usize>,
    /// What colours the map of tasks: target (the mean target of their known rows, or the most frequent class), rows, error, or any column of the file that they are in.
    #[arg(long, value_name = "COLUMN", default_value = "target")]
    by: String,
    /// The task at the other end of the way between two networks (not given: the nearest that is known).
    #[arg(long, value_name = "TASK")]
    between: Option<String>,
    /// The folder where explain.json and the pictures are written; it must not exist.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &ExplainArgs) -> Result<ExitCode> {
    check_new(&args.out)?;
    check_steps(args.steps)?;
    if args.shots == Some(0) {
        return Err(Error::config("--shots", "0 is out of range: leaving a row out takes two at least"));
    }
    if args.run.join(SETTINGS).is_file() {
        let message = "is a run of policies, which have no support rows";
        return Err(Error::config(args.run.display().to_string(), message));
    }
    if args.run.join(hyperloom::experiment::continual::SETTINGS).is_file() {
        let message = "is a run over tasks one after another, whose networks read no support";
        return Err(Error::config(args.run.display().to_string(), message));
    }
    let device = open_device(&args.device)?;
    let (_, experiment) = finished(&device, &args.run)?;
    let mut options = ExplainOptions::default();
    options.support.clone_from(&args.support);
    options.query.clone_from(&args.query);
    options.of.clone_from(&args.of);
    options.between.clone_from(&args.between);
    (options.shots, options.steps, options.by) = (args.shots, args.steps, Some(args.by.clone()));
    let found = explain(&experiment, &options)?;
    std::fs::create_dir_all(&args.out).map_err(Error::io("create", &args.out))?;
    let json = args.out.join("explain.json");
    write_atomically(&json, (serde_json::to_string_pretty(&found).unwrap_or_default() + "\n").as_bytes())?;
    let pictures = found.draw(&args.out)?;
    print(&found);
    let names: Vec<String> = (pictures.iter())
        .filter_map(|p| p.file_name().map(|name| name.to_string_lossy().into_owned()))
        .collect();
    say(format_args!("\nalso in {}, with {}\n", json.display(), names.join(", ")));
    Ok(ExitCode::SUCCESS)
}

fn print(found: &Explanation) {
    let unit = found.unit;
    say(format_args!(
        "{}: {} support rows, {} query rows, {} steps of adaptation\n\n",
        found.task,
        found.rows.len(),
        found.asked.len(),
        found.steps
    ));
    let some = |v: Option<f64>| v.map_or_else(|| "-".into(), figure);
    let mut rows: Vec<_> = found.rows.iter().collect();
    rows.sort_by(|a, b| b.moved.total_cmp(&a.moved));
    let what = format!("left out ({unit})");
    say(format_args!("{what:<40}{:>12}{:>14}{:>12}{:>14}\n", "moves", "by gradient", "helps", "by gradient"));
    for row in rows.iter().take(PRINTED) {
        say(format_args!(
            "{:<40}{:>12}{:>14}{:>12}{:>14}\n",
            fitted(&row.row, 39),
            figure(row.moved),
            some(row.moved_by_gradient),
            some(row.helps),
            some(row.helps_by_gradient)
        ));
    }
    if rows.len() > PRINTED {
        say(format_args!("and {} more\n", rows.len() - PRINTED));
    }
    match (found.gradient_agrees, found.no_gradient) {
        (_, Some(why)) => say(format_args!("no gradient: {why}\n")),
        (Some(r), _) => say(format_args!("correlation of both: {r:.3}\n")),
        _ => {}
    }
    for remark in &found.remarks {
        say(format_args!("{remark}\n"));
    }
    if !found.nearest.is_empty() {
        say(format_args!(
            "\n{:<40}{:>12}{:>14}{:>12}\n",
            "nearest known tasks", "distance", "difference", found.metric
        ));
    }
    if let Some(score) = found.score {
        say(format_args!(
            "{:<40}{:>12}{:>14}{:>12}\n",
            "(this task)",
            figure(0.0),
            figure(0.0),
            figure(score)
        ));
    }
    for near in &found.nearest {
        say(format_args!(
            "{:<40}{:>12}{:>14}{:>12}\n",
            fitted(&near.task, 39),
            figure(near.distance),
            figure(near.difference),
            some(near.score)
        ));
    }
    if let Some(way) = &found.way {
        let what = format!("{} on the way to {}", found.metric, fitted(&way.to, 18));
        say(format_args!("\n{what:<40}{:>12}{:>14}{:>12}\n", "begin", "middle", "end"));
        let ways = way.conditions.iter().map(|w| ("what is read, mixed", w));
        for (how, scores) in ways.chain([("weights, mixed", &way.weights)]) {
            let line = |on: &str, y: &[f64]| {
                let at = |share: f64| figure(y[(share * (y.len() - 1) as f64).round() as usize]);
                let name = format!("  {how}, on {on}");
                say(format_args!("{name:<40}{:>12}{:>14}{:>12}\n", at(0.0), at(0.5), at(1.0)));
            };
            if let Some(y) = &scores.this_task {
                line("this task", y);
            }
            line("the other", &scores.other_task);
        }
    }
}

/// A name, cut where it has no room.
fn fitted(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.into();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}
