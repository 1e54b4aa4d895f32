//! Arms that pay with unknown chances.

use super::{ActionSpace, ContextNumber, Environment, Moment, Spread, Transition, Widths, rules};
use crate::graph::expr::Expr;
use crate::graph::op::Binary;

/// A bandit (Robbins 1952; as in Duan et al. 2016): each of its arms pays 1 with a chance of its own, else 0. An episode is 100 pulls. The
/// chances are the context, evenly from 0 to 1, and are not observed; what is seen is the share of the pulls that is over.
#[derive(Clone, Debug)]
pub struct Bandit {
    arms: usize,
    name: String,
    context: Vec<ContextNumber>,
}

/// Pulls of an episode.
const PULLS: usize = 100;

impl Bandit {
    /// So many arms.
    #[must_use]
    pub fn new(arms: usize) -> Bandit {
        let name = if arms == 10 { "bandit".into() } else { format!("bandit-{arms}") };
        let arm = |i: usize| ContextNumber::numbered(format!("arm_{i}"), 0.5, [0.0, 1.0], Spread::Even);
        Bandit { arms, name, context: (0..arms).map(arm).collect() }
    }
}

impl Environment for Bandit {
    fn name(&self) -> &str {
        &self.name
    }

    fn widths(&self) -> Widths {
        Widths { state: 1, observation: 1, noise: 1 }
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::Discrete(self.arms)
    }

    fn context(&self) -> &[ContextNumber] {
        &self.context
    }

    fn is_family(&self) -> bool {
        true
    }

    fn horizon(&self) -> usize {
        PULLS
    }

    fn trial(&self) -> Vec<usize> {
        vec![PULLS]
    }

    fn oracle(&self, context: &[f32], steps: usize) -> Option<f64> {
        let best = context.iter().fold(0.0f32, |best, p| best.max(*p));
        Some(f64::from(best) * steps as f64)
    }

    fn reward_scale(&self) -> f64 {
        0.1
    }

    /// Gittins indices, Thompson's sampling, UCB1 with a bound of .2, and the best mean so far.
    fn rules(&self, contexts: &[&[f32]], trial: &[usize], seed: u64) -> Vec<(&'static str, f64)> {
        rules::bandit(contexts, trial.iter().sum(), seed)
    }

    fn start<'g>(&self, _context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        noise * 0.0
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let reward = 1.0 - m.noise.zip(Binary::GreaterEq, (m.context * m.action).sum(2));
        Transition { state: m.state + 1.0, reward, terminated: reward * 0.0 }
    }

    fn mean_reward<'g>(&self, m: Moment<'g>, _reward: Expr<'g>) -> Expr<'g> {
        (m.context * m.action).sum(2)
    }

    fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        state / PULLS as f64
    }
}
