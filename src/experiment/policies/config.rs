//! Settings of a policy.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{SETTINGS, usual};
use crate::error::{Error, Result, nearest};
use crate::experiment::config;
use crate::net::Cell;
use crate::policy::{
    Adaptation, Belief, Environment, Evolution, Learning, Memory, Objective, Policy, Varied, Worlds,
    environment,
};

/// How a policy learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Learner {
    /// Proximal policy optimisation (Schulman et al. 2017): several epochs of minibatches, each ratio clipped.
    #[default]
    Ppo,
    /// The policy gradient with advantages of a critic (A2C, Mnih et al. 2016): one update from each roll-out.
    A2c,
    /// The same with whole returns (Williams 1992), from which the critic's value is taken as a baseline.
    Reinforce,
    /// The analytic policy gradient: that of what is got, through the physics itself, over short roll-outs that a critic values the end of (SHAC, Xu et al. 2022).
    Apg,
    /// PPO of a policy with a memory over trials in worlds that are drawn anew (RL², Duan et al. 2016): it learns to find out what world it is in.
    Rl2,
    /// One policy that every task begins with, and goes on from by a step of the policy gradient from its own episodes (MAML, Finn et al. 2017); the gradient
    /// of what it gets then, through that step, is that of PPO (Rothfuss et al. 2019).
    Maml,
    /// Evolution strategies (Salimans et al. 2017): towards the noise on weights of members that got more.
    Es,
}

impl Learner {
    /// Its name.
    pub fn name(self) -> &'static str {
        Learner::ALL.iter().find(|(_, learner)| *learner == self).map_or("", |(name, _)| name)
    }

    /// All of them, with their names.
    pub const ALL: [(&str, Learner); 7] = [
        ("ppo", Learner::Ppo),
        ("a2c", Learner::A2c),
        ("reinforce", Learner::Reinforce),
        ("apg", Learner::Apg),
        ("rl2", Learner::Rl2),
        ("maml", Learner::Maml),
        ("es", Learner::Es),
    ];
}

/// Where the weights of a policy come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PolicySource {
    /// One network for all tasks.
    #[default]
    Shared,
    /// A network for each task, all learn side by side.
    Own,
    /// A hypernetwork writes them from the context.
    Generated,
}

impl PolicySource {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            PolicySource::Shared => "shared",
            PolicySource::Own => "own",
            PolicySource::Generated => "generated",
        }
    }
}

/// How it is learned from roll-outs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LearningConfig {
    /// Steps of a roll-out in each world.
    pub steps: usize,
    /// Times that its steps are learned from.
    pub epochs: usize,
    /// Parts that they are split into, each an update.
    pub minibatches: usize,
    /// Discount.
    pub gamma: f64,
    /// λ of generalised advantage estimation.
    pub lambda: f64,
    /// Learning rate at first; it falls to 0 evenly.
    pub rate: f64,
    /// Largest norm of a gradient.
    pub norm: f64,
    /// How far ratios of probabilities count from 1.
    pub clip: f64,
    /// Whether values are kept as near to the old ones, too.
    pub clip_value: bool,
    /// Whether advantages of a minibatch are brought to mean 0 and deviation 1.
    pub normalise: bool,
    /// Weight of the error of values.
    pub value: f64,
    /// Weight of the entropy.
    pub entropy: f64,
    /// That at the end, where it changes evenly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_entropy: Option<f64>,
    /// Of `rl2` the weight of the error of what is inferred of contexts.
    pub inference: f64,
    /// Standard deviation of noise on the weights that a roll-out acts by.
    pub noise: f64,
}

impl Default for LearningConfig {
    fn default() -> LearningConfig {
        let (l, o) = (Learning::new(1), Objective::default());
        LearningConfig {
            steps: l.steps,
            epochs: l.epochs,
            minibatches: l.minibatches,
            gamma: l.gamma,
            lambda: l.lambda,
            rate: l.rate,
            norm: l.clip,
            clip: o.clip.unwrap_or(0.2),
            clip_value: o.clip_value,
            normalise: o.normalise,
            value: o.value,
            entropy: o.entropy,
            last_entropy: l.last_entropy,
            inference: l.inference,
            noise: l.noise,
        }
    }
}

/// What a policy of `rl2` remembers with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// Its cell: gru, lstm or rnn.
    pub cell: Cell,
    /// Its width.
    pub units: usize,
    /// Whether it is to infer what differs between worlds, and the critic is told of it, while it is trained (where nothing is said: up to 32 numbers).
    pub infers: bool,
    /// Numbers of a latent that the policy reads the mean and deviation of, instead of what is remembered (0: none); it is what infers.
    pub latent: usize,
    /// Whether the policy reads a draw of the latent, another at every step.
    pub sampled: bool,
    /// Weight of the latent's divergence from the standard normal distribution.
    pub prior: f64,
}

impl Default for MemoryConfig {
    fn default() -> MemoryConfig {
        let Belief { width, sampled, prior, .. } = Belief::new(0);
        MemoryConfig { cell: Cell::Gru, units: 64, infers: false, latent: width, sampled, prior }
    }
}

/// How a policy is judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TestConfig {
    /// Contexts that it is judged in, none of which it was trained in; of networks of the tasks' own those of training.
    pub tasks: usize,
    /// Episodes in each.
    pub episodes: usize,
    /// Of `maml` the steps of adaptation, each from that many episodes.
    pub updates: usize,
}

impl Default for TestConfig {
    fn default() -> TestConfig {
        TestConfig { tasks: 1, episodes: 100, updates: 3 }
    }
}

/// Settings of a run of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// The environment.
    pub environment: String,
    /// Seed of all that is drawn.
    pub seed: u64,
    /// auto, cpu, gpu or gpu:N.
    pub device: String,
    /// How it learns.
    pub learner: Learner,
    /// Numbers of the context that differ between tasks, `length=0.25..1,sign=-1..1`, or are other than usual.
    pub context: String,
    /// Where weights come from.
    pub weights: PolicySource,
    /// Whether a policy that all share reads what differs beside its observation.
    pub told: bool,
    /// Whether a hypernetwork writes critics, too, where weights are generated from contexts.
    pub generated_critic: bool,
    /// Whether continuous actions are tanh of what is drawn, so that none lies outside of its range.
    pub squash: bool,
    /// Contexts that it is trained in.
    pub tasks: usize,
    /// Worlds of each.
    pub worlds: usize,
    /// Steps in all worlds together.
    pub frames: u64,
    /// Steps after which an episode is cut off (0: as the environment says).
    pub horizon: usize,
    /// Of `rl2` the episodes of a trial, by the steps after which each is cut off: `16,500`, or `10x10` for ten of 10.
    pub trial: String,
    /// Of `rl2` what is remembered with.
    pub memory: MemoryConfig,
    /// Of `maml` how a task's own policy goes on.
    pub adaptation: Adaptation,
    /// Of `es` its members.
    pub evolution: Evolution,
    /// Hidden widths of actor and critic.
    pub hidden: Vec<usize>,
    /// Hidden widths of what writes weights.
    pub trunk: Vec<usize>,
    /// How it is learned from roll-outs.
    pub learning: LearningConfig,
    /// How it is judged.
    pub test: TestConfig,
}

impl Default for PolicyConfig {
    fn default() -> PolicyConfig {
        PolicyConfig {
            environment: "cartpole".into(),
            seed: 0,
            device: "auto".into(),
            learner: Learner::default(),
            context: String::new(),
            weights: PolicySource::default(),
            told: false,
            generated_critic: false,
            squash: false,
            tasks: 1,
            worlds: 8,
            frames: 500_000,
            horizon: 0,
            trial: String::new(),
            memory: MemoryConfig::default(),
            adaptation: Adaptation::default(),
            evolution: Evolution::default(),
            hidden: vec![64, 64],
            trunk: vec![64],
            learning: LearningConfig::default(),
            test: TestConfig::default(),
        }
    }
}

impl PolicyConfig {
    /// Settings as a file holds them, with single ones (`learning.rate=0.001`) over it. What is not said depends on the environment, on the learner, and on
    /// whether contexts differ.
    ///
    /// # Errors
    /// What no policy has, or what is out of range.
    pub fn parse(text: &str, origin: &str, over: &[String]) -> Result<PolicyConfig> {
        let wrong = |e: toml::de::Error| Error::config(origin, e.message().to_string());
        let mut table: toml::Table = text.parse().map_err(wrong)?;
        for one in over {
            config::set(&mut table, one)?;
            let horizon = one.split_once('=').filter(|(key, _)| key.trim() == "horizon");
            if horizon.is_some_and(|(_, value)| value.trim() == "0") {
                return Err(Error::config("horizon", "is 1 or more; left out it is the environment's own"));
            }
        }
        let said =
            |table: &toml::Table, key: &str| table.get(key).and_then(toml::Value::as_str).map(str::to_string);
        let name = said(&table, "environment").unwrap_or_else(|| PolicyConfig::default().environment);
        let learner = said(&table, "learner").unwrap_or_else(|| "ppo".into());
        let known: Vec<&str> = Learner::ALL.iter().map(|(n, _)| *n).collect();
        if !known.contains(&learner.as_str()) {
            let near = nearest(&learner, known.iter().copied())
                .map_or(String::new(), |n| format!("; did you mean '{n}'?"));
            return Err(Error::config(
                "learner",
                format!("'{learner}' is none of {}{near}", known.join(", ")),
            ));
        }
        let found = environment(&name, "--task")?;
        let context = said(&table, "context").unwrap_or_default();
        let varied = Worlds::varied(&*found, &context, "--context")?;
        let differs = varied.iter().any(|v| v.range[0] < v.range[1]);
        match learner.as_str() {
            "rl2" => {
                usual::trials(&mut table, &*found, varied.iter().filter(|v| v.range[0] < v.range[1]).count())?
            }
            "maml" => usual::adaptation(&mut table, &*found),
            "es" => usual::evolution(&mut table, &*found, differs),
            _ => {}
        }
        usual::contexts(&mut table, &*found, differs);
        usual::updates(&mut table, &*found, &learner);
        let config: PolicyConfig = toml::Value::Table(table).try_into().map_err(wrong)?;
        config.validate()?;
        Ok(config)
    }

    /// The settings of a run.
    ///
    /// # Errors
    /// A folder that holds no run of a policy, and those of [`PolicyConfig::parse`].
    pub fn read(run: &Path) -> Result<PolicyConfig> {
        let file = run.join(SETTINGS);
        if !file.is_file() {
            return Err(Error::checkpoint(run, format!("there is no run of a policy in it (no {SETTINGS})")));
        }
        let text = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        PolicyConfig::parse(&text, &file.display().to_string(), &[])
    }

    /// As a file holds them.
    ///
    /// # Errors
    /// None of settings that were read.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config("policy.toml", e.to_string()))
    }

    /// Refuses what is out of range, or does not fit.
    ///
    /// # Errors
    /// The setting, and what would be right.
    pub fn validate(&self) -> Result<()> {
        let l = &self.learning;
        config::within(&[
            ("tasks", self.tasks, 1, 65_536),
            ("worlds", self.worlds, 1, 65_536),
            ("frames", self.frames as usize, 1, 1_000_000_000_000),
            ("horizon", self.horizon, 0, 100_000),
            ("learning.steps", l.steps, 1, 10_000),
            ("learning.epochs", l.epochs, 1, 100),
            ("learning.minibatches", l.minibatches, 1, 1_000),
            ("test.tasks", self.test.tasks, 1, 65_536),
            ("test.episodes", self.test.episodes, 1, 65_536),
            ("test.updates", self.test.updates, 1, 20),
        ])?;
        config::within(&[
            ("learning.gamma", l.gamma, 0.0, 1.0),
            ("learning.lambda", l.lambda, 0.0, 1.0),
            ("learning.rate", l.rate, 1e-9, 1.0),
            ("learning.norm", l.norm, 1e-9, 1e9),
            ("learning.clip", l.clip, 1e-6, 100.0),
            ("learning.value", l.value, 0.0, 1e3),
            ("learning.entropy", l.entropy, 0.0, 1e3),
            ("learning.last_entropy", l.last_entropy.unwrap_or(0.0), 0.0, 1e3),
            ("learning.inference", l.inference, 0.0, 1e3),
            ("learning.noise", l.noise, 0.0, 1e3),
        ])?;
        for (name, widths) in [("hidden", &self.hidden), ("trunk", &self.trunk)] {
            if widths.len() > 16 || widths.iter().any(|w| !(1..=4_096).contains(w)) {
                let message =
                    format!("{widths:?} are no hidden widths: up to 16 of them, each from 1 to 4096");
                return Err(Error::config(name, message));
            }
        }
        if matches!(self.learner, Learner::A2c | Learner::Reinforce | Learner::Apg)
            && l.epochs * l.minibatches > 1
        {
            let message = "the policy gradient is that of the policy that acted: one update from a roll-out; learner = \"ppo\" takes several";
            return Err(Error::config("learning.epochs", message));
        }
        let env = environment(&self.environment, "--task")?;
        if self.squash && env.action().choices().is_some() {
            return Err(Error::config("squash", "is for continuous actions: these are choices"));
        }
        if self.learner == Learner::Apg && env.action().choices().is_some() {
            return Err(Error::config(
                "learner",
                "apg is for continuous actions: there is no gradient through choices",
            ));
        }
        let remembers = self.learner == Learner::Rl2;
        let writes = self.weights == PolicySource::Generated && !remembers;
        if self.generated_critic && !writes {
            return Err(Error::config(
                "generated_critic",
                "is for --weights generated from what differs between worlds",
            ));
        }
        let noisy = matches!(self.learner, Learner::Ppo | Learner::A2c | Learner::Reinforce)
            || (remembers && self.weights == PolicySource::Shared);
        if l.noise > 0.0 && !noisy {
            return Err(Error::config(
                "learning.noise",
                "is for ppo, a2c, reinforce, and rl2 with shared weights: others act by weights as they are",
            ));
        }
        self.refuse_without_effect()?;
        match self.learner {
            Learner::Rl2 => return self.validate_trials(&*env),
            Learner::Maml => return self.validate_adaptation(&*env),
            Learner::Es => return self.validate_evolution(&*env),
            _ => {}
        }
        let differs =
            Worlds::varied(&*env, &self.context, "--context")?.iter().any(|v| v.range[0] < v.range[1]);
        let which = match (differs, self.weights, self.told) {
            (false, PolicySource::Generated, _) => Some(("weights", "generated")),
            (false, _, true) => Some(("told", "told of the context")),
            _ => None,
        };
        if self.told && self.weights != PolicySource::Shared {
            let message = "is for weights that all tasks share: others are of one context as they are";
            return Err(Error::config("told", message));
        }
        if let Some((key, what)) = which {
            let one = env.context().first().map_or("NAME", |c| &*c.name);
            let message =
                format!("a policy is {what} where contexts differ: --context {one}=LOW..HIGH says what does");
            return Err(Error::config(key, message));
        }
        if self.weights == PolicySource::Own && self.test.tasks != self.tasks {
            let message = format!(
                "networks of the tasks' own are judged in their own tasks: {} or nothing",
                self.tasks
            );
            return Err(Error::config("test.tasks", message));
        }
        Ok(())
    }

    /// Settings of other learners than this one.
    fn refuse_without_effect(&self) -> Result<()> {
        let of = |learner: Learner| self.learner == learner;
        let (l, test) = (LearningConfig::default(), TestConfig::default());
        let infers = of(Learner::Rl2) && self.memory.infers;
        for (key, given, used, message) in [
            (
                "--trial",
                !self.trial.is_empty(),
                of(Learner::Rl2),
                "is for policies with a memory: --learner rl2",
            ),
            (
                "memory",
                self.memory != MemoryConfig::default(),
                of(Learner::Rl2),
                "is for --learner rl2: others remember nothing",
            ),
            (
                "learning.inference",
                self.learning.inference != l.inference,
                infers,
                "is for --learner rl2 with memory.infers = true",
            ),
            (
                "adaptation",
                self.adaptation != Adaptation::default(),
                of(Learner::Maml),
                "is for --learner maml: others do not adapt",
            ),
            (
                "test.updates",
                self.test.updates != test.updates,
                of(Learner::Maml),
                "is for --learner maml: others do not adapt",
            ),
            (
                "evolution",
                self.evolution != Evolution::default(),
                of(Learner::Es),
                "is for --learner es: others have no members",
            ),
        ] {
            if given && !used {
                return Err(Error::config(key, message));
            }
        }
        Ok(())
    }

    /// Of learners whose roll-outs are whole episodes.
    fn validate_episode(&self, environment: &dyn Environment, learner: &str) -> Result<()> {
        let steps = if self.horizon > 0 { self.horizon } else { environment.horizon() };
        if self.learning.steps == steps {
            return Ok(());
        }
        let message = format!("of {learner} are one episode ({steps}, as horizon says): leave it out");
        Err(Error::config("learning.steps", message))
    }

    fn validate_evolution(&self, environment: &dyn Environment) -> Result<()> {
        let fail = |key: &str, message: &str| Err(Error::config(key, message));
        config::within(&[("evolution.members", self.evolution.members, 2, 65_536)])?;
        config::within(&[("evolution.deviation", self.evolution.deviation, 1e-9, 1e3)])?;
        if !self.evolution.members.is_multiple_of(2) {
            return fail("evolution.members", "are an even number: each noise stands there twice");
        }
        if self.told || self.weights != PolicySource::Shared {
            return fail("weights", "of es are one network for all that is told nothing: leave it out");
        }
        self.validate_episode(environment, "es")?;
        if self.learning.epochs * self.learning.minibatches != 1 {
            return fail("learning.epochs", "and learning.minibatches of es are 1: leave them out");
        }
        Ok(())
    }

    fn validate_adaptation(&self, environment: &dyn Environment) -> Result<()> {
        let fail = |key: &str, message: &str| Err(Error::config(key, message));
        config::within(&[("adaptation.updates", self.adaptation.updates, 1, 10)])?;
        config::within(&[("adaptation.rate", self.adaptation.rate, 1e-9, 1e3)])?;
        if self.told {
            return fail("told", "is for policies that do not adapt: maml finds out what differs");
        }
        if self.weights != PolicySource::Shared {
            return fail("weights", "of maml are those that all tasks begin with: leave it out");
        }
        self.validate_episode(environment, "maml")?;
        if self.learning.minibatches != 1 {
            return fail("learning.minibatches", "of maml are 1, all that was met: leave it out");
        }
        Ok(())
    }

    fn validate_trials(&self, env: &dyn Environment) -> Result<()> {
        let trial = usual::trial(&self.trial)?;
        let fail = |key: &str, message: &str| Err(Error::config(key, message));
        let m = self.memory;
        config::within(&[("memory.units", m.units, 1, 4_096), ("memory.latent", m.latent, 0, 1_024)])?;
        config::within(&[("memory.prior", m.prior, 0.0, 1e3)])?;
        if m.latent > 0 && !m.infers {
            return fail(
                "memory.latent",
                "is learned by what differs between worlds: memory.infers = true, with a --context that differs",
            );
        }
        if m.latent == 0 && (m.sampled || m.prior != MemoryConfig::default().prior) {
            return fail(
                "memory.latent",
                "says how many numbers the latent has that memory.sampled and memory.prior are of: 1 or more",
            );
        }
        if self.horizon > 0 {
            return fail("horizon", "of rl2 is what --trial says of each episode: leave it out");
        }
        if self.told {
            return fail("told", "is for policies without a memory: rl2 finds out what differs");
        }
        if self.weights == PolicySource::Own {
            return fail("weights", "of rl2 are shared or generated: each world is met once");
        }
        let varied = Worlds::varied(env, &self.context, "--context")?;
        if self.memory.infers && varied.iter().all(|v| v.range[0] == v.range[1]) {
            return fail("memory.infers", "is for contexts that differ: --context says what does");
        }
        let (last, sum) = (trial.last().copied().unwrap_or(0), trial.iter().sum::<usize>());
        if self.learning.steps <= sum - last {
            let message = format!(
                "of rl2 reach the last episode of a trial: more than {}, best the whole trial, {sum}",
                sum - last
            );
            return fail("learning.steps", &message);
        }
        Ok(())
    }

    /// Worlds to judge a policy in: contexts that are drawn anew, by these numbers or ranges where they are given; of networks of the tasks' own those of training.
    pub(super) fn test_worlds(&self, given: &[Varied], size: [usize; 2], seed: u64) -> Result<Worlds> {
        if self.weights == PolicySource::Own {
            return self.worlds([self.tasks, size[1]], self.seed);
        }
        let mut worlds = self.worlds(size, seed)?;
        worlds.draw_within(given, seed);
        Ok(worlds)
    }

    /// Contexts that differ are drawn by this.
    pub(super) fn worlds(&self, [tasks, each]: [usize; 2], seed: u64) -> Result<Worlds> {
        let found: std::sync::Arc<dyn Environment> = environment(&self.environment, "--task")?;
        let varied = Worlds::varied(&*found, &self.context, "--context")?;
        Ok(Worlds::drawn(found, varied, [tasks, each], seed))
    }

    pub(super) fn policy(&self, worlds: &Worlds) -> Policy {
        let mut policy = self.net(worlds);
        policy.squashed = self.squash;
        policy
    }

    fn net(&self, worlds: &Worlds) -> Policy {
        if self.learner == Learner::Rl2 {
            let MemoryConfig { cell, units, infers, latent, sampled, prior } = self.memory;
            let mut memory = Memory::new(worlds, cell, units, usual::trial(&self.trial).unwrap_or_default());
            if latent > 0 {
                let mut belief = Belief::new(latent);
                (belief.sampled, belief.prior) = (sampled, prior);
                memory = memory.believing(belief);
            }
            let policy = match self.weights {
                PolicySource::Generated => {
                    Policy::generated_by_memory(worlds, &self.hidden, self.trunk.clone(), memory)
                }
                _ => Policy::remembering(worlds, &self.hidden, memory),
            };
            return if infers { policy.inferring(worlds, &self.hidden) } else { policy };
        }
        match self.weights {
            _ if self.learner == Learner::Es => Policy::evolved(worlds, &self.hidden, self.evolution),
            _ if self.learner == Learner::Maml => Policy::adapted(worlds, &self.hidden, self.adaptation),
            PolicySource::Shared => {
                Policy::shared(worlds, &self.hidden, if self.told { worlds.descriptor() } else { 0 })
            }
            PolicySource::Own => Policy::own(worlds, &self.hidden),
            PolicySource::Generated => {
                let policy = Policy::generated(worlds, &self.hidden, self.trunk.clone());
                match self.generated_critic {
                    true => policy.with_generated_critic(worlds, &self.hidden, self.trunk.clone()),
                    false => policy,
                }
            }
        }
    }

    pub(super) fn learning(&self) -> Learning {
        let l = &self.learning;
        let mut learning = Learning::new(self.frames);
        (learning.steps, learning.epochs, learning.minibatches) = (l.steps, l.epochs, l.minibatches);
        (learning.gamma, learning.lambda, learning.rate, learning.clip) = (l.gamma, l.lambda, l.rate, l.norm);
        (learning.horizon, learning.inference, learning.noise) = (self.horizon, l.inference, l.noise);
        (learning.last_entropy, learning.analytic) = (l.last_entropy, self.learner == Learner::Apg);
        let o = &mut learning.objective;
        o.clip = matches!(self.learner, Learner::Ppo | Learner::Rl2 | Learner::Maml).then_some(l.clip);
        (o.clip_value, o.normalise, o.value, o.entropy) = (l.clip_value, l.normalise, l.value, l.entropy);
        learning
    }
}
