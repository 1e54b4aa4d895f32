//! `hyperloom compress`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use hyperloom::data::Table;
use hyperloom::experiment::files::Adapted;
use hyperloom::experiment::run_folder::{OWN_NETWORK, RunFolder, load_network};
use hyperloom::experiment::{CompressOptions, Compressed, continual, pictures, policies};
use hyperloom::files::write_atomically;
use hyperloom::net::{Among, Compression, Numbers};
use hyperloom::task::Task;
use hyperloom::{Error, Result};
use serde_json::json;

use super::eval::finished;
use super::train::Watch;
use super::{check_new, figure, hint, open_device, say};

/// Arguments of `compress`.
#[derive(Args, Debug)]
pub(super) struct CompressArgs {
    /// A run folder, which becomes another whose networks know what will become of them; or a network that `adapt` wrote.
    model: PathBuf,
    /// The folder, or of a network the file, that is written.
    #[arg(long, value_name = "FOLDER|FILE")]
    out: PathBuf,
    /// How the matrices of networks are held (not given: as they are where they are compressed, else int8; f16 is for a network's file).
    #[arg(long, value_enum)]
    numbers: Option<Held>,
    /// Share of each matrix of a network that is 0, its numbers of the smallest size: 0.8 keeps a fifth (not given: as it is).
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    prune: Option<f64>,
    /// How files hold what makes the networks of a run (not given: as its networks).
    #[arg(long, value_enum)]
    hypernetwork: Option<Held>,
    /// Share of each of its matrices that is 0.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    prune_hypernetwork: Option<f64>,
    /// Among which numbers of a network that `adapt` wrote the smallest are; of a run's they are those of each matrix.
    #[arg(long, value_enum, default_value_t = Which::Matrix)]
    among: Which,
    /// Steps of training that go on from the run with such networks, before all else: what is pruned needs them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    steps: u64,
    /// Round what dense layers and convolutions of networks read to 8 bits, too, by scales that validation tasks set (of a network: rows of --support).
    #[arg(long)]
    activations: bool,
    /// Rows by which scales of what a network reads are set.
    #[arg(long, value_name = "FILE")]
    support: Option<PathBuf>,
    /// Rows with their targets on which a network is judged before and after.
    #[arg(long, value_name = "FILE")]
    query: Option<PathBuf>,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// How numbers are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Held {
    /// 32 bits, as they are trained.
    F32,
    /// 16 bits, in files.
    F16,
    /// 8 bits, with a scale for each output.
    Int8,
    /// 8 bits, with one scale for a matrix.
    Int8Tensor,
    /// 4 bits, with a scale for each 32 numbers.
    Int4,
}

impl Held {
    fn numbers(self) -> Numbers {
        match self {
            Held::F32 => Numbers::F32,
            Held::F16 => Numbers::F16,
            Held::Int8 => Numbers::Int8,
            Held::Int8Tensor => Numbers::Int8Tensor,
            Held::Int4 => Numbers::Int4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Those of the same matrix.
    Matrix,
    /// Those of all matrices of a network that `adapt` wrote.
    Network,
}

pub(super) fn run(args: &CompressArgs) -> Result<ExitCode> {
    match args.model.is_dir() {
        true => whole_run(args),
        false => network(args),
    }
}

impl CompressArgs {
    /// What becomes of networks that are held so.
    fn networks(&self, present: Compression) -> Result<Compression> {
        let mut networks = changed(present, self.numbers, self.prune);
        if self.among == Which::Network {
            networks.among = Among::Network;
        }
        networks.check_share().map_err(|e| Error::config("--prune", e))?;
        Ok(networks)
    }
}

/// What is compressed stays so, but for what is asked for; what is not becomes int8.
fn changed(present: Compression, numbers: Option<Held>, prune: Option<f64>) -> Compression {
    let kept = if present.numbers == Numbers::F32 { Numbers::Int8 } else { present.numbers };
    Compression::new(numbers.map_or(kept, Held::numbers), prune.unwrap_or(present.prune))
}

/// A run that is made of another.
fn whole_run(args: &CompressArgs) -> Result<ExitCode> {
    for (settings, what) in [
        (policies::SETTINGS, "a policy"),
        (continual::SETTINGS, "tasks one after another"),
        ("search.toml", "an architecture search"),
    ] {
        if args.model.join(settings).is_file() {
            let message =
                format!("is the run of {what}, which is not compressed as a whole: a network of it can be");
            return Err(Error::config(args.model.display().to_string(), message));
        }
    }
    let (model, _) = RunFolder::open(&args.model)?.model()?;
    let networks = args.networks(model.spec.target.compression())?;
    let of_networks = [("--query", &args.query), ("--support", &args.support)];
    if let Some((flag, _)) = of_networks.into_iter().find(|(_, given)| given.is_some()) {
        return Err(Error::config(flag, "is for a network: a run has validation tasks and unseen ones"));
    }
    networks.check().map_err(|e| {
        let flag = if args.among == Which::Network { "--among" } else { "--numbers" };
        Error::config(flag, format!("{e} (--hypernetwork says how files hold what makes them)"))
    })?;
    let hypernetwork = match (args.hypernetwork, model.stored.is_none()) {
        // As its networks.
        (None, true) => Compression::new(networks.numbers, args.prune_hypernetwork.unwrap_or(0.0)),
        (given, _) => changed(model.stored, given, args.prune_hypernetwork),
    };
    hypernetwork.check_share().map_err(|e| Error::config("--prune-hypernetwork", e))?;
    if RunFolder::fresh(&args.out).is_err() {
        let message = format!("{} exists and is not overwritten; name another folder", args.out.display());
        return Err(Error::config("--out", message));
    }
    let activations = args.activations || !model.spec.target.input_scales().is_empty();
    let device = open_device(&args.device)?;
    let (_, experiment) = finished(&device, &args.model)?;
    let options = CompressOptions { networks, hypernetwork, activations, steps: args.steps };
    let again = format!("hyperloom train --resume --out {}", args.out.display());
    let mut watch = Watch::new(again.clone())?;
    let outcome = experiment.compressed(&args.out, options, &mut watch);
    watch.finish();
    let Some((smaller, report)) = outcome? else {
        hint(format_args!("stopped with a checkpoint; go on with: {again}"));
        hint("what is left is done by `hyperloom compress` of that run with the same flags, but for --steps");
        return Ok(ExitCode::from(130));
    };
    pictures::draw(&smaller, &report)?;
    let found = experiment.beside(&smaller)?;
    let text = serde_json::to_string_pretty(&found).unwrap_or_default() + "\n";
    let file = args.out.join("compress.json");
    write_atomically(&file, text.as_bytes())?;
    match args.json {
        true => say(text),
        false => print(&found, &args.out),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(found: &Compressed, out: &Path) {
    let (a, b) = (&found.before, &found.after);
    let line = |what: &str, a: String, b: String, beside: String| {
        say(format_args!("{what:<36}{a:>14}{b:>14}{beside}\n"));
    };
    let share = |a: usize, b: usize| format!("{:>9.1} %", 100.0 * b as f64 / a as f64);
    let sized = |what: &str, a: usize, b: usize| line(what, a.to_string(), b.to_string(), share(a, b));
    line("", "as trained".into(), "compressed".into(), String::new());
    sized("bytes of the model", a.model_bytes, b.model_bytes);
    sized("bytes of a network", a.network_bytes, b.network_bytes);
    sized("its weights that are not 0", a.network_weights, b.network_weights);
    let judged = if found.unseen_tasks { "unseen tasks" } else { "test rows" };
    line(&format!("{}, {judged}", a.metric), figure(a.mean), figure(b.mean), String::new());
    if let (Some(a), Some(b)) = (a.worst, b.worst) {
        let what = if found.largest_loss.is_some() { "  the worst task" } else { "  the worst class" };
        line(what, figure(a), figure(b), String::new());
    }
    if let Some(loss) = found.largest_loss {
        line("  what a task lost at most", String::new(), figure(loss), String::new());
    }
    line("steps of adaptation", a.steps.to_string(), b.steps.to_string(), String::new());
    let micros = |v: f64| format!("{v:.0} us");
    line(
        &format!("a network from its support ({})", a.device),
        micros(a.adapt_microseconds),
        micros(b.adapt_microseconds),
        String::new(),
    );
    line("a row", micros(a.predict_microseconds), micros(b.predict_microseconds), String::new());
    say(format_args!("\na run like any other: {}; these figures: compress.json in it\n", out.display()));
}

/// A network.
fn network(args: &CompressArgs) -> Result<ExitCode> {
    let of_runs = [
        ("--hypernetwork", args.hypernetwork.is_some()),
        ("--prune-hypernetwork", args.prune_hypernetwork.is_some()),
        ("--steps", args.steps > 0),
    ];
    if let Some((flag, _)) = of_runs.into_iter().find(|(_, given)| *given) {
        return Err(Error::config(flag, "is for runs: a network is made by none"));
    }
    check_new(&args.out)?;
    if !args.model.is_file() {
        let message = format!(
            "there is no such run folder or network; a network of a run is its {OWN_NETWORK} or what `hyperloom adapt` wrote"
        );
        return Err(Error::config(args.model.display().to_string(), message));
    }
    let (before, format) = load_network(&args.model)?;
    let compression = args.networks(before.compression)?;
    let before = Adapted { network: before, format };
    let device = open_device(&args.device)?;
    let mut after =
        Adapted { network: before.network.compressed(compression)?, format: before.format.clone() };
    after.network = match (args.activations, &args.support) {
        (true, Some(file)) => {
            after.network.calibrated(&device, &after.format.inputs(&Table::read(file)?)?)?
        }
        (false, None) => after.network,
        (true, None) => {
            return Err(Error::config(
                "--support",
                "is missing: rows by which scales of what layers read are set",
            ));
        }
        (false, Some(_)) => {
            return Err(Error::config("--support", "is for --activations: leave it out, or add that"));
        }
    };
    let errors = match &args.query {
        None => None,
        Some(file) => {
            let table = Table::read(file)?;
            let targets = before.format.targets(&table)?;
            let of = |adapted: &Adapted| -> Result<f64> {
                let said = adapted.predict(&device, &table)?.values;
                let task = Task::from_support(vec![], vec![]).with_query(vec![], targets.clone());
                Ok(adapted.network.likelihood.score(&[task], &[said]))
            };
            Some([of(&before)?, of(&after)?])
        }
    };
    after.save(&args.out)?;
    let bytes = [&before, &after].map(|n| n.network.stored_bytes());
    let metric = before.network.likelihood.metric.name();
    if args.json {
        let found = json!({
            "network": compression,
            "activations": !after.network.spec.input_scales().is_empty(),
            "bytes": bytes,
            "metric": errors.map(|_| metric),
            "before": errors.map(|e| e[0]),
            "after": errors.map(|e| e[1]),
        });
        say(format_args!("{}\n", serde_json::to_string_pretty(&found).unwrap_or_default()));
        return Ok(ExitCode::SUCCESS);
    }
    let share = 100.0 * bytes[1] as f64 / bytes[0] as f64;
    say(format_args!(
        "{}: {} bytes of weights in place of {} ({share:.1} %)",
        args.out.display(),
        bytes[1],
        bytes[0]
    ));
    if let Some([before, after]) = errors {
        say(format_args!("; {metric} on these rows {} in place of {}", figure(after), figure(before)));
    }
    say("\n");
    Ok(ExitCode::SUCCESS)
}
