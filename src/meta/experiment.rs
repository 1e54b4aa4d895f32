//! A whole run: pooled networks, hypernetworks, the choice on validation tasks, the report.

use std::path::Path;
use std::time::Instant;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::episode::Task;
use super::evaluate::support_as_query;
use super::gate::Gate;
use super::instruments::Instruments;
use super::interval::{Coverage, Reliability, reliability};
use super::model::{Choice, From, Member, Model};
use super::objective::MetaSpec;
use super::outer::{Learner, OuterSettings, StepRecord, Trainer, training_fits};
use crate::config::{Config, Start};
use crate::data::problem::Problem;
use crate::error::Result;
use crate::nn::Loss;
use crate::optim::Schedule;
use crate::report::metrics::{MetricsRow, MetricsWriter};
use crate::rng::Rng;
use crate::run::Device;
use crate::run_folder::{Position, RunFolder, Saved};
use crate::spec::Param;

/// What a run found: `report.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Family of tasks.
    pub task: String,
    /// `cpu` or `gpu`.
    pub device: String,
    /// Seed.
    pub seed: u64,
    /// Steps of the hypernetwork's training.
    pub steps: u64,
    /// Seconds of training, pooled network included.
    pub seconds: f64,
    /// Tasks trained on a second, while the hypernetwork was trained.
    pub tasks_per_second: f64,
    /// Weights of the target network.
    pub target_weights: usize,
    /// Parameters of the hypernetwork.
    pub hyper_parameters: usize,
    /// Models whose predictions are averaged.
    pub members: usize,
    /// Error on unseen tasks.
    pub held_out: HeldOut,
    /// What the generated networks look like.
    pub instruments: Instruments,
}

/// Error on tasks that nothing was trained on or chosen by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// `mse`, `rmse` in the target's own units, or `accuracy`.
    pub metric: String,
    /// Number of tasks.
    pub tasks: usize,
    /// Support rows a task (at most).
    pub shots: usize,
    /// Steps of adaptation chosen on validation tasks.
    pub chosen_steps: usize,
    /// Fraction of the correction to the pooled network chosen on validation tasks.
    pub chosen_correction: f64,
    /// How pooled, generated and adapted networks are weighed for each task, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// The metric of what was chosen: that many steps, weighed.
    pub chosen: f64,
    /// The metric after each number of steps.
    pub by_steps: IndexMap<String, f64>,
    /// The metric of the main network alone (θ, which all tasks' weights are a correction to), and after as many steps of
    /// fine-tuning as are best for the pooled network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<[f64; 2]>,
    /// The same metric of simple things.
    pub baselines: Baselines,
    /// Standard deviation of the target on the training groups, in its own units (1 where there is no file).
    pub target_std: f64,
    /// How many rows predictive intervals cover, of values.
    pub coverage: Vec<Coverage>,
    /// How probabilities agree with what happened, of classes.
    pub reliability: Vec<Reliability>,
}

/// Simple things that a hypernetwork is held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// The mean target of the support.
    pub support_mean: f64,
    /// One network for all tasks.
    pub pooled: f64,
    /// The same, shifted by the shrunk mean residual on the support (shrinkage chosen on validation tasks).
    pub pooled_residual: f64,
    /// The same, fine-tuned on the support (steps chosen on validation tasks).
    pub pooled_fine_tuned: f64,
}

/// Where a run is, for a progress bar.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// What is being done.
    pub phase: &'a str,
    /// Steps done of this phase.
    pub step: u64,
    /// Steps of this phase.
    pub steps: u64,
    /// Mean loss of the last steps.
    pub loss: f64,
    /// Tasks a second.
    pub tasks_per_second: f64,
}

/// Who watches a run.
pub trait Observer {
    /// Called several times a second.
    fn progress(&mut self, _: &Progress<'_>) {}
    /// Whether to stop, with a good checkpoint.
    fn stop(&self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Silent;
impl Observer for Silent {}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Trained and judged.
    Done(Box<Report>),
    /// Stopped by the observer at this step; the checkpoint goes on from here.
    Stopped(Position),
}

/// A run in a folder.
pub struct Experiment<'a> {
    pub(super) config: Config,
    pub(super) problem: Problem,
    pub(super) device: &'a Device,
    folder: RunFolder,
    position: Position,
    pub(super) model: Model,
    state: Vec<f32>,
    held: Vec<f32>,
    started: Instant,
    before: u64,
}

impl std::fmt::Debug for Experiment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Experiment")
            .field("folder", &self.folder)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<'a> Experiment<'a> {
    /// Starts a run in a new folder, or with `resume` goes on in an existing one (afresh where it has no
    /// checkpoint yet).
    ///
    /// # Errors
    /// [`crate::Error::Config`] for settings that make no sense or a folder that exists, those of reading
    /// data, and [`crate::Error::Memory`].
    pub fn open(
        config: &Config,
        device: &'a Device,
        path: &std::path::Path,
        resume: bool,
    ) -> Result<Experiment<'a>> {
        let mut config = config.clone();
        let folder = if resume { RunFolder::open(path)? } else { RunFolder::fresh(path)? };
        let saved = if resume && folder.has_checkpoint() { Some(folder.load()?) } else { None };
        if let Some(s) = &saved {
            same_settings(&folder, &config, &s.config)?;
            config = s.config.clone();
        }
        config.validate()?;
        let problem = Problem::load(&config)?;
        for w in problem.warnings() {
            log::warn!("{w}");
        }
        problem.check_size()?;
        let model = Model {
            spec: problem.hyper(),
            judge: problem.judge(),
            adaptation: problem.meta().adaptation,
            fine_tuning: problem.fine_tuning(),
            members: vec![Member::default(); problem.members()],
            choice: Choice::default(),
        };
        let (position, model, state, held) = match saved {
            Some(s) => {
                let fits = s.model.spec == model.spec
                    && s.model.adaptation == model.adaptation
                    && s.model.fine_tuning == model.fine_tuning
                    && s.model.members.len() == model.members.len()
                    && s.model.judge == model.judge
                    && s.format == problem.format();
                if !fits {
                    return Err(crate::Error::checkpoint(
                        folder.path(),
                        "the checkpoint's model is not the one that its configuration and data describe; has the data file changed?",
                    ));
                }
                (s.position, s.model, s.state, s.held)
            }
            None => (Position::default(), model, vec![], vec![]),
        };
        // What does not fit is refused before a folder is made or weights are drawn.
        if !position.trained {
            if let (Some(from), true) = (&config.train.from, state.is_empty()) {
                let meta = problem.meta();
                transfer(from, 0, &meta, &mut vec![0.0; meta.layout().len()])?;
            }
            let family = problem.family(position.member);
            let (pooled, hyper) =
                (Learner::Pooled(model.spec.target.clone()), Learner::Hyper(problem.meta().into()));
            for (learner, hyper) in [(pooled, false), (hyper, true)] {
                let settings = settings(&config, position.member, hyper);
                let caps = device.caps(family.window(settings.tasks));
                training_fits(family.as_ref(), &learner, &settings, caps)?;
            }
        }
        folder.ensure()?;
        folder.write("config.toml", &config.to_toml()?)?;
        Ok(Experiment {
            config,
            problem,
            device,
            folder,
            before: position.millis,
            position,
            model,
            state,
            held,
            started: Instant::now(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The resolved configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The problem.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The model as far as it is trained.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Trains what is left to train, then chooses and judges.
    ///
    /// # Errors
    /// [`crate::Error::Diverged`] when training keeps giving NaN (the last good weights are in the checkpoint),
    /// and whatever a device or the file system refuses.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let metrics_step = self.metrics_base() + if self.position.hyper { self.position.step } else { 0 };
        let mut metrics = MetricsWriter::resume(&self.folder.file("metrics.csv"), metrics_step)?;
        while !self.position.trained {
            if !self.train_phase(observer, &mut metrics)? {
                return Ok(Outcome::Stopped(self.position));
            }
        }
        let report = self.judge(observer)?;
        self.folder
            .write("report.json", &(serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"))?;
        Ok(Outcome::Done(Box::new(report)))
    }

    /// Steps in `metrics.csv` count on over the members.
    fn metrics_base(&self) -> u64 {
        self.position.member as u64 * self.config.train.steps
    }

    fn millis(&self) -> u64 {
        self.before + self.started.elapsed().as_millis() as u64
    }

    fn save(&mut self) -> Result<()> {
        self.position.millis = self.millis();
        self.folder.save(&Saved {
            config: self.config.clone(),
            position: self.position,
            model: self.model.clone(),
            state: self.state.clone(),
            held: self.held.clone(),
            format: self.problem.format(),
        })
    }

    /// Trains the network that `position` names to its end; `false` when the observer stopped it.
    fn train_phase(&mut self, observer: &mut dyn Observer, metrics: &mut MetricsWriter) -> Result<bool> {
        let hyper = self.position.hyper;
        let member = self.position.member;
        let family = self.problem.family(member);
        let settings = settings(&self.config, member, hyper);
        let spec = self.model.spec.clone();
        // Initial weights are drawn again on every start: they are a function of the seed.
        let mut rng = Rng::new(self.config.seed, 0x1217 + member as u64);
        let base = self.problem.initial_target(&mut rng);
        let start =
            if self.config.model.start == Start::Pooled { &self.model.members[member].pooled } else { &base };
        let (learner, init) = if hyper {
            let meta = self.problem.meta();
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
            trainer.restore(&self.state, &self.held, self.position.step)?;
        }
        self.held = trainer.held().to_vec();
        let steps = settings.schedule.steps;
        let label = match (hyper, self.problem.members()) {
            (false, 1) => "pooled network".to_string(),
            (true, 1) => "hypernetwork".to_string(),
            (false, n) => format!("pooled network {} of {n}", member + 1),
            (true, n) => format!("hypernetwork {} of {n}", member + 1),
        };
        let (mut saved_at, begun, begun_step) = (Instant::now(), Instant::now(), trainer.step());
        while trainer.step() < steps {
            let records = match trainer.advance(u64::MAX) {
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
            let progress =
                Progress { phase: &label, step: trainer.step(), steps, loss, tasks_per_second: rate };
            observer.progress(&progress);
            self.position.step = trainer.step();
            let stop = observer.stop() && trainer.step() < steps;
            if stop || saved_at.elapsed().as_secs_f64() >= self.config.train.checkpoint_seconds {
                self.state = trainer.state()?;
                metrics.flush()?;
                self.save()?;
                saved_at = Instant::now();
            }
            if stop {
                return Ok(false);
            }
        }
        metrics.flush()?;
        let params = trainer.params()?;
        let m = &mut self.model.members[member];
        if hyper {
            m.hyper = params
        } else {
            m.pooled = params
        }
        self.state.clear();
        self.held.clear();
        self.position.step = 0;
        self.position.hyper = !hyper;
        if hyper {
            self.position.member += 1;
            self.position.trained = self.position.member == self.problem.members();
        }
        if self.position.trained {
            observer.progress(&Progress {
                phase: "choosing on validation tasks",
                step: 0,
                steps: 0,
                loss: f64::NAN,
                tasks_per_second: 0.0,
            });
            self.choose()?;
        }
        self.save()?;
        Ok(true)
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

    /// Error on the test tasks, beside the baselines.
    fn judge(&self, observer: &mut dyn Observer) -> Result<Report> {
        observer.progress(&Progress {
            phase: "judging on unseen tasks",
            step: 0,
            steps: 0,
            loss: f64::NAN,
            tasks_per_second: 0.0,
        });
        let shots = self.config.eval.shots;
        let tasks = self.problem.test(shots);
        let held_out = self.held_out(&tasks, shots, self.baseline_choices()?)?;
        let rows = crate::report::metrics::read(&self.folder.file("metrics.csv"))?;
        let refused = rows.iter().filter(|r| !(r.loss.is_finite() && r.grad_norm.is_finite()));
        let refused = refused.map(|r| r.step).collect();
        let instruments = Instruments::of(&self.model, self.device, &tasks, refused)?;
        for w in &instruments.warnings {
            log::warn!("{w}");
        }
        let seconds = self.position.millis as f64 / 1e3;
        let layout = self.model.adaptation.layout(&self.model.spec).len();
        let done = self.config.train.steps * self.problem.members() as u64;
        Ok(Report {
            task: self.config.task.name().into(),
            device: self.device.kind().into(),
            seed: self.config.seed,
            steps: self.config.train.steps,
            seconds,
            tasks_per_second: rows
                .last()
                .map_or((done * self.config.train.tasks as u64) as f64 / seconds, |r| r.tasks_per_second),
            target_weights: self.model.spec.target.layout().len(),
            hyper_parameters: layout,
            members: self.model.members.len(),
            held_out,
            instruments,
        })
    }

    /// Error on unseen tasks with each of these numbers of support rows, beside the baselines.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] where the held-out tasks would not fit, before any is made.
    pub fn sweep(&self, shots: &[usize]) -> Result<Vec<HeldOut>> {
        shots.iter().try_for_each(|&s| self.problem.check_held_out(s))?;
        // The baselines choose once, on validation tasks, whatever the shots of the test tasks.
        let choices = self.baseline_choices()?;
        shots.iter().map(|&s| self.held_out(&self.problem.test(s), s, choices)).collect()
    }

    fn held_out(&self, tasks: &[Task], shots: usize, choices: (usize, f64)) -> Result<HeldOut> {
        let judge = self.model.judge;
        let steps = self.steps();
        let chosen = &self.model.choice;
        let found = self.model.predict(self.device, tasks, From::Generated(chosen.correction), &steps)?;
        let (y, deviation) = self.model.chosen(self.device, tasks)?;
        let coverage = chosen
            .intervals
            .as_ref()
            .map(|i| i.coverage(tasks, &y, &deviation, judge.unit))
            .unwrap_or_default();
        let reliability = match judge.loss {
            Loss::CrossEntropy => reliability(tasks, &y, judge.outputs),
            Loss::Mse => vec![],
        };
        let by_steps: IndexMap<String, f64> =
            steps.iter().zip(&found).map(|(k, y)| (k.to_string(), judge.score(tasks, y))).collect();
        Ok(HeldOut {
            metric: judge.metric.name().into(),
            tasks: tasks.len(),
            shots,
            chosen_steps: chosen.steps,
            chosen_correction: chosen.correction,
            chosen: judge.score(tasks, &y),
            gate: chosen.gate,
            by_steps,
            main: self.main(tasks, choices.0)?,
            baselines: self.baselines(tasks, choices)?,
            target_std: judge.unit,
            coverage,
            reliability,
        })
    }

    fn baselines(&self, tasks: &[Task], (tuned_steps, kappa): (usize, f64)) -> Result<Baselines> {
        let judge = self.model.judge;
        let mut both = vec![0, tuned_steps];
        both.dedup();
        let pooled = self.model.predict(self.device, tasks, From::Pooled, &both)?;
        let on_support = pooled_on_support(&self.model, self.device, tasks)?;
        Ok(Baselines {
            support_mean: judge.score(tasks, &judge.support_mean(tasks)),
            pooled: judge.score(tasks, &pooled[0]),
            pooled_residual: judge.score(tasks, &judge.shifted(tasks, &pooled[0], &on_support, kappa)),
            pooled_fine_tuned: judge.score(tasks, &pooled[both.len() - 1]),
        })
    }

    /// The metric of the main networks, before and after fine-tuning; `None` where all tasks start with the same weights anyway.
    fn main(&self, tasks: &[Task], tuned_steps: usize) -> Result<Option<[f64; 2]>> {
        let layout = self.model.spec.layout();
        let Some(theta) = layout.get("head.bias").filter(|_| !self.model.spec.is_shared()) else {
            return Ok(None);
        };
        let mut model = self.model.clone();
        for m in &mut model.members {
            m.pooled = m.hyper[theta.range()].to_vec();
        }
        let found = model.predict(self.device, tasks, From::Pooled, &[0, tuned_steps])?;
        Ok(Some([self.model.judge.score(tasks, &found[0]), self.model.judge.score(tasks, &found[1])]))
    }

    /// Predictions on the query rows of `tasks`, before adaptation and after the chosen steps.
    pub fn before_and_after(&self, tasks: &[Task]) -> Result<(Vec<Vec<f32>>, Vec<Vec<f32>>)> {
        // Where no step was chosen, the pictures show the most that were tried.
        let after = match self.model.choice.steps {
            0 => self.steps().last().copied().unwrap_or(0),
            k => k,
        };
        let mut found = self.model.predict(
            self.device,
            tasks,
            From::Generated(self.model.choice.correction),
            &[0, after],
        )?;
        let after = found.pop().unwrap_or_default();
        Ok((found.pop().unwrap_or_default(), after))
    }
}

/// Refuses to go on with settings that were changed since the checkpoint, which would be lost silently. Device and
/// sweep may differ: nothing that is trained depends on them.
fn same_settings(folder: &RunFolder, now: &Config, then: &Config) -> Result<()> {
    let mut now = now.clone();
    now.device.clone_from(&then.device);
    now.eval.sweep.clone_from(&then.eval.sweep);
    if now == *then {
        return Ok(());
    }
    let (now, then) = (now.to_toml()?, then.to_toml()?);
    let (a, b) = now.lines().zip(then.lines()).find(|(a, b)| a != b).unwrap_or(("more", "less"));
    Err(crate::Error::config(
        folder.file("config.toml").display().to_string(),
        format!("says '{a}', but the checkpoint was made with '{b}': put it back, or start another run"),
    ))
}

/// Puts the parameters of a finished run's hypernetwork into `init`. Those of another way of adaptation stay as they are.
fn transfer(from: &Path, member: usize, meta: &MetaSpec, init: &mut [f32]) -> Result<()> {
    let (source, _) = RunFolder::open(from)?.model()?;
    let (mine, theirs) = (meta.hyper.layout(), source.spec.layout());
    let shape = |p: Option<&Param>| match p {
        Some(p) => format!("'{}' {:?}", p.name, p.shape),
        None => "nothing".into(),
    };
    for i in 0..mine.params.len().max(theirs.params.len()) {
        let (a, b) = (mine.params.get(i), theirs.params.get(i));
        if a.map(|p| (&p.name, &p.shape)) != b.map(|p| (&p.name, &p.shape)) {
            return Err(crate::Error::config(
                "train.from",
                format!(
                    "{} has {} where this run has {}: the shapes of both hypernetworks must be the same",
                    from.display(),
                    shape(b),
                    shape(a)
                ),
            ));
        }
    }
    let weights = &source.members[member % source.members.len()].hyper;
    init[..mine.len()].copy_from_slice(&weights[..mine.len()]);
    let (mine, theirs) = (meta.layout(), source.adaptation.layout(&source.spec));
    for p in mine.params.iter().filter(|p| p.is_called("adapt")) {
        if let Some(q) = theirs.get(&p.name).filter(|q| q.shape == p.shape) {
            init[p.range()].copy_from_slice(&weights[q.range()]);
        }
    }
    Ok(())
}

/// Settings of one member's training.
pub fn settings(config: &Config, member: usize, hyper: bool) -> OuterSettings {
    let t = &config.train;
    let (peak, steps) = if hyper { (t.learning_rate, t.steps) } else { (t.pooled_rate, t.pooled_steps) };
    OuterSettings {
        tasks: t.tasks,
        schedule: Schedule { peak, warmup: t.warmup.min(steps / 2), steps, floor: t.floor },
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
    let problem = Problem::load(config)?;
    problem.check_size()?;
    let family = problem.family(0);
    let meta = problem.meta();
    let mut rng = Rng::new(config.seed, 0x1217);
    let base = problem.initial_target(&mut rng);
    let init = meta.init(&mut rng, &base);
    let learner = Learner::Hyper(meta.into());
    let mut trainer = Trainer::new(device, family.as_ref(), learner, settings(config, 0, true), &init)?;
    with(&mut trainer)
}

/// The pooled network's predictions on support rows.
pub(super) fn pooled_on_support(model: &Model, device: &Device, tasks: &[Task]) -> Result<Vec<Vec<f32>>> {
    Ok(model.predict(device, &support_as_query(tasks), From::Pooled, &[0])?.concat())
}
