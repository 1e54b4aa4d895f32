//! Drawings of one class each: a task is a class of pictures whose pixels are 0 or 1, to be written from codes by a decoder
//! ([`Variational`](crate::net::Variational)). An input is a picture and then as many random numbers as a code has, a target the
//! picture and then 0.

use std::ops::Range;
use std::sync::Arc;

use super::images::ImageSet;
use super::seen::Seen;
use crate::error::{Error, Result};
use crate::graph::op::Dist;
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::spec::count;
use crate::task::{Batch, Loss, Rows, Task, TaskFamily, TaskShape, window_of};

/// From this level of 255 on a pixel is 1.
const BRIGHT: u8 = 128;

/// Classes of pictures.
#[derive(Clone, Debug)]
pub struct OneClass {
    /// The pictures.
    pub set: Arc<ImageSet>,
    /// Those of its classes that are drawn from.
    pub classes: Vec<usize>,
    /// Support pictures of an episode.
    pub shots: usize,
    /// Query pictures of an episode, at most.
    pub query: usize,
    /// Numbers of a code.
    pub code: usize,
    /// Whether pictures are turned by quarters, all of a task alike, and moved a little, in training.
    pub moves: bool,
    /// Seed of the episodes.
    pub seed: u64,
}

/// Pixels as 0 or 1.
pub fn binary<'p>(pixels: impl IntoIterator<Item = &'p u8>) -> impl Iterator<Item = f32> {
    pixels.into_iter().map(|p| f32::from(*p >= BRIGHT))
}

/// Inputs of pictures `[n, D]` whose noise is drawn by `rng`, and their targets.
pub fn rows(pictures: &[f32], numbers: usize, code: usize, rng: &mut Rng) -> (Vec<f32>, Vec<f32>) {
    let (mut x, mut y) = (vec![], vec![]);
    for picture in pictures.chunks(numbers) {
        x.extend(picture);
        x.extend((0..code).map(|_| rng.normal() as f32));
        y.extend(picture);
        y.push(0.0);
    }
    (x, y)
}

impl OneClass {
    /// Refuses classes with too few pictures; `what` they are for.
    ///
    /// # Errors
    /// [`Error::Config`] naming the class.
    pub fn check(&self, what: &str) -> Result<()> {
        if self.classes.is_empty() {
            let message = format!(
                "classes are {} here, and none is left for {what}: 3 at least are needed, or 2 and others by --test-images",
                self.set.classes.len()
            );
            return Err(Error::config("decoders.train", message));
        }
        match self.classes.iter().find(|c| self.set.images[**c].len() <= self.shots) {
            None => Ok(()),
            Some(&c) => Err(Error::config(
                "eval.shots",
                format!(
                    "{} shots and a query picture at least are needed of each class for {what}; '{}' has {} pictures",
                    self.shots,
                    self.set.classes[c],
                    self.set.images[c].len()
                ),
            )),
        }
    }

    /// Pixels of up to so many pictures of a class, the first `shots` of them the support.
    fn pictures(&self, class: usize, rng: &mut Rng, moves: bool) -> Vec<f32> {
        let (images, [h, w, channels]) = (&self.set.images[class], self.set.shape);
        let quarters = if moves && h == w { rng.below(4) } else { 0 };
        let mut all = Vec::new();
        for i in rng.choose(images.len(), (self.shots + self.query).min(images.len())) {
            let seen = Seen::drawn(rng, [h, w], quarters, moves, false);
            let pixels = seen.pixels([h, w]).flat_map(|at| &images[i][at * channels..][..channels]);
            all.extend(binary(pixels));
        }
        all
    }

    /// Up to `most` classes as tasks of `shots` support rows, the same in every call.
    pub fn held_out(&self, most: usize, shots: usize, stream: u64) -> Vec<Task> {
        let numbers = count(&self.set.shape);
        let this = OneClass { shots, ..self.clone() };
        let order = Rng::new(self.seed, stream).choose(self.classes.len(), self.classes.len());
        let task = |i: usize| {
            let class = self.classes[i];
            let mut rng = Rng::new(self.seed, stream ^ (1 + class as u64) << 20);
            let (x, y) = rows(&this.pictures(class, &mut rng, false), numbers, self.code, &mut rng);
            let ((xs, xq), (ys, yq)) =
                (x.split_at(shots * (numbers + self.code)), y.split_at(shots * (numbers + 1)));
            let support = Task::from_support(xs.to_vec(), ys.to_vec());
            support.with_query(xq.to_vec(), yq.to_vec()).with_name(self.set.classes[class].clone())
        };
        order.into_iter().take(most).map(task).collect()
    }
}

impl TaskFamily for OneClass {
    fn shape(&self) -> TaskShape {
        let numbers = count(&self.set.shape);
        let row = [numbers + self.code];
        TaskShape { loss: Loss::Elbo, ..TaskShape::new(row, numbers + 1, self.shots, self.query) }
    }

    fn rows_are_even(&self) -> bool {
        true
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, key: Value) -> Batch {
        g.scope("pictures", |g| {
            let (t, n, q, numbers) = (tasks.len(), self.shots, self.query, count(&self.set.shape));
            let pictures = g.step("pictures", &[t, n + q, numbers]);
            let noise = g.random_from(tasks.start, Dist::Normal, key, 1, &[t, n + q, self.code]);
            let nothing = g.constant(0.0);
            let nothing = g.expand(nothing, &[t, n + q, 1]);
            let (x, y) = (g.concat(&[pictures, noise], 2), g.concat(&[pictures, nothing], 2));
            let (xs, ys) = (g.slice(x, 1, 0, n), g.slice(y, 1, 0, n));
            let support = Rows::alike(g, xs, ys);
            Batch {
                query_rows: Some(g.step("query_weights", &[t, q])),
                ..Batch::new(support, g.slice(x, 1, n, q), g.slice(y, 1, n, q))
            }
        })
    }

    fn window(&self, tasks: usize) -> usize {
        window_of(tasks * (self.shots + self.query) * (count(&self.set.shape) + 1))
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let (mut all, mut weights) = (vec![], vec![]);
        let numbers = count(&self.set.shape);
        let each = (self.shots + self.query) * numbers;
        for (t, number) in tasks.enumerate() {
            let mut rng = Rng::new(self.seed, 0x0c1a_0000_0000_0000 ^ step << 20 ^ number as u64);
            let class = self.classes[rng.below(self.classes.len())];
            all.extend(self.pictures(class, &mut rng, self.moves));
            // Classes with fewer pictures leave query rows that count nothing.
            let there = (all.len() - t * each) / numbers - self.shots;
            weights.extend((0..self.query).map(|i| if i < there { 1.0 / there as f32 } else { 0.0 }));
            all.resize((t + 1) * each, 0.0);
        }
        session.set_step(row, "pictures", &all)?;
        session.set_step(row, "query_weights", &weights)
    }
}
