//! `-Σ_n w_n Σ_j t_nj y_nj / Σ_n w_n Σ_j t_nj`: the mean negative log-likelihood of a symbol, in nats, of sequences whose rows give
//! logarithms of probabilities `[length, symbols]` as one axis, j; a target has a 1 for what stands at each place. Where it has none, as
//! behind the end of a short sequence, nothing is asked.

use super::sizes;
use crate::graph::op::Binary;
use crate::graph::{Graph, Value};

/// Symbols that a task is divided by, at least: one without any costs 0.
const LEAST: f64 = 1e-6;

#[track_caller]
pub(super) fn loss(g: &mut Graph, prediction: Value, target: Value, rows: Option<Value>) -> Value {
    let [t, n, _] = sizes(g, prediction);
    let target = match rows {
        Some(w) => {
            let w = g.reshape(w, &[t, n, 1]);
            g.mul(target, w)
        }
        None => target,
    };
    let own = g.mul(target, prediction);
    let [cost, symbols] = [own, target].map(|v| {
        let sum = g.sum_to(v, &[t, 1, 1]);
        g.reshape(sum, &[t])
    });
    let least = g.constant(LEAST);
    let symbols = g.zip(Binary::Max, symbols, least);
    let mean = g.div(cost, symbols);
    g.scale(mean, -1.0)
}
