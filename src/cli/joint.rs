//! `hyperloom joint`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::experiment::config::WeightSource;
use hyperloom::experiment::{Experiment, Observer, Progress, RunStatus};
use hyperloom::files::write_atomically;
use hyperloom::{Error, Result};
use serde::Serialize;

use super::{Settings, figure, hint, open_device, say};

/// Arguments of `joint`.
#[derive(Args, Debug)]
pub(super) struct JointArgs {
    #[command(flatten)]
    settings: Settings,
    /// Shares λ of the main network's own loss in λ L_main(θ) + (1 - λ) L_meta(θ, φ).
    #[arg(long, num_args = 1.., value_delimiter = ',', default_values_t = [0.0, 0.25, 0.5, 0.75, 1.0])]
    lambda: Vec<f64>,
    /// A folder for the runs, one a λ, and for joint.json. Runs that are finished are not run again.
    #[arg(long)]
    out: PathBuf,
    /// Print the table as JSON.
    #[arg(long)]
    json: bool,
}

/// The trade at one λ.
#[derive(Debug, Serialize)]
struct Row {
    lambda: f64,
    metric: String,
    main_network: f64,
    main_network_fine_tuned: f64,
    generated: f64,
    chosen: f64,
}

/// Says which run it is.
struct Lines(f64, String);

impl Observer for Lines {
    fn progress(&mut self, p: &Progress<'_>) {
        if self.1 != p.phase {
            self.1 = p.phase.to_string();
            hint(format_args!("λ = {}: {}", self.0, p.phase));
        }
    }
}

pub(super) fn run(args: &JointArgs) -> Result<ExitCode> {
    if let Some(l) = args.lambda.iter().find(|l| !(0.0..=1.0).contains(*l)) {
        return Err(Error::config("--lambda", format!("{l} is out of range: it must lie from 0 to 1")));
    }
    let base = args.settings.resolve()?;
    if base.model.weights == WeightSource::Shared {
        return Err(Error::config(
            "model.weights",
            "there is no main network beside weights that all tasks share: model.weights = \"generated\"",
        ));
    }
    if base.task.is_single() {
        return Err(Error::config(
            "task",
            format!("'{}' is one task: there is nothing to weigh", base.task.name()),
        ));
    }
    let device = open_device(&base.device)?;
    let mut rows = Vec::new();
    for &lambda in &args.lambda {
        let mut config = base.clone();
        config.train.joint_lambda = lambda;
        let folder = args.out.join(format!("lambda-{lambda}"));
        let begun = folder.join("config.toml").is_file();
        let mut experiment = Experiment::open(&config, &device, &folder, begun)?;
        let RunStatus::Finished(report) = experiment.run(&mut Lines(lambda, String::new()))? else {
            continue;
        };
        let Some(h) = report.held_out else { continue };
        let [main_network, main_network_fine_tuned] = h.main_network.unwrap_or([f64::NAN; 2]);
        let generated = h.by_steps.get("0").copied().unwrap_or(f64::NAN);
        let (metric, chosen) = (h.metric, h.chosen);
        rows.push(Row { lambda, metric, main_network, main_network_fine_tuned, generated, chosen });
    }
    let text = serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n";
    write_atomically(&args.out.join("joint.json"), text.as_bytes())?;
    if args.json {
        say(format_args!("{text}"));
        return Ok(ExitCode::SUCCESS);
    }
    let Some(first) = rows.first() else { return Ok(ExitCode::SUCCESS) };
    say(format_args!("{} on unseen tasks; J = λ L_main(θ) + (1 - λ) L_meta(θ, φ)\n", first.metric));
    say(format_args!(
        "{:>8}{:>14}{:>20}{:>14}{:>14}\n",
        "λ", "main network", "main, fine-tuned", "generated", "chosen"
    ));
    for r in &rows {
        say(format_args!(
            "{:>8}{:>14}{:>20}{:>14}{:>14}\n",
            r.lambda,
            figure(r.main_network),
            figure(r.main_network_fine_tuned),
            figure(r.generated),
            figure(r.chosen)
        ));
    }
    say(format_args!("\nalso in {}\n", args.out.join("joint.json").display()));
    Ok(ExitCode::SUCCESS)
}
