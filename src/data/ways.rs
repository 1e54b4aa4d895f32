//! N-way K-shot episodes: a task is a handful of classes that were not seen before, each with a few pictures (Vinyals et al.
//! 2016; Lake et al. 2015 for Omniglot). A picture turned by a quarter counts as another class (Santoro et al. 2016).

use std::ops::Range;
use std::sync::Arc;

use super::images::ImageSet;
use super::seen::Seen;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::task::{Batch, Loss, Rows, Task, TaskFamily, TaskShape, window_of};

/// Episodes over some classes of a set.
#[derive(Clone, Debug)]
pub struct Ways {
    /// The pictures.
    pub set: Arc<ImageSet>,
    /// Classes to draw from.
    pub classes: Vec<usize>,
    /// Classes of a task.
    pub ways: usize,
    /// Support pictures of a class.
    pub shots: usize,
    /// Query pictures of a class.
    pub query: usize,
    /// Whether turned pictures are classes of their own.
    pub rotations: bool,
    /// Whether a picture is shifted by up to a twelfth of its sides, at random.
    pub shifts: bool,
    /// Whether a picture is mirrored at random, left and right exchanged.
    pub flips: bool,
    /// Seed of the episodes.
    pub seed: u64,
}

impl Ways {
    /// Refuses a set that has too few classes, or too few pictures of one.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting that asks for more.
    pub fn check(&self, what: &str) -> Result<()> {
        if self.rotations && self.set.shape[0] != self.set.shape[1] {
            let [h, w, _] = self.set.shape;
            let message =
                format!("pictures of {w} by {h} cannot be turned by a quarter: images.rotations = false");
            return Err(Error::config("images.rotations", message));
        }
        if self.classes.len() < self.ways {
            return Err(Error::config(
                "images.ways",
                format!(
                    "{} classes a task, and of {} classes in all there are {} for {what}: others are kept for validation and judging",
                    self.ways,
                    self.set.images.len(),
                    self.classes.len()
                ),
            ));
        }
        for &c in &self.classes {
            let n = self.set.images[c].len();
            if n < self.shots + 1 {
                return Err(Error::config(
                    "eval.shots",
                    format!(
                        "{} shots and a query picture at least are needed of each class; '{}' has {n} pictures",
                        self.shots, self.set.classes[c]
                    ),
                ));
            }
        }
        Ok(())
    }

    /// A task of `shots` and up to `query` pictures a class, drawn by `rng`.
    fn task(&self, rng: &mut Rng, shots: usize) -> Task {
        let mut task = Task::from_support(vec![], vec![]);
        let chosen = rng.choose(self.classes.len(), self.ways);
        let mut names = Vec::new();
        for (label, class) in chosen.into_iter().map(|i| self.classes[i]).enumerate() {
            let images = &self.set.images[class];
            let quarters = if self.rotations { rng.below(4) } else { 0 };
            names.push(self.set.classes[class].as_str());
            for (k, i) in rng.choose(images.len(), shots + self.query).into_iter().enumerate() {
                let (x, y) =
                    if k < shots { (&mut task.xs, &mut task.ys) } else { (&mut task.xq, &mut task.yq) };
                let [h, w, channels] = self.set.shape;
                let seen = Seen::drawn(rng, [h, w], quarters, self.shifts, self.flips);
                let pixels = seen.pixels([h, w]).flat_map(|at| &images[i][at * channels..][..channels]);
                x.extend(pixels.map(|p| f32::from(*p) / 255.0));
                y.extend((0..self.ways).map(|w| f32::from(w == label)));
            }
        }
        task.name = names.join(" ");
        task
    }

    /// Tasks to choose by or to be judged on.
    pub fn held_out(&self, count: usize, shots: usize, stream: u64) -> Vec<Task> {
        let plain = Ways { rotations: false, shifts: false, flips: false, ..self.clone() };
        (0..count).map(|t| plain.task(&mut Rng::new(self.seed, stream ^ (t as u64) << 32), shots)).collect()
    }

    fn rows(&self) -> (usize, usize) {
        (self.ways * self.shots, self.ways * self.query)
    }
}

impl TaskFamily for Ways {
    fn shape(&self) -> TaskShape {
        let (support, query) = self.rows();
        TaskShape {
            support,
            query,
            row: self.set.shape.to_vec(),
            outputs: self.ways,
            descriptor: 0,
            known: 0,
            loss: Loss::CrossEntropy,
        }
    }

    fn rows_are_even(&self) -> bool {
        true
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("pictures", |g| {
            let tasks = tasks.len();
            let shape = self.shape();
            let (inputs, outputs, n, q) = (shape.inputs(), shape.outputs, shape.support, shape.query);
            let x = g.step("support_x", &[tasks, n, inputs]);
            let y = g.step("support_y", &[tasks, n, outputs]);
            let support = Rows::alike(g, x, y);
            let xq = g.step("query_x", &[tasks, q, inputs]);
            let yq = g.step("query_y", &[tasks, q, outputs]);
            let query_rows = Some(g.step("query_weights", &[tasks, q]));
            Batch { query_rows, ..Batch::new(support, xq, yq) }
        })
    }

    fn window(&self, tasks: usize) -> usize {
        let shape = self.shape();
        let step = tasks * (shape.support + shape.query) * (shape.inputs() + shape.outputs);
        window_of(step)
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let shape = self.shape();
        let (inputs, outputs, query) = (shape.inputs(), shape.outputs, shape.query);
        let (mut xs, mut ys, mut xq, mut yq, mut weights) = (vec![], vec![], vec![], vec![], vec![]);
        for (t, number) in tasks.enumerate() {
            let mut rng = Rng::new(self.seed, 0x3a75_0000_0000_0000 ^ step << 20 ^ number as u64);
            let task = self.task(&mut rng, self.shots);
            xs.extend(task.xs);
            ys.extend(task.ys);
            // Classes with fewer pictures leave query rows that count nothing.
            let there = task.yq.len() / outputs;
            weights.extend((0..query).map(|i| if i < there { 1.0 / there as f32 } else { 0.0 }));
            xq.extend(task.xq);
            xq.resize((t + 1) * query * inputs, 0.0);
            yq.extend(task.yq);
            yq.resize((t + 1) * query * outputs, 0.0);
        }
        session.set_step(row, "support_x", &xs)?;
        session.set_step(row, "support_y", &ys)?;
        session.set_step(row, "query_x", &xq)?;
        session.set_step(row, "query_y", &yq)?;
        session.set_step(row, "query_weights", &weights)
    }
}
