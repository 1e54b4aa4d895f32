//! Tasks that are made on the host, each step's batch handed to the device: drawn by a function, or from a list.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::task::{Batch, Rows, Task, TaskFamily, TaskShape, window_of};

/// Draws a task, and as many of its rows as are asked for: inputs `[n, i]`, targets `[n, o]`.
pub type Draw = dyn Fn(&mut Rng, usize) -> (Vec<f32>, Vec<f32>) + Send + Sync;

/// What tasks are made from.
#[derive(Clone)]
pub enum Maker {
    /// A function.
    Draw(Arc<Draw>),
    /// Tasks to choose from; of each the rows of support and query are shuffled together.
    List(Arc<Vec<Task>>),
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Maker::Draw(_) => f.write_str("Draw"),
            Maker::List(tasks) => write!(f, "List of {}", tasks.len()),
        }
    }
}

/// A family of tasks that are made on the host.
#[derive(Clone, Debug)]
pub struct Staged {
    /// What they are made from.
    pub maker: Maker,
    /// Sizes of episodes.
    pub shape: TaskShape,
    /// Fewest support rows of a training episode.
    pub min_shots: usize,
    /// Seed of the episodes.
    pub seed: u64,
}

impl Staged {
    /// Refuses tasks whose arrays do not fit the shape.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the task and the sizes.
    pub fn check(&self) -> Result<()> {
        let (i, o) = (self.shape.inputs(), self.shape.outputs);
        let fits = |x: &[f32], y: &[f32]| x.len().is_multiple_of(i) && x.len() / i * o == y.len();
        match &self.maker {
            Maker::Draw(draw) => {
                let (x, y) = draw(&mut Rng::new(self.seed, 0), 3);
                match (x.len(), y.len()) == (3 * i, 3 * o) {
                    true => Ok(()),
                    false => Err(Error::Shape(format!(
                        "three rows of {i} inputs and {o} outputs were asked for; {} and {} numbers were drawn",
                        x.len(),
                        y.len()
                    ))),
                }
            }
            Maker::List(tasks) => {
                let wrong = tasks.iter().find(|t| {
                    let rows = t.shots(o) + t.queries(o);
                    let descriptor = t.descriptor.len() == self.shape.descriptor;
                    rows < 2 || !descriptor || !fits(&t.xs, &t.ys) || !fits(&t.xq, &t.yq)
                });
                match wrong {
                    None => Ok(()),
                    Some(t) => Err(Error::Shape(format!(
                        "task '{}': at least two rows of {i} inputs and {o} outputs, and a descriptor of {}, are needed",
                        t.name, self.shape.descriptor
                    ))),
                }
            }
        }
    }

    /// A task with `shots` support rows (fewer where it has not so many) and up to `query` query rows.
    pub fn task(&self, rng: &mut Rng, shots: usize, query: usize) -> Task {
        match &self.maker {
            Maker::Draw(draw) => {
                let (x, y) = draw(rng, shots + query);
                let (i, o) = (self.shape.inputs(), self.shape.outputs);
                let ((xs, xq), (ys, yq)) = (x.split_at(shots * i), y.split_at(shots * o));
                Task { xq: xq.to_vec(), yq: yq.to_vec(), ..Task::from_support(xs.to_vec(), ys.to_vec()) }
            }
            Maker::List(tasks) => {
                let task = &tasks[rng.below(tasks.len())];
                self.dealt(task, rng, shots, query)
            }
        }
    }

    /// A task's rows, shuffled and dealt to support and query.
    pub fn dealt(&self, task: &Task, rng: &mut Rng, shots: usize, query: usize) -> Task {
        let (i, o) = (self.shape.inputs(), self.shape.outputs);
        let (x, y) = ([&task.xs[..], &task.xq].concat(), [&task.ys[..], &task.yq].concat());
        let rows = y.len() / o;
        let order = rng.choose(rows, rows);
        let (support, rest) = order.split_at(shots.min(rows - 1));
        let pick = |rows: &[usize], from: &[f32], w: usize| -> Vec<f32> {
            rows.iter().flat_map(|r| from[r * w..(r + 1) * w].iter().copied()).collect()
        };
        let rest = &rest[..rest.len().min(query)];
        Task {
            name: task.name.clone(),
            xs: pick(support, &x, i),
            ys: pick(support, &y, o),
            xq: pick(rest, &x, i),
            yq: pick(rest, &y, o),
            descriptor: task.descriptor.clone(),
            known: None,
        }
    }
}

impl TaskFamily for Staged {
    fn shape(&self) -> TaskShape {
        self.shape.clone()
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("tasks", |g| {
            let t = tasks.len();
            let (i, o, n, q) =
                (self.shape.inputs(), self.shape.outputs, self.shape.support, self.shape.query);
            let d = self.shape.descriptor;
            Batch {
                support: Rows {
                    x: g.step("support_x", &[t, n, i]),
                    y: g.step("support_y", &[t, n, o]),
                    rows: g.step("support_weights", &[t, n]),
                    count: g.step("support_count", &[t, 1]),
                },
                xq: g.step("query_x", &[t, q, i]),
                yq: g.step("query_y", &[t, q, o]),
                query_rows: Some(g.step("query_weights", &[t, q])),
                descriptor: (d > 0).then(|| g.step("descriptor", &[t, d])),
                task: None,
                noise: None,
            }
        })
    }

    fn window(&self, tasks: usize) -> usize {
        let s = &self.shape;
        let step = tasks * (s.support + s.query) * (s.inputs() + s.outputs);
        window_of(step)
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let (i, o, n, q) = (self.shape.inputs(), self.shape.outputs, self.shape.support, self.shape.query);
        let (mut xs, mut ys, mut xq, mut yq) = (vec![], vec![], vec![], vec![]);
        let (mut rows, mut query, mut counts, mut descriptor) = (vec![], vec![], vec![], vec![]);
        let pad = |to: &mut Vec<f32>, from: &[f32], len: usize| {
            to.extend(from);
            to.resize(to.len() + len - from.len(), 0.0);
        };
        for t in tasks {
            let mut rng = Rng::new(self.seed, 0x57a6_0000_0000_0000 ^ step << 20 ^ t as u64);
            let k = self.min_shots + rng.below(n - self.min_shots + 1);
            let task = self.task(&mut rng, k, q);
            let (k, there) = (task.shots(o), task.queries(o));
            pad(&mut xs, &task.xs, n * i);
            pad(&mut ys, &task.ys, n * o);
            pad(&mut xq, &task.xq, q * i);
            pad(&mut yq, &task.yq, q * o);
            pad(&mut rows, &vec![1.0 / k as f32; k], n);
            pad(&mut query, &vec![1.0 / there as f32; there], q);
            counts.push(k as f32);
            descriptor.extend(&task.descriptor);
        }
        session.set_step(row, "support_x", &xs)?;
        session.set_step(row, "support_y", &ys)?;
        session.set_step(row, "support_weights", &rows)?;
        session.set_step(row, "support_count", &counts)?;
        session.set_step(row, "query_x", &xq)?;
        session.set_step(row, "query_y", &yq)?;
        session.set_step(row, "query_weights", &query)?;
        if !descriptor.is_empty() {
            session.set_step(row, "descriptor", &descriptor)?;
        }
        Ok(())
    }
}
