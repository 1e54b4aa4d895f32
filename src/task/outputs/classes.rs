//! Logits of classes: averaged as probabilities, cost the negative logarithm of the right class's.

use super::{Outputs, column_means};
use crate::task::Task;

pub(in crate::task) struct Classes;

impl Outputs for Classes {
    fn are_classes(&self) -> bool {
        true
    }

    fn mean(&self, y: &[f32], o: usize) -> Vec<f64> {
        y.chunks(o).flat_map(softmax).collect()
    }

    fn of_mean(&self, mean: f64) -> f32 {
        mean.max(1e-30).ln() as f32
    }

    fn cost(&self, targets: &[f32], y: &[f32], o: usize) -> f64 {
        targets
            .chunks(o)
            .zip(y.chunks(o).map(softmax))
            .map(|(t, p)| -t.iter().zip(p).map(|(t, p)| *t as f64 * p.max(1e-9).ln()).sum::<f64>())
            .sum()
    }

    fn log_density(&self, cost: f64, _: f64, _: f64) -> f64 {
        -cost
    }

    /// Probabilities are multiplied by `(n_c + κ π_c) / ((n + κ) π_c)`, π the mean predicted probability.
    fn shifted(&self, task: &Task, on_query: &[f32], on_support: &[f32], kappa: f64, o: usize) -> Vec<f32> {
        if !kappa.is_finite() {
            return on_query.to_vec();
        }
        let n = task.shots(o) as f64;
        let probabilities: Vec<f32> =
            on_support.chunks(o).flat_map(|y| softmax(y).into_iter().map(|p| p as f32)).collect();
        let pi = column_means(&probabilities, o);
        let seen = column_means(&task.ys, o);
        let ratio: Vec<f32> = (0..o)
            .map(|c| {
                let p = (pi[c] as f64).max(1e-6);
                (((seen[c] as f64 * n + kappa * p) / ((n + kappa) * p)).max(1e-6)).ln() as f32
            })
            .collect();
        on_query
            .chunks(o)
            .flat_map(|y| y.iter().zip(&ratio).map(|(a, b)| a + b).collect::<Vec<_>>())
            .collect()
    }
}

/// Index of the largest value; the first of equals.
pub fn argmax(values: &[f32]) -> usize {
    (0..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

/// `e^x / Σ e^x`
pub fn softmax(x: &[f32]) -> Vec<f64> {
    let max = x.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
    let e: Vec<f64> = x.iter().map(|v| ((v - max) as f64).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|v| v / sum).collect()
}
