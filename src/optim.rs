//! Optimisers of the outer loop, as graph, and the learning-rate schedule, on the host.
//!
//! ```
//! use hyperloom::graph::Graph;
//! use hyperloom::optim::{Optimiser, Schedule};
//! use hyperloom::plan::lower;
//! use hyperloom::Device;
//!
//! let optimiser = Optimiser::Sgd { momentum: 0.0, decay: 0.0 };
//! let mut schedule = Schedule::new(0.25, 100);
//! schedule.warmup = 2;
//! // Steps on Σ x²: the state is x, then its velocity.
//! let mut g = Graph::new();
//! let (state, control) = (g.state("state", &[optimiser.rows(), 2]), g.step("control", &[3]));
//! let e = g.expr();
//! let x = e.of(state).slice(0, 0, 1).reshape(&[2]);
//! let gradient = (x * x).total().grad(&[x])[0].value();
//! optimiser.step(&mut g, state, gradient, control, 1e3);
//! let mut session = Device::Cpu.prepare(lower(&g, Device::Cpu.caps(2))?)?;
//! session.write("state", &[1.0, -2.0, 0.0, 0.0])?;
//! for step in 0..2 {
//!     session.set_step(step, "control", &optimiser.control(step as u64, schedule.rate(step as u64)))?;
//! }
//! session.run(2)?;
//! assert_eq!(session.read("state")?[..2], [0.375, -0.75]); // times 1 - 2/8, then 1 - 2/4
//! # Ok::<(), hyperloom::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use crate::graph::op::{Binary, Func, Num, Op};
use crate::graph::{Graph, Value};

/// Which optimiser, with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Optimiser {
    /// AdamW (Loshchilov and Hutter 2019); Adam where `decay` is 0.
    AdamW {
        /// β₁
        #[serde(default = "beta1")]
        beta1: f64,
        /// β₂
        #[serde(default = "beta2")]
        beta2: f64,
        /// ε
        #[serde(default = "eps")]
        eps: f64,
        /// Decoupled weight decay.
        #[serde(default)]
        decay: f64,
    },
    /// SGD with momentum.
    Sgd {
        /// Momentum.
        #[serde(default)]
        momentum: f64,
        /// Decoupled weight decay.
        #[serde(default)]
        decay: f64,
    },
}

fn beta1() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn eps() -> f64 {
    1e-8
}

impl Default for Optimiser {
    fn default() -> Optimiser {
        Optimiser::adamw(0.0)
    }
}

impl Optimiser {
    /// AdamW with the usual constants and this decay.
    #[must_use]
    pub fn adamw(decay: f64) -> Optimiser {
        Optimiser::AdamW { beta1: beta1(), beta2: beta2(), eps: eps(), decay }
    }

    /// Refuses constants that make no sense, by name and with what would be right.
    pub(crate) fn validate(&self) -> Result<(), (&'static str, String)> {
        let fraction = |key, v: f64| match (0.0..1.0).contains(&v) {
            true => Ok(()),
            false => Err((key, format!("{v} is out of range: it must be 0 or more and less than 1"))),
        };
        let size = |key, v: f64, zero: bool| match v.is_finite() && (v > 0.0 || (zero && v == 0.0)) {
            true => Ok(()),
            false => {
                let least = if zero { "0 or more" } else { "positive" };
                Err((key, format!("{v} is out of range: it must be {least} and finite")))
            }
        };
        match *self {
            Optimiser::AdamW { beta1, beta2, eps, decay } => fraction("beta1", beta1)
                .and_then(|()| fraction("beta2", beta2))
                .and_then(|()| size("eps", eps, false))
                .and_then(|()| size("decay", decay, true)),
            Optimiser::Sgd { momentum, decay } => {
                fraction("momentum", momentum).and_then(|()| size("decay", decay, true))
            }
        }
    }

    /// Rows of the flat state: the weights, then the moments.
    pub fn rows(&self) -> usize {
        match self {
            Optimiser::AdamW { .. } => 3,
            Optimiser::Sgd { .. } => 2,
        }
    }

    /// What step `step` (from 0) reads at learning rate `rate`: `(rate, 1/(1-β₁ᵗ), 1/(1-β₂ᵗ))`.
    pub fn control(&self, step: u64, rate: f64) -> [f32; 3] {
        let t = (step + 1).min(i32::MAX as u64) as i32;
        match self {
            Optimiser::AdamW { beta1, beta2, .. } => {
                [rate as f32, (1.0 / (1.0 - beta1.powi(t))) as f32, (1.0 / (1.0 - beta2.powi(t))) as f32]
            }
            Optimiser::Sgd { .. } => [rate as f32, 1.0, 1.0],
        }
    }

    /// The operation of a step.
    pub fn op(&self) -> Op {
        match *self {
            Optimiser::AdamW { beta1, beta2, eps, decay } => {
                Op::AdamW { beta1: Num(beta1), beta2: Num(beta2), eps: Num(eps), decay: Num(decay) }
            }
            Optimiser::Sgd { momentum, decay } => Op::Sgd { momentum: Num(momentum), decay: Num(decay) },
        }
    }

    /// Adds one step to the graph: `state [rows, p]` is updated by the gradient `[p]`, whose global norm is
    /// clipped to `clip`. A gradient that is not finite refuses the step. Returns the norm before clipping.
    pub fn step(&self, g: &mut Graph, state: Value, grad: Value, control: Value, clip: f64) -> Value {
        g.scope("optimiser", |g| {
            let square = g.mul(grad, grad);
            let norm2 = g.sum_to(square, &[1]);
            let finite = g.map(Func::IsFinite, norm2);
            let factor = clip_factor(g, norm2, clip);
            let refuse = g.constant(-1.0);
            let factor = g.select(finite, factor, refuse);
            let new = g.optimise(self.op(), state, grad, control, factor);
            g.update(state, new);
            g.map(Func::Sqrt, norm2)
        })
    }
}

/// Linear warm-up, then a cosine down to a fraction of the peak.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Schedule {
    /// Peak learning rate.
    pub peak: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Steps in all.
    pub steps: u64,
    /// What is left of the peak at the end.
    pub final_fraction: f64,
}

impl Schedule {
    /// A cosine from `peak` down to nothing over so many steps. A warm-up, and what is left at the end, are assigned.
    #[must_use]
    pub fn new(peak: f64, steps: u64) -> Schedule {
        Schedule { peak, warmup: 0, steps, final_fraction: 0.0 }
    }

    /// Learning rate of a step, from 0.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let span = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let at = ((step - self.warmup) as f64 / span).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * at).cos());
        self.peak * (self.final_fraction + (1.0 - self.final_fraction) * cosine)
    }
}

/// A step of Adam (Kingma and Ba 2015) in the midst of a plan, where [`Optimiser::step`] is its end: new weights and moments from `[weights, first, second]` and a gradient of
/// one shape; `control` `[3]` is that of [`Optimiser::control`].
///
/// # Panics
/// Where the optimiser is another, or decays weights.
#[track_caller]
pub fn adam_step(
    g: &mut Graph,
    optimiser: &Optimiser,
    [weights, first, second]: [Value; 3],
    gradient: Value,
    control: Value,
) -> [Value; 3] {
    let Optimiser::AdamW { beta1, beta2, eps, decay: 0.0 } = *optimiser else {
        panic!("{optimiser:?} is not Adam")
    };
    let e = g.expr();
    let [w, m, v, gradient, control] = [weights, first, second, gradient, control].map(|v| e.of(v));
    let [rate, left1, left2] = [0, 1, 2].map(|i| control.slice(0, i, 1));
    let m = m * beta1 + gradient * (1.0 - beta1);
    let v = v * beta2 + gradient * gradient * (1.0 - beta2);
    let step = m * (rate * left1) / ((v * left2).sqrt() + eps);
    [w - step, m, v].map(|x| x.value())
}

/// Gradients of networks that learn apart, each clipped to a norm of `max` on its own and left out where it is not finite; `to` is the gradient's shape with 1 for the axes that
/// one network has. The gradients, and their squared norms before clipping.
pub fn clip_each(g: &mut Graph, gradient: Value, to: &[usize], max: f64) -> [Value; 2] {
    let square = g.mul(gradient, gradient);
    let norm2 = g.sum_to(square, to);
    let finite = g.map(Func::IsFinite, norm2);
    let factor = clip_factor(g, norm2, max);
    let clipped = g.mul(gradient, factor);
    let zero = g.constant(0.0);
    [g.select(finite, clipped, zero), norm2]
}

/// Factor that brings a gradient of squared norm `norm2` (any shape) down to norm `max`: `min(1, max/√norm2)`.
pub fn clip_factor(g: &mut Graph, norm2: Value, max: f64) -> Value {
    let safe = g.affine(norm2, 1.0, 1e-20);
    let r = g.map(Func::Rsqrt, safe);
    // min(1, c r) = -max(-1, -c r)
    let down = g.scale(r, -max);
    let shape = g.shape(norm2).to_vec();
    let minus_one = g.constant(-1.0);
    let minus_one = g.expand(minus_one, &shape);
    let m = g.zip(Binary::Max, down, minus_one);
    g.scale(m, -1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule() {
        let s = Schedule { peak: 1.0, warmup: 10, steps: 110, final_fraction: 0.1 };
        assert!((s.rate(4) - 0.5).abs() < 1e-12 && (s.rate(9) - 1.0).abs() < 1e-12);
        assert!((s.rate(60) - 0.55).abs() < 1e-12 && (s.rate(110) - 0.1).abs() < 1e-12);
    }
}
