//! The stages of a run, one after another: the pooled network and the hypernetwork of each member, the choice on validation
//! tasks. Each leaves a checkpoint that the next goes on from.

use std::time::Instant;

use super::Experiment;
use super::base::base_weights;
use super::config::{Config, Start};
use super::observer::{Observer, Progress};
use super::run_folder::Saved;
use super::setup::Setup;
use super::transfer::transfer;
use crate::error::Result;
use crate::meta::outer::{Learner, OuterSettings, StepRecord, Trainer};
use crate::optim::Schedule;
use crate::report::metrics::{MetricsRow, MetricsWriter};
use crate::run::Device;

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The pooled network of a member.
    Pooled(usize),
    /// The hypernetwork of a member.
    Hyper(usize),
    /// The choice on validation tasks.
    Choose,
}

impl Experiment<'_> {
    /// Steps in `metrics.csv` count on over the members.
    pub(super) fn metrics_base(&self) -> u64 {
        self.position.member as u64 * self.config.train.steps
    }

    fn millis(&self) -> u64 {
        self.before + self.started.elapsed().as_millis() as u64
    }

    pub(super) fn save(&mut self) -> Result<()> {
        self.position.millis = self.millis();
        self.folder.save(&Saved {
            config: self.config.clone(),
            position: self.position,
            model: self.model.clone(),
            state: self.state.clone(),
            frozen: self.frozen.clone(),
            curve: self.curve.clone(),
            format: self.setup.source().format(),
        })
    }

    /// Whether a pooled network is trained first. One task has none; a generated network is held against one that is trained directly.
    pub(super) fn needs_pooled(&self) -> bool {
        self.config.model.base.is_none()
            && (self.setup.source().single().is_none() || self.trains_direct_too())
    }

    /// What is left to do.
    pub(super) fn stages(&self) -> Vec<Stage> {
        if self.position.trained {
            return vec![];
        }
        let mut all = Vec::new();
        for member in self.position.member..self.setup.source().members() {
            if self.needs_pooled() && !(member == self.position.member && self.position.hyper) {
                all.push(Stage::Pooled(member));
            }
            all.push(Stage::Hyper(member));
        }
        all.push(Stage::Choose);
        all
    }

    /// Does a stage to its end, and stores what it leaves; `false` when the observer stopped it. What the last hypernetwork
    /// leaves is stored together with what is chosen for it.
    pub(super) fn pass(
        &mut self,
        stage: Stage,
        observer: &mut dyn Observer,
        metrics: &mut MetricsWriter,
    ) -> Result<bool> {
        let done = match stage {
            Stage::Pooled(member) => self.train(member, false, observer, metrics)?,
            Stage::Hyper(member) => self.train(member, true, observer, metrics)?,
            Stage::Choose => {
                if self.setup.source().single().is_none() {
                    observer.progress(&Progress::of("choosing on validation tasks"));
                }
                self.choose()?;
                self.position.trained = true;
                true
            }
        };
        if done && (self.position.trained || self.position.member < self.setup.source().members()) {
            self.save()?;
        }
        Ok(done)
    }

    /// Trains a network to its end; `false` when the observer stopped it.
    fn train(
        &mut self,
        member: usize,
        hyper: bool,
        observer: &mut dyn Observer,
        metrics: &mut MetricsWriter,
    ) -> Result<bool> {
        let family = self.setup.source().family(member);
        let settings = settings(&self.config, member, hyper);
        let spec = self.model.spec.clone();
        let (mut rng, base) = self.setup.first_draw(member);
        // Once the hypernetwork is being trained, a checkpoint has the base weights; until then they are read again.
        if let (Some(path), true) = (&self.config.model.base, self.state.is_empty()) {
            let format = self.setup.source().format();
            self.model.members[member].pooled = base_weights(path, member, &spec.target, &format)?;
            // They stand for a pooled network that is trained.
            self.position.hyper = true;
        }
        let start = match self.config.model.starts_at() {
            Start::Pooled => &self.model.members[member].pooled,
            Start::Fresh => &base,
        };
        let (learner, init) = if hyper {
            let meta = self.setup.meta();
            let mut init = meta.init(&mut rng, start);
            // Once the hypernetwork is being trained, a checkpoint has all of it; until then the run is read again.
            if let (Some(from), true) = (&self.config.train.from, self.state.is_empty()) {
                transfer(from, member, &meta, &mut init)?;
            }
            (Learner::Hyper(meta.into()), init)
        } else {
            (Learner::Pooled(spec.target.clone()), base)
        };
        let mut trainer = Trainer::new(self.device, family.as_ref(), learner, settings, &init)?;
        if !self.state.is_empty() {
            trainer.restore(&self.state, &self.frozen, self.position.step)?;
        }
        self.frozen = trainer.frozen().to_vec();
        let steps = settings.schedule.steps;
        let rows = self.setup.source().single().map(|_| family.shape().query);
        let label = match (hyper, self.setup.source().members()) {
            (false, _) if rows.is_some() => "direct network".to_string(),
            (true, _) if rows.is_some() => "network".to_string(),
            (false, 1) => "pooled network".to_string(),
            (true, 1) => "hypernetwork".to_string(),
            (false, n) => format!("pooled network {} of {n}", member + 1),
            (true, n) => format!("hypernetwork {} of {n}", member + 1),
        };
        let (mut saved_at, begun, begun_step) = (Instant::now(), Instant::now(), trainer.step());
        while trainer.step() < steps {
            // For whoever asks how good it is so far; the checkpoint has it with the moments of the optimiser.
            if hyper && self.is_paused(trainer.step()) {
                self.model.members[member].hyper = trainer.params()?;
                return Ok(false);
            }
            let most = match hyper && rows.is_some() {
                true => self.next_point(steps, trainer.step()) - trainer.step(),
                false => u64::MAX,
            };
            let records = match trainer.advance(most) {
                Ok(r) => r,
                Err(e) => {
                    self.state = trainer.state()?;
                    self.position.step = trainer.step();
                    self.save()?;
                    return Err(e);
                }
            };
            let rate =
                (trainer.step() - begun_step) as f64 * settings.tasks as f64 / begun.elapsed().as_secs_f64();
            if hyper {
                metrics.append(&self.rows(&records, rate))?;
            }
            let loss = records.iter().map(|r| r.loss).sum::<f64>() / records.len().max(1) as f64;
            let progress = Progress {
                phase: &label,
                step: trainer.step(),
                steps,
                loss,
                tasks_per_second: rate * rows.unwrap_or(1) as f64,
                unit: if rows.is_some() { "rows" } else { "tasks" },
            };
            observer.progress(&progress);
            self.position.step = trainer.step();
            if most != u64::MAX && records.len() as u64 == most {
                self.add_point(trainer.step(), trainer.params()?)?;
            }
            let pause = hyper && self.is_paused(trainer.step());
            let stop = (pause || observer.stop()) && trainer.step() < steps;
            if stop || saved_at.elapsed().as_secs_f64() >= self.config.train.checkpoint_seconds {
                self.state = trainer.state()?;
                metrics.flush()?;
                self.save()?;
                saved_at = Instant::now();
            }
            if stop && !pause {
                return Ok(false);
            }
        }
        metrics.flush()?;
        let params = trainer.params()?;
        let m = &mut self.model.members[member];
        if hyper {
            if rows.is_some() && self.model.spec.generator.is_shared_weights() {
                m.pooled.clone_from(&params);
            }
            m.hyper = params
        } else {
            m.pooled = params
        }
        self.state.clear();
        self.frozen.clear();
        self.position.step = 0;
        self.position.hyper = !hyper;
        self.position.member += usize::from(hyper);
        Ok(true)
    }

    /// Whether the hypernetwork's training is to pause at a step.
    fn is_paused(&self, step: u64) -> bool {
        self.pause.is_some_and(|at| step >= at)
    }

    fn rows(&self, records: &[StepRecord], tasks_per_second: f64) -> Vec<MetricsRow> {
        records
            .iter()
            .map(|r| MetricsRow {
                step: self.metrics_base() + r.step + 1,
                loss: r.loss,
                grad_norm: r.grad_norm,
                learning_rate: r.rate,
                tasks_per_second,
                accuracy: r.accuracy,
            })
            .collect()
    }
}

/// Settings of one member's training.
pub fn settings(config: &Config, member: usize, hyper: bool) -> OuterSettings {
    let t = &config.train;
    let (peak, steps) = if hyper { (t.learning_rate, t.steps) } else { (t.pooled_rate, t.pooled_steps) };
    OuterSettings {
        tasks: t.tasks,
        schedule: Schedule {
            peak,
            warmup: t.warmup.min(steps / 2),
            steps,
            final_fraction: t.final_rate_fraction,
        },
        optimiser: t.optimiser,
        clip: t.clip,
        seed: config.seed.wrapping_mul(0x9E37_79B9).wrapping_add(member as u64 * 2 + u64::from(hyper)),
    }
}

/// Calls `with` with a trainer of the first member's hypernetwork before its first step.
///
/// # Errors
/// Those of reading the data and of the device.
pub fn starting_trainer<R>(
    config: &Config,
    device: &Device,
    with: impl FnOnce(&mut Trainer<'_>) -> Result<R>,
) -> Result<R> {
    let setup = Setup::load(config)?;
    setup.check_size()?;
    let family = setup.source().family(0);
    let meta = setup.meta();
    let (mut rng, base) = setup.first_draw(0);
    let init = meta.init(&mut rng, &base);
    let learner = Learner::Hyper(meta.into());
    let mut trainer =
        Trainer::new(device, family.as_ref(), learner, settings(setup.config(), 0, true), &init)?;
    with(&mut trainer)
}
