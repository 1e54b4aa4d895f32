//! Decision processes with a table of unknown chances and rewards.

use super::rules::{Table, posterior_sampling};
use super::{ActionSpace, ContextNumber, Environment, Moment, Spread, Transition, Widths, normal, picked};
use crate::graph::expr::Expr;

/// A decision process drawn at random (Osband et al. 2013; as in Duan et al. 2016): of every state and action the chances of the next states
/// are a draw from a flat Dirichlet distribution, the mean reward one from N(1, 1), and a reward is drawn from N(mean, 1). An
/// episode begins in state 0 and has 10 steps. The table is the context; the state is observed, one-hot.
///
/// Columns of the context: for each state and action the weights of the next states, whose shares of their sum are the chances; then the
/// mean rewards.
#[derive(Clone, Debug)]
pub struct Mdp {
    states: usize,
    actions: usize,
    name: String,
    context: Vec<ContextNumber>,
}

/// Steps of an episode.
const STEPS: usize = 10;

impl Mdp {
    /// So many states and actions.
    #[must_use]
    pub fn new(states: usize, actions: usize) -> Mdp {
        let name =
            if (states, actions) == (10, 5) { "mdp".into() } else { format!("mdp-{states}-{actions}") };
        let pairs = || (0..states).flat_map(move |s| (0..actions).map(move |a| (s, a)));
        let weight = |(s, a): (usize, usize)| {
            (0..states).map(move |to| {
                ContextNumber::numbered(format!("weight_{s}_{a}_{to}"), 1.0, [1e-6, 1e6], Spread::Share)
            })
        };
        let reward = |(s, a): (usize, usize)| {
            ContextNumber::numbered(format!("reward_{s}_{a}"), 1.0, [-100.0, 100.0], Spread::Normal)
        };
        let context = pairs().flat_map(weight).chain(pairs().map(reward)).collect();
        Mdp { states, actions, name, context }
    }

    /// Pairs of a state and an action.
    fn pairs(&self) -> usize {
        self.states * self.actions
    }

    /// Which pair a moment is of, one-hot `[g, r, pairs]`.
    fn pair<'g>(&self, m: Moment<'g>) -> Expr<'g> {
        let shape = m.state.shape();
        let (g, r) = (shape[0], shape[1]);
        let pair = m.state.reshape(&[g, r, self.states, 1]) * m.action.reshape(&[g, r, 1, self.actions]);
        pair.reshape(&[g, r, self.pairs()])
    }

    /// The mean reward of a pair.
    fn mean<'g>(&self, m: Moment<'g>, pair: Expr<'g>) -> Expr<'g> {
        (m.context.slice(2, self.pairs() * self.states, self.pairs()) * pair).sum(2)
    }
}

impl Environment for Mdp {
    fn name(&self) -> &str {
        &self.name
    }

    fn widths(&self) -> Widths {
        Widths { state: self.states, observation: self.states, noise: 3 }
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::Discrete(self.actions)
    }

    fn context(&self) -> &[ContextNumber] {
        &self.context
    }

    fn is_family(&self) -> bool {
        true
    }

    fn horizon(&self) -> usize {
        STEPS
    }

    fn trial(&self) -> Vec<usize> {
        vec![STEPS; 10]
    }

    /// By dynamic programming backwards from the end of an episode.
    fn oracle(&self, context: &[f32], steps: usize) -> Option<f64> {
        Some(Table::of(context, self.states, self.pairs()).plan(steps).0[0])
    }

    /// Posterior sampling.
    fn rules(&self, contexts: &[&[f32]], trial: &[usize], seed: u64) -> Vec<(&'static str, f64)> {
        let tables: Vec<Table> = contexts.iter().map(|c| Table::of(c, self.states, self.pairs())).collect();
        vec![("psrl", posterior_sampling(&tables, trial, seed))]
    }

    fn reward_scale(&self) -> f64 {
        0.1
    }

    fn start<'g>(&self, _context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        let zero = noise.column(0) * 0.0;
        let columns: Vec<Expr<'g>> =
            (0..self.states).map(|s| if s == 0 { zero + 1.0 } else { zero }).collect();
        Expr::columns(&columns)
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let (pair, pairs) = (self.pair(m), self.pairs());
        let shape = pair.shape();
        let (g, r) = (shape[0], shape[1]);
        let table = m.context.slice(2, 0, pairs * self.states).reshape(&[g, r, pairs, self.states]);
        let weights = (table * pair.reshape(&[g, r, pairs, 1])).sum(2).reshape(&[g, r, self.states]);
        let state = picked(m.noise.column(0) * weights.sum(2), weights, self.states);
        let reward = self.mean(m, pair) + normal(m.noise.column(1), m.noise.column(2));
        Transition { state, reward, terminated: reward * 0.0 }
    }

    fn mean_reward<'g>(&self, m: Moment<'g>, _reward: Expr<'g>) -> Expr<'g> {
        self.mean(m, self.pair(m))
    }

    fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        state
    }
}
