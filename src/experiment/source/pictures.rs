//! Rows with a class each, in a file to train on and one to be judged on: one task, whose network is trained directly, or whose kernels
//! are written by a static hypernetwork.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::images::{check_shape, image_options, overlap};
use super::{SingleTask, Source, TaskKind, TasksPicture, check_series, check_single, settings_of};
use crate::data::csv::CsvSpec;
use crate::data::encoder::{Encoder, TargetKind};
use crate::data::format::Format;
use crate::data::images::{ImageOptions, ImageSet};
use crate::data::labelled::{Batches, Labelled};
use crate::data::sequences::{SequenceFormat, SeriesColumns};
use crate::data::table::Table;
use crate::error::{Error, Result};
use crate::experiment::config::{AdaptConfig, Config, EvalConfig, ModelConfig, TrainConfig, WeightSource};
use crate::hyper::{Generator, Static};
use crate::net::{Sizes, preset};
use crate::rng::Rng;
use crate::task::{Likelihood, Task, TaskFamily, argmax};

/// Rows whose statistics a trained network keeps, where it normalises by its support.
const STATISTICS_ROWS: usize = 512;
/// Rows that the instruments look at.
const SHOWN_ROWS: usize = 50;

/// Rows with a class each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PicturesConfig {
    /// Rows to train on: an IDX file, a folder of PNG or JPEG files with a folder for each class, files in CIFAR-10's binary layout,
    /// or a CSV file of series, gzipped or not.
    pub train: PathBuf,
    /// The IDX file of their labels (not given: the one beside it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_labels: Option<PathBuf>,
    /// Rows to be judged on (not given: a sixth of each class).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The IDX file of their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<PathBuf>,
    /// The column of a CSV file that holds the class; all others are a series.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The column that tells series apart, of a CSV file whose lines are their elements.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub series: String,
    /// The column of their times.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub time: String,
    /// Columns of a CSV file to leave out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Rows of a batch.
    pub batch: usize,
    /// How often all rows are seen (not given: `train.steps` batches).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Share of the training rows of each class that is not trained on: curves are drawn and probabilities are sharpened by them.
    pub validation: f64,
    /// Whether pictures and series are shifted by up to a twelfth of their sides at random, in training.
    pub shifts: bool,
    /// Whether they are mirrored at random, in training: not for letters.
    pub flips: bool,
    /// Pixels along both sides, or `[height, width]`, that all pictures are brought to (not given: all must have one size).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Sizes>,
    /// Whether pictures have three channels or one (not given: three where any has).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<bool>,
}

impl Default for PicturesConfig {
    fn default() -> PicturesConfig {
        PicturesConfig {
            train: PathBuf::new(),
            train_labels: None,
            test: None,
            test_labels: None,
            label: String::new(),
            series: String::new(),
            time: String::new(),
            drop: vec![],
            batch: 64,
            epochs: None,
            validation: 0.1,
            shifts: false,
            flips: false,
            size: None,
            colour: None,
        }
    }
}

/// The rows, read.
#[derive(Debug)]
struct Pictures {
    family: Arc<Batches>,
    task: SingleTask,
    format: Format,
    place: PathBuf,
}

pub(super) fn defaults(base: Config) -> Config {
    Config {
        train: TrainConfig { steps: 3_000, tasks: 1, pooled_steps: 3_000, ..base.train },
        model: ModelConfig {
            weights: WeightSource::Shared,
            net: preset("cnn").ok(),
            encoder: vec![],
            trunk: vec![],
            generator: Generator::Static(Static::default()),
            ..base.model
        },
        adapt: AdaptConfig { rate: 0.01, steps: vec![0], ..base.adapt },
        eval: EvalConfig { shots: 1, query: 1, tasks: 1, sweep: vec![1] },
        pictures: Some(PicturesConfig::default()),
        ..base
    }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let Some(p) = settings_of(config, TaskKind::Pictures, &config.pictures, "--train")? else {
        return Ok(());
    };
    if p.train.as_os_str().is_empty() {
        return fail("pictures.train", "is missing: give --train FILE, or a folder".into());
    }
    if p.test.is_none() && p.test_labels.is_some() {
        return fail("pictures.test_labels", "go with pictures.test: give --test".into());
    }
    if !(2..=65_536).contains(&p.batch) {
        return fail("pictures.batch", format!("{} is out of range: it must lie from 2 to 65536", p.batch));
    }
    if let Some(n) = p.epochs.filter(|n| !(1..=1_000_000).contains(n)) {
        return fail("pictures.epochs", format!("{n} is out of range: it must lie from 1 to 1000000"));
    }
    if !(0.0..=0.5).contains(&p.validation) {
        return fail(
            "pictures.validation",
            format!("{} is out of range: it must lie from 0 to 0.5", p.validation),
        );
    }
    image_options("pictures.size", p.size, p.colour)?;
    if is_table(&p.train) == p.label.is_empty() {
        let message = match p.label.is_empty() {
            true => "is missing: --label COLUMN names the column of the CSV file that holds the class",
            false => "names a column of a CSV file, and what is trained on is none",
        };
        return fail("pictures.label", message.into());
    }
    if !p.label.is_empty() && (p.train_labels.is_some() || p.test_labels.is_some()) {
        return fail(
            "pictures.train_labels",
            "go with IDX files: a CSV file has its classes in the column pictures.label".into(),
        );
    }
    if p.label.is_empty() && !p.drop.is_empty() {
        return fail("pictures.drop", "names columns of a CSV file, and what is trained on is none".into());
    }
    check_series(("pictures.series", &p.series), ("pictures.time", &p.time))?;
    if p.label.is_empty() && !p.series.is_empty() {
        return fail(
            "pictures.series",
            "names a column of a CSV file, and what is trained on is none".into(),
        );
    }
    if let Some(test) = p.test.as_ref().filter(|test| overlap(&p.train, test)) {
        return Err(Error::data(
            test,
            "",
            "is what is trained on, or lies in it: rows to be judged on must be others",
        ));
    }
    if config.model.weights == WeightSource::Generated && config.model.generator.reads() {
        return fail(
            "model.generator",
            "one task has nothing to be read of it: model.generator = \"static\" writes kernels from embeddings of their blocks".into(),
        );
    }
    let instead = ", or take --images for tasks of a few classes each";
    check_single(config, instead, "pictures.batch is the number of rows a step")
}

/// Whether a file is a table, by its name.
pub(in crate::experiment) fn is_table(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    name.ends_with(".csv") || name.ends_with(".csv.gz")
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let p = config.pictures.clone().unwrap_or_default();
    let (mut rows, test, format) = if is_table(&p.train) { series(&p)? } else { pictures(&p)? };
    for (class, name) in rows.classes.iter().enumerate() {
        let n = rows.labels.iter().filter(|l| **l == class as u32).count();
        if n < 2 {
            let message =
                format!("has {n} row of the class '{name}': two at least are needed, to train and to judge");
            return Err(Error::data(&p.train, "", message));
        }
    }
    (rows.moves.shifts, rows.moves.flips) = (p.shifts, p.flips);
    let rows = Arc::new(rows);
    let all: Vec<usize> = (0..rows.len()).collect();
    let (judged, rest) = match test {
        Some(_) => (vec![], all),
        None => parted(&rows.labels, &all, 1.0 / 6.0, config.seed),
    };
    let (validation, train) = match p.validation > 0.0 {
        true => parted(&rows.labels, &rest, p.validation, config.seed ^ 0x7a11),
        false => (vec![], rest),
    };
    let test = match test {
        Some(test) => (test.len(), Arc::new(test)),
        None => (judged.len(), rows.clone()),
    };
    let test_rows = if judged.is_empty() { (0..test.0).collect() } else { judged };
    let order = Rng::new(config.seed, 0x57a7).choose(train.len(), STATISTICS_ROWS);
    let task = SingleTask {
        statistics: order.into_iter().map(|i| train[i]).collect(),
        trained: train.len(),
        rows: rows.clone(),
        validation,
        test: test.1,
        test_rows,
    };
    let family = Batches::new(rows, train, p.batch, config.seed);
    let place = p.test.as_ref().unwrap_or(&p.train).clone();
    Ok(Arc::new(Pictures { family: Arc::new(family), task, format, place }))
}

/// Rows with these classes parted: a share of each (of two or more rows one at least stays on each side), and the rest, each in their order.
pub(in crate::experiment) fn parted(
    labels: &[u32],
    among: &[usize],
    share: f64,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    let mut first = vec![false; labels.len()];
    for class in 0..labels.iter().max().map_or(0, |most| most + 1) {
        let mine: Vec<usize> = among.iter().copied().filter(|r| labels[*r] == class).collect();
        let n = (mine.len() as f64 * share).round().max(1.0) as usize;
        let n = n.min(mine.len().saturating_sub(1));
        for i in Rng::new(seed, 0x9a27 ^ (class as u64) << 20).choose(mine.len(), n) {
            first[mine[i]] = true;
        }
    }
    among.iter().partition(|r| first[**r])
}

type Read = (Labelled, Option<Labelled>, Format);

fn pictures(p: &PicturesConfig) -> Result<Read> {
    let options = image_options("pictures.size", p.size, p.colour)?;
    let set = ImageSet::read(&p.train, p.train_labels.as_deref(), options)?;
    if set.classes.len() < 2 {
        let message =
            format!("holds the class '{}' alone: two at least are needed to tell apart", set.classes[0]);
        return Err(Error::data(&p.train, "", message));
    }
    let shape = set.shape;
    let rows = Labelled::of_images(set, None);
    let test = p.test.as_ref().map(|path| {
        let options = ImageOptions { colour: Some(shape[2] == 3), ..options };
        let other = ImageSet::read(path, p.test_labels.as_deref(), options)?;
        check_shape("pictures", path, other.shape, shape)?;
        Labelled::of_images(other, Some(rows.scales())).with_classes_of(&rows, path)
    });
    let format = Format::Pictures {
        shape,
        ways: rows.classes.len(),
        classes: rows.classes.clone(),
        scales: rows.scales().to_vec(),
    };
    Ok((rows, test.transpose()?, format))
}

fn series(p: &PicturesConfig) -> Result<Read> {
    let table = Table::read(&p.train)?;
    let spec = CsvSpec {
        path: p.train.clone(),
        group: String::new(),
        target: p.label.clone(),
        inputs: vec![],
        drop: p.drop.clone(),
        shots: 1,
        splits: None,
        seed: 0,
        kind: Some(TargetKind::Classification),
        series: None,
        order: None,
        categories: vec![],
    };
    if !p.series.is_empty() {
        return sequences(p, &table, &spec);
    }
    let all: Vec<usize> = (0..table.rows()).collect();
    table.column(&p.label)?;
    // A series has a number at every place.
    let read = |name: &String| *name != p.label && !p.drop.contains(name);
    for column in (0..table.columns().len()).filter(|c| read(&table.columns()[*c])) {
        let number = |row: usize| table.cell(row, column).parse::<f64>().is_ok_and(f64::is_finite);
        if let Some(row) = all.iter().find(|row| !number(**row)) {
            let message = format!(
                "column '{}' holds '{}', which is no number: all columns but the label's are one series. Mend the cell, or leave the \
                 column out (--drop)",
                table.columns()[column],
                table.cell(*row, column)
            );
            return Err(Error::data(&p.train, format!(", line {}", table.line_of(*row)), message));
        }
    }
    let encoder = Encoder::fit(&table, &spec, &all)?;
    let row = vec![encoder.inputs(), 1];
    labelled(p, &table, Format::Encoded(encoder), &row)
}

/// Lines that are elements of series, each of which is a row.
fn sequences(p: &PicturesConfig, table: &Table, spec: &CsvSpec) -> Result<Read> {
    let columns = SeriesColumns::new(&p.series, &p.time);
    let mut notes = vec![];
    let format = SequenceFormat::fit_all(table, spec, &columns, &mut notes)?;
    notes.iter().for_each(|note| log::warn!("{}: {note}", p.train.display()));
    let row = [format.length(), format.channels()];
    labelled(p, table, Format::Sequences(format), &row)
}

/// The rows of a table to train on, and of one to be judged on.
fn labelled(p: &PicturesConfig, table: &Table, format: Format, row: &[usize]) -> Result<Read> {
    let classes = format.classes();
    let of = |table: &Table| -> Result<Labelled> {
        let (x, y) = (format.inputs(table)?, format.targets(table)?);
        let labels = y.chunks(classes.len()).map(|y| argmax(y) as u32).collect();
        Ok(Labelled::of_numbers(row.to_vec(), classes.clone(), x, labels))
    };
    let test = p.test.as_ref().map(|path| match is_table(path) {
        true => of(&Table::read(path)?),
        false => Err(Error::data(path, "", "is no CSV file, and what is trained on is one")),
    });
    Ok((of(table)?, test.transpose()?, format.clone()))
}

impl Source for Pictures {
    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        self.family.clone()
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        vec![]
    }

    fn test(&self, _: usize) -> Vec<Task> {
        let t = &self.task;
        let shown = &t.test_rows[..t.test_rows.len().min(SHOWN_ROWS)];
        vec![t.support().with_query(t.test.inputs(shown), t.test.targets(shown))]
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::classes(self.task.rows.classes.len())
    }

    fn format(&self) -> Format {
        self.format.clone()
    }

    fn settle(&self, config: &mut Config) {
        let Some(p) = &config.pictures else { return };
        let of = |epochs: u64| (epochs * self.task.trained as u64).div_ceil(p.batch as u64);
        let steps = p.epochs.map_or(config.train.steps, of).max(1);
        // The direct network beside is trained as long, and as fast.
        (config.train.steps, config.train.pooled_steps) = (steps, steps);
        config.train.pooled_rate = config.train.learning_rate;
    }

    fn single(&self) -> Option<&SingleTask> {
        Some(&self.task)
    }

    fn place(&self) -> String {
        format!(" of {}", self.place.display())
    }

    fn picture(&self) -> TasksPicture {
        TasksPicture::None
    }
}
