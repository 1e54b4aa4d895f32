//! `Σ_n w_n · (Σ_d (softplus(y_d) - t_d y_d) + y_D) / (D ln 2)`: bits a dimension by the evidence lower bound of a variational autoencoder
//! (Kingma and Welling 2014, equation 10) whose row gives D logits of numbers that are 0 or 1, then the divergence of its code in
//! nats. A target is these numbers and a 0.

use super::sizes;
use crate::graph::{Graph, Value};
use crate::spec::Activation;

#[track_caller]
pub(super) fn loss(g: &mut Graph, prediction: Value, target: Value, rows: Option<Value>) -> Value {
    let [t, n, o] = sizes(g, prediction);
    let d = o - 1;
    let (logits, divergence) = (g.slice(prediction, 2, 0, d), g.slice(prediction, 2, d, 1));
    let target = g.slice(target, 2, 0, d);
    let all = g.act(Activation::Softplus, logits);
    let own = g.mul(target, logits);
    let each = g.sub(all, own);
    let row = g.sum_to(each, &[t, n, 1]);
    let row = g.add(row, divergence);
    let row = g.scale(row, 1.0 / (d as f64 * std::f64::consts::LN_2));
    let row = g.reshape(row, &[t, n]);
    let weighted = match rows {
        Some(w) => g.mul(row, w),
        None => g.scale(row, 1.0 / n as f64),
    };
    let sum = g.sum_to(weighted, &[t, 1]);
    g.reshape(sum, &[t])
}
