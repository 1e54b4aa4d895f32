//! Values, with noise that is normal: averaged as they are, cost their squared error.

use super::{Outputs, column_means};
use crate::task::Task;

pub(in crate::task) struct Values;

impl Outputs for Values {
    fn are_values(&self) -> bool {
        true
    }

    fn mean(&self, y: &[f32], _: usize) -> Vec<f64> {
        y.iter().map(|v| *v as f64).collect()
    }

    fn of_mean(&self, mean: f64) -> f32 {
        mean as f32
    }

    fn cost(&self, targets: &[f32], y: &[f32], _: usize) -> f64 {
        targets.iter().zip(y).map(|(t, p)| ((t - p) as f64).powi(2)).sum()
    }

    fn log_density(&self, cost: f64, n: f64, noise: f64) -> f64 {
        -0.5 * (cost / noise + n * (std::f64::consts::TAU * noise).ln())
    }

    fn shifted(&self, task: &Task, on_query: &[f32], on_support: &[f32], kappa: f64, o: usize) -> Vec<f32> {
        let n = task.shots(o) as f64;
        let residual: Vec<f32> = task.ys.iter().zip(on_support).map(|(t, p)| t - p).collect();
        let shrink = if kappa.is_finite() { n / (n + kappa) } else { 0.0 };
        let shift: Vec<f32> =
            column_means(&residual, o).iter().map(|r| (*r as f64 * shrink) as f32).collect();
        on_query
            .chunks(o)
            .flat_map(|y| y.iter().zip(&shift).map(|(a, b)| a + b).collect::<Vec<_>>())
            .collect()
    }
}
