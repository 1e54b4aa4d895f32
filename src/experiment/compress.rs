//! Finished runs in fewer bytes: a run of their own, what they lose, and what they take.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::run_folder::{RunFolder, Saved};
use super::source::Source;
use super::{Experiment, Observer, Report, RunStatus, TestReport};
use crate::error::{Error, Result};
use crate::meta::model::Model;
use crate::meta::packed::stored_bytes;
use crate::net::{Compression, ParamLayout};
use crate::task::{Likelihood, Metric, Task};

/// Rows of a single task that scales are found on.
const CALIBRATED: usize = 1_000;
/// How often a call is timed.
const TIMED: usize = 15;

/// What a compressed run is, beside that which it was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Compressed {
    /// How its networks are held wherever they run.
    pub networks: Compression,
    /// How files hold what makes them.
    pub hypernetwork: Compression,
    /// Whether what their dense layers and convolutions read is rounded to eight bits, too.
    pub activations: bool,
    /// Steps of training that went on with such networks.
    pub steps: u64,
    /// The run as it was trained.
    pub before: Measured,
    /// The compressed run.
    pub after: Measured,
    /// Whether it is judged on tasks that were not trained on; else on rows of its only one.
    pub unseen_tasks: bool,
    /// The largest loss of a task, in the metric: how much worse it is than before. `None` where there is one task.
    pub largest_loss: Option<f64>,
}

/// A run in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measured {
    /// Bytes of all parameters of the model in a file.
    pub model_bytes: usize,
    /// Bytes of the weights of a task's network in a file.
    pub network_bytes: usize,
    /// Weights of it that are not 0.
    pub network_weights: usize,
    /// What is measured on unseen tasks.
    pub metric: String,
    /// Its mean.
    pub mean: f64,
    /// That of the worst task (of one task: of its worst class). `None` where there is none.
    pub worst: Option<f64>,
    /// Steps of adaptation, as they were chosen on validation tasks.
    pub steps: usize,
    /// The device that times were measured on.
    pub device: String,
    /// The median time in which a network is made of a task's support, microseconds.
    pub adapt_microseconds: f64,
    /// The median time in which a network says something of one row, microseconds.
    pub predict_microseconds: f64,
}

/// What is to be made of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CompressOptions {
    /// How its networks are held wherever they run.
    pub networks: Compression,
    /// How files hold what makes them.
    pub hypernetwork: Compression,
    /// Whether what dense layers and convolutions of networks read is rounded to eight bits, too, by scales that have room for what they read on validation tasks.
    pub activations: bool,
    /// Steps of training that go on from the run with such networks, before anything else is done. What is pruned needs them.
    pub steps: u64,
}

impl<'a> Experiment<'a> {
    /// This finished run in fewer bytes, as a run of its own in a new folder: what is chosen on validation tasks is chosen anew, and it is judged. `None` where the
    /// observer stopped the training that was asked for; the folder is then that of a run that goes on as any other.
    ///
    /// # Errors
    /// [`Error::Config`] where the folder exists or numbers are none that can be used, and those of the device.
    pub fn compressed(
        &self,
        to: &Path,
        options: CompressOptions,
        observer: &mut dyn Observer,
    ) -> Result<Option<(Experiment<'a>, Report)>> {
        if !self.position.trained {
            return Err(Error::checkpoint(self.folder.path(), "the run is not finished"));
        }
        RunFolder::fresh(to)?;
        let mut config = self.config.clone();
        (config.model.numbers, config.model.prune) = (options.networks.numbers, options.networks.prune);
        config.model.input_scales.clear();
        let mut smaller = if options.steps > 0 {
            (config.train.from, config.train.steps) = (Some(self.folder.path().into()), options.steps);
            // Epochs would say otherwise.
            if let Some(pictures) = &mut config.pictures {
                pictures.epochs = None;
            }
            let mut trained = Experiment::start(Some(self.source()), &config, self.device, to, false)?;
            if let RunStatus::Stopped(_) = trained.run(observer)? {
                return Ok(None);
            }
            trained.held(to, config, options)?
        } else {
            let smaller = self.held(to, config, options)?;
            // The steps that it was trained in.
            let metrics = "metrics.csv";
            let (from, copy) = (self.folder.file(metrics), smaller.folder.file(metrics));
            if from.exists() {
                std::fs::copy(&from, &copy).map_err(Error::io("write", &copy))?;
            }
            smaller
        };
        smaller.choose()?;
        smaller.save()?;
        match smaller.run(observer)? {
            RunStatus::Finished(report) => Ok(Some((smaller, *report))),
            RunStatus::Stopped(_) => Ok(None),
        }
    }

    /// This trained run with compressed networks and parameters, in a folder.
    fn held(&self, to: &Path, mut config: Config, options: CompressOptions) -> Result<Experiment<'a>> {
        config.validate()?;
        let mut model = self.model.compressed(options.hypernetwork, options.networks)?;
        if options.activations {
            model = self.calibrated(&model)?;
            config.model.input_scales = model.spec.target.input_scales().to_vec();
        }
        std::fs::create_dir_all(to).map_err(Error::io("create", to))?;
        RunFolder::open(to)?.save(&Saved {
            config: config.clone(),
            position: self.position,
            model,
            state: vec![],
            frozen: vec![],
            format: self.setup.source().format(),
            curve: self.curve.clone(),
        })?;
        Experiment::start(Some(self.source()), &config, self.device, to, true)
    }

    fn source(&self) -> Arc<dyn Source> {
        self.setup.shared_source()
    }

    /// A model of this run whose networks read numbers of eight bits, by what they read on validation tasks (of one task: on rows that it was trained on).
    fn calibrated(&self, model: &Model) -> Result<Model> {
        let Some(task) = self.setup.source().single() else {
            let validation = (0..model.members.len()).flat_map(|i| self.setup.source().validation(i));
            return model.calibrated(self.device, &validation.collect::<Vec<_>>(), None);
        };
        let rows = &task.statistics[..task.statistics.len().min(CALIBRATED)];
        let support = Task::from_support(task.rows.inputs(rows), task.rows.targets(rows));
        model.calibrated(self.device, &[support], Some(0))
    }

    /// What `smaller` is beside this run, of which it was made ([`Experiment::compressed`]).
    ///
    /// # Errors
    /// Those of the device.
    pub fn beside(&self, smaller: &Experiment<'_>) -> Result<Compressed> {
        let ((before, each), (after, others)) = (self.measured()?, smaller.measured()?);
        let metric = self.model.likelihood.metric;
        let loss = |(a, b): (&f64, &f64)| if metric.better(1.0, 0.0) { a - b } else { b - a };
        Ok(Compressed {
            networks: smaller.model.spec.target.compression(),
            hypernetwork: smaller.model.stored,
            activations: !smaller.model.spec.target.input_scales().is_empty(),
            steps: if smaller.config.train.from == self.config.train.from {
                0
            } else {
                smaller.config.train.steps
            },
            before,
            after,
            unseen_tasks: self.setup.source().single().is_none(),
            largest_loss: each.iter().zip(&others).map(loss).reduce(f64::max),
        })
    }

    /// The run in numbers, and the metric of each task (of tasks of one name together).
    fn measured(&self) -> Result<(Measured, Vec<f64>)> {
        let Model { spec, likelihood, members, stored, .. } = &self.model;
        let (target, hyper) = (spec.target.layout(), self.model.layout_in_files());
        let bytes = |layout: &ParamLayout, w: &[f32]| match w.len() {
            0 => 0,
            _ => stored_bytes(layout, w, stored),
        };
        let model_bytes = members.iter().map(|m| bytes(&hyper, &m.hyper) + bytes(&target, &m.pooled)).sum();
        let (found, support, row) = match self.setup.source().single() {
            Some(task) => {
                let test = self.test()?.ok_or_else(|| Error::Shape("the run has one task".into()))?;
                let row = task.test.inputs(&task.test_rows[..1]);
                (Found::of_one(&test), task.support(), row)
            }
            None => {
                let tasks = self.setup.source().test(self.config.eval.shots);
                let first = tasks.first().ok_or_else(|| Error::Shape("there are no unseen tasks".into()))?;
                let row = first.xq[..spec.target.inputs()].to_vec();
                let said = self.model.predict(self.device, &tasks, None)?;
                let said: Vec<Vec<f32>> = said.into_iter().map(|p| p.values).collect();
                (Found::of_all(likelihood, &tasks, &said), first.clone(), row)
            }
        };
        let alone = Task { xq: vec![], yq: vec![], ..support };
        let network = match self.network()? {
            Some(network) => network,
            None => self.model.adapt(self.device, &alone, None)?,
        };
        let measured = Measured {
            model_bytes,
            network_bytes: network.stored_bytes(),
            network_weights: network.members.iter().flatten().filter(|w| **w != 0.0).count(),
            metric: found.metric.into(),
            mean: found.mean,
            worst: found.worst,
            steps: self.model.choice.steps,
            device: self.device.kind().into(),
            adapt_microseconds: median_microseconds(|| self.model.adapt(self.device, &alone, None))?,
            predict_microseconds: median_microseconds(|| network.predict(self.device, &row))?,
        };
        Ok((measured, found.each))
    }
}

/// What is measured on unseen tasks.
struct Found {
    metric: &'static str,
    mean: f64,
    worst: Option<f64>,
    /// Of each task; empty where there is one.
    each: Vec<f64>,
}

impl Found {
    /// Of several tasks, those of one name together.
    fn of_all(likelihood: &Likelihood, tasks: &[Task], said: &[Vec<f32>]) -> Found {
        let mut by_name: IndexMap<String, Vec<usize>> = IndexMap::new();
        for (i, task) in tasks.iter().enumerate() {
            let name = if task.name.is_empty() { format!("{i}") } else { task.name.clone() };
            by_name.entry(name).or_default().push(i);
        }
        let score = |all: &Vec<usize>| {
            let tasks: Vec<Task> = all.iter().map(|i| tasks[*i].clone()).collect();
            let said: Vec<Vec<f32>> = all.iter().map(|i| said[*i].clone()).collect();
            likelihood.score(&tasks, &said)
        };
        let each: Vec<f64> = by_name.values().map(score).collect();
        let worse = |a: f64, b: f64| if likelihood.metric.better(a, b) { b } else { a };
        Found {
            metric: likelihood.metric.name(),
            mean: likelihood.score(tasks, said),
            worst: each.iter().copied().reduce(worse),
            each,
        }
    }

    /// Of one.
    fn of_one(test: &TestReport) -> Found {
        let rows = test.confusion.iter().enumerate();
        let right = |(class, row): (usize, &Vec<usize>)| {
            let all: usize = row.iter().sum();
            (all > 0).then(|| row[class] as f64 / all as f64)
        };
        let (metric, mean) = match test.bits_per_character {
            Some(bits) => (Metric::BitsPerCharacter, bits),
            None => (Metric::Accuracy, test.accuracy),
        };
        Found { metric: metric.name(), mean, worst: rows.filter_map(right).reduce(f64::min), each: vec![] }
    }
}

/// The median time of a call, which is made once before.
fn median_microseconds<T>(mut call: impl FnMut() -> Result<T>) -> Result<f64> {
    call()?;
    let mut all = vec![];
    for _ in 0..TIMED {
        let begun = Instant::now();
        call()?;
        all.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    all.sort_by(f64::total_cmp);
    Ok(all[TIMED / 2])
}
