//! The command line, one file a command.

mod adapt;
mod bench;
#[cfg(feature = "gpu")]
mod check;
mod compress;
mod continual;
mod decode;
#[cfg(feature = "gpu")]
mod devices;
mod encode;
mod eval;
mod explain;
mod export;
mod generate;
mod inspect;
mod joint;
#[cfg(feature = "gpu")]
mod kernels;
mod plan;
mod predict;
mod profile;
mod rollout;
mod sample;
mod search;
mod shell;
mod sweep;
mod train;
mod translate;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hyperloom::experiment::config::{
    Config, CsvConfig, DecodersConfig, DictionariesConfig, FieldsConfig, ImagesConfig, MAX_ADAPT_STEPS,
    PairsConfig, PicturesConfig, SeriesConfig, TaskKind, TextConfig, TextsConfig,
};
use hyperloom::run::Device;
use hyperloom::{Error, Result};
use serde_json::json;

/// Trains hypernetworks on any GPU, or with none.
#[derive(Parser, Debug)]
#[command(name = "hyperloom", version, about, propagate_version = true)]
struct Cli {
    /// Every launch by itself: stretches of work that belong to tasks are not put together.
    #[arg(long, global = true)]
    no_regions: bool,
    /// What of its log is said on standard error (not given: as the variable RUST_LOG says, else info).
    #[arg(long, global = true, value_enum, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// How the progress of training is told on standard error.
    #[arg(long, global = true, value_enum, default_value_t = Told::Auto)]
    progress: Told,
    #[command(subcommand)]
    command: Command,
}

/// Flags of settings that a text has a use for.
const TEXT_FLAGS: [&str; 7] = ["--net", "--set", "--steps", "--seed", "--files", "--method", "--generated"];
/// Those of pairs.
const PAIRS_FLAGS: [&str; 9] =
    ["--net", "--set", "--steps", "--seed", "--method", "--generated", "--pairs", "--source", "--target"];
/// Those of series.
const SERIES_FLAGS: [&str; 11] = [
    "--net", "--set", "--steps", "--seed", "--shots", "--method", "--csv", "--group", "--time", "--target",
    "--inputs",
];
/// Those that texts, a task each, have a use for beside these.
const TEXTS_FLAGS: [&str; 2] = ["--test", "--shots"];

/// What the command was told for all that it does.
static NO_REGIONS: OnceLock<bool> = OnceLock::new();
static PROGRESS: OnceLock<Told> = OnceLock::new();

/// How progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Told {
    /// As a bar in a terminal, else a line now and then.
    Auto,
    /// As JSON, an object a line, and all else on standard error too.
    Json,
    /// Not at all.
    None,
}

fn told() -> Told {
    PROGRESS.get().copied().unwrap_or(Told::Auto)
}

/// The least grave of what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Train a hypernetwork (with no arguments: the sine family) and judge it on unseen tasks.
    Train(train::TrainArgs),
    /// Write the network for one new task from its support rows.
    Adapt(adapt::AdaptArgs),
    /// Predict the rows of a file, with a run (and a task's support rows) or with one task's network.
    Predict(predict::PredictArgs),
    /// Learn a picture by a run of fields, and write its code.
    Encode(encode::EncodeArgs),
    /// The picture that a code stands for.
    Decode(decode::DecodeArgs),
    /// Draw pictures of a class by a run of decoders and a few that are known.
    Sample(sample::SampleArgs),
    /// Go on with a text by a run of a language model.
    Generate(generate::GenerateArgs),
    /// Say the targets of sources, a line each on standard input, by a run of pairs.
    Translate(translate::TranslateArgs),
    /// Error on unseen tasks against the number of shots and of adaptation steps, beside the baselines.
    Eval(eval::EvalArgs),
    /// Why a task's network says what it says: which support rows moved it, which weights are its own, which known tasks are like it
    Explain(explain::ExplainArgs),
    /// Write a network as C, Rust, WGSL, ONNX or a PyTorch module for other programs.
    Export(export::ExportArgs),
    /// Make a run or a network smaller: weights of 8 or 4 bits, the smallest 0, and what that costs
    Compress(compress::CompressArgs),
    /// Say what a run folder, a checkpoint or another file of hyperloom holds.
    Inspect(inspect::InspectArgs),
    /// Show the launches, slots, bytes and operations of a training step, without running it.
    Plan(plan::PlanArgs),
    /// Time the workloads that the field is measured by.
    Bench(bench::BenchArgs),
    /// Time each launch of a training step, or of a workload, beside what the device can do.
    Profile(profile::ProfileArgs),
    /// Train a main network beside the hypernetwork, for several shares of its own loss, and show the trade
    Joint(joint::JointArgs),
    /// Train a run for each combination of values of some settings, and show which is best
    Sweep(sweep::SweepArgs),
    /// Search architectures: propose, judge by generated weights, choose, train the best.
    Search(search::SearchArgs),
    /// What a trained policy sees and does in a world, step by step.
    Rollout(rollout::RolloutArgs),
    /// Print what makes a shell complete commands and flags.
    Completions(shell::CompletionsArgs),
    /// Write the manual, a page a command.
    Man(shell::ManArgs),
    /// Prove kernels, golden files or a whole training step against the CPU reference.
    #[cfg(feature = "gpu")]
    Check(check::CheckArgs),
    /// List the devices, and which one `auto` takes and why.
    #[cfg(feature = "gpu")]
    Devices(devices::DevicesArgs),
    /// Write each kernel's final WGSL with its override constants, for another WGSL compiler.
    #[cfg(feature = "gpu")]
    Kernels(kernels::KernelsArgs),
}

/// Settings that a file may hold and the command line may override.
#[derive(Args, Debug)]
struct Settings {
    /// A TOML file of settings; a run folder's config.toml is one.
    config: Option<PathBuf>,
    /// Family of tasks: sine, shapes, csv, series, images, fields, decoders, texts, dictionaries, or a single one: pictures, text, pairs. Or tasks one after another: continual. Or a world to act in: cartpole, pendulum,
    /// acrobot, mountain-car, mountain-car-continuous, navigation, point, grid, grid-picture, lane, lane-discrete, bandit, mdp; or exec:COMMAND, a simulator of one's own.
    #[arg(long)]
    task: Option<String>,
    /// Way of adaptation: fine-tune, maml, fomaml, reptile, anil, cavia, meta-sgd, ridge or prototypes.
    #[arg(long)]
    method: Option<String>,
    /// The target network before its last layer: conv4, resnet8, cnn, mlp, rnn, gru or lstm, with other channels as in conv4-32; or a
    /// TOML file with a list `net` of layers.
    #[arg(long, value_name = "NAME|FILE.toml")]
    net: Option<String>,
    /// Any setting of the configuration file, for example adapt.rate=0.1.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// auto, cpu, gpu or gpu:N (numbers as shown by `hyperloom devices`).
    #[arg(long)]
    device: Option<String>,
    /// Training steps.
    #[arg(long)]
    steps: Option<u64>,
    /// Seed of everything that is drawn; of csv also the split.
    #[arg(long)]
    seed: Option<u64>,
    /// Support rows of unseen tasks; in training, up to this many.
    #[arg(long)]
    shots: Option<usize>,
    /// A CSV file whose groups are the tasks (implies --task csv).
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Column that tells tasks apart.
    #[arg(long, value_name = "COLUMN")]
    group: Option<String>,
    /// The column that tells series apart, where each whole series has one class or value (--time orders its lines).
    #[arg(long, value_name = "COLUMN")]
    series: Option<String>,
    /// Of series: the column of times, numbers or dates. Without --series what comes next is predicted (--task series).
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// The column, of numbers or dates, by which the first rows of a group are the known ones (not given: which are known is drawn).
    #[arg(long, value_name = "COLUMN")]
    order: Option<String>,
    /// Column to predict.
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Input columns (none given: every other column, of series none).
    #[arg(long, value_name = "COLUMN", num_args = 1.., value_delimiter = ',')]
    inputs: Vec<String>,
    /// Columns to leave out.
    #[arg(long, value_name = "COLUMN", num_args = 1.., value_delimiter = ',')]
    drop: Vec<String>,
    /// A file of splits; --seed names the split.
    #[arg(long, value_name = "FILE.json")]
    splits: Option<PathBuf>,
    /// Pictures sorted into classes: an IDX file, a folder of PNG or JPEG files with a folder for each class, or CIFAR-10's *.bin
    /// (implies --task images).
    #[arg(long, value_name = "PATH")]
    images: Option<PathBuf>,
    /// The IDX file of their labels.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Pictures of other classes, to be judged on (not given: a fifth of the classes).
    #[arg(long, value_name = "PATH")]
    test_images: Option<PathBuf>,
    /// The IDX file of their labels.
    #[arg(long, value_name = "FILE")]
    test_labels: Option<PathBuf>,
    /// Rows with a class each: pictures as for --images, or a CSV file of series (implies --task pictures).
    #[arg(long, value_name = "PATH")]
    train: Option<PathBuf>,
    /// Rows to be judged on (not given: a sixth of each class); of texts those (not given: a fifth).
    #[arg(long, value_name = "PATH")]
    test: Option<PathBuf>,
    /// The column of a CSV file that holds the class of a row.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// A text, in files or folders of them (implies --task text); with --task texts each file is a task.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    /// Pairs of texts, a source and what is to be said of it: a file of cells separated by tabs, whose first line names the columns (implies
    /// --task pairs).
    #[arg(long, value_name = "FILE.tsv")]
    pairs: Option<PathBuf>,
    /// The column of the sources of --pairs; --target is the column of their targets. Of tasks one after another (--task continual):
    /// polynomials, or the files that they are made of.
    #[arg(long, value_name = "COLUMN|FILE", num_args = 1..)]
    source: Vec<String>,
    /// How often all rows of --train are seen.
    #[arg(long, conflicts_with = "steps")]
    epochs: Option<u64>,
    /// Weights are written by a hypernetwork, where the way of adaptation would share them.
    #[arg(long)]
    generated: bool,
    /// Weights of one's own that stay as they are, and that every task's network is a correction to: a network of `adapt`, a run folder (its pooled network), or a safetensors
    /// file with the target's parameters by name.
    #[arg(long, value_name = "FILE.safetensors|RUN")]
    base: Option<PathBuf>,
    /// regression or classification (not given: by the target's type).
    #[arg(long)]
    kind: Option<String>,
}

impl Settings {
    /// The configuration: defaults of the task, then the file, then the command line.
    fn resolve(&self) -> Result<Config> {
        let mut task = self.task.as_deref().map(|t| TaskKind::parse(t, "--task")).transpose()?;
        if task.is_none() && self.train.is_some() && self.csv.is_none() && self.images.is_none() {
            task = Some(TaskKind::Pictures);
        }
        let (text, origin) = match &self.config {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
                (text, path.display().to_string())
            }
            None => (String::new(), "command line".to_string()),
        };
        // Several families are given by --images or --files: a file may say which one it is.
        let table = text.parse::<toml::Table>().unwrap_or_default();
        let named = table.get("task").and_then(|t| t.as_str()).unwrap_or_default();
        if task.is_none() && self.csv.is_some() && named != TaskKind::Series.name() {
            let next = self.time.is_some() && self.series.is_none();
            task = Some(if next { TaskKind::Series } else { TaskKind::Csv });
        }
        let other = [TaskKind::Fields, TaskKind::Decoders].iter().any(|kind| kind.name() == named);
        if task.is_none() && self.images.is_some() && !other {
            task = Some(TaskKind::Images);
        }
        if task.is_none() && self.pairs.is_some() && named != TaskKind::Dictionaries.name() {
            task = Some(if self.group.is_some() { TaskKind::Dictionaries } else { TaskKind::Pairs });
        }
        if task.is_none() && !self.files.is_empty() && named != TaskKind::Texts.name() {
            task = Some(TaskKind::Text);
        }
        let mut over: Vec<String> = self.method.iter().map(|m| format!("adapt.method={m}")).collect();
        over.extend(self.net.as_deref().map(net_setting).transpose()?);
        over.extend(self.generated.then(|| "model.weights=generated".to_string()));
        over.extend(self.base.as_ref().map(|path| {
            let path = toml::Value::String(path.display().to_string());
            format!("model.base={path}")
        }));
        over.extend(self.set.iter().cloned());
        self.resolve_with(&text, &origin, task, &over)
    }

    /// The same, with single settings `over` the file.
    fn resolve_with(
        &self,
        text: &str,
        origin: &str,
        task: Option<TaskKind>,
        over: &[String],
    ) -> Result<Config> {
        let mut c = Config::parse_over(text, origin, task, over)?;
        if let Some(d) = &self.device {
            c.device = d.clone();
        }
        if let Some(s) = self.steps {
            c.train.steps = s;
        }
        if let Some(s) = self.seed {
            c.seed = s;
        }
        if let Some(s) = self.shots {
            c.eval.shots = s;
        }
        if c.task == TaskKind::Pictures {
            self.set_pictures(&mut c)?;
            c.validate()?;
            return Ok(c);
        }
        if matches!(c.task, TaskKind::Pairs | TaskKind::Dictionaries) {
            self.set_pairs(&mut c)?;
            c.validate()?;
            return Ok(c);
        }
        for (flag, given) in [("--pairs", self.pairs.is_some()), ("--source", !self.source.is_empty())] {
            if given {
                let message =
                    format!("goes with --task pairs or continual, and the task is '{}'", c.task.name());
                return Err(Error::config(flag, message));
            }
        }
        if c.task == TaskKind::Series {
            self.set_series(&mut c)?;
            c.validate()?;
            return Ok(c);
        }
        for (flag, given) in [
            ("--series", self.series.is_some()),
            ("--time", self.time.is_some()),
            ("--order", self.order.is_some()),
        ] {
            if given && c.task != TaskKind::Csv {
                let tasks = if flag == "--order" { "csv" } else { "csv, series or pictures" };
                let message = format!("goes with --task {tasks}, and the task is '{}'", c.task.name());
                return Err(Error::config(flag, message));
            }
        }
        if matches!(c.task, TaskKind::Text | TaskKind::Texts) {
            self.set_text(&mut c)?;
            c.validate()?;
            return Ok(c);
        }
        if !self.files.is_empty() {
            let message = format!("goes with --task text or texts, and the task is '{}'", c.task.name());
            return Err(Error::config("--files", message));
        }
        if self.order.as_deref() == Some("") {
            return Err(Error::config("--order", "names no column"));
        }
        let names_csv =
            [&self.group, &self.target, &self.series, &self.time, &self.order].iter().any(|c| c.is_some())
                || self.csv.is_some()
                || self.splits.is_some();
        if names_csv || !self.inputs.is_empty() || !self.drop.is_empty() {
            let csv = c.csv.get_or_insert_with(CsvConfig::default);
            if let Some(f) = &self.csv {
                csv.file = f.clone();
            }
            let columns = [&mut csv.group, &mut csv.target, &mut csv.series, &mut csv.time, &mut csv.order];
            put(columns, [&self.group, &self.target, &self.series, &self.time, &self.order]);
            if !self.inputs.is_empty() {
                csv.inputs = self.inputs.clone();
            }
            if !self.drop.is_empty() {
                csv.drop = self.drop.clone();
            }
            if let Some(s) = &self.splits {
                csv.splits = Some(s.clone());
            }
        }
        let single = [
            ("--train", self.train.is_some()),
            ("--test", self.test.is_some()),
            ("--label", self.label.is_some()),
            ("--epochs", self.epochs.is_some()),
        ];
        if let Some((flag, _)) = single.iter().find(|f| f.1) {
            let message = format!(
                "goes with --task pictures, one task of many rows, and the task is '{}'",
                c.task.name()
            );
            return Err(Error::config(*flag, message));
        }
        if c.task == TaskKind::Fields {
            let fields = c.fields.get_or_insert_with(FieldsConfig::default);
            if let Some(path) = &self.images {
                fields.train = path.clone();
            }
            if self.test_images.is_some() {
                fields.test.clone_from(&self.test_images);
            }
        }
        let pictures = [&self.images, &self.labels, &self.test_images, &self.test_labels];
        if c.task != TaskKind::Fields && pictures.iter().any(|p| p.is_some()) {
            let (train, others) = if c.task == TaskKind::Decoders {
                let d = c.decoders.get_or_insert_with(DecodersConfig::default);
                (&mut d.train, [&mut d.train_labels, &mut d.test, &mut d.test_labels])
            } else {
                let i = c.images.get_or_insert_with(ImagesConfig::default);
                (&mut i.train, [&mut i.train_labels, &mut i.test, &mut i.test_labels])
            };
            if let Some(path) = &self.images {
                train.clone_from(path);
            }
            for (to, path) in others.into_iter().zip([&self.labels, &self.test_images, &self.test_labels]) {
                if path.is_some() {
                    to.clone_from(path);
                }
            }
        }
        if let Some(k) = &self.kind {
            let kind = match k.as_str() {
                "regression" => hyperloom::data::TargetKind::Regression,
                "classification" => hyperloom::data::TargetKind::Classification,
                other => {
                    return Err(Error::config(
                        "--kind",
                        format!("'{other}' is neither regression nor classification"),
                    ));
                }
            };
            c.csv.get_or_insert_with(CsvConfig::default).kind = Some(kind);
        }
        c.validate()?;
        Ok(c)
    }
}

impl Settings {
    /// Puts what is said of a text into the configuration; refuses flags that it has no use for.
    fn set_text(&self, c: &mut Config) -> Result<()> {
        let many = c.task == TaskKind::Texts;
        let known = |flag: &str| TEXT_FLAGS.contains(&flag) || many && TEXTS_FLAGS.contains(&flag);
        if let Some((flag, _)) = self.flags().into_iter().find(|(flag, given)| *given && !known(flag)) {
            let why = if flag == "--epochs" { "--steps says how long" } else { "--files names what is read" };
            return Err(Error::config(flag, format!("is nothing for the task '{}': {why}", c.task.name())));
        }
        if many {
            let texts = c.texts.get_or_insert_with(TextsConfig::default);
            if !self.files.is_empty() {
                texts.files.clone_from(&self.files);
            }
            if self.test.is_some() {
                texts.test.clone_from(&self.test);
            }
            return Ok(());
        }
        let text = c.text.get_or_insert_with(TextConfig::default);
        if !self.files.is_empty() {
            text.files.clone_from(&self.files);
        }
        Ok(())
    }

    /// Puts what is said of series into the configuration; refuses flags that it has no use for.
    fn set_series(&self, c: &mut Config) -> Result<()> {
        let known = |flag: &str| SERIES_FLAGS.contains(&flag);
        if let Some((flag, _)) = self.flags().into_iter().find(|(flag, given)| *given && !known(flag)) {
            let why = match flag {
                "--drop" => "only the columns that --inputs and series.ahead name are read",
                "--splits" => "--seed says which series are judged on",
                "--series" => {
                    "of whole series a class or a value is predicted (--task csv), here what comes next"
                }
                "--kind" => "numbers are predicted",
                "--order" => "their points are in order of --time",
                _ => "--csv names what is read",
            };
            return Err(Error::config(flag, format!("is nothing for the task 'series': {why}")));
        }
        let series = c.series.get_or_insert_with(SeriesConfig::default);
        if let Some(file) = &self.csv {
            series.file.clone_from(file);
        }
        put(
            [&mut series.group, &mut series.time, &mut series.target],
            [&self.group, &self.time, &self.target],
        );
        if !self.inputs.is_empty() {
            series.inputs.clone_from(&self.inputs);
        }
        Ok(())
    }

    /// Puts what is said of pairs into the configuration; refuses flags that it has no use for.
    fn set_pairs(&self, c: &mut Config) -> Result<()> {
        let many = c.task == TaskKind::Dictionaries;
        let known =
            |flag: &str| PAIRS_FLAGS.contains(&flag) || many && ["--group", "--shots"].contains(&flag);
        if let Some((flag, _)) = self.flags().into_iter().find(|(flag, given)| *given && !known(flag)) {
            let why = match flag {
                "--epochs" => "--steps says how long",
                "--group" => "with --task dictionaries each group is a task",
                _ => "--pairs names what is read",
            };
            return Err(Error::config(flag, format!("is nothing for the task '{}': {why}", c.task.name())));
        }
        let mut own = String::new();
        let (file, columns) = if many {
            let d = c.dictionaries.get_or_insert_with(DictionariesConfig::default);
            (&mut d.file, [&mut d.group, &mut d.source, &mut d.target])
        } else {
            let p = c.pairs.get_or_insert_with(PairsConfig::default);
            (&mut p.file, [&mut own, &mut p.source, &mut p.target])
        };
        if let Some(given) = &self.pairs {
            file.clone_from(given);
        }
        let source = match &self.source[..] {
            [] => None,
            [one] => Some(one.clone()),
            _ => return Err(Error::config("--source", "names the column of the sources: one")),
        };
        put(columns, [&self.group, &source, &self.target]);
        Ok(())
    }

    /// Puts what is said of rows with classes into the configuration of a single task; refuses flags that it has no use for.
    fn set_pictures(&self, c: &mut Config) -> Result<()> {
        let flags = [
            ("--images", self.images.is_some(), "--train names what is trained on"),
            ("--test-images", self.test_images.is_some(), "--test names what is judged on"),
            ("--shots", self.shots.is_some(), "there are no support rows"),
            ("--csv", self.csv.is_some(), "--train names what is trained on"),
            ("--group", self.group.is_some(), "rows belong to no groups"),
            ("--target", self.target.is_some(), "--label names the column of classes"),
            ("--inputs", !self.inputs.is_empty(), "--drop leaves columns out"),
            ("--splits", self.splits.is_some(), "--test names what is judged on"),
            ("--kind", self.kind.is_some(), "rows have classes"),
            ("--files", !self.files.is_empty(), "--train names what is trained on"),
            ("--pairs", self.pairs.is_some(), "--train names what is trained on"),
            ("--source", !self.source.is_empty(), "rows have classes"),
        ];
        if let Some((flag, _, why)) = flags.iter().find(|f| f.1) {
            return Err(Error::config(*flag, format!("is nothing for the task 'pictures': {why}")));
        }
        let pictures = c.pictures.get_or_insert_with(PicturesConfig::default);
        if let Some(path) = &self.train {
            pictures.train = path.clone();
        }
        for (to, path) in [
            (&mut pictures.train_labels, &self.labels),
            (&mut pictures.test, &self.test),
            (&mut pictures.test_labels, &self.test_labels),
        ] {
            if path.is_some() {
                to.clone_from(path);
            }
        }
        let columns = [&mut pictures.label, &mut pictures.series, &mut pictures.time];
        put(columns, [&self.label, &self.series, &self.time]);
        if !self.drop.is_empty() {
            pictures.drop.clone_from(&self.drop);
        }
        // Steps that are asked for win over a file's epochs.
        if self.epochs.is_some() || self.steps.is_some() {
            pictures.epochs = self.epochs;
        }
        Ok(())
    }
}

/// Puts names of columns, as far as they are given, into settings.
fn put<const N: usize>(settings: [&mut String; N], given: [&Option<String>; N]) {
    for (to, column) in settings.into_iter().zip(given) {
        if let Some(column) = column {
            to.clone_from(column);
        }
    }
}

/// The setting that `--net` stands for: a name as it is, of a file its layers.
fn net_setting(net: &str) -> Result<String> {
    if !net.ends_with(".toml") {
        return Ok(format!("model.net={net}"));
    }
    let path = Path::new(net);
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let wrong = |message: String| Error::config(net, message);
    let table: toml::Table = text.parse().map_err(|e| wrong(format!("{e}")))?;
    if let Some(key) = table.keys().find(|key| !["net", "model"].contains(&key.as_str())) {
        return Err(wrong(format!(
            "holds '{key}': layers of a net, in blocks [[net]], are all that is read here"
        )));
    }
    let layers = table.get("net").or_else(|| table.get("model").and_then(|m| m.get("net")));
    match layers {
        Some(layers) => {
            // What is wrong with them is said of this file.
            Config::parse(&format!("model.net = {layers}"), net, None).map_err(|e| match e {
                Error::Config { message, .. } => wrong(message),
                other => other,
            })?;
            Ok(format!("model.net={layers}"))
        }
        None => Err(wrong("holds no list of layers: each begins with a line [[net]]".into())),
    }
}

/// Opens the device that was asked for and says which one, and why.
fn open_device(request: &str) -> Result<Device> {
    let (device, reason) = Device::choose(request)?;
    log::info!("device: {reason}");
    Ok(if no_regions() { device.without_regions() } else { device })
}

/// Whether every launch is to run by itself.
fn no_regions() -> bool {
    NO_REGIONS.get().is_some_and(|no| *no)
}

/// Refuses to write over a file.
fn check_new(out: &Path) -> Result<()> {
    match out.exists() {
        false => Ok(()),
        true => Err(Error::config(
            "--out",
            format!("{} exists and is not overwritten; name another file", out.display()),
        )),
    }
}

/// Refuses to write a picture into a file whose name says otherwise.
fn check_png(out: &Path) -> Result<()> {
    match out.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) {
        true => Ok(()),
        false => Err(Error::config(
            "--out",
            format!("{} has to end in .png: that is what is written", out.display()),
        )),
    }
}

/// Refuses more steps of adaptation than make sense.
fn check_steps(steps: Option<usize>) -> Result<()> {
    match steps {
        Some(k) if k > MAX_ADAPT_STEPS => Err(Error::config(
            "--steps",
            format!("{k} is out of range: it must lie from 0 to {MAX_ADAPT_STEPS}"),
        )),
        _ => Ok(()),
    }
}

/// Prints. Where the reader went away (`| head`) the command ends as one that the signal ended; `print!` would panic.
fn say(text: impl std::fmt::Display) {
    say_bytes(text.to_string().as_bytes());
}

/// The same of bytes, which may be no text.
fn say_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(bytes).and_then(|()| out.flush()) {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(128 + 13);
        }
        aside(remark("error", format_args!("standard output: cannot write: {e}")));
        std::process::exit(2);
    }
}

/// A line on standard error, read or not.
fn aside(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What a person is told beside the results.
fn hint(text: impl std::fmt::Display) {
    match told() {
        Told::Json => aside(json!({ "level": "info", "message": text.to_string() })),
        _ => aside(text),
    }
}

/// The same of what goes wrong, or might.
fn remark(level: &str, text: impl std::fmt::Display) -> String {
    match told() {
        Told::Json => json!({ "level": level, "message": text.to_string() }).to_string(),
        _ => format!("{level}: {text}"),
    }
}

/// Has the library's log written as it goes.
fn log_to_stderr(level: Option<LogLevel>) {
    let filter = level.and_then(|l| l.to_possible_value()).map(|l| l.get_name().to_string());
    let mut log = match filter {
        // Of other crates what is wrong.
        Some(level) => {
            let others = if ["off", "error"].contains(&&*level) { &*level } else { "warn" };
            let mut log = env_logger::Builder::new();
            log.parse_filters(&format!("{others},hyperloom={level}"));
            log
        }
        None => {
            env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn,hyperloom=info"))
        }
    };
    log.format(|out, record| {
        writeln!(out, "{}", remark(&record.level().as_str().to_lowercase(), record.args()))
    })
    .init();
}

/// Mesa's window-system layer prints an error where no session gives this folder; we open no window.
fn quiet_drivers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first thing the process does; there is no other thread yet.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

/// A number in a table: four significant digits.
fn figure(x: f64) -> String {
    if !x.is_finite() {
        return format!("{x}");
    }
    // Neither zeros alone nor hundreds of digits.
    if x != 0.0 && !(1e-5..1e9).contains(&x.abs()) {
        return format!("{x:.3e}");
    }
    let digits = (3 - x.abs().max(1e-12).log10().floor() as i32).clamp(0, 6) as usize;
    format!("{x:.digits$}")
}

pub(crate) fn main() -> ExitCode {
    quiet_drivers();
    let cli = Cli::parse();
    let _ = NO_REGIONS.set(cli.no_regions);
    let _ = PROGRESS.set(cli.progress);
    log_to_stderr(cli.log_level);
    let done = match cli.command {
        Command::Train(a) => train::run(&a),
        Command::Adapt(a) => adapt::run(&a),
        Command::Export(a) => export::run(&a),
        Command::Compress(a) => compress::run(&a),
        Command::Predict(a) => predict::run(&a),
        Command::Encode(a) => encode::run(&a),
        Command::Decode(a) => decode::run(&a),
        Command::Sample(a) => sample::run(&a),
        Command::Generate(a) => generate::run(&a),
        Command::Translate(a) => translate::run(&a),
        Command::Eval(a) => eval::run(&a),
        Command::Explain(a) => explain::run(&a),
        Command::Inspect(a) => inspect::run(&a),
        Command::Plan(a) => plan::run(&a),
        Command::Bench(a) => bench::run(&a),
        Command::Profile(a) => profile::run(&a),
        Command::Joint(a) => joint::run(&a),
        Command::Sweep(a) => sweep::run(&a),
        Command::Search(a) => search::run(&a),
        Command::Rollout(a) => rollout::run(&a),
        Command::Completions(a) => shell::completions(&a),
        Command::Man(a) => shell::man(&a),
        #[cfg(feature = "gpu")]
        Command::Check(a) => check::run(&a),
        #[cfg(feature = "gpu")]
        Command::Devices(a) => devices::run(&a),
        #[cfg(feature = "gpu")]
        Command::Kernels(a) => kernels::run(&a),
    };
    match done {
        Ok(code) => code,
        Err(e) => {
            aside(remark("error", e));
            ExitCode::from(2)
        }
    }
}
