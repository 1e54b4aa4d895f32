//! Adaptation: policies that begin alike in every task, and go on by steps of the policy gradient from what they meet there (MAML, Finn, Abbeel
//! and Levine 2017). Training differentiates through those steps, to second order: each is by a sampled objective whose ratios of
//! probabilities are differentiated, too (Rothfuss et al. 2019).

use serde::{Deserialize, Serialize};

use super::advantage::{Rewards, advantages};
use super::objective::Steps;
use super::play::{Declared, Setting};
use super::rollout::{Behaviour, FirstTrials, RollInputs, Rolled};
use crate::graph::expr::Expr;
use crate::graph::op::Func;
use crate::graph::{Graph, Value};

/// How a policy adapts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Adaptation {
    /// Steps of the policy gradient that training looks ahead, each from a roll-out of its own.
    pub updates: usize,
    /// Their rate.
    pub rate: f64,
}

impl Default for Adaptation {
    fn default() -> Adaptation {
        Adaptation { updates: 1, rate: 0.1 }
    }
}

/// What is added to the diagonal where a baseline is fitted.
const RIDGE: f64 = 1e-3;

/// What was met in a roll-out of one episode in every world, `n` steps of r worlds of a task as rows: `[g, n · r, ..]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met {
    seen: Value,
    action: Value,
    log_probability: Value,
    /// Of steps behind the end of the first episode 0.
    advantage: Value,
    /// Returns of the first episodes `[g, r, 1]`.
    pub(super) returns: Value,
    /// Their numbers of steps.
    pub(super) lengths: Value,
    /// 1 for those that ended by themselves.
    pub(super) terminated: Value,
}

/// Policies of the tasks: weights `[g, P]`, and logarithms of standard deviations `[g, n]`.
pub(super) type Own = (Value, Option<Value>);

impl Setting<'_> {
    /// One episode in every world by the tasks' own policies.
    pub(super) fn meet(
        &self,
        g: &mut Graph,
        declared: Declared,
        own: Own,
        key: Value,
        how: Behaviour,
    ) -> Met {
        let groups = self.worlds.tasks;
        let weights = g.stop_gradient(own.0);
        let deviation = own.1.map(|d| {
            let d = g.stop_gradient(d);
            let wide = g.shape(d)[1];
            g.reshape(d, &[groups, 1, wide])
        });
        let inputs =
            RollInputs { weights, deviation, memory: None, context: declared.context, descriptor: None, key };
        let first = self.agents().first_trials(g, inputs, how);
        self.met(g, first)
    }

    /// What first episodes were.
    pub(super) fn met(&self, g: &mut Graph, first: FirstTrials) -> Met {
        let groups = self.worlds.tasks;
        let FirstTrials { rolled, there, returns, lengths, terminated } = first;
        let &[_, n, each, wide] = g.shape(rolled.read) else { panic!("steps have four axes") };
        let advantage = self.above_baseline(g, rolled, there);
        let rows = |g: &mut Graph, v: Value, wide: usize| {
            let v = g.reshape(v, &[groups, n * each, wide]);
            g.stop_gradient(v)
        };
        Met {
            seen: rows(g, rolled.read, wide),
            action: rows(g, rolled.action, self.worlds.environment.action().width()),
            log_probability: rows(g, rolled.log_probability, 1),
            advantage: rows(g, advantage, 1),
            returns,
            lengths,
            terminated,
        }
    }

    /// How much better steps turned out than a baseline that is fitted for each task to what came of them: linear in what was seen, its square, the
    /// time and its powers (Duan et al. 2016). Mean 0 and deviation 1 for each task; 0 behind the end of the first episode. `[g, n, r, 1]`
    fn above_baseline(&self, g: &mut Graph, rolled: Rolled, there: Value) -> Value {
        let &[groups, n, each, wide] = g.shape(rolled.read) else { panic!("steps have four axes") };
        let (rows, learning) = (n * each, self.learning);
        let reward = g.scale(rolled.mean_reward, self.worlds.environment.reward_scale());
        let zero = g.constant(0.0);
        let none = g.expand(zero, &[groups, n, each, 1]);
        let gain = |g: &mut Graph, value: Value, next: Value, lambda: f64| {
            let of = Rewards { reward, value, next, terminated: rolled.ended, ended: rolled.ended };
            advantages(g, of, learning.gamma, lambda)
        };
        let came = gain(g, none, none, 1.0);
        let time: Vec<f64> = (0..n).map(|i| i as f64 / n as f64).collect();
        let time = g.constants(&[1, n, 1, 1], &time);
        let time = g.expand(time, &[groups, n, each, 1]);
        let e = g.expr();
        let (seen, time): (Expr<'_>, _) = (e.of(rolled.read).clip(-10.0, 10.0), e.of(time));
        let one = time * 0.0 + 1.0;
        let features = Expr::columns(&[seen, seen * seen, time, time * time, time * time * time, one]);
        let many = 2 * wide + 4;
        let features = features.reshape(&[groups, rows, many]).value();
        let counted = g.reshape(there, &[groups, rows, 1]);
        let weighted = g.mul(features, counted);
        let square = g.matmul_t(weighted, true, features, false);
        let ridge: Vec<f64> =
            (0..many * many).map(|i| if i % (many + 1) == 0 { RIDGE } else { 0.0 }).collect();
        let ridge = g.constants(&[1, many, many], &ridge);
        let square = g.add(square, ridge);
        let came = g.reshape(came, &[groups, rows, 1]);
        let right = g.matmul_t(weighted, true, came, false);
        let fitted = g.spd_solve(square, right);
        let value = g.matmul(features, fitted);
        let value = g.reshape(value, &[groups, n, each, 1]);
        // Behind the last step nothing is read.
        let next = g.slice(value, 1, 1, n - 1);
        let next = g.pad(next, 1, 0, n);
        let advantage = gain(g, value, next, learning.lambda);
        let e = g.expr();
        let (there, advantage): (Expr<'_>, _) = (e.of(there), e.of(advantage));
        let row = [groups, 1, 1, 1];
        let count = there.sum_to(&row);
        let mean = |x: Expr<'_>| (x * there).sum_to(&row).value();
        let of_count = count.map(Func::Recip);
        let middle = e.of(mean(advantage)) * of_count;
        let off = advantage - middle;
        let spread = (e.of(mean(off * off)) * of_count).sqrt() + 1e-8;
        (off * spread.map(Func::Recip) * there).value()
    }

    /// What the tasks' own policies minimise, with what each met: the parts, each one number for each task, `[g, 1, 1]`. Without a limit to ratios of probabilities it is
    /// the sampled objective itself.
    pub(super) fn objective_of(&self, g: &mut Graph, own: Own, met: Met, clip: Option<f64>) -> [Value; 5] {
        let space = self.worlds.environment.action();
        let groups = self.worlds.tasks;
        let outputs = self.policy.said(g, own.0, met.seen, None);
        let e = g.expr();
        let deviation = own.1.map(|d| {
            let d = e.of(d);
            let wide = d.shape()[1];
            d.reshape(&[groups, 1, wide])
        });
        let said = self.policy.distribution(&space, e.of(outputs), deviation);
        let mut objective = self.learning.objective;
        (objective.clip, objective.clip_value) = (Some(clip.unwrap_or(f64::from(f32::MAX))), false);
        (objective.normalise, objective.value) = (false, 0.0);
        let advantage = e.of(met.advantage);
        let none = advantage * 0.0;
        let steps = Steps {
            action: e.of(met.action),
            log_probability: e.of(met.log_probability),
            advantage,
            value: none,
            target: none,
        };
        objective.of(&said, none, steps).values()
    }

    /// A task's own policies after a step of the policy gradient from what was met.
    pub(super) fn stepped(&self, g: &mut Graph, own: Own, met: Met, rate: f64) -> Own {
        let loss = self.objective_of(g, own, met, None)[1];
        let loss = g.sum_to(loss, &[]);
        let of: Vec<Value> = [Some(own.0), own.1].into_iter().flatten().collect();
        let gradients = g.grad(loss, &of);
        let mut next = of.into_iter().zip(gradients).map(|(v, gradient)| {
            let step = g.scale(gradient, rate);
            g.sub(v, step)
        });
        let first = next.next().expect("there are weights");
        (first, next.next())
    }

    /// The same policy for every task, from the parameters `[N]` that all begin with.
    pub(super) fn begun(&self, g: &mut Graph, params: Value) -> Own {
        let drawn = self.policy.parts(g, params, None);
        let groups = self.worlds.tasks;
        let mut each = |v: Value| {
            let wide = g.shape(v).iter().product();
            let v = g.reshape(v, &[1, wide]);
            g.expand(v, &[groups, wide])
        };
        (each(drawn.actor), drawn.deviation.map(each))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::golden::{Job, run_f64};
    use crate::policy::{Learning, Policy, Worlds, environment};
    use crate::rng::Rng;

    /// What a policy gets after a step of adaptation depends on what it began with as differences in f64 say: the gradient goes through the step.
    #[test]
    fn the_gradient_goes_through_the_step() {
        for name in ["navigation", "cartpole"] {
            let worlds = Worlds::usual(environment(name, "").expect("it is there"), 2, 3);
            let policy = Policy::adapted(&worlds, &[4], Adaptation::default());
            let learning = Learning::new(1);
            let setting = Setting { worlds: &worlds, policy: &policy, learning: &learning };
            let (rows, widths) = (6, worlds.environment.widths());
            let mut rng = Rng::new(4, 0);
            let mut numbers = |n: usize| -> Vec<f64> { (0..n).map(|_| rng.normal()).collect() };
            let mut job = Job { steps: vec![vec![]], ..Job::default() };
            let data = |job: &mut Job, name: &str, shape: &[usize], values: Vec<f64>| {
                job.inputs.push((name.into(), values));
                job.graph.data(name, shape)
            };
            let many = policy.layout().len();
            let start = numbers(many);
            let params = data(&mut job, "params", &[many], start.clone());
            let space = worlds.environment.action();
            let mut met = |job: &mut Job, which: &str| {
                let mut column = |name: &str, wide: usize, scale: f64| {
                    let mut values = numbers(2 * rows * wide);
                    values.iter_mut().for_each(|x| *x *= scale);
                    if name == "action" && matches!(space, crate::policy::ActionSpace::Discrete(_)) {
                        values.chunks_mut(2).for_each(|pair| {
                            let first = f64::from(pair[0] > pair[1]);
                            pair.copy_from_slice(&[first, 1.0 - first]);
                        });
                    }
                    data(job, &format!("{which} {name}"), &[2, rows, wide], values)
                };
                let (seen, action) = (column("seen", widths.observation, 1.0), column("action", 2, 1.0));
                let advantage = column("advantage", 1, 1.0);
                // Near to what the policy says, so that ratios are neither 0 nor endless.
                let log_probability = column("log probability", 1, 0.1);
                Met {
                    seen,
                    action,
                    log_probability,
                    advantage,
                    returns: seen,
                    lengths: seen,
                    terminated: seen,
                }
            };
            let (before, after) = (met(&mut job, "before"), met(&mut job, "after"));
            let g = &mut job.graph;
            let own = setting.begun(g, params);
            let own = setting.stepped(g, own, before, 0.1);
            let loss = setting.objective_of(g, own, after, None)[0];
            let loss = g.sum_to(loss, &[]);
            let gradient = g.grad(loss, &[params])[0];
            g.output("loss", loss);
            g.output("gradient", gradient);
            job.read = vec!["loss".into(), "gradient".into()];
            let found = run_f64(&job).expect("it runs").values[1].clone();
            let mut at = |i: usize, by: f64| {
                let mut moved = start.clone();
                moved[i] += by;
                job.inputs[0].1 = moved;
                run_f64(&job).expect("it runs").values[0][0]
            };
            for i in (0..many).step_by(3) {
                let step = 1e-5;
                let slope = (at(i, step) - at(i, -step)) / (2.0 * step);
                let near = (found[i] - slope).abs() <= 1e-5 * (1.0 + slope.abs());
                assert!(near, "{name}, parameter {i}: {}, by differences {slope}", found[i]);
            }
        }
    }
}
