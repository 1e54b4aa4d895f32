//! Where the tasks of a run come from. A source is one file here and one row of the table below; a program may bring one of its
//! own ([`OwnTasks`], or anything that is a [`Source`]).

mod csv;
mod decoders;
mod dictionaries;
mod fields;
mod images;
mod own;
mod pairs;
mod pictures;
mod series;
mod shapes;
mod sine;
mod text;
mod texts;

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::csv::CsvConfig;
pub use self::decoders::DecodersConfig;
pub use self::dictionaries::DictionariesConfig;
pub use self::fields::FieldsConfig;
pub use self::images::ImagesConfig;
pub use self::own::{OwnFamily, OwnTasks};
pub use self::pairs::PairsConfig;
pub use self::pictures::PicturesConfig;
pub(super) use self::pictures::{is_table, parted};
pub use self::series::SeriesConfig;
pub use self::text::TextConfig;
pub use self::texts::TextsConfig;
use super::config::{AdaptConfig, Config, EvalConfig, Method, ModelConfig, TrainConfig, WeightSource};
use crate::data::format::Format;
use crate::data::labelled::Labelled;
use crate::data::pairs::Pair;
use crate::data::series::SeriesTable;
use crate::error::{Error, Result, nearest};
use crate::net::{Layer, preset};
use crate::plan::bytes;
use crate::policy::environments;
use crate::run::available_memory;
use crate::task::{Likelihood, Task, TaskFamily, TaskShape};

/// Validation tasks of the sources that can make any number.
const VALIDATION_TASKS: usize = 200;
/// Streams of held-out tasks, apart from those of training.
const VALIDATION_SEED: u64 = 0x7a11_d000;
const TEST_SEED: u64 = 0x7e57_0000;

/// Sequences that the instruments look at, of a source that is one task.
const SHOWN_SEQUENCES: usize = 16;

/// Where tasks come from: to train on, to choose by, and to be judged by. The three never share a task.
pub trait Source: Debug + Send + Sync {
    /// The family that member `member` trains on.
    fn family(&self, member: usize) -> Arc<dyn TaskFamily>;

    /// Tasks that member `member` has not trained on, to choose by.
    fn validation(&self, member: usize) -> Vec<Task>;

    /// Tasks that nothing was trained on or chosen by, with `shots` support rows each where there are so many.
    fn test(&self, shots: usize) -> Vec<Task>;

    /// Tasks that the run knows, those that it was trained on among them, with as many support rows as it judges with. Of tasks without number some that it chose by.
    fn known(&self) -> Vec<Task> {
        self.validation(0)
    }

    /// What outputs mean, and how predictions are judged.
    fn likelihood(&self) -> Likelihood;

    /// How files of support and query rows are read for a trained model.
    fn format(&self) -> Format;

    /// Models to train on different tasks, whose predictions are averaged.
    fn members(&self) -> usize {
        1
    }

    /// The column by which the first rows of a task are its support; `None`: they are drawn.
    fn order(&self) -> Option<&str> {
        None
    }

    /// What should be said about the data before training.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// What inputs and targets are multiplied by before the set encoder reads them, which brings them to order one.
    fn encoder_scale(&self) -> f64 {
        1.0
    }

    /// How many numbers of each input the set encoder reads, where it reads these alone (`None`: inputs and targets).
    fn encoder_inputs(&self) -> Option<usize> {
        None
    }

    /// Refuses held-out tasks with `shots` support rows that are not there, or that the memory would not hold.
    ///
    /// # Errors
    /// [`Error::Memory`] with the numbers, or [`Error::Config`] naming the setting.
    fn check_held_out(&self, _shots: usize) -> Result<()> {
        Ok(())
    }

    /// Settles what its data say about the configuration.
    fn settle(&self, _config: &mut Config) {}

    /// The one task that it is, where it is no family of tasks: a network is trained on some of its rows and judged on others.
    fn single(&self) -> Option<&SingleTask> {
        None
    }

    /// Height, width and channels, where the query of every held-out task is all pixels of a picture, channels -1 to 1.
    fn picture_shape(&self) -> Option<[usize; 3]> {
        None
    }

    /// What the training task whose pairs are most like these known ones says of some sources; `None` where tasks are no pairs.
    fn nearest(&self, _known: &[Pair], _sources: &[&str]) -> Option<Vec<String>> {
        None
    }

    /// What simple methods that know these data say of the query rows of [`Source::test`], by their names.
    fn simple(&self, _shots: usize) -> Vec<(&'static str, Vec<Vec<f32>>)> {
        vec![]
    }

    /// Where its data are, behind the name of the source: ` of FILE`.
    fn place(&self) -> String {
        String::new()
    }

    /// How unseen tasks are shown.
    fn picture(&self) -> TasksPicture {
        TasksPicture::Predictions
    }
}

/// The rows of a source that is one task.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SingleTask {
    /// Rows to train on, and to choose by.
    pub rows: Arc<Labelled>,
    /// Those that a trained network takes its statistics from, where it normalises by its support; they are trained on.
    pub statistics: Vec<usize>,
    /// Those that are not trained on, to choose by.
    pub validation: Vec<usize>,
    /// Where the rows to be judged on are.
    pub test: Arc<Labelled>,
    /// Those rows.
    pub test_rows: Vec<usize>,
    /// Number of rows that are trained on.
    pub trained: usize,
}

impl SingleTask {
    /// What a trained network takes its statistics from.
    pub fn support(&self) -> Task {
        Task::from_support(self.rows.inputs(&self.statistics), self.rows.targets(&self.statistics))
    }
}

/// How unseen tasks are shown.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TasksPicture {
    /// Curves where a row is one number; else predicted beside true values, or classes.
    Predictions,
    /// Fields over a square: tasks whose query is a grid of `size × size` points.
    Fields {
        /// The tasks.
        tasks: Vec<Task>,
        /// Points along each side.
        size: usize,
    },
    /// As they are, before and after adaptation: tasks whose query is all pixels of a picture.
    Pictures {
        /// The tasks.
        tasks: Vec<Task>,
        /// Height, width and channels.
        shape: [usize; 3],
    },
    /// Those that are known, beside others that decoders write: tasks whose rows begin with the pixels of a picture.
    Drawings {
        /// The tasks.
        tasks: Vec<Task>,
        /// Height, width and channels.
        shape: [usize; 3],
    },
    /// Over time: series, and what is said of their next values.
    Series(Forecasts),
    /// Not at all: outputs of different tasks have nothing to do with one another.
    None,
}

/// Series whose next values are predicted, to be shown.
#[derive(Clone, Debug)]
pub struct Forecasts {
    /// The series.
    pub table: Arc<SeriesTable>,
    /// Points that are asked about at most.
    pub query: usize,
}

impl PartialEq for Forecasts {
    fn eq(&self, other: &Forecasts) -> bool {
        Arc::ptr_eq(&self.table, &other.table) && self.query == other.query
    }
}

/// One row a source: its variant, its name, its file. A file has `defaults` (settings that differ from the common ones), `validate`
/// (refuses settings of the source that make no sense, and those that belong to another source) and `open`.
macro_rules! table {
    ($($(#[$doc:meta])* $variant:ident $name:literal $file:ident,)*) => {
        /// The sources of tasks that a configuration can name.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum TaskKind { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl TaskKind {
            /// All of them.
            pub const ALL: &[TaskKind] = &[$(TaskKind::$variant),*];

            /// All names, for messages.
            pub const NAMES: &[&str] = &[$($name),*];

            pub(super) fn defaults(self, base: Config) -> Config {
                match self { $(TaskKind::$variant => $file::defaults(base),)* }
            }

            pub(super) fn validate(self, config: &Config) -> Result<()> {
                match self { $(TaskKind::$variant => $file::validate(config),)* }
            }

            pub(in crate::experiment) fn open(self, config: &Config) -> Result<Arc<dyn Source>> {
                match self { $(TaskKind::$variant => $file::open(config),)* }
            }
        }
    };
}

table! {
    /// Sine waves of random amplitude and phase.
    #[default]
    Sine "sine" sine,
    /// Signed-distance fields of random 2-D shapes.
    Shapes "shapes" shapes,
    /// The groups of a CSV file.
    Csv "csv" csv,
    /// A few classes of pictures each.
    Images "images" images,
    /// Pictures as fields: each is a function from a place to a colour.
    Fields "fields" fields,
    /// A class of pictures each, to be written from codes by a decoder of its own.
    Decoders "decoders" decoders,
    /// Rows with a class each, to train on and to be judged on: one task.
    Pictures "pictures" pictures,
    /// A text, to be gone on with: one task.
    Text "text" text,
    /// Pairs of texts, a source and what is to be said of it: one task.
    Pairs "pairs" pairs,
    /// Pairs of texts by groups, a task each.
    Dictionaries "dictionaries" dictionaries,
    /// Texts, a task each.
    Texts "texts" texts,
    /// Series, whose next values are predicted.
    Series "series" series,
    /// Tasks that a program brings itself: [`super::Experiment::on`].
    Own "own" own,
}

impl TaskKind {
    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        TaskKind::NAMES[self as usize]
    }

    /// Whether it is one task, and no family of tasks.
    pub fn is_single(self) -> bool {
        matches!(self, TaskKind::Pictures | TaskKind::Text | TaskKind::Pairs)
    }

    /// The kind of that name.
    ///
    /// # Errors
    /// [`Error::Config`] naming the nearest one.
    pub fn parse(name: &str, origin: &str) -> Result<TaskKind> {
        let found = TaskKind::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| {
            let worlds = environments();
            let worlds: Vec<&str> = worlds.iter().map(|e| e.name()).collect();
            let known = TaskKind::NAMES.iter().copied().chain(worlds.iter().copied());
            let hint = nearest(name, known).map_or(String::new(), |n| format!(" (did you mean '{n}'?)"));
            let (known, worlds) = (TaskKind::NAMES.join(", "), worlds.join(", "));
            let message =
                format!("no task family '{name}'{hint}: there are {known}, and worlds to act in: {worlds}");
            Error::config(origin, message)
        })
    }
}

/// The settings of a source, where the configuration names it; `None` where it names another.
///
/// # Errors
/// [`Error::Config`] where the settings are there and the task is another, or the other way round; `flags` give them.
fn settings_of<'c, T>(
    config: &Config,
    kind: TaskKind,
    settings: &'c Option<T>,
    flags: &str,
) -> Result<Option<&'c T>> {
    let (own, task) = (kind.name(), config.task.name());
    match (settings, config.task == kind) {
        (Some(settings), true) => Ok(Some(settings)),
        (None, false) => Ok(None),
        (None, true) => Err(Error::config(own, format!("the task '{own}' needs {flags}"))),
        (Some(_), false) => {
            let message = format!(
                "settings of the task '{own}' are given, and the task is '{task}': add --task {own}, or leave them out"
            );
            Err(Error::config(own, message))
        }
    }
}

/// Defaults of a single task that is a language model.
fn language_model(base: Config, net: &str, steps: u64, learning_rate: f64) -> Config {
    Config {
        train: TrainConfig { steps, tasks: 1, learning_rate, clip: 1.0, pooled_steps: steps, ..base.train },
        model: ModelConfig {
            weights: WeightSource::Shared,
            net: preset(net).ok(),
            encoder: vec![],
            trunk: vec![],
            ..base.model
        },
        adapt: AdaptConfig { rate: 0.01, steps: vec![0], ..base.adapt },
        eval: EvalConfig { shots: 1, query: 1, tasks: 1, sweep: vec![1] },
        ..base
    }
}

/// Defaults of tasks whose rows are sequences of symbols: a GRU reads them, and a hypernetwork writes `net`.
fn sequences(base: Config, net: &str, eval: EvalConfig) -> Config {
    let mut reader = preset("gru-64").unwrap_or_default();
    if let Some(Layer::Recurrent(last)) = reader.last_mut() {
        last.last = true;
    }
    Config {
        train: TrainConfig {
            steps: 3_000,
            tasks: 16,
            learning_rate: 3e-3,
            clip: 1.0,
            pooled_steps: 3_000,
            ..base.train
        },
        model: ModelConfig {
            net: preset(net).ok(),
            reader: Some(reader),
            encoder: vec![64],
            trunk: vec![64],
            ..base.model
        },
        adapt: AdaptConfig { rate: 0.1, steps: vec![0, 1, 5], ..base.adapt },
        eval,
        ..base
    }
}

/// Refuses settings that a single task has no use for: ways of adaptation (`instead`: what there is for those), and tasks a step (`batch`: the
/// setting that says what a step looks at).
fn check_single(config: &Config, instead: &str, batch: &str) -> Result<()> {
    let own = config.task.name();
    if config.adapt.method != Method::FineTune {
        let method = config.adapt.method.name();
        let message = format!("'{method}' learns from many tasks, and '{own}' is one: leave it out{instead}");
        return Err(Error::config("adapt.method", message));
    }
    if config.train.tasks != 1 {
        return Err(Error::config("train.tasks", format!("'{own}' is one task: {batch}")));
    }
    Ok(())
}

/// Fewest support rows of a training episode.
fn min_shots(config: &Config) -> usize {
    match config.train.min_shots {
        0 => config.eval.shots,
        n => n.min(config.eval.shots),
    }
}

/// Refuses so many held-out tasks of so many rows that the memory would not hold.
fn check_memory(tasks: usize, rows: usize, shots: usize, shape: &TaskShape) -> Result<()> {
    check_rows(tasks.max(VALIDATION_TASKS), rows, shots, shape)
}

/// The same of as many tasks as there are.
fn check_rows(tasks: usize, rows: usize, shots: usize, shape: &TaskShape) -> Result<()> {
    let need = 4 * (tasks * rows * (shape.inputs() + shape.outputs)) as u64;
    match available_memory() {
        memory if need > memory => Err(Error::Memory(format!(
            "{tasks} held-out tasks of {shots} shots need {}, and {} are there; fewer eval.tasks, eval.query or shots would fit",
            bytes(need),
            bytes(memory)
        ))),
        _ => Ok(()),
    }
}

/// Refuses one of the two columns by which lines are whole series without the other.
fn check_series(series: (&str, &String), time: (&str, &String)) -> Result<()> {
    match (series.1.is_empty(), time.1.is_empty()) {
        (false, true) => Err(Error::config(
            time.0,
            "is missing: the elements of a series are in order of time (--time COLUMN)",
        )),
        (true, false) => Err(Error::config(
            series.0,
            "is missing: --time orders the elements of whole series, which --series COLUMN tells apart (--task series predicts what comes next)",
        )),
        _ => Ok(()),
    }
}
