//! Training: a roll-out, its advantages and all updates are one plan, replayed.

use super::environment::host::refuse_host;
use super::host::{Actors, Player, stepped};
use super::iteration::training_graph;
use super::objective::Objective;
use super::play::{Episodes, Setting, key};
use super::rollout::Behaviour;
use super::spec::{Policy, PolicyWeights};
use super::worlds::Worlds;
use crate::error::{Error, Result};
use crate::optim::Optimiser;
use crate::plan::{Plan, lower};
use crate::rng::Rng;
use crate::run::{Device, Session};

/// Iterations between two visits of the host at most.
const WINDOW: usize = 8;
/// Random numbers of the host.
const ORDER: u64 = 0x0bd7;
const ANEW: u64 = 0xd4a3;
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
    /// Whether the gradient goes through the physics instead of through probabilities (the analytic policy gradient): of continuous actions, with one update from a roll-out.
    pub analytic: bool,
    /// Weight of the entropy at the end, where it changes evenly from what the objective has to it.
    pub last_entropy: Option<f64>,
    /// Weight of the error of what is inferred of contexts, where anything is.
    pub inference: f64,
    /// Standard deviation of noise on the weights that a roll-out acts by, another for each network and world (Plappert et al. 2018; 0: none).
    pub noise: f64,
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
            analytic: false,
            last_entropy: None,
            inference: 1.0,
            noise: 0.0,
            rate: 1e-3,
            clip: 0.5,
            horizon: 0,
        }
    }

    pub(super) fn optimiser() -> Optimiser {
        Optimiser::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-5, decay: 0.0 }
    }

    /// What minibatches are drawn from: steps of a roll-out that a network learns from, or (with a memory) worlds, whose steps stay together.
    pub(super) fn rows(&self, worlds: &Worlds, policy: &Policy) -> usize {
        let steps = if policy.memory.is_some() { 1 } else { self.steps };
        steps * worlds.tasks * worlds.each / policy.networks(worlds)
    }

    pub(super) fn updates(&self) -> usize {
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
    /// Who plays, of an environment on the host, and how it adapts between roll-outs.
    host: Option<(Player, Option<Session>)>,
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
    /// By names: parameters (`weights`), their `first` and `second` moments, and where the agents are; with a memory every iteration begins with new
    /// trials, and there is nothing of that.
    pub values: Vec<(String, Vec<f32>)>,
    /// Iterations done.
    pub iteration: u64,
}

/// Names of parameters and their moments, in a plan and in [`PolicyState::values`].
pub(super) const LEARNER: [&str; 3] = ["weights", "first", "second"];

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
        if learning.analytic {
            refuse_host(&*worlds.environment, "learner", "apg")?;
            let fail = |key: &str, message: &str| Err(Error::config(key, message));
            if worlds.environment.action().choices().is_some() {
                return fail(
                    "learner",
                    "apg is for continuous actions: there is no gradient through choices",
                );
            }
            if policy.meets_new_worlds() {
                return fail("learner", "apg is for policies that neither remember, adapt nor evolve");
            }
            if learning.updates() != 1 {
                return fail("learning.epochs", "and learning.minibatches of apg are 1: leave them out");
            }
        }
        let by_memory = policy.memory.is_some() && matches!(policy.weights, PolicyWeights::Generated(_));
        if learning.noise > 0.0 && (learning.analytic || by_memory || !policy.has_minibatches()) {
            let message =
                "is for the policy gradient of weights that are not written from what is remembered";
            return Err(Error::config("learning.noise", message));
        }
        let rows = learning.rows(&worlds, &policy);
        if !rows.is_multiple_of(learning.minibatches) {
            let what = match policy.memory {
                Some(_) => "worlds (tasks × worlds)",
                None => "steps of a roll-out for each network",
            };
            let message = format!("{rows} {what} are not {} even minibatches", learning.minibatches);
            return Err(Error::config("learning.minibatches", message));
        }
        let graph = training_graph(&worlds, &policy, &learning);
        let mut session = device.prepare(lower(&graph, device.caps(WINDOW))?)?;
        session.write(LEARNER[0], &policy.init(worlds.tasks, seed))?;
        let setting = Setting { worlds: &worlds, policy: &policy, learning: &learning };
        let mut host = None;
        if worlds.environment.host().is_some() {
            let (actors, how, steps) = match policy.weights {
                PolicyWeights::Adapted(_) => (Actors::Beginners, Behaviour::Drawn, setting.horizon()),
                PolicyWeights::Evolved(of) => (Actors::Members(of), Behaviour::Greedy, setting.horizon()),
                _ if learning.noise > 0.0 => (Actors::Noisy, Behaviour::Drawn, learning.steps),
                _ => (Actors::Policy, Behaviour::Drawn, learning.steps),
            };
            let mut player = setting.player(device, actors, how, steps)?;
            let stepping = match policy.weights {
                PolicyWeights::Adapted(adaptation) => Some(setting.stepping(device, adaptation.rate)?),
                _ => None,
            };
            if !policy.meets_new_worlds() {
                player.meet(&setting, seed)?;
                setting.write_worlds(&mut session)?;
            }
            host = Some((player, stepping));
        } else if !policy.meets_new_worlds() {
            for (name, values) in &setting.begin(device, seed)? {
                session.write(name, values)?;
            }
            setting.write_worlds(&mut session)?;
        }
        let device = device.clone();
        Ok(PolicyTrainer { device, worlds, policy, learning, seed, session, host, iteration: 0, refused: 0 })
    }

    /// The plan of an iteration.
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Steps after which each episode of a trial is cut off.
    pub fn trial(&self) -> Vec<usize> {
        Setting { worlds: &self.worlds, policy: &self.policy, learning: &self.learning }.trial()
    }

    /// Iterations done.
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// Steps of an iteration in all worlds.
    pub fn frames_each(&self) -> u64 {
        (self.learning.steps * self.worlds.tasks * self.worlds.each) as u64
            * self.policy.roll_outs().iter().product::<u64>()
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
        let setting = Setting { worlds: &self.worlds, policy: &self.policy, learning: &self.learning };
        let mut values = vec![];
        for name in LEARNER {
            values.push((name.into(), self.session.read(name)?));
        }
        match &mut self.host {
            _ if self.policy.meets_new_worlds() => {}
            Some((player, _)) => values.extend(player.place()?),
            None => values.extend(setting.read_place(&mut self.session)?),
        }
        Ok(PolicyState { values, iteration: self.iteration })
    }

    /// Goes on from there.
    ///
    /// # Errors
    /// What the device refuses, among it a state of another policy.
    pub fn restore(&mut self, state: &PolicyState) -> Result<()> {
        // Where agents on the host are is no state of the plan.
        let plan = if self.host.is_some() { LEARNER.len() } else { state.values.len() };
        let (learned, place) = state.values.split_at(plan.min(state.values.len()));
        for (name, values) in learned {
            self.session.write(name, values)?;
        }
        self.iteration = state.iteration;
        let setting = Setting { worlds: &self.worlds, policy: &self.policy, learning: &self.learning };
        match &mut self.host {
            Some((player, _)) if !self.policy.meets_new_worlds() => {
                // Worlds that can't say where they are begin anew.
                player.meet(&setting, self.seed ^ self.iteration << 24)?;
                if place.is_empty() {
                    let name = self.worlds.environment.name();
                    log::warn!(
                        "{name} does not say where its worlds were: new episodes begin in all of them"
                    );
                }
                player.restore(place)
            }
            _ => Ok(()),
        }
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
        // What happens on the host depends on what was learned before.
        let window = if self.host.is_some() { 1 } else { WINDOW as u64 };
        let many = most.min(self.left()).min(window) as usize;
        let rows = self.learning.rows(&self.worlds, &self.policy);
        let (updates, optimiser) = (self.learning.updates() as u64, Learning::optimiser());
        let all = (self.iterations() * updates) as f64;
        for row in 0..many {
            let at = self.iteration + row as u64;
            let keys: Vec<u32> =
                (0..self.policy.roll_outs()[0]).flat_map(|k| key(self.seed ^ k << 40, at)).collect();
            self.session.set_step_u32(row, "key", &keys)?;
            if self.policy.meets_new_worlds() {
                self.worlds.draw(self.seed ^ ANEW ^ (at + 1) << 24);
                self.session.set_step(row, "context", &self.worlds.contexts())?;
                if self.policy.told > 0 {
                    self.session.set_step(row, "descriptor", &self.worlds.descriptors())?;
                }
            }
            self.play(at)?;
            if self.policy.has_minibatches() && !self.learning.analytic {
                let mut order = Vec::with_capacity(rows * self.learning.epochs);
                for epoch in 0..self.learning.epochs as u64 {
                    let mut rng = Rng::new(self.seed, ORDER ^ (at << 8 | epoch) << 16);
                    order.extend(rng.choose(rows, rows).into_iter().map(|i| i as u32));
                }
                self.session.set_step_u32(row, "order", &order)?;
            }
            let control: Vec<f32> = (0..updates)
                .flat_map(|u| {
                    let step = at * updates + u;
                    optimiser.control(step, self.learning.rate * (1.0 - step as f64 / all))
                })
                .collect();
            self.session.set_step(row, "control", &control)?;
            if let Some(last) = self.learning.last_entropy {
                let (first, done) = (self.learning.objective.entropy, at as f64 / self.iterations() as f64);
                self.session.set_step(row, "entropy", &[(first + (last - first) * done) as f32])?;
            }
        }
        Ok(many)
    }

    /// Stages what happens in the roll-outs of an iteration, of an environment on the host.
    fn play(&mut self, at: u64) -> Result<()> {
        let setting = Setting { worlds: &self.worlds, policy: &self.policy, learning: &self.learning };
        let Some((player, stepping)) = &mut self.host else { return Ok(()) };
        if self.policy.meets_new_worlds() {
            player.meet(&setting, self.seed ^ (at + 1) << 24)?;
        }
        let params = self.session.read(LEARNER[0])?;
        let mut own = player.params_of(&setting, &params, key(self.seed, at))?;
        let many = self.policy.roll_outs()[0];
        for k in 0..many {
            player.load(&own)?;
            if k > 0 {
                player.begin()?;
            }
            let met = player.roll(key(self.seed ^ k << 40, at))?;
            met.stage(&mut self.session, k)?;
            if let Some(stepping) = stepping.as_mut().filter(|_| k + 1 < many) {
                own = stepped(stepping, &own, &met)?;
            }
        }
        Ok(())
    }

    /// Runs up to `most` further iterations (a window at most; of an environment on the host one).
    ///
    /// # Errors
    /// What the environment refuses, of one on the host; [`Error::Diverged`] when updates were refused again and again, because a loss or gradient was not finite: the policy is then the last good one.
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

    /// One episode in every one of `worlds` before and behind each of so many steps of adaptation ([`Setting::adapted`]).
    ///
    /// # Errors
    /// What the device refuses.
    pub fn adapt(&mut self, worlds: &Worlds, updates: usize, seed: u64) -> Result<Vec<[Episodes; 2]>> {
        let params = self.params()?;
        let setting = Setting { worlds, policy: &self.policy, learning: &self.learning };
        setting.adapted(&self.device, &params, updates, seed)
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
        if !self.policy.meets_new_worlds() {
            let setting = Setting { worlds: &self.worlds, policy: &self.policy, learning: &self.learning };
            setting.write_worlds(&mut twin.session)?;
        }
        twin.restore(&state)?;
        let many = twin.stage(steps as u64)?;
        match twin.session.cpu_runner(many)? {
            Some(cpu) => crate::check::lockstep::lockstep(gpu, &plan, cpu, many),
            None => Err(Error::Device("lockstep starts from the CPU path's buffers".into())),
        }
    }
}
