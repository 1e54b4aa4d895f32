//! The analytic policy gradient: what a policy gets, differentiated through the physics itself, over short roll-outs whose end a critic values (SHAC, Xu
//! et al. 2022).

use super::iteration::{learned, record};
use super::play::Setting;
use super::rollout::{Behaviour, Rolled};
use super::spec::Drawn;
use super::trainer::LEARNER;
use crate::graph::expr::Expr;
use crate::graph::{Graph, Value};

impl Setting<'_> {
    /// An iteration: a roll-out, and an update along its gradient.
    pub(super) fn analytic_graph(&self) -> Graph {
        let mut g = Graph::new();
        let g = &mut g;
        let learner = LEARNER.map(|name| g.state(name, &self.params()));
        let place = self.place(g);
        let inputs = self.declared(g, false);
        let key = g.step_u32("key", &[2]);
        let paces = self.paces(g);
        let drawn = self.policy.parts(g, learner[0], inputs.descriptor);
        let (after, rolled) = g.scope("roll-out", |g| {
            self.agents().roll(g, self.learning.steps, inputs.roll(drawn, key), &place, Behaviour::Drawn)
        });
        let (next, found) = g.scope("update", |g| {
            // The critic says what states are worth; it isn't learned so that they look worth more.
            let fixed = Drawn { critic: drawn.critic.map(|c| g.stop_gradient(c)), ..drawn };
            let worth = self.valued(g, fixed, rolled.next, inputs.descriptor);
            let gained = self.gained(g, rolled, worth);
            let policy = self.by_network(g, gained);
            let read = g.stop_gradient(rolled.read);
            let values = [read, rolled.next].map(|read| self.valued(g, drawn, read, inputs.descriptor));
            let [.., target] = self.judged(g, rolled, values, rolled.terminated);
            let target = g.stop_gradient(target);
            let [value, target] = [values[0], target].map(|v| self.by_network(g, v));
            let rows = self.by_network(g, read);
            let outputs = self.policy.said(g, drawn.actor, rows, None);
            let space = self.worlds.environment.action();
            let e = g.expr();
            let deviation = drawn.deviation.map(|d| e.of(d));
            let entropy = self.policy.distribution(&space, e.of(outputs), deviation).entropy();
            let [networks, n, _] = entropy.shape()[..] else { panic!("rows have three axes") };
            let mean = |x: Expr<'_>| x.sum_to(&[networks, 1, 1]).scale(1.0 / n as f64).value();
            let (policy, off) = (e.of(policy), e.of(value) - e.of(target));
            let [policy, value, entropy] = [-policy, off * off * 0.5, entropy].map(mean);
            let objective = self.learning.objective;
            let all = e.of(policy) + e.of(value) * objective.value - e.of(entropy) * objective.entropy;
            let parts = [all.value(), policy, value, entropy, (e.of(policy) * 0.0).value()];
            let pace = paces.of(g, 0);
            self.next(g, learner, parts, pace, None)
        });
        learned(g, learner, next);
        for (old, new) in place.values().into_iter().zip(after.values()) {
            g.update(old, new);
        }
        record(g, [rolled.over, rolled.finished, rolled.length, rolled.reward], Some(found));
        std::mem::take(g)
    }

    /// Of each stretch between the start of the roll-out or of an episode and its end: what it gets, discounted, and what is expected behind it, at its first step; 0 at the others.
    /// `[g, n, r, 1]`
    fn gained(&self, g: &mut Graph, rolled: Rolled, worth: Value) -> Value {
        let (gamma, n) = (self.learning.gamma, self.learning.steps);
        let reward = g.scale(rolled.mean_reward, self.worlds.environment.reward_scale());
        let shape = g.shape(worth).to_vec();
        let last = g.slice(worth, 1, n - 1, 1);
        let last = g.reshape(last, &[shape[0], shape[2], 1]);
        let rows = [reward, worth, rolled.terminated, rolled.ended];
        let (_, given) = g.scan_in(true, n, &[last], &[], &rows, |g, args| {
            let e = g.expr();
            let later = e.of(args.carried[0]);
            let [reward, worth, terminated, ended] = [0, 1, 2, 3].map(|i| e.of(args.rows[i]));
            let behind = ended * (1.0 - terminated) * worth + (1.0 - ended) * later;
            let all = (reward + behind * gamma).value();
            (vec![all], vec![all])
        });
        let one = g.constant(1.0);
        let mut begins = g.expand(one, &[shape[0], 1, shape[2], 1]);
        if n > 1 {
            let over = g.slice(rolled.ended, 1, 0, n - 1);
            begins = g.concat(&[begins, over], 1);
        }
        let e = g.expr();
        (e.of(given[0]) * e.of(begins)).value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::golden::{Job, run_f64};
    use crate::graph::Role;
    use crate::policy::{Learning, Policy, Worlds, environment};
    use crate::rng::Rng;
    use crate::spec::DType;

    /// What is got, and what is expected behind the end, depends on the policy's parameters as differences in f64 say: through actions, physics, time limits and the critic's
    /// reading of where it led. The critic's own parameters have no part in it.
    #[test]
    fn the_gradient_goes_through_the_physics() {
        for (name, squashed) in [("pendulum", false), ("lane", true)] {
            let worlds = Worlds::usual(environment(name, "").expect("it is there"), 2, 1);
            let mut policy = Policy::shared(&worlds, &[4], 0);
            policy.squashed = squashed;
            let mut learning = Learning::new(1);
            (learning.steps, learning.horizon) = (5, 3);
            let setting = Setting { worlds: &worlds, policy: &policy, learning: &learning };
            let mut job = Job { steps: vec![vec![]], ..Job::default() };
            let g = &mut job.graph;
            let many = policy.layout().len();
            let params = g.data("params", &[many]);
            let inputs = setting.declared(g, false);
            let key = g.input("key", Role::Data, &[2], DType::U32);
            let drawn = setting.policy.parts(g, params, None);
            let start = setting.agents().begin(g, inputs.context, key);
            let (_, rolled) = setting.agents().roll(g, 5, inputs.roll(drawn, key), &start, Behaviour::Drawn);
            let fixed = Drawn { critic: drawn.critic.map(|c| g.stop_gradient(c)), ..drawn };
            let worth = setting.valued(g, fixed, rolled.next, None);
            let gained = setting.gained(g, rolled, worth);
            let all = g.sum_to(gained, &[]);
            let gradient = g.grad(all, &[params])[0];
            for (name, v) in [("all", all), ("gradient", gradient)] {
                g.output(name, v);
                job.read.push(name.into());
            }
            let mut rng = Rng::new(4, 0);
            let at: Vec<f64> = (0..many).map(|_| 0.5 * rng.normal()).collect();
            let context: Vec<f64> = worlds.contexts().iter().map(|x| f64::from(*x)).collect();
            let mut run = |params: Vec<f64>| {
                job.inputs = vec![("params".into(), params), ("context".into(), context.clone())];
                run_f64(&job).expect("it runs").values
            };
            let found = run(at.clone())[1].clone();
            let critic = many - policy.critic.layout().len();
            assert!(found[critic..].iter().all(|x| *x == 0.0), "{name}: {found:?}");
            assert!(found[..critic].iter().filter(|x| **x != 0.0).count() * 2 > critic, "{name}: {found:?}");
            for i in (0..critic).step_by(3) {
                let step = 1e-6;
                let mut to = |by: f64| {
                    let mut moved = at.clone();
                    moved[i] += by;
                    run(moved)[0][0]
                };
                let slope = (to(step) - to(-step)) / (2.0 * step);
                let near = (found[i] - slope).abs() <= 1e-5 * (1.0 + slope.abs());
                assert!(near, "{name}, parameter {i}: {}, by differences {slope}", found[i]);
            }
        }
    }
}
