//! Adaptation: policies that begin alike in every task, and go on by steps of the policy gradient from what they meet there (MAML, Finn, Abbeel
//! and Levine 2017). Training differentiates through those steps, to second order: each is by a sampled objective whose ratios of
//! probabilities are differentiated, too, those of single steps (Rothfuss et al. 2019) or of all steps so far (Foerster et al. 2018).

use serde::{Deserialize, Serialize};

use super::action::Distribution;
use super::advantage::{Rewards, advantages};
use super::environment::ActionSpace;
use super::objective::Steps;
use super::play::{Declared, Setting};
use super::rollout::{Behaviour, FirstTrials, RollInputs, Rolled};
use super::spec::PolicyWeights;
use crate::graph::expr::{Expr, Exprs};
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
    /// Whether a step counts by how probable the policy makes all that was done up to it, and not by how probable it makes that step: the second derivative
    /// of the sampled objective is then that of the expected return, without bias, but with more variance (DiCE, Foerster et al. 2018; with
    /// advantages, Farquhar et al. 2019).
    pub dice: bool,
}

impl Default for Adaptation {
    fn default() -> Adaptation {
        Adaptation { updates: 1, rate: 0.1, dice: false }
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
    /// 1 for steps of the first episode, 0 for those behind its end.
    there: Value,
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
            there: rows(g, there, 1),
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

    /// What the tasks' own policies say of what they saw.
    fn say<'g, 's>(&self, e: Exprs<'g>, space: &'s ActionSpace, own: Own, met: Met) -> Distribution<'g, 's> {
        let outputs = e.build(|g| self.policy.said(g, own.0, met.seen, None));
        let deviation = own.1.map(|d| {
            let d = e.of(d);
            d.reshape(&[self.worlds.tasks, 1, d.shape()[1]])
        });
        self.policy.distribution(space, outputs, deviation)
    }

    /// What the tasks' own policies minimise, with what each met: the parts, each one number for each task, `[g, 1, 1]`.
    pub(super) fn objective_of(&self, g: &mut Graph, own: Own, met: Met, clip: Option<f64>) -> [Value; 5] {
        let (e, space) = (g.expr(), self.worlds.environment.action());
        let said = self.say(e, &space, own, met);
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

    /// What a step of adaptation minimises: the sampled objective itself, without a limit to ratios of probabilities. `[g, 1, 1]`
    fn sampled(&self, g: &mut Graph, own: Own, met: Met) -> Value {
        let (groups, each) = (self.worlds.tasks, self.worlds.each);
        let rows = g.shape(met.seen)[1];
        let (e, space) = (g.expr(), self.worlds.environment.action());
        let said = self.say(e, &space, own, met);
        let change = said.log_probability(e.of(met.action)) - e.of(met.log_probability);
        let weight = match self.policy.weights {
            PolicyWeights::Adapted(Adaptation { dice: true, .. }) => {
                let n = rows / each;
                let before: Vec<f64> = (0..n * n).map(|at| f64::from(at % n < at / n)).collect();
                let before = e.build(|g| g.constants(&[1, n, n], &before));
                let change = (change * e.of(met.there)).reshape(&[groups, n, each]);
                let before = before.dot(change);
                ((before + change).exp() - before.exp()).reshape(&[groups, rows, 1])
            }
            _ => change.exp(),
        };
        let lost = -(weight * e.of(met.advantage));
        (lost.sum_to(&[groups, 1, 1]) / rows as f64).value()
    }

    /// A task's own policies after a step of the policy gradient from what was met.
    pub(super) fn stepped(&self, g: &mut Graph, own: Own, met: Met, rate: f64) -> Own {
        let loss = self.sampled(g, own, met);
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
        for (name, dice) in
            [("navigation", false), ("navigation", true), ("cartpole", false), ("cartpole", true)]
        {
            let worlds = Worlds::usual(environment(name, "").expect("it is there"), 2, 3);
            let policy = Policy::adapted(&worlds, &[4], Adaptation { dice, ..Adaptation::default() });
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
                let there = job.graph.constants(&[2, rows, 1], &[1.0; 12]);
                Met {
                    seen,
                    action,
                    log_probability,
                    advantage,
                    there,
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

    /// Two steps of two actions each, so that all four things that can happen are met, each as often as the policy does it: the second derivative of the
    /// sampled objective is then that of the expected return, whatever the baselines, if steps count by all that was done so far; by single steps only the first is.
    #[test]
    fn the_second_derivative_of_dice_is_that_of_the_expected_return() {
        let products = [true, false].map(|dice| {
            let (steps, each) = (2, 4);
            let worlds = Worlds::usual(environment("cartpole", "").expect("it is there"), 1, each);
            let policy = Policy::adapted(&worlds, &[5], Adaptation { dice, ..Adaptation::default() });
            let learning = Learning::new(1);
            let setting = Setting { worlds: &worlds, policy: &policy, learning: &learning };
            let mut rng = Rng::new(7, 0);
            let mut numbers = |n: usize| -> Vec<f64> { (0..n).map(|_| rng.normal()).collect() };
            let chosen = |step: usize, world: usize| if step == 0 { world / 2 } else { world % 2 };
            // What is seen, and expected, first, and after either action.
            let (sights, baselines) = ([0; 3].map(|_| numbers(4)), numbers(3));
            let rewards = [numbers(2), numbers(4)];
            let reward = |step: usize, world: usize| rewards[step][if step == 0 { world / 2 } else { world }];
            let (mut seen, mut action, mut advantage, mut returned) = (vec![], vec![], vec![], vec![]);
            for (step, world) in (0..steps).flat_map(|step| (0..each).map(move |world| (step, world))) {
                let state = if step == 0 { 0 } else { 1 + world / 2 };
                seen.extend_from_slice(&sights[state]);
                action.extend([0, 1].map(|a| f64::from(chosen(step, world) == a)));
                let later: f64 = (step..steps).map(|s| reward(s, world)).sum();
                advantage.push(later - baselines[state]);
                if step == 0 {
                    returned.push(later);
                }
            }
            let (many, rows) = (policy.layout().len(), steps * each);
            let (start, along) = (numbers(many), numbers(many));
            let mut job = Job { steps: vec![vec![]], ..Job::default() };
            job.inputs.push(("params".into(), start));
            let params = job.graph.data("params", &[many]);
            let g = &mut job.graph;
            let own = setting.begun(g, params);
            let (seen, action) = (g.constants(&[1, rows, 4], &seen), g.constants(&[1, rows, 2], &action));
            let one = g.constants(&[1, rows, 1], &[1.0; 8]);
            let met = Met {
                seen,
                action,
                log_probability: one,
                advantage: one,
                there: one,
                returns: one,
                lengths: one,
                terminated: one,
            };
            let (e, space) = (g.expr(), worlds.environment.action());
            let log_probability = setting.say(e, &space, own, met).log_probability(e.of(action));
            let likely = log_probability.reshape(&[1, steps, each, 1]).sum(1).exp();
            let expected =
                (likely * e.build(|g| g.constants(&[1, 1, each, 1], &returned))).sum_to(&[]).value();
            let (likely, log_probability) = (likely.value(), log_probability.value());
            let likely = g.stop_gradient(likely);
            let likely = g.expand(likely, &[1, steps, each, 1]);
            let likely = g.reshape(likely, &[1, rows, 1]);
            let advantage = g.constants(&[1, rows, 1], &advantage);
            let met = Met {
                log_probability: g.stop_gradient(log_probability),
                advantage: g.mul(advantage, likely),
                ..met
            };
            let lost = setting.sampled(g, own, met);
            let lost = g.sum_to(lost, &[]);
            let lost = g.scale(lost, -(rows as f64));
            let along = g.constants(&[many], &along);
            for (name, v) in [("sampled", lost), ("expected", expected)] {
                let first = g.grad(v, &[params])[0];
                let product = g.mul(first, along);
                let product = g.sum_to(product, &[]);
                let second = g.grad(product, &[params])[0];
                for (order, of) in [("first", first), ("second", second)] {
                    g.output(&format!("{name} {order}"), of);
                    job.read.push(format!("{name} {order}"));
                }
            }
            let found = run_f64(&job).expect("it runs").values;
            let apart =
                |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart(&found[0], &found[2]) < 1e-12, "first derivatives");
            apart(&found[1], &found[3])
        });
        assert!(products[0] < 1e-12 && products[1] > 1e-2, "{products:?}");
    }
}
