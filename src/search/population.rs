//! Many different networks trained at once, each from its own start, none knowing of the others.
//!
//! Networks of one shape share a plan: a region for all of them. On the CPU path plans run side by side on all cores, each task of a plan in
//! the cache of one; on a GPU one after another.
//!
//! ```
//! use hyperloom::Device;
//! use hyperloom::data::labelled::Labelled;
//! use hyperloom::net::Net;
//! use hyperloom::search::{Member, Population, TrainSettings};
//!
//! let x: Vec<f32> = (0..32).map(|i| i as f32 / 16.0 - 1.0).collect();
//! let labels = x.iter().map(|x| u32::from(x.abs() > 0.5)).collect();
//! let rows = Labelled::of_numbers(vec![1], vec!["in".into(), "out".into()], x, labels);
//! let all: Vec<usize> = (0..32).collect();
//!
//! // Two networks of different depth.
//! let nets = [Net::rows([1]).dense(8).tanh().dense(2), Net::rows([1]).dense(8).tanh().dense(4).relu().dense(2)];
//! let members = nets.map(|net| Member::new(net, 0)).to_vec();
//! let mut settings = TrainSettings::new(300);
//! (settings.rate, settings.batch) = (0.03, 16);
//! let mut population = Population::new(members, settings)?;
//! population.train(&Device::Cpu, (&rows, &all), 300, &|_| false)?;
//! let found = population.score(&Device::Cpu, (&rows, &all))?;
//! assert!(found.iter().all(|a| *a > 0.9), "{found:?}");
//! # Ok::<(), hyperloom::Error>(())
//! ```

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::labelled::Labelled;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::net::{Net, Weights};
use crate::optim::{Optimiser, Schedule, clip_each};
use crate::plan::lower;
use crate::rng::Rng;
use crate::run::{Device, Session};
use crate::task::{Loss, argmax, loss};

/// Steps that are staged at once.
const WINDOW: usize = 16;
/// Rows of a piece when networks are judged.
const PIECE: usize = 250;
/// Random numbers of the order of rows, and of initial weights.
const ORDER: u64 = 0x0bde;
const START: u64 = 0x57a7;
const MOVED: u64 = 0x0bdf;

/// How networks are trained: AdamW on batches of rows, each network's gradient clipped on its own, a cosine schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainSettings {
    /// Steps of a whole training.
    pub steps: u64,
    /// Rows of a step.
    pub batch: usize,
    /// Peak learning rate.
    pub rate: f64,
    /// Weight decay.
    pub decay: f64,
    /// Largest norm of a network's gradient.
    pub clip: f64,
}

impl Default for TrainSettings {
    fn default() -> TrainSettings {
        TrainSettings { steps: 1_000, batch: 64, rate: 0.005, decay: 0.01, clip: 1.0 }
    }
}

impl TrainSettings {
    /// So many steps. What else differs from the default is assigned.
    #[must_use]
    pub fn new(steps: u64) -> TrainSettings {
        TrainSettings { steps, ..TrainSettings::default() }
    }

    fn schedule(&self) -> Schedule {
        Schedule { warmup: self.steps / 20, ..Schedule::new(self.rate, self.steps) }
    }
}

/// A network of a population.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Member {
    /// Its shape.
    pub net: Net,
    /// Seed of its initial weights, and of the order in which it sees the rows.
    pub seed: u64,
    /// Weights to start from; `None`: drawn by the seed.
    pub start: Option<Vec<f32>>,
}

impl Member {
    /// A network that starts as its seed says.
    #[must_use]
    pub fn new(net: Net, seed: u64) -> Member {
        Member { net, seed, start: None }
    }
}

/// Networks in training.
#[derive(Clone, Debug)]
pub struct Population {
    settings: TrainSettings,
    buckets: Vec<Bucket>,
    /// Where each member is: its bucket, and its place there.
    places: Vec<(usize, usize)>,
}

/// Networks of one shape.
#[derive(Clone, Debug)]
struct Bucket {
    net: Net,
    seeds: Vec<u64>,
    /// Weights and moments, `[3, T · P]`.
    state: Vec<f32>,
    /// Steps done.
    step: u64,
}

/// Rows to learn from, or to be judged by.
pub type RowsOf<'r> = (&'r Labelled, &'r [usize]);

impl Population {
    /// Networks before their first step.
    ///
    /// # Errors
    /// [`Error::Config`] where a network does not fit, or starts from other numbers than it has.
    pub fn new(members: Vec<Member>, settings: TrainSettings) -> Result<Population> {
        let mut by_net: BTreeMap<String, usize> = BTreeMap::new();
        let mut parts: Vec<(Net, Vec<u64>, Vec<Vec<f32>>)> = Vec::new();
        let mut places = Vec::new();
        for Member { net, seed, start } in members {
            net.check().map_err(|e| Error::config("a network of the population", e))?;
            if net.mixes_rows() || net.reads_support() {
                return Err(Error::config(
                    "a network of the population",
                    "normalises over rows: take layer_norm or group_norm",
                ));
            }
            let layout = net.layout();
            let start = start.unwrap_or_else(|| layout.init(&mut Rng::new(seed, START)));
            if start.len() != layout.len() {
                let message = format!("{} numbers to start from, and it has {}", start.len(), layout.len());
                return Err(Error::config("a network of the population", message));
            }
            let name = serde_json::to_string(&net).map_err(|e| Error::Shape(e.to_string()))?;
            let bucket = *by_net.entry(name).or_insert_with(|| {
                parts.push((net, vec![], vec![]));
                parts.len() - 1
            });
            places.push((bucket, parts[bucket].1.len()));
            parts[bucket].1.push(seed);
            parts[bucket].2.push(start);
        }
        let buckets = parts.into_iter().map(|(net, seeds, starts)| {
            let weights: Vec<f32> = starts.concat();
            let state = [&weights[..], &vec![0.0; 2 * weights.len()]].concat();
            Bucket { net, seeds, state, step: 0 }
        });
        Ok(Population { settings, buckets: buckets.collect(), places })
    }

    /// How many networks there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many different shapes they have.
    pub fn shapes(&self) -> usize {
        self.buckets.len()
    }

    /// The weights of a network, in the order of its layout.
    ///
    /// # Panics
    /// Where there is no such network.
    pub fn weights(&self, member: usize) -> &[f32] {
        let (bucket, place) = self.places[member];
        self.buckets[bucket].weights(place)
    }

    /// Trains all networks by so many steps more, or as many as the schedule has left. `watch` is told now and
    /// then how many steps of one network were done since, and says whether to stop: then no network is changed, and `false` is returned.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn train(
        &mut self,
        device: &Device,
        rows: RowsOf<'_>,
        steps: u64,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<bool> {
        let settings = self.settings;
        let trained =
            each(device, &self.buckets, |bucket| bucket.train(device, rows, &settings, steps, watch))?;
        let Some(states) = trained.into_iter().collect::<Option<Vec<Vec<f32>>>>() else { return Ok(false) };
        for (bucket, state) in self.buckets.iter_mut().zip(states) {
            bucket.state = state;
            bucket.step = (bucket.step + steps).min(settings.steps);
        }
        Ok(true)
    }

    /// How good each network is on these rows: the share that it tells right; of values R², the share of their variance that it explains, which is
    /// negative where it errs by more than their mean does.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn score(&self, device: &Device, rows: RowsOf<'_>) -> Result<Vec<f64>> {
        let of = each(device, &self.buckets, |bucket| bucket.score(device, rows))?;
        Ok(self.places.iter().map(|(bucket, place)| of[*bucket][*place]).collect())
    }
}

/// Does something for each bucket: on the CPU path side by side, on a device one after another.
fn each<R: Send>(
    device: &Device,
    buckets: &[Bucket],
    what: impl Fn(&Bucket) -> Result<R> + Sync + Send,
) -> Result<Vec<R>> {
    match device {
        Device::Cpu | Device::CpuByLaunch => buckets.par_iter().map(what).collect(),
        #[cfg(feature = "gpu")]
        Device::Gpu(_) => buckets.iter().map(what).collect(),
    }
}

impl Bucket {
    fn weights(&self, place: usize) -> &[f32] {
        let p = self.state.len() / 3 / self.seeds.len();
        &self.state[place * p..][..p]
    }

    fn session(&self, device: &Device, settings: &TrainSettings, what: Loss) -> Result<Session> {
        let (t, b) = (self.seeds.len(), settings.batch);
        let layout = self.net.layout();
        let p = layout.len();
        let mut g = Graph::new();
        let state = g.state("state", &[3, t * p]);
        let x = g.step("x", &[t, b, self.net.inputs()]);
        let y = g.step("y", &[t, b, self.net.outputs()]);
        let control = g.step("control", &[3]);
        let flat = g.slice(state, 0, 0, 1);
        let flat = g.reshape(flat, &[t, p]);
        let prediction = self.net.apply(&mut g, Weights { flat, layout: &layout }, x);
        let each = loss(&mut g, what, prediction, y, None);
        let sum = g.sum_to(each, &[]);
        let grad = g.grad(sum, &[flat])[0];
        // Each network's gradient is clipped, and one that is not finite left out, on its own.
        let [kept, _] = clip_each(&mut g, grad, &[t, 1], settings.clip);
        let kept = g.reshape(kept, &[t * p]);
        let one = g.constant(1.0);
        let new = g.optimise(Optimiser::adamw(settings.decay).op(), state, kept, control, one);
        g.update(state, new);
        device.prepare(lower(&g, device.caps(WINDOW))?)
    }

    /// The state after so many steps more; `None` where it was told to stop.
    fn train(
        &self,
        device: &Device,
        (data, rows): RowsOf<'_>,
        settings: &TrainSettings,
        steps: u64,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<Vec<f32>>> {
        let batch = settings.batch.min(rows.len());
        let settings = TrainSettings { batch, ..*settings };
        let mut session = self.session(device, &settings, data.loss())?;
        session.write("state", &self.state)?;
        let (optimiser, schedule) = (Optimiser::adamw(settings.decay), settings.schedule());
        let mut orders: Vec<Order> = self.seeds.iter().map(|seed| Order::new(*seed, rows.len())).collect();
        let end = (self.step + steps).min(settings.steps);
        let mut step = self.step;
        while step < end {
            let many = WINDOW.min((end - step) as usize);
            for row in 0..many {
                let at = step + row as u64;
                let (mut x, mut y) = (Vec::new(), Vec::new());
                for (order, seed) in orders.iter_mut().zip(&self.seeds) {
                    let drawn: Vec<usize> = order.batch(at, batch).iter().map(|i| rows[*i]).collect();
                    x.extend(data.moved(&drawn, &mut Rng::new(*seed, MOVED ^ at << 16)));
                    y.extend(data.targets(&drawn));
                }
                session.set_step(row, "x", &x)?;
                session.set_step(row, "y", &y)?;
                session.set_step(row, "control", &optimiser.control(at, schedule.rate(at)))?;
            }
            session.run(many)?;
            step += many as u64;
            if watch((many * self.seeds.len()) as u64) {
                return Ok(None);
            }
        }
        session.read("state").map(Some)
    }

    fn score(&self, device: &Device, (data, rows): RowsOf<'_>) -> Result<Vec<f64>> {
        let (t, n) = (self.seeds.len(), PIECE.min(rows.len()));
        let layout = self.net.layout();
        let mut g = Graph::new();
        let flat = g.data("weights", &[t, layout.len()]);
        let x = g.data("x", &[1, n, self.net.inputs()]);
        let x = g.expand(x, &[t, n, self.net.inputs()]);
        let y = self.net.apply(&mut g, Weights { flat, layout: &layout }, x);
        g.output("y", y);
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        session.write("weights", &self.state[..t * layout.len()])?;
        let mut tallies = vec![Tally::default(); t];
        for piece in rows.chunks(n) {
            session.write("x", &data.inputs(&filled(piece, n)))?;
            session.run(1)?;
            let y = session.read("y")?;
            for (tally, y) in tallies.iter_mut().zip(y.chunks(n * self.net.outputs())) {
                tally.add(y, data, piece);
            }
        }
        Ok(tallies.iter().map(Tally::score).collect())
    }
}

/// How good outputs are, counted row by row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    rows: f64,
    /// Rows whose class was told.
    right: f64,
    /// Of values: the sum of squares of errors; the mean of the values, and the sum of squares of what they differ from it.
    errors: f64,
    mean: f64,
    spread: f64,
    values: bool,
}

/// R² of what is no prediction at all: it has no lower end, and JSON no infinity.
const WORST: f64 = -1e9;

impl Tally {
    /// Counts the outputs of these rows; what follows them is left alone. A network that gives no numbers tells nothing.
    pub(crate) fn add(&mut self, y: &[f32], data: &Labelled, rows: &[usize]) {
        self.values = data.classes.is_empty();
        for (y, row) in y.chunks(data.outputs()).zip(rows) {
            self.rows += 1.0;
            let finite = y.iter().all(|v| v.is_finite());
            if self.values {
                let value = f64::from(data.value_of(*row));
                self.errors += if finite { (f64::from(y[0]) - value).powi(2) } else { f64::INFINITY };
                // Welford (1962): squares of large values would leave nothing of small differences.
                let apart = value - self.mean;
                self.mean += apart / self.rows;
                self.spread += apart * (value - self.mean);
            } else if finite && argmax(y) as u32 == data.labels_of(*row)[0] {
                self.right += 1.0;
            }
        }
    }

    /// The root of the mean squared error of values.
    pub(crate) fn rmse(&self) -> f64 {
        (self.errors / self.rows).sqrt()
    }

    /// The share that was right; of values R², which has no meaning where they are all the same.
    pub(crate) fn score(&self) -> f64 {
        if !self.values {
            return self.right / self.rows;
        }
        (1.0 - self.errors / self.spread).max(WORST)
    }
}

/// So many, the last ones the first again: pieces of one size.
pub(super) fn filled<T: Clone>(some: &[T], n: usize) -> Vec<T> {
    (0..n).map(|i| some.get(i).unwrap_or(&some[0]).clone()).collect()
}

/// All rows in a random order, and again in another.
struct Order {
    seed: u64,
    rows: usize,
    epoch: u64,
    order: Vec<usize>,
}

impl Order {
    fn new(seed: u64, rows: usize) -> Order {
        Order { seed, rows, epoch: u64::MAX, order: vec![] }
    }

    /// The rows of a step. What is left of an epoch that is too little for a step is left out.
    fn batch(&mut self, step: u64, batch: usize) -> &[usize] {
        let each = (self.rows / batch) as u64;
        let (epoch, at) = (step / each, (step % each) as usize);
        if epoch != self.epoch {
            self.order = Rng::new(self.seed, ORDER ^ epoch << 16).choose(self.rows, self.rows);
            self.epoch = epoch;
        }
        &self.order[at * batch..][..batch]
    }
}
