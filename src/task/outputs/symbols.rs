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

    /// How often each of `kinds` symbols stood anywhere, each half a time more than it was seen (Krichevsky and Trofimov 1981).
    fn of_support(&self, ys: &[f32], kinds: usize) -> Vec<f32> {
        let places = (ys.len() / kinds) as f64;
        let seen: Vec<f64> =
            column_means(ys, kinds).into_iter().map(|m| places * f64::from(m) + 0.5).collect();
        let all: f64 = seen.iter().sum();
        seen.iter().map(|n| self.of_mean(n / all)).collect()
    }

    fn log_density(&self, cost: f64, _: f64, _: f64) -> f64 {
        -cost
    }

    /// Sequences stay as they are: what a support says of single places says nothing of others.
    fn shifted(&self, _: &Task, on_query: &[f32], _: &[f32], _: f64, _: usize) -> Vec<f32> {
        on_query.to_vec()
    }
}
