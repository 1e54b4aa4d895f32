//! `Σ_n w_n · -Σ_c t_c ln softmax(y)_c`

use super::sizes;
use crate::graph::{Graph, Value};

#[track_caller]
pub(super) fn loss(g: &mut Graph, prediction: Value, target: Value, rows: Option<Value>) -> Value {
    let [t, n, _] = sizes(g, prediction);
    let rows_loss = g.cross_entropy(prediction, target);
    let weighted = match rows {
        Some(w) => g.mul(rows_loss, w),
        None => g.scale(rows_loss, 1.0 / n as f64),
    };
    let sum = g.sum_to(weighted, &[t, 1]);
    g.reshape(sum, &[t])
}
