//! Sweeps: a run for each combination of values of some settings and for each seed, side by side, and which of them is best on validation tasks.
//!
//! Each is a run like any other, in a folder of its own, with the bits that it would have alone. A sweep that was stopped goes on where each of its runs stopped,
//! and takes in values that were added. With halving (Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization")
//! all are trained for a ninth of their steps, the better third of the configurations goes on to a third of them, and of these the better third to the end.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::{Difference, Experiment, Observer, Progress, Report, RunStatus, Validation};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::report::plot::{DotRow, dots};
use crate::run::Device;
use crate::task::Metric;

/// Runs of a sweep at most.
const MOST_RUNS: usize = 10_000;
/// Steps between two places where a run can be compared.
const WINDOW: u64 = crate::task::WINDOW as u64;
/// Of so many configurations one goes on.
const KEPT_OF: usize = 3;

/// A setting, and the values that it takes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Axis {
    /// The setting: `adapt.rate`.
    pub key: String,
    /// Its values, as they stand in a file.
    pub values: Vec<String>,
}

impl Axis {
    /// Reads `KEY=VALUE,VALUE,…`; commas in brackets, braces and quotes belong to a value.
    ///
    /// # Errors
    /// [`Error::Config`] naming what is missing.
    ///
    /// ```
    /// use hyperloom::experiment::sweep::Axis;
    /// let axis = Axis::parse(r#"model.generator=film,{ kind = "chunked", chunk = 64 }"#)?;
    /// assert_eq!(axis.values, ["film", r#"{ kind = "chunked", chunk = 64 }"#]);
    /// # Ok::<(), hyperloom::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Axis> {
        let fail = |what: &str| {
            let message = format!("{what}: KEY=VALUE,VALUE,… is needed, for example adapt.rate=0.1,0.01");
            Err(Error::config(text, message))
        };
        let Some((key, values)) = text.split_once('=') else { return fail("has no values") };
        let (mut found, mut depth, mut quote) = (vec![String::new()], 0, None);
        for c in values.chars() {
            match (c, quote) {
                (',', None) if depth == 0 => {
                    found.push(String::new());
                    continue;
                }
                ('"' | '\'', None) => quote = Some(c),
                (_, Some(q)) if c == q => quote = None,
                ('[' | '{', None) => depth += 1,
                (']' | '}', None) => depth -= 1,
                _ => {}
            }
            found.last_mut().expect("there is one always").push(c);
        }
        let values: Vec<String> = found.iter().map(|v| v.trim().to_string()).collect();
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return fail("has an empty key or value");
        }
        if let Some(twice) = values.iter().enumerate().find(|(i, v)| values[..*i].contains(v)) {
            return fail(&format!("names {} twice", twice.1));
        }
        Ok(Axis { key: key.trim().to_string(), values })
    }
}

/// What is run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sweep {
    /// What all runs have in common.
    pub base: Config,
    /// What is varied.
    pub axes: Vec<Axis>,
    /// Seeds: that of `base`, and those after it.
    pub seeds: u64,
    /// Whether hopeless configurations are given up.
    pub halving: bool,
    /// Runs side by side, each with its share of the cores.
    pub jobs: usize,
}

/// A run of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SweepRun {
    /// What it differs by.
    pub settings: IndexMap<String, String>,
    /// Its seed.
    pub seed: u64,
    /// Its folder, in that of the sweep.
    pub folder: PathBuf,
    /// How far it is.
    pub state: RunState,
    /// How good it is on validation tasks.
    pub validation: Option<Validation>,
    /// How good it was when it was compared, after so many steps.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub compared: IndexMap<u64, f64>,
    /// How good it is on unseen tasks, where it is finished.
    pub test: Option<f64>,
    /// Parameters of its hypernetwork.
    pub parameters: Option<usize>,
    /// Seconds of training.
    pub seconds: Option<f64>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// Not begun.
    Waiting,
    /// Stopped after so many steps; others were better.
    GivenUp(u64),
    /// Stopped after so many steps; it goes on with the sweep.
    Stopped(u64),
    /// Trained and judged.
    Finished,
    /// It cannot be trained.
    Failed(String),
}

/// A combination of values, over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Configuration {
    /// The values.
    pub settings: IndexMap<String, String>,
    /// Its runs, by their places among all.
    pub runs: Vec<usize>,
    /// Mean over seeds on validation tasks; none where a run has failed or is not there yet.
    pub validation: Option<f64>,
    /// Over seeds; of one seed over its tasks.
    pub standard_error: Option<f64>,
    /// Mean over seeds on unseen tasks, where all are finished.
    pub test: Option<f64>,
    /// Whether it cannot be told from the best: within one standard error of it.
    pub within_error: bool,
}

/// What a sweep found: `sweep.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SweepReport {
    /// What runs are judged by.
    pub metric: String,
    /// Whether less of it is better.
    pub less_is_better: bool,
    /// Seconds that the sweep took, all times that it went on together.
    pub seconds: f64,
    /// Configurations, the best first; those that are not judged last.
    pub configurations: Vec<Configuration>,
    /// All runs.
    pub runs: Vec<SweepRun>,
}

/// Who watches a sweep.
pub trait SweepObserver: Sync {
    /// Whether to stop, with good checkpoints.
    fn stop(&self) -> bool {
        false
    }
    /// A run has come to an end of some kind; `left` are those that are still to come, in this round.
    fn ended(&self, _run: &SweepRun, _left: usize) {}
}

/// The file of what a sweep found.
pub const SWEEP: &str = "sweep.json";
/// The picture of it.
pub const SWEEP_PICTURE: &str = "sweep.svg";
/// The settings that all runs have in common.
const COMMON: &str = "sweep.toml";
/// The settings of the best configuration.
pub const BEST: &str = "best.toml";

/// A run that is to be done.
struct Job {
    config: Config,
    run: SweepRun,
}

/// Stops a run with the sweep.
struct Within<'a>(&'a dyn SweepObserver);

impl Observer for Within<'_> {
    fn progress(&mut self, _: &Progress<'_>) {}

    fn stop(&self) -> bool {
        self.0.stop()
    }
}

impl Sweep {
    /// A sweep of these settings over `base`, one run after another.
    ///
    /// # Errors
    /// [`Error::Config`] for a combination that makes no sense, and for more runs than are possible.
    pub fn new(base: Config, axes: Vec<Axis>, seeds: u64) -> Result<Sweep> {
        let sweep = Sweep { base, axes, seeds, halving: false, jobs: 1 };
        sweep.all()?;
        Ok(sweep)
    }

    /// All runs, those of a configuration one after another.
    fn all(&self) -> Result<Vec<Job>> {
        let fail = |key: &str, message: String| Err(Error::config(key, message));
        let runs = self.axes.iter().map(|a| a.values.len()).fold(self.seeds as usize, usize::saturating_mul);
        if !(1..=MOST_RUNS).contains(&runs) {
            return fail("--over", format!("{runs} runs: 1 to {MOST_RUNS} are possible"));
        }
        for (i, axis) in self.axes.iter().enumerate() {
            if self.axes[..i].iter().any(|a| a.key == axis.key) {
                return fail(&axis.key, "is varied twice: name all its values at once".into());
            }
            if ["seed", "device", "task"].contains(&&axis.key[..]) {
                let message =
                    "cannot be varied: --seeds N takes N seeds, and tasks and devices are a sweep each";
                return fail(&axis.key, message.into());
            }
            // `model.target` is no column but the network's widths.
            let (of, name) = axis.key.split_once('.').unwrap_or_default();
            let of_data = of != "model" && ["target", "group", "file", "kind"].contains(&name);
            if of == "eval" || of_data {
                let message =
                    "cannot be varied: it says what runs are judged on, and they could not be compared";
                return fail(&axis.key, message.into());
            }
        }
        let text = self.base.to_toml()?;
        let mut settings: Vec<IndexMap<String, String>> = vec![IndexMap::new()];
        for axis in &self.axes {
            let one = |s: &IndexMap<String, String>, value: &String| {
                let mut s = s.clone();
                s.insert(axis.key.clone(), value.clone());
                s
            };
            settings = settings.iter().flat_map(|s| axis.values.iter().map(|v| one(s, v))).collect();
        }
        let mut jobs: Vec<Job> = Vec::with_capacity(runs);
        for settings in settings {
            let config = Config::parse_over(&text, "configuration", None, &assigned(&settings))?;
            for seed in 0..self.seeds {
                let config = Config { seed: self.base.seed.saturating_add(seed), ..config.clone() };
                config.validate()?;
                let folder = PathBuf::from("runs").join(folder_name(&settings, config.seed));
                if let Some(other) = jobs.iter().find(|j| j.run.folder == folder) {
                    let (a, b) = (described(&other.run.settings), described(&settings));
                    return fail("--over", format!("'{a}' and '{b}' would have one folder"));
                }
                let run = SweepRun {
                    settings: settings.clone(),
                    seed: config.seed,
                    folder,
                    state: RunState::Waiting,
                    validation: None,
                    compared: IndexMap::new(),
                    test: None,
                    parameters: None,
                    seconds: None,
                };
                jobs.push(Job { config, run });
            }
        }
        Ok(jobs)
    }

    /// Does all runs that are not finished, and leaves `sweep.json`, `sweep.svg`, `best.toml` and a folder for each run in `out`.
    ///
    /// # Errors
    /// [`Error::Config`] where a folder has a run of other settings, and where halving is asked for and runs cannot be compared before their end; those of
    /// the file system. What a run fails by is told in its row.
    pub fn run(&self, device: &Device, out: &Path, observer: &dyn SweepObserver) -> Result<SweepReport> {
        let begun = std::time::Instant::now();
        let before = fs::read_to_string(out.join(SWEEP)).ok();
        let before: Option<SweepReport> = before.and_then(|text| serde_json::from_str(&text).ok());
        let mut jobs = self.all()?;
        for job in &mut jobs {
            let known = before.iter().flat_map(|b| &b.runs).find(|run| run.folder == job.run.folder);
            if let Some(known) = known.filter(|run| out.join(&run.folder).is_dir()) {
                job.run.compared.clone_from(&known.compared);
                // What cannot be trained is not tried again: going on behind the refused steps would hide why.
                if matches!(known.state, RunState::Failed(_)) {
                    job.run.state = known.state.clone();
                }
            }
        }
        let before = before.map_or(0.0, |b| b.seconds);
        // What does not fit is said before anything is trained.
        let setup = super::setup::Setup::load(&jobs[0].config)?;
        let metric = setup.source().likelihood().metric;
        if self.halving && self.axes.iter().any(|axis| axis.key == "train.steps") {
            return Err(Error::config(
                "train.steps",
                "cannot be varied with --halving, which compares runs after as many steps",
            ));
        }
        if self.halving && setup.source().members() > 1 {
            return Err(Error::config(
                "--halving",
                "models of several folds are trained one after another, and cannot be compared before their end: model.members = 1",
            ));
        }
        drop(setup);
        self.settle(out)?;
        let mut going: Vec<usize> = (0..jobs.len()).collect();
        for rung in self.rungs() {
            self.round(&mut jobs, &going, rung, device, out, observer)?;
            let report = self.report(&jobs, metric, before + begun.elapsed().as_secs_f64());
            report.write(out, &self.base)?;
            if observer.stop() {
                return Ok(report);
            }
            if let Some(step) = rung {
                let kept = self.kept(&jobs, &going, step, metric);
                for i in going.iter().filter(|i| !kept.contains(i)) {
                    if let RunState::Stopped(at) = jobs[*i].run.state {
                        jobs[*i].run.state = RunState::GivenUp(at);
                    }
                }
                going = kept;
            }
        }
        let report = self.report(&jobs, metric, before + begun.elapsed().as_secs_f64());
        report.write(out, &self.base)?;
        Ok(report)
    }

    /// Notes what all runs have in common, or refuses a folder that has a sweep over other settings.
    fn settle(&self, out: &Path) -> Result<()> {
        let (file, text) = (out.join(COMMON), self.base.to_toml()?);
        if !file.is_file() {
            fs::create_dir_all(out).map_err(Error::io("make", out))?;
            return write_atomically(&file, text.as_bytes());
        }
        let there = Config::read(&file, None)?;
        let mut now = Config::parse(&text, "configuration", None)?;
        now.device.clone_from(&there.device);
        if there == now {
            return Ok(());
        }
        let (now, then) = (now.to_toml()?, there.to_toml()?);
        let (a, b) = now.lines().zip(then.lines()).find(|(a, b)| a != b).unwrap_or(("more", "less"));
        Err(Error::config(
            file.display().to_string(),
            format!(
                "the sweep in this folder was begun with '{b}', and now it is '{a}': take another --out, or put it back"
            ),
        ))
    }

    /// Of the runs in `going` those of the better third of configurations, by how good they were after `step` steps. Those that were trained for longer without being
    /// compared there are kept beside them.
    fn kept(&self, jobs: &[Job], going: &[usize], step: u64, metric: Metric) -> Vec<usize> {
        let seeds = self.seeds as usize;
        let (mut compared, mut kept): (Vec<(f64, Vec<usize>)>, Vec<usize>) = (vec![], vec![]);
        for runs in going.chunk_by(|a, b| a / seeds == b / seeds) {
            let scores: Option<Vec<f64>> =
                runs.iter().map(|i| jobs[*i].run.compared.get(&step).copied()).collect();
            match scores {
                Some(scores) => compared.push((scores.iter().sum::<f64>() / seeds as f64, runs.to_vec())),
                None if runs.iter().all(|i| jobs[*i].run.state == RunState::Finished) => kept.extend(runs),
                None => {}
            }
        }
        compared.sort_by(|a, b| order(metric, a.0, b.0));
        let most = compared.len().div_ceil(KEPT_OF);
        kept.extend(compared.into_iter().take(most).flat_map(|(_, runs)| runs));
        kept.sort_unstable();
        kept
    }

    /// How far runs go before they are compared; `None`: to their end.
    fn rungs(&self) -> Vec<Option<u64>> {
        let steps = self.base.train.steps;
        let configurations: usize = self.axes.iter().map(|a| a.values.len()).product();
        let mut rungs: Vec<Option<u64>> = Vec::new();
        if self.halving {
            let many = configurations > KEPT_OF * KEPT_OF;
            // Training stops between windows of steps.
            let parts =
                many.then_some(9).into_iter().chain([3]).map(|part| (steps / part).next_multiple_of(WINDOW));
            rungs.extend(parts.filter(|step| (1..steps).contains(step)).map(Some));
            rungs.dedup();
        }
        rungs.push(None);
        rungs
    }

    /// Brings the runs in `going` to a step, or to their end.
    fn round(
        &self,
        jobs: &mut [Job],
        going: &[usize],
        rung: Option<u64>,
        device: &Device,
        out: &Path,
        observer: &dyn SweepObserver,
    ) -> Result<()> {
        let waiting = Mutex::new(going.iter().rev().copied().collect::<Vec<usize>>());
        let ended: Mutex<Vec<(usize, SweepRun)>> = Mutex::default();
        let shared: &[Job] = jobs;
        let many = self.jobs.clamp(1, going.len().max(1));
        let work = || {
            while !observer.stop() {
                let next = waiting.lock().map(|mut w| w.pop()).unwrap_or_default();
                let Some(i) = next else { break };
                let run = shared[i].done(rung, device, out, observer);
                if let Ok(mut ended) = ended.lock() {
                    observer.ended(&run, going.len() - ended.len() - 1);
                    ended.push((i, run));
                }
            }
        };
        if many == 1 {
            work();
        } else {
            let threads = (std::thread::available_parallelism().map_or(1, |n| n.get()) / many).max(1);
            let pools = (0..many).map(|_| rayon::ThreadPoolBuilder::new().num_threads(threads).build());
            let pools = pools.collect::<std::result::Result<Vec<_>, _>>();
            let pools = pools.map_err(|e| Error::Device(format!("no threads for runs side by side: {e}")))?;
            std::thread::scope(|s| pools.iter().for_each(|pool| drop(s.spawn(|| pool.install(work)))));
        }
        for (i, run) in ended.into_inner().unwrap_or_default() {
            jobs[i].run = run;
        }
        Ok(())
    }

    fn report(&self, jobs: &[Job], metric: Metric, seconds: f64) -> SweepReport {
        let runs: Vec<SweepRun> = jobs.iter().map(|job| job.run.clone()).collect();
        let starts = (0..runs.len()).step_by(self.seeds as usize);
        let mut configurations: Vec<Configuration> =
            starts.map(|at| Configuration::of(&runs, at..at + self.seeds as usize)).collect();
        // How far a run was trained counts first: one that was given up is not held against one that was not.
        let reached = |c: &Configuration| c.runs.iter().map(|i| runs[*i].state.order()).min().unwrap_or(0);
        configurations.sort_by(|a, b| {
            let by_score = match (a.validation, b.validation) {
                (Some(a), Some(b)) => order(metric, a, b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            };
            reached(b).cmp(&reached(a)).then(by_score)
        });
        if let Some((best, error)) =
            configurations.first().and_then(|c| Some((c.validation?, c.standard_error?)))
        {
            let end = configurations.first().map_or(0, reached);
            for c in configurations.iter_mut().filter(|c| reached(c) == end) {
                c.within_error = c.validation.is_some_and(|v| (v - best).abs() <= error);
            }
        }
        SweepReport {
            metric: metric.name().into(),
            less_is_better: metric.better(0.0, 1.0),
            seconds,
            configurations,
            runs,
        }
    }
}

impl RunState {
    /// Of two runs the one that was trained for longer has the larger number.
    fn order(&self) -> u64 {
        match self {
            RunState::Failed(_) => 0,
            RunState::Waiting => 1,
            RunState::GivenUp(step) | RunState::Stopped(step) => step + 2,
            RunState::Finished => u64::MAX,
        }
    }
}

impl Configuration {
    fn of(runs: &[SweepRun], range: std::ops::Range<usize>) -> Configuration {
        let mine = &runs[range.clone()];
        let all = |of: &dyn Fn(&SweepRun) -> Option<f64>| mine.iter().map(of).collect::<Option<Vec<f64>>>();
        let mean = |v: &Vec<f64>| v.iter().sum::<f64>() / v.len() as f64;
        let scores = all(&|r| Some(r.validation?.score).filter(|s| s.is_finite()));
        let standard_error = match &scores {
            Some(scores) if scores.len() > 1 => {
                Some(Difference::of(scores, &vec![0.0; scores.len()]).standard_error)
            }
            _ => mine.first().and_then(|r| r.validation?.standard_error),
        };
        Configuration {
            settings: mine.first().map(|r| r.settings.clone()).unwrap_or_default(),
            runs: range.collect(),
            validation: scores.as_ref().map(mean),
            standard_error,
            test: all(&|r| r.test).as_ref().map(mean),
            within_error: false,
        }
    }

    /// Its settings in a line.
    pub fn name(&self) -> String {
        described(&self.settings)
    }
}

impl SweepReport {
    fn write(&self, out: &Path, base: &Config) -> Result<()> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        write_atomically(&out.join(SWEEP), text.as_bytes())?;
        let judged: Vec<(String, &Configuration)> =
            self.configurations.iter().filter(|c| c.validation.is_some()).map(|c| (c.name(), c)).collect();
        let rows: Vec<DotRow<'_>> = (judged.iter())
            .map(|(name, c)| {
                let row = DotRow::new(name, c.validation.unwrap_or(f64::NAN));
                row.with_error(c.standard_error).with_beside(c.test)
            })
            .collect();
        let names = ["validation tasks", "unseen tasks"];
        dots(&out.join(SWEEP_PICTURE), "Configurations, the best first", &self.metric, names, &rows)?;
        let best = self.configurations.first().filter(|c| c.validation.is_some());
        let Some(best) = best else { return Ok(()) };
        let over = assigned(&best.settings);
        let config = Config::parse_over(&base.to_toml()?, "configuration", None, &over)?;
        write_atomically(&out.join(BEST), config.to_toml()?.as_bytes())
    }
}

impl Job {
    /// The run brought to a step or to its end, and judged.
    fn done(&self, rung: Option<u64>, device: &Device, out: &Path, observer: &dyn SweepObserver) -> SweepRun {
        let mut run = self.run.clone();
        if matches!(run.state, RunState::Failed(_)) {
            return run;
        }
        match self.try_done(rung, device, out, observer, &mut run) {
            Ok(()) => {}
            Err(e) => {
                let again = format!("{e} (to try it again, remove {})", out.join(&run.folder).display());
                run.state = RunState::Failed(again);
            }
        }
        run
    }

    fn try_done(
        &self,
        rung: Option<u64>,
        device: &Device,
        out: &Path,
        observer: &dyn SweepObserver,
        run: &mut SweepRun,
    ) -> Result<()> {
        let folder = out.join(&self.run.folder);
        let finished = |run: &mut SweepRun, report: &Report| {
            run.state = RunState::Finished;
            run.validation = report.validation;
            run.test = match (&report.held_out, &report.test) {
                (Some(h), _) => Some(h.chosen),
                (None, Some(t)) => Some(t.bits_per_character.unwrap_or(t.accuracy)),
                (None, None) => None,
            };
            (run.parameters, run.seconds) = (Some(report.hyper_parameters), Some(report.seconds));
        };
        let report = folder.join("report.json");
        if report.is_file() {
            let text = fs::read_to_string(&report).map_err(Error::io("read", &report))?;
            let found: Report = serde_json::from_str(&text)
                .map_err(|e| Error::config(report.display().to_string(), format!("is no report: {e}")))?;
            finished(run, &found);
            return Ok(());
        }
        let begun = folder.join("config.toml").is_file();
        let mut experiment = Experiment::open(&self.config, device, &folder, begun)?;
        experiment.pause_at(rung);
        let before = experiment.position.step;
        match experiment.run(&mut Within(observer))? {
            RunStatus::Finished(found) => finished(run, &found),
            RunStatus::Stopped(position) => {
                let trained = position.hyper || experiment.setup().source().single().is_some();
                run.state = RunState::Stopped(if trained { position.step } else { 0 });
                run.parameters = Some(experiment.setup().meta().layout().len());
                // Where the sweep is stopped nothing is compared.
                if let (Some(step), false) = (rung, observer.stop()) {
                    run.validation = experiment.validation()?;
                    // One that was trained further than that before says nothing of how good it was there.
                    if before < step + WINDOW
                        && let Some(found) = run.validation
                    {
                        run.compared.entry(step).or_insert(found.score);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The better score first.
fn order(metric: Metric, a: f64, b: f64) -> Ordering {
    metric.better(b, a).cmp(&metric.better(a, b))
}

/// Settings in a line.
fn described(settings: &IndexMap<String, String>) -> String {
    if settings.is_empty() {
        return "as given".into();
    }
    let all: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    all.join(", ")
}

/// Settings as they are given on a command line.
fn assigned(settings: &IndexMap<String, String>) -> Vec<String> {
    settings.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The name of a run's folder.
fn folder_name(settings: &IndexMap<String, String>, seed: u64) -> String {
    let seed = format!("seed={seed}");
    let name = assigned(settings).into_iter().chain([seed]).collect::<Vec<String>>().join(",");
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._=-,".contains(c) { c } else { '-' };
    let shown: String = name.chars().map(plain).collect();
    if shown == name {
        return name;
    }
    // Names that only differ in what a file's name cannot hold have an end of their own (FNV-1a).
    let hash = name.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    format!("{shown},{hash:08x}")
}
