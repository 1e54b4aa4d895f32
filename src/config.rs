//! Configuration: every setting of a run in one TOML file, validated at the border so that inner code may
//! assert. Defaults depend on the task; the resolved file is written into the run folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::TargetKind;
use crate::error::{Error, Result, nearest};
use crate::meta::inner::{Part, Rates, Rule};
use crate::meta::objective::Through;
use crate::optim::Optimiser;
use crate::spec::Activation;

/// The most steps of adaptation.
pub const MOST_STEPS: usize = 100_000;

/// Families of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// Sine waves of random amplitude and phase.
    #[default]
    Sine,
    /// Signed-distance fields of random 2-D shapes.
    Shapes,
    /// The groups of a CSV file.
    Csv,
    /// A few classes of pictures each.
    Images,
}

impl TaskKind {
    /// All names, for messages.
    pub const NAMES: [&'static str; 4] = ["sine", "shapes", "csv", "images"];

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        TaskKind::NAMES[self as usize]
    }

    /// The kind of that name.
    pub fn parse(name: &str, origin: &str) -> Result<TaskKind> {
        match name {
            "sine" => Ok(TaskKind::Sine),
            "shapes" => Ok(TaskKind::Shapes),
            "csv" => Ok(TaskKind::Csv),
            "images" => Ok(TaskKind::Images),
            other => {
                let hint = nearest(other, TaskKind::NAMES)
                    .map_or(String::new(), |n| format!(" (did you mean '{n}'?)"));
                let known = TaskKind::NAMES.join(", ");
                Err(Error::config(origin, format!("no task family '{other}'{hint}: there are {known}")))
            }
        }
    }
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The family of tasks.
    pub task: TaskKind,
    /// `auto`, `cpu`, `gpu`, or `gpu:N`.
    pub device: String,
    /// Seed of everything that is drawn; of `csv` also the split.
    pub seed: u64,
    /// Outer loop.
    pub train: TrainConfig,
    /// Networks.
    pub model: ModelConfig,
    /// Adaptation of the generated weights.
    pub adapt: AdaptConfig,
    /// Held-out tasks.
    pub eval: EvalConfig,
    /// The grouped CSV file, for `task = "csv"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvConfig>,
    /// The pictures, for `task = "images"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagesConfig>,
}

/// The outer loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Steps of the hypernetwork.
    pub steps: u64,
    /// Tasks a step.
    pub tasks: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// What is left of the learning rate at the end of the cosine, as a fraction.
    pub floor: f64,
    /// Largest global norm of the gradient.
    pub clip: f64,
    /// λ of `λ · mean ‖w‖²` on the generated weights.
    pub weight_penalty: f64,
    /// λ of `-λ · ln(10⁻⁶ + the variance of generated weights between tasks)`.
    pub diversity: f64,
    /// λ: share of the main network's own loss, `λ L_main(θ) + (1 - λ) L_meta(θ, φ)`; θ is what every task's weights are a
    /// correction to.
    pub main: f64,
    /// Parameters of the hypernetwork that are not trained, by name or the first parts of it: "encoder", "trunk.0", "head",
    /// "embedding".
    pub freeze: Vec<String>,
    /// A finished run whose hypernetwork training starts from: of another family, with the same shapes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Fewest support rows of a training episode (`sine`, `shapes`; 0: always `eval.shots`).
    pub fewest: usize,
    /// Optimiser.
    pub optimiser: Optimiser,
    /// Steps of the pooled network: the baseline, and where asked for the start of the hypernetwork.
    pub pooled_steps: u64,
    /// Peak learning rate of the pooled network.
    pub pooled_rate: f64,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
}

/// Where the generated weights start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At a fresh initialisation of the target.
    Fresh,
    /// At the pooled network's weights: the hypernetwork writes a correction.
    Pooled,
}

/// Where a task's weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A hypernetwork writes them.
    Generated,
    /// All tasks start with the same, learned weights (MAML and its kin).
    Shared,
}

/// Names for ways of adaptation: each stands for settings of `[adapt]` and `[model]`, any of which may be given beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Generated weights, fine-tuned at test only.
    FineTune,
    /// Model-agnostic meta-learning, second order (Finn et al. 2017).
    Maml,
    /// The same, first order.
    Fomaml,
    /// Reptile (Nichol et al. 2018).
    Reptile,
    /// The last layer only (Raghu et al. 2020).
    Anil,
    /// Context parameters only (Zintgraf et al. 2019).
    Cavia,
    /// A learned step size for each weight (Li et al. 2017).
    MetaSgd,
    /// Generated weights, the last layer in closed form (Bertinetto et al. 2019; Harrison et al. 2018).
    Ridge,
}

impl Method {
    /// The one that a family of tasks has by default.
    fn of(task: TaskKind) -> Method {
        match task {
            // Of values in a table the closed form does better (`hyperloom train` sees which it is).
            TaskKind::Sine | TaskKind::Shapes | TaskKind::Csv => Method::FineTune,
            TaskKind::Images => Method::Ridge,
        }
    }

    /// All names, for messages.
    pub const NAMES: [&'static str; 8] =
        ["fine-tune", "maml", "fomaml", "reptile", "anil", "cavia", "meta-sgd", "ridge"];

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        Method::NAMES[self as usize]
    }
}

/// The networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Where a task's weights come from.
    pub weights: Source,
    /// Context parameters: further inputs of the target that are the task's own.
    pub context: usize,
    /// Hidden widths of the target network.
    pub target: Vec<usize>,
    /// Activation of the target network.
    pub activation: Activation,
    /// Factor on the initial weights of the target's first layer: ω₀ of Sitzmann et al. 2020 (SIREN), which
    /// gives a `sin` network fine detail.
    pub omega: f64,
    /// Widths of the set encoder's layers.
    pub encoder: Vec<usize>,
    /// Width of a learned embedding of each known task (`csv`; 0: none). Unknown tasks share one.
    pub embedding: usize,
    /// Hidden widths of the hypernetwork's trunk.
    pub trunk: Vec<usize>,
    /// Activation of encoder and trunk.
    pub hyper_activation: Activation,
    /// Where the generated weights start.
    pub start: Start,
    /// Whether group-level constant columns are read as a descriptor (`csv`).
    pub descriptor: bool,
    /// Models trained on different folds of the training groups, whose predictions are averaged (`csv`).
    pub members: usize,
}

/// Adaptation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptConfig {
    /// A name for the settings below.
    pub method: Method,
    /// What a step does.
    pub rule: Rule,
    /// What it changes.
    pub of: Part,
    /// Whether step sizes are learned.
    pub rates: Rates,
    /// Step size on the support loss (where it is learned: its start).
    pub rate: f64,
    /// Largest norm of a task's gradient.
    pub clip: f64,
    /// How training sees adaptation.
    pub through: Through,
    /// Steps of adaptation in training.
    pub train_steps: usize,
    /// Share of training in which the losses after all of these steps count (MAML++).
    pub per_step: f64,
    /// Whether pooled, generated and adapted networks are weighed for each task by the evidence of its support.
    pub gate: bool,
    /// Numbers of steps that are tried; the best on validation tasks is chosen.
    pub steps: Vec<usize>,
}

/// Held-out tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// Number of support rows of held-out tasks; in training, up to this many.
    pub shots: usize,
    /// Query rows of a training episode, at most.
    pub query: usize,
    /// Held-out tasks (of `csv`: the test groups, whatever this says).
    pub tasks: usize,
    /// Numbers of shots that `eval` compares.
    pub sweep: Vec<usize>,
}

/// A grouped CSV file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvConfig {
    /// The file.
    pub file: PathBuf,
    /// Column that tells tasks apart.
    pub group: String,
    /// Column to predict.
    pub target: String,
    /// Input columns; none named: every other column.
    pub inputs: Vec<String>,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// File of splits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splits: Option<PathBuf>,
    /// `regression` or `classification`; not given: by the target's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<TargetKind>,
}

/// Pictures sorted into classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesConfig {
    /// Pictures to train on and choose by: an IDX file, or a folder of PNG files with a folder for each class.
    pub train: PathBuf,
    /// The IDX file of their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_labels: Option<PathBuf>,
    /// Pictures of other classes, to be judged on (not given: a fifth of the classes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The IDX file of their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<PathBuf>,
    /// Classes of a task; `eval.shots` and `eval.query` count pictures of each.
    pub ways: usize,
    /// Whether a picture turned by a quarter counts as another class, in training.
    pub rotations: bool,
    /// Whether pictures are shifted a little at random, in training.
    pub shifts: bool,
}

impl Default for ImagesConfig {
    fn default() -> ImagesConfig {
        ImagesConfig {
            train: PathBuf::new(),
            train_labels: None,
            test: None,
            test_labels: None,
            ways: 5,
            rotations: true,
            shifts: true,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::of(TaskKind::Sine)
    }
}
impl Default for TrainConfig {
    fn default() -> TrainConfig {
        Config::of(TaskKind::Sine).train
    }
}
impl Default for ModelConfig {
    fn default() -> ModelConfig {
        Config::of(TaskKind::Sine).model
    }
}
impl Default for AdaptConfig {
    fn default() -> AdaptConfig {
        Config::of(TaskKind::Sine).adapt
    }
}
impl Default for EvalConfig {
    fn default() -> EvalConfig {
        Config::of(TaskKind::Sine).eval
    }
}

impl Config {
    /// The defaults of a family of tasks.
    pub fn of(task: TaskKind) -> Config {
        Config::with_method(task, Method::of(task))
    }

    /// What the defaults of all ways of adaptation have in common.
    fn base(task: TaskKind) -> Config {
        let sine = Config {
            task,
            device: "auto".into(),
            seed: 0,
            train: TrainConfig {
                steps: 10_000,
                tasks: 25,
                learning_rate: 1e-3,
                warmup: 100,
                floor: 0.02,
                clip: 10.0,
                weight_penalty: 0.0,
                diversity: 0.0,
                main: 0.0,
                freeze: vec![],
                from: None,
                fewest: 3,
                optimiser: Optimiser::default(),
                pooled_steps: 2_000,
                pooled_rate: 1e-3,
                checkpoint_seconds: 20.0,
            },
            model: ModelConfig {
                weights: Source::Generated,
                context: 0,
                target: vec![40, 40],
                activation: Activation::Relu,
                omega: 1.0,
                encoder: vec![64, 64],
                embedding: 0,
                trunk: vec![128],
                hyper_activation: Activation::Relu,
                start: Start::Fresh,
                descriptor: false,
                members: 1,
            },
            adapt: AdaptConfig {
                method: Method::FineTune,
                rule: Rule::Sgd,
                of: Part::All,
                rates: Rates::Fixed,
                rate: 0.01,
                clip: 10.0,
                through: Through::None,
                train_steps: 1,
                per_step: 0.0,
                gate: false,
                steps: vec![0, 1, 5, 10],
            },
            eval: EvalConfig { shots: 10, query: 10, tasks: 2_000, sweep: vec![5, 10, 20] },
            csv: None,
            images: None,
        };
        match task {
            TaskKind::Sine => sine,
            TaskKind::Shapes => Config {
                train: TrainConfig {
                    steps: 5_000,
                    learning_rate: 2e-3,
                    floor: 0.01,
                    clip: 1.0,
                    fewest: 16,
                    ..sine.train
                },
                model: ModelConfig {
                    target: vec![32, 32],
                    activation: Activation::Sin,
                    omega: 10.0,
                    encoder: vec![128, 128],
                    trunk: vec![128],
                    hyper_activation: Activation::Silu,
                    ..sine.model
                },
                adapt: AdaptConfig { rate: 0.2, clip: 1.0, steps: vec![0, 1, 10, 100, 500], ..sine.adapt },
                eval: EvalConfig { shots: 64, query: 64, tasks: 200, sweep: vec![16, 32, 64] },
                ..sine
            },
            TaskKind::Csv => Config {
                train: TrainConfig {
                    steps: 1_000,
                    tasks: 32,
                    warmup: 50,
                    clip: 1.0,
                    pooled_steps: 1_000,
                    ..sine.train
                },
                model: ModelConfig {
                    target: vec![32, 32],
                    activation: Activation::Tanh,
                    encoder: vec![32, 32],
                    trunk: vec![32],
                    hyper_activation: Activation::LeakyRelu,
                    start: Start::Pooled,
                    members: 5,
                    ..sine.model
                },
                adapt: AdaptConfig {
                    rate: 0.03,
                    clip: 1.0,
                    steps: vec![0, 1, 2, 5, 10, 20, 50, 100, 200],
                    ..sine.adapt
                },
                eval: EvalConfig { shots: 5, query: 16, tasks: 0, sweep: vec![1, 2, 5, 10] },
                csv: Some(CsvConfig::default()),
                ..sine
            },
            TaskKind::Images => Config {
                train: TrainConfig { steps: 10_000, tasks: 16, clip: 1.0, pooled_steps: 1, ..sine.train },
                model: ModelConfig {
                    weights: Source::Shared,
                    target: vec![256, 128, 64],
                    encoder: vec![128, 64],
                    ..sine.model
                },
                adapt: AdaptConfig { rate: 0.1, steps: vec![0, 1, 5, 20], ..sine.adapt.clone() },
                eval: EvalConfig { shots: 1, query: 15, tasks: 600, sweep: vec![1, 5] },
                images: Some(ImagesConfig::default()),
                ..sine
            },
        }
    }

    /// The defaults of a family of tasks with a way of adaptation.
    pub fn with_method(task: TaskKind, method: Method) -> Config {
        let mut c = Config::base(task);
        let (a, m) = (&mut c.adapt, &mut c.model);
        a.method = method;
        if !matches!(method, Method::FineTune | Method::Ridge) {
            m.weights = Source::Shared;
            m.start = Start::Fresh;
            a.through = Through::Second;
            a.train_steps = 5;
            // Steps that training sees are long; a cosine down to nothing leaves much to be learned.
            a.clip = 50.0;
            c.train.floor = 0.3;
            c.train.fewest = 0;
        }
        match method {
            Method::FineTune | Method::Maml => {}
            Method::Fomaml => a.through = Through::First,
            Method::Reptile => a.through = Through::Reptile,
            Method::Anil => a.of = Part::Head,
            Method::Cavia => {
                m.context = 5;
                (a.of, a.rate, a.train_steps) = (Part::Context, 1.0, 1);
            }
            Method::MetaSgd => (a.rates, a.train_steps) = (Rates::Weight, 1),
            Method::Ridge => {
                (a.rule, a.of, a.through, a.train_steps) = (Rule::Ridge, Part::Head, Through::Second, 1);
                a.steps = vec![0, 1];
                a.gate = task == TaskKind::Csv;
            }
        }
        c
    }

    /// Reads a file: its settings over the defaults of its task (or of `task`, which wins).
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Config`] naming the line and the nearest known key.
    pub fn read(path: &Path, task: Option<TaskKind>) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Config::parse(&text, &path.display().to_string(), task)
    }

    /// [`Config::read`] on a text; `origin` names it in errors.
    pub fn parse(text: &str, origin: &str, task: Option<TaskKind>) -> Result<Config> {
        Config::parse_over(text, origin, task, &[])
    }

    /// [`Config::parse`], with single settings `KEY=VALUE` (`adapt.rate=0.1`) that win over the text.
    pub fn parse_over(text: &str, origin: &str, task: Option<TaskKind>, over: &[String]) -> Result<Config> {
        let mut given = table(text, origin)?;
        for setting in over {
            let Some((key, value)) = setting.split_once('=') else {
                return Err(Error::config(
                    setting,
                    "is no setting: KEY=VALUE is needed, for example adapt.rate=0.1",
                ));
            };
            // A word without quotes is text.
            let line = format!("{key} = {value}");
            let line = match toml::from_str::<toml::Table>(&line) {
                Ok(_) => line,
                Err(_) => format!("{key} = {}", toml::Value::String(value.to_string())),
            };
            merge(&mut given, table(&line, &format!("'{setting}'"))?);
        }
        let own: Config = given
            .clone()
            .try_into()
            .map_err(|e: toml::de::Error| Error::config(origin, e.message().to_string()))?;
        let task_kind = task.unwrap_or(own.task);
        let names_method =
            given.get("adapt").and_then(|a| a.as_table()).is_some_and(|a| a.contains_key("method"));
        let method = if names_method { own.adapt.method } else { Method::of(task_kind) };
        let defaults = Config::with_method(task_kind, method);
        let mut merged =
            toml::Table::try_from(&defaults).map_err(|e| Error::config(origin, e.to_string()))?;
        merge(&mut merged, given);
        if let Some(task) = task {
            merged.insert("task".into(), task.name().into());
        }
        toml::Value::Table(merged).try_into().map_err(|e: toml::de::Error| Error::config(origin, e.message()))
    }

    /// Whether a text or single settings say anything of adaptation.
    pub fn says_how_to_adapt(text: &str, over: &[String]) -> bool {
        toml::from_str::<toml::Table>(text).is_ok_and(|t| t.contains_key("adapt"))
            || over.iter().any(|s| s.trim_start().starts_with("adapt."))
    }

    /// The file that gives this configuration back.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config("configuration", e.to_string()))
    }

    /// Refuses what makes no sense; each message says what would be right.
    pub fn validate(&self) -> Result<()> {
        let fail = |key: &str, message: String| Err(Error::config(key, message));
        let t = &self.train;
        for (key, value, low, high) in [
            ("train.steps", t.steps as f64, 1.0, 1e9),
            ("train.tasks", t.tasks as f64, 1.0, 1e6),
            ("train.pooled_steps", t.pooled_steps as f64, 1.0, 1e9),
            ("train.fewest", t.fewest as f64, 0.0, 1e5),
            ("adapt.train_steps", self.adapt.train_steps as f64, 1.0, 1e4),
            ("model.context", self.model.context as f64, 0.0, 4096.0),
            ("eval.shots", self.eval.shots as f64, 1.0, 1e5),
            ("eval.query", self.eval.query as f64, 1.0, 1e5),
            ("eval.tasks", self.eval.tasks as f64, 0.0, 1e6),
            ("model.members", self.model.members as f64, 1.0, 100.0),
        ] {
            if !(low..=high).contains(&value) {
                return fail(key, format!("{value} is out of range: it must lie from {low} to {high}"));
            }
        }
        for (key, value) in [
            ("train.learning_rate", t.learning_rate),
            ("train.pooled_rate", t.pooled_rate),
            ("train.clip", t.clip),
            ("model.omega", self.model.omega),
            ("adapt.rate", self.adapt.rate),
            ("adapt.clip", self.adapt.clip),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return fail(
                    key,
                    format!("{value} is not a step size or bound: it must be positive and finite"),
                );
            }
        }
        if !(0.0..=1.0).contains(&t.floor) {
            return fail("train.floor", format!("{} is no fraction: it must lie from 0 to 1", t.floor));
        }
        for (key, value) in [("train.weight_penalty", t.weight_penalty), ("train.diversity", t.diversity)] {
            if !(value >= 0.0 && value.is_finite()) {
                return fail(key, format!("{value} is out of range: it must be 0 or more"));
            }
        }
        for (key, value) in [("train.main", t.main), ("adapt.per_step", self.adapt.per_step)] {
            if !(0.0..=1.0).contains(&value) {
                return fail(key, format!("{value} is out of range: it must lie from 0 to 1"));
            }
        }
        if t.checkpoint_seconds.is_nan() || t.checkpoint_seconds < 0.0 {
            return fail("train.checkpoint_seconds", format!("{} must be 0 or more", t.checkpoint_seconds));
        }
        for (key, widths) in [
            ("model.target", &self.model.target),
            ("model.encoder", &self.model.encoder),
            ("model.trunk", &self.model.trunk),
        ] {
            if let Some(w) = widths.iter().find(|w| !(1..=65_536).contains(*w)) {
                return fail(key, format!("a layer of width {w}: widths lie from 1 to 65536"));
            }
            if widths.len() > 64 {
                return fail(key, format!("{} layers: at most 64", widths.len()));
            }
        }
        // TOML has no larger integers: the file in the run folder could not say it.
        if i64::try_from(self.seed).is_err() {
            return fail(
                "seed",
                format!("{} is out of range: it must lie from 0 to {}", self.seed, i64::MAX),
            );
        }
        t.optimiser
            .validate()
            .map_err(|(key, message)| Error::config(format!("train.optimiser.{key}"), message))?;
        let known_tasks = self.task == TaskKind::Csv;
        if self.model.embedding > 4096 || (self.model.embedding > 0 && !known_tasks) {
            return fail(
                "model.embedding",
                "an embedding of known tasks needs the task 'csv', and at most 4096 numbers".into(),
            );
        }
        if self.model.descriptor && !known_tasks {
            return fail("model.descriptor", "only the task 'csv' has columns to describe a task by".into());
        }
        self.validate_adaptation()?;
        let generated = self.model.weights == Source::Generated;
        if generated && self.model.encoder.is_empty() && self.model.embedding == 0 && !self.model.descriptor {
            return fail(
                "model.encoder",
                "the hypernetwork would read nothing: give the set encoder a layer at least, for example [64, 64]".into(),
            );
        }
        if self.adapt.steps.is_empty() || self.adapt.steps.iter().any(|k| *k > MOST_STEPS) {
            return fail(
                "adapt.steps",
                "a list of step numbers is needed, for example [0, 1, 5, 10], none above 100000".into(),
            );
        }
        if self.eval.sweep.is_empty() || self.eval.sweep.iter().any(|k| !(1..=100_000).contains(k)) {
            return fail(
                "eval.sweep",
                "a list of numbers of shots is needed, for example [5, 10, 20], each from 1 to 100000".into(),
            );
        }
        match (&self.images, self.task) {
            (Some(i), TaskKind::Images) => {
                if i.train.as_os_str().is_empty() {
                    return fail("images.train", "is missing: give --images FILE, or a folder".into());
                }
                if !(2..=1000).contains(&i.ways) {
                    return fail(
                        "images.ways",
                        format!("{} is out of range: it must lie from 2 to 1000", i.ways),
                    );
                }
            }
            (Some(_), task) => {
                let message =
                    format!("pictures are given, but the task is '{}': add --task images", task.name());
                return fail("images", message);
            }
            (None, TaskKind::Images) => return fail("images", "the task 'images' needs --images".into()),
            (None, _) => {}
        }
        match (&self.csv, self.task) {
            (Some(c), TaskKind::Csv) => {
                for (key, value, flag) in [
                    ("csv.file", c.file.display().to_string(), "--csv FILE"),
                    ("csv.group", c.group.clone(), "--group COLUMN"),
                    ("csv.target", c.target.clone(), "--target COLUMN"),
                ] {
                    if value.is_empty() {
                        return fail(key, format!("is missing: give {flag}"));
                    }
                }
                Ok(())
            }
            (None, TaskKind::Csv) => {
                fail("csv", "the task 'csv' needs --csv FILE --group COLUMN --target COLUMN".into())
            }
            (Some(_), task) => {
                fail("csv", format!("a CSV file is given, but the task is '{}': add --task csv", task.name()))
            }
            (None, _) => Ok(()),
        }
    }
}

impl Config {
    /// Refuses a way of adaptation that lacks what it works on.
    fn validate_adaptation(&self) -> Result<()> {
        let (a, m, t) = (&self.adapt, &self.model, &self.train);
        let fail = |key: &str, message: &str| Err(Error::config(key, message));
        let generated = m.weights == Source::Generated;
        let ridge = a.rule == Rule::Ridge;
        if ridge && a.of != Part::Head {
            return fail("adapt.of", "the closed form is for the last layer: adapt.of = \"head\"");
        }
        if ridge && !matches!(a.through, Through::Second) {
            return fail(
                "adapt.through",
                "the closed form learns its prior by being trained through: adapt.through = \"second\"",
            );
        }
        if ridge && (a.train_steps != 1 || a.steps.iter().any(|k| *k > 1)) {
            return fail(
                "adapt.steps",
                "the closed form is one step: adapt.train_steps = 1 and adapt.steps = [0, 1]",
            );
        }
        if ridge && a.rates != Rates::Fixed {
            return fail("adapt.rates", "the closed form has no step size: adapt.rates = \"fixed\"");
        }
        if a.gate && !ridge {
            return fail(
                "adapt.gate",
                "only the closed form knows the evidence that networks are weighed by: adapt.method = \"ridge\", or adapt.gate = false",
            );
        }
        if a.of == Part::Context && m.context == 0 {
            return fail("model.context", "adaptation of context parameters needs some: model.context = 5");
        }
        if a.of == Part::Embedding && (m.embedding == 0 || !generated) {
            return fail(
                "model.embedding",
                "adaptation of the embedding needs one that a hypernetwork reads: model.embedding = 8 and \
                 model.weights = \"generated\"",
            );
        }
        if a.through == Through::Reptile && a.of != Part::All {
            return fail("adapt.of", "Reptile moves all weights: adapt.of = \"all\"");
        }
        if a.rates != Rates::Fixed && matches!(a.through, Through::None | Through::Reptile) {
            return fail(
                "adapt.rates",
                "step sizes are learned by training through adaptation: adapt.through = \"second\" (or \"first\")",
            );
        }
        if a.per_step > 0.0 && (matches!(a.through, Through::None | Through::Reptile) || ridge) {
            return fail(
                "adapt.per_step",
                "losses after each step need training through gradient steps: adapt.through = \"second\" (or \"first\")",
            );
        }
        if !generated && a.through == Through::None {
            return fail(
                "adapt.through",
                "shared weights that are not trained through adaptation are the pooled network: adapt.through = \
                 \"second\", \"first\" or \"reptile\", or model.weights = \"generated\"",
            );
        }
        if !generated && (t.diversity > 0.0 || t.main > 0.0) {
            let key = if t.main > 0.0 { "train.main" } else { "train.diversity" };
            return fail(
                key,
                "weights that all tasks share do not differ: 0, or model.weights = \"generated\"",
            );
        }
        Ok(())
    }
}

/// Settings of `over` replace those of `base`, table by table.
fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            // A change of optimiser replaces its constants too.
            (Some(toml::Value::Table(b)), toml::Value::Table(o)) if key != "optimiser" => merge(b, o),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The settings of a text; read as a configuration first, so that errors carry lines.
fn table(text: &str, origin: &str) -> Result<toml::Table> {
    let _: Config = toml::from_str(text).map_err(|e| fault(&e, text, origin))?;
    toml::from_str(text).map_err(|e| fault(&e, text, origin))
}

/// A TOML error as one line: where, what, and the nearest known key.
fn fault(e: &toml::de::Error, text: &str, origin: &str) -> Error {
    let line = e.span().map(|s| text[..s.start.min(text.len())].matches('\n').count() + 1);
    let origin = line.map_or(origin.to_string(), |l| format!("{origin}, line {l}"));
    let mut message = e.message().replace('\n', " ");
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown")
        && let Some((word, known)) = quoted.split_first()
        && let Some(near) = nearest(word, known.iter().copied())
    {
        message = format!("{message}; did you mean `{near}`?");
    }
    Error::Config { origin, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_defaults_of_the_task() -> Result<()> {
        for task in [TaskKind::Sine, TaskKind::Shapes] {
            let c = Config::of(task);
            c.validate()?;
            assert_eq!(Config::parse(&c.to_toml()?, "x", None)?, c);
        }
        let c = Config::parse(
            "task = 'csv'\n[csv]\nfile='a.csv'\ngroup='g'\ntarget='t'\n[train]\nsteps=7\n",
            "x",
            None,
        )?;
        assert_eq!((c.train.steps, c.model.start), (7, Start::Pooled));
        c.validate()?;
        assert_eq!(Config::parse(&c.to_toml()?, "x", None)?, c);
        Ok(())
    }

    #[test]
    fn errors_name_line_and_key() {
        let e = Config::parse("seed = 1\n[train]\nstepz = 3\n", "c.toml", None).map_err(|e| e.to_string());
        let e = e.err().unwrap_or_default();
        assert!(e.contains("line 3") && e.contains("stepz") && e.contains("did you mean `steps`"), "{e}");
        let e = Config::parse("[train]\nsteps = 'many'\n", "c.toml", None).map_err(|e| e.to_string());
        assert!(e.err().unwrap_or_default().contains("line 2"));
        let mut c = Config::of(TaskKind::Sine);
        c.model.target = vec![0];
        assert!(c.validate().is_err());
    }
}
