//! Playing: what a policy does in its worlds, without learning from it.

use super::action::Distribution;
use super::rollout::{Agents, Behaviour, Place, RollInputs};
use super::spec::{Drawn, Policy};
use super::trainer::Learning;
use super::worlds::Worlds;
use crate::error::Result;
use crate::graph::{Graph, Role, Value};
use crate::net::ParamLayout;
use crate::plan::lower;
use crate::run::{Device, Session};
use crate::spec::DType;

/// Random numbers of play, beside those of training.
const PLAY: u64 = 0xe7a1;
/// Steps of a trajectory that a plan takes at most.
const PIECE: usize = 50;
/// Names of the state of a plan that says where agents are.
pub(super) const PLACE: [&str; 3] = ["state", "clock", "gained"];

/// Returns of whole episodes, one in each world.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Episodes {
    /// Returns, task by task.
    pub returns: Vec<f32>,
    /// Numbers of steps.
    pub lengths: Vec<f32>,
    /// Worlds of a task.
    pub each: usize,
}

impl Episodes {
    /// Mean return.
    pub fn mean(&self) -> f64 {
        self.returns.iter().map(|r| f64::from(*r)).sum::<f64>() / self.returns.len().max(1) as f64
    }

    /// Standard deviation of returns.
    pub fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.returns.iter().map(|r| (f64::from(*r) - mean).powi(2)).sum();
        (squares / self.returns.len().max(1) as f64).sqrt()
    }

    /// Mean return of each task.
    pub fn by_task(&self) -> Vec<f64> {
        let mean = |of: &[f32]| of.iter().map(|r| f64::from(*r)).sum::<f64>() / of.len().max(1) as f64;
        self.returns.chunks(self.each.max(1)).map(mean).collect()
    }
}

/// What one agent saw and did in one world, step by step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Trajectory {
    /// What it saw, `[steps, observation]`.
    pub seen: Vec<f32>,
    /// What it did, as the environment took it, `[steps, action]`.
    pub action: Vec<f32>,
    /// What it got.
    pub reward: Vec<f32>,
    /// Whether the episode ended by itself with the step.
    pub terminated: Vec<bool>,
    /// Whether it ended, by itself or by the time limit; then the next begins.
    pub ended: Vec<bool>,
}

impl Trajectory {
    /// Leaves the first `steps`.
    pub fn cut(&mut self, steps: usize) {
        let many = self.reward.len().max(1);
        let (seen, action) = (self.seen.len() / many, self.action.len() / many);
        self.seen.truncate(steps * seen);
        self.action.truncate(steps * action);
        self.reward.truncate(steps);
        self.terminated.truncate(steps);
        self.ended.truncate(steps);
    }
}

/// Who acts where, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The worlds.
    pub worlds: &'a Worlds,
    /// The policy.
    pub policy: &'a Policy,
    /// How it learns, of which the time limit counts.
    pub learning: &'a Learning,
}

/// What a plan is told of worlds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    context: Value,
    /// What differs, where the policy is told of it.
    pub(super) descriptor: Option<Value>,
}

impl Declared {
    pub(super) fn roll(self, drawn: Drawn, key: Value) -> RollInputs {
        let Declared { context, descriptor } = self;
        RollInputs { weights: drawn.actor, deviation: drawn.deviation, context, descriptor, key }
    }
}

/// A seed and an iteration as the key of a plan.
pub(super) fn key(seed: u64, iteration: u64) -> [u32; 2] {
    [(seed ^ (seed >> 32)) as u32, iteration as u32]
}

impl Setting<'_> {
    pub(super) fn agents<'l>(&'l self, layout: &'l ParamLayout) -> Agents<'l> {
        let environment = &*self.worlds.environment;
        Agents { environment, actor: &self.policy.actor, layout, horizon: self.horizon() }
    }

    /// Steps after which an episode is cut off.
    pub fn horizon(&self) -> usize {
        match self.learning.horizon {
            0 => self.worlds.environment.horizon(),
            own => own,
        }
    }

    pub(super) fn declared(&self, g: &mut Graph) -> Declared {
        let ([groups, each], told) = (self.policy.axes(self.worlds), self.policy.told);
        let context = g.data("context", &[groups, each, self.worlds.environment.context().len()]);
        let descriptor = (told > 0).then(|| g.data("descriptor", &[groups, each, told]));
        Declared { context, descriptor }
    }

    /// Where agents are, as a plan's state.
    pub(super) fn place(&self, g: &mut Graph) -> Place {
        let [groups, each] = self.policy.axes(self.worlds);
        let widths = [self.worlds.environment.widths().state, 1, 1];
        let [state, clock, gained] = [0, 1, 2].map(|i| g.state(PLACE[i], &[groups, each, widths[i]]));
        Place { state, clock, gained }
    }

    /// Shape of the parameters.
    pub(super) fn params(&self) -> Vec<usize> {
        let n = self.policy.layout().len();
        if self.policy.apart() { vec![self.worlds.tasks, n] } else { vec![n] }
    }

    pub(super) fn write_worlds(&self, session: &mut Session) -> Result<()> {
        session.write("context", &self.worlds.contexts())?;
        if session.has_input("descriptor") {
            session.write("descriptor", &self.worlds.descriptors())?;
        }
        Ok(())
    }

    /// Where agents are at first.
    pub(super) fn begin(&self, device: &Device, seed: u64) -> Result<[Vec<f32>; 3]> {
        let mut g = Graph::new();
        let context = self.declared(&mut g).context;
        let key_of = g.input("key", Role::Data, &[2], DType::U32);
        let layout = self.policy.actor.layout();
        let place = self.agents(&layout).begin(&mut g, context, key_of);
        for (name, v) in PLACE.iter().zip(place.values()) {
            g.output(name, v);
        }
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        self.write_worlds(&mut session)?;
        session.write_u32("key", &key(seed, u64::from(u32::MAX)))?;
        session.run(1)?;
        Ok([session.read(PLACE[0])?, session.read(PLACE[1])?, session.read(PLACE[2])?])
    }

    /// A plan of what agents with these parameters do, its worlds written.
    fn played(
        &self,
        device: &Device,
        params: &[f32],
        what: impl FnOnce(&mut Graph, &Agents<'_>, RollInputs),
    ) -> Result<Session> {
        let mut g = Graph::new();
        let inputs = self.declared(&mut g);
        let flat = g.data("params", &self.params());
        let key_of = g.input("key", Role::Data, &[2], DType::U32);
        let layout = self.policy.actor.layout();
        let drawn = self.policy.parts(&mut g, flat, inputs.descriptor);
        what(&mut g, &self.agents(&layout), inputs.roll(drawn, key_of));
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        session.write("params", params)?;
        self.write_worlds(&mut session)?;
        Ok(session)
    }

    /// One whole episode in every world by a policy with these parameters.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn episodes(&self, device: &Device, params: &[f32], how: Behaviour, seed: u64) -> Result<Episodes> {
        let mut session = self.played(device, params, |g, agents, inputs| {
            let [returns, lengths] = agents.episodes(g, inputs, how);
            g.output("returns", returns);
            g.output("lengths", lengths);
        })?;
        session.write_u32("key", &key(seed ^ PLAY, 0))?;
        session.run(1)?;
        let (returns, lengths) = (session.read("returns")?, session.read("lengths")?);
        Ok(Episodes { returns, lengths, each: self.worlds.each })
    }

    /// So many steps in the first world by a policy with these parameters.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn trajectory(
        &self,
        device: &Device,
        params: &[f32],
        how: Behaviour,
        steps: usize,
        seed: u64,
    ) -> Result<Trajectory> {
        let piece = PIECE.min(steps).max(1);
        let mut session = self.played(device, params, |g, agents, inputs| {
            let from = self.place(g);
            let (after, rolled) = agents.roll(g, piece, inputs, from, how);
            for (old, new) in from.values().into_iter().zip(after.values()) {
                g.update(old, new);
            }
            let e = g.expr();
            let seen = e.of(rolled.read).slice(3, 0, self.worlds.environment.widths().observation);
            let action = Distribution::scaled(&self.worlds.environment.action(), e.of(rolled.action));
            let found = [seen.value(), action.value(), rolled.reward, rolled.terminated, rolled.ended];
            for (name, v) in ["seen", "action", "reward", "terminated", "ended"].into_iter().zip(found) {
                // Of the first task the first world.
                let wide = g.shape(v)[3];
                let one = g.slice(v, 0, 0, 1);
                let one = g.slice(one, 2, 0, 1);
                let one = g.reshape(one, &[piece, wide]);
                g.output(name, one);
            }
        })?;
        for (name, values) in PLACE.iter().zip(&self.begin(device, seed)?) {
            session.write(name, values)?;
        }
        let mut all =
            Trajectory { seen: vec![], action: vec![], reward: vec![], terminated: vec![], ended: vec![] };
        for at in 0..steps.div_ceil(piece) {
            session.write_u32("key", &key(seed ^ PLAY, at as u64))?;
            session.run(1)?;
            all.seen.extend(session.read("seen")?);
            all.action.extend(session.read("action")?);
            all.reward.extend(session.read("reward")?);
            all.terminated.extend(session.read("terminated")?.iter().map(|e| *e != 0.0));
            all.ended.extend(session.read("ended")?.iter().map(|e| *e != 0.0));
        }
        all.cut(steps);
        Ok(all)
    }
}
