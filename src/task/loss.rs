//! Losses: what is minimised on the rows of a task.

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Value};

/// What a network is asked to do with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// Mean squared error of `[.., o]` outputs.
    Mse,
    /// Cross entropy of `[.., c]` logits with probabilities or one-hot classes.
    CrossEntropy,
}

/// Loss of each task, `[T]`: prediction and target `[T, n, o]`, row weights `[T, n]` that sum to one over
/// n (`None`: all rows alike). Squared errors are averaged over the outputs.
#[track_caller]
pub fn loss(g: &mut Graph, kind: Loss, prediction: Value, target: Value, rows: Option<Value>) -> Value {
    let [t, n, o] = g.shape(prediction)[..] else { panic!("a prediction is [T, n, o]") };
    match kind {
        Loss::Mse => {
            let d = g.sub(prediction, target);
            let weighted = match rows {
                Some(w) => {
                    let w = g.reshape(w, &[t, n, 1]);
                    g.mul(d, w)
                }
                None => g.scale(d, 1.0 / n as f64),
            };
            let square = g.mul(weighted, d);
            let sum = g.sum_to(square, &[t, 1, 1]);
            let sum = g.reshape(sum, &[t]);
            g.scale(sum, 1.0 / o as f64)
        }
        Loss::CrossEntropy => {
            let rows_loss = g.cross_entropy(prediction, target);
            let weighted = match rows {
                Some(w) => g.mul(rows_loss, w),
                None => g.scale(rows_loss, 1.0 / n as f64),
            };
            let sum = g.sum_to(weighted, &[t, 1]);
            g.reshape(sum, &[t])
        }
    }
}
