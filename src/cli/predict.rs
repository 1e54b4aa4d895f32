//! `hyperloom predict`

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::data::Table;
use hyperloom::data::csv::group_rows;
use hyperloom::data::format::Format;
use hyperloom::files::write_atomically;
use hyperloom::meta::episode::Task;
use hyperloom::meta::model::Model;
use hyperloom::run::Device;
use hyperloom::run_folder::{RunFolder, load_network};
use hyperloom::{Error, Result};

use super::adapt::one_task;
use super::{check_steps, open_device, say};

/// Arguments of `predict`.
#[derive(Args, Debug)]
pub(super) struct PredictArgs {
    /// A run folder, or a network written by `adapt`.
    model: PathBuf,
    /// The task's known rows. Where this file and the query have the group column, every group is a task.
    #[arg(long, value_name = "FILE.csv")]
    support: Option<PathBuf>,
    /// The rows to predict.
    #[arg(long, value_name = "FILE.csv")]
    query: PathBuf,
    /// Where the query rows with their predictions are written.
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Steps of adaptation (not given: as many as were chosen on validation tasks).
    #[arg(long)]
    steps: Option<usize>,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &PredictArgs) -> Result<ExitCode> {
    if args.out.exists() {
        return Err(Error::config(
            "--out",
            format!("{} exists and is not overwritten; name another file", args.out.display()),
        ));
    }
    check_steps(args.steps)?;
    let query = Table::read(&args.query)?;
    let device = open_device(&args.device)?;
    let (y, format) = if args.model.is_dir() {
        let (model, format) = RunFolder::open(&args.model)?.model()?;
        let support = args.support.as_ref().map(Table::read).transpose()?;
        (with_run(&device, &model, &format, support.as_ref(), &query, args.steps)?, format)
    } else {
        if args.support.is_some() || args.steps.is_some() {
            return Err(Error::config(
                if args.support.is_some() { "--support" } else { "--steps" },
                "the network is adapted already: give a run folder to adapt anew",
            ));
        }
        let (network, format) = load_network(&args.model)?;
        (network.predict(&device, &format.inputs(&query)?)?, format)
    };
    write_atomically(&args.out, &format.predictions(&query, &y)?)?;
    say(format_args!("{}: {} rows predicted\n", args.out.display(), query.rows()));
    Ok(ExitCode::SUCCESS)
}

/// Outputs for every query row: each group with the network of its own support rows, the rest with the pooled one.
fn with_run(
    device: &Device,
    model: &Model,
    format: &Format,
    support: Option<&Table>,
    query: &Table,
    steps: Option<usize>,
) -> Result<Vec<f32>> {
    let x = format.inputs(query)?;
    let (i, o) = (model.spec.target.inputs(), model.judge.outputs);
    let pooled = model.pooled();
    let Some(support) = support else {
        log::warn!(
            "no support rows are given: these are the pooled network's predictions, the same for every task"
        );
        return pooled.predict(device, &x);
    };
    let (xs, ys) = (format.inputs(support)?, format.targets(support)?);
    let task = |rows: &[usize]| -> Task {
        let pick = |from: &[f32], w: usize| {
            rows.iter().flat_map(|r| from[r * w..(r + 1) * w].to_vec()).collect::<Vec<f32>>()
        };
        let xs = pick(&xs, i);
        let descriptor = format.descriptor(&xs, model.spec.condition.descriptor);
        Task { descriptor, ..Task::from_support(xs, pick(&ys, o)) }
    };
    let column = format
        .group()
        .filter(|c| query.columns().iter().any(|n| n == c) && support.columns().iter().any(|n| n == c));
    let Some(column) = column else {
        one_task(format, support)?;
        let all: Vec<usize> = (0..support.rows()).collect();
        return model.adapt(device, &task(&all), steps)?.predict(device, &x);
    };
    let known: HashMap<String, Vec<usize>> = group_rows(support, column)?.into_iter().collect();
    let mut y = vec![0.0; query.rows() * o];
    let mut strangers = 0;
    for (name, rows) in group_rows(query, column)? {
        let network = match known.get(&name) {
            Some(s) => model.adapt(device, &task(s), steps)?,
            None => {
                strangers += 1;
                pooled.clone()
            }
        };
        let mine: Vec<f32> = rows.iter().flat_map(|r| x[r * i..(r + 1) * i].to_vec()).collect();
        for (row, values) in rows.iter().zip(network.predict(device, &mine)?.chunks(o)) {
            y[row * o..(row + 1) * o].copy_from_slice(values);
        }
    }
    if strangers > 0 {
        log::warn!("{strangers} groups of the query have no support rows: the pooled network predicts them");
    }
    Ok(y)
}
