//! A whole search in a folder: rows, a hypernetwork that writes weights for any architecture, candidates by rounds, the best ones trained,
//! the report.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::config::{Config, TaskKind};
use super::run_folder::RunFolder;
use super::setup::Setup;
use super::source::{PicturesConfig, SingleTask};
use super::{Observer, Progress};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::data::labelled::Labelled;
use crate::error::{Error, Result};
use crate::report::plot::{Marked, marked};
use crate::rng::Rng;
use crate::run::Device;
use crate::search::{
    Architecture, Candidate, ChoiceRule, Cost, GeneratorSettings, GraphHypernetwork, Masked, Member,
    Population, Space, TrainSettings, rank_correlation,
};
use crate::spec::count;

/// Random numbers of the rounds, and of those that the hypernetwork goes on learning on.
const ROUND: u64 = 0x5ea0;
/// Longest time between two checkpoints of the hypernetwork.
const SAVE_EVERY: Duration = Duration::from_secs(20);
/// Steps of the hypernetwork between two looks at the clock.
const SOME: u64 = 20;
/// Candidates that the hypernetwork goes on learning on are among the best of this share.
const LEADING: usize = 4;

/// How a candidate's accuracy is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Evaluator {
    /// By the network with weights that a hypernetwork writes, on validation rows.
    #[default]
    Generated,
    /// By the network trained for a part of the steps of a whole training.
    Trained,
}

/// Settings of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SearchConfig {
    /// Seed of all that is drawn.
    pub seed: u64,
    /// auto, cpu, gpu or gpu:N.
    pub device: String,
    /// A space by its name, or a TOML file.
    pub space: String,
    /// Candidates at most.
    pub budget: usize,
    /// How candidates are chosen.
    pub choice: ChoiceRule,
    /// How their accuracy is predicted.
    pub evaluator: Evaluator,
    /// Candidates of a round.
    pub round: usize,
    /// Rounds without a better candidate after which the search ends (not given: none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Of `probability`: a difference in predicted accuracy that makes a candidate e times as likely.
    pub temperature: f64,
    /// Of `trained`: the share of the steps of a whole training.
    pub share: f64,
    /// Of `generated`: the share of the hypernetwork's steps that are done between rounds, half of them on leading candidates.
    pub feedback: f64,
    /// How many of the best candidates are trained.
    pub best: usize,
    /// Seeds with which each of them is trained.
    pub seeds: usize,
    /// Other candidates that are trained once, evenly over all predictions, to tell how good these are.
    pub checked: usize,
    /// The rows.
    pub pictures: PicturesConfig,
    /// The hypernetwork.
    pub hypernetwork: GeneratorSettings,
    /// How the best are trained.
    pub train: TrainSettings,
}

impl Default for SearchConfig {
    fn default() -> SearchConfig {
        SearchConfig {
            seed: 0,
            device: "auto".into(),
            space: "cell-1d".into(),
            budget: 256,
            choice: ChoiceRule::default(),
            evaluator: Evaluator::default(),
            round: 32,
            patience: None,
            temperature: 0.02,
            share: 0.1,
            feedback: 0.2,
            best: 3,
            seeds: 3,
            checked: 12,
            pictures: PicturesConfig { validation: 0.2, ..PicturesConfig::default() },
            hypernetwork: GeneratorSettings::default(),
            train: TrainSettings::default(),
        }
    }
}

impl SearchConfig {
    /// Settings as a file holds them, with single ones (`budget=64`) over it.
    ///
    /// # Errors
    /// What no search has, or what is out of range.
    pub fn parse(text: &str, origin: &str, over: &[String]) -> Result<SearchConfig> {
        let wrong = |e: toml::de::Error| Error::config(origin, e.message().to_string());
        let mut table: toml::Table = text.parse().map_err(wrong)?;
        for one in over {
            super::config::set(&mut table, one)?;
        }
        let config: SearchConfig = toml::Value::Table(table).try_into().map_err(wrong)?;
        config.validate()?;
        Ok(config)
    }

    /// As a file holds them.
    ///
    /// # Errors
    /// None of settings that were read.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config("search.toml", e.to_string()))
    }

    /// Refuses what is out of range.
    ///
    /// # Errors
    /// The setting, and its range.
    pub fn validate(&self) -> Result<()> {
        let h = &self.hypernetwork;
        let whole = [
            ("budget", self.budget, 1, 100_000),
            ("round", self.round, 1, 4_096),
            ("best", self.best, 1, 100),
            ("seeds", self.seeds, 1, 100),
            ("checked", self.checked, 0, 10_000),
            ("patience", self.patience.unwrap_or(1), 1, 100_000),
            ("train.batch", self.train.batch, 1, 65_536),
            ("train.steps", self.train.steps as usize, 1, 10_000_000),
            ("hypernetwork.steps", h.steps as usize, 1, 10_000_000),
            ("hypernetwork.architectures", h.architectures, 1, 4_096),
            ("hypernetwork.batch", h.batch, 1, 65_536),
            ("hypernetwork.width", h.width, 1, 4_096),
            ("hypernetwork.hidden", h.hidden, 1, 4_096),
            ("hypernetwork.blocks", h.blocks, 0, 64),
            ("hypernetwork.heads", h.heads, 1, 64),
        ];
        for (name, n, low, high) in whole {
            if !(low..=high).contains(&n) {
                let message = format!("{n} is out of range: it must lie from {low} to {high}");
                return Err(Error::config(name, message));
            }
        }
        let parts = [
            ("temperature", self.temperature, 1e-6, 1e3),
            ("share", self.share, 1e-4, 1.0),
            ("feedback", self.feedback, 0.0, 0.9),
            ("pictures.validation", self.pictures.validation, 0.01, 0.5),
            ("train.rate", self.train.rate, 1e-9, 10.0),
            ("train.decay", self.train.decay, 0.0, 10.0),
            ("train.clip", self.train.clip, 1e-9, 1e9),
            ("hypernetwork.rate", h.rate, 1e-9, 10.0),
            ("hypernetwork.decay", h.decay, 0.0, 10.0),
            ("hypernetwork.clip", h.clip, 1e-9, 1e9),
        ];
        for (name, x, low, high) in parts {
            if !(low..=high).contains(&x) {
                let message = format!("{x} is out of range: it must lie from {low} to {high}");
                return Err(Error::config(name, message));
            }
        }
        match h.width.is_multiple_of(h.heads) {
            true => Ok(()),
            false => {
                let message = format!("{} heads do not part {} channels evenly", h.heads, h.width);
                Err(Error::config("hypernetwork.heads", message))
            }
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SearchReport {
    /// Where it ran.
    pub device: String,
    /// Seconds in all.
    pub seconds: f64,
    /// Seconds of the hypernetwork's training.
    pub hypernetwork_seconds: f64,
    /// Numbers that the hypernetwork learned; 0 where there is none.
    pub hypernetwork_parameters: usize,
    /// Candidates that were judged.
    pub candidates: usize,
    /// Candidates a second, without the hypernetwork's training.
    pub candidates_per_second: f64,
    /// Choices of the space; some are the same network.
    pub space_size: f64,
    /// The best, trained.
    pub best: Vec<Found>,
    /// Others, trained once to tell how good predictions are.
    pub checked: Vec<Checked>,
    /// Spearman's rank correlation of predicted and true accuracy over all of the space that was checked, and that of the number of
    /// weights with true accuracy.
    pub rank_correlation: Option<f64>,
    /// The same of the number of weights.
    pub rank_correlation_of_parameters: Option<f64>,
}

/// One of the best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Found {
    /// The architecture.
    pub architecture: Architecture,
    /// The same in a line.
    pub key: String,
    /// The file with its layers, for `train --net`.
    pub net: String,
    /// Its weights.
    pub parameters: u64,
    /// Operations of a forward pass of one row.
    pub operations: u64,
    /// Accuracy on validation rows that was predicted.
    pub predicted: f64,
    /// Accuracy on test rows after training from scratch, the mean over seeds.
    pub accuracy: f64,
    /// Its standard deviation over seeds.
    pub deviation: f64,
    /// The same trained from generated weights; `None` where nothing generates them.
    pub from_generated: Option<f64>,
    /// Accuracy on test rows after each tenth of the steps, from scratch and from generated weights.
    pub curves: Vec<Vec<f64>>,
}

/// A candidate that was trained to check its prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Checked {
    /// The architecture in a line.
    pub key: String,
    /// Its weights.
    pub parameters: u64,
    /// Accuracy on validation rows that was predicted.
    pub predicted: f64,
    /// Accuracy on test rows after training.
    pub accuracy: f64,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchStatus {
    /// With a report.
    Finished(Box<SearchReport>),
    /// Stopped by the observer; `--resume` goes on.
    Stopped,
}

/// A search.
#[derive(Debug)]
pub struct Search<'d> {
    config: SearchConfig,
    device: &'d Device,
    folder: RunFolder,
    setup: Setup,
    space: Space,
    /// Shape of a row as the space's networks read it.
    row: Vec<usize>,
    rows: Labelled,
    test: Labelled,
    train: Vec<usize>,
    hypernetwork: Option<GraphHypernetwork>,
    candidates: Vec<Candidate>,
    /// Rounds done.
    rounds: u64,
    /// Seconds of earlier parts of the run, and of the hypernetwork.
    before: [f64; 2],
    started: Instant,
}

impl<'d> Search<'d> {
    /// Opens the rows and the folder; of a search that was begun, goes on where it stopped.
    ///
    /// # Errors
    /// Those of the rows, of the space, and of the folder.
    pub fn open(config: &SearchConfig, device: &'d Device, path: &Path, resume: bool) -> Result<Search<'d>> {
        config.validate()?;
        let mut tasks = Config::of(TaskKind::Pictures);
        tasks.seed = config.seed;
        tasks.pictures = Some(config.pictures.clone());
        tasks.validate()?;
        let setup = Setup::load(&tasks)?;
        let Some(task) = setup.source().single() else {
            return Err(Error::Shape("pictures are one task".into()));
        };
        let space = Space::read(&config.space)?;
        let row = match space.flat {
            true => vec![count(&task.rows.row)],
            false => task.rows.row.clone(),
        };
        space.check(row.len()).map_err(|e| Error::config("--space", format!("{}: {e}", config.space)))?;
        let outputs = task.rows.classes.len();
        let hypernetwork = match config.evaluator {
            Evaluator::Trained => None,
            Evaluator::Generated => {
                let masked = Masked::new(&space, &row, outputs).map_err(|e| {
                    let instead = "; --evaluator trained judges each by a short training";
                    Error::config("--space", format!("{}: {e}{instead}", config.space))
                })?;
                Some(GraphHypernetwork::new(masked, config.hypernetwork, config.seed))
            }
        };
        let train = trained_rows(task);
        let (rows, test) = ((*task.rows).clone(), (*task.test).clone());
        let folder = if resume { RunFolder::open(path)? } else { RunFolder::fresh(path)? };
        let mut search = Search {
            config: config.clone(),
            device,
            folder,
            space,
            row,
            rows,
            test,
            train,
            hypernetwork,
            candidates: vec![],
            rounds: 0,
            before: [0.0; 2],
            started: Instant::now(),
            setup,
        };
        // A space none of whose networks fits is refused before anything is written.
        search.propose(&mut BTreeSet::new(), 1)?;
        if resume && search.folder.file(STATE).is_file() {
            search.restore()?;
        }
        search.folder.ensure()?;
        search.folder.write("search.toml", &search.config.to_toml()?)?;
        Ok(search)
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    fn task(&self) -> &SingleTask {
        self.setup.source().single().unwrap_or_else(|| unreachable!("it was one when the search was opened"))
    }

    fn outputs(&self) -> usize {
        self.rows.classes.len()
    }

    fn propose(&self, known: &mut BTreeSet<String>, many: usize) -> Result<Vec<Architecture>> {
        let mut rng = Rng::new(self.config.seed, ROUND ^ self.rounds << 16);
        self.config.choice.propose(
            (&self.space, &self.row, self.outputs()),
            known,
            &self.candidates,
            many,
            self.config.temperature,
            &mut rng,
        )
    }

    /// Searches to the end.
    ///
    /// # Errors
    /// What the device refuses, and what cannot be written.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<SearchStatus> {
        if !self.learn(observer)? || !self.look(observer)? {
            return Ok(SearchStatus::Stopped);
        }
        let judged = self.seconds();
        let Some(report) = self.train_best(judged, observer)? else { return Ok(SearchStatus::Stopped) };
        let text = serde_json::to_string_pretty(&report).map_err(|e| Error::Shape(e.to_string()))?;
        self.folder.write("report.json", &(text + "\n"))?;
        self.draw(&report)?;
        Ok(SearchStatus::Finished(Box::new(report)))
    }

    fn seconds(&self) -> f64 {
        self.before[0] + self.started.elapsed().as_secs_f64()
    }

    /// Steps of the hypernetwork before the first round.
    fn first_steps(&self) -> u64 {
        let steps = self.config.hypernetwork.steps;
        steps - (steps as f64 * self.config.feedback) as u64
    }

    /// Trains the hypernetwork on architectures drawn at random; `false`: stopped.
    fn learn(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        let first = self.first_steps();
        let space = self.space.clone();
        self.teach(first, "hypernetwork", observer, |rng| space.sample(rng))
    }

    /// Trains the hypernetwork up to a step.
    fn teach(
        &mut self,
        until: u64,
        phase: &str,
        observer: &mut dyn Observer,
        mut draw: impl FnMut(&mut Rng) -> Architecture,
    ) -> Result<bool> {
        let Some(mut hypernetwork) = self.hypernetwork.take() else { return Ok(true) };
        let (begun, begun_at, mut saved) = (Instant::now(), hypernetwork.step(), Instant::now());
        let each = (self.config.hypernetwork.architectures) as f64;
        let mut stopped = false;
        while hypernetwork.step() < until && !stopped {
            let some = SOME.min(until - hypernetwork.step());
            let loss =
                hypernetwork.train(self.device, (&self.rows, &self.train), some, &mut draw, |_, _| false)?;
            let done = (hypernetwork.step() - begun_at) as f64;
            observer.progress(&Progress {
                phase,
                step: hypernetwork.step(),
                steps: until,
                loss,
                tasks_per_second: done * each / begun.elapsed().as_secs_f64().max(1e-9),
                unit: "networks",
            });
            stopped = observer.stop();
            if stopped || saved.elapsed() > SAVE_EVERY {
                self.save(Some(&hypernetwork), begun.elapsed().as_secs_f64())?;
                saved = Instant::now();
            }
        }
        self.before[1] += begun.elapsed().as_secs_f64();
        self.hypernetwork = Some(hypernetwork);
        Ok(!stopped)
    }

    /// Rounds of candidates; `false`: stopped.
    fn look(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        let mut known: BTreeSet<String> = self.candidates.iter().map(|c| c.architecture.key()).collect();
        let best = |candidates: &[Candidate]| {
            candidates.iter().map(|c| c.predicted).fold(f64::NEG_INFINITY, f64::max)
        };
        let most = self.config.budget.div_ceil(self.config.round) as u64;
        let mut since = 0;
        while self.candidates.len() < self.config.budget {
            observer.progress(&Progress {
                phase: "candidates",
                step: self.candidates.len() as u64,
                steps: self.config.budget as u64,
                loss: 1.0 - best(&self.candidates).max(0.0),
                tasks_per_second: self.candidates.len() as f64 / (self.seconds() - self.before[1]).max(1e-9),
                unit: "candidates",
            });
            if observer.stop() {
                self.save(self.hypernetwork.as_ref(), 0.0)?;
                return Ok(false);
            }
            let many = self.config.round.min(self.config.budget - self.candidates.len());
            let more = self.propose(&mut known, many)?;
            if more.is_empty() {
                log::info!(
                    "the space has no other architectures: the search ends after {}",
                    self.candidates.len()
                );
                break;
            }
            let Some(found) = self.predict(&more, observer)? else {
                self.save(self.hypernetwork.as_ref(), 0.0)?;
                return Ok(false);
            };
            let before = best(&self.candidates);
            self.candidates.extend(more.into_iter().zip(found).map(|(a, p)| Candidate::new(a, p)));
            self.rounds += 1;
            since = if best(&self.candidates) > before { 0 } else { since + 1 };
            // What is chosen teaches the hypernetwork, too.
            let (first, all) = (self.first_steps(), self.config.hypernetwork.steps);
            let until = first + (all - first) * self.rounds.min(most) / most;
            let leading = self.leading();
            let space = self.space.clone();
            let draw = |rng: &mut Rng| match rng.below(2) {
                0 if !leading.is_empty() => leading[rng.below(leading.len())].clone(),
                _ => space.sample(rng),
            };
            if self.config.feedback > 0.0 && !self.teach(until, "feedback", observer, draw)? {
                return Ok(false);
            }
            self.save(self.hypernetwork.as_ref(), 0.0)?;
            if self.config.patience.is_some_and(|p| since >= p) {
                log::info!(
                    "{since} rounds without a better candidate: the search ends after {}",
                    self.candidates.len()
                );
                break;
            }
        }
        // Earlier predictions are of a hypernetwork that has learned more since.
        if self.hypernetwork.is_some() && self.config.feedback > 0.0 {
            let all: Vec<Architecture> = self.candidates.iter().map(|c| c.architecture.clone()).collect();
            if let Some(found) = self.predict(&all, observer)? {
                self.candidates.iter_mut().zip(found).for_each(|(c, p)| c.predicted = p);
            }
        }
        Ok(true)
    }

    /// The best of the candidates so far.
    fn leading(&self) -> Vec<Architecture> {
        let order = self.order();
        let many = order.len().div_ceil(LEADING);
        order[..many].iter().map(|i| self.candidates[*i].architecture.clone()).collect()
    }

    /// Candidates, the best first.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        let predicted = |i: &usize| self.candidates[*i].predicted;
        order.sort_by(|a, b| predicted(b).total_cmp(&predicted(a)).then(a.cmp(b)));
        order
    }

    /// Predicted accuracies of architectures; `None`: stopped.
    fn predict(&self, all: &[Architecture], observer: &mut dyn Observer) -> Result<Option<Vec<f64>>> {
        let validation = (&self.rows, &self.task().validation[..]);
        if let Some(hypernetwork) = &self.hypernetwork {
            return hypernetwork.accuracy(self.device, validation, all).map(Some);
        }
        let steps = ((self.config.train.steps as f64 * self.config.share) as u64).max(1);
        let settings = TrainSettings { steps, ..self.config.train };
        let members = all.iter().map(|a| Ok(Member::new(self.net(a)?, self.config.seed)));
        let mut population = Population::new(members.collect::<Result<_>>()?, settings)?;
        if !self.trained(&mut population, steps, "short trainings", observer)? {
            return Ok(None);
        }
        population.accuracy(self.device, validation).map(Some)
    }

    fn net(&self, architecture: &Architecture) -> Result<crate::net::Net> {
        let net = self.space.net(architecture, &self.row, self.outputs());
        net.map_err(|e| Error::config("--space", format!("{}: {e}", architecture.key())))
    }

    /// Trains a population while the observer watches; `false`: stopped.
    fn trained(
        &self,
        population: &mut Population,
        steps: u64,
        phase: &str,
        observer: &mut dyn Observer,
    ) -> Result<bool> {
        let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let all = steps * population.len() as u64;
        let begun = Instant::now();
        std::thread::scope(|threads| {
            let work = threads.spawn(|| {
                let watch = |more: u64| {
                    done.fetch_add(more, Ordering::Relaxed);
                    stop.load(Ordering::Relaxed)
                };
                population.train(self.device, (&self.rows, &self.train), steps, &watch)
            });
            while !work.is_finished() {
                std::thread::sleep(Duration::from_millis(20));
                let so_far = done.load(Ordering::Relaxed);
                observer.progress(&Progress {
                    phase,
                    step: so_far,
                    steps: all,
                    loss: f64::NAN,
                    tasks_per_second: so_far as f64 / begun.elapsed().as_secs_f64().max(1e-9),
                    unit: "steps",
                });
                if observer.stop() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            work.join().unwrap_or_else(|_| Err(Error::Device("a thread of the training ended".into())))
        })
    }

    /// Trains the best, and some others once; `None`: stopped.
    fn train_best(&self, judged: f64, observer: &mut dyn Observer) -> Result<Option<SearchReport>> {
        let order = self.order();
        let best = &order[..self.config.best.min(order.len())];
        let others = evenly(&order[best.len()..], self.config.checked);
        let of = |i: usize| &self.candidates[i].architecture;
        let mut members = Vec::new();
        for i in best {
            let net = self.net(of(*i))?;
            members.extend(
                (0..self.config.seeds as u64).map(|s| Member::new(net.clone(), self.config.seed + s)),
            );
        }
        for i in &others {
            members.push(Member::new(self.net(of(*i))?, self.config.seed));
        }
        let scratch = members.len();
        if let Some(hypernetwork) = &self.hypernetwork {
            let all: Vec<Architecture> = best.iter().map(|i| of(*i).clone()).collect();
            for (i, start) in best.iter().zip(hypernetwork.weights(self.device, &all)?) {
                for s in 0..self.config.seeds as u64 {
                    let mut member = Member::new(self.net(of(*i))?, self.config.seed + s);
                    member.start = Some(start.clone());
                    members.push(member);
                }
            }
        }
        let mut population = Population::new(members, self.config.train)?;
        let test = (&self.test, &self.task().test_rows[..]);
        let mut points = vec![population.accuracy(self.device, test)?];
        let (mut done, steps) = (0, self.config.train.steps);
        for tenth in 1..=10 {
            let until = steps * tenth / 10;
            if !self.trained(&mut population, until - done, "the best", observer)? {
                return Ok(None);
            }
            done = until;
            points.push(population.accuracy(self.device, test)?);
        }
        let seeds = self.config.seeds;
        let mean =
            |at: usize, first: usize| points[at][first..first + seeds].iter().sum::<f64>() / seeds as f64;
        let mut report = SearchReport {
            device: self.device.name(),
            seconds: self.seconds(),
            hypernetwork_seconds: self.before[1],
            hypernetwork_parameters: self.hypernetwork.as_ref().map_or(0, GraphHypernetwork::parameters),
            candidates: self.candidates.len(),
            candidates_per_second: self.candidates.len() as f64 / (judged - self.before[1]).max(1e-9),
            space_size: self.space.size(),
            best: vec![],
            checked: vec![],
            rank_correlation: None,
            rank_correlation_of_parameters: None,
        };
        for (n, i) in best.iter().enumerate() {
            let net = self.net(of(*i))?;
            let cost: Cost = Space::cost(&net)?;
            let accuracy = mean(10, n * seeds);
            let spread = points[10][n * seeds..][..seeds].iter().map(|a| (a - accuracy).powi(2)).sum::<f64>();
            let generated = self.hypernetwork.is_some().then_some(scratch + n * seeds);
            let file = format!("best-{}.toml", n + 1);
            // The head is put behind the layers by `train`.
            let layers = &net.layers()[..net.layers().len() - 1];
            let text = toml::to_string(&NetFile { net: layers }).map_err(|e| Error::Shape(e.to_string()))?;
            self.folder.write(&file, &format!("# {}\n{text}", of(*i).key()))?;
            let curve = |first: usize| (0..=10).map(|at| mean(at, first)).collect::<Vec<f64>>();
            report.best.push(Found {
                architecture: of(*i).clone(),
                key: of(*i).key(),
                net: file,
                parameters: cost.parameters,
                operations: cost.operations,
                predicted: self.candidates[*i].predicted,
                accuracy,
                deviation: if seeds > 1 { (spread / (seeds - 1) as f64).sqrt() } else { 0.0 },
                from_generated: generated.map(|first| mean(10, first)),
                curves: [Some(n * seeds), generated].into_iter().flatten().map(curve).collect(),
            });
        }
        for (n, i) in others.iter().enumerate() {
            let layout = self.net(of(*i))?.layout();
            report.checked.push(Checked {
                key: of(*i).key(),
                parameters: layout.len() as u64,
                predicted: self.candidates[*i].predicted,
                accuracy: points[10][best.len() * seeds + n],
            });
        }
        let mut all: Vec<(f64, f64, f64)> =
            report.checked.iter().map(|c| (c.predicted, c.accuracy, c.parameters as f64)).collect();
        all.extend(report.best.iter().map(|f| (f.predicted, f.accuracy, f.parameters as f64)));
        let column = |of: fn(&(f64, f64, f64)) -> f64| all.iter().map(of).collect::<Vec<f64>>();
        report.rank_correlation = rank_correlation(&column(|a| a.0), &column(|a| a.1));
        report.rank_correlation_of_parameters = rank_correlation(&column(|a| a.2), &column(|a| a.1));
        report.best.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy));
        report.seconds = self.seconds();
        Ok(Some(report))
    }

    /// Pictures of what was found, and the list of candidates.
    fn draw(&self, report: &SearchReport) -> Result<()> {
        let mut lines = String::new();
        for i in self.order() {
            let c = &self.candidates[i];
            let line = serde_json::json!({ "predicted": c.predicted, "key": c.architecture.key(), "architecture": c.architecture });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        self.folder.write("candidates.jsonl", &lines)?;
        let of = |f: &Found, x: f64| (x, f.accuracy);
        let best: Vec<(f64, f64)> = report.best.iter().map(|f| of(f, f.parameters as f64)).collect();
        let others: Vec<(f64, f64)> =
            report.checked.iter().map(|c| (c.parameters as f64, c.accuracy)).collect();
        let sets = |best, others| {
            [
                Marked { label: "others", points: others },
                Marked { label: "the best by prediction", points: best },
            ]
        };
        marked(
            &self.folder.file("parameters.svg"),
            "Accuracy against size",
            ("weights", "accuracy on test rows"),
            true,
            &sets(best, others),
        )?;
        let best = report.best.iter().map(|f| of(f, f.predicted)).collect();
        let others = report.checked.iter().map(|c| (c.predicted, c.accuracy)).collect();
        marked(
            &self.folder.file("predicted.svg"),
            "Predicted and true accuracy",
            ("predicted, on validation rows", "true, on test rows"),
            false,
            &sets(best, others),
        )
    }

    fn save(&self, hypernetwork: Option<&GraphHypernetwork>, more: f64) -> Result<()> {
        let mut c = Checkpoint::default();
        if let Some(h) = hypernetwork {
            c.tensors.insert("hypernetwork".into(), Tensor::f32(&[h.state().len()], h.state().to_vec()));
            c.metadata.insert("step".into(), h.step().to_string());
        }
        let text = |v: serde_json::Result<String>| v.map_err(|e| Error::Shape(e.to_string()));
        c.metadata.insert("candidates".into(), text(serde_json::to_string(&self.candidates))?);
        c.metadata.insert("rounds".into(), self.rounds.to_string());
        let seconds = [self.seconds(), self.before[1] + more];
        c.metadata.insert("seconds".into(), text(serde_json::to_string(&seconds))?);
        c.save(&self.folder.file(STATE))
    }

    fn restore(&mut self) -> Result<()> {
        let path: PathBuf = self.folder.file(STATE);
        let c = Checkpoint::load(&path)?;
        let wrong = |what: &str| Error::checkpoint(&path, format!("says no {what} of a search"));
        let meta = |what: &str| c.metadata.get(what).ok_or_else(|| wrong(what));
        let candidates: Vec<Candidate> =
            serde_json::from_str(meta("candidates")?).map_err(|_| wrong("candidates"))?;
        for candidate in &candidates {
            self.space.contains(&candidate.architecture).map_err(|e| {
                Error::checkpoint(
                    &path,
                    format!("{}: {e}: the space is another", candidate.architecture.key()),
                )
            })?;
        }
        self.candidates = candidates;
        self.rounds = meta("rounds")?.parse().map_err(|_| wrong("rounds"))?;
        self.before = serde_json::from_str(meta("seconds")?).map_err(|_| wrong("seconds"))?;
        if let Some(h) = &mut self.hypernetwork {
            let step = meta("step")?.parse().map_err(|_| wrong("step"))?;
            let state = c.f32("hypernetwork", &[h.state().len()])?.to_vec();
            h.restore(state, step).map_err(|e| Error::checkpoint(&path, e))?;
        }
        Ok(())
    }
}

/// The state of a search, in its folder.
const STATE: &str = "search.safetensors";

/// Layers as `--net` reads them.
#[derive(Serialize)]
struct NetFile<'l> {
    net: &'l [crate::net::Layer],
}

/// Rows that are trained on: all but those to choose by.
fn trained_rows(task: &SingleTask) -> Vec<usize> {
    let kept: BTreeSet<usize> = task.validation.iter().copied().collect();
    let judged: BTreeSet<usize> = match std::ptr::eq(&*task.rows, &*task.test) {
        true => task.test_rows.iter().copied().collect(),
        false => BTreeSet::new(),
    };
    (0..task.rows.len()).filter(|r| !kept.contains(r) && !judged.contains(r)).collect()
}

/// So many of a list, the first and the last among them, evenly.
fn evenly(of: &[usize], many: usize) -> Vec<usize> {
    let n = many.min(of.len());
    (0..n).map(|i| of[if n > 1 { i * (of.len() - 1) / (n - 1) } else { 0 }]).collect()
}
