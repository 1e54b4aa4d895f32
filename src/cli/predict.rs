//! `hyperloom predict`

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::adapt::StartFrom;
use hyperloom::data::Table;
use hyperloom::data::csv::group_rows;
use hyperloom::data::format::Format;
use hyperloom::experiment::run_folder::{RunFolder, load_network};
use hyperloom::files::write_atomically;
use hyperloom::meta::model::Model;
use hyperloom::run::Device;
use hyperloom::task::Task;
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
    /// Share of rows that intervals cover, from .1 to .95: columns 'low' and 'high' beside a predicted value.
    #[arg(long, value_name = "LEVEL")]
    interval: Option<f64>,
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
    if let Some(level) = args.interval
        && !(0.1..=0.95).contains(&level)
    {
        return Err(Error::config(
            "--interval",
            format!("{level} is out of range: it must lie from .1 to .95"),
        ));
    }
    if !args.model.exists() {
        return Err(Error::config(
            args.model.display().to_string(),
            "there is no such run folder or network; `hyperloom train` and `hyperloom adapt` make them",
        ));
    }
    let query = Table::read(&args.query)?;
    let device = open_device(&args.device)?;
    let (y, half, format) = if args.model.is_dir() {
        let (model, format) = RunFolder::open(&args.model)?.model()?;
        if args.support.is_none() && args.interval.is_some() {
            return Err(Error::config(
                "--interval",
                "is for a task's own network: give its known rows by --support",
            ));
        }
        let support = args.support.as_ref().map(Table::read).transpose()?;
        let (y, deviation) = with_run(&device, &model, &format, support.as_ref(), &query, args.steps)?;
        let half = args.interval.map(|level| half_widths(&model, level, &deviation, args)).transpose()?;
        (y, half, format)
    } else {
        if args.support.is_some() || args.steps.is_some() {
            return Err(Error::config(
                if args.support.is_some() { "--support" } else { "--steps" },
                "the network is adapted already: give a run folder to adapt anew",
            ));
        }
        if args.interval.is_some() {
            return Err(Error::config(
                "--interval",
                "a network has no intervals: give the run folder and --support",
            ));
        }
        let (network, format) = load_network(&args.model)?;
        (network.predict(&device, &format.inputs(&query)?)?, None, format)
    };
    write_atomically(&args.out, &format.predictions(&query, &y, half.as_deref())?)?;
    say(format_args!("{}: {} rows predicted\n", args.out.display(), query.rows()));
    Ok(ExitCode::SUCCESS)
}

/// Half the widths of intervals that cover this share of rows.
fn half_widths(model: &Model, level: f64, deviation: &[f32], args: &PredictArgs) -> Result<Vec<f32>> {
    let Some(intervals) = &model.choice.intervals else {
        return Err(Error::config(
            "--interval",
            "the model predicts classes, which have probabilities instead",
        ));
    };
    if args.steps.is_some() {
        return Err(Error::config(
            "--interval",
            "intervals are for the chosen steps of adaptation: leave --steps out",
        ));
    }
    let factor = intervals.factor(level);
    Ok(deviation.iter().map(|d| factor as f32 * d).collect())
}

/// Outputs for every query row and their deviations: each group by the network of its own support rows, the rest by the
/// pooled one, whose deviations are not known (NaN).
fn with_run(
    device: &Device,
    model: &Model,
    format: &Format,
    support: Option<&Table>,
    query: &Table,
    steps: Option<usize>,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let x = format.inputs(query)?;
    let (i, o) = (model.spec.target.inputs(), model.likelihood.outputs);
    let pooled = model.pooled();
    let Some(support) = support else {
        log::warn!(
            "no support rows are given: these are the pooled network's predictions, the same for every task"
        );
        return Ok((pooled.predict(device, &x)?, vec![f32::NAN; query.rows()]));
    };
    let (xs, ys) = (format.inputs(support)?, format.targets(support)?);
    let pick = |from: &[f32], rows: &[usize], w: usize| -> Vec<f32> {
        rows.iter().flat_map(|r| from[r * w..(r + 1) * w].to_vec()).collect()
    };
    // Support and query rows of every task.
    let column = format
        .group()
        .filter(|c| query.columns().iter().any(|n| n == c) && support.columns().iter().any(|n| n == c));
    let (groups, strangers) = match column {
        None => {
            one_task(format, support)?;
            (vec![((0..support.rows()).collect(), (0..query.rows()).collect())], vec![])
        }
        Some(column) => {
            let known: HashMap<String, Vec<usize>> = group_rows(support, column)?.into_iter().collect();
            let (mut groups, mut strangers) = (vec![], vec![]);
            for (name, rows) in group_rows(query, column)? {
                match known.get(&name) {
                    Some(s) => groups.push((s.clone(), rows)),
                    None => strangers.push(rows),
                }
            }
            (groups, strangers)
        }
    };
    let tasks: Vec<Task> = groups
        .iter()
        .map(|(s, q): &(Vec<usize>, Vec<usize>)| {
            let mine = pick(&xs, s, i);
            let descriptor = format.descriptor(&mine, model.spec.condition.descriptor);
            // Targets of the query are what is asked for.
            let yq = vec![0.0; q.len() * o];
            Task { descriptor, xq: pick(&x, q, i), yq, ..Task::from_support(mine, pick(&ys, s, o)) }
        })
        .collect();
    let (mut y, mut deviation) = (vec![0.0; query.rows() * o], vec![f32::NAN; query.rows()]);
    let mut put = |rows: &[usize], values: &[f32], deviations: &[f32]| {
        for (k, &row) in rows.iter().enumerate() {
            y[row * o..(row + 1) * o].copy_from_slice(&values[k * o..(k + 1) * o]);
            deviation[row] = deviations.get(k).copied().unwrap_or(f32::NAN);
        }
    };
    let (found, deviations) = match steps {
        Some(k) => {
            let from = StartFrom::Generated(model.choice.correction);
            (model.predict(device, &tasks, from, &[k])?.pop().unwrap_or_default(), vec![vec![]; tasks.len()])
        }
        None => model.chosen(device, &tasks)?,
    };
    for ((_, rows), (values, deviations)) in groups.iter().zip(found.iter().zip(&deviations)) {
        put(rows, values, deviations);
    }
    for rows in &strangers {
        put(rows, &pooled.predict(device, &pick(&x, rows, i))?, &[]);
    }
    if !strangers.is_empty() {
        log::warn!(
            "{} groups of the query have no support rows: the pooled network predicts them",
            strangers.len()
        );
    }
    Ok((y, deviation))
}
