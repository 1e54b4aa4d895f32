//! A policy over the architectures of a space: each decision on its own, with a probability for each choice.

use super::architecture::Architecture;
use super::choice::Candidate;
use super::space::Space;
use crate::rng::Rng;

/// Draws until the space itself draws: nothing leads through most cells that the policy likes.
const TRIES: usize = 1_000;
/// Step size of the logits, and how much of the mean of the rewards each reward is.
const RATE: f64 = 0.15;
const MEAN: f64 = 0.1;

/// A policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Policy {
    /// Logits of the choices of each decision.
    pub(super) logits: Vec<Vec<f64>>,
}

impl Policy {
    /// All choices of a decision with the same probability.
    pub(super) fn uniform(space: &Space) -> Policy {
        Policy { logits: space.decisions().iter().map(|(_, n)| vec![0.0; *n]).collect() }
    }

    /// What REINFORCE (Williams 1992; for architectures Zoph and Le 2017) learns from rewards, the predicted accuracies of candidates in the
    /// order in which they were tried: each is held against the mean so far.
    pub(super) fn reinforced(space: &Space, candidates: &[Candidate]) -> Policy {
        let mut policy = Policy::uniform(space);
        let n = candidates.len().max(1) as f64;
        let mean = candidates.iter().map(|c| c.predicted).sum::<f64>() / n;
        let spread = candidates.iter().map(|c| (c.predicted - mean).powi(2)).sum::<f64>() / n;
        let scale = spread.sqrt().max(1e-9);
        let mut baseline = candidates.first().map_or(0.0, |c| c.predicted);
        for candidate in candidates {
            let advantage = (candidate.predicted - baseline) / scale;
            baseline += MEAN * (candidate.predicted - baseline);
            for (logits, choice) in policy.logits.iter_mut().zip(space.choices_of(&candidate.architecture)) {
                let Some(choice) = choice else { continue };
                // The gradient of the logarithm of the choice's probability.
                let probabilities = softmax(logits);
                for (i, (l, p)) in logits.iter_mut().zip(probabilities).enumerate() {
                    *l += RATE * advantage * (f64::from(u8::from(i == choice)) - p);
                }
            }
        }
        policy
    }

    /// An architecture at random, by the policy.
    pub(super) fn sample(&self, space: &Space, rng: &mut Rng) -> Architecture {
        for _ in 0..TRIES {
            let choices: Vec<usize> = self.logits.iter().map(|logits| drawn(&softmax(logits), rng)).collect();
            if let Some(one) = space.decided(&choices) {
                return one;
            }
        }
        space.sample(rng)
    }
}

/// One of several, each as likely as its share of them all.
pub(super) fn drawn(shares: &[f64], rng: &mut Rng) -> usize {
    let mut at = rng.uniform() * shares.iter().sum::<f64>();
    let found = shares.iter().position(|share| {
        at -= share;
        at < 0.0
    });
    found.unwrap_or(shares.len() - 1)
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let all: Vec<f64> = logits.iter().map(|l| (l - most).exp()).collect();
    let sum: f64 = all.iter().sum();
    all.into_iter().map(|v| v / sum).collect()
}
