//! The last layer in closed form: Bayesian linear regression on the features φ of the generated network, around its
//! generated last layer W₀ (ridge regression: Bertinetto et al. 2019, R2D2; the Bayesian reading: Harrison et al. 2018,
//! ALPaCA). With prior variances S = diag(s) and noise σ² (both learned), over the n support rows:
//!
//! ```text
//! K  = Φ S Φᵀ + σ² I                          covariance of the targets, [n, n]
//! W  = W₀ + S Φᵀ K⁻¹ (Y - Φ W₀)               posterior mean
//! v  = σ² + φᵀ S φ - φᵀ S Φᵀ K⁻¹ Φ S φ        predictive variance of a row
//! e  = -½ (rᵀ K⁻¹ r + ln |K| + n ln 2π)       log marginal likelihood, r = Y - Φ W₀
//! ```
//!
//! The solve is in the size of the support, which is small where learning is few-shot. Rows that do not count have features
//! and residuals of 0, so that K is σ² on their diagonal and they change nothing; their share of ln |K| is taken off again.
//! Classes are regressed as one-hot targets; logits are the prediction times a learned scale.

use crate::graph::op::{Binary, Func};
use crate::graph::{Graph, Value};
use crate::net::{Head, Init, ParamLayout, Weights};
use crate::task::Loss;

/// Least variance of the noise, and its least share of the trace of K: the condition number of K stays below a million, where
/// f32 can still solve with it.
const MIN_NOISE: f64 = 1e-6;
const MIN_NOISE_FRACTION: f64 = 1e-6;

/// Logarithms are learned in units of this: Adam moves a parameter by no more than about its learning rate a step, which for a
/// variance that has to change by orders of magnitude would take the whole training.
pub(super) const LOG_UNIT: f64 = 10.0;

/// The parameter that says what predictions of classes are multiplied by.
pub(super) const LOG_SCALE: &str = "log_scale";

/// What is learned for the closed form, beside the networks.
pub fn layout(head: &Head) -> ParamLayout {
    let mut layout = ParamLayout::default();
    // The variance of a weight that is worth learning is of the order of its initial one.
    let mut log = |name: &str, len: usize, value: f64| {
        layout.push(name, &[len], Init::Constant(value.ln() / LOG_UNIT));
    };
    log("log_variance", head.features + 1, 1.0 / head.features as f64);
    log("log_noise", 1, 0.1);
    log(LOG_SCALE, 1, 5.0);
    layout
}

/// What one-hot predictions are multiplied by to be logits, from all learned parameters.
pub(super) fn logit_scale(params: &[f32], layout: &ParamLayout) -> f32 {
    let log =
        layout.get(&format!("adapt.{LOG_SCALE}")).and_then(|p| params.get(p.offset)).copied().unwrap_or(0.0);
    (LOG_UNIT * log as f64).exp() as f32
}

/// Numbers of which the logarithms are learned, for `t` tasks: `[T, 1, len]`.
pub(super) fn positive(g: &mut Graph, params: Weights<'_>, name: &str, t: usize, len: usize) -> Value {
    let log = params.get(g, &format!("adapt.{name}"));
    let log = g.scale(log, LOG_UNIT);
    let v = g.map(Func::Exp, log);
    let v = g.reshape(v, &[1, 1, len]);
    g.expand(v, &[t, 1, len])
}

/// What is known before the support is seen.
#[derive(Clone, Copy, Debug)]
pub struct Prior {
    /// Variances of the weights of each feature, then of the bias, `[T, 1, f + 1]`.
    variance: Value,
    /// Variance of the targets about the network, `[T, 1, 1]`.
    noise: Value,
    /// What one-hot predictions are multiplied by, `[T, 1, 1]`.
    scale: Value,
}

/// What is known of tasks once their support is seen.
#[derive(Clone, Copy, Debug)]
pub struct SupportFeatures {
    /// The last layer before, flat `[T, S]`.
    pub before: Value,
    /// Features of the support `[T, n, f]`.
    pub x: Value,
    /// Its targets `[T, n, o]`.
    pub y: Value,
    /// Its row weights `[T, n]`.
    pub rows: Value,
    /// How often each row counts, `[T, n]`, where it is not once.
    pub times: Option<Value>,
}

/// Rows of a batch of tasks, as the closed form reads them.
struct Regression {
    /// Features with a 1 for the bias, 0 in rows that do not count, times the prior variances, `[T, n, f + 1]`.
    weighted: Value,
    /// Variance of the noise, `[T, 1, 1]`.
    noise: Value,
    /// Covariance of the targets `[T, n, n]`.
    covariance: Value,
    /// Targets less the prior mean, `[T, n, o]`.
    residual: Value,
    /// 1 where a row counts (the root of how often) `[T, n, 1]`.
    mask: Value,
}

impl Prior {
    /// From the learned parameters, for `t` tasks.
    pub fn read(g: &mut Graph, params: Weights<'_>, t: usize, head: &Head) -> Prior {
        let get = |g: &mut Graph, name: &str, len: usize| positive(g, params, name, t, len);
        let noise = get(g, "log_noise", 1);
        Prior {
            variance: get(g, "log_variance", head.features + 1),
            noise: g.affine(noise, 1.0, MIN_NOISE),
            scale: get(g, LOG_SCALE, 1),
        }
    }

    /// What a prediction `[T, n, o]` of the last layer means: values, or logits.
    pub fn output(&self, g: &mut Graph, kind: Loss, y: Value) -> Value {
        if kind.has_classes() { g.mul(y, self.scale) } else { y }
    }

    fn rows(&self, g: &mut Graph, head: &Head, seen: SupportFeatures) -> Regression {
        let SupportFeatures { before, x, y, rows, times } = seen;
        let [t, n, _] = g.shape(x)[..] else { panic!("features are [T, n, f]") };
        let zero = g.constant(0.0);
        let zero = g.expand(zero, &[t, n]);
        let mask = g.zip(Binary::Less, zero, rows);
        // A square counts so often where its two factors count the root of it.
        let mask = match times {
            Some(times) => {
                let root = g.map(Func::Sqrt, times);
                g.mul(mask, root)
            }
            None => mask,
        };
        let mask = g.reshape(mask, &[t, n, 1]);
        let phi = with_one(g, x);
        let phi = g.mul(phi, mask);
        let weighted = g.mul(phi, self.variance);
        let inner = g.matmul_t(weighted, false, phi, true);
        let trace = g.mul(weighted, phi);
        let trace = g.sum_to(trace, &[t, 1, 1]);
        let least = g.scale(trace, MIN_NOISE_FRACTION);
        let noise = g.add(self.noise, least);
        let diagonal = g.diagonal(noise, n);
        let covariance = g.add(inner, diagonal);
        let w = matrix(g, head, before);
        let mean = g.matmul(phi, w);
        let y = g.mul(y, mask);
        let residual = g.sub(y, mean);
        Regression { weighted, noise, covariance, residual, mask }
    }

    /// The posterior mean of the last layer, flat `[T, S]`.
    pub fn solve(&self, g: &mut Graph, head: &Head, seen: SupportFeatures) -> Value {
        g.scope("closed form", |g| {
            let r = self.rows(g, head, seen);
            let alpha = g.spd_solve(r.covariance, r.residual);
            let change = g.matmul_t(r.weighted, true, alpha, false);
            let shape = g.shape(seen.before).to_vec();
            let change = g.reshape(change, &shape);
            g.add(seen.before, change)
        })
    }

    /// Predictive variance `[T, q]` on rows with features `[T, q, f]`.
    pub fn variance(&self, g: &mut Graph, head: &Head, seen: SupportFeatures, xq: Value) -> Value {
        let [t, q, _] = g.shape(xq)[..] else { panic!("features are [T, q, f]") };
        let r = self.rows(g, head, seen);
        let phi = with_one(g, xq);
        let weighted = g.mul(phi, self.variance);
        let prior = g.mul(weighted, phi);
        let prior = g.sum_to(prior, &[t, q, 1]);
        let cross = g.matmul_t(r.weighted, false, phi, true);
        let solved = g.spd_solve(r.covariance, cross);
        let known = g.mul(cross, solved);
        let known = g.sum_to(known, &[t, 1, q]);
        let known = g.reshape(known, &[t, q, 1]);
        let unknown = g.sub(prior, known);
        // Rounding may leave a little less than nothing.
        let zero = g.constant(0.0);
        let zero = g.expand(zero, &[t, q, 1]);
        let unknown = g.zip(Binary::Max, unknown, zero);
        let v = g.add(unknown, self.noise);
        g.reshape(v, &[t, q])
    }

    /// Log density of the support targets `[T]`: under the prior with its noise alone (the generated network as it is), and
    /// with the last layer integrated out (the marginal likelihood of what adaptation may reach).
    pub fn evidence(&self, g: &mut Graph, head: &Head, seen: SupportFeatures) -> (Value, Value) {
        let r = self.rows(g, head, seen);
        let [t, n, o] = g.shape(r.residual)[..] else { panic!("residuals are [T, n, o]") };
        let one = |g: &mut Graph, v: Value| g.reshape(v, &[t]);
        let count = g.sum_to(r.mask, &[t, 1, 1]);
        let log_noise = g.map(Func::Log, r.noise);
        let constant = (2.0 * std::f64::consts::PI).ln();
        let gauss = |g: &mut Graph, square: Value, logdet: Value| {
            let logdet = g.scale(logdet, o as f64);
            let rest = g.scale(count, o as f64 * constant);
            let sum = g.add(square, logdet);
            let sum = g.add(sum, rest);
            let sum = one(g, sum);
            g.scale(sum, -0.5)
        };
        let square = g.mul(r.residual, r.residual);
        let square = g.sum_to(square, &[t, 1, 1]);
        let square = g.div(square, r.noise);
        let each = g.mul(count, log_noise);
        let plain = gauss(g, square, each);

        let solved = g.spd_solve(r.covariance, r.residual);
        let square = g.mul(solved, r.residual);
        let square = g.sum_to(square, &[t, 1, 1]);
        let logdet = g.spd_logdet(r.covariance);
        let logdet = g.reshape(logdet, &[t, 1, 1]);
        // Rows that do not count have left ln σ² each.
        let out = g.affine(count, -1.0, n as f64);
        let out = g.mul(out, log_noise);
        let logdet = g.sub(logdet, out);
        let marginal = gauss(g, square, logdet);
        (plain, marginal)
    }
}

/// Features with a 1 for the bias behind them.
fn with_one(g: &mut Graph, x: Value) -> Value {
    let [t, n, _] = g.shape(x)[..] else { panic!("features are [T, n, f]") };
    let one = g.constant(1.0);
    let one = g.expand(one, &[t, n, 1]);
    g.concat(&[x, one], 2)
}

/// The last layer as a matrix `[T, f + 1, o]`: in the flat row the biases follow the weights, row by row.
fn matrix(g: &mut Graph, head: &Head, flat: Value) -> Value {
    let t = g.shape(flat)[0];
    g.reshape(flat, &[t, head.features + 1, head.outputs])
}
