//! `(x - mean) / √(variance + ε) · gain + shift`, with the mean and the (biased) variance of other elements by other layers.

use super::layer::{Forward, Params};
use crate::graph::op::{Binary, Func};
use crate::graph::{Graph, Value};
use crate::net::layout::{Init, ParamRole};

/// ε, as PyTorch's norms have it.
pub(super) const EPS: f64 = 1e-5;

/// Puts a gain of 1 and a shift of 0 a channel: `NAME.gain [c]`, `NAME.shift [c]`.
pub(super) fn params(channels: usize, to: &mut Params<'_>) {
    let name = to.layer();
    for (what, start) in [("gain", 1.0), ("shift", 0.0)] {
        to.layout.push(format!("{name}.{what}"), &[channels], Init::Constant(start)).role = ParamRole::Norm;
    }
}

/// Normalises by the mean over axes that have length 1 in `kept`; `weights` of elements, broadcast over x, sum to one over those
/// axes (`None`: all alike).
pub(crate) fn standardised(g: &mut Graph, x: Value, kept: &[usize], weights: Option<Value>) -> Value {
    let (d, factor) = deviations(g, x, kept, weights);
    g.mul(d, factor)
}

/// The two factors of what [`standardised`] gives: distances from the mean, and `1 / √(variance + ε)` of the shape `kept`.
pub(super) fn deviations(g: &mut Graph, x: Value, kept: &[usize], weights: Option<Value>) -> (Value, Value) {
    let moments = Moments::of(g, x, kept, weights);
    (moments.deviations(g, x), moments.factor)
}

/// Mean and variance of some elements, by which they and others can be normalised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    /// The mean, but for its rounding.
    centre: Value,
    /// What rounding left of it.
    rest: Value,
    /// `1 / √(variance + ε)`
    pub(super) factor: Value,
}

impl Moments {
    /// Distances from the mean.
    pub(super) fn deviations(&self, g: &mut Graph, x: Value) -> Value {
        let near = g.sub(x, self.centre);
        g.sub(near, self.rest)
    }

    /// The mean.
    pub(super) fn mean(&self, g: &mut Graph) -> Value {
        g.add(self.centre, self.rest)
    }

    /// Over axes that have length 1 in `kept`; `weights` of elements, broadcast over x, sum to one over those axes.
    pub(super) fn of(g: &mut Graph, x: Value, kept: &[usize], weights: Option<Value>) -> Moments {
        let n: usize = g.shape(x).iter().zip(kept).map(|(d, k)| if *k == 1 { *d } else { 1 }).product();
        let mean = |g: &mut Graph, v: Value| match weights {
            Some(w) => {
                let v = g.mul(v, w);
                g.sum_to(v, kept)
            }
            None => {
                let sum = g.sum_to(v, kept);
                g.scale(sum, 1.0 / n as f64)
            }
        };
        let centre = mean(g, x);
        let near = g.sub(x, centre);
        // What rounding left of the mean, which a small variance would show a hundredfold; but for rounding it is 0, and so is its
        // derivative.
        let rest = mean(g, near);
        let rest = g.stop_gradient(rest);
        // Both sums read the same once: the variance is that around the rounded mean but for the distance of the two (Chan,
        // Golub and LeVeque 1983, equation 1.7).
        let square = g.mul(near, near);
        let around = mean(g, square);
        let apart = g.mul(rest, rest);
        let variance = g.sub(around, apart);
        let none = g.constant(0.0);
        let variance = g.zip(Binary::Max, variance, none);
        let variance = g.affine(variance, 1.0, EPS);
        Moments { centre, rest, factor: g.map(Func::Rsqrt, variance) }
    }
}

/// Times the gain, plus the shift of each channel, the last axis of x.
pub(super) fn scaled(g: &mut Graph, x: Value, name: &str, f: &Forward<'_>) -> Value {
    let rank = g.shape(x).len();
    let [gain, shift] = gain_and_shift(g, rank, name, f);
    let y = g.mul(x, gain);
    g.add(y, shift)
}

/// The gain and the shift of each channel, to be broadcast over rows of that rank.
pub(super) fn gain_and_shift(g: &mut Graph, rank: usize, name: &str, f: &Forward<'_>) -> [Value; 2] {
    ["gain", "shift"].map(|what| {
        let v = f.weights.get(g, &format!("{name}.{what}"));
        // A row a task lies before the rows.
        let mut shape = vec![1; rank];
        let own = g.shape(v).to_vec();
        shape[rank - 1] = own[own.len() - 1];
        if own.len() == 2 {
            shape[0] = own[0];
        }
        g.reshape(v, &shape)
    })
}
