//! Playing: what a policy does in its worlds, without learning from it.

use super::environment::host::refuse_host;
use super::host::{Actors, Transcript, stepped};
use super::memory::Memory;
use super::rollout::{Agents, Behaviour, Place, RollInputs, Rolled};
use super::spec::{Drawn, Policy, PolicyWeights};
use super::trainer::Learning;
use super::worlds::Worlds;
use crate::error::{Error, Result};
use crate::graph::{Graph, Role, Value};
use crate::plan::lower;
use crate::run::{Device, Session};
use crate::spec::DType;

/// Random numbers of play, beside those of training.
const PLAY: u64 = 0xe7a1;
/// Steps of a trajectory that a plan takes at most.
const PIECE: usize = 50;
/// What a plan gives of it.
const TRAJECTORY: [&str; 7] = ["at", "seen", "action", "reward", "terminated", "ended", "over"];
/// What a plan gives of episodes.
pub(super) const EPISODES: [&str; 3] = ["returns", "lengths", "terminated"];

/// All three, or the first error.
pub(super) fn all_of(found: [Result<Vec<f32>>; 3]) -> Result<[Vec<f32>; 3]> {
    let [a, b, c] = found;
    Ok([a?, b?, c?])
}

/// Returns of whole trials, one in each world; of an agent without a memory a trial is one episode.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Episodes {
    /// Returns of trials, task by task.
    pub returns: Vec<f32>,
    /// Their numbers of steps.
    pub lengths: Vec<f32>,
    /// Share of episodes that ended by themselves.
    pub terminated: f64,
    /// Mean return of the first episode of a trial, of the second, and so on.
    pub by_episode: Vec<f64>,
    /// Worlds of a task.
    pub each: usize,
}

impl Episodes {
    /// Of returns, numbers of steps and ends of so many episodes of each trial.
    pub(super) fn of([returns, steps, terminated]: [Vec<f32>; 3], episodes: usize, each: usize) -> Episodes {
        let mean = |i: usize| {
            let of = returns.iter().skip(i).step_by(episodes).map(|r| f64::from(*r));
            of.sum::<f64>() / (returns.len() / episodes).max(1) as f64
        };
        let by_episode = (0..episodes).map(mean).collect();
        let sums = |of: &[f32]| -> Vec<f32> { of.chunks(episodes).map(|row| row.iter().sum()).collect() };
        let ends = terminated.iter().map(|e| f64::from(*e)).sum::<f64>() / terminated.len().max(1) as f64;
        Episodes { lengths: sums(&steps), returns: sums(&returns), terminated: ends, by_episode, each }
    }

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
    /// The states that it was in, `[steps, state]`.
    pub state: Vec<f32>,
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
    /// Whether the trial ended with it; then a memory is empty again.
    pub over: Vec<bool>,
}

impl Trajectory {
    /// Leaves the first `steps`.
    pub fn cut(&mut self, steps: usize) {
        let many = self.reward.len().max(1);
        let (seen, action) = (self.seen.len() / many, self.action.len() / many);
        self.state.truncate(steps * (self.state.len() / many));
        self.seen.truncate(steps * seen);
        self.action.truncate(steps * action);
        self.reward.truncate(steps);
        self.terminated.truncate(steps);
        self.ended.truncate(steps);
        self.over.truncate(steps);
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
    pub(super) context: Value,
    /// What differs, where the policy is told of it.
    pub(super) descriptor: Option<Value>,
}

impl Declared {
    pub(super) fn roll(self, drawn: Drawn, key: Value) -> RollInputs {
        let Declared { context, descriptor } = self;
        // Who remembers is told nothing while it plays.
        let descriptor = descriptor.filter(|_| drawn.memory.is_none());
        let Drawn { actor: weights, deviation, memory, .. } = drawn;
        RollInputs { weights, deviation, memory, context, descriptor, key }
    }
}

/// A seed and an iteration as the key of a plan.
pub(super) fn key(seed: u64, iteration: u64) -> [u32; 2] {
    [(seed ^ (seed >> 32)) as u32, iteration as u32]
}

impl Setting<'_> {
    pub(super) fn agents(&self) -> Agents<'_> {
        Agents { environment: &*self.worlds.environment, policy: self.policy, trial: self.trial() }
    }

    /// Steps after which each episode of a trial is cut off; a trial of an agent without a memory is one episode.
    pub fn trial(&self) -> Vec<usize> {
        match (&self.policy.memory, self.learning.horizon) {
            (Some(memory), _) => memory.trial.clone(),
            (None, 0) => vec![self.worlds.environment.horizon()],
            (None, own) => vec![own],
        }
    }

    /// Steps of a trial at most.
    pub fn horizon(&self) -> usize {
        self.trial().iter().sum()
    }

    /// What a plan is told: for as long as it runs, or (of contexts that are drawn anew) at every replay.
    pub(super) fn declared(&self, g: &mut Graph, anew: bool) -> Declared {
        let ([groups, each], told) = (self.policy.axes(self.worlds), self.policy.told);
        let role = if anew { Role::Step } else { Role::Data };
        let shape = [groups, each, self.worlds.environment.context().len().max(1)];
        let context = g.input("context", role, &shape, DType::F32);
        let descriptor = (told > 0).then(|| g.input("descriptor", role, &[groups, each, told], DType::F32));
        Declared { context, descriptor }
    }

    /// Names and widths of what says where agents are.
    fn places(&self) -> Vec<(String, usize)> {
        let environment = &self.worlds.environment;
        let mut all =
            vec![("state".into(), environment.widths().state), ("clock".into(), 1), ("gained".into(), 1)];
        if let Some(memory) = &self.policy.memory {
            all.extend([("turn".into(), 1), ("before".into(), Memory::before(self.worlds))]);
            let states = memory.encoder.states().into_iter().enumerate();
            all.extend(states.map(|(i, width)| (format!("memory.{i}"), width)));
        }
        all
    }

    /// Where agents are, as a plan's state.
    pub(super) fn place(&self, g: &mut Graph) -> Place {
        let [groups, each] = self.policy.axes(self.worlds);
        let all: Vec<Value> =
            self.places().iter().map(|(name, width)| g.state(name, &[groups, each, *width])).collect();
        Place::of(&all)
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

    /// Where agents are at first: values by their names.
    pub(super) fn begin(&self, device: &Device, seed: u64) -> Result<Vec<(String, Vec<f32>)>> {
        let mut g = Graph::new();
        let context = self.declared(&mut g, false).context;
        let key_of = g.input("key", Role::Data, &[2], DType::U32);
        let place = self.agents().begin(&mut g, context, key_of);
        let names: Vec<String> = self.places().into_iter().map(|(name, _)| name).collect();
        for (name, v) in names.iter().zip(place.values()) {
            g.output(name, v);
        }
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        self.write_worlds(&mut session)?;
        session.write_u32("key", &key(seed, u64::from(u32::MAX)))?;
        session.run(1)?;
        self.read_place(&mut session)
    }

    /// Where agents are: values by their names.
    pub(super) fn read_place(&self, session: &mut Session) -> Result<Vec<(String, Vec<f32>)>> {
        self.places().into_iter().map(|(name, _)| session.read(&name).map(|v| (name, v))).collect()
    }

    /// A plan of what agents with these parameters do, its worlds written.
    fn played(
        &self,
        device: &Device,
        params: &[f32],
        what: impl FnOnce(&mut Graph, &Agents<'_>, RollInputs),
    ) -> Result<Session> {
        let mut g = Graph::new();
        let inputs = self.declared(&mut g, false);
        let flat = g.data("params", &self.params());
        let key_of = g.input("key", Role::Data, &[2], DType::U32);
        let drawn = self.policy.parts(&mut g, flat, inputs.descriptor);
        what(&mut g, &self.agents(), inputs.roll(drawn, key_of));
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        session.write("params", params)?;
        self.write_worlds(&mut session)?;
        Ok(session)
    }

    /// One whole trial in every world by a policy with these parameters.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn episodes(&self, device: &Device, params: &[f32], how: Behaviour, seed: u64) -> Result<Episodes> {
        if self.host().is_some() {
            let happened = self.played_on_host(device, params, how, self.horizon(), seed)?;
            return self.trials_plan(device, Actors::Policy, self.horizon())?.of(&happened);
        }
        let mut session = self.played(device, params, |g, agents, inputs| {
            let first = agents.first_trials(g, inputs, how);
            let found = [first.returns, first.lengths, first.terminated];
            for (name, v) in EPISODES.into_iter().zip(found) {
                g.output(name, v);
            }
        })?;
        session.write_u32("key", &key(seed ^ PLAY, 0))?;
        session.run(1)?;
        let found = EPISODES.map(|name| session.read(name));
        Ok(Episodes::of(all_of(found)?, self.trial().len(), self.worlds.each))
    }

    /// One episode in every world before each of so many steps of adaptation, and behind the last: where actions are drawn, by which the next step is made, and
    /// where the likeliest are taken. Steps beyond those that training looks ahead are half as long (Finn et al. 2017).
    ///
    /// # Errors
    /// A policy that does not adapt, and what the device refuses.
    pub fn adapted(
        &self,
        device: &Device,
        params: &[f32],
        updates: usize,
        seed: u64,
    ) -> Result<Vec<[Episodes; 2]>> {
        let PolicyWeights::Adapted(adaptation) = self.policy.weights else {
            return Err(Error::config("weights", "are of a policy that does not adapt"));
        };
        // Beyond what training looked ahead it goes on by half.
        let rate = |k: usize| if k < adaptation.updates { adaptation.rate } else { adaptation.rate / 2.0 };
        if self.host().is_some() {
            return self.adapted_on_host(device, params, updates, rate, seed);
        }
        let mut g = Graph::new();
        let g = &mut g;
        let declared = self.declared(g, false);
        let flat = g.data("params", &self.params());
        let keys = g.input("key", Role::Data, &[updates + 1, 2], DType::U32);
        let mut own = self.begun(g, flat);
        for k in 0..=updates {
            let key = g.slice(keys, 0, k, 1);
            let key = g.reshape(key, &[2]);
            let [drawn, greedy] =
                [Behaviour::Drawn, Behaviour::Greedy].map(|how| self.meet(g, declared, own, key, how));
            for (what, met) in [("drawn", drawn), ("greedy", greedy)] {
                for (name, v) in EPISODES.into_iter().zip([met.returns, met.lengths, met.terminated]) {
                    g.output(&format!("{name}.{what}.{k}"), v);
                }
            }
            own = self.stepped(g, own, drawn, rate(k));
        }
        let mut session = device.prepare(lower(g, device.caps(1))?)?;
        session.write("params", params)?;
        self.write_worlds(&mut session)?;
        let keys: Vec<u32> = (0..=updates as u64).flat_map(|k| key(seed ^ PLAY, k)).collect();
        session.write_u32("key", &keys)?;
        session.run(1)?;
        let mut of = |what: &str, k: usize| -> Result<Episodes> {
            let found = EPISODES.map(|name| session.read(&format!("{name}.{what}.{k}")));
            Ok(Episodes::of(all_of(found)?, 1, self.worlds.each))
        };
        (0..=updates).map(|k| Ok([of("drawn", k)?, of("greedy", k)?])).collect()
    }

    /// [`Setting::adapted`] in an environment on the host.
    fn adapted_on_host(
        &self,
        device: &Device,
        params: &[f32],
        updates: usize,
        rate: impl Fn(usize) -> f64,
        seed: u64,
    ) -> Result<Vec<[Episodes; 2]>> {
        let who = Actors::Beginners;
        let mut players = vec![];
        for how in [Behaviour::Drawn, Behaviour::Greedy] {
            let mut player = self.player(device, who, how, self.horizon())?;
            player.meet(self, seed ^ PLAY)?;
            players.push(player);
        }
        let mut own = players[0].params_of(self, params, [0, 0])?;
        let mut trials = self.trials_plan(device, who, self.horizon())?;
        let mut stepping: Option<(f64, Session)> = None;
        let mut all = vec![];
        for k in 0..=updates {
            let mut met = vec![];
            for player in &mut players {
                player.load(&own)?;
                player.begin()?;
                met.push(player.roll(key(seed ^ PLAY, k as u64))?);
            }
            all.push([trials.of(&met[0])?, trials.of(&met[1])?]);
            if k == updates {
                break;
            }
            // One plan serves as long as the rate stays.
            let (_, plan) = match stepping.take().filter(|(of, _)| *of == rate(k)) {
                Some(same) => stepping.insert(same),
                None => stepping.insert((rate(k), self.stepping(device, rate(k))?)),
            };
            own = stepped(plan, &own, &met[0])?;
        }
        Ok(all)
    }

    /// What happens in a roll-out of so many steps by a policy with these parameters, in an environment on the host.
    fn played_on_host(
        &self,
        device: &Device,
        params: &[f32],
        how: Behaviour,
        steps: usize,
        seed: u64,
    ) -> Result<Transcript> {
        let mut player = self.player(device, Actors::Policy, how, steps)?;
        player.meet(self, seed ^ PLAY)?;
        let acting = player.params_of(self, params, [0, 0])?;
        player.load(&acting)?;
        player.roll(key(seed ^ PLAY, 0))
    }

    /// The trajectory in what happened on the host, of whose states nothing is known.
    fn trajectory_of(&self, met: &Transcript, steps: usize) -> Trajectory {
        let each = self.policy.axes(self.worlds)[1];
        // Of the first task the first world.
        let of = |all: &[f32], keep: usize| -> Vec<f32> {
            let wide = all.len() / (self.worlds.tasks * self.worlds.each * steps).max(1);
            all.chunks(each * wide).take(steps).flat_map(|row| row[..keep.min(wide)].to_vec()).collect()
        };
        let is = |name: &str| of(met.of(name), 1).iter().map(|e| *e != 0.0).collect();
        Trajectory {
            state: vec![],
            seen: of(met.of("read"), self.worlds.environment.widths().observation),
            action: of(&met.done, usize::MAX),
            reward: of(met.of("reward"), 1),
            terminated: is("terminated"),
            ended: is("ended"),
            over: is("over"),
        }
    }

    /// What a policy with these parameters does in each of `states` `[n, state]` of the first world, where it takes the likeliest action: of continuous ones from −1 to 1 within
    /// their ranges, `[n, action]`.
    ///
    /// # Errors
    /// Policies with a memory, which act by more than a state, and what the device refuses.
    pub fn at_states(&self, device: &Device, params: &[f32], states: &[f32]) -> Result<Vec<f32>> {
        if self.policy.memory.is_some() {
            return Err(Error::config("policy", "with a memory acts by more than a state"));
        }
        refuse_host(&*self.worlds.environment, "policy", "what is done in a state")?;
        let width = self.worlds.environment.widths().state;
        let mut worlds = self.worlds.clone();
        (worlds.tasks, worlds.each) = (1, states.len() / width);
        let setting = Setting { worlds: &worlds, ..*self };
        let [groups, each] = self.policy.axes(&worlds);
        let mut session = setting.played(device, params, |g, agents, inputs| {
            let states = g.data("states", &[groups, each, width]);
            let action = agents.likeliest(g, states, inputs);
            g.output("action", action);
        })?;
        session.write("states", states)?;
        // Only a roll-out draws anything.
        if session.has_input("key") {
            session.write_u32("key", &[0, 0])?;
        }
        session.run(1)?;
        session.read("action")
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
        if self.host().is_some() {
            let met = self.played_on_host(device, params, how, steps, seed)?;
            return Ok(self.trajectory_of(&met, steps));
        }
        let piece = PIECE.min(steps).max(1);
        let mut session = self.played(device, params, |g, agents, inputs| {
            let from = self.place(g);
            let (after, rolled, witnessed) = agents.witnessed(g, piece, inputs, (&from, how), true);
            for (old, new) in from.values().into_iter().zip(after.values()) {
                g.update(old, new);
            }
            let e = g.expr();
            let seen = e.of(rolled.read).slice(3, 0, self.worlds.environment.widths().observation);
            let Rolled { reward, terminated, ended, over, .. } = rolled;
            let [state, action] = witnessed[..] else { panic!("two are witnessed") };
            let found = [state, seen.value(), action, reward, terminated, ended, over];
            for (name, v) in TRAJECTORY.into_iter().zip(found) {
                // Of the first task the first world.
                let wide = g.shape(v)[3];
                let one = g.slice(v, 0, 0, 1);
                let one = g.slice(one, 2, 0, 1);
                let one = g.reshape(one, &[piece, wide]);
                g.output(name, one);
            }
        })?;
        for (name, values) in &self.begin(device, seed)? {
            session.write(name, values)?;
        }
        let mut all = Trajectory {
            state: vec![],
            seen: vec![],
            action: vec![],
            reward: vec![],
            terminated: vec![],
            ended: vec![],
            over: vec![],
        };
        for at in 0..steps.div_ceil(piece) {
            session.write_u32("key", &key(seed ^ PLAY, at as u64))?;
            session.run(1)?;
            all.state.extend(session.read("at")?);
            all.seen.extend(session.read("seen")?);
            all.action.extend(session.read("action")?);
            all.reward.extend(session.read("reward")?);
            all.terminated.extend(session.read("terminated")?.iter().map(|e| *e != 0.0));
            all.ended.extend(session.read("ended")?.iter().map(|e| *e != 0.0));
            all.over.extend(session.read("over")?.iter().map(|e| *e != 0.0));
        }
        all.cut(steps);
        Ok(all)
    }
}
