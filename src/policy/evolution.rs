//! Evolution strategies (Salimans et al. 2017): members are the policy with noise on its weights, each another network, that play side by side; the policy
//! goes towards the noise of those that got more. There is no gradient through anything.

use serde::{Deserialize, Serialize};

use super::iteration::{learned, record};
use super::play::{Declared, Setting};
use super::rollout::{Behaviour, RollInputs};
use super::trainer::LEARNER;
use crate::graph::Graph;
use crate::graph::expr::Expr;
use crate::graph::op::{Dist, Func};

/// How a policy evolves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Evolution {
    /// Members of a generation, an even number: each noise stands there twice, once turned around.
    pub members: usize,
    /// Standard deviation of the noise.
    pub deviation: f64,
}

impl Default for Evolution {
    fn default() -> Evolution {
        Evolution { members: 256, deviation: 0.3 }
    }
}

/// Stream of random numbers.
const NOISE: u32 = 0x73;

impl Setting<'_> {
    /// A generation: one episode of each member in every world, and a step.
    pub(super) fn evolution_graph(&self, evolution: Evolution) -> Graph {
        let (members, worlds) = (evolution.members, self.worlds.tasks * self.worlds.each);
        let mut g = Graph::new();
        let g = &mut g;
        let learner = LEARNER.map(|name| g.state(name, &self.params()));
        let Declared { context, .. } = self.declared(g, true);
        let key = g.step_u32("key", &[1, 2]);
        let key = g.reshape(key, &[2]);
        let paces = self.paces(g);
        let many = g.shape(learner[0])[0];
        // All members meet the same worlds.
        let wide = g.shape(context)[2];
        let context = g.reshape(context, &[1, worlds, wide]);
        let context = g.expand(context, &[members, worlds, wide]);
        let half = g.random(Dist::Normal, key, NOISE, &[members / 2, many]);
        let turned = g.scale(half, -1.0);
        let noise = g.concat(&[half, turned], 0);
        let moved = g.scale(noise, evolution.deviation);
        let centre = g.reshape(learner[0], &[1, many]);
        let params = g.add(moved, centre);
        let drawn = self.policy.parts(g, params, None);
        let inputs = RollInputs {
            weights: drawn.actor,
            deviation: drawn.deviation,
            memory: None,
            context,
            descriptor: None,
            key,
        };
        let met = g.scope("roll-out", |g| self.agents().first_trials(g, inputs, Behaviour::Greedy));
        let (next, norm) = g.scope("update", |g| {
            let e = g.expr();
            let mean = |x: Expr<'_>, n: usize| (x.total() / n as f64).value();
            let got: Expr<'_> =
                e.of(met.returns).sum_to(&[members, 1, 1]).reshape(&[1, members]) / worlds as f64;
            let off = got - e.of(mean(got, members));
            let spread = e.of(mean(off * off, members)).sqrt() + 1e-8;
            // What is minimised is less where members got more.
            let share = (off * spread.map(Func::Recip)).scale(-1.0 / (members as f64 * evolution.deviation));
            let gradient = share.dot(e.of(noise)).reshape(&[many]).value();
            let pace = paces.of(g, 0);
            self.step(g, learner, gradient, pace)
        });
        learned(g, learner, next);
        let zero = g.constant(0.0);
        let one = g.constant(1.0);
        let ones = g.expand(one, &[members, worlds, 1]);
        let found = [zero, zero, zero, zero, norm];
        record(g, [ones, met.returns, met.lengths, met.returns], Some(found));
        std::mem::take(g)
    }
}
