//! `Σ_n w_n · mean_o (y - t)²`

use super::sizes;
use crate::graph::{Graph, Value};

#[track_caller]
pub(super) fn loss(g: &mut Graph, prediction: Value, target: Value, rows: Option<Value>) -> Value {
    let [t, n, o] = sizes(g, prediction);
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
