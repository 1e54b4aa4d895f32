//! Error on unseen tasks, beside simple things that need no hypernetwork.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use rayon::prelude::*;

use super::Experiment;
use super::config::{Start, TaskKind};
use super::forecasts::{MOST_AHEAD, by_points_ahead};
use super::instruments::{Instruments, layers_at_start};
use super::observer::{Observer, Progress};
use super::report::{Baselines, CosineTransform, Difference, Disagreement, HeldOut, Report, Validation};
use super::single::{Translations, sources_of};
use super::source::{Forecasts, TasksPicture};
use super::translations::translate;
use crate::adapt::StartFrom;
use crate::data::score::{psnr, ssim, truncated};
use crate::error::Result;
use crate::meta::model::{Model, Network, Prediction};
use crate::report::metrics::{self, MetricsRow};
use crate::run::Device;
use crate::search::rank_correlation;
use crate::task::{Metric, Task, reliability, support_as_query};

/// Networks that disagree by less than this share of their error, or by so many nats, are as good as one.
const LITTLE: f64 = 0.05;
const LITTLE_NATS: f64 = 0.005;

impl Experiment<'_> {
    /// Error on the test tasks, beside the baselines.
    pub(super) fn judge(&self, observer: &mut dyn Observer) -> Result<Report> {
        if let Some(task) = self.setup.source().single() {
            return self.judge_single(task, observer);
        }
        observer.progress(&Progress::of("judging on unseen tasks"));
        let shots = self.config.eval.shots;
        let tasks = self.setup.source().test(shots);
        let held_out = self.held_out(&tasks, shots, self.baseline_choices()?)?;
        let (rows, refused) = self.recorded()?;
        let mut instruments = self.instruments(&tasks, refused)?;
        instruments.warnings.extend(self.hardly_differ(&held_out));
        let validation = self.validation()?;
        Ok(Report { held_out: Some(held_out), ..self.report(&rows, instruments, validation) })
    }

    /// What was recorded of the steps of training, and which of these were refused.
    pub(super) fn recorded(&self) -> Result<(Vec<MetricsRow>, Vec<u64>)> {
        let rows = metrics::read(&self.folder.file("metrics.csv"))?;
        let refused = rows.iter().filter(|r| !(r.loss.is_finite() && r.grad_norm.is_finite()));
        let refused = refused.map(|r| r.step).collect();
        Ok((rows, refused))
    }

    /// What the generated networks look like, and how they started.
    pub(super) fn instruments(&self, tasks: &[Task], refused: Vec<u64>) -> Result<Instruments> {
        let found = Instruments::of(&self.model, self.device, tasks, refused)?;
        let spec = &self.model.spec;
        if spec.generator.is_shared_weights() || self.config.train.from.is_some() {
            return Ok(found);
        }
        let (mut rng, base) = self.setup.first_draw(0);
        let base = match self.config.model.starts_at() {
            Start::Pooled => self.model.members[0].pooled.clone(),
            Start::Fresh => base,
        };
        let params = self.setup.meta().init(&mut rng, &base);
        let model = Model::new(spec.clone(), self.model.likelihood, self.model.adaptation, params)?;
        Ok(found.started(layers_at_start(&model, self.device, tasks, |rng| spec.draw(rng, &base))?))
    }

    /// What a report says of the run itself.
    pub(super) fn report(
        &self,
        rows: &[MetricsRow],
        instruments: Instruments,
        validation: Option<Validation>,
    ) -> Report {
        for w in &instruments.warnings {
            log::warn!("{w}");
        }
        let seconds = self.position.millis as f64 / 1e3;
        let done = self.config.train.steps * self.setup.source().members() as u64;
        Report {
            task: self.config.task.name().into(),
            device: self.device.kind().into(),
            seed: self.config.seed,
            steps: self.config.train.steps,
            seconds,
            tasks_per_second: rows
                .last()
                .map_or((done * self.config.train.tasks as u64) as f64 / seconds, |r| r.tasks_per_second),
            target_weights: self.model.spec.target.layout().len(),
            written_weights: if self.model.spec.is_shared() { 0 } else { self.model.spec.written() },
            hyper_parameters: self.model.adaptation.layout(&self.model.spec).len(),
            members: self.model.members.len(),
            held_out: None,
            test: None,
            validation,
            instruments,
        }
    }

    /// Error on unseen tasks with each of these numbers of support rows, beside the baselines.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] where the held-out tasks would not fit, before any is made.
    pub fn sweep(&self, shots: &[usize]) -> Result<Vec<HeldOut>> {
        shots.iter().try_for_each(|&s| self.setup.source().check_held_out(s))?;
        // The baselines choose once, on validation tasks, whatever the shots of the test tasks.
        let choices = self.baseline_choices()?;
        shots.iter().map(|&s| self.held_out(&self.setup.source().test(s), s, choices)).collect()
    }

    fn held_out(&self, tasks: &[Task], shots: usize, choices: (usize, f64)) -> Result<HeldOut> {
        let likelihood = self.model.likelihood;
        let steps = self.steps();
        let chosen = &self.model.choice;
        let found =
            self.model.predict_after(self.device, tasks, StartFrom::Generated(chosen.correction), &steps)?;
        let predictions = self.model.predict(self.device, tasks, None)?;
        let disagreement = self.disagreement(tasks, &predictions);
        let (y, deviation): (Vec<_>, Vec<_>) =
            predictions.into_iter().map(|p| (p.values, p.deviation)).unzip();
        let coverage = chosen
            .intervals
            .as_ref()
            .map(|i| i.coverage(tasks, &y, &deviation, likelihood.unit))
            .unwrap_or_default();
        let reliability =
            if likelihood.has_classes() { reliability(tasks, &y, likelihood.outputs) } else { vec![] };
        let by_steps: IndexMap<String, f64> =
            steps.iter().zip(&found).map(|(k, y)| (k.to_string(), likelihood.score(tasks, y))).collect();
        let (baselines, differences) = self.baselines(tasks, shots, choices, &y)?;
        let shape = self.setup.source().picture_shape();
        let numbers = self.model.adaptation.width(&self.model.spec);
        let is_csv = self.config.task == TaskKind::Csv;
        Ok(HeldOut {
            psnr: shape.map(|_| by_steps.clone()),
            ssim: shape.and_then(|shape| {
                steps
                    .iter()
                    .zip(&found)
                    .map(|(k, y)| Some((k.to_string(), similarity(tasks, y, shape)?)))
                    .collect()
            }),
            cosine_transform: shape.map(|shape| cosine_transform(tasks, shape, numbers)),
            metric: likelihood.metric.name().into(),
            tasks: tasks.len(),
            // Elsewhere tasks of one name are no draws of one group, and shots count something else than rows.
            groups: is_csv.then(|| groups_of(tasks)).flatten(),
            shots,
            first_by: self.setup.source().order().map(String::from),
            support_rows: is_csv.then(|| support_rows(tasks, shots, likelihood.outputs)).flatten(),
            chosen_steps: chosen.steps,
            chosen_correction: chosen.correction,
            chosen: likelihood.score(tasks, &y),
            gate: chosen.gate,
            by_steps,
            main_network: self.main_network(tasks, choices.0)?,
            baselines,
            differences,
            points_ahead: match self.setup.source().picture() {
                TasksPicture::Series(Forecasts { table, query }) => {
                    by_points_ahead(self.device, &self.model, &table, shots, query.min(MOST_AHEAD))?
                }
                _ => vec![],
            },
            translations: self.translated(tasks, choices.0)?,
            target_std: likelihood.unit,
            coverage,
            reliability,
            disagreement,
        })
    }

    /// What is to be said where noise makes no difference.
    fn hardly_differ(&self, held_out: &HeldOut) -> Option<String> {
        let apart = held_out.disagreement?;
        if held_out.chosen_correction == 0.0 {
            return Some("nothing of what is written was kept, so the networks of a task are all the pooled one: noise makes no difference".into());
        }
        let little = match (self.model.likelihood.metric, self.model.likelihood.has_values()) {
            (_, false) => LITTLE_NATS,
            (Metric::Mse, _) => LITTLE * held_out.chosen.sqrt(),
            (Metric::Rmse, _) => LITTLE * held_out.chosen,
            _ => 0.0,
        };
        (apart.mean < little).then(|| {
            "the networks of a task hardly differ, whatever the noise: more training, more model.draws or a wider model.noise may help, or the support leaves nothing open".into()
        })
    }

    /// How far the networks of each task disagree on its query rows, beside how wrong they are together.
    fn disagreement(&self, tasks: &[Task], predictions: &[Prediction]) -> Option<Disagreement> {
        let likelihood = self.model.likelihood;
        let o = likelihood.outputs;
        let (mut apart, mut wrong) = (vec![], vec![]);
        for (task, p) in tasks.iter().zip(predictions) {
            apart.extend(p.disagreement.iter().map(|d| f64::from(*d)));
            let said = likelihood.said(&p.values);
            wrong.extend(task.yq.chunks(o).zip(said.chunks(o)).map(|(target, said)| {
                let each = target.iter().zip(said).map(|(t, y)| (f64::from(*t), *y));
                match likelihood.has_classes() {
                    true => 1.0 - each.map(|(t, y)| t * y).sum::<f64>(),
                    false => each.map(|(t, y)| (t - y).powi(2)).sum::<f64>(),
                }
            }));
        }
        let unit = if likelihood.has_values() { likelihood.unit } else { 1.0 };
        (!apart.is_empty()).then(|| Disagreement {
            mean: unit * apart.iter().sum::<f64>() / apart.len() as f64,
            rank_correlation: rank_correlation(&apart, &wrong),
        })
    }

    /// What is said of the sources of all tasks, where these are of pairs.
    fn translated(&self, tasks: &[Task], tuned_steps: usize) -> Result<IndexMap<String, Translations>> {
        let format = self.setup.source().format();
        let Some(asked) = tasks.iter().map(|task| format.pairs_asked(task)).collect::<Option<Vec<_>>>()
        else {
            return Ok(IndexMap::new());
        };
        let (device, model) = (self.device, &self.model);
        let known = |task: &Task| Task::from_support(task.xs.clone(), task.ys.clone());
        let by = |network: &dyn Fn(&Task) -> Result<Network>| -> Result<Translations> {
            let mut said = vec![];
            for (task, pairs) in tasks.iter().zip(&asked) {
                said.extend(translate(device, &network(task)?, &format, &sources_of(pairs), 1)?);
            }
            Ok(Translations::of(&said, &asked.concat()))
        };
        let all = asked.concat();
        let source = self.setup.source();
        let supports = support_as_query(tasks);
        let nearest = supports
            .iter()
            .zip(&asked)
            .map(|(known, pairs)| source.nearest(&format.pairs_asked(known)?, &sources_of(pairs)));
        let nearest: Option<Vec<Vec<String>>> = nearest.collect();
        let mut found = IndexMap::from([
            ("chosen".to_string(), by(&|task| model.adapt(device, &known(task), None))?),
            ("pooled".to_string(), by(&|_| Ok(model.pooled()))?),
            (
                "pooled_fine_tuned".to_string(),
                by(&|task| model.fine_tuned(device, &known(task), tuned_steps))?,
            ),
            ("copy".to_string(), Translations::of(&sources_of(&all), &all)),
        ]);
        if let Some(said) = nearest {
            found.insert("nearest".to_string(), Translations::of(&said.concat(), &all));
        }
        Ok(found)
    }

    /// The metric of simple things, and how far the errors of predictions y are from theirs.
    fn baselines(
        &self,
        tasks: &[Task],
        shots: usize,
        (tuned_steps, kappa): (usize, f64),
        y: &[Vec<f32>],
    ) -> Result<(Baselines, IndexMap<String, Difference>)> {
        let likelihood = self.model.likelihood;
        let mut both = vec![0, tuned_steps];
        both.dedup();
        let pooled = self.model.predict_after(self.device, tasks, StartFrom::Pooled, &both)?;
        let on_support = pooled_on_support(&self.model, self.device, tasks)?;
        let errors = likelihood.errors_by_name(tasks, y);
        let mut differences = IndexMap::new();
        let mut score = |name: &str, predictions: &[Vec<f32>]| {
            let others = likelihood.errors_by_name(tasks, predictions);
            if errors.len() > 1 {
                differences.insert(name.to_string(), Difference::of(&errors, &others));
            }
            likelihood.score(tasks, predictions)
        };
        let baselines = Baselines {
            support_mean: score("support_mean", &likelihood.support_mean(tasks)),
            pooled: score("pooled", &pooled[0]),
            pooled_residual: score(
                "pooled_residual",
                &likelihood.shifted(tasks, &pooled[0], &on_support, kappa),
            ),
            pooled_fine_tuned: score("pooled_fine_tuned", &pooled[both.len() - 1]),
            simple: (self.setup.source().simple(shots).into_iter())
                .map(|(name, said)| (name.to_string(), score(name, &said)))
                .collect(),
        };
        Ok((baselines, differences))
    }

    /// The metric of the main networks, before and after fine-tuning; `None` where all tasks start with the same weights anyway.
    fn main_network(&self, tasks: &[Task], tuned_steps: usize) -> Result<Option<[f64; 2]>> {
        let layout = self.model.spec.layout();
        let Some(theta) = layout.get("head.bias").filter(|_| !self.model.spec.is_shared()) else {
            return Ok(None);
        };
        let mut model = self.model.clone();
        for m in &mut model.members {
            m.pooled = m.hyper[theta.range()].to_vec();
        }
        let found = model.predict_after(self.device, tasks, StartFrom::Pooled, &[0, tuned_steps])?;
        Ok(Some([
            self.model.likelihood.score(tasks, &found[0]),
            self.model.likelihood.score(tasks, &found[1]),
        ]))
    }

    /// Predictions on the query rows of `tasks` after each of these numbers of steps, ascending: `[steps][tasks][q · o]`.
    pub(super) fn after_each(&self, tasks: &[Task], steps: &[usize]) -> Result<Vec<Vec<Vec<f32>>>> {
        let from = StartFrom::Generated(self.model.choice.correction);
        self.model.predict_after(self.device, tasks, from, steps)
    }

    /// Steps of adaptation that pictures show: those that were chosen, or where none was the most that were tried.
    pub(super) fn steps_shown(&self) -> usize {
        match self.model.choice.steps {
            0 => self.steps().last().copied().unwrap_or(0),
            k => k,
        }
    }

    /// Predictions on the query rows of `tasks`, before adaptation and after the chosen steps.
    pub fn before_and_after(&self, tasks: &[Task]) -> Result<(Vec<Vec<f32>>, Vec<Vec<f32>>)> {
        let after = self.steps_shown();
        let mut found = self.model.predict_after(
            self.device,
            tasks,
            StartFrom::Generated(self.model.choice.correction),
            &[0, after],
        )?;
        let after = found.pop().unwrap_or_default();
        Ok((found.pop().unwrap_or_default(), after))
    }
}

/// Channels of pictures from 0 to 1, as they are judged.
fn shown(colours: &[f32]) -> Vec<f32> {
    colours.iter().map(|v| (0.5 * v + 0.5).clamp(0.0, 1.0)).collect()
}

/// Of how many groups these tasks are draws; `None` where each is of its own.
fn groups_of(tasks: &[Task]) -> Option<usize> {
    let names: BTreeSet<&str> = tasks.iter().map(|t| t.name.as_str()).collect();
    (names.len() < tasks.len() && !names.contains("")).then_some(names.len())
}

/// The fewest, the mean and the most support rows, where some tasks have fewer than `shots`.
fn support_rows(tasks: &[Task], shots: usize, outputs: usize) -> Option<[f64; 3]> {
    let rows = || tasks.iter().map(|t| (t.ys.len() / outputs) as f64);
    let [fewest, most] = [rows().fold(f64::INFINITY, f64::min), rows().fold(0.0, f64::max)];
    (fewest < shots as f64).then(|| [fewest, rows().sum::<f64>() / tasks.len() as f64, most])
}

/// Mean structural similarity of predicted pictures; `None` where they are too small for it.
fn similarity(tasks: &[Task], y: &[Vec<f32>], shape: [usize; 3]) -> Option<f64> {
    let each = tasks.iter().zip(y).map(|(t, y)| ssim(&shown(&t.yq), &shown(y), shape));
    Some(each.sum::<Option<f64>>()? / tasks.len().max(1) as f64)
}

/// Pictures by so many of their lowest frequencies.
fn cosine_transform(tasks: &[Task], shape: [usize; 3], numbers: usize) -> CosineTransform {
    let coefficients = numbers.min(shape.iter().product());
    let each = tasks.par_iter().map(|t| {
        let truth = shown(&t.yq);
        psnr(&truth, &truncated(&truth, shape, coefficients))
    });
    CosineTransform {
        coefficients,
        psnr: each.collect::<Vec<f64>>().iter().sum::<f64>() / tasks.len().max(1) as f64,
    }
}

/// The pooled network's predictions on support rows.
pub(super) fn pooled_on_support(model: &Model, device: &Device, tasks: &[Task]) -> Result<Vec<Vec<f32>>> {
    Ok(model.predict_after(device, &support_as_query(tasks), StartFrom::Pooled, &[0])?.concat())
}
