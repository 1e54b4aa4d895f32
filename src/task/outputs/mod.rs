//! What the outputs of a network mean, apart from the loss that they minimise: how they are averaged, what they cost, how they are
//! shifted by what the support says. A kind is one file here.

mod classes;
mod pixels;
mod symbols;
mod values;

pub(super) use classes::Classes;
pub use classes::{argmax, softmax};
pub(super) use pixels::Pixels;
pub(super) use symbols::Symbols;
pub(super) use values::Values;

use super::Task;

/// A kind of outputs; a row has `o` of them.
pub(super) trait Outputs {
    /// Whether they are logits of classes.
    fn are_classes(&self) -> bool {
        false
    }

    /// Whether they are values, with noise that is normal.
    fn are_values(&self) -> bool {
        false
    }

    /// What is averaged over several models: the mean prediction of each row.
    fn mean(&self, y: &[f32], o: usize) -> Vec<f64>;

    /// An average back as outputs.
    fn of_mean(&self, mean: f64) -> f32;

    /// Sum over rows of what they cost, with targets.
    fn cost(&self, targets: &[f32], y: &[f32], o: usize) -> f64;

    /// What the support alone has to say, the same for every row: its mean target.
    fn of_support(&self, ys: &[f32], o: usize) -> Vec<f32> {
        column_means(ys, o)
    }

    /// Log density of `n` values that cost so much, where the noise of values has this variance.
    fn log_density(&self, cost: f64, n: f64, noise: f64) -> f64;

    /// Predictions on the query shifted by what the support says of predictions on it, shrunk by κ.
    fn shifted(&self, task: &Task, on_query: &[f32], on_support: &[f32], kappa: f64, o: usize) -> Vec<f32>;
}

/// Mean of each column of rows of `width` numbers.
pub(super) fn column_means(rows: &[f32], width: usize) -> Vec<f32> {
    let n = (rows.len() / width).max(1) as f32;
    let mut mean = vec![0.0; width];
    for row in rows.chunks(width) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / n);
    }
    mean
}
