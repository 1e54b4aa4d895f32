//! The groups of a CSV file: each is a task.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Source, TaskKind, VALIDATION_SEED, check_series, settings_of};
use crate::data::csv::{CsvSpec, Groups};
use crate::data::encoder::TargetKind;
use crate::data::format::Format;
use crate::data::grouped::Grouped;
use crate::data::sequences::SeriesColumns;
use crate::error::{Error, Result};
use crate::experiment::config::{AdaptConfig, Config, EvalConfig, ModelConfig, Start, TrainConfig};
use crate::net::{Cell, Layer, Recurrent, preset};
use crate::spec::Activation;
use crate::task::{Likelihood, Metric, Task, TaskFamily};

/// A grouped CSV file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
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
    /// Columns that hold levels, also where these are numbers: codes, grades.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// The column that tells series of a group apart, where lines are their elements: each whole series has one class or value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub series: String,
    /// The column of their times.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub time: String,
    /// The column of numbers or dates by which the first rows of a group are the known ones; not given: which are known is drawn.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub order: String,
}

/// Units of the network over whole series, and what reads those of the support, where nothing is said.
const UNITS: usize = 32;
const READER: &str = "gru-32";

/// A table in folds.
#[derive(Debug)]
struct Folded {
    settings: CsvConfig,
    /// Of each member; it trains on the first of its groups and is validated on the second.
    families: Vec<(Grouped, Vec<usize>)>,
    /// Numbers of shots of which it was said that some groups have fewer rows.
    said: Mutex<BTreeSet<usize>>,
}

pub(super) fn defaults(base: Config) -> Config {
    Config {
        train: TrainConfig {
            steps: 1_000,
            tasks: 32,
            warmup: 50,
            clip: 1.0,
            pooled_steps: 1_000,
            ..base.train
        },
        model: ModelConfig {
            target: vec![32, 32],
            activation: Activation::Tanh,
            encoder: vec![32, 32],
            trunk: vec![32],
            hyper_activation: Activation::LeakyRelu,
            start: Start::Pooled,
            members: 5,
            ..base.model
        },
        adapt: AdaptConfig {
            rate: 0.03,
            clip: 1.0,
            steps: vec![0, 1, 2, 5, 10, 20, 50, 100, 200],
            ..base.adapt
        },
        eval: EvalConfig { shots: 5, query: 16, tasks: 0, sweep: vec![1, 2, 5, 10] },
        csv: Some(CsvConfig::default()),
        ..base
    }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let flags = "--csv FILE --group COLUMN --target COLUMN";
    let Some(c) = settings_of(config, TaskKind::Csv, &config.csv, flags)? else { return Ok(()) };
    check_series(("csv.series", &c.series), ("csv.time", &c.time))?;
    for (key, value, flag) in [
        ("csv.file", c.file.display().to_string(), "--csv FILE"),
        ("csv.group", c.group.clone(), "--group COLUMN"),
        ("csv.target", c.target.clone(), "--target COLUMN"),
    ] {
        if value.is_empty() {
            return fail(key, format!("is missing: give {flag}"));
        }
    }
    if !c.series.is_empty() && config.model.descriptor {
        return fail(
            "csv.series",
            "rows that are whole series have no descriptor: model.descriptor = false".into(),
        );
    }
    Ok(())
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let c = config.csv.clone().unwrap_or_default();
    let spec = CsvSpec {
        path: c.file.clone(),
        group: c.group.clone(),
        target: c.target.clone(),
        inputs: c.inputs.clone(),
        drop: c.drop.clone(),
        shots: config.eval.shots,
        splits: c.splits.clone(),
        seed: config.seed,
        kind: c.kind,
        categories: c.categories.clone(),
        series: (!c.series.is_empty()).then(|| SeriesColumns::new(&c.series, &c.time)),
        order: (!c.order.is_empty()).then(|| c.order.clone()),
    };
    let groups = Arc::new(Groups::load(&spec)?);
    let family = |member: usize, train: Vec<usize>| Grouped {
        groups: groups.clone(),
        train,
        shots: config.eval.shots,
        query: config.eval.query,
        descriptor: config.model.descriptor,
        seed: config.seed.wrapping_add((member as u64) << 32),
    };
    let folds = groups.split.folds(config.model.members, config.seed).into_iter().enumerate();
    let families = folds.map(|(m, (train, validation))| (family(m, train), validation)).collect();
    Ok(Arc::new(Folded { settings: c, families, said: Mutex::default() }))
}

impl Folded {
    fn groups(&self) -> &Groups {
        &self.families[0].0.groups
    }
}

impl Source for Folded {
    fn family(&self, member: usize) -> Arc<dyn TaskFamily> {
        Arc::new(self.families[member].0.clone())
    }

    fn validation(&self, member: usize) -> Vec<Task> {
        let (family, groups) = &self.families[member];
        family.drawn_tasks(groups, family.shots, VALIDATION_SEED)
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        self.families[0].0.test_tasks(shots)
    }

    fn known(&self) -> Vec<Task> {
        let (family, validation) = &self.families[0];
        family.drawn_tasks(&[&family.train[..], validation].concat(), family.shots, VALIDATION_SEED)
    }

    fn likelihood(&self) -> Likelihood {
        let e = &self.groups().encoder;
        match e.kind() {
            TargetKind::Regression => {
                Likelihood { metric: Metric::Rmse, unit: e.target_scale().1, ..Likelihood::values(1) }
            }
            TargetKind::Classification => Likelihood::classes(e.outputs()),
        }
    }

    fn format(&self) -> Format {
        match &self.groups().sequences {
            Some(format) => Format::Sequences(format.clone()),
            None => Format::Encoded(self.groups().encoder.clone()),
        }
    }

    fn check_held_out(&self, shots: usize) -> Result<()> {
        let groups = self.groups();
        let sizes = || groups.split.test.iter().map(|g| groups.groups[*g].rows.len());
        let largest = sizes().max().unwrap_or(0);
        // A file of splits says which rows are known.
        if largest <= shots && groups.split.draws.is_empty() {
            let message = format!(
                "{shots} known rows, and one to be judged on: no test group has so many (the largest has {largest})"
            );
            return Err(Error::config("eval.shots", message));
        }
        let family = &self.families[0].0;
        let known: Vec<usize> = groups.split.test.iter().map(|g| family.known_rows(*g, shots)).collect();
        let few: Vec<usize> = known.iter().copied().filter(|k| *k < shots).collect();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(least), Some(most)) = (few.iter().min(), few.iter().max())
            && said.insert(shots)
        {
            let so_many = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            log::warn!(
                "{shots} shots: {} of the {} test groups have {shots} known rows and rows to be judged on; of the other {} {so_many} rows are known",
                known.len() - few.len(),
                known.len(),
                few.len()
            );
        }
        Ok(())
    }

    fn settle(&self, config: &mut Config) {
        if self.groups().sequences.is_none() {
            return;
        }
        // What is known of a series after its last element, unless other layers were asked for.
        let m = &mut config.model;
        if m.target != Config::of(TaskKind::Csv).model.target {
            return;
        }
        m.net.get_or_insert_with(|| vec![Layer::Recurrent(Recurrent::last(Cell::Gru, UNITS))]);
        m.reader = m.reader.take().or_else(|| preset(READER).ok());
    }

    fn members(&self) -> usize {
        self.families.len()
    }

    fn warnings(&self) -> &[String] {
        &self.groups().warnings
    }

    fn order(&self) -> Option<&str> {
        self.groups().order.as_deref()
    }

    fn place(&self) -> String {
        let c = &self.settings;
        format!(" of {} ('{}' by '{}')", c.file.display(), c.target, c.group)
    }
}
