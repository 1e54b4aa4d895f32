//! `hyperloom predict`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::data::Table;
use hyperloom::data::format::Format;
use hyperloom::experiment::files::{Adapted, Trained};
use hyperloom::experiment::picture_files::{Sorted, sort_by_network, sort_pictures};
use hyperloom::experiment::run_folder::OWN_NETWORK;
use hyperloom::experiment::streams::follow_table;
use hyperloom::files::write_atomically;
use hyperloom::meta::follow::Following;
use hyperloom::meta::model::Prediction;
use hyperloom::{Device, Error, Result};

use super::{check_new, check_steps, figure, open_device, say};

/// Arguments of `predict`.
#[derive(Args, Debug)]
pub(super) struct PredictArgs {
    /// A run folder, or a network written by `adapt`.
    model: PathBuf,
    /// The task's known rows. Where this file and the query have the group column, every group is a task. Of pictures a folder with a
    /// folder for each class.
    #[arg(long, value_name = "FILE.csv|FOLDER")]
    support: Option<PathBuf>,
    /// The rows to predict; of pictures a file, or a folder of them.
    #[arg(long, value_name = "FILE.csv|FOLDER|PICTURE")]
    query: PathBuf,
    /// Where the query rows, or the names of the pictures, with their predictions are written.
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Steps of adaptation (not given: as many as were chosen on validation tasks).
    #[arg(long)]
    steps: Option<usize>,
    /// Share of rows that intervals cover, from .1 to .95: columns 'low' and 'high' beside a predicted value.
    #[arg(long, value_name = "LEVEL")]
    interval: Option<f64>,
    /// The rows of the query arrive one after another, and each is predicted from those before it: their targets are known then. Writes what was said, and beside it how good
    /// that was as JSON, and a picture.
    #[arg(long)]
    stream: bool,
    /// Rows of a stream that arrive at once.
    #[arg(long, requires = "stream", default_value_t = 1)]
    batch: usize,
    /// Numbers of last rows of a stream that networks are written from side by side, as in 8,32,128; the one counts that was best lately.
    #[arg(long, requires = "stream", num_args = 1.., value_delimiter = ',', default_values_t = Following::default().windows)]
    windows: Vec<usize>,
    /// About how probable a change of a stream is noticed that is none; 0: none is noticed, and nothing forgotten for it.
    #[arg(long, requires = "stream", default_value_t = Following::default().confidence)]
    drift: f64,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &PredictArgs) -> Result<ExitCode> {
    check_new(&args.out)?;
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
    if args.model.join(hyperloom::experiment::continual::SETTINGS).is_file() {
        let networks = args.model.join("networks").join("task-1.safetensors");
        let message = format!(
            "is a run over tasks one after another, which have a network each: {} and so on",
            networks.display()
        );
        return Err(Error::config(args.model.display().to_string(), message));
    }
    // A run of a single task leaves its network.
    let reader = match args.model.is_dir() && !args.model.join(OWN_NETWORK).is_file() {
        true => Reader::Model(Box::new(Trained::load(&args.model)?)),
        false => Reader::Network(Box::new(Adapted::load(&args.model)?)),
    };
    let format = match &reader {
        Reader::Model(trained) => &trained.format,
        Reader::Network(adapted) => &adapted.format,
    };
    if let Format::Text { pairs, .. } = *format {
        let message = match pairs {
            true => "the model says targets of sources: `hyperloom translate` is for those",
            false => "the model goes on with texts: `hyperloom generate` is for those",
        };
        return Err(Error::config(args.model.display().to_string(), message));
    }
    if matches!(format, Format::Fields { .. }) {
        return Err(Error::config(
            args.model.display().to_string(),
            "the model learns pictures as fields: `hyperloom encode` and `decode` are for those",
        ));
    }
    if matches!(format, Format::Decoders { .. }) {
        return Err(Error::config(
            args.model.display().to_string(),
            "the model writes pictures: `hyperloom sample` draws some",
        ));
    }
    if matches!(format, Format::Pictures { .. }) {
        let pictures = pictures(args, &reader, format)?;
        write_atomically(&args.out, &pictures.csv()?)?;
        let s = if pictures.files.len() == 1 { "" } else { "s" };
        say(format_args!("{}: {} picture{s} sorted\n", args.out.display(), pictures.files.len()));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = args.support.iter().chain([&args.query]).find(|path| path.is_dir()) {
        return Err(Error::data(path, "", "is a folder, and the model reads CSV files"));
    }
    let query = Table::read(&args.query)?;
    let device = open_device(&args.device)?;
    if args.stream {
        return stream(args, &device, &reader, format, &query);
    }
    let (y, half, disagreement) = match &reader {
        _ if let Format::Series(_) = format => {
            check_series(args, &reader)?;
            let support = args.support.as_ref().map(Table::read).transpose()?;
            let found = match &reader {
                Reader::Model(trained) => trained.predict(&device, support.as_ref(), &query, args.steps)?,
                Reader::Network(adapted) => adapted.predict(&device, &query)?,
            };
            let half = args.interval.map(|level| half_widths(&found, level, args)).transpose()?;
            let without = half.iter().flatten().filter(|h| h.is_nan()).count();
            if without > 0 {
                let most = found.points_ahead();
                log::warn!(
                    "{without} of {} rows have no interval: more than {most} points ahead of what is known (how large errors are was measured no further: eval.query, and the series to choose by), the first of their series, or of series without known points in the support",
                    query.rows()
                );
            }
            (found.values, half, found.disagreement)
        }
        Reader::Model(trained) => {
            if args.support.is_none() && args.interval.is_some() {
                return Err(Error::config(
                    "--interval",
                    "is for a task's own network: give its known rows by --support",
                ));
            }
            let support = args.support.as_ref().map(Table::read).transpose()?;
            let found = trained.predict(&device, support.as_ref(), &query, args.steps)?;
            let half = args.interval.map(|level| half_widths(&found, level, args)).transpose()?;
            (found.values, half, found.disagreement)
        }
        Reader::Network(adapted) => {
            check_adapted(args)?;
            if args.interval.is_some() {
                return Err(Error::config(
                    "--interval",
                    "a network has no intervals: give the run folder and --support",
                ));
            }
            let found = adapted.predict(&device, &query)?;
            (found.values, None, found.disagreement)
        }
    };
    let query = format.rows_of(&query)?;
    // Of the first point of a series nothing is said.
    let wrong =
        y.iter().filter(|v| v.is_infinite() || (v.is_nan() && !matches!(format, Format::Series(_)))).count();
    if wrong > 0 {
        log::warn!(
            "{wrong} of {} predicted numbers are not finite: the support or the query has values far from those that the model was trained on",
            y.len()
        );
    }
    write_atomically(&args.out, &format.predictions(&query, &y, half.as_deref(), &disagreement)?)?;
    let rows = if matches!(format, Format::Sequences(_)) { "series" } else { "rows" };
    say(format_args!("{}: {} {rows} predicted\n", args.out.display(), query.rows()));
    Ok(ExitCode::SUCCESS)
}

/// Rows that arrive one after another.
fn stream(
    args: &PredictArgs,
    device: &Device,
    reader: &Reader,
    format: &Format,
    query: &Table,
) -> Result<ExitCode> {
    let Reader::Model(trained) = reader else {
        return Err(Error::config(
            "--stream",
            "needs what writes networks: give a run folder, not a network",
        ));
    };
    for (flag, given) in [("--steps", args.steps.is_some()), ("--interval", args.interval.is_some())] {
        if given {
            return Err(Error::config(flag, "is nothing for --stream: leave one of both out"));
        }
    }
    let [table, picture] = ["json", "svg"].map(|e| args.out.with_extension(e));
    if [&table, &picture].contains(&&args.out) {
        let message = "is the name of what is written beside the rows: take one that ends in .csv";
        return Err(Error::config("--out", format!("{} {message}", args.out.display())));
    }
    [&table, &picture].into_iter().try_for_each(|file| check_new(file))?;
    let mut how = Following::default();
    (how.windows, how.confidence) = (args.windows.clone(), args.drift);
    let known = args.support.as_ref().map(Table::read).transpose()?;
    let found = follow_table(device, &trained.model, format, known.as_ref(), query, &how, args.batch)?;
    write_atomically(&args.out, &found.csv(format, query)?)?;
    let r = &found.report;
    write_atomically(&table, (serde_json::to_string_pretty(r).unwrap_or_default() + "\n").as_bytes())?;
    found.draw(&picture)?;
    let streams = if r.streams == 1 { String::new() } else { format!(" in {} streams", r.streams) };
    say(format_args!("{} of {} rows{streams}, each predicted before it was known\n", r.metric, r.rows));
    let line = |what: &str, value: f64| say(format_args!("  {what:<40}{:>9}\n", figure(value)));
    line("networks that follow", r.prequential);
    for (name, value) in &r.beside {
        line(&name.replace('_', " "), *value);
    }
    let lines: Vec<String> = r.drifts.iter().map(usize::to_string).collect();
    match lines.len() {
        0 => say("no change was noticed\n"),
        1 => say(format_args!("a change was noticed behind line {}\n", lines[0])),
        n => say(format_args!("{n} changes were noticed, behind lines {}\n", lines.join(", "))),
    }
    let [out, table, picture] = [&args.out, &table, &picture].map(|f| f.display().to_string());
    say(format_args!("{out}, {table}, {picture}\n"));
    Ok(ExitCode::SUCCESS)
}

/// What predicts.
enum Reader {
    /// A trained model, which adapts to the support.
    Model(Box<Trained>),
    /// A network that has been adapted.
    Network(Box<Adapted>),
}

/// Refuses what a forecast has no use for.
fn check_series(args: &PredictArgs, reader: &Reader) -> Result<()> {
    match reader {
        Reader::Model(_) if args.support.is_none() => Err(Error::config(
            "--support",
            "is missing: the known points of each series, which its network learns from",
        )),
        Reader::Network(_) if args.steps.is_some() => check_adapted(args),
        Reader::Network(_) if args.interval.is_some() => {
            Err(Error::config("--interval", "a network has no intervals: give the run folder and --support"))
        }
        _ => Ok(()),
    }
}

/// What is said about pictures.
fn pictures(args: &PredictArgs, reader: &Reader, format: &Format) -> Result<Sorted> {
    if args.interval.is_some() {
        return Err(Error::config(
            "--interval",
            "pictures are sorted into classes, which have probabilities instead",
        ));
    }
    match reader {
        Reader::Model(trained) => {
            let Some(support) = &args.support else {
                let message =
                    "is missing: the classes of the task are the folders in it, each with a few pictures";
                return Err(Error::config("--support", message));
            };
            let device = open_device(&args.device)?;
            sort_pictures(&device, &trained.model, format, support, &args.query, args.steps)
        }
        Reader::Network(adapted) => {
            check_adapted(args)?;
            sort_by_network(&open_device(&args.device)?, &adapted.network, format, &args.query)
        }
    }
}

/// Refuses to adapt a network that has been.
fn check_adapted(args: &PredictArgs) -> Result<()> {
    match (&args.support, args.steps) {
        (None, None) => Ok(()),
        (support, _) => Err(Error::config(
            if support.is_some() { "--support" } else { "--steps" },
            match args.model.is_dir() {
                true => "the run is one task, which its network knows: `hyperloom adapt` fine-tunes it",
                false => "the network is adapted already: give a run folder to adapt anew",
            },
        )),
    }
}

/// Half the widths of intervals that cover this share of rows.
fn half_widths(found: &Prediction, level: f64, args: &PredictArgs) -> Result<Vec<f32>> {
    if args.steps.is_some() {
        return Err(Error::config(
            "--interval",
            "intervals are for the chosen steps of adaptation: leave --steps out",
        ));
    }
    found.half_widths(level).ok_or_else(|| {
        Error::config("--interval", "the model predicts classes, which have probabilities instead")
    })
}
