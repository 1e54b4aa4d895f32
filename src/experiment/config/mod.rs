//! Configuration: every setting of a run in one TOML file, validated at the border so that inner code may
//! assert. Defaults depend on the task; the resolved file is written into the run folder.

mod defaults;
mod validate;
pub(super) use validate::within;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use super::source::{
    CsvConfig, DecodersConfig, DictionariesConfig, FieldsConfig, ImagesConfig, PairsConfig, PicturesConfig,
    SeriesConfig, TaskKind, TextConfig, TextsConfig,
};
use crate::adapt::{Fast, Rates, Rule};
use crate::error::{Error, Result, nearest};
use crate::hyper::{Generator, HyperInit};
use crate::meta::objective::Through;
use crate::net::{Layer, Numbers, preset};
use crate::optim::Optimiser;
use crate::spec::Activation;
use crate::task::Likelihood;

/// The most steps of adaptation.
pub const MAX_ADAPT_STEPS: usize = crate::meta::store::MAX_STEPS;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
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
    /// The rows with their classes, for `task = "pictures"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pictures: Option<PicturesConfig>,
    /// The pictures to fit, for `task = "fields"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<FieldsConfig>,
    /// The pictures to be written, for `task = "decoders"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoders: Option<DecodersConfig>,
    /// The text, for `task = "text"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextConfig>,
    /// Pairs of texts, for `task = "pairs"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairsConfig>,
    /// Pairs of texts by groups, for `task = "dictionaries"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dictionaries: Option<DictionariesConfig>,
    /// Texts, for `task = "texts"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<TextsConfig>,
    /// The series, for `task = "series"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesConfig>,
}

/// The outer loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
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
    #[serde(alias = "floor")]
    pub final_rate_fraction: f64,
    /// Largest global norm of the gradient.
    pub clip: f64,
    /// λ of `λ · mean ‖w‖²` on the generated weights.
    pub weight_penalty: f64,
    /// λ of `-λ · ln(10⁻⁶ + the variance of generated weights between tasks)`.
    pub diversity: f64,
    /// λ: share of the main network's own loss, `λ L_main(θ) + (1 - λ) L_meta(θ, φ)`; θ is what every task's weights are a
    /// correction to.
    #[serde(alias = "main")]
    pub joint_lambda: f64,
    /// Parameters of the hypernetwork that are not trained, by name or the first parts of it: "encoder", "trunk.0", "head",
    /// "embedding".
    pub freeze: Vec<String>,
    /// A finished run whose hypernetwork training starts from: of another family, with the same shapes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Fewest support rows of a training episode (`sine`, `shapes`; 0: always `eval.shots`).
    #[serde(alias = "fewest")]
    pub min_shots: usize,
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
#[non_exhaustive]
pub enum Start {
    /// At a fresh initialisation of the target.
    Fresh,
    /// At the pooled network's weights: the hypernetwork writes a correction.
    Pooled,
}

/// What the target's weights are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum InitScheme {
    /// Uniform in ±1/√fan_in, biases too (PyTorch's layers).
    Uniform,
    /// `N(0, gain / fan_in)`, biases 0 (He et al. 2015); of sines this is as large as SIREN's (Sitzmann et al. 2020).
    He,
}

/// Which layers of a dense target read the context parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ContextAt {
    /// The first (CAVIA).
    First,
    /// All but the last: they are shifted by what is linear in the context (COIN++).
    All,
}

/// Where a task's weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WeightSource {
    /// A hypernetwork writes them.
    Generated,
    /// All tasks start with the same, learned weights (MAML and its kin).
    Shared,
}

/// Names for ways of adaptation: each stands for settings of `[adapt]` and `[model]`, any of which may be given beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// Left to the data: the closed form where values of a table are predicted, fine-tuning where classes are. Each did better there.
    Auto,
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
    /// One network for all tasks, the last layer from class means of its features (Snell et al. 2017).
    Prototypes,
}

impl Method {
    /// The one that a family of tasks has by default.
    fn of(task: TaskKind) -> Method {
        match task {
            TaskKind::Csv | TaskKind::Series => Method::Auto,
            TaskKind::Images => Method::Ridge,
            TaskKind::Fields => Method::Cavia,
            _ => Method::FineTune,
        }
    }

    /// All names, for messages.
    pub const NAMES: [&'static str; 10] = [
        "auto",
        "fine-tune",
        "maml",
        "fomaml",
        "reptile",
        "anil",
        "cavia",
        "meta-sgd",
        "ridge",
        "prototypes",
    ];

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        Method::NAMES[self as usize]
    }
}

/// The networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Where a task's weights come from.
    pub weights: WeightSource,
    /// Context parameters: further inputs of the target that are the task's own.
    pub context: usize,
    /// Which layers of a dense target read them.
    pub context_at: ContextAt,
    /// Hidden widths of the target network, where it is dense.
    pub target: Vec<usize>,
    /// Instead of `target` and `activation`: the layers of the target network before its head. In a file one `[[model.net]]` a layer:
    /// `dense = 32`, `residual = [...]`, each with an `activation` beside it or not ([`Layer`]); or one name for all, `net = "conv4"`
    /// ([`preset`]).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "net")]
    pub net: Option<Vec<Layer>>,
    /// Whether a dense layer with the outputs that tasks need stands behind `net`.
    pub head: bool,
    /// Activation of the target network.
    pub activation: Activation,
    /// How matrices of the target are held wherever it runs, in training too: "f32", "int8" (a scale for each output), "int8-tensor" (one scale) or "int4" (one for
    /// each 32 numbers).
    #[serde(skip_serializing_if = "are_plain")]
    pub numbers: Numbers,
    /// Share of each of these matrices that is 0: its numbers of the smallest size.
    #[serde(skip_serializing_if = "is_none")]
    pub prune: f64,
    /// Scales by which what each of its dense layers and convolutions reads is rounded to eight bits, in the order in which they run; `hyperloom compress` sets them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input_scales: Vec<f64>,
    /// What its weights are drawn from.
    pub init: InitScheme,
    /// Factor on the initial weights of the target's first layer: ω₀ of Sitzmann et al. 2020 (SIREN), which
    /// gives a `sin` network fine detail.
    pub omega: f64,
    /// Layers that read the inputs of an example before the set encoder does, written as those of `net` or as the name of some (a name gives
    /// those before a head): convolutions of pictures, recurrent cells over sequences. They end in rows of one axis.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "net")]
    pub reader: Option<Vec<Layer>>,
    /// Widths of the set encoder's layers.
    pub encoder: Vec<usize>,
    /// Layers that make one of what the set encoder gave for all examples, a set `[examples, width]`, written as those of `net`: attention
    /// (`set_attention`, and `attention_pool` at the end). Not given: the mean.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "net")]
    pub set: Option<Vec<Layer>>,
    /// Width of a learned embedding of each known task (`csv`; 0: none). Unknown tasks share one.
    pub embedding: usize,
    /// How a hypernetwork writes the weights. In a file its name, or a table: `generator = { kind = "chunked", chunk = 512 }`.
    #[serde(deserialize_with = "generator")]
    pub generator: Generator,
    /// What a hypernetwork writes at first: "bias" (the same sound network for every task), "hyperfan-in" or "hyperfan-out" (a network of its own for
    /// each, as large as one that is drawn).
    pub hyper_init: HyperInit,
    /// Which parameters of the target are written, by role ("head", "norm", "code", "decoder") or by name ("3", "3.weight"); all tasks share
    /// the others. Empty: all.
    pub writes: Vec<String>,
    /// How often generated weights are refined: the hypernetwork reads the support again with what the network got wrong of it, and adds a
    /// correction.
    pub rounds: usize,
    /// Hidden widths of the hypernetwork's trunk.
    pub trunk: Vec<usize>,
    /// Activation of encoder and trunk.
    pub hyper_activation: Activation,
    /// Where the generated weights start.
    pub start: Start,
    /// Weights that networks start with in place of drawn ones: a safetensors file that has the target's parameters by name, as PyTorch has them or as hyperloom does, a network
    /// that `adapt` wrote, or a run folder (its pooled network). `train.freeze` holds some as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<PathBuf>,
    /// Weights of one's own that are kept as they are, and that every task's network is a correction to, in place of those of a pooled network that is trained first: a network
    /// that `adapt` or a run over one task wrote, a run folder (its pooled network), or a safetensors file that has the target's parameters by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// Whether group-level constant columns are read as a descriptor (`csv`).
    pub descriptor: bool,
    /// Whether each number of the descriptor is read as a point of the circle, which keeps large numbers from making large weights.
    pub circle: bool,
    /// Random numbers that a hypernetwork reads beside what is known of a task, others for each of `draws` networks (0: none). Where these disagree, the support
    /// leaves it open.
    pub noise: usize,
    /// Networks of a task, where there is noise.
    pub draws: usize,
    /// Models trained on different folds of the training groups, whose predictions are averaged (`csv`, `series`).
    pub members: usize,
}

/// Networks of a task, where there is noise and nothing else is said.
const DRAWS: usize = 8;

/// The weights that every task's are a correction to.
pub(super) const BASE: &str = "head.bias";

impl Config {
    /// Parameters that are not trained: those that are named, and base weights of one's own.
    pub(super) fn frozen(&self) -> Vec<String> {
        let base = self.model.base.is_some().then(|| BASE.to_string());
        self.train.freeze.iter().cloned().chain(base).collect()
    }
}

impl ModelConfig {
    /// Where the generated weights start: base weights of one's own stand for a pooled network's.
    pub(super) fn starts_at(&self) -> Start {
        if self.base.is_some() { Start::Pooled } else { self.start }
    }
}

fn are_plain(numbers: &Numbers) -> bool {
    *numbers == Numbers::F32
}

fn is_none(share: &f64) -> bool {
    *share == 0.0
}

pub(super) fn net<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<Vec<Layer>>, D::Error> {
    use serde::de::Error as _;
    match serde_json::Value::deserialize(from)? {
        serde_json::Value::String(name) => preset(&name),
        list => crate::net::layers(list).map_err(|e| e.to_string()),
    }
    .map(Some)
    .map_err(D::Error::custom)
}

/// A generator by its name, or by a table of its settings.
pub(super) fn generator<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> std::result::Result<Generator, D::Error> {
    use serde::de::Error as _;
    let given = match serde_json::Value::deserialize(from)? {
        serde_json::Value::String(kind) => serde_json::json!({ "kind": kind }),
        table => table,
    };
    serde_json::from_value(given).map_err(D::Error::custom)
}

/// Adaptation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AdaptConfig {
    /// A name for the settings below.
    pub method: Method,
    /// What a step does.
    pub rule: Rule,
    /// What it changes.
    #[serde(alias = "of")]
    pub fast: Fast,
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
#[non_exhaustive]
pub struct EvalConfig {
    /// Number of support rows of held-out tasks; in training, up to this many.
    pub shots: usize,
    /// Query rows of a training episode, at most.
    pub query: usize,
    /// Held-out tasks (of `csv` and `series`: the test groups, whatever this says).
    pub tasks: usize,
    /// Numbers of shots that `eval` compares.
    pub sweep: Vec<usize>,
}

impl Config {
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
        let mut flags = toml::Table::new();
        for setting in over {
            merge(&mut flags, flag(setting)?);
        }
        // A run's own file names every setting. Under another way of adaptation those that are only the defaults of the way
        // that it was written for give way to the new one's.
        if let (Some(old), Some(new)) = (method_of(&given), method_of(&flags))
            && old != new
        {
            let old: Config = parsed(given.clone(), origin)?;
            drop_defaults(&mut given, task.unwrap_or(old.task), old.adapt.method)?;
        }
        merge(&mut given, flags);
        let own: Config = parsed(given.clone(), origin)?;
        let task_kind = task.unwrap_or(own.task);
        let method = match method_of(&given) {
            Some(_) => own.adapt.method,
            // Settings of adaptation belong to gradient steps where no way is named.
            None if given.contains_key("adapt") && Method::of(task_kind) == Method::Auto => Method::FineTune,
            None => Method::of(task_kind),
        };
        let mut merged = as_table(&Config::with_method(task_kind, method))?;
        merge(&mut merged, given);
        if let Some(task) = task {
            merged.insert("task".into(), task.name().into());
        }
        parsed(merged, origin)
    }

    /// The same with a way of adaptation that was left to the data settled: [`Method::Auto`] becomes what does best with such
    /// outputs, and settings that are only its defaults give way to the new one's.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that the way does not allow.
    pub fn settled(&self, likelihood: &Likelihood) -> Result<Config> {
        // The closed form of values takes no noise.
        let by_gradient = likelihood.has_classes() || self.model.noise > 0;
        let method = if by_gradient { Method::FineTune } else { Method::Ridge };
        if self.adapt.method == Method::Auto { self.under(method) } else { Ok(self.clone()) }
    }

    /// The same settings under another way of adaptation.
    pub(super) fn under(&self, method: Method) -> Result<Config> {
        let mut given = as_table(self)?;
        drop_defaults(&mut given, self.task, self.adapt.method)?;
        let mut merged = as_table(&Config::with_method(self.task, method))?;
        merge(&mut merged, given);
        if let Some(toml::Value::Table(adapt)) = merged.get_mut("adapt") {
            adapt.insert("method".into(), method.name().into());
        }
        let mut config = parsed(merged, "configuration")?;
        // A table has only the names of a program's own layers.
        config.model.net.clone_from(&self.model.net);
        config.validate()?;
        Ok(config)
    }

    /// The file that gives this configuration back.
    pub fn to_toml(&self) -> Result<String> {
        let mut table = as_table(self)?;
        if let (Some(toml::Value::Table(model)), true) = (table.get_mut("model"), self.model.net.is_some()) {
            // What the layers stand in the place of.
            model.remove("target");
        }
        toml::to_string(&table).map_err(|e| Error::config("configuration", e.to_string()))
    }
}

fn as_table(config: &Config) -> Result<toml::Table> {
    toml::Table::try_from(config).map_err(|e| Error::config("configuration", e.to_string()))
}

/// Takes out of `given` what is only the default of a way of adaptation.
fn drop_defaults(given: &mut toml::Table, task: TaskKind, method: Method) -> Result<()> {
    let defaults = as_table(&Config::with_method(task, method))?;
    for name in ["train", "model", "adapt"] {
        if let (Some(toml::Value::Table(mine)), Some(toml::Value::Table(default))) =
            (given.get_mut(name), defaults.get(name))
        {
            drop_equal(mine, default);
        }
    }
    Ok(())
}

/// A table as a configuration.
fn parsed(table: toml::Table, origin: &str) -> Result<Config> {
    toml::Value::Table(table)
        .try_into()
        .map_err(|e: toml::de::Error| Error::config(origin, in_words(e.message())))
}

/// The way of adaptation that a table names.
fn method_of(table: &toml::Table) -> Option<&str> {
    table.get("adapt")?.as_table()?.get("method")?.as_str()
}

/// A single setting `KEY=VALUE` as a line of a file, and as a table where its value is no word without quotes.
fn line(setting: &str) -> Result<(String, Option<toml::Table>)> {
    let Some((key, value)) = setting.split_once('=') else {
        return Err(Error::config(setting, "is no setting: KEY=VALUE is needed, for example adapt.rate=0.1"));
    };
    let line = format!("{key} = {value}");
    Ok(match toml::from_str::<toml::Table>(&line) {
        Ok(t) => (line, Some(t)),
        Err(_) => (format!("{key} = {}", toml::Value::String(value.to_string())), None),
    })
}

/// A single setting `KEY=VALUE` of a configuration as a table.
fn flag(setting: &str) -> Result<toml::Table> {
    let (line, plain) = line(setting)?;
    match (table(&line, &format!("'{setting}'")), plain) {
        // Part of a setting of several parts, which the whole may complete.
        (Err(e), Some(plain)) if e.to_string().contains("missing field") => Ok(plain),
        (found, _) => found,
    }
}

/// Takes out of `table` what is the same in `other`.
fn drop_equal(table: &mut toml::Table, other: &toml::Table) {
    let keys: Vec<String> = table.keys().cloned().collect();
    for key in keys {
        if table.get(&key) == other.get(&key) {
            table.remove(&key);
        }
    }
}

/// Puts a single setting `KEY=VALUE` over a table, whatever its settings are.
pub(super) fn set(to: &mut toml::Table, setting: &str) -> Result<()> {
    let (line, _) = line(setting)?;
    let wrong = |e: toml::de::Error| Error::config(format!("'{setting}'"), e.message().to_string());
    merge(to, line.parse().map_err(wrong)?);
    Ok(())
}

/// Settings of `over` replace those of `base`, table by table.
pub(super) fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            // A change of optimiser or generator replaces its constants too.
            (Some(toml::Value::Table(b)), toml::Value::Table(o))
                if !["optimiser", "generator"].contains(&key.as_str()) || !o.contains_key("kind") =>
            {
                merge(b, o)
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Names that settings had in the first version.
const RENAMED: [(&str, &str, &str); 4] = [
    ("adapt", "of", "fast"),
    ("train", "main", "joint_lambda"),
    ("train", "fewest", "min_shots"),
    ("train", "floor", "final_rate_fraction"),
];

/// The settings of a text; read as a configuration first, so that errors carry lines. Old names become the present ones.
fn table(text: &str, origin: &str) -> Result<toml::Table> {
    let _: Config = toml::from_str(text).map_err(|e| fault(&e, text, origin))?;
    let mut table: toml::Table = toml::from_str(text).map_err(|e| fault(&e, text, origin))?;
    for (section, old, new) in RENAMED {
        if let Some(toml::Value::Table(settings)) = table.get_mut(section)
            && let Some(value) = settings.remove(old)
        {
            log::warn!("{origin}: {section}.{old} is called {section}.{new} now");
            settings.insert(new.into(), value);
        }
    }
    if let Some(toml::Value::Table(model)) = table.get("model")
        && model.contains_key("target")
        && model.contains_key("net")
    {
        log::warn!("{origin}: model.target means nothing beside the layers of model.net");
    }
    Ok(table)
}

/// The line of the `n`-th (from 1) header of a layer.
fn line_of_layer(text: &str, n: usize) -> Option<usize> {
    let headers =
        text.lines().enumerate().filter(|(_, l)| l.split_whitespace().collect::<String>() == "[[model.net]]");
    headers.map(|(i, _)| i + 1).nth(n.checked_sub(1)?)
}

/// What a reader of settings says, without the names of types.
fn in_words(message: &str) -> String {
    let Some((before, expected)) = message.rsplit_once("expected ") else { return message.to_string() };
    let expected = match expected {
        "usize" | "u64" | "u32" | "u8" => "a whole number, 0 or more",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        _ if expected.starts_with("struct ") => "a table of settings",
        _ if expected.starts_with("internally tagged enum ") => "a name, or a table with a kind",
        _ => return message.to_string(),
    };
    format!("{before}expected {expected}")
}

/// A TOML error as one line: where, what, and the nearest known key.
fn fault(e: &toml::de::Error, text: &str, origin: &str) -> Error {
    let line = e.span().map(|s| text[..s.start.min(text.len())].matches('\n').count() + 1);
    let mut message = in_words(&e.message().replace('\n', " "));
    // Of a list of layers TOML knows where it begins.
    let entry = message.strip_prefix("entry ").and_then(|m| m.split_once(": ")?.0.parse().ok());
    let line = entry.and_then(|n| line_of_layer(text, n)).or(line);
    // A flag has one line.
    let line = line.filter(|_| !origin.starts_with('\''));
    let origin = line.map_or(origin.to_string(), |l| format!("{origin}, line {l}"));
    let unknown = message.find("unknown").map_or("", |at| &message[at..]);
    let quoted: Vec<&str> = unknown.split('`').skip(1).step_by(2).collect();
    if !unknown.is_empty()
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
    fn old_names_are_read() -> Result<()> {
        let old = "[train]\nmain = 0.5\nfewest = 4\nfloor = 0.25\n[adapt]\nof = 'head'\n";
        let c = Config::parse_over(old, "x", None, &["train.fewest=5".into()])?;
        assert_eq!((c.train.joint_lambda, c.train.min_shots, c.train.final_rate_fraction), (0.5, 5, 0.25));
        assert_eq!(c.adapt.fast, Fast::Head);
        assert_eq!(Config::parse(&c.to_toml()?, "x", None)?, c);
        Ok(())
    }

    #[test]
    fn a_generator_is_a_name_or_a_table() -> Result<()> {
        use crate::hyper::Chunked;
        let read = |text: &str, over: &[&str]| -> Result<Generator> {
            let over: Vec<String> = over.iter().map(|s| s.to_string()).collect();
            let c = Config::parse_over(text, "x", None, &over)?;
            assert_eq!(Config::parse(&c.to_toml()?, "x", None)?, c);
            Ok(c.model.generator)
        };
        let chunked = |chunk, embedding| Generator::Chunked(Chunked { chunk, embedding, base: true });
        assert_eq!(read("", &[])?, Generator::default());
        assert_eq!(read("[model]\ngenerator = 'chunked'", &[])?, chunked(256, 16));
        let table = "[model]\ngenerator = { kind = 'chunked', chunk = 64 }";
        assert_eq!(read(table, &[])?, chunked(64, 16));
        assert_eq!(read(table, &["model.generator.embedding=8"])?, chunked(64, 8));
        assert_eq!(read(table, &["model.generator=linear"])?, Generator::default());
        let e = read("[model]\ngenerator = 'chunkd'", &[]).map_err(|e| e.to_string());
        assert!(e.expect_err("no generator").contains("line 2: unknown variant `chunkd`"));
        let c = Config::parse("[model.generator]\nkind = 'chunked'\nchunk = 0", "x", None)?;
        assert!(c.validate().is_err_and(|e| e.to_string().contains("model.generator: chunks of 0 weights")));
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
