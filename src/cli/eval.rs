//! `hyperloom eval`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::Result;
use hyperloom::config::Config;
use hyperloom::meta::experiment::{Experiment, HeldOut};
use hyperloom::report::pictures;
use hyperloom::report::plot::error_by_steps;
use hyperloom::run_folder::RunFolder;

use super::{figure, open_device, say};

/// Arguments of `eval`.
#[derive(Args, Debug)]
pub(super) struct EvalArgs {
    /// The run folder of a trained model.
    run: PathBuf,
    /// Numbers of support rows to compare (not given: eval.sweep of the run's configuration).
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    shots: Vec<usize>,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EvalArgs) -> Result<ExitCode> {
    let folder = RunFolder::open(&args.run)?;
    folder.model()?;
    let config = Config::read(&folder.file("config.toml"), None)?;
    let device = open_device(&args.device)?;
    let experiment = Experiment::open(&config, &device, &args.run, true)?;
    let shots = if args.shots.is_empty() { config.eval.sweep.clone() } else { args.shots.clone() };
    if let Some(s) = shots.iter().find(|s| !(1..=100_000).contains(*s)) {
        return Err(hyperloom::Error::config(
            "--shots",
            format!("{s} is out of range: it must lie from 1 to 100000"),
        ));
    }
    let found = experiment.sweep(&shots)?;
    let text = serde_json::to_string_pretty(&found).unwrap_or_default() + "\n";
    folder.write("eval.json", &text)?;
    if let Some(last) = found.last() {
        let steps: Vec<usize> = last.by_steps.keys().filter_map(|k| k.parse().ok()).collect();
        let series: Vec<(String, Vec<f64>)> = found
            .iter()
            .map(|h| (format!("{} shots", h.shots), h.by_steps.values().copied().collect()))
            .collect();
        let title = format!("Unseen tasks; baselines at {} shots", last.shots);
        error_by_steps(
            &folder.file("eval.svg"),
            &title,
            &last.metric,
            &steps,
            &series,
            &pictures::baselines(last),
        )?;
    }
    if args.json {
        say(format_args!("{text}"));
    } else {
        print(&found);
        say(format_args!("\nalso in {} and eval.svg beside it\n", folder.file("eval.json").display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(found: &[HeldOut]) {
    let Some(first) = found.first() else { return };
    say(format_args!("{} on unseen tasks\n", first.metric));
    say(format_args!("{:<26}", ""));
    for h in found {
        say(format_args!("{:>10} shots", h.shots));
    }
    say("\n");
    let row = |name: String, value: &dyn Fn(&HeldOut) -> f64| {
        say(format_args!("{name:<26}"));
        for h in found {
            say(format_args!("{:>16}", figure(value(h))));
        }
        say("\n");
    };
    for k in first.by_steps.keys() {
        let mark = if *k == first.chosen_steps.to_string() { " (chosen)" } else { "" };
        row(format!("after {k} steps{mark}"), &|h| h.by_steps[k]);
    }
    for (i, (name, _)) in pictures::baselines(first).iter().enumerate() {
        row(name.clone(), &|h| pictures::baselines(h)[i].1);
    }
}
