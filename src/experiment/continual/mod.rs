//! A whole run over tasks that come one after another, in a folder: the method, others beside it, the report.
//!
//! | file | what |
//! |---|---|
//! | `continual.toml` | all settings |
//! | `continual.safetensors` | what learning goes on from; of finished methods what they found |
//! | `metrics.csv` | loss by method, task and step |
//! | `report.json` | the result ([`ContinualReport`]) |
//! | `networks/task-N.safetensors` | the network of each task, to predict with; not of orders of the inputs |
//! | `matrix.svg` | how good each method was on each task behind each task |
//! | `tasks.svg` | the mean over the tasks learned so far, by method |

mod config;
mod networks;
mod report;
mod tasks;

use std::path::Path;
use std::time::{Duration, Instant};

use super::run_folder::RunFolder;
use super::{Observer, Progress};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::continual::{Learned, Learner, LearnerState, Method, Outcome, Sequence};
use crate::data::format::Format;
use crate::error::{Error, Result};
use crate::report::events::EventFile;
use crate::report::plot::{Curve, MatrixPanel, curves, matrices};
use crate::run::Device;
pub use config::{ContinualConfig, ContinualLearning};
use networks::Among;
pub use report::{ContinualReport, ContinualStatus};

/// The settings of a run.
pub const SETTINGS: &str = "continual.toml";
const STATE: &str = "continual.safetensors";
const METRICS: &str = "metrics.csv";
const COLUMNS: &str = "method,task,step,loss,gradient,apart";
/// Longest time between two checkpoints.
const SAVE_EVERY: Duration = Duration::from_secs(20);

/// A run over tasks one after another.
#[derive(Debug)]
pub struct ContinualRun<'d> {
    config: ContinualConfig,
    device: &'d Device,
    folder: RunFolder,
    sequence: Sequence,
    /// What stands for all of its rows.
    digest: u64,
    /// How files with rows of the tasks are read, and which classes each has.
    files: Option<(Format, Vec<Among>)>,
    /// What came of the methods that are through.
    finished: Vec<Outcome>,
    rows: Vec<String>,
    /// Whether there is to be an event file, and it.
    wants_events: bool,
    events: Option<EventFile>,
    /// Whether it goes on with what there was.
    resumes: bool,
    /// Of the method under way the seconds of earlier parts of the run.
    before: f64,
}

impl<'d> ContinualRun<'d> {
    /// Opens a run; of one that was begun, goes on where it stopped.
    ///
    /// # Errors
    /// Those of the settings, of the files that tasks are made of, and of the folder.
    pub fn open(
        config: &ContinualConfig,
        device: &'d Device,
        path: &Path,
        resume: bool,
    ) -> Result<ContinualRun<'d>> {
        config.validate()?;
        let (sequence, files) = tasks::sequence(config)?;
        // What does not fit is said before anything is written.
        let networks = config.networks(&sequence)?;
        Learner::new(device, &sequence, networks, config.learning(config.method), config.seed)?;
        let folder = if resume { RunFolder::open(path)? } else { RunFolder::fresh(path)? };
        folder.ensure()?;
        folder.write(SETTINGS, &config.to_toml()?)?;
        let config = config.clone();
        Ok(ContinualRun {
            config,
            device,
            folder,
            digest: sequence.digest(),
            sequence,
            files,
            finished: vec![],
            rows: vec![],
            wants_events: false,
            events: None,
            resumes: resume,
            before: 0.0,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Has [`ContinualRun::run`] write an event file for TensorBoard beside `metrics.csv`; a run that goes on goes on with the one that it has.
    pub fn write_events(&mut self) {
        self.wants_events = true;
    }

    /// Adds to the event file what it lacks: numbers by method, over all tasks.
    fn add_events(&mut self) -> Result<()> {
        let Some(events) = &mut self.events else { return Ok(()) };
        for at in events.steps()..self.rows.len() {
            let mut cells = self.rows[at].split(',');
            let method = cells.next().unwrap_or_default();
            let names = ["loss", "gradient", "apart"].map(|name| format!("{name}/{method}"));
            let numbers = cells.skip(2).map(|cell| cell.parse().unwrap_or(f64::NAN));
            let scalars: Vec<(&str, f64)> = names.iter().map(String::as_str).zip(numbers).collect();
            events.add(at as u64 + 1, &scalars)?;
        }
        events.flush()
    }

    /// The methods, the run's own first.
    fn methods(&self) -> Vec<Method> {
        std::iter::once(self.config.method).chain(self.config.beside.iter().copied()).collect()
    }

    /// Learns by every method, judges and reports.
    ///
    /// # Errors
    /// Those of the device, of writing, and [`Error::Diverged`] of the run's own method, after which the folder holds the last good weights.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<ContinualStatus> {
        let mut going = self.restore()?;
        self.events = EventFile::of_run(self.folder.path(), self.wants_events)?;
        let methods = self.methods();
        while let Some(method) = methods.get(self.finished.len()).copied() {
            if let Some(stopped) = self.learn(method, going.take(), observer)? {
                return Ok(ContinualStatus::Stopped(stopped));
            }
        }
        let report = self.report();
        self.folder
            .write("report.json", &(serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"))?;
        self.draw(&report)?;
        Ok(ContinualStatus::Finished(Box::new(report)))
    }

    /// Learns by one method; the steps of all methods where it was stopped.
    fn learn(
        &mut self,
        method: Method,
        from: Option<LearnerState>,
        observer: &mut dyn Observer,
    ) -> Result<Option<u64>> {
        let sequence = self.sequence.clone();
        let networks = self.config.networks(&sequence)?;
        let learning = self.config.learning(method);
        let mut learner = Learner::new(self.device, &sequence, networks, learning, self.config.seed)?;
        if let Some(state) = from {
            learner.restore(&state)?;
        }
        let (began, mut saved) = (Instant::now(), Instant::now());
        let each = sequence.len() as u64 * self.config.learning.steps;
        let all = each * self.methods().len() as u64;
        let phase = format!("{}, task {}", method.name(), learner.at().0 + 1);
        observer.progress(&Progress {
            steps: all,
            step: each * self.finished.len() as u64,
            ..Progress::of(&phase)
        });
        let steps = |learner: &Learner<'_>, done: usize| each * done as u64 + each - learner.left();
        while learner.left() > 0 {
            let found = match learner.advance(u64::MAX) {
                Ok(found) => found,
                Err(e @ Error::Diverged(_)) if method != self.config.method => {
                    // The others are still worth a report.
                    log::warn!("{}: {e}: it is left out of the report", method.name());
                    self.config.beside.retain(|m| *m != method);
                    self.folder.write(SETTINGS, &self.config.to_toml()?)?;
                    self.before = 0.0;
                    return Ok(None);
                }
                Err(e) => {
                    self.save(&mut learner, began).unwrap_or_else(|e| log::warn!("{e}: nothing is saved"));
                    return Err(e);
                }
            };
            self.rows.push(row(method, &found));
            self.add_events()?;
            let done = steps(&learner, self.finished.len());
            let phase = format!("{}, task {}", method.name(), found.task + 1);
            observer.progress(&Progress {
                phase: &phase,
                step: done,
                steps: all,
                loss: found.loss,
                tasks_per_second: (self.config.learning.batch as f64 * (each - learner.left()) as f64)
                    / (self.before + began.elapsed().as_secs_f64()).max(1e-9),
                unit: "rows",
            });
            if observer.stop() && learner.left() > 0 {
                self.save(&mut learner, began)?;
                return Ok(Some(done));
            }
            if saved.elapsed() >= SAVE_EVERY {
                self.save(&mut learner, began)?;
                saved = Instant::now();
            }
        }
        self.finished.push(learner.outcome(self.before + began.elapsed().as_secs_f64()));
        self.before = 0.0;
        if method == self.config.method {
            self.save_own(&mut learner)?;
        }
        self.save_between()?;
        Ok(None)
    }
}

/// A line of `metrics.csv`.
fn row(method: Method, found: &Learned) -> String {
    let text = |x: f64| if x.is_nan() { String::new() } else { format!("{x}") };
    let rest = [found.loss, found.norm, found.apart].map(text).join(",");
    format!("{},{},{},{rest}", method.name(), found.task + 1, found.step)
}

/// What the checkpoint says beside numbers.
#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    finished: Vec<Outcome>,
    /// Of the method under way where it is.
    going: Option<Going>,
    seconds: f64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Going {
    task: usize,
    step: u64,
    first: Vec<f64>,
    matrix: Vec<Vec<f64>>,
    found: [usize; 2],
    classified: usize,
}

impl ContinualRun<'_> {
    /// Writes all that the method under way goes on from.
    fn save(&mut self, learner: &mut Learner<'_>, began: Instant) -> Result<()> {
        let state = learner.state()?;
        let seconds = self.before + began.elapsed().as_secs_f64();
        let going = Going {
            task: state.task,
            step: state.step,
            first: state.first,
            matrix: state.matrix,
            found: state.found,
            classified: state.classified,
        };
        self.write(Some(going), state.values, seconds)
    }

    /// Writes what there is between two methods.
    fn save_between(&mut self) -> Result<()> {
        self.write(None, vec![], 0.0)
    }

    fn write(&mut self, going: Option<Going>, values: Vec<(String, Vec<f32>)>, seconds: f64) -> Result<()> {
        let mut c = Checkpoint::default();
        for (name, values) in values {
            c.tensors.insert(name, Tensor::f32(&[values.len()], values));
        }
        let written = Written { finished: self.finished.clone(), going, seconds };
        c.metadata.insert("continual".into(), serde_json::to_string(&written).unwrap_or_default());
        c.metadata.insert("config".into(), self.config.to_toml()?);
        c.metadata.insert("rows".into(), self.digest.to_string());
        self.folder.write(METRICS, &format!("{COLUMNS}\n{}\n", self.rows.join("\n")))?;
        c.save(&self.folder.file(STATE))
    }

    /// What the checkpoint holds, where there is one: of the method under way its state.
    fn restore(&mut self) -> Result<Option<LearnerState>> {
        let path = self.folder.file(STATE);
        if !path.is_file() {
            if self.resumes {
                log::warn!(
                    "{}: there is no {STATE}: it starts from the beginning",
                    self.folder.path().display()
                );
            }
            return Ok(None);
        }
        let c = Checkpoint::load(&path)?;
        let wrong = |what: &str| Error::checkpoint(&path, what);
        if c.metadata.get("config") != Some(&self.config.to_toml()?) {
            return Err(wrong(
                "was written with other settings than those in continual.toml: put these back, or begin another run",
            ));
        }
        if c.metadata.get("rows") != Some(&self.digest.to_string()) {
            return Err(wrong(
                "was written with other rows: the files that the tasks are made of have changed since; put them back, or begin another run",
            ));
        }
        let text =
            c.metadata.get("continual").ok_or_else(|| wrong("says nothing of tasks one after another"))?;
        let written: Written =
            serde_json::from_str(text).map_err(|_| wrong("says nothing of tasks one after another"))?;
        self.finished = written.finished;
        self.before = written.seconds;
        let lines = std::fs::read_to_string(self.folder.file(METRICS)).unwrap_or_default();
        self.rows = lines.lines().skip(1).map(str::to_string).collect();
        let Some(g) = written.going else { return Ok(None) };
        // What was written behind the checkpoint happens again.
        let now = self.methods().get(self.finished.len()).map_or("", |m| m.name());
        let ahead = |line: &str| {
            let mut cells = line.split(',');
            let of = cells.next() == Some(now);
            let mut number = || cells.next().and_then(|c| c.parse::<u64>().ok()).unwrap_or(0);
            of && (number(), number()) > (g.task as u64 + 1, g.step)
        };
        self.rows.retain(|line| !ahead(line));
        let mut values = vec![];
        for (name, tensor) in &c.tensors {
            values.push((name.clone(), c.f32(name, &tensor.shape)?.to_vec()));
        }
        Ok(Some(LearnerState {
            values,
            task: g.task,
            step: g.step,
            first: g.first,
            matrix: g.matrix,
            found: g.found,
            classified: g.classified,
        }))
    }

    fn report(&self) -> ContinualReport {
        let c = &self.config;
        let own = self.finished[0].clone();
        ContinualReport {
            task: c.task.clone(),
            source: c.source.clone(),
            tasks: self.sequence.tasks.iter().map(|t| t.name.clone()).collect(),
            scenario: c.scenario.name().into(),
            classes: self.sequence.has_classes(),
            device: self.device.name(),
            seed: c.seed,
            steps: c.learning.steps,
            target_weights: c.networks(&self.sequence).map_or(0, |n| n.target().layout().len()),
            continual: own,
            beside: self.finished[1..].to_vec(),
        }
    }

    /// Pictures of all methods.
    fn draw(&self, r: &ContinualReport) -> Result<()> {
        let all: Vec<&Outcome> = std::iter::once(&r.continual).chain(&r.beside).collect();
        let panels: Vec<MatrixPanel<'_>> =
            all.iter().map(|o| MatrixPanel::new(&o.method, &o.matrix)).collect();
        let (name, what) = match r.classes {
            true => ("Accuracy on each task, percent", "mean accuracy on the tasks so far"),
            false => ("Mean squared error on each task", "mean squared error on the tasks so far"),
        };
        matrices(&self.folder.file("matrix.svg"), name, !r.classes, &panels)?;
        let points: Vec<Vec<(f64, f64)>> = all
            .iter()
            .map(|o| {
                let mean = |(i, row): (usize, &Vec<f64>)| {
                    ((i + 1) as f64, row[..=i].iter().sum::<f64>() / (i + 1) as f64)
                };
                o.matrix.iter().enumerate().map(mean).collect()
            })
            .collect();
        let drawn: Vec<Curve<'_>> =
            all.iter().zip(&points).map(|(o, points)| Curve { label: &o.method, points }).collect();
        curves(
            &self.folder.file("tasks.svg"),
            "Tasks one after another",
            "tasks learned",
            what,
            !r.classes,
            &drawn,
        )
    }

    /// Writes the networks of the tasks, to predict with.
    fn save_own(&mut self, learner: &mut Learner<'_>) -> Result<()> {
        let Some((format, places)) = &self.files else { return Ok(()) };
        networks::save(&self.folder, learner, &self.sequence, (format, places))
    }
}
