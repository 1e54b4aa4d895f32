//! Logarithms of the probabilities of symbols, `[length, symbols]` as one axis: averaged as probabilities, cost the negative logarithm
//! of the probability of what stands at each place.

use super::{Outputs, column_means};
use crate::task::Task;

pub(in crate::task) struct Symbols;

/// The least probability that has a logarithm here.
const LEAST: f64 = 1e-30;

impl Outputs for Symbols {
    fn mean(&self, y: &[f32], _: usize) -> Vec<f64> {
        y.iter().map(|v| f64::from(*v).exp()).collect()
    }

    fn of_mean(&self, mean: f64) -> f32 {
        mean.max(LEAST).ln() as f32
    }

    fn cost(&self, targets: &[f32], y: &[f32], _: usize) -> f64 {
        -targets
            .iter()
            .zip(y)
            .map(|(t, y)| if *t == 0.0 { 0.0 } else { f64::from(*t) * f64::from(*y) })
            .sum::<f64>()
    }

    /// How often each symbol stood at each place, half a row more than was seen.
    fn of_support(&self, ys: &[f32], o: usize) -> Vec<f32> {
        let n = (ys.len() / o) as f64;
        let seen = column_means(ys, o);
        seen.iter().map(|m| self.of_mean((n * f64::from(*m) + 0.5) / (n + 1.0))).collect()
    }

    fn log_density(&self, cost: f64, _: f64, _: f64) -> f64 {
        -cost
    }

    /// Sequences stay as they are: what a support says of single places says nothing of others.
    fn shifted(&self, _: &Task, on_query: &[f32], _: &[f32], _: f64, _: usize) -> Vec<f32> {
        on_query.to_vec()
    }
}
