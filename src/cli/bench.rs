//! `hyperloom bench`

use std::process::ExitCode;

use clap::Args;
use hyperloom::bench::{Row, Workload, measure, measure_sine};
use hyperloom::plan::Plan;
use hyperloom::{Error, Result};

use super::{figure, open_device, say};

/// Arguments of `bench`.
#[derive(Args, Debug)]
pub(super) struct BenchArgs {
    /// amortised, maml2, adapt, adapt-64, adapt-rows, generator, gemm, gemm-batch-64, gemm-batch-16, conv, conv-forward, conv-train,
    /// conv-batch, conv-adapt, conv-maml2, inr, gru-adapt, lstm-maml2, charlm, rl-rollout, ppo-step, sine or scaling (none given: all but scaling).
    #[arg(long)]
    workload: Option<String>,
    /// Tasks (of gemm: the size of the matrices; none given: what the workload is usually measured at).
    #[arg(long)]
    tasks: Option<usize>,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Show the plan instead of measuring.
    #[arg(long)]
    plan: bool,
    /// Rows as JSON.
    #[arg(long)]
    json: bool,
}

/// Tasks a step of the default training run.
const SINE_TASKS: usize = 25;

pub(super) fn run(args: &BenchArgs) -> Result<ExitCode> {
    // `None`: a step of the sine family's training.
    let work: Vec<(Option<Workload>, usize)> = match args.workload.as_deref() {
        Some("scaling") => [64, 256, 1024, 4096, 16_384, 65_536].map(|t| (Some(Workload::Adapt), t)).to_vec(),
        Some("sine") => vec![(None, SINE_TASKS)],
        Some(name) => {
            let w: Workload = name.parse()?;
            vec![(Some(w), args.tasks.unwrap_or(w.default_tasks()))]
        }
        None => {
            let of = |w: Workload| (Some(w), args.tasks.unwrap_or(w.default_tasks()));
            Workload::ALL.iter().map(|(_, w)| of(*w)).chain([(None, SINE_TASKS)]).collect()
        }
    };
    if args.workload.as_deref() == Some("sine") && args.tasks.is_some_and(|t| t != SINE_TASKS) {
        return Err(Error::config(
            "--tasks",
            format!("the default training run has {SINE_TASKS} tasks a step"),
        ));
    }
    if let Some((_, t)) = work.iter().find(|(_, t)| !(1..=1 << 20).contains(t)) {
        return Err(Error::config(
            "--tasks",
            format!("{t} is out of range: it must lie from 1 to {}", 1 << 20),
        ));
    }
    let device = open_device(&args.device)?;
    if args.plan {
        for (w, tasks) in work {
            let Some(w) = w else { continue };
            let plan: Plan = w.plan(tasks, Workload::caps(&device))?;
            say(format_args!("{plan}\n"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows: Vec<Row> = Vec::new();
    if !args.json {
        say(format_args!(
            "{:<14} {:>7} {:>10} {:>12} {:>9} {:>10} {:>9}\n",
            "workload", "tasks", "path", "ms", "GFLOP/s", "MB", "us a task"
        ));
    }
    for (w, tasks) in work {
        let row = match w {
            Some(w) => measure(w, tasks, &device)?,
            None => measure_sine(&device)?,
        };
        if !args.json {
            say(format_args!(
                "{:<14} {:>7} {:>10} {:>12} {:>9} {:>10} {:>9}\n",
                row.workload,
                row.tasks,
                row.path,
                figure(row.ms),
                figure(row.gflops),
                figure(row.bytes as f64 / 1e6),
                figure(1e3 * row.ms / row.tasks as f64),
            ));
        }
        rows.push(row);
    }
    if args.json {
        let text = serde_json::to_string_pretty(&rows).map_err(|e| Error::config("bench", e.to_string()))?;
        say(format_args!("{text}\n"));
    }
    Ok(ExitCode::SUCCESS)
}
