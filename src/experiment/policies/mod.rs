//! A whole run of a policy in a folder: worlds, training, judgement in worlds never seen, the report.
//!
//! | file | what |
//! |---|---|
//! | `policy.toml` | all settings |
//! | `policy.safetensors` | parameters, moments, where the agents are |
//! | `metrics.csv` | a row an iteration |
//! | `report.json` | the result ([`PolicyReport`]) |
//! | `returns.svg` | mean returns of episodes against steps |

mod config;
mod report;

use std::path::Path;
use std::time::{Duration, Instant};

use super::run_folder::RunFolder;
use super::{Observer, Progress};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::{Error, Result};
use crate::policy::{
    Behaviour, PolicyState, PolicyTrainer, Progressed, Setting, Trajectory, Worlds, environment,
};
use crate::report::plot::{Curve, curves};
use crate::run::Device;
pub use config::{Learner, LearningConfig, PolicyConfig, PolicySource, TestConfig};
pub use report::{PolicyReport, PolicyStatus, PolicyTest};

/// The settings of a run.
pub const SETTINGS: &str = "policy.toml";
/// Everything that training goes on from.
const STATE: &str = "policy.safetensors";
const METRICS: &str = "metrics.csv";
/// Longest time between two checkpoints.
const SAVE_EVERY: Duration = Duration::from_secs(20);
/// Random numbers of worlds never seen, and of the episodes in them.
const TEST: u64 = 0x7e57;

/// A run of a policy.
#[derive(Debug)]
pub struct PolicyRun<'d> {
    config: PolicyConfig,
    device: &'d Device,
    folder: RunFolder,
    trainer: PolicyTrainer,
    rows: Vec<Row>,
    /// Seconds of earlier parts of the run.
    before: f64,
    started: Instant,
}

/// A line of `metrics.csv`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    found: Progressed,
    seconds: f64,
}

const COLUMNS: &str = "iteration,steps,seconds,episodes,return,length,reward,policy_loss,value_loss,entropy,divergence,gradient";

impl Row {
    fn line(&self) -> String {
        let f = &self.found;
        let numbers = [
            f.episodes,
            f.return_mean,
            f.length,
            f.reward,
            f.losses[0],
            f.losses[1],
            f.losses[2],
            f.losses[3],
            f.gradient,
        ];
        let text = |x: &f64| if x.is_nan() { String::new() } else { format!("{x}") };
        let rest: Vec<String> = numbers.iter().map(text).collect();
        format!("{},{},{:.3},{}", f.iteration, f.frames, self.seconds, rest.join(","))
    }

    /// A line as a number of numbers; `None` where it is none.
    fn read(line: &str) -> Option<Row> {
        let numbers: Vec<f64> = line
            .split(',')
            .map(|cell| if cell.is_empty() { Some(f64::NAN) } else { cell.parse().ok() })
            .collect::<Option<_>>()?;
        let [iteration, frames, seconds, episodes, return_mean, length, reward, a, b, c, d, gradient] =
            numbers[..]
        else {
            return None;
        };
        let found = Progressed::read(
            iteration as u64,
            frames as u64,
            [episodes, return_mean, length, reward],
            [a, b, c, d],
            gradient,
        );
        Some(Row { found, seconds })
    }
}

impl<'d> PolicyRun<'d> {
    /// Opens a run; of one that was begun, goes on where it stopped.
    ///
    /// # Errors
    /// Those of the settings, of the folder and of the device.
    pub fn open(
        config: &PolicyConfig,
        device: &'d Device,
        path: &Path,
        resume: bool,
    ) -> Result<PolicyRun<'d>> {
        config.validate()?;
        let folder = if resume { RunFolder::open(path)? } else { RunFolder::fresh(path)? };
        let worlds = config.worlds([config.tasks, config.worlds], config.seed)?;
        let policy = config.policy(&worlds);
        let trainer = PolicyTrainer::new(device, worlds, policy, config.learning(), config.seed)?;
        let mut run = PolicyRun {
            config: config.clone(),
            device,
            folder,
            trainer,
            rows: vec![],
            before: 0.0,
            started: Instant::now(),
        };
        match run.folder.file(STATE).is_file() {
            true if resume => run.restore()?,
            false if resume => {
                log::warn!("{}: there is no {STATE}: it starts from the beginning", path.display())
            }
            _ => {}
        }
        run.folder.ensure()?;
        run.folder.write(SETTINGS, &run.config.to_toml()?)?;
        run.started = Instant::now();
        Ok(run)
    }

    /// So many steps of the trained policy in one world (0: one episode at most), whose context has these numbers (`length=0.7`; what else differs in the run is in the middle of its
    /// range): what it saw and did.
    ///
    /// # Errors
    /// A run that is not trained, a context out of the run's ranges, and what the device refuses.
    pub fn roll_out(&mut self, context: &str, how: Behaviour, steps: usize, seed: u64) -> Result<Trajectory> {
        if self.trainer.iteration() == 0 {
            let folder = self.folder.file("");
            return Err(Error::checkpoint(
                folder,
                "holds no trained policy yet: go on with hyperloom train --resume",
            ));
        }
        if self.config.weights == PolicySource::Own {
            let message =
                "a run whose tasks have networks of their own says of no other context what to do in it";
            return Err(Error::config("--context", message));
        }
        let found = environment(&self.config.environment, "environment")?;
        let varied = Worlds::parse(&*found, &self.config.context, "context")?;
        let given = Worlds::parse(&*found, context, "--context")?;
        for g in &given {
            let name = found.context()[g.column].name;
            if g.range[0] < g.range[1] {
                return Err(Error::config(
                    "--context",
                    format!("a roll-out has one {name}, not a range of them"),
                ));
            }
            let trained = varied.iter().find(|v| v.column == g.column);
            if let Some(v) = trained.filter(|v| !(v.range[0]..=v.range[1]).contains(&g.range[0])) {
                log::warn!(
                    "{name} {} is outside of {}..{}, where the policy was trained",
                    g.range[0],
                    v.range[0],
                    v.range[1]
                );
            }
        }
        let given: Vec<(usize, f64)> = given.iter().map(|g| (g.column, g.range[0])).collect();
        let world = Worlds::one(found, varied, &given);
        let horizon = if self.config.horizon > 0 { self.config.horizon } else { world.environment.horizon() };
        let params = self.trainer.params()?;
        let learning = self.config.learning();
        let many = if steps == 0 { horizon } else { steps };
        let setting = Setting { worlds: &world, policy: self.trainer.policy(), learning: &learning };
        let mut all = setting.trajectory(self.device, &params, how, many, seed)?;
        if steps == 0 {
            all.cut(all.ended.iter().position(|e| *e).map_or(many, |at| at + 1));
        }
        Ok(all)
    }

    /// The settings.
    pub fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Trains, judges and reports.
    ///
    /// # Errors
    /// Those of the device, of writing, and [`Error::Diverged`], after which the folder holds the last good policy.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<PolicyStatus> {
        let mut saved = Instant::now();
        while self.trainer.left() > 0 {
            let found = match self.trainer.advance(u64::MAX) {
                Ok(found) => found,
                Err(e) => {
                    self.save()?;
                    return Err(e);
                }
            };
            let seconds = self.seconds();
            self.rows.extend(found.into_iter().map(|found| Row { found, seconds }));
            let (done, last) = (self.trainer.iteration(), self.rows.last());
            observer.progress(&Progress {
                phase: "training",
                step: done * self.trainer.frames_each(),
                steps: self.trainer.iterations() * self.trainer.frames_each(),
                loss: last.map_or(f64::NAN, |r| r.found.losses[0]),
                tasks_per_second: self.frames_per_second(),
                unit: "steps",
            });
            if observer.stop() {
                self.save()?;
                return Ok(PolicyStatus::Stopped(done * self.trainer.frames_each()));
            }
            if saved.elapsed() >= SAVE_EVERY {
                self.save()?;
                saved = Instant::now();
            }
        }
        self.save()?;
        observer.progress(&Progress::of("judging"));
        let report = self.judge()?;
        self.folder
            .write("report.json", &(serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"))?;
        self.draw()?;
        Ok(PolicyStatus::Finished(Box::new(report)))
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn frames_per_second(&self) -> f64 {
        (self.trainer.iteration() * self.trainer.frames_each()) as f64 / self.seconds().max(1e-9)
    }

    fn judge(&mut self) -> Result<PolicyReport> {
        let (c, seconds) = (self.config.clone(), self.seconds());
        let test = match c.weights {
            PolicySource::Own => c.worlds([c.tasks, c.test.episodes], c.seed)?,
            _ => c.worlds([c.test.tasks, c.test.episodes], c.seed ^ TEST)?,
        };
        let mut play = |how| self.trainer.evaluate(&test, how, c.seed ^ TEST);
        let (greedy, drawn, random) =
            (play(Behaviour::Greedy)?, play(Behaviour::Drawn)?, play(Behaviour::Random)?);
        if greedy.returns.iter().chain(&drawn.returns).any(|r| !r.is_finite()) {
            return Err(Error::Diverged("a return of the policy is not finite: it is not judged".into()));
        }
        let by_task = greedy.by_task();
        Ok(PolicyReport {
            environment: c.environment.clone(),
            learner: Learner::ALL.iter().find(|(_, l)| *l == c.learner).map_or("", |(n, _)| n).into(),
            weights: serde_json::to_value(c.weights)
                .ok()
                .and_then(|w| w.as_str().map(str::to_string))
                .unwrap_or_default(),
            device: self.device.name(),
            seed: c.seed,
            parameters: self.trainer.policy().init(c.tasks, c.seed).len(),
            steps: self.trainer.iteration() * self.trainer.frames_each(),
            seconds,
            steps_per_second: (self.trainer.iteration() * self.trainer.frames_each()) as f64
                / seconds.max(1e-9),
            test: PolicyTest {
                return_mean: greedy.mean(),
                return_std: greedy.deviation(),
                episodes: greedy.returns.len(),
                length: greedy.lengths.iter().map(|l| f64::from(*l)).sum::<f64>()
                    / greedy.lengths.len().max(1) as f64,
                drawn: drawn.mean(),
                random: random.mean(),
                tasks: contexts(&test, &by_task),
            },
        })
    }

    fn draw(&self) -> Result<()> {
        let points: Vec<(f64, f64)> = self
            .rows
            .iter()
            .filter(|r| r.found.return_mean.is_finite())
            .map(|r| (r.found.frames as f64, r.found.return_mean))
            .collect();
        let label = format!("{}, episodes of training", self.config.environment);
        let curve = Curve { label: &label, points: &points };
        curves(&self.folder.file("returns.svg"), "Returns", "steps in all worlds", "return", false, &[curve])
    }

    fn save(&mut self) -> Result<()> {
        let state = self.trainer.state()?;
        let mut c = Checkpoint::default();
        let names = ["weights", "first", "second", "state", "clock", "gained"];
        for (name, values) in names.into_iter().zip(state.learner.iter().chain(&state.place)) {
            c.tensors.insert(name.into(), Tensor::f32(&[values.len()], values.clone()));
        }
        c.metadata.insert("iteration".into(), state.iteration.to_string());
        c.metadata.insert("seconds".into(), self.seconds().to_string());
        c.metadata.insert("config".into(), self.config.to_toml()?);
        let lines: Vec<String> = self.rows.iter().map(Row::line).collect();
        self.folder.write(METRICS, &format!("{COLUMNS}\n{}\n", lines.join("\n")))?;
        c.save(&self.folder.file(STATE))
    }

    fn restore(&mut self) -> Result<()> {
        let path = self.folder.file(STATE);
        let c = Checkpoint::load(&path)?;
        let wrong = |what: &str| Error::checkpoint(&path, format!("says no {what} of a policy"));
        let meta = |what: &str| c.metadata.get(what).ok_or_else(|| wrong(what));
        let then = PolicyConfig::parse(meta("config")?, STATE, &[])?;
        if (PolicyConfig { device: then.device.clone(), ..self.config.clone() }) != then {
            return Err(Error::config(
                self.folder.file(SETTINGS).display().to_string(),
                format!(
                    "has other settings than {STATE} was made with: put back those that the run was begun with (or its own {STATE}), or start another run"
                ),
            ));
        }
        let now = self.trainer.state()?;
        let of = |name: &str, like: &[f32]| -> Result<Vec<f32>> { Ok(c.f32(name, &[like.len()])?.to_vec()) };
        let state = PolicyState::new(
            [of("weights", &now.learner[0])?, of("first", &now.learner[1])?, of("second", &now.learner[2])?],
            [of("state", &now.place[0])?, of("clock", &now.place[1])?, of("gained", &now.place[2])?],
            meta("iteration")?.parse().map_err(|_| wrong("iteration"))?,
        );
        self.trainer.restore(&state)?;
        self.before = meta("seconds")?.parse().map_err(|_| wrong("seconds"))?;
        let text = std::fs::read_to_string(self.folder.file(METRICS)).unwrap_or_else(|e| {
            log::warn!("{}: {e}: its rows up to here are lost", self.folder.file(METRICS).display());
            String::new()
        });
        self.rows = text
            .lines()
            .skip(1)
            .map_while(Row::read)
            .take_while(|r| r.found.iteration < state.iteration)
            .collect();
        Ok(())
    }
}

/// Contexts by name, each with its mean return, where they differ.
fn contexts(worlds: &Worlds, returns: &[f64]) -> Vec<(Vec<(String, f32)>, f64)> {
    if worlds.varied.is_empty() {
        return vec![];
    }
    let columns: Vec<usize> = worlds.varied.iter().map(|v| v.column).collect();
    let of = |task: usize| {
        let all = worlds.context_of(task);
        columns.iter().map(|c| (all[*c].0.to_string(), all[*c].1)).collect()
    };
    returns.iter().enumerate().map(|(task, mean)| (of(task), *mean)).collect()
}
