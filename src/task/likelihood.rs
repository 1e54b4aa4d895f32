//! How good predictions on unseen tasks are, and the simple things they are held against.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Loss, Rows, Task, argmax};
use crate::graph::op::Binary;
use crate::graph::{Graph, Value};

/// What is measured, over the query rows of all tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Metric {
    /// Mean squared error.
    Mse,
    /// Root of the mean squared error, in the target's own units.
    Rmse,
    /// Fraction of rows whose class is right.
    Accuracy,
    /// Peak signal-to-noise ratio of each task, decibels, where targets in their own units are 0 to 1: `-10 log10(mean squared
    /// error)`, averaged over tasks.
    Psnr,
    /// Bits a dimension: the negative evidence lower bound of a row over the numbers in it.
    #[serde(rename = "bits_per_dimension")]
    Bits,
    /// Bits a symbol of a sequence.
    #[serde(rename = "bits_per_character")]
    BitsPerCharacter,
}

impl Metric {
    /// Lower-case name, as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Mse => "mse",
            Metric::Rmse => "rmse",
            Metric::Accuracy => "accuracy",
            Metric::Psnr => "psnr",
            Metric::Bits => "bits_per_dimension",
            Metric::BitsPerCharacter => "bits_per_character",
        }
    }

    /// Whether `a` is better than `b`; NaN is worse than anything.
    pub fn better(self, a: f64, b: f64) -> bool {
        match self {
            Metric::Accuracy | Metric::Psnr => a > b || (b.is_nan() && !a.is_nan()),
            _ => a < b || (b.is_nan() && !a.is_nan()),
        }
    }
}

/// How predictions are judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Likelihood {
    /// What is measured.
    pub metric: Metric,
    /// What the networks were trained to minimise: it says what their outputs mean.
    pub loss: Loss,
    /// Outputs a row.
    pub outputs: usize,
    /// One unit of the networks' output in the target's own units.
    pub unit: f64,
    /// Kinds of symbols that may stand at each place of a sequence; 0: rows are no sequences of symbols.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kinds: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Likelihood {
    /// Whether outputs are logits of classes.
    pub fn has_classes(&self) -> bool {
        self.loss.has_classes()
    }

    /// Whether outputs are values, whose predictions have intervals.
    pub fn has_values(&self) -> bool {
        self.loss.has_values()
    }

    /// Of rows of `numbers` numbers that are 0 or 1, judged by the evidence lower bound.
    pub fn binary(numbers: usize) -> Likelihood {
        Likelihood { metric: Metric::Bits, loss: Loss::Elbo, outputs: numbers + 1, unit: 1.0, kinds: 0 }
    }

    /// Of sequences of so many symbols each, of so many kinds, judged by the bits a symbol takes.
    pub fn symbols(length: usize, kinds: usize) -> Likelihood {
        Likelihood {
            metric: Metric::BitsPerCharacter,
            loss: Loss::Symbols,
            outputs: length * kinds,
            unit: 1.0,
            kinds,
        }
    }

    /// Of `outputs` values, judged by their mean squared error.
    pub fn values(outputs: usize) -> Likelihood {
        Likelihood { metric: Metric::Mse, loss: Loss::Mse, outputs, unit: 1.0, kinds: 0 }
    }

    /// Of one of `classes` classes, judged by how often it is right.
    pub fn classes(classes: usize) -> Likelihood {
        Likelihood {
            metric: Metric::Accuracy,
            loss: Loss::CrossEntropy,
            outputs: classes,
            unit: 1.0,
            kinds: 0,
        }
    }

    /// The metric of predictions `[tasks][q · o]` on the query rows of `tasks`.
    pub fn score(&self, tasks: &[Task], predictions: &[Vec<f32>]) -> f64 {
        if self.metric == Metric::Psnr {
            let squares = Likelihood { metric: Metric::Mse, ..*self };
            let each = tasks.iter().zip(predictions).map(|(task, y)| {
                let error = squares.score(std::slice::from_ref(task), std::slice::from_ref(y));
                // Equal pictures are as good as 200 dB.
                -10.0 * error.max(1e-20).log10()
            });
            return each.sum::<f64>() / tasks.len().max(1) as f64;
        }
        if matches!(self.metric, Metric::Bits | Metric::BitsPerCharacter) {
            let cost: f64 = tasks.iter().zip(predictions).map(|(task, y)| self.cost(&task.yq, y)).sum();
            let numbers: f64 = if self.metric == Metric::Bits {
                let rows: usize = tasks.iter().map(|task| task.queries(self.outputs)).sum();
                (rows * (self.outputs - 1)) as f64
            } else {
                tasks.iter().flat_map(|task| &task.yq).map(|t| f64::from(*t)).sum()
            };
            return cost / numbers / std::f64::consts::LN_2;
        }
        let (mut sum, mut n) = (0.0, 0.0);
        for (task, y) in tasks.iter().zip(predictions) {
            for (p, t) in y.chunks(self.outputs).zip(task.yq.chunks(self.outputs)) {
                sum += match self.metric {
                    Metric::Accuracy => f64::from(argmax(p) == argmax(t)),
                    _ => {
                        p.iter().zip(t).map(|(a, b)| ((a - b) as f64).powi(2)).sum::<f64>()
                            / self.outputs as f64
                    }
                };
                n += 1.0;
            }
        }
        match self.metric {
            Metric::Mse | Metric::Psnr | Metric::Bits | Metric::BitsPerCharacter => {
                sum / n * self.unit * self.unit
            }
            Metric::Rmse => (sum / n).sqrt() * self.unit,
            Metric::Accuracy => sum / n,
        }
    }

    /// Mean error of a query row (squared error, 1 for a wrong class, or bits a dimension) of the tasks of each name, in order of
    /// the names.
    pub fn errors_by_name(&self, tasks: &[Task], predictions: &[Vec<f32>]) -> Vec<f64> {
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        let plain = Likelihood {
            metric: match self.metric {
                Metric::Accuracy | Metric::Bits | Metric::BitsPerCharacter => self.metric,
                _ => Metric::Mse,
            },
            ..*self
        };
        for (task, y) in tasks.iter().zip(predictions) {
            let rows = task.queries(self.outputs) as f64;
            let score = plain.score(std::slice::from_ref(task), std::slice::from_ref(y));
            let error = if self.metric == Metric::Accuracy { 1.0 - score } else { score };
            let sum = sums.entry(&task.name).or_default();
            *sum = (sum.0 + error * rows, sum.1 + rows);
        }
        sums.into_values().map(|(sum, rows)| sum / rows).collect()
    }

    /// The prediction of several models with these shares: the mean of values, or of probabilities (given back as their
    /// logarithms).
    pub fn mixture(&self, models: &[&[f32]], shares: &[f64]) -> Vec<f32> {
        // What a single model says of symbols needs no way through probabilities, where very small ones would be lost.
        if let ([y], Loss::Symbols) = (models, self.loss) {
            return y.to_vec();
        }
        self.loss.mixture(models, shares, self.outputs)
    }

    /// What outputs `[n · o]` stand for: values, logits of pixels, or probabilities of classes and of symbols.
    pub fn said(&self, y: &[f32]) -> Vec<f64> {
        self.loss.outputs().mean(y, self.outputs)
    }

    /// The mean prediction of several models on each task.
    pub fn combine(&self, members: &[Vec<Vec<f32>>]) -> Vec<Vec<f32>> {
        let shares = vec![1.0 / members.len() as f64; members.len()];
        (0..members.first().map_or(0, Vec::len))
            .map(|t| self.mixture(&members.iter().map(|m| &m[t][..]).collect::<Vec<_>>(), &shares))
            .collect()
    }

    /// Sum over rows of what is minimised: squared errors, or the negative logarithm of the probability of the right class.
    pub fn cost(&self, targets: &[f32], y: &[f32]) -> f64 {
        self.loss.outputs().cost(targets, y, self.outputs)
    }

    /// Log density of `n` targets whose predictions cost so much, where the noise of values has this variance.
    pub fn log_density(&self, cost: f64, n: f64, noise: f64) -> f64 {
        self.loss.outputs().log_density(cost, n, noise)
    }

    /// [`Likelihood::log_density`] of support rows in a graph, `[T, 1]`, by what is said of them `[T, n, o]`, where these are values or classes.
    pub(crate) fn log_density_of(&self, g: &mut Graph, said: Value, support: &Rows, noise: f64) -> Value {
        let t = g.shape(said)[0];
        let e = g.expr();
        let (y, rows) = (e.of(support.y), e.of(support.rows));
        let each = match self.has_classes() {
            true => {
                let logs = e.build(|g| g.log_softmax(said)).larger(e.constant(1e-9f64.ln()));
                -(y * logs)
            }
            false => {
                let wrong = y - e.of(said);
                wrong * wrong
            }
        };
        // Rows that do not count have no weight.
        let shape = [rows.shape(), vec![1]].concat();
        let there = e.constant(0.0).zip(Binary::Less, rows).reshape(&shape);
        let cost = (each * there).sum_to(&[t, 1, 1]).reshape(&[t, 1]);
        let density = match self.has_classes() {
            true => -cost,
            false => {
                let values =
                    e.of(support.count).scale(self.outputs as f64 * (std::f64::consts::TAU * noise).ln());
                (cost.scale(1.0 / noise) + values).scale(-0.5)
            }
        };
        density.value()
    }

    /// What each task's support rows alone have to say for every query row: the mean target (class frequencies; of symbols those at all
    /// places).
    pub fn support_mean(&self, tasks: &[Task]) -> Vec<Vec<f32>> {
        tasks
            .iter()
            .map(|t| {
                let each = if self.kinds > 0 { self.kinds } else { self.outputs };
                let mean = self.loss.outputs().of_support(&t.ys, each);
                mean.repeat(t.queries(each))
            })
            .collect()
    }

    /// Predictions shifted by each task's mean residual on its support, shrunk by `n / (n + κ)`; for classes the
    /// probabilities are multiplied by `(n_c + κ π_c) / ((n + κ) π_c)`, π the mean predicted probability.
    pub fn shifted(
        &self,
        tasks: &[Task],
        on_query: &[Vec<f32>],
        on_support: &[Vec<f32>],
        kappa: f64,
    ) -> Vec<Vec<f32>> {
        let one = |((task, yq), ys): ((&Task, &Vec<f32>), &Vec<f32>)| {
            self.loss.outputs().shifted(task, yq, ys, kappa, self.outputs)
        };
        tasks.iter().zip(on_query).zip(on_support).map(one).collect()
    }
}

/// κ that are tried for [`Likelihood::shifted`].
pub const SHRINKAGE: [f64; 9] = [0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, f64::INFINITY];

#[cfg(test)]
mod tests {
    use super::*;

    fn task(ys: &[f32], yq: &[f32]) -> Task {
        Task {
            name: String::new(),
            xs: vec![0.0; ys.len()],
            ys: ys.to_vec(),
            xq: vec![],
            yq: yq.to_vec(),
            descriptor: vec![],
            known: None,
        }
    }

    #[test]
    fn regression_scores_and_shrinkage() {
        let likelihood = Likelihood { metric: Metric::Rmse, unit: 2.0, ..Likelihood::values(1) };
        let tasks = [task(&[1.0, 3.0], &[0.0, 0.0])];
        assert_eq!(likelihood.score(&tasks, &[vec![3.0, 4.0]]), 2.0 * (12.5f64).sqrt());
        assert_eq!(likelihood.support_mean(&tasks), [[2.0, 2.0]]);
        let shifted = likelihood.shifted(&tasks, &[vec![1.0, 2.0]], &[vec![0.0, 0.0]], 2.0);
        assert_eq!(shifted, [[2.0, 3.0]]); // residual 2, shrunk by 2 / (2 + 2)
    }

    #[test]
    fn probabilities_are_averaged() {
        let likelihood = Likelihood::classes(2);
        let mean = likelihood.combine(&[vec![vec![0.0, 0.0]], vec![vec![100.0, 0.0]]]);
        assert!((mean[0][0].exp() - 0.75).abs() < 1e-6);
        assert_eq!(likelihood.score(&[task(&[], &[1.0, 0.0])], &mean), 1.0);
    }
}
