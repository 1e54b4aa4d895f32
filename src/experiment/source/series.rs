//! The series of a file, a task each: what comes next in one that was not seen, of which the first points are known.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Forecasts, Source, TaskKind, TasksPicture, check_rows, min_shots, settings_of};
use crate::data::format::Format;
use crate::data::series::{MAX_LENGTH, SeriesSpec, SeriesTable, SeriesTasks};
use crate::error::{Error, Result};
use crate::experiment::config::{AdaptConfig, Config, EvalConfig, ModelConfig, Start, TrainConfig};
use crate::net::preset;
use crate::spec::Activation;
use crate::task::{Likelihood, Metric, Task, TaskFamily};

/// A file of series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SeriesConfig {
    /// The file.
    pub file: PathBuf,
    /// The column that tells series apart.
    pub group: String,
    /// The column of times: numbers, or dates, whose unit is a day.
    pub time: String,
    /// The column to predict: numbers, of which some may be missing.
    pub target: String,
    /// Columns whose past is read beside the target's.
    pub inputs: Vec<String>,
    /// Columns that are known ahead (a price, a holiday, the time itself): of these that of the point to be predicted is read, too.
    pub ahead: Vec<String>,
    /// Points that are looked back on.
    pub length: usize,
    /// After so many points a season returns: its phase is read, and a baseline says what was a season ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub season: Option<usize>,
}

impl Default for SeriesConfig {
    fn default() -> SeriesConfig {
        SeriesConfig {
            file: PathBuf::new(),
            group: String::new(),
            time: String::new(),
            target: String::new(),
            inputs: vec![],
            ahead: vec![],
            length: 16,
            season: None,
        }
    }
}

/// Series for each use.
#[derive(Debug)]
struct Parted {
    settings: SeriesConfig,
    /// Of each member; it trains on some series and is validated on the others.
    members: Vec<(SeriesTasks, Vec<usize>)>,
}

pub(super) fn defaults(base: Config) -> Config {
    Config {
        train: TrainConfig {
            steps: 2_000,
            tasks: 32,
            learning_rate: 3e-3,
            clip: 1.0,
            pooled_steps: 1_000,
            pooled_rate: 3e-3,
            ..base.train
        },
        model: ModelConfig {
            net: preset("gru-16").ok(),
            reader: preset("gru-32").ok(),
            encoder: vec![64],
            trunk: vec![64],
            hyper_activation: Activation::LeakyRelu,
            start: Start::Pooled,
            ..base.model
        },
        adapt: AdaptConfig { rate: 0.03, clip: 1.0, steps: vec![0, 1, 2, 5, 10, 20], ..base.adapt },
        eval: EvalConfig { shots: 10, query: 10, tasks: 0, sweep: vec![5, 10, 20] },
        series: Some(SeriesConfig::default()),
        ..base
    }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let flags = "--csv FILE --group COLUMN --time COLUMN --target COLUMN";
    let Some(s) = settings_of(config, TaskKind::Series, &config.series, flags)? else { return Ok(()) };
    for (key, value, flag) in [
        ("series.file", s.file.display().to_string(), "--csv FILE"),
        ("series.group", s.group.clone(), "--group COLUMN"),
        ("series.time", s.time.clone(), "--time COLUMN"),
        ("series.target", s.target.clone(), "--target COLUMN"),
    ] {
        if value.is_empty() {
            return fail(key, format!("is missing: give {flag}"));
        }
    }
    if !(1..=MAX_LENGTH).contains(&s.length) {
        return fail(
            "series.length",
            format!("{} is out of range: it must lie from 1 to {MAX_LENGTH}", s.length),
        );
    }
    if let Some(season) = s.season
        && !(2..=MAX_LENGTH).contains(&season)
    {
        return fail(
            "series.season",
            format!("{season} is out of range: it must lie from 2 to {MAX_LENGTH}"),
        );
    }
    if config.eval.shots < 2 {
        return Err(one_point());
    }
    Ok(())
}

fn one_point() -> Error {
    Error::config("eval.shots", "one known point of a series has none before it to learn from: 2 at least")
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let s = config.series.clone().unwrap_or_default();
    let table = SeriesTable::load(&SeriesSpec {
        path: s.file.clone(),
        group: s.group.clone(),
        time: s.time.clone(),
        target: s.target.clone(),
        inputs: s.inputs.clone(),
        ahead: s.ahead.clone(),
        length: s.length,
        season: s.season,
        shots: config.eval.shots,
        seed: config.seed,
    })?;
    let (shots, table) = (config.eval.shots, Arc::new(table));
    let member = |(m, (which, validation)): (usize, (Vec<usize>, Vec<usize>))| {
        let tasks = SeriesTasks {
            table: table.clone(),
            which,
            shots,
            min_shots: min_shots(config).max(2),
            query: config.eval.query,
            seed: config.seed.wrapping_add((m as u64) << 32),
        };
        (tasks, validation)
    };
    if table.judged(&table.split.validation, shots, config.eval.query).is_empty() {
        let message = format!(
            "of no series to choose by a value is known among the {} points behind the first {shots}: more points, or fewer shots",
            config.eval.query
        );
        return Err(Error::config("eval.query", message));
    }
    let folds = table.split.folds(config.model.members, config.seed);
    let members = folds.into_iter().enumerate().map(member).collect();
    Ok(Arc::new(Parted { settings: s, members }))
}

impl Parted {
    fn tasks(&self) -> &SeriesTasks {
        &self.members[0].0
    }
}

impl Source for Parted {
    fn family(&self, member: usize) -> Arc<dyn TaskFamily> {
        Arc::new(self.members[member].0.clone())
    }

    fn validation(&self, member: usize) -> Vec<Task> {
        let (tasks, validation) = &self.members[member];
        tasks.table.held_out(validation, tasks.shots, tasks.query)
    }

    fn known(&self) -> Vec<Task> {
        let tasks = self.tasks();
        let trained = tasks.table.held_out(&tasks.which, tasks.shots, tasks.query);
        trained.into_iter().chain(self.validation(0)).collect()
    }

    fn members(&self) -> usize {
        self.members.len()
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        self.tasks().table.held_out(&self.tasks().table.split.test, shots, self.tasks().query)
    }

    fn likelihood(&self) -> Likelihood {
        let unit = self.tasks().table.format.target_scale().1;
        Likelihood { metric: Metric::Rmse, unit, ..Likelihood::values(1) }
    }

    fn format(&self) -> Format {
        Format::Series(self.tasks().table.format.clone())
    }

    fn warnings(&self) -> &[String] {
        &self.tasks().table.warnings
    }

    fn check_held_out(&self, shots: usize) -> Result<()> {
        let (table, query) = (&self.tasks().table, self.tasks().query);
        let longest = table.split.test.iter().map(|g| table.points(*g)).max().unwrap_or(0);
        if shots < 2 {
            return Err(one_point());
        }
        if table.judged(&table.split.test, shots, query).is_empty() {
            let message = format!(
                "{shots} known points, and one to be asked about behind them: none of the {} series that are judged on has so many (the longest has \
                 {longest})",
                table.split.test.len()
            );
            return Err(Error::config("eval.shots", message));
        }
        check_rows(table.split.test.len(), shots + query, shots, &self.tasks().shape())
    }

    fn simple(&self, shots: usize) -> Vec<(&'static str, Vec<Vec<f32>>)> {
        self.tasks().table.simple(&self.tasks().table.split.test, shots, self.tasks().query)
    }

    fn place(&self) -> String {
        let s = &self.settings;
        format!(" of {} ('{}' by '{}', in order of '{}')", s.file.display(), s.target, s.group, s.time)
    }

    fn picture(&self) -> TasksPicture {
        TasksPicture::Series(Forecasts { table: self.tasks().table.clone(), query: self.tasks().query })
    }
}
