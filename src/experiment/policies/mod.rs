//! A whole run of a policy in a folder: worlds, training, judgement in worlds never seen, the report.
//!
//! | file | what |
//! |---|---|
//! | `policy.toml` | all settings |
//! | `policy.safetensors` | parameters, moments, where the agents are |
//! | `metrics.csv` | a row an iteration |
//! | `report.json` | the result ([`PolicyReport`]) |
//! | `returns.svg` | mean returns of episodes against steps |

mod compare;
mod config;
mod film;
mod judge;
mod report;
mod roll_out;
mod trained;
mod usual;

use std::path::Path;
use std::time::{Duration, Instant};

use super::run_folder::RunFolder;
use super::{Observer, Progress};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::{Error, Result};
use crate::policy::{PolicyTrainer, Progressed};
use crate::report::events::EventFile;
use crate::report::plot::{Curve, curves};
use crate::run::Device;
pub use compare::{
    ComparedPolicies, Mean, PolicyGroup, PolicyRunTest, PolicyTestOptions, compare, learning_curves,
};
pub use config::{Learner, LearningConfig, MemoryConfig, PolicyConfig, PolicySource, TestConfig};
use judge::Judged;
pub use report::{PolicyReport, PolicyStatus, PolicyTest};
pub use roll_out::{RollOut, RollOutOptions, roll_out};

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
    /// Whether there is to be an event file.
    events: bool,
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
    /// The columns behind the seconds.
    fn numbers(&self) -> [f64; 9] {
        let f = &self.found;
        let [policy, value, entropy, divergence] = f.losses;
        [f.episodes, f.return_mean, f.length, f.reward, policy, value, entropy, divergence, f.gradient]
    }

    fn line(&self) -> String {
        let f = &self.found;
        let text = |x: &f64| if x.is_nan() { String::new() } else { format!("{x}") };
        let rest: Vec<String> = self.numbers().iter().map(text).collect();
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
        let (iteration, frames) = (iteration as u64, frames as u64);
        let losses = [a, b, c, d];
        let found = Progressed { iteration, frames, episodes, return_mean, length, reward, losses, gradient };
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
            events: false,
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

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Has [`PolicyRun::run`] write an event file for TensorBoard beside `metrics.csv`; a run that goes on goes on with the one that it has.
    pub fn write_events(&mut self) {
        self.events = true;
    }

    /// Trains, judges and reports.
    ///
    /// # Errors
    /// Those of the device, of writing, and [`Error::Diverged`], after which the folder holds the last good policy.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<PolicyStatus> {
        let mut saved = Instant::now();
        let mut many = 1;
        let mut events = EventFile::of_run(self.folder.path(), self.events)?;
        // From here on whoever stops it gets a checkpoint.
        self.tell(observer);
        while self.trainer.left() > 0 {
            let began = Instant::now();
            let found = match self.trainer.advance(many) {
                Ok(found) => found,
                Err(e) => {
                    // What went wrong first is what is said, also where a simulator that ended can't say where it was.
                    self.save().unwrap_or_else(|e| log::warn!("{e}: nothing is saved"));
                    return Err(e);
                }
            };
            let seconds = self.seconds();
            self.rows.extend(found.into_iter().map(|found| Row { found, seconds }));
            self.tell(observer);
            if let Some(events) = &mut events {
                let names: Vec<&str> = COLUMNS.split(',').skip(3).collect();
                for row in &self.rows[events.steps()..] {
                    let scalars: Vec<(&str, f64)> = names.iter().copied().zip(row.numbers()).collect();
                    events.add(row.found.frames, &scalars)?;
                }
                events.flush()?;
            }
            // As many at once as take about a second.
            many = if began.elapsed() < Duration::from_millis(500) { many * 2 } else { (many / 2).max(1) };
            many = many.min(1 << 16);
            if observer.stop() {
                self.save()?;
                return Ok(PolicyStatus::Stopped(self.trainer.iteration() * self.trainer.frames_each()));
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

    /// Tells how far training is.
    fn tell(&self, observer: &mut dyn Observer) {
        observer.progress(&Progress {
            phase: "training",
            step: self.trainer.iteration() * self.trainer.frames_each(),
            steps: self.trainer.iterations() * self.trainer.frames_each(),
            loss: self.rows.last().map_or(f64::NAN, |r| r.found.losses[0]),
            tasks_per_second: self.frames_per_second(),
            unit: "steps",
        });
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn frames_per_second(&self) -> f64 {
        (self.trainer.iteration() * self.trainer.frames_each()) as f64 / self.seconds().max(1e-9)
    }

    fn judge(&mut self) -> Result<PolicyReport> {
        let (c, seconds) = (self.config.clone(), self.seconds());
        let test = c.test_worlds(&[], [c.test.tasks, c.test.episodes], c.seed ^ TEST)?;
        let params = self.trainer.params()?;
        let judged =
            Judged { config: &c, device: self.device, policy: self.trainer.policy(), params: &params };
        let steps = self.trainer.iteration() * self.trainer.frames_each();
        Ok(PolicyReport {
            environment: c.environment.clone(),
            learner: c.learner.name().into(),
            weights: c.weights.name().into(),
            device: self.device.name(),
            seed: c.seed,
            parameters: self.trainer.policy().init(c.tasks, c.seed).len(),
            steps,
            seconds,
            steps_per_second: steps as f64 / seconds.max(1e-9),
            test: judged.test(&test, c.seed ^ TEST)?.0,
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
        for (name, values) in state.values {
            c.tensors.insert(name, Tensor::f32(&[values.len()], values));
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
        let c = trained::saved(&path, &self.config)?;
        let wrong = |what: &str| Error::checkpoint(&path, format!("says no {what} of a policy"));
        let meta = |what: &str| c.metadata.get(what).ok_or_else(|| wrong(what));
        let of = |(name, like): (String, Vec<f32>)| -> Result<(String, Vec<f32>)> {
            let values = c.f32(&name, &[like.len()])?.to_vec();
            Ok((name, values))
        };
        let mut state = self.trainer.state()?;
        state.values = state.values.into_iter().map(of).collect::<Result<_>>()?;
        state.iteration = meta("iteration")?.parse().map_err(|_| wrong("iteration"))?;
        self.trainer.restore(&state)?;
        self.before = meta("seconds")?.parse().map_err(|_| wrong("seconds"))?;
        let rows = rows_of(self.folder.path()).unwrap_or_else(|e| {
            log::warn!("{e}: its rows up to here are lost");
            vec![]
        });
        self.rows = rows.into_iter().take_while(|r| r.found.iteration < state.iteration).collect();
        Ok(())
    }
}

/// The rows of a run's `metrics.csv`, as far as they are whole.
fn rows_of(run: &Path) -> Result<Vec<Row>> {
    let file = run.join(METRICS);
    let text = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
    Ok(text.lines().skip(1).map_while(Row::read).collect())
}
