//! What a policy minimises: that what turned out better than expected becomes likelier.

use serde::{Deserialize, Serialize};

use super::action::Distribution;
use crate::graph::Value;
use crate::graph::expr::Expr;
use crate::graph::op::Func;

/// Settings of the objective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Objective {
    /// Of PPO how far the ratio of new to old probability counts from 1 (not given: the policy gradient itself, −ln π · A).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Whether values are kept as near to the old ones, too.
    pub clip_value: bool,
    /// Whether advantages of a minibatch are brought to mean 0 and deviation 1.
    pub normalise: bool,
    /// Weight of the error of values.
    pub value: f64,
    /// Weight of the entropy.
    pub entropy: f64,
}

impl Default for Objective {
    fn default() -> Objective {
        Objective { clip: Some(0.2), clip_value: true, normalise: true, value: 0.5, entropy: 0.01 }
    }
}

/// Steps to learn from, each `[g, n, 1]` but for the action `[g, n, a]`.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'g> {
    /// What was done.
    pub action: Expr<'g>,
    /// Logarithm of how probable it was.
    pub log_probability: Expr<'g>,
    /// How much better it turned out than expected.
    pub advantage: Expr<'g>,
    /// What was expected.
    pub value: Expr<'g>,
    /// What should have been.
    pub target: Expr<'g>,
}

/// The parts of an objective, a number for each network, `[g, 1, 1]`.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'g> {
    /// What is minimised.
    pub all: Expr<'g>,
    /// Of that what the policy makes.
    pub policy: Expr<'g>,
    /// Mean squared error of the values, halved.
    pub value: Expr<'g>,
    /// Mean entropy.
    pub entropy: Expr<'g>,
    /// How far new probabilities are from old ones: the mean of (ratio − 1) − ln ratio (Schulman 2020).
    pub divergence: Expr<'g>,
}

impl Parts<'_> {
    /// All five, in the order of the fields.
    pub(super) fn values(self) -> [Value; 5] {
        [self.all, self.policy, self.value, self.entropy, self.divergence].map(Expr::value)
    }
}

/// Brought to mean 0 and deviation 1 over the axes that `to` has as 1.
pub(super) fn normalised<'g>(x: Expr<'g>, to: &[usize]) -> Expr<'g> {
    let count = |shape: &[usize]| shape.iter().product::<usize>() as f64;
    let n = count(&x.shape()) / count(to);
    let mean = |x: Expr<'g>| x.sum_to(to) / n;
    let off = x - mean(x);
    let deviation = mean(off * off).sqrt() + 1e-8;
    off * deviation.map(Func::Recip)
}

impl Objective {
    /// The objective of Schulman et al. 2017 (PPO), equations 7 and 9, or the policy gradient; `value` `[g, n, 1]` is what is expected now.
    pub fn of<'g>(&self, said: &Distribution<'g, '_>, value: Expr<'g>, steps: Steps<'g>) -> Parts<'g> {
        let shape = steps.advantage.shape();
        let n = shape[1] as f64;
        let row = [shape[0], 1, 1];
        let mean = |x: Expr<'g>| x.sum_to(&row) / n;
        let advantage = match self.normalise {
            true => normalised(steps.advantage, &row),
            false => steps.advantage,
        };
        let log_probability = said.log_probability(steps.action);
        let change = log_probability - steps.log_probability;
        let ratio = change.exp();
        let policy = match self.clip {
            // -min(a, b) = max(-a, -b)
            Some(clip) => {
                let clipped = ratio.clip(1.0 - clip, 1.0 + clip);
                mean((-(ratio * advantage)).larger(-(clipped * advantage)))
            }
            None => -mean(log_probability * advantage),
        };
        let off = value - steps.target;
        let square = match self.clip.filter(|_| self.clip_value) {
            Some(clip) => {
                let near = steps.value + (value - steps.value).clip(-clip, clip) - steps.target;
                (off * off).larger(near * near)
            }
            None => off * off,
        };
        let value = mean(square) * 0.5;
        let entropy = mean(said.entropy());
        let all = policy + value * self.value - entropy * self.entropy;
        Parts { all, policy, value, entropy, divergence: mean(ratio - 1.0 - change) }
    }
}
