//! The rows of a search: pictures and series with classes, or a table's lines with a class or a value each.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SearchConfig;
use crate::data::csv::CsvSpec;
use crate::data::encoder::{Encoder, TargetKind};
use crate::data::format::Format;
use crate::data::labelled::Labelled;
use crate::data::table::Table;
use crate::error::{Error, Result};
use crate::experiment::config::{Config, TaskKind};
use crate::experiment::setup::Setup;
use crate::experiment::source::{SingleTask, parted};
use crate::rng::Rng;
use crate::task::{Likelihood, Metric, argmax};

/// Share of the rows that is judged on where no file is given for them.
const JUDGED: f64 = 1.0 / 6.0;
/// Rows of which figures are rough.
const FEW: usize = 20;
/// Random numbers of the rows that are judged on, and chosen by.
const PARTED: u64 = 0x9a27;
const CHOSEN: u64 = 0x7a11;

/// A table, whose lines are rows of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TableConfig {
    /// The CSV file.
    pub file: PathBuf,
    /// Another one with the same columns, to be judged on (not given: a sixth of the rows).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Column to predict.
    pub target: String,
    /// Input columns; none named: every other column.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Columns to leave out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// `regression` or `classification`; not given: by the target's cells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<TargetKind>,
    /// Columns that hold levels, also where these are numbers: codes, grades.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Share of the rows to train on that is kept to choose by.
    pub validation: f64,
}

impl Default for TableConfig {
    fn default() -> TableConfig {
        TableConfig {
            file: PathBuf::new(),
            test: None,
            target: String::new(),
            inputs: vec![],
            drop: vec![],
            kind: None,
            categories: vec![],
            validation: 0.2,
        }
    }
}

/// Rows to train on, to choose by and to be judged on, and how files of them are read.
#[derive(Debug)]
pub(super) struct SearchRows {
    pub(super) task: SingleTask,
    pub(super) format: Format,
    pub(super) likelihood: Likelihood,
}

impl SearchRows {
    pub(super) fn open(config: &SearchConfig) -> Result<SearchRows> {
        let rows = match &config.csv {
            Some(table) => read(table, config.seed)?,
            None => {
                let mut tasks = Config::of(TaskKind::Pictures);
                tasks.seed = config.seed;
                tasks.pictures = Some(config.pictures.clone());
                tasks.validate()?;
                let setup = Setup::load(&tasks)?;
                let source = setup.source();
                let Some(task) = source.single() else {
                    return Err(Error::Shape("pictures are one task".into()));
                };
                SearchRows { task: task.clone(), format: source.format(), likelihood: source.likelihood() }
            }
        };
        if rows.task.validation.is_empty() {
            let (name, share) = match &config.csv {
                Some(table) => ("csv.validation", table.validation),
                None => ("pictures.validation", config.pictures.validation),
            };
            let message = format!("{share} leaves no row to choose by: more rows, or a larger share");
            return Err(Error::config(name, message));
        }
        let task = &rows.task;
        for (data, among, what) in
            [(&task.rows, &task.validation, "to choose by"), (&task.test, &task.test_rows, "to be judged on")]
        {
            if data.classes.is_empty() && alike(&data.targets(among)) {
                let message = format!(
                    "the values of the {} rows {what} are all the same, or so near each other beside those that are trained on that nothing tells them apart (an outlier?): R² has no meaning",
                    among.len()
                );
                return Err(Error::config("csv.target", message));
            }
            if among.len() < FEW {
                log::warn!("{} rows {what}: figures of so few are rough", among.len());
            }
        }
        Ok(rows)
    }

    /// What tells these rows, and how they are parted, from others.
    pub(super) fn digest(&self) -> String {
        let (task, mut hash) = (&self.task, Sha256::new());
        let files: &[_] =
            if Arc::ptr_eq(&task.rows, &task.test) { &[&task.rows] } else { &[&task.rows, &task.test] };
        for data in files {
            for row in 0..data.len() {
                hash.update(bytemuck::cast_slice::<f32, u8>(&data.inputs(&[row])));
                hash.update(bytemuck::cast_slice::<f32, u8>(&data.targets(&[row])));
            }
        }
        for row in task.validation.iter().chain(&task.test_rows) {
            hash.update(row.to_le_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Whether values are all the same, as far as a network could tell.
fn alike(values: &[f32]) -> bool {
    let (least, most) =
        values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    most - least <= 1e-5 * least.abs().max(most.abs())
}

fn read(c: &TableConfig, seed: u64) -> Result<SearchRows> {
    let table = Table::read(&c.file)?;
    let spec = CsvSpec {
        path: c.file.clone(),
        group: String::new(),
        target: c.target.clone(),
        inputs: c.inputs.clone(),
        drop: c.drop.clone(),
        shots: 1,
        splits: None,
        seed,
        kind: c.kind,
        categories: c.categories.clone(),
        series: None,
        order: None,
    };
    let all: Vec<usize> = (0..table.rows()).collect();
    // What a line's class is does not hang on which lines are trained on; its numbers do.
    let kinds = Encoder::fit_noting(&table, &spec, &all, &mut vec![])?;
    let labels = match kinds.kind() {
        TargetKind::Classification => Some(classes_of(&kinds.encode_targets(&table)?, kinds.outputs())),
        TargetKind::Regression => None,
    };
    let part = |among: &[usize], share: f64, stream: u64| match &labels {
        Some(labels) => parted(labels, among, share, seed ^ stream),
        None => {
            let n = (among.len() as f64 * share).round().max(1.0) as usize;
            let mut first = vec![false; table.rows()];
            let drawn = Rng::new(seed, PARTED ^ stream).choose(among.len(), n.min(among.len()));
            drawn.into_iter().for_each(|i| first[among[i]] = true);
            among.iter().partition(|row| first[**row])
        }
    };
    let (judged, rest) = match c.test {
        Some(_) => (vec![], all),
        None => part(&all, JUDGED, 0),
    };
    let (validation, train) = part(&rest, c.validation, CHOSEN);
    if train.len() < 2 || (c.test.is_none() && judged.is_empty()) {
        let message =
            format!("has {} rows: too few to train on, to choose by and to be judged on", table.rows());
        return Err(Error::data(&c.file, "", message));
    }
    let encoder = Encoder::fit(&table, &spec, &rest)?;
    let likelihood = match encoder.kind() {
        TargetKind::Classification => Likelihood::classes(encoder.outputs()),
        TargetKind::Regression => {
            Likelihood { metric: Metric::Rmse, unit: encoder.target_scale().1, ..Likelihood::values(1) }
        }
    };
    let format = Format::Encoded(encoder);
    let rows = Arc::new(labelled(&format, &table)?);
    if rows.outputs() == 1 && !rows.classes.is_empty() {
        let message =
            format!("holds the class '{}' alone: two at least are needed to tell apart", rows.classes[0]);
        return Err(Error::data(&c.file, format!(", column '{}'", c.target), message));
    }
    let test = match &c.test {
        Some(path) => Arc::new(labelled(&format, &Table::read(path)?)?),
        None => rows.clone(),
    };
    let test_rows = if c.test.is_some() { (0..test.len()).collect() } else { judged };
    let task = SingleTask { trained: train.len(), statistics: vec![], rows, validation, test, test_rows };
    Ok(SearchRows { task, format, likelihood })
}

/// The lines of a table as rows.
fn labelled(format: &Format, table: &Table) -> Result<Labelled> {
    let (x, y) = (format.inputs(table)?, format.targets(table)?);
    let row = vec![x.len() / table.rows().max(1)];
    let classes = format.classes();
    if classes.is_empty() {
        return Ok(Labelled::of_values(row, x, y));
    }
    let labels = classes_of(&y, classes.len());
    Ok(Labelled::of_numbers(row, classes, x, labels))
}

/// The classes that one-hot targets stand for.
fn classes_of(targets: &[f32], classes: usize) -> Vec<u32> {
    targets.chunks(classes).map(|y| argmax(y) as u32).collect()
}
