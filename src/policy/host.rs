//! Roll-outs in environments on the host: agents act on the device step by step, and what happened is handed to the plan that learns from it.

use super::action::Distribution;
use super::adaptation::Own;
use super::environment::{ActionSpace, HostEnvironment, HostStep, HostWorlds};
use super::evolution::Evolution;
use super::memory::{LUCK, Memory};
use super::play::{EPISODES, Episodes, Setting, all_of};
use super::rollout::{ACT, Behaviour, Rolled};
use super::spec::Drawn;
use crate::error::{Error, Result};
use crate::graph::op::Dist;
use crate::graph::{Graph, Role, Value};
use crate::plan::lower;
use crate::run::{Device, Session};
use crate::spec::DType;

/// Columns of what happened.
const COLUMNS: [&str; 10] = [
    "read",
    "action",
    "log_probability",
    "reward",
    "next",
    "terminated",
    "ended",
    "over",
    "finished",
    "length",
];

/// What happened in a roll-out: the columns of [`Rolled`], each `[g, n, r, ..]`.
#[derive(Clone, Debug)]
pub(super) struct Transcript {
    columns: [Vec<f32>; COLUMNS.len()],
    /// Actions as the environment got them.
    pub(super) done: Vec<f32>,
}

/// Which roll-out a column is of.
fn column(name: &str, roll_out: u64) -> String {
    format!("{name}.{roll_out}")
}

impl Transcript {
    /// A column by its name.
    pub(super) fn of(&self, name: &str) -> &[f32] {
        let which = COLUMNS.iter().position(|c| *c == name).expect("it is a column");
        &self.columns[which]
    }

    /// Stages it for the next step of a plan.
    pub(super) fn stage(&self, session: &mut Session, roll_out: u64) -> Result<()> {
        self.each(roll_out, |name, values| session.set_step(0, name, values))
    }

    fn write(&self, session: &mut Session) -> Result<()> {
        self.each(0, |name, values| session.write(name, values))
    }

    /// Every column by its name in a plan.
    fn each(&self, roll_out: u64, mut to: impl FnMut(&str, &[f32]) -> Result<()>) -> Result<()> {
        COLUMNS.iter().zip(&self.columns).try_for_each(|(name, values)| to(&column(name, roll_out), values))
    }
}

/// What agents act by, flat: weights of actors, deviations, parameters of the memory.
#[derive(Clone, Debug)]
pub(super) struct ActorParams([Option<Vec<f32>>; 3]);

/// What is drawn for actions, and for latents.
const NOISE: [&str; 2] = ["noise", "luck"];

const PARAMS: [&str; 3] = ["actor", "deviation", "memory"];

impl ActorParams {
    fn read(session: &mut Session) -> Result<ActorParams> {
        let [a, b, c] = PARAMS.map(|name| session.has_output(name).then(|| session.read(name)).transpose());
        Ok(ActorParams([a?, b?, c?]))
    }

    fn write(&self, session: &mut Session) -> Result<()> {
        let given = PARAMS.iter().zip(&self.0).filter_map(|(name, values)| Some((name, values.as_ref()?)));
        for (name, values) in given {
            session.write(name, values)?;
        }
        Ok(())
    }
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Actors {
    /// The policy, or those that are written.
    Policy,
    /// The same with noise on its weights.
    Noisy,
    /// What tasks begin with before they adapt.
    Beginners,
    /// Members of a generation.
    Members(Evolution),
}

/// Agents in worlds on the host.
#[derive(Debug)]
pub(super) struct Player {
    name: String,
    worlds: Box<dyn HostWorlds>,
    params_plan: Session,
    acting: Session,
    noise: Session,
    groups: usize,
    steps: usize,
    each: usize,
    trial: Vec<usize>,
    space: ActionSpace,
    scale: f32,
    /// Numbers of an observation, of what is drawn for an action and for a latent, and of each column.
    observation: usize,
    drawn: usize,
    luck: usize,
    widths: [usize; COLUMNS.len()],
    remembers: bool,
    /// What actors are told of each world.
    told: Vec<f32>,
    at: At,
}

/// Where agents are.
#[derive(Clone, Debug, Default)]
struct At {
    seen: Vec<f32>,
    clock: Vec<f32>,
    gained: Vec<f32>,
    turn: Vec<f32>,
    before: Vec<f32>,
    /// 0 where a memory is empty.
    going: Vec<f32>,
}

/// Names of where agents are in a checkpoint.
const AT: [&str; 3] = ["seen", "clock", "gained"];
/// What worlds on the host saved.
const SAVED: &str = "simulators";

impl Setting<'_> {
    pub(super) fn host(&self) -> Option<&dyn HostEnvironment> {
        self.worlds.environment.host()
    }

    /// Groups and worlds of each, of whom acts.
    fn axes(&self, actors: Actors) -> [usize; 2] {
        match actors {
            Actors::Members(evolution) => [evolution.members, self.worlds.tasks * self.worlds.each],
            _ => self.policy.axes(self.worlds),
        }
    }

    /// Widths of what happened, column by column.
    fn columns(&self) -> [usize; COLUMNS.len()] {
        let read = match &self.policy.memory {
            Some(memory) => memory.reads(),
            None => self.policy.actor.inputs(),
        };
        let act = self.worlds.environment.action().width();
        [read, act, 1, 1, read, 1, 1, 1, 1, 1]
    }

    /// What happened in a roll-out of `steps` on the host, as inputs of a plan.
    pub(super) fn transcript(
        &self,
        g: &mut Graph,
        role: Role,
        actors: Actors,
        steps: usize,
        roll_out: u64,
    ) -> Rolled {
        let [groups, each] = self.axes(actors);
        let widths = self.columns();
        let of = |i: usize| {
            g.input(&column(COLUMNS[i], roll_out), role, &[groups, steps, each, widths[i]], DType::F32)
        };
        let [read, action, log_probability, reward, next, terminated, ended, over, finished, length] =
            std::array::from_fn(of);
        Rolled {
            read,
            action,
            log_probability,
            reward,
            mean_reward: reward,
            next,
            terminated,
            ended,
            over,
            finished,
            length,
        }
    }

    /// Parameters of whom acts, from those of a policy.
    fn actor_params(&self, g: &mut Graph, actors: Actors) -> Drawn {
        let params = g.data("params", &self.params());
        match actors {
            Actors::Policy => {
                let descriptor = self.declared(g, false).descriptor;
                self.policy.parts(g, params, descriptor)
            }
            Actors::Noisy => {
                let descriptor = self.declared(g, false).descriptor;
                let drawn = self.policy.parts(g, params, descriptor);
                let key = g.input("key", Role::Data, &[2], DType::U32);
                self.noisy(g, drawn, key)
            }
            Actors::Beginners => {
                let (actor, deviation) = self.begun(g, params);
                Drawn { actor, deviation, critic: None, memory: None, inference: None }
            }
            Actors::Members(evolution) => {
                let key = g.input("key", Role::Data, &[2], DType::U32);
                self.members(g, params, key, evolution).1
            }
        }
    }

    /// Agents in the worlds of this setting, which is on the host, for roll-outs of so many steps. They meet their worlds with [`Player::meet`].
    pub(super) fn player(
        &self,
        device: &Device,
        actors: Actors,
        how: Behaviour,
        steps: usize,
    ) -> Result<Player> {
        let host = self.host().expect("who plays on the host has an environment there");
        let [groups, each] = self.axes(actors);
        let space = self.worlds.environment.action();
        let drawn = Distribution::noise(&space);
        let luck = self.policy.memory.as_ref().map_or(0, Memory::luck);
        let prepare = |g: &Graph| device.prepare(lower(g, device.caps(1))?);

        let mut g = Graph::new();
        let params = self.actor_params(&mut g, actors);
        let parts = [Some(params.actor), params.deviation, params.memory];
        let shapes = parts.map(|part| part.map(|v| g.shape(v).to_vec()));
        for (name, v) in PARAMS.into_iter().zip(parts) {
            v.into_iter().for_each(|v| g.output(name, v));
        }
        let params_plan = prepare(&g)?;

        // The numbers that a roll-out in a graph would draw for actions, so that both do the same.
        let mut g = Graph::new();
        let key = g.input("key", Role::Data, &[2], DType::U32);
        let (_, given) = g.scan(steps, &[], &[key], &[], |g, args| {
            let key = args.constants[0];
            let mut all = vec![g.random(Dist::Uniform, key, ACT, &[groups, each, drawn])];
            if luck > 0 {
                all.push(g.random(Dist::Normal, key, LUCK, &[groups, each, luck]));
            }
            (vec![], all)
        });
        for (name, v) in NOISE.into_iter().zip(given) {
            g.output(name, v);
        }
        let noise = prepare(&g)?;

        let mut g = Graph::new();
        let [actor, deviation, memory] =
            std::array::from_fn(|i| shapes[i].as_ref().map(|shape| g.data(PARAMS[i], shape)));
        let actor = actor.expect("whoever acts has weights");
        self.act(&mut g, [groups, each], (actor, deviation, memory), how);
        let acting = prepare(&g)?;

        Ok(Player {
            name: host.origin(),
            worlds: host.worlds(groups * each)?,
            params_plan,
            acting,
            noise,
            groups,
            steps,
            each,
            trial: self.trial(),
            scale: host.reward_scale() as f32,
            observation: host.observation(),
            drawn,
            luck,
            widths: self.columns(),
            remembers: self.policy.memory.is_some(),
            told: vec![],
            at: At::default(),
            space,
        })
    }

    /// One step of those who act: of what is read the actions, as drawn, as taken, and as the environment gets them.
    fn act(
        &self,
        g: &mut Graph,
        [groups, each]: [usize; 2],
        (actor, deviation, memory): (Value, Option<Value>, Option<Value>),
        how: Behaviour,
    ) {
        let space = self.worlds.environment.action();
        let read = g.data("read", &[groups, each, self.columns()[0]]);
        let noise = g.data("noise", &[groups, each, Distribution::noise(&space)]);
        let outputs = match self.policy.memory.as_ref().zip(memory) {
            None => self.policy.said(g, actor, read, None),
            Some((own, flat)) => {
                let going = g.data("going", &[groups, each, 1]);
                let widths = own.encoder.states().into_iter().enumerate();
                let states: Vec<Value> =
                    widths.map(|(i, wide)| g.state(&format!("memory.{i}"), &[groups, each, wide])).collect();
                let kept: Vec<Value> = states.iter().map(|v| g.mul(*v, going)).collect();
                let (remembered, next) = own.next(g, flat, &kept, read);
                states.into_iter().zip(next).for_each(|(old, new)| g.update(old, new));
                let seen = g.slice(read, 2, 0, self.worlds.environment.widths().observation);
                self.policy.said(g, actor, seen, Some(remembered))
            }
        };
        let e = g.expr();
        let deviation = deviation.map(|d| {
            let d: crate::graph::expr::Expr<'_> = e.of(d);
            let [first, .., last] = d.shape()[..] else { panic!("deviations have two axes or three") };
            d.reshape(&[first, 1, last])
        });
        let said = self.policy.distribution(&space, e.of(outputs), deviation);
        let [action, taken] = how.chosen(&said, &space, e.of(noise));
        let log_probability = said.log_probability(action);
        let found = [action, log_probability, taken, Distribution::scaled(&space, taken)];
        let found = found.map(crate::graph::expr::Expr::value);
        for (name, v) in ["action", "log_probability", "taken", "done"].into_iter().zip(found) {
            g.output(name, v);
        }
    }

    /// A plan of what the first trials of a roll-out gave.
    pub(super) fn trials_plan(&self, device: &Device, actors: Actors, steps: usize) -> Result<Trials> {
        let mut g = Graph::new();
        let rolled = self.transcript(&mut g, Role::Data, actors, steps, 0);
        let first = self.agents().trials_of(&mut g, rolled);
        for (name, v) in EPISODES.into_iter().zip([first.returns, first.lengths, first.terminated]) {
            g.output(name, v);
        }
        let session = device.prepare(lower(&g, device.caps(1))?)?;
        Ok(Trials { session, episodes: self.trial().len(), each: self.worlds.each })
    }

    /// A plan of a step of adaptation by what was met.
    pub(super) fn stepping(&self, device: &Device, rate: f64) -> Result<Session> {
        let mut g = Graph::new();
        let begun = self.actor_params(&mut g, Actors::Beginners);
        let shapes = [Some(begun.actor), begun.deviation].map(|v| v.map(|v| g.shape(v).to_vec()));
        let mut g = Graph::new();
        let [actor, deviation] =
            std::array::from_fn(|i| shapes[i].as_ref().map(|shape| g.data(&format!("own.{i}"), shape)));
        let own: Own = (actor.expect("whoever acts has weights"), deviation);
        let rolled = self.transcript(&mut g, Role::Data, Actors::Beginners, self.horizon(), 0);
        let first = self.agents().trials_of(&mut g, rolled);
        let met = self.met(&mut g, first);
        let (actor, deviation) = self.stepped(&mut g, own, met, rate);
        for (name, v) in PARAMS.into_iter().zip([Some(actor), deviation]) {
            v.into_iter().for_each(|v| g.output(name, v));
        }
        device.prepare(lower(&g, device.caps(1))?)
    }
}

/// Parameters after a step of adaptation by a plan of [`Setting::stepping`].
pub(super) fn stepped(stepping: &mut Session, own: &ActorParams, met: &Transcript) -> Result<ActorParams> {
    for (i, values) in own.0.iter().enumerate() {
        if let Some(values) = values {
            stepping.write(&format!("own.{i}"), values)?;
        }
    }
    met.write(stepping)?;
    stepping.run(1)?;
    ActorParams::read(stepping)
}

/// A plan of what the first trials of a roll-out gave.
#[derive(Debug)]
pub(super) struct Trials {
    session: Session,
    episodes: usize,
    each: usize,
}

impl Trials {
    pub(super) fn of(&mut self, transcript: &Transcript) -> Result<Episodes> {
        transcript.write(&mut self.session)?;
        self.session.run(1)?;
        let found = EPISODES.map(|name| self.session.read(name));
        Ok(Episodes::of(all_of(found)?, self.episodes, self.each))
    }
}

impl Player {
    /// What agents act by, from the parameters of a policy; what is drawn for members, and noise, is by the key.
    pub(super) fn params_of(
        &mut self,
        setting: &Setting<'_>,
        params: &[f32],
        key: [u32; 2],
    ) -> Result<ActorParams> {
        self.params_plan.write("params", params)?;
        if self.params_plan.has_input("descriptor") {
            self.params_plan.write("descriptor", &setting.worlds.descriptors())?;
        }
        if self.params_plan.has_input("key") {
            self.params_plan.write_u32("key", &key)?;
        }
        self.params_plan.run(1)?;
        ActorParams::read(&mut self.params_plan)
    }

    /// Lets agents act by these parameters.
    pub(super) fn load(&mut self, params: &ActorParams) -> Result<()> {
        params.write(&mut self.acting)
    }

    /// The worlds of a setting, and new trials in all of them.
    pub(super) fn meet(&mut self, setting: &Setting<'_>, seed: u64) -> Result<()> {
        let worlds = setting.worlds;
        let many = self.groups * self.each;
        let copies = many / (worlds.tasks * worlds.each);
        let contexts = if worlds.environment.context().is_empty() { vec![] } else { worlds.contexts() };
        self.worlds.meet(&contexts.repeat(copies), seed)?;
        // Who remembers is told nothing while it plays.
        let wide = self.widths[0] > self.observation && !self.remembers;
        self.told = if wide { worlds.descriptors() } else { vec![] };
        self.begin()
    }

    /// New trials in all worlds.
    pub(super) fn begin(&mut self) -> Result<()> {
        let many = self.groups * self.each;
        let none = |wide: usize| vec![0.0; many * wide];
        self.at = At {
            seen: none(self.observation),
            clock: none(1),
            gained: none(1),
            turn: none(1),
            before: none(self.space.width() + 2),
            going: none(1),
        };
        self.start(&vec![true; many])
    }

    fn start(&mut self, which: &[bool]) -> Result<()> {
        self.worlds.start(which, &mut self.at.seen)?;
        self.refuse_not_finite(&self.at.seen, "what is seen at the start of an episode")
    }

    fn refuse_not_finite(&self, values: &[f32], what: &str) -> Result<()> {
        let Some(at) = values.iter().position(|x| !x.is_finite()) else { return Ok(()) };
        let wide = (values.len() / (self.groups * self.each)).max(1);
        let number = if wide > 1 { format!(", number {}", at % wide) } else { String::new() };
        let message = format!("{what} is {}: world {}{number}", values[at], at / wide);
        Err(Error::Environment { name: self.name.clone(), message })
    }

    /// What is read of something seen, of every world; the luck of a draw stands behind it.
    fn read_of(&self, seen: &[f32], luck: Option<&[f32]>) -> Vec<f32> {
        let behind = if self.remembers { &self.at.before } else { &self.told };
        let (first, second) = (self.observation, self.widths[0] - self.observation - self.luck);
        let mut all = Vec::with_capacity(self.groups * self.each * self.widths[0]);
        for (i, row) in seen.chunks(first).enumerate() {
            all.extend(row);
            all.extend(&behind[i * second..][..second]);
            match luck {
                Some(luck) => all.extend(&luck[i * self.luck..][..self.luck]),
                None => all.extend(std::iter::repeat_n(0.0, self.luck)),
            }
        }
        all
    }

    /// A roll-out from where the agents are.
    pub(super) fn roll(&mut self, key: [u32; 2]) -> Result<Transcript> {
        let (many, n, act) = (self.groups * self.each, self.steps, self.space.width());
        self.noise.write_u32("key", &key)?;
        self.noise.run(1)?;
        let noise = self.noise.read(NOISE[0])?;
        let luck = if self.luck > 0 { self.noise.read(NOISE[1])? } else { vec![] };
        let mut all = Transcript {
            columns: self.widths.map(|wide| vec![0.0; many * n * wide]),
            done: vec![0.0; many * n * act],
        };
        for t in 0..n {
            let read = self.read_of(&self.at.seen, Some(&self.step_of(&luck, self.luck, t)));
            self.acting.write("read", &read)?;
            self.acting.write("noise", &self.step_of(&noise, self.drawn, t))?;
            if self.remembers {
                self.acting.write("going", &self.at.going)?;
            }
            self.acting.run(1)?;
            let action = self.acting.read("action")?;
            let log_probability = self.acting.read("log_probability")?;
            let taken = self.acting.read("taken")?;
            let mut done = self.acting.read("done")?;
            if done.iter().any(|x| !x.is_finite()) {
                return Err(Error::Diverged("an action of the policy is not finite".into()));
            }
            if let ActionSpace::Continuous(ranges) = &self.space {
                for (x, [low, high]) in done.iter_mut().zip(ranges.iter().cycle()) {
                    *x = x.clamp(*low as f32, *high as f32);
                }
            }
            let mut seen = vec![0.0; many * self.observation];
            let mut reward = vec![0.0; many];
            let mut terminated = vec![false; many];
            let found = HostStep { seen: &mut seen, reward: &mut reward, terminated: &mut terminated };
            self.worlds.step(&done, found)?;
            self.refuse_not_finite(&seen, "what is seen after a step")?;
            self.refuse_not_finite(&reward, "the reward of a step")?;
            let ends = self.ends(&taken, &reward, &terminated);
            let next = self.read_of(&seen, None);
            let terminated = terminated.iter().map(|e| f32::from(u8::from(*e))).collect();
            let [ended, over, finished, length] = ends;
            let again: Vec<bool> = ended.iter().map(|e| *e != 0.0).collect();
            let columns =
                [read, action, log_probability, reward, next, terminated, ended, over, finished, length];
            for (i, values) in columns.into_iter().enumerate() {
                put(&mut all.columns[i], &values, [self.groups, n, self.each, self.widths[i]], t);
            }
            put(&mut all.done, &done, [self.groups, n, self.each, act], t);
            self.at.seen = seen;
            if again.contains(&true) {
                self.start(&again)?;
            }
        }
        Ok(all)
    }

    /// Goes on behind a step: where episodes and trials ended, and of trials the return and the steps of the last episode.
    fn ends(&mut self, taken: &[f32], reward: &[f32], terminated: &[bool]) -> [Vec<f32>; 4] {
        let (many, act) = (reward.len(), self.space.width());
        let mut found = [(); 4].map(|()| vec![0.0; many]);
        for i in 0..many {
            let at = &mut self.at;
            at.clock[i] += 1.0;
            at.gained[i] += reward[i];
            let turn = at.turn[i] as usize;
            let ended = terminated[i] || at.clock[i] >= self.trial[turn] as f32;
            let over = ended && (!self.remembers || turn + 1 == self.trial.len());
            let before = &mut at.before[i * (act + 2)..][..act + 2];
            match over {
                true => {
                    found[2][i] = at.gained[i];
                    found[3][i] = at.clock[i];
                    (at.gained[i], at.turn[i]) = (0.0, 0.0);
                    before.fill(0.0);
                }
                false => {
                    before[..act].copy_from_slice(&taken[i * act..][..act]);
                    before[act] = reward[i] * self.scale;
                    before[act + 1] = f32::from(u8::from(ended));
                    at.turn[i] += before[act + 1];
                }
            }
            if ended {
                at.clock[i] = 0.0;
            }
            (found[0][i], found[1][i]) = (f32::from(u8::from(ended)), f32::from(u8::from(over)));
            at.going[i] = 1.0 - found[1][i];
        }
        found
    }

    /// The rows of a step of `[g, n, r, wide]`.
    fn step_of(&self, all: &[f32], wide: usize, t: usize) -> Vec<f32> {
        let row = self.each * wide;
        (0..self.groups).flat_map(|i| all[(i * self.steps + t) * row..][..row].iter().copied()).collect()
    }

    /// Where agents are, by names, as far as the worlds can say it.
    pub(super) fn place(&mut self) -> Result<Vec<(String, Vec<f32>)>> {
        let Some(saved) = self.worlds.save()? else { return Ok(vec![]) };
        let at = &self.at;
        let values = [&at.seen, &at.clock, &at.gained].map(Clone::clone);
        let mut all: Vec<(String, Vec<f32>)> = AT.map(String::from).into_iter().zip(values).collect();
        all.push((SAVED.into(), saved));
        Ok(all)
    }

    /// Goes on from there.
    pub(super) fn restore(&mut self, values: &[(String, Vec<f32>)]) -> Result<()> {
        let of = |name: &str| values.iter().find(|(n, _)| n == name).map(|(_, values)| values);
        let [seen, clock, gained] = AT.map(of);
        let at = &mut self.at;
        for (old, new) in [(&mut at.seen, seen), (&mut at.clock, clock), (&mut at.gained, gained)] {
            if let Some(new) = new.filter(|new| new.len() == old.len()) {
                old.clone_from(new);
            }
        }
        of(SAVED).map_or(Ok(()), |saved| self.worlds.restore(saved))
    }
}

/// Writes the rows of step `t` into `[g, n, r, wide]`.
fn put(all: &mut [f32], values: &[f32], [groups, n, each, wide]: [usize; 4], t: usize) {
    let row = each * wide;
    for i in 0..groups {
        all[(i * n + t) * row..][..row].copy_from_slice(&values[i * row..][..row]);
    }
}
