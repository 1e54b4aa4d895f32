//! An iteration as a graph: a roll-out, its advantages, and updates from minibatches of its steps.

use super::adaptation::{Adaptation, Met};
use super::advantage::{Rewards, advantages};
use super::host::Actors;
use super::objective::{Steps, normalised};
use super::play::{Declared, Setting};
use super::rollout::{Behaviour, Rolled};
use super::spec::{Drawn, Policy, PolicyWeights};
use super::trainer::{LEARNER, Learning};
use super::worlds::Worlds;
use crate::graph::expr::Expr;
use crate::graph::op::{Dist, Func};
use crate::graph::{Graph, Role, Value};
use crate::net::Weights;
use crate::optim::{adam_step, clip_each};

/// An iteration: a roll-out, its advantages, and updates from minibatches of its steps; of a policy with a memory, of its worlds. Of an environment on the
/// host what happened in the roll-out is a step input.
///
/// # Panics
/// Where the gradient is to go through the physics of an environment on the host.
pub fn training_graph(worlds: &Worlds, policy: &Policy, learning: &Learning) -> Graph {
    let setting = Setting { worlds, policy, learning };
    match policy.weights {
        PolicyWeights::Adapted(adaptation) => return setting.adaptation_graph(adaptation),
        PolicyWeights::Evolved(evolution) => return setting.evolution_graph(evolution),
        _ if learning.analytic => return setting.analytic_graph(),
        _ => {}
    }
    let rows = learning.rows(worlds, policy);
    let remembers = policy.memory.is_some();
    let mut g = Graph::new();
    let g = &mut g;
    let learner = LEARNER.map(|name| g.state(name, &setting.params()));
    let hosted = setting.host().is_some();
    let place = (!remembers && !hosted).then(|| setting.place(g));
    // Who remembers meets new worlds in every iteration.
    let inputs = setting.declared(g, remembers);
    let key = g.step_u32("key", &[2]);
    let order = g.step_u32("order", &[learning.epochs * rows]);
    let paces = setting.paces(g);
    let agents = setting.agents();

    let drawn = policy.parts(g, learner[0], inputs.descriptor);
    let (after, rolled) = g.scope("roll-out", |g| match hosted {
        true => (None, setting.transcript(g, Role::Step, Actors::Policy, learning.steps, 0)),
        false => {
            let from = place.clone().unwrap_or_else(|| agents.begin(g, inputs.context, key));
            let acting = setting.noisy(g, drawn, key);
            let (after, rolled) =
                agents.roll(g, learning.steps, inputs.roll(acting, key), &from, Behaviour::Drawn);
            (Some(after), rolled)
        }
    });
    let table = g.scope("advantages", |g| match remembers {
        true => setting.trials_table(g, drawn, inputs, rolled),
        false => setting.steps_table(g, drawn, inputs, rolled),
    });
    let mut state = learner;
    let mut found = None;
    for update in 0..learning.updates() {
        let picked = g.slice(order, 0, update * (rows / learning.minibatches), rows / learning.minibatches);
        let batch = g.gather(table, picked);
        let (next, losses) = g.scope("update", |g| {
            let pace = paces.of(g, update);
            setting.updated(g, state, inputs, batch, pace)
        });
        state = next;
        found = Some(losses);
    }
    learned(g, learner, state);
    let moved = place.iter().zip(&after).flat_map(|(old, new)| old.values().into_iter().zip(new.values()));
    for (old, new) in moved {
        g.update(old, new);
    }
    record(g, [rolled.over, rolled.finished, rolled.length, rolled.reward], found);
    std::mem::take(g)
}

/// Stream of random numbers.
const WEIGHTS: u32 = 0x74;

/// What the learner is after the iteration.
pub(super) fn learned(g: &mut Graph, learner: [Value; 3], next: [Value; 3]) {
    for (old, new) in learner.into_iter().zip(next) {
        g.update(old, new);
    }
}

/// Records sums of what happened, and what the last update found.
pub(super) fn record(g: &mut Graph, happened: [Value; 4], found: Option<[Value; 5]>) {
    for (name, v) in ["episodes", "return", "length", "reward"].into_iter().zip(happened) {
        let sum = g.sum_to(v, &[]);
        g.record(name, sum);
    }
    let names = ["policy", "value", "entropy", "divergence", "gradient"];
    for (name, v) in names.into_iter().zip(found.expect("there is an update")) {
        g.record(name, v);
    }
}

/// What is told of worlds, `[g, r, d]`, at each of `n` steps: `[g, n, r, d]`.
fn at_every_step(g: &mut Graph, told: Value, n: usize) -> Value {
    let &[groups, each, wide] = g.shape(told) else { panic!("descriptors are [g, r, d]") };
    let told = g.reshape(told, &[groups, 1, each, wide]);
    g.expand(told, &[groups, n, each, wide])
}

/// What the policy and the critic say of the steps of a minibatch, each `[networks, n, ..]`.
#[derive(Clone, Copy, Debug)]
struct Reviewed {
    outputs: Value,
    value: Value,
    /// Action, and four numbers.
    rest: Value,
    /// Mean squared error of what is inferred of contexts.
    missed: Option<Value>,
}

/// How fast learning goes: what the optimiser is told of each update of an iteration, and the weight of the entropy where it changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    control: Value,
    entropy: Option<Value>,
}

impl Pace {
    /// Of one update.
    pub(super) fn of(self, g: &mut Graph, update: usize) -> Pace {
        let control = g.slice(self.control, 0, update, 1);
        Pace { control: g.reshape(control, &[3]), ..self }
    }
}

impl Setting<'_> {
    /// The same parts, with noise on the weights of the actors where roll-outs act by such: each of the g networks has its own.
    pub(super) fn noisy(&self, g: &mut Graph, drawn: Drawn, key: Value) -> Drawn {
        if self.learning.noise == 0.0 {
            return drawn;
        }
        let groups = self.policy.axes(self.worlds)[0];
        let many = *g.shape(drawn.actor).last().expect("weights are flat");
        let noise = g.random(Dist::Normal, key, WEIGHTS, &[groups, many]);
        let noise = g.scale(noise, self.learning.noise);
        let actor = match g.shape(drawn.actor).len() {
            1 => g.reshape(drawn.actor, &[1, many]),
            _ => drawn.actor,
        };
        Drawn { actor: g.add(noise, actor), ..drawn }
    }

    /// What a plan is told at every replay of how fast it goes.
    pub(super) fn paces(&self, g: &mut Graph) -> Pace {
        let control = g.step("control", &[self.learning.updates(), 3]);
        Pace { control, entropy: self.learning.last_entropy.map(|_| g.step("entropy", &[])) }
    }

    /// An iteration of policies that adapt: an episode in every world before each step of adaptation, and behind the last; then updates of what all begin
    /// with, each through the steps anew.
    fn adaptation_graph(&self, adaptation: Adaptation) -> Graph {
        let mut g = Graph::new();
        let g = &mut g;
        let learner = LEARNER.map(|name| g.state(name, &self.params()));
        let declared = self.declared(g, true);
        let keys = g.step_u32("key", &[adaptation.updates + 1, 2]);
        let paces = self.paces(g);
        let mut own = self.begun(g, learner[0]);
        let mut all: Vec<Met> = vec![];
        for k in 0..=adaptation.updates {
            let key = g.slice(keys, 0, k, 1);
            let key = g.reshape(key, &[2]);
            let met = g.scope("roll-out", |g| match self.host() {
                None => self.meet(g, declared, own, key, Behaviour::Drawn),
                Some(_) => {
                    let rolled = self.transcript(g, Role::Step, Actors::Beginners, self.horizon(), k as u64);
                    let first = self.agents().trials_of(g, rolled);
                    self.met(g, first)
                }
            });
            if k < adaptation.updates {
                own = g.scope("adaptation", |g| self.stepped(g, own, met, adaptation.rate));
            }
            all.push(met);
        }
        let (last, before) = all.split_last().expect("there is one behind the last step");
        let mut state = learner;
        let mut found = None;
        for update in 0..self.learning.updates() {
            let mut own = self.begun(g, state[0]);
            for met in before {
                own = g.scope("adaptation", |g| self.stepped(g, own, *met, adaptation.rate));
            }
            let (next, losses) = g.scope("update", |g| {
                let parts = self.objective_of(g, own, *last, self.learning.objective.clip);
                let pace = paces.of(g, update);
                self.next(g, state, parts, pace, None)
            });
            state = next;
            found = Some(losses);
        }
        learned(g, learner, state);
        let one = g.constant(1.0);
        let ones = g.expand(one, &[self.worlds.tasks, self.worlds.each, 1]);
        let returns: Vec<Value> = all.iter().map(|met| met.returns).collect();
        let reward = g.concat(&returns, 1);
        record(g, [ones, last.returns, last.lengths, reward], found);
        std::mem::take(g)
    }

    /// Columns of what is learned from: what was read, with what the critic is told; action; and four numbers. `[steps of a network, networks, width]`
    fn steps_table(
        &self,
        g: &mut Graph,
        drawn: Drawn,
        Declared { descriptor, .. }: Declared,
        rolled: Rolled,
    ) -> Value {
        let read = self.whole(g, rolled.read, descriptor);
        let values = [rolled.read, rolled.next].map(|read| self.valued(g, drawn, read, descriptor));
        let columns = self.judged(g, rolled, values, rolled.terminated);
        let columns = columns.map(|v| self.by_network(g, v));
        let table = g.concat(&[&[read], &columns[..]].concat(), 2);
        let table = g.permute(table, &[1, 0, 2]);
        g.stop_gradient(table)
    }

    /// What steps say, `[g, n, r, ..]`, as rows of each network, `[networks, rows, ..]`.
    pub(super) fn by_network(&self, g: &mut Graph, v: Value) -> Value {
        let (networks, rows) =
            (self.policy.networks(self.worlds), self.learning.rows(self.worlds, self.policy));
        let wide = g.shape(v)[3];
        g.reshape(v, &[networks, rows, wide])
    }

    /// What the critic reads of what was read at each step: it is told what the actor may not be. `[networks, rows, ..]`
    fn whole(&self, g: &mut Graph, read: Value, descriptor: Option<Value>) -> Value {
        let wide = g.shape(read)[3];
        let read = match descriptor.filter(|_| wide < self.policy.critic.inputs()) {
            Some(told) => {
                let told = at_every_step(g, told, self.learning.steps);
                g.concat(&[read, told], 3)
            }
            None => read,
        };
        self.by_network(g, read)
    }

    /// What is expected of what was read at each step, `[g, n, r, 1]`.
    pub(super) fn valued(
        &self,
        g: &mut Graph,
        drawn: Drawn,
        read: Value,
        descriptor: Option<Value>,
    ) -> Value {
        let [groups, each] = self.policy.axes(self.worlds);
        let read = self.whole(g, read, descriptor);
        let y = self.policy.expected(g, drawn, [Some(read), None, None]);
        g.reshape(y, &[groups, self.learning.steps, each, 1])
    }

    /// The same of policies with a memory: of every step what was read, whether a trial ended, action, and four numbers; then what the critic is told of the
    /// context. `[worlds, steps · width + told]`
    fn trials_table(
        &self,
        g: &mut Graph,
        drawn: Drawn,
        Declared { descriptor, .. }: Declared,
        rolled: Rolled,
    ) -> Value {
        let (policy, steps) = (self.policy, self.learning.steps);
        let &[groups, n, each, _] = g.shape(rolled.read) else { panic!("steps have four axes") };
        // What is read behind the last step is remembered, too: the values of where the roll-out stopped.
        let last = g.slice(rolled.next, 1, n - 1, 1);
        let all = g.concat(&[rolled.read, last], 1);
        let over = g.pad(rolled.over, 1, 0, n + 1);
        let (memory, flat) = (policy.memory.as_ref(), drawn.memory);
        let (memory, flat) = memory.zip(flat).expect("a trial is of who remembers");
        let (remembered, _) = memory.over(g, flat, all, over);
        let seen = g.slice(all, 3, 0, self.worlds.environment.widths().observation);
        let told = descriptor.map(|told| at_every_step(g, told, n + 1));
        let values = policy.expected(g, drawn, [Some(seen), Some(remembered), told]);
        let values = g.reshape(values, &[groups, n + 1, each, 1]);
        let values = [g.slice(values, 1, 0, n), g.slice(values, 1, 1, n)];
        // Behind the end of a trial nothing comes, however it ended.
        let columns = self.judged(g, rolled, values, rolled.over);
        let table = g.concat(&[&[rolled.read, rolled.over], &columns[..]].concat(), 3);
        let width = g.shape(table)[3];
        let mut table = g.reshape(table, &[groups * each, steps * width]);
        if let Some(told) = descriptor {
            let told = g.reshape(told, &[groups * each, policy.told]);
            table = g.concat(&[table, told], 1);
        }
        g.stop_gradient(table)
    }

    /// Of steps `[g, n, r, ..]`, with what is expected before and behind each: the action, how probable it was, its advantage, what was expected and
    /// what should have been.
    pub(super) fn judged(
        &self,
        g: &mut Graph,
        rolled: Rolled,
        [before, after]: [Value; 2],
        terminated: Value,
    ) -> [Value; 5] {
        let reward = g.scale(rolled.mean_reward, self.worlds.environment.reward_scale());
        let of = Rewards { reward, value: before, next: after, terminated, ended: rolled.over };
        let advantage = advantages(g, of, self.learning.gamma, self.learning.lambda);
        let target = g.add(advantage, before);
        [rolled.action, rolled.log_probability, advantage, before, target]
    }

    /// What is said now of a minibatch of steps `[n, networks, width]`.
    fn reviewed(&self, g: &mut Graph, drawn: Drawn, batch: Value) -> Reviewed {
        let policy = self.policy;
        let batch = g.permute(batch, &[1, 0, 2]);
        let seen = policy.critic.inputs();
        let read = g.slice(batch, 2, 0, policy.actor.inputs());
        let whole = g.slice(batch, 2, 0, seen);
        let outputs = policy.said(g, drawn.actor, read, None);
        let value = policy.expected(g, drawn, [Some(whole), None, None]);
        let rest = g.slice(batch, 2, seen, g.shape(batch)[2] - seen);
        Reviewed { outputs, value, rest, missed: None }
    }

    /// What is said now of a minibatch of worlds `[n, steps · width + told]`, each remembered from the start.
    fn remembered(&self, g: &mut Graph, drawn: Drawn, batch: Value) -> Reviewed {
        let (policy, steps) = (self.policy, self.learning.steps);
        let (memory, flat) = policy.memory.as_ref().zip(drawn.memory).expect("a trial is of who remembers");
        let &[worlds, all] = g.shape(batch) else { panic!("worlds have two axes") };
        let width = (all - policy.told) / steps;
        let told = (policy.told > 0).then(|| {
            let told = g.slice(batch, 1, all - policy.told, policy.told);
            let told = g.reshape(told, &[worlds, 1, policy.told]);
            let told = g.expand(told, &[worlds, steps, policy.told]);
            g.reshape(told, &[1, worlds * steps, policy.told])
        });
        let batch = g.slice(batch, 1, 0, steps * width);
        let batch = g.reshape(batch, &[worlds, steps, 1, width]);
        let reads = memory.reads();
        let (read, over) = (g.slice(batch, 3, 0, reads), g.slice(batch, 3, reads, 1));
        let (remembered, believed) = memory.over(g, flat, read, over);
        let rows = worlds * steps;
        let remembered = g.reshape(remembered, &[1, rows, memory.width()]);
        let batch = g.reshape(batch, &[1, rows, width]);
        let seen = g.slice(batch, 2, 0, self.worlds.environment.widths().observation);
        let outputs = policy.said(g, drawn.actor, seen, Some(remembered));
        let value = policy.expected(g, drawn, [Some(seen), Some(remembered), told]);
        let missed = policy.inference.as_ref().zip(drawn.inference).zip(told).map(|((net, flat), told)| {
            if let Some((belief, stats)) = memory.belief.zip(believed) {
                let stats = stats.map(|v| g.reshape(v, &[1, rows, belief.width]));
                let layout = net.layout();
                let layer = [0, 1].map(|i| Weights { flat, layout: &layout }.get(g, &layout.params[i].name));
                return belief.missed(g, stats, layer, told);
            }
            let inferred = net.apply(g, Weights { flat, layout: &net.layout() }, remembered);
            let off = g.sub(inferred, told);
            let square = g.mul(off, off);
            g.mean(square)
        });
        let rest = g.slice(batch, 2, reads + 1, width - reads - 1);
        Reviewed { outputs, value, rest, missed }
    }

    /// The learner after an update from a minibatch, and what it found: the four parts, and the norm of the gradient.
    fn updated(
        &self,
        g: &mut Graph,
        state: [Value; 3],
        Declared { descriptor, .. }: Declared,
        batch: Value,
        pace: Pace,
    ) -> ([Value; 3], [Value; 5]) {
        let (policy, learning, params) = (self.policy, self.learning, state[0]);
        let space = self.worlds.environment.action();
        let drawn = policy.parts(g, params, descriptor);
        let Reviewed { outputs, value, rest, missed } = match policy.memory {
            Some(_) => self.remembered(g, drawn, batch),
            None => self.reviewed(g, drawn, batch),
        };
        let act = space.width();
        let e = g.expr();
        let rest: Expr<'_> = e.of(rest);
        let said = policy.distribution(&space, e.of(outputs), drawn.deviation.map(|d| e.of(d)));
        let column = |i: usize| rest.column(act + i);
        // Networks that learn apart each have their own minibatch; of others it is one, with few steps of each task.
        let mut objective = learning.objective;
        let advantage = match objective.normalise && !policy.apart() {
            true => normalised(column(1), &[1, 1, 1]),
            false => column(1),
        };
        objective.normalise &= policy.apart();
        let steps = Steps {
            action: rest.slice(2, 0, act),
            log_probability: column(0),
            advantage,
            value: column(2),
            target: column(3),
        };
        let parts = objective.of(&said, e.of(value), steps).values();
        self.next(g, state, parts, pace, missed)
    }

    /// The learner after a step along the gradient of these objectives, and what they were: the four parts, and the norm of the gradient.
    pub(super) fn next(
        &self,
        g: &mut Graph,
        state: [Value; 3],
        parts: [Value; 5],
        pace: Pace,
        missed: Option<Value>,
    ) -> ([Value; 3], [Value; 5]) {
        let (policy, learning, params) = (self.policy, self.learning, state[0]);
        let e = g.expr();
        let parts: [Expr<'_>; 5] = parts.map(|v| e.of(v));
        let networks = parts[0].shape()[0] as f64;
        // Networks that learn apart have objectives of their own; others one, the mean over tasks.
        let share = if policy.apart() { 1.0 } else { 1.0 / networks };
        let loss = parts[0].total() * share;
        let loss = match pace.entropy {
            // The constant weight of it is in the objective; this is how far the present one is from that.
            Some(now) => loss - parts[3].total() * share * (e.of(now) - learning.objective.entropy),
            None => loss,
        };
        let loss = missed.map_or(loss, |missed| loss + e.of(missed) * learning.inference).value();
        let records = [1, 2, 3, 4].map(|i| (parts[i].total() / networks).value());
        let gradient = g.grad(loss, &[params])[0];
        let (next, norm) = self.step(g, state, gradient, pace);
        let [a, b, c, d] = records;
        (next, [a, b, c, d, norm])
    }

    /// The learner after a step against a gradient, which is clipped, and the gradient's norm.
    pub(super) fn step(
        &self,
        g: &mut Graph,
        state: [Value; 3],
        gradient: Value,
        pace: Pace,
    ) -> ([Value; 3], Value) {
        let axes = if self.policy.apart() { vec![g.shape(state[0])[0], 1] } else { vec![1] };
        let [kept, norm2] = clip_each(g, gradient, &axes, self.learning.clip);
        let next = adam_step(g, &Learning::optimiser(), state, kept, pace.control);
        let norm = g.sum_to(norm2, &[]);
        (next, g.map(Func::Sqrt, norm))
    }
}
