//! Rows with a class or a value each, and batches of them: a single task, whose network is trained on batches of its rows.
//!
//! ```
//! use hyperloom::data::labelled::Labelled;
//!
//! let classes = vec!["low".to_string(), "high".to_string()];
//! let rows = Labelled::of_numbers(vec![2], classes, vec![0.0, 0.1, 0.9, 1.0], vec![0, 1]);
//! assert_eq!((rows.len(), rows.targets(&[1])), (2, vec![0.0, 1.0]));
//! ```

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::images::ImageSet;
use super::seen::Seen;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::spec::{Shape, count};
use crate::task::{Batch, Loss, TaskFamily, TaskShape, window_of};

/// Mean and deviation of a channel of pictures whose pixels are 0 to 1: what is taken off, and what is divided by.
pub type ChannelScale = [f32; 2];

/// A pixel, 0 to 255, as a network reads it; channels without a scale are 0 to 1.
pub(crate) fn pixel(scales: &[ChannelScale], channel: usize, value: u8) -> f32 {
    let plain = f32::from(value) / 255.0;
    scales.get(channel).map_or(plain, |[mean, deviation]| (plain - mean) / deviation)
}

/// The label of an element of a sequence about which nothing is asked.
pub const NONE: u32 = u32::MAX;

/// Rows of one shape, each with its class or its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// Shape of a row.
    pub row: Shape,
    /// Names of the classes; none where rows have values.
    pub classes: Vec<String>,
    /// The class of each row; of sequences one for each element, [`NONE`] where nothing is asked. None where rows have values.
    pub labels: Vec<u32>,
    /// The value of each row, as a network predicts it, where rows have no classes.
    values: Vec<f32>,
    /// Labels of a row.
    each: usize,
    /// How rows are moved when they are learned from.
    pub moves: Moves,
    inputs: Inputs,
}

/// How pictures and series are moved at random when they are learned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moves {
    /// Shifted by up to a twelfth of their sides.
    pub shifts: bool,
    /// Mirrored half the time.
    pub flips: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Inputs {
    /// Pictures, row by row from the top left, channels last.
    Pixels { bytes: Vec<u8>, scales: Vec<ChannelScale> },
    /// As a network reads them.
    Numbers(Vec<f32>),
    /// Numbers of symbols.
    Symbols(Vec<u32>),
}

impl Labelled {
    /// Pictures; with the scales of others, or their own.
    pub fn of_images(set: ImageSet, scales: Option<&[ChannelScale]>) -> Labelled {
        let ImageSet { shape, classes, images } = set;
        let scales = scales.map_or_else(|| channel_scales(shape, &images), <[ChannelScale]>::to_vec);
        let labels = images.iter().enumerate().flat_map(|(c, of)| of.iter().map(move |_| c as u32)).collect();
        let bytes = images.into_iter().flatten().flatten().collect();
        Labelled {
            row: shape.to_vec(),
            classes,
            labels,
            values: vec![],
            each: 1,
            moves: Moves::default(),
            inputs: Inputs::Pixels { bytes, scales },
        }
    }

    /// Numbers `[rows, ..row]` as a network reads them.
    pub fn of_numbers(row: Shape, classes: Vec<String>, x: Vec<f32>, labels: Vec<u32>) -> Labelled {
        assert_eq!(x.len(), labels.len() * count(&row), "numbers of {} rows of {row:?}", labels.len());
        Labelled {
            row,
            classes,
            labels,
            values: vec![],
            each: 1,
            moves: Moves::default(),
            inputs: Inputs::Numbers(x),
        }
    }

    /// Numbers `[rows, ..row]` as a network reads them, and the value of each row as it predicts it.
    pub fn of_values(row: Shape, x: Vec<f32>, values: Vec<f32>) -> Labelled {
        assert_eq!(x.len(), values.len() * count(&row), "numbers of {} rows of {row:?}", values.len());
        Labelled {
            row,
            classes: vec![],
            labels: vec![],
            values,
            each: 1,
            moves: Moves::default(),
            inputs: Inputs::Numbers(x),
        }
    }

    /// Sequences of so many symbols side by side, each labelled with the symbol that follows. What is left over at the end of the text
    /// is too short for one.
    pub fn of_text(symbols: Vec<String>, text: &[u32], length: usize) -> Labelled {
        let n = text.len().saturating_sub(1) / length * length;
        let (x, labels) = (text[..n].to_vec(), text[n.min(1)..][..n].to_vec());
        Labelled {
            row: vec![length],
            classes: symbols,
            labels,
            values: vec![],
            each: length,
            moves: Moves::default(),
            inputs: Inputs::Symbols(x),
        }
    }

    /// Sequences of so many symbols, each labelled, where anything is asked, with what is to be said behind it.
    pub fn of_sequences(symbols: Vec<String>, x: Vec<u32>, labels: Vec<u32>, length: usize) -> Labelled {
        assert_eq!(x.len(), labels.len(), "a label for each symbol");
        Labelled {
            row: vec![length],
            classes: symbols,
            labels,
            values: vec![],
            each: length,
            moves: Moves::default(),
            inputs: Inputs::Symbols(x),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        if self.classes.is_empty() { self.values.len() } else { self.labels.len() / self.each }
    }

    /// Numbers that a network says of a row: one for each class, or a value.
    pub fn outputs(&self) -> usize {
        self.classes.len().max(1)
    }

    /// What such a network is trained to minimise.
    pub fn loss(&self) -> Loss {
        if self.classes.is_empty() { Loss::Mse } else { Loss::CrossEntropy }
    }

    /// How many labels a row has.
    pub fn labels_each(&self) -> usize {
        self.each
    }

    /// The labels of a row.
    pub fn labels_of(&self, row: usize) -> &[u32] {
        &self.labels[row * self.each..][..self.each]
    }

    /// The value of a row, where rows have values.
    pub(crate) fn value_of(&self, row: usize) -> f32 {
        self.values[row]
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How pixels were brought to numbers; nothing of rows that are no pictures.
    pub fn scales(&self) -> &[ChannelScale] {
        match &self.inputs {
            Inputs::Pixels { scales, .. } => scales,
            _ => &[],
        }
    }

    /// A row as a picture: its shape and its pixels.
    pub fn picture(&self, row: usize) -> Option<([usize; 3], &[u8])> {
        let shape = <[usize; 3]>::try_from(&self.row[..]).ok()?;
        match &self.inputs {
            Inputs::Pixels { bytes, .. } => Some((shape, &bytes[row * count(&shape)..][..count(&shape)])),
            _ => None,
        }
    }

    /// Inputs `[rows, ..]` of these rows.
    pub fn inputs(&self, rows: &[usize]) -> Vec<f32> {
        let mut to = Vec::with_capacity(rows.len() * count(&self.row));
        rows.iter().for_each(|&row| self.put(row, Seen::default(), &mut to));
        to
    }

    /// Inputs `[rows, ..]` of these rows, each moved as [`Labelled::moves`] says.
    pub fn moved(&self, rows: &[usize], rng: &mut Rng) -> Vec<f32> {
        if self.moves == Moves::default() {
            return self.inputs(rows);
        }
        let Moves { shifts, flips } = self.moves;
        let (extent, _) = self.extent();
        let mut to = Vec::with_capacity(rows.len() * count(&self.row));
        rows.iter().for_each(|&row| self.put(row, Seen::drawn(rng, extent, 0, shifts, flips), &mut to));
        to
    }

    /// Targets `[rows, classes]` of these rows, one-hot; of sequences `[rows, length, classes]`; values `[rows, 1]`.
    pub fn targets(&self, rows: &[usize]) -> Vec<f32> {
        if self.classes.is_empty() {
            return rows.iter().map(|row| self.values[*row]).collect();
        }
        let one_hot = |label: &u32| {
            let label = *label as usize;
            (0..self.classes.len()).map(move |c| f32::from(c == label))
        };
        rows.iter().flat_map(|row| self.labels_of(*row)).flat_map(one_hot).collect()
    }

    /// Height and width of a row that is a picture or a series, and its channels; of any other one element with all numbers.
    fn extent(&self) -> ([usize; 2], usize) {
        match self.row[..] {
            [h, w, channels] => ([h, w], channels),
            [length, channels] => ([1, length], channels),
            _ => ([1, 1], count(&self.row)),
        }
    }

    fn put(&self, row: usize, seen: Seen, to: &mut Vec<f32>) {
        let (extent, channels) = self.extent();
        let first = row * count(&self.row);
        let at =
            seen.pixels(extent).flat_map(|at| (0..channels).map(move |c| (c, first + at * channels + c)));
        match &self.inputs {
            Inputs::Pixels { bytes, scales } => to.extend(at.map(|(c, at)| pixel(scales, c, bytes[at]))),
            Inputs::Numbers(x) => to.extend(at.map(|(_, at)| x[at])),
            Inputs::Symbols(x) => to.extend(at.map(|(_, at)| x[at] as f32)),
        }
    }

    /// The same rows with the classes of others, found by their names.
    ///
    /// # Errors
    /// [`Error::Data`] about `path`, naming a class that the others have not.
    pub fn with_classes_of(mut self, others: &Labelled, path: &Path) -> Result<Labelled> {
        let places = self.classes.iter().map(|name| {
            let at = others.classes.iter().position(|c| c == name);
            at.map(|at| at as u32).ok_or_else(|| {
                let (n, some) =
                    (others.classes.len(), others.classes.iter().take(10).cloned().collect::<Vec<_>>());
                let more = if n > some.len() { ", …" } else { "" };
                let message = format!(
                    "has the class '{name}', which is not among the {n} that are trained on: {}{more}",
                    some.join(", ")
                );
                Error::data(path, "", message)
            })
        });
        let places = places.collect::<Result<Vec<u32>>>()?;
        self.labels.iter_mut().for_each(|l| *l = places[*l as usize]);
        self.classes.clone_from(&others.classes);
        Ok(self)
    }
}

/// Mean and deviation of each channel over all pixels.
fn channel_scales([h, w, channels]: [usize; 3], images: &[Vec<Vec<u8>>]) -> Vec<ChannelScale> {
    let mut counts = vec![[0u64; 256]; channels];
    for image in images.iter().flatten() {
        for pixel in image.chunks(channels) {
            pixel.iter().zip(&mut counts).for_each(|(p, of)| of[*p as usize] += 1);
        }
    }
    let n = (images.iter().map(Vec::len).sum::<usize>() * h * w).max(1) as f64;
    let of = |counts: &[u64; 256]| {
        let mean_of = |f: &dyn Fn(f64) -> f64| {
            counts.iter().enumerate().map(|(p, k)| f(p as f64 / 255.0) * *k as f64).sum::<f64>() / n
        };
        let mean = mean_of(&|p| p);
        let deviation = mean_of(&|p| (p - mean).powi(2)).sqrt();
        // A channel that is the same everywhere says nothing, at any scale.
        [mean as f32, if deviation > 1e-6 { deviation as f32 } else { 1.0 }]
    };
    counts.iter().map(of).collect()
}

/// Batches of a single task's rows, epoch after epoch in another order. What a batch's rows are to be judged by lies beside them, so the
/// batch is support and query at once.
#[derive(Debug)]
pub struct Batches {
    /// The rows.
    pub rows: Arc<Labelled>,
    /// Those that are trained on.
    pub train: Vec<usize>,
    /// Rows of a batch.
    pub batch: usize,
    /// Seed of the order.
    pub seed: u64,
    /// The epoch that was asked for last, and its order.
    order: Mutex<Option<(u64, Arc<Vec<usize>>)>>,
}

impl Batches {
    /// Batches of `batch` rows (fewer where there are not so many) of those in `train`.
    pub fn new(rows: Arc<Labelled>, train: Vec<usize>, batch: usize, seed: u64) -> Batches {
        let batch = batch.min(train.len());
        Batches { rows, train, batch, seed, order: Mutex::default() }
    }

    /// The order of an epoch.
    fn order(&self, epoch: u64) -> Arc<Vec<usize>> {
        let mut last = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = last.as_ref().filter(|(of, _)| *of == epoch) {
            return order.clone();
        }
        let n = self.train.len();
        let order = Arc::new(Rng::new(self.seed, 0x0e90_0000_0000_0000 ^ epoch).choose(n, n));
        *last = Some((epoch, order.clone()));
        order
    }

    /// The rows of step `step`; an epoch goes on in the batch in which the one before ends.
    fn batch(&self, step: u64) -> Vec<usize> {
        let n = self.train.len() as u64;
        let first = step * self.batch as u64;
        (first..first + self.batch as u64)
            .map(|at| self.train[self.order(at / n)[(at % n) as usize]])
            .collect()
    }
}

impl TaskFamily for Batches {
    fn shape(&self) -> TaskShape {
        TaskShape {
            loss: self.rows.loss(),
            ..TaskShape::new(self.rows.row.clone(), self.rows.outputs(), self.batch, self.batch)
        }
    }

    fn rows_are_even(&self) -> bool {
        true
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("rows", |g| {
            let shape = self.shape();
            let (t, n) = (tasks.len(), self.batch);
            let x = g.step("x", &[t, n, shape.inputs()]);
            let y = g.step("y", &[t, n, shape.outputs]);
            Batch::same(g, x, y)
        })
    }

    fn window(&self, tasks: usize) -> usize {
        let shape = self.shape();
        let step = tasks * self.batch * (shape.inputs() + shape.outputs);
        window_of(step)
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let rows = self.batch(step);
        let (mut xs, mut ys) = (vec![], vec![]);
        for t in tasks {
            let mut rng = Rng::new(self.seed, 0x5ee7_0000_0000_0000 ^ step << 20 ^ t as u64);
            xs.extend(self.rows.moved(&rows, &mut rng));
            ys.extend(self.rows.targets(&rows));
        }
        session.set_step(row, "x", &xs)?;
        session.set_step(row, "y", &ys)
    }
}
