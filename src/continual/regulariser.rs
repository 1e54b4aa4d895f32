//! What holds a hypernetwork to what it wrote (von Oswald et al. 2020, equation 2).

use crate::graph::{Graph, Value};

/// The mean over tasks of the squared distance between weights that are written now and those that were, both `[T, P]`: `1/T Σ_t |now_t - then_t|²`, `[]`.
pub fn output_regulariser(g: &mut Graph, now: Value, then: Value) -> Value {
    let tasks = g.shape(now)[0];
    let away = g.sub(now, then);
    let square = g.mul(away, away);
    let all = g.sum_to(square, &[]);
    g.scale(all, 1.0 / tasks as f64)
}
