//! What is chosen on validation tasks, which the judged model has not seen: steps of adaptation, how much of a correction is
//! kept, how networks are weighed, how wide intervals are; and what the baselines choose.

use std::f64::consts::{LN_2, LN_10};

use super::Experiment;
use super::config::{Config, Method, Start};
use super::forecasts::{MOST_AHEAD, growth};
use super::judge::pooled_on_support;
use super::report::{Difference, Validation};
use super::source::{Forecasts, TasksPicture};
use crate::adapt::{Candidates, Fast, Gate, StartFrom};
use crate::error::Result;
use crate::meta::model::{Choice, Model, Predictions};
use crate::task::{Intervals, Metric, SHRINKAGE, Task};

/// What logits are tried to be multiplied by.
pub(super) const SHARPNESS: [f64; 13] = [0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0];

/// Least variance of targets around what networks say that disagree, by their mean squared error.
const LEAST_NOISE: f64 = 0.01;

impl Experiment<'_> {
    /// Chooses for the trained model.
    pub(super) fn choose(&mut self) -> Result<()> {
        if self.setup.source().single().is_some() {
            return self.choose_single();
        }
        self.model.choice = self.best_choice()?;
        let members = (self.model.members.iter().enumerate())
            .map(|(i, m)| {
                let tasks = self.setup.source().validation(i);
                let mut adapters = self.model.adapters(self.device, &tasks, self.config.adapt.gate)?;
                let candidates = self.model.candidates(&mut adapters, m, &tasks)?;
                Ok((tasks, candidates))
            })
            .collect::<Result<Vec<(Vec<Task>, Candidates)>>>()?;
        let likelihood = self.model.likelihood;
        let tasks: Vec<Task> = members.iter().flat_map(|(tasks, _)| tasks.iter().cloned()).collect();
        // Predictions and deviations on all of these tasks, as a model settles them.
        let combined = |model: &Model, members: &[(Vec<Task>, Candidates)]| {
            let (mut y, mut d) = (vec![], vec![]);
            for (mine, c) in members {
                let (found, deviation) = model.combined(mine, c);
                y.extend(found);
                d.extend(deviation);
            }
            (y, d)
        };
        if self.config.adapt.gate {
            // The adapted networks alone are simpler: the same rule of one standard error.
            let errors = |model: &Model| likelihood.errors_by_name(&tasks, &combined(model, &members).0);
            let alone = errors(&self.model);
            self.model.choice.gate = Some(Gate::fit(&likelihood, &members));
            if !clearly_less(&errors(&self.model), &alone) {
                self.model.choice.gate = None;
            }
        }
        let cost = |y: &[Vec<f32>]| tasks.iter().zip(y).map(|(t, y)| likelihood.cost(&t.yq, y)).sum::<f64>();
        if likelihood.has_values() {
            let (y, _) = combined(&self.model, &members);
            let values: usize = tasks.iter().map(|t| t.yq.len()).sum();
            let variance = cost(&y) / values.max(1) as f64;
            let noise = match self.model.spec.condition.draws() {
                1 => 0.0,
                _ => variance - disagreement(&members),
            };
            // Where networks disagree more than they are wrong, a little of what they are wrong.
            let noise = if noise == 0.0 { 0.0 } else { noise.max(LEAST_NOISE * variance) };
            self.model.choice.intervals =
                Some(Intervals { factors: vec![], variance, noise, growth: vec![] });
            let (_, deviation) = combined(&self.model, &members);
            let mut intervals = Intervals { noise, ..Intervals::fit(&tasks, &y, &deviation, variance) };
            if let TasksPicture::Series(Forecasts { table, query }) = self.setup.source().picture() {
                let validation = (&table.split.validation[..], self.config.eval.shots);
                intervals.growth =
                    growth(self.device, &self.model, &table, validation, query.min(MOST_AHEAD))?;
            }
            self.model.choice.intervals = Some(intervals);
        } else if likelihood.has_classes()
            && self.model.spec.target.head().is_some()
            && self.model.spec.condition.draws() == 1
        {
            // What is sharpened is the head. A mixture of several networks was trained to be as sure as it is right.
            let tried = SHARPNESS.map(|sharpness| {
                let mut members = members.clone();
                members.iter_mut().for_each(|(_, c)| c.sharpen(sharpness as f32));
                (cost(&combined(&self.model, &members).0), sharpness)
            });
            let best = tried.into_iter().filter(|t| !t.0.is_nan()).min_by(|a, b| a.0.total_cmp(&b.0));
            self.model.choice.sharpness = best.map_or(1.0, |b| b.1);
        }
        Ok(())
    }

    /// Numbers of steps, ascending, with 0 among them.
    pub(super) fn steps(&self) -> Vec<usize> {
        let mut steps = self.config.adapt.steps.clone();
        steps.push(0);
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// Numbers of steps that the pooled network's fine-tuning is tried with.
    pub(super) fn fine_tuning_steps(&self) -> Vec<usize> {
        if self.model.fine_tuning == self.model.adaptation {
            self.steps()
        } else {
            Config::with_method(self.config.task, Method::FineTune).adapt.steps
        }
    }

    /// Fractions of the correction that are tried: where it is a correction, none and half of it too.
    fn fractions(&self) -> Vec<f64> {
        // An embedding writes all weights anew: there is nothing to keep half of.
        match self.config.model.starts_at() {
            _ if self.config.adapt.fast == Fast::Embedding => vec![1.0],
            Start::Fresh => vec![1.0],
            Start::Pooled => vec![1.0, 0.5, 0.0],
        }
    }

    /// How good the model is on validation tasks: as it was chosen, or after the best number of steps of adaptation where training goes on still.
    /// `None` where there are none.
    ///
    /// # Errors
    /// Those of the device.
    pub fn validation(&self) -> Result<Option<Validation>> {
        let likelihood = self.model.likelihood;
        if let Some(task) = self.setup.source().single() {
            let rows = task.validation.len() as f64;
            return Ok(self.curve.last().map(|point| match likelihood.metric {
                Metric::Accuracy => Validation {
                    score: point.accuracy,
                    standard_error: Some((point.accuracy * (1.0 - point.accuracy) / rows).sqrt()),
                },
                // One sequence says nothing of the spread of others.
                _ => Validation { score: point.loss / LN_2, standard_error: None },
            }));
        }
        let (tasks, predictions) = if self.position.trained {
            let (mut tasks, mut all) = (vec![], vec![]);
            for (i, m) in self.model.members.iter().enumerate() {
                let mine = self.setup.source().validation(i);
                let one = Model { members: vec![m.clone()], ..self.model.clone() };
                all.extend(one.predict(self.device, &mine, None)?.into_iter().map(|p| p.values));
                tasks.extend(mine);
            }
            (tasks, all)
        } else {
            let (tasks, found) = self.validation_predictions(StartFrom::Generated(1.0), &self.steps())?;
            let scores: Vec<f64> = found.iter().map(|y| likelihood.score(&tasks, y)).collect();
            let best = self.best(&scores);
            (tasks, found.into_iter().nth(best).unwrap_or_default())
        };
        if tasks.is_empty() {
            return Ok(None);
        }
        let score = likelihood.score(&tasks, &predictions);
        let errors = likelihood.errors_by_name(&tasks, &predictions);
        let Difference { mean, standard_error, .. } = Difference::of(&errors, &vec![0.0; errors.len()]);
        let standard_error = match likelihood.metric {
            // Errors are squares: by the derivative of the root, and of the logarithm.
            Metric::Rmse => standard_error * score / (2.0 * mean),
            Metric::Psnr => standard_error * 10.0 / (LN_10 * mean),
            _ => standard_error,
        };
        let standard_error = Some(standard_error).filter(|e| e.is_finite() && errors.len() > 1);
        Ok(Some(Validation { score, standard_error }))
    }

    /// The score on each member's validation tasks, which it has not seen, over all members.
    fn validate(&self, from: StartFrom, steps: &[usize]) -> Result<Vec<f64>> {
        let (tasks, found) = self.validation_predictions(from, steps)?;
        Ok(found.iter().map(|y| self.model.likelihood.score(&tasks, y)).collect())
    }

    /// Each member's predictions on its own validation tasks; a task's name tells groups apart.
    fn validation_predictions(&self, from: StartFrom, steps: &[usize]) -> Result<(Vec<Task>, Predictions)> {
        let (mut tasks, mut found): (Vec<Task>, Predictions) = (vec![], vec![vec![]; steps.len()]);
        for (i, m) in self.model.members.iter().enumerate() {
            let mine = self.setup.source().validation(i);
            let one = Model { members: vec![m.clone()], ..self.model.clone() };
            for (all, new) in found.iter_mut().zip(one.predict_after(self.device, &mine, from, steps)?) {
                all.extend(new);
            }
            tasks.extend(mine);
        }
        Ok((tasks, found))
    }

    pub(super) fn best(&self, scores: &[f64]) -> usize {
        let metric = self.model.likelihood.metric;
        (0..scores.len()).fold(0, |best, i| if metric.better(scores[i], scores[best]) { i } else { best })
    }

    /// The best steps and fraction of the correction on validation tasks. Where no correction is among the
    /// fractions, the simpler model (the pooled network, fine-tuned) is kept unless a correction is better by
    /// more than one standard error over the groups (the rule of Breiman et al. 1984, section 3.4.3): with few
    /// groups the best of many candidates is often the luckiest.
    fn best_choice(&self) -> Result<Choice> {
        let (steps, likelihood) = (self.steps(), self.model.likelihood);
        let mut found: Vec<(f64, Choice, Vec<f64>)> = Vec::new();
        for correction in self.fractions() {
            let (tasks, predictions) =
                self.validation_predictions(StartFrom::Generated(correction), &steps)?;
            let scores: Vec<f64> = predictions.iter().map(|y| likelihood.score(&tasks, y)).collect();
            let k = self.best(&scores);
            let errors = likelihood.errors_by_name(&tasks, &predictions[k]);
            found.push((scores[k], Choice { steps: steps[k], correction, ..Choice::default() }, errors));
        }
        let (simple, rest): (Vec<_>, Vec<_>) = found.into_iter().partition(|f| f.1.correction == 0.0);
        let simple = simple.into_iter().next();
        let best = rest.into_iter().reduce(|a, b| if likelihood.metric.better(b.0, a.0) { b } else { a });
        Ok(match (best, simple) {
            (Some(best), Some(simple)) if !clearly_less(&best.2, &simple.2) => simple.1,
            (Some(best), _) => best.1,
            (None, simple) => simple.map_or_else(Choice::default, |s| s.1),
        })
    }

    /// What the baselines choose on validation tasks: steps of fine-tuning, and the shrinkage κ.
    pub(super) fn baseline_choices(&self) -> Result<(usize, f64)> {
        let (likelihood, steps) = (self.model.likelihood, self.fine_tuning_steps());
        let validation = self.validate(StartFrom::Pooled, &steps)?;
        // Shrinkage: on each member's own validation tasks.
        let mut scores = vec![0.0; SHRINKAGE.len()];
        for (i, m) in self.model.members.iter().enumerate() {
            let mine = self.setup.source().validation(i);
            let one = Model { members: vec![m.clone()], ..self.model.clone() };
            let y = one.predict_after(self.device, &mine, StartFrom::Pooled, &[0])?.concat();
            let s = pooled_on_support(&one, self.device, &mine)?;
            for (score, kappa) in scores.iter_mut().zip(SHRINKAGE) {
                *score += likelihood.score(&mine, &likelihood.shifted(&mine, &y, &s, kappa))
                    / self.model.members.len() as f64;
            }
        }
        Ok((steps[self.best(&validation)], SHRINKAGE[self.best(&scores)]))
    }
}

/// Mean variance of what is said of a query row.
fn disagreement(members: &[(Vec<Task>, Candidates)]) -> f64 {
    let all = || members.iter().flat_map(|(_, c)| c.disagreement.iter().flatten());
    all().map(|v| f64::from(*v)).sum::<f64>() / all().count().max(1) as f64
}

/// Whether paired errors `a` are below `b` by more than one standard error of their mean difference.
fn clearly_less(a: &[f64], b: &[f64]) -> bool {
    let difference = Difference::of(a, b);
    difference.mean < -difference.standard_error
}
