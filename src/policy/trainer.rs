//! Training: a roll-out, its advantages and all updates are one plan, replayed.

use super::action::Distribution;
use super::advantage::{Rewards, advantages};
use super::objective::{Objective, Steps, normalised};
use super::play::{Declared, Episodes, PLACE, Setting, key};
use super::rollout::{Behaviour, Rolled};
use super::spec::{Drawn, Policy};
use super::worlds::Worlds;
use crate::error::{Error, Result};
use crate::graph::expr::Expr;
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::net::Weights;
use crate::optim::{Optimiser, adam_step, clip_each};
use crate::plan::{Plan, lower};
use crate::rng::Rng;
use crate::run::{Device, Session};

/// Iterations between two visits of the host at most.
const WINDOW: usize = 8;
/// Random numbers of the host.
const ORDER: u64 = 0x0bd7;
/// Refused updates in a row before training gives up.
const MAX_REFUSED: u64 = 25;

/// How a policy learns.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Learning {
    /// Steps in all worlds together, at least.
    pub frames: u64,
    /// Steps of a roll-out in each world.
    pub steps: usize,
    /// Times that a roll-out's steps are learned from.
    pub epochs: usize,
    /// Parts that they are split into, each an update.
    pub minibatches: usize,
    /// Discount.
    pub gamma: f64,
    /// λ of generalised advantage estimation.
    pub lambda: f64,
    /// What is minimised.
    pub objective: Objective,
    /// Learning rate at first; it falls to 0 evenly.
    pub rate: f64,
    /// Largest norm of a gradient.
    pub clip: f64,
    /// Steps after which an episode is cut off (0: as the environment says).
    pub horizon: usize,
}

impl Learning {
    /// PPO over so many steps with usual settings.
    #[must_use]
    pub fn new(frames: u64) -> Learning {
        Learning {
            frames,
            steps: 128,
            epochs: 4,
            minibatches: 4,
            gamma: 0.99,
            lambda: 0.95,
            objective: Objective::default(),
            rate: 1e-3,
            clip: 0.5,
            horizon: 0,
        }
    }

    fn optimiser() -> Optimiser {
        Optimiser::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-5, decay: 0.0 }
    }

    /// Steps of a roll-out that a network learns from.
    fn rows(&self, worlds: &Worlds, policy: &Policy) -> usize {
        self.steps * worlds.tasks * worlds.each / policy.networks(worlds)
    }

    fn updates(&self) -> usize {
        self.epochs * self.minibatches
    }
}

/// What an iteration found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progressed {
    /// Number of the iteration, from 0.
    pub iteration: u64,
    /// Steps in all worlds so far.
    pub frames: u64,
    /// Episodes that ended in it.
    pub episodes: f64,
    /// Their mean return; NaN where none ended.
    pub return_mean: f64,
    /// Their mean number of steps.
    pub length: f64,
    /// Mean reward of a step.
    pub reward: f64,
    /// Of the last update: what the policy minimised, the error of values, the entropy, and how far it went from where it was.
    pub losses: [f64; 4],
    /// Of the last update: the largest norm of a gradient before clipping.
    pub gradient: f64,
}

/// A policy in training.
pub struct PolicyTrainer {
    device: Device,
    worlds: Worlds,
    policy: Policy,
    learning: Learning,
    seed: u64,
    session: Session,
    iteration: u64,
    refused: u64,
}

impl std::fmt::Debug for PolicyTrainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyTrainer").field("iteration", &self.iteration).finish_non_exhaustive()
    }
}

/// Everything that training goes on from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PolicyState {
    /// Parameters, and their first and second moments.
    pub learner: [Vec<f32>; 3],
    /// Where the agents are: states, clocks, returns so far.
    pub place: [Vec<f32>; 3],
    /// Iterations done.
    pub iteration: u64,
}

/// Names of the state of the plan that [`PolicyState::learner`] holds.
const LEARNER: [&str; 3] = ["weights", "first", "second"];

impl PolicyTrainer {
    /// Plans training from the start.
    ///
    /// # Errors
    /// What the device refuses, and settings that do not fit one another.
    pub fn new(
        device: &Device,
        worlds: Worlds,
        policy: Policy,
        learning: Learning,
        seed: u64,
    ) -> Result<PolicyTrainer> {
        let rows = learning.rows(&worlds, &policy);
        if !rows.is_multiple_of(learning.minibatches) {
            let message = format!(
                "{rows} steps of a roll-out for each network are not {} even minibatches",
                learning.minibatches
            );
            return Err(Error::config("learning.minibatches", message));
        }
        let graph = training_graph(&worlds, &policy, &learning);
        let mut session = device.prepare(lower(&graph, device.caps(WINDOW))?)?;
        session.write(LEARNER[0], &policy.init(worlds.tasks, seed))?;
        let setting = Setting { worlds: &worlds, policy: &policy, learning: &learning };
        for (name, values) in PLACE.iter().zip(&setting.begin(device, seed)?) {
            session.write(name, values)?;
        }
        setting.write_worlds(&mut session)?;
        let device = device.clone();
        Ok(PolicyTrainer { device, worlds, policy, learning, seed, session, iteration: 0, refused: 0 })
    }

    /// The plan of an iteration.
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Iterations done.
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// Steps of an iteration in all worlds.
    pub fn frames_each(&self) -> u64 {
        (self.learning.steps * self.worlds.tasks * self.worlds.each) as u64
    }

    /// All iterations.
    pub fn iterations(&self) -> u64 {
        self.learning.frames.div_ceil(self.frames_each()).max(1)
    }

    /// Iterations that are left.
    pub fn left(&self) -> u64 {
        self.iterations() - self.iteration.min(self.iterations())
    }

    /// What training goes on from.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn state(&mut self) -> Result<PolicyState> {
        let mut read = |[a, b, c]: [&str; 3]| -> Result<[Vec<f32>; 3]> {
            Ok([self.session.read(a)?, self.session.read(b)?, self.session.read(c)?])
        };
        let (learner, place) = (read(LEARNER)?, read(PLACE)?);
        Ok(PolicyState { learner, place, iteration: self.iteration })
    }

    /// Goes on from there.
    ///
    /// # Errors
    /// What the device refuses, among it a state of another policy.
    pub fn restore(&mut self, state: &PolicyState) -> Result<()> {
        for (name, values) in LEARNER.iter().zip(&state.learner).chain(PLACE.iter().zip(&state.place)) {
            self.session.write(name, values)?;
        }
        self.iteration = state.iteration;
        Ok(())
    }

    /// Present parameters.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn params(&mut self) -> Result<Vec<f32>> {
        self.session.read(LEARNER[0])
    }

    /// Stages up to `most` further iterations (a window at most): their number.
    fn stage(&mut self, most: u64) -> Result<usize> {
        let many = most.min(self.left()).min(WINDOW as u64) as usize;
        let rows = self.learning.rows(&self.worlds, &self.policy);
        let (updates, optimiser) = (self.learning.updates() as u64, Learning::optimiser());
        let all = (self.iterations() * updates) as f64;
        for row in 0..many {
            let at = self.iteration + row as u64;
            self.session.set_step_u32(row, "key", &key(self.seed, at))?;
            let mut order = Vec::with_capacity(rows * self.learning.epochs);
            for epoch in 0..self.learning.epochs as u64 {
                let mut rng = Rng::new(self.seed, ORDER ^ (at << 8 | epoch) << 16);
                order.extend(rng.choose(rows, rows).into_iter().map(|i| i as u32));
            }
            self.session.set_step_u32(row, "order", &order)?;
            let control: Vec<f32> = (0..updates)
                .flat_map(|u| {
                    let step = at * updates + u;
                    optimiser.control(step, self.learning.rate * (1.0 - step as f64 / all))
                })
                .collect();
            self.session.set_step(row, "control", &control)?;
        }
        Ok(many)
    }

    /// Runs up to `most` further iterations (a window at most).
    ///
    /// # Errors
    /// [`Error::Diverged`] when updates were refused again and again, because a loss or gradient was not finite: the policy is then the last good one.
    pub fn advance(&mut self, most: u64) -> Result<Vec<Progressed>> {
        let many = self.stage(most)?;
        let records = self.session.run(many)?;
        let mut found = Vec::with_capacity(many);
        for record in &records {
            let r: Vec<f64> = record.iter().map(|x| f64::from(*x)).collect();
            let frames = (self.iteration + 1) * self.frames_each();
            found.push(Progressed {
                iteration: self.iteration,
                frames,
                episodes: r[0],
                return_mean: r[1] / r[0],
                length: r[2] / r[0],
                reward: r[3] / self.frames_each() as f64,
                losses: [r[4], r[5], r[6], r[7]],
                gradient: r[8],
            });
            self.iteration += 1;
            self.refused = if r[8].is_finite() && r[4].is_finite() { 0 } else { self.refused + 1 };
            if self.refused >= MAX_REFUSED {
                return Err(Error::Diverged(format!(
                    "{MAX_REFUSED} iterations in a row up to {} gave a loss or gradient that is not finite; the last good \
                     policy is kept. A lower learning rate would help",
                    self.iteration
                )));
            }
        }
        Ok(found)
    }

    /// One whole episode in every one of `worlds`, of as many tasks as are trained where networks are the tasks' own.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn evaluate(&mut self, worlds: &Worlds, how: Behaviour, seed: u64) -> Result<Episodes> {
        let params = self.params()?;
        let setting = Setting { worlds, policy: &self.policy, learning: &self.learning };
        setting.episodes(&self.device, &params, how, seed)
    }

    /// Runs `steps` iterations launch by launch on the CPU and on `gpu`, both by the GPU's plan and from the same buffers; training stays where it is.
    ///
    /// # Errors
    /// Those of the GPU.
    #[cfg(feature = "gpu")]
    pub fn lockstep(
        &mut self,
        gpu: &crate::run::gpu::Gpu,
        steps: usize,
    ) -> Result<crate::check::lockstep::LockstepReport> {
        let state = self.state()?;
        let mut twin = PolicyTrainer::new(
            &Device::Cpu,
            self.worlds.clone(),
            self.policy.clone(),
            self.learning,
            self.seed,
        )?;
        let plan = lower(&training_graph(&self.worlds, &self.policy, &self.learning), gpu.caps(WINDOW))?;
        twin.session = Device::Cpu.prepare(plan.clone())?;
        let setting = Setting { worlds: &self.worlds, policy: &self.policy, learning: &self.learning };
        setting.write_worlds(&mut twin.session)?;
        twin.restore(&state)?;
        let many = twin.stage(steps as u64)?;
        match twin.session.cpu_runner(many)? {
            Some(cpu) => crate::check::lockstep::lockstep(gpu, &plan, cpu, many),
            None => Err(Error::Device("lockstep starts from the CPU path's buffers".into())),
        }
    }
}

/// An iteration: a roll-out, its advantages, and updates from minibatches of its steps.
pub fn training_graph(worlds: &Worlds, policy: &Policy, learning: &Learning) -> Graph {
    let setting = Setting { worlds, policy, learning };
    let space = worlds.environment.action();
    let rows = learning.rows(worlds, policy);
    let mut g = Graph::new();
    let g = &mut g;
    let learner = LEARNER.map(|name| g.state(name, &setting.params()));
    let place = setting.place(g);
    let inputs = setting.declared(g);
    let key = g.step_u32("key", &[2]);
    let order = g.step_u32("order", &[learning.epochs * rows]);
    let control = g.step("control", &[learning.updates(), 3]);
    let layout = policy.actor.layout();
    let agents = setting.agents(&layout);

    let drawn = policy.parts(g, learner[0], inputs.descriptor);
    let (after, rolled) = g.scope("roll-out", |g| {
        agents.roll(g, learning.steps, inputs.roll(drawn, key), place, Behaviour::Drawn)
    });
    let table = g.scope("advantages", |g| steps_table(g, (worlds, policy, learning), drawn, inputs, rolled));
    let mut state = learner;
    let mut found = None;
    for update in 0..learning.updates() {
        let picked = g.slice(order, 0, update * (rows / learning.minibatches), rows / learning.minibatches);
        let batch = g.gather(table, picked);
        let batch = g.permute(batch, &[1, 0, 2]);
        let control = g.slice(control, 0, update, 1);
        let control = g.reshape(control, &[3]);
        let (next, losses) =
            g.scope("update", |g| updated(g, (policy, learning, &space), state, inputs, batch, control));
        state = next;
        found = Some(losses);
    }
    for (old, new) in learner.into_iter().zip(state).chain(place.values().into_iter().zip(after.values())) {
        g.update(old, new);
    }
    for (name, v) in [
        ("episodes", rolled.ended),
        ("return", rolled.finished),
        ("length", rolled.length),
        ("reward", rolled.reward),
    ] {
        let sum = g.sum_to(v, &[]);
        g.record(name, sum);
    }
    let names = ["policy", "value", "entropy", "divergence", "gradient"];
    for (name, v) in names.into_iter().zip(found.expect("there is an update")) {
        g.record(name, v);
    }
    std::mem::take(g)
}

/// Columns of what is learned from: what was read, with what the critic is told; action; and four numbers. `[steps of a network, networks, width]`
fn steps_table(
    g: &mut Graph,
    (worlds, policy, learning): (&Worlds, &Policy, &Learning),
    drawn: Drawn,
    Declared { descriptor, .. }: Declared,
    rolled: Rolled,
) -> Value {
    let [groups, each] = policy.axes(worlds);
    let (networks, rows) = (policy.networks(worlds), learning.rows(worlds, policy));
    // The critic is told what the actor may not be.
    let whole = |g: &mut Graph, read: Value| {
        let wide = g.shape(read)[3];
        let read = match descriptor.filter(|_| wide < policy.critic.inputs()) {
            Some(told) => {
                let told = g.reshape(told, &[groups, 1, each, policy.told]);
                let told = g.expand(told, &[groups, learning.steps, each, policy.told]);
                g.concat(&[read, told], 3)
            }
            None => read,
        };
        g.reshape(read, &[networks, rows, policy.critic.inputs()])
    };
    let critic = policy.critic.layout();
    let value = |g: &mut Graph, read: Value| {
        let y = policy.critic.apply(g, Weights { flat: drawn.critic, layout: &critic }, read);
        g.reshape(y, &[groups, learning.steps, each, 1])
    };
    let (read, next) = (whole(g, rolled.read), whole(g, rolled.next));
    let (before, after) = (value(g, read), value(g, next));
    let reward = g.scale(rolled.reward, worlds.environment.reward_scale());
    let of =
        Rewards { reward, value: before, next: after, terminated: rolled.terminated, ended: rolled.ended };
    let advantage = advantages(g, of, learning.gamma, learning.lambda);
    let target = g.add(advantage, before);
    let columns: Vec<Value> = [rolled.action, rolled.log_probability, advantage, before, target]
        .into_iter()
        .map(|v| {
            let wide = g.shape(v)[3];
            g.reshape(v, &[networks, rows, wide])
        })
        .collect();
    let table = g.concat(&[&[read], &columns[..]].concat(), 2);
    let table = g.permute(table, &[1, 0, 2]);
    g.stop_gradient(table)
}

/// The learner after an update from a minibatch `[networks, n, width]`, and what it found: the four parts, and the norm of the gradient.
fn updated(
    g: &mut Graph,
    (policy, learning, space): (&Policy, &Learning, &super::ActionSpace),
    state: [Value; 3],
    Declared { descriptor, .. }: Declared,
    batch: Value,
    control: Value,
) -> ([Value; 3], [Value; 5]) {
    let params = state[0];
    let drawn = policy.parts(g, params, descriptor);
    let (seen, act) = (policy.critic.inputs(), space.width());
    let read = g.slice(batch, 2, 0, policy.actor.inputs());
    let whole = g.slice(batch, 2, 0, seen);
    let (actor, critic) = (policy.actor.layout(), policy.critic.layout());
    let outputs = policy.actor.apply(g, Weights { flat: drawn.actor, layout: &actor }, read);
    let value = policy.critic.apply(g, Weights { flat: drawn.critic, layout: &critic }, whole);
    let e = g.expr();
    let all: Expr<'_> = e.of(batch);
    let said = Distribution::new(space, e.of(outputs), drawn.deviation.map(|d| e.of(d)));
    let column = |i: usize| all.column(seen + act + i);
    // Networks that learn apart each have their own minibatch; of others it is one, with few steps of each task.
    let mut objective = learning.objective;
    let advantage = match objective.normalise && !policy.apart() {
        true => normalised(column(1), &[1, 1, 1]),
        false => column(1),
    };
    objective.normalise &= policy.apart();
    let steps = Steps {
        action: all.slice(2, seen, act),
        log_probability: column(0),
        advantage,
        value: column(2),
        target: column(3),
    };
    let parts = objective.of(&said, e.of(value), steps);
    let networks = parts.all.shape()[0] as f64;
    // Networks that learn apart have objectives of their own; others one, the mean over tasks.
    let share = if policy.apart() { 1.0 } else { 1.0 / networks };
    let loss = (parts.all.total() * share).value();
    let records =
        [parts.policy, parts.value, parts.entropy, parts.divergence].map(|p| (p.total() / networks).value());
    let gradient = g.grad(loss, &[params])[0];
    let axes = if policy.apart() { vec![g.shape(params)[0], 1] } else { vec![1] };
    let [kept, norm2] = clip_each(g, gradient, &axes, learning.clip);
    let next = adam_step(g, &Learning::optimiser(), state, kept, control);
    let norm = g.sum_to(norm2, &[]);
    let norm = g.map(Func::Sqrt, norm);
    let [a, b, c, d] = records;
    (next, [a, b, c, d, norm])
}
