//! Evolution strategies (Salimans et al. 2017): members are the policy with noise on its weights, each another network, that play side by side; the policy
//! goes towards the noise of those that got more. There is no gradient through anything.

use serde::{Deserialize, Serialize};

use super::host::Actors;
use super::iteration::{learned, record};
use super::play::{Declared, Setting};
use super::rollout::{Behaviour, RollInputs};
use super::spec::Drawn;
use super::trainer::LEARNER;
use crate::graph::expr::Expr;
use crate::graph::op::{Dist, Func};
use crate::graph::{Graph, Role, Value};

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
        // All members meet the same worlds.
        let wide = g.shape(context)[2];
        let context = g.reshape(context, &[1, worlds, wide]);
        let context = g.expand(context, &[members, worlds, wide]);
        let (noise, drawn) = self.members(g, learner[0], key, evolution);
        let inputs = RollInputs {
            weights: drawn.actor,
            deviation: drawn.deviation,
            memory: None,
            context,
            descriptor: None,
            key,
        };
        let met = g.scope("roll-out", |g| match self.host() {
            None => self.agents().first_trials(g, inputs, Behaviour::Greedy),
            Some(_) => {
                let rolled = self.transcript(g, Role::Step, Actors::Members(evolution), self.horizon(), 0);
                self.agents().trials_of(g, rolled)
            }
        });
        let (next, norm) = g.scope("update", |g| {
            let e = g.expr();
            let mean = |x: Expr<'_>, n: usize| (x.total() / n as f64).value();
            let got: Expr<'_> =
                e.of(met.returns).sum_to(&[members, 1, 1]).reshape(&[1, members]) / worlds as f64;
            let off = got - e.of(mean(got, members));
            let spread = e.of(mean(off * off, members)).sqrt() + 1e-8;
            // What is minimised is less where members got more.
            let share = (off * spread.map(Func::Recip)).scale(-1.0 / (members as f64 * evolution.deviation));
            let gradient = share.dot(e.of(noise)).reshape(&self.params()).value();
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

    /// Noise `[members, N]`, and what members with parameters `[N]` and that noise act by.
    pub(super) fn members(
        &self,
        g: &mut Graph,
        params: Value,
        key: Value,
        evolution: Evolution,
    ) -> (Value, Drawn) {
        let many = g.shape(params)[0];
        let half = g.random(Dist::Normal, key, NOISE, &[evolution.members / 2, many]);
        let turned = g.scale(half, -1.0);
        let noise = g.concat(&[half, turned], 0);
        let moved = g.scale(noise, evolution.deviation);
        let centre = g.reshape(params, &[1, many]);
        let params = g.add(moved, centre);
        (noise, self.policy.parts(g, params, None))
    }
}
