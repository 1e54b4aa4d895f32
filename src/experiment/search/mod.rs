//! A whole search in a folder: rows, a hypernetwork that writes weights for any architecture, candidates by rounds, the best ones trained,
//! the report.

mod best;
mod config;
mod report;
mod rows;
mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::run_folder::RunFolder;
use super::source::SingleTask;
use super::{Observer, Progress};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::{Error, Result};
use crate::net::Net;
use crate::report::plot::{CellDrawing, Marked, cells, marked};
use crate::rng::Rng;
use crate::run::Device;
use crate::search::{
    Architecture, Candidate, ChoiceGradient, ChoiceRule, GraphHypernetwork, Masked, Member, Population,
    RowsOf, Space, Stage, Surrogate, TrainSettings, all_looks, best_first, fitted, settled,
};
use crate::spec::count;
pub use config::{Evaluator, SearchConfig};
pub use report::{Checked, Found, Metric, SearchReport, SearchStatus, Start};
use rows::SearchRows;
pub use rows::TableConfig;
pub use table::{TableRow, Truth, read_table};

/// Random numbers of the rounds, and of those that the hypernetwork goes on learning on.
const ROUND: u64 = 0x5ea0;
/// Longest time between two checkpoints of the hypernetwork.
const SAVE_EVERY: Duration = Duration::from_secs(20);
/// Candidates that the hypernetwork goes on learning on are among the best of this share.
const LEADING: usize = 4;
/// Pieces of a candidate's training, after each of which it is looked at.
const PIECES: u64 = 5;
/// Draws until one is not kept from the hypernetwork.
const TRIES: usize = 100;

/// A search.
#[derive(Debug)]
pub struct Search<'d> {
    config: SearchConfig,
    device: &'d Device,
    folder: RunFolder,
    rows: SearchRows,
    /// What tells them from others.
    digest: String,
    space: Space,
    /// Shape of a row as the space's networks read it.
    row: Vec<usize>,
    /// Rows that are trained on.
    train: Vec<usize>,
    hypernetwork: Option<GraphHypernetwork>,
    gradient: Option<ChoiceGradient>,
    /// Fitted to all candidates, when they are found.
    surrogate: Option<Surrogate>,
    candidates: Vec<Candidate>,
    /// Keys of architectures that the hypernetwork does not learn on: its predictions of them are judged.
    kept: BTreeSet<String>,
    table: Vec<TableRow>,
    /// Rounds done, and how many of the last ones found nothing better.
    rounds: u64,
    since: usize,
    /// Seconds of earlier parts of the run, of the hypernetwork, and of choices by gradient.
    before: [f64; 3],
    started: Instant,
}

impl<'d> Search<'d> {
    /// Opens the rows and the folder; of a search that was begun, goes on where it stopped.
    ///
    /// # Errors
    /// Those of the rows, of the space, and of the folder.
    pub fn open(config: &SearchConfig, device: &'d Device, path: &Path, resume: bool) -> Result<Search<'d>> {
        config.validate()?;
        let rows = SearchRows::open(config)?;
        let task = &rows.task;
        let mut config = config.clone();
        if config.space.is_empty() {
            config.space = ["mlp", "cell-1d", "cell-2d"][task.rows.row.len().clamp(1, 3) - 1].into();
        }
        let config = &config;
        let space = Space::read(&config.space)?;
        let row = match space.flat {
            true => vec![count(&task.rows.row)],
            false => task.rows.row.clone(),
        };
        space.check(row.len()).map_err(|e| Error::config("--space", format!("{}: {e}", config.space)))?;
        let outputs = task.rows.outputs();
        let largest = |instead: &str| {
            Masked::new(&space, &row, outputs)
                .map_err(|e| Error::config("--space", format!("{}: {e}; {instead}", config.space)))
        };
        let hypernetwork = match config.evaluator {
            Evaluator::Trained => None,
            Evaluator::Generated => {
                let masked = largest("--evaluator trained judges each by a short training")?;
                Some(GraphHypernetwork::new(masked, config.hypernetwork, config.seed))
            }
        };
        let gradient = match config.choice {
            ChoiceRule::Gradient => {
                let masked = largest("--choice surrogate needs no largest network")?;
                Some(ChoiceGradient::new(masked, config.gradient, config.seed))
            }
            _ => None,
        };
        let table = config.truth.as_deref().map(read_table).transpose()?.unwrap_or_default();
        for (i, row) in table.iter().enumerate() {
            space.contains(&row.architecture).map_err(|e| {
                let path = config.truth.clone().unwrap_or_default();
                Error::data(path, format!(", line {}", i + 1), format!("is of another space: {e}"))
            })?;
        }
        let train = trained_rows(&rows.task);
        let folder = if resume { RunFolder::open(path)? } else { RunFolder::fresh(path)? };
        let mut search = Search {
            config: config.clone(),
            device,
            folder,
            space,
            row,
            train,
            hypernetwork,
            gradient,
            surrogate: None,
            candidates: vec![],
            kept: table.iter().map(|r| r.architecture.key()).collect(),
            table,
            rounds: 0,
            since: 0,
            before: [0.0; 3],
            started: Instant::now(),
            digest: rows.digest(),
            rows,
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
        &self.rows.task
    }

    fn train_rows(&self) -> RowsOf<'_> {
        (&self.task().rows, &self.train)
    }

    fn validation_rows(&self) -> RowsOf<'_> {
        let task = self.task();
        (&task.rows, &task.validation)
    }

    fn test_rows(&self) -> RowsOf<'_> {
        let task = self.task();
        (&task.test, &task.test_rows)
    }

    fn outputs(&self) -> usize {
        self.task().rows.outputs()
    }

    /// A network of an architecture for each seed.
    fn seeded(&self, architecture: &Architecture, start: Option<&[f32]>) -> Result<Vec<Member>> {
        let net = self.net(architecture)?;
        let one = |s: u64| {
            let mut member = Member::new(net.clone(), self.config.seed + s);
            member.start = start.map(<[f32]>::to_vec);
            member
        };
        Ok((0..self.config.seeds as u64).map(one).collect())
    }

    fn propose(&self, known: &mut BTreeSet<String>, many: usize) -> Result<Vec<Architecture>> {
        let mut rng = Rng::new(self.config.seed, ROUND ^ self.rounds << 16);
        if let Some(gradient) = &self.gradient {
            return gradient.propose(known, many, &mut rng);
        }
        self.config.choice.propose(
            self.place(),
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
        if !self.learn(observer)? || !self.descend(observer)? || !self.look(observer)? {
            return Ok(SearchStatus::Stopped);
        }
        let judged = self.seconds();
        let Some(mut report) = self.train_best(judged, observer)? else { return Ok(SearchStatus::Stopped) };
        let table = self.untried();
        if !table.is_empty() {
            let Some(truth) = self.judge_by(&table, observer)? else { return Ok(SearchStatus::Stopped) };
            report.truth = Some(truth);
        } else if !self.table.is_empty() {
            log::warn!(
                "the search tried all architectures of the table: none is left to judge its predictions by"
            );
        }
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
        let (space, kept) = (self.space.clone(), self.kept.clone());
        self.teach(first, "hypernetwork", observer, |rng| beside(&kept, || space.sample(rng)))
    }

    /// Learns choices by gradient; `false`: stopped.
    fn descend(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        let Some(mut gradient) = self.gradient.take() else { return Ok(true) };
        let (begun, begun_at) = (Instant::now(), gradient.step());
        let (steps, mut stopped) = (self.config.gradient.steps, false);
        while gradient.step() < steps && !stopped {
            let (left, saved) = (steps - gradient.step(), Instant::now());
            let watch = |step: u64, loss: f32| {
                observer.progress(&Progress {
                    phase: "choices by gradient",
                    step,
                    steps,
                    loss: f64::from(loss),
                    tasks_per_second: (step - begun_at) as f64 / begun.elapsed().as_secs_f64().max(1e-9),
                    unit: "steps",
                });
                stopped = observer.stop();
                stopped || saved.elapsed() > SAVE_EVERY
            };
            gradient.train(self.device, self.train_rows(), self.validation_rows(), left, watch)?;
            let seconds = [0.0, 0.0, begun.elapsed().as_secs_f64()];
            self.save(self.hypernetwork.as_ref(), Some(&gradient), seconds)?;
        }
        self.before[2] += begun.elapsed().as_secs_f64();
        self.gradient = Some(gradient);
        Ok(!stopped)
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
        let (begun, begun_at) = (Instant::now(), hypernetwork.step());
        let each = self.config.hypernetwork.architectures as f64;
        let mut stopped = false;
        // Its plan is prepared once for all steps between two checkpoints.
        while hypernetwork.step() < until && !stopped {
            let (some, saved) = (until - hypernetwork.step(), Instant::now());
            let watch = |step: u64, loss: f32| {
                observer.progress(&Progress {
                    phase,
                    step,
                    steps: until,
                    loss: f64::from(loss),
                    tasks_per_second: (step - begun_at) as f64 * each
                        / begun.elapsed().as_secs_f64().max(1e-9),
                    unit: "networks",
                });
                stopped = observer.stop();
                stopped || saved.elapsed() > SAVE_EVERY
            };
            hypernetwork.train(self.device, self.train_rows(), some, &mut draw, watch)?;
            if stopped || hypernetwork.step() < until {
                let seconds = [0.0, begun.elapsed().as_secs_f64(), 0.0];
                self.save(Some(&hypernetwork), self.gradient.as_ref(), seconds)?;
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
        while self.candidates.len() < self.config.budget {
            if self.config.patience.is_some_and(|p| self.since >= p) {
                let judged = self.candidates.len();
                log::info!(
                    "{} rounds without a better candidate: the search ends after {judged}",
                    self.since
                );
                break;
            }
            if !self.feed_back(observer)? {
                return Ok(false);
            }
            let phase = match best(&self.candidates) {
                found if found.is_finite() => format!("candidates, best {found:.4}"),
                _ => "candidates".into(),
            };
            observer.progress(&Progress {
                phase: &phase,
                step: self.candidates.len() as u64,
                steps: self.config.budget as u64,
                loss: f64::NAN,
                tasks_per_second: self.candidates.len() as f64
                    / (self.seconds() - self.before[1] - self.before[2]).max(1e-9),
                unit: "candidates",
            });
            if observer.stop() {
                self.save_all()?;
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
            if self.leads(&more)? {
                let judged = self.candidates.len();
                log::info!(
                    "nothing that is proposed is likely to be better than the best: the search ends after {judged}"
                );
                break;
            }
            let Some(found) = self.predict(&more, observer)? else {
                self.save_all()?;
                return Ok(false);
            };
            let before = best(&self.candidates);
            self.candidates.extend(more.into_iter().zip(found).map(|(a, p)| Candidate::new(a, p)));
            self.rounds += 1;
            self.since = if best(&self.candidates) > before { 0 } else { self.since + 1 };
            self.save_all()?;
        }
        if !self.feed_back(observer)? {
            return Ok(false);
        }
        // Earlier predictions are of a hypernetwork that has learned more since.
        if self.hypernetwork.is_some() && self.config.feedback > 0.0 {
            let all: Vec<Architecture> = self.candidates.iter().map(|c| c.architecture.clone()).collect();
            if let Some(found) = self.predict(&all, observer)? {
                self.candidates.iter_mut().zip(found).for_each(|(c, p)| c.predicted = p);
            }
        }
        // Its likes have a say in what is best.
        if self.config.choice == ChoiceRule::Surrogate {
            self.surrogate = fitted(self.place(), &self.candidates)?;
        }
        let all: Vec<Architecture> = self.candidates.iter().map(|c| c.architecture.clone()).collect();
        if let Some(found) = self.by_surrogate(&all)? {
            self.candidates.iter_mut().zip(found).for_each(|(c, p)| c.predicted = settled(c.predicted, p));
        }
        Ok(true)
    }

    /// Whether the best so far is ahead of all that is proposed by the lead that is asked for.
    fn leads(&self, proposed: &[Architecture]) -> Result<bool> {
        let Some(lead) = self.config.lead else { return Ok(false) };
        let Some(surrogate) = fitted(self.place(), &self.candidates)? else { return Ok(false) };
        let most = |all: Vec<Vec<f64>>, deviations: f64| {
            let of = |(mean, deviation): (f64, f64)| mean + deviations * deviation;
            all.iter().map(|looks| of(surrogate.predict(looks))).fold(f64::NEG_INFINITY, f64::max)
        };
        let known = all_looks(self.place(), self.candidates.iter().map(|c| &c.architecture))?;
        Ok(most(all_looks(self.place(), proposed.iter())?, lead) <= most(known, 0.0))
    }

    /// What was chosen so far teaches the hypernetwork, too; `false`: stopped.
    fn feed_back(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        if self.rounds == 0 || self.config.feedback == 0.0 {
            return Ok(true);
        }
        let most = self.config.budget.div_ceil(self.config.round) as u64;
        let (first, all) = (self.first_steps(), self.config.hypernetwork.steps);
        let until = first + (all - first) * self.rounds.min(most) / most;
        let (leading, kept, space) = (self.leading(), self.kept.clone(), self.space.clone());
        let draw = |rng: &mut Rng| match rng.below(2) {
            0 if !leading.is_empty() => leading[rng.below(leading.len())].clone(),
            _ => beside(&kept, || space.sample(rng)),
        };
        self.teach(until, "feedback", observer, draw)
    }

    /// The best of the candidates so far.
    fn leading(&self) -> Vec<Architecture> {
        let order = self.order();
        let many = order.len().div_ceil(LEADING);
        order[..many].iter().map(|i| self.candidates[*i].architecture.clone()).collect()
    }

    /// Candidates, the best first.
    fn order(&self) -> Vec<usize> {
        best_first(&self.candidates.iter().map(|c| c.predicted).collect::<Vec<f64>>())
    }

    /// What the surrogate says of architectures; `None`: the search has none.
    fn by_surrogate(&self, all: &[Architecture]) -> Result<Option<Vec<f64>>> {
        let Some(surrogate) = &self.surrogate else { return Ok(None) };
        let looks = all_looks(self.place(), all.iter())?;
        Ok(Some(looks.iter().map(|l| surrogate.predict(l).0).collect()))
    }

    /// The space, and what its networks read and say.
    fn place(&self) -> (&Space, &[usize], usize) {
        (&self.space, &self.row, self.outputs())
    }

    /// Predicted accuracies of architectures; `None`: stopped.
    fn predict(&self, all: &[Architecture], observer: &mut dyn Observer) -> Result<Option<Vec<f64>>> {
        let validation = self.validation_rows();
        let steps = match &self.hypernetwork {
            Some(hypernetwork) if self.config.adapt == 0 => {
                return hypernetwork.score(self.device, validation, all).map(Some);
            }
            Some(_) => self.config.adapt,
            None => ((self.config.train.steps as f64 * self.config.share) as u64).max(1),
        };
        let settings = TrainSettings { steps, ..self.config.train };
        let mut members = all
            .iter()
            .map(|a| Ok(Member::new(self.net(a)?, self.config.seed)))
            .collect::<Result<Vec<Member>>>()?;
        if let Some(hypernetwork) = &self.hypernetwork {
            let starts = hypernetwork.weights(self.device, all)?;
            members.iter_mut().zip(starts).for_each(|(member, start)| member.start = Some(start));
        }
        let mut population = Population::new(members, settings)?;
        // A training that goes on for too long is no fault of the network: it is as good as it was at its best.
        let mut best = vec![f64::NEG_INFINITY; all.len()];
        let mut done = 0;
        for piece in 1..=PIECES {
            let until = steps * piece / PIECES;
            if until > done && !self.trained(&mut population, until - done, "short trainings", observer)? {
                return Ok(None);
            }
            done = until;
            let now = population.score(self.device, validation)?;
            best.iter_mut().zip(now).for_each(|(best, now)| *best = best.max(now));
        }
        Ok(Some(best))
    }

    fn net(&self, architecture: &Architecture) -> Result<Net> {
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
        let (begun, rows) = (Instant::now(), self.train_rows());
        std::thread::scope(|threads| {
            let work = threads.spawn(|| {
                let watch = |more: u64| {
                    done.fetch_add(more, Ordering::Relaxed);
                    stop.load(Ordering::Relaxed)
                };
                population.train(self.device, rows, steps, &watch)
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
        for (place, found) in report.best.iter().enumerate() {
            let stages: Vec<CellDrawing> = found.architecture.stages.iter().map(drawing).collect();
            let name = format!("best-{}: {} weights", place + 1, found.parameters);
            cells(&self.folder.file(&format!("best-{}.svg", place + 1)), &name, &stages)?;
        }
        let what = report.metric.title();
        let sets = |best: fn(&Found) -> f64, other: fn(&Checked) -> f64| {
            let others = report.checked.iter().map(|c| (other(c), c.score())).collect();
            let best = report.best.iter().map(|f| (best(f), f.score())).collect();
            [
                Marked { label: "others", points: others },
                Marked { label: "the best by prediction", points: best },
            ]
        };
        let size = sets(|f| f.parameters as f64, |c| c.parameters as f64);
        let time = sets(|f| f.operations as f64, |c| c.operations as f64);
        for (file, by, x, sets) in [
            ("parameters.svg", "size", "weights", size),
            ("operations.svg", "operations", "floating-point operations of a row", time),
        ] {
            let labels = (x, &*format!("{what} on test rows"));
            marked(&self.folder.file(file), &format!("{what} against {by}"), labels, true, &sets)?;
        }
        marked(
            &self.folder.file("predicted.svg"),
            &format!("Predicted and true {}", report.metric.name()),
            ("predicted, on validation rows", "true, on test rows"),
            false,
            &sets(|f| f.predicted, |c| c.predicted),
        )
    }

    fn save_all(&self) -> Result<()> {
        self.save(self.hypernetwork.as_ref(), self.gradient.as_ref(), [0.0; 3])
    }

    /// Writes the state, with seconds that are not counted yet.
    fn save(
        &self,
        hypernetwork: Option<&GraphHypernetwork>,
        gradient: Option<&ChoiceGradient>,
        more: [f64; 3],
    ) -> Result<()> {
        let mut c = Checkpoint::default();
        if let Some(gradient) = gradient {
            for (name, numbers) in CHOICES.into_iter().zip(gradient.state()) {
                c.tensors.insert(name.into(), Tensor::f32(&[numbers.len()], numbers.to_vec()));
            }
            c.metadata.insert("gradient_step".into(), gradient.step().to_string());
        }
        if let Some(h) = hypernetwork {
            c.tensors.insert("hypernetwork".into(), Tensor::f32(&[h.state().len()], h.state().to_vec()));
            c.metadata.insert("step".into(), h.step().to_string());
        }
        let text = |v: serde_json::Result<String>| v.map_err(|e| Error::Shape(e.to_string()));
        c.metadata.insert("candidates".into(), text(serde_json::to_string(&self.candidates))?);
        c.metadata.insert("rows".into(), self.digest.clone());
        c.metadata.insert("rounds".into(), self.rounds.to_string());
        c.metadata.insert("since".into(), self.since.to_string());
        let seconds = [self.seconds() + more[0], self.before[1] + more[1], self.before[2] + more[2]];
        c.metadata.insert("seconds".into(), text(serde_json::to_string(&seconds))?);
        c.save(&self.folder.file(STATE))
    }

    fn restore(&mut self) -> Result<()> {
        let path: PathBuf = self.folder.file(STATE);
        let c = Checkpoint::load(&path)?;
        let wrong = |what: &str| Error::checkpoint(&path, format!("says no {what} of a search"));
        let meta = |what: &str| c.metadata.get(what).ok_or_else(|| wrong(what));
        if *meta("rows")? != self.digest {
            return Err(Error::checkpoint(
                &path,
                "is of a search over other rows: what it was trained and judged on has changed since; start a new one",
            ));
        }
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
        self.since = meta("since")?.parse().map_err(|_| wrong("since"))?;
        self.before = serde_json::from_str(meta("seconds")?).map_err(|_| wrong("seconds"))?;
        if let Some(h) = &mut self.hypernetwork {
            let step = meta("step")?.parse().map_err(|_| wrong("step"))?;
            let state = c.f32("hypernetwork", &[h.state().len()])?.to_vec();
            h.restore(state, step).map_err(|e| Error::checkpoint(&path, e))?;
        }
        if let Some(gradient) = &mut self.gradient {
            // Not there: it was stopped before the first step.
            if let Some(step) = c.metadata.get("gradient_step") {
                let step = step.parse().map_err(|_| wrong("gradient_step"))?;
                let [weights, logits] = gradient.state().map(<[f32]>::len);
                let state = [c.f32(CHOICES[0], &[weights])?.to_vec(), c.f32(CHOICES[1], &[logits])?.to_vec()];
                gradient.restore(state, step).map_err(|e| Error::checkpoint(&path, e))?;
            }
        }
        Ok(())
    }
}

/// The state of a search, in its folder.
const STATE: &str = "search.safetensors";

/// Choices by gradient in it: the weights of the largest network and the logits, with their moments.
const CHOICES: [&str; 2] = ["choices.weights", "choices.logits"];

/// Rows that are trained on: all but those to choose by.
fn trained_rows(task: &SingleTask) -> Vec<usize> {
    let kept: BTreeSet<usize> = task.validation.iter().copied().collect();
    let judged: BTreeSet<usize> = match std::ptr::eq(&*task.rows, &*task.test) {
        true => task.test_rows.iter().copied().collect(),
        false => BTreeSet::new(),
    };
    (0..task.rows.len()).filter(|r| !kept.contains(r) && !judged.contains(r)).collect()
}

/// A stage as a picture has it.
fn drawing(stage: &Stage) -> CellDrawing {
    let norm = if stage.norm { ", norm" } else { "" };
    let cells = match stage.cells {
        0 => String::new(),
        1 => ", one cell".into(),
        n => format!(", {n} cells"),
    };
    CellDrawing {
        label: format!("{} channels{norm}, {}{cells}", stage.width, stage.activation.name()),
        nodes: if stage.cells > 0 { stage.nodes() } else { 0 },
        edges: stage.cell.iter().map(|c| (c.from, c.to, c.operation.name().to_string())).collect(),
    }
}

/// What is drawn and not in `kept`, after some tries anything.
fn beside(kept: &BTreeSet<String>, mut draw: impl FnMut() -> Architecture) -> Architecture {
    let mut one = draw();
    for _ in 0..TRIES {
        if !kept.contains(&one.key()) {
            break;
        }
        one = draw();
    }
    one
}
