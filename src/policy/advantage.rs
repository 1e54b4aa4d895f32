//! Advantages: how much better an action turned out than was expected of the state.

use crate::graph::expr::Expr;
use crate::graph::{Graph, Value};

/// What a roll-out of `n` steps gave, each `[g, n, r, 1]`.
#[derive(Clone, Copy, Debug)]
pub struct Rewards {
    /// Rewards.
    pub reward: Value,
    /// What was expected of the state before the step.
    pub value: Value,
    /// What is expected of the state after it, of which a new episode, if one begins, knows nothing.
    pub next: Value,
    /// 1 where the episode ended by itself: nothing comes after.
    pub terminated: Value,
    /// 1 where it ended, by itself or by a time limit.
    pub ended: Value,
}

/// Advantages by generalised advantage estimation (Schulman et al. 2016), `[g, n, r, 1]`: δ = r + γ V' − V with V' = 0 behind an end, and
/// A = δ + γ λ A' within an episode. A time limit cuts the sum, not the value of what would have come.
pub fn advantages(g: &mut Graph, of: Rewards, gamma: f64, lambda: f64) -> Value {
    let shape = g.shape(of.reward).to_vec();
    let (n, row) = (shape[1], [shape[0], shape[2], shape[3]]);
    let e = g.expr();
    let [reward, value, next, terminated] = [of.reward, of.value, of.next, of.terminated].map(|v| e.of(v));
    let delta = (reward + (1.0 - terminated) * next * gamma - value).value();
    let zero = g.constant(0.0);
    let start = g.expand(zero, &row);
    let (_, given) = g.scan_in(true, n, &[start], &[], &[delta, of.ended], |g, args| {
        let e = g.expr();
        let (later, delta, ended): (Expr<'_>, _, _) =
            (e.of(args.carried[0]), e.of(args.rows[0]), e.of(args.rows[1]));
        let advantage = (delta + (1.0 - ended) * later * (gamma * lambda)).value();
        (vec![advantage], vec![advantage])
    });
    given[0]
}
