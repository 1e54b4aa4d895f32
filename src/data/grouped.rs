//! The groups of a table as a family of tasks: rows stay on the device, an episode is a list of row
//! numbers.

use std::ops::Range;
use std::sync::Arc;

use super::csv::Groups;
use super::encoder::TargetKind;
use crate::error::Result;
use crate::graph::{Graph, Role, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::spec::{DType, count};
use crate::task::{Batch, Loss, Rows, Task, TaskFamily, TaskShape};

/// Draws of a held-out group at most: they average over which rows happen to be the support. Where groups
/// are many, they do that themselves.
const MAX_DRAWS: usize = 5;
/// Held-out tasks that are enough.
const ENOUGH_TASKS: usize = 200;

/// Share of training episodes whose task counts as unknown.
const UNKNOWN_FRACTION: f64 = 0.2;

/// Groups of a table to train on.
#[derive(Clone, Debug)]
pub struct Grouped {
    /// The encoded table.
    pub groups: Arc<Groups>,
    /// Groups to draw from.
    pub train: Vec<usize>,
    /// Support rows at most.
    pub shots: usize,
    /// Query rows at most.
    pub query: usize,
    /// Whether the constant columns are the task's descriptor.
    pub descriptor: bool,
    /// Seed of the episodes.
    pub seed: u64,
}

/// Support rows of a held-out group of `rows` rows: `shots`, or as many as there are but one, which is judged on.
fn support_size(rows: usize, shots: usize) -> usize {
    shots.min(rows - 1).max(1)
}

/// The same of a group whose support rows a file of splits names. The published figures for such files know two rows (or one of two or three)
/// of groups that would have fewer than three rows left.
fn split_support_size(rows: usize, shots: usize) -> usize {
    if rows >= shots + 3 { shots } else { shots.min(2).min(rows / 2).max(1) }
}

/// The loss of a kind of target.
fn loss_of(kind: TargetKind) -> Loss {
    match kind {
        TargetKind::Regression => Loss::Mse,
        TargetKind::Classification => Loss::CrossEntropy,
    }
}

impl Grouped {
    fn descriptor_width(&self) -> usize {
        if self.descriptor && self.groups.sequences.is_none() {
            self.groups.encoder.descriptor_columns().len()
        } else {
            0
        }
    }

    fn descriptor_of(&self, group: usize) -> Vec<f32> {
        let d = self.groups.encoder.inputs();
        let row = self.groups.groups[group].rows.start;
        let columns = self.groups.encoder.descriptor_columns().iter().take(self.descriptor_width());
        columns.map(|c| self.groups.x[row * d + c]).collect()
    }

    /// A task of `group` whose support is the rows `support` (numbers inside the group); the others are the query.
    pub fn task(&self, group: usize, support: &[usize]) -> Task {
        let g = &self.groups.groups[group];
        let (d, o) = (count(&self.groups.row()), self.groups.encoder.outputs());
        let mut task = Task {
            name: g.name.clone(),
            xs: vec![],
            ys: vec![],
            xq: vec![],
            yq: vec![],
            descriptor: self.descriptor_of(group),
            known: self.train.contains(&group).then_some(group),
        };
        let row = |i: usize, x: &mut Vec<f32>, y: &mut Vec<f32>| {
            let r = g.rows.start + i;
            x.extend(&self.groups.x[r * d..(r + 1) * d]);
            y.extend(&self.groups.y[r * o..(r + 1) * o]);
        };
        for &i in support {
            row(i, &mut task.xs, &mut task.ys);
        }
        for i in (0..g.rows.len()).filter(|i| !support.contains(i)) {
            row(i, &mut task.xq, &mut task.yq);
        }
        task
    }

    /// Tasks of these groups: several draws of the support each, or one of the first rows where these are in order.
    pub fn drawn_tasks(&self, groups: &[usize], shots: usize, stream: u64) -> Vec<Task> {
        let mut tasks = Vec::new();
        for &g in groups {
            let n = self.groups.groups[g].rows.len();
            if self.groups.order.is_some() {
                let known: Vec<usize> = (0..self.known_rows(g, shots)).collect();
                tasks.push(self.task(g, &known));
                continue;
            }
            for draw in 0..(ENOUGH_TASKS / groups.len()).clamp(1, MAX_DRAWS) as u64 {
                let mut rng = Rng::new(self.seed, stream ^ (g as u64) << 16 ^ draw << 48);
                tasks.push(self.task(g, &rng.choose(n, self.known_rows(g, shots))));
            }
        }
        tasks
    }

    /// Support rows of a held-out group where `shots` are asked for.
    pub fn known_rows(&self, group: usize, shots: usize) -> usize {
        let rows = self.groups.groups[group].rows.len();
        if self.groups.split.draws.is_empty() {
            support_size(rows, shots)
        } else {
            split_support_size(rows, shots)
        }
    }

    /// The test groups: the draws of the split file, or drawn here.
    pub fn test_tasks(&self, shots: usize) -> Vec<Task> {
        let split = &self.groups.split;
        if split.draws.is_empty() {
            return self.drawn_tasks(&split.test, shots, 0x7e57);
        }
        let tasks = split.test.iter().zip(&split.draws).flat_map(|(&g, draws)| {
            let k = self.known_rows(g, shots);
            draws.iter().map(move |d| self.task(g, &d[..k.min(d.len())]))
        });
        tasks.collect()
    }
}

impl TaskFamily for Grouped {
    fn shape(&self) -> TaskShape {
        TaskShape {
            support: self.shots,
            query: self.query,
            row: self.groups.row(),
            outputs: self.groups.encoder.outputs(),
            descriptor: self.descriptor_width(),
            known: self.groups.groups.len(),
            loss: loss_of(self.groups.encoder.kind()),
        }
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("rows", |g| {
            let (t, n, q) = (tasks.len(), self.shots, self.query);
            let shape = self.shape();
            let (inputs, outputs, descriptor) = (shape.inputs(), shape.outputs, shape.descriptor);
            let total = self.groups.x.len() / inputs;
            let x = g.input("table_x", Role::Data, &[total, inputs], DType::F32);
            let y = g.input("table_y", Role::Data, &[total, outputs], DType::F32);
            let support_rows = g.step_u32("support_rows", &[t, n]);
            let query_rows = g.step_u32("query_rows", &[t, q]);
            Batch {
                support: Rows {
                    x: g.gather(x, support_rows),
                    y: g.gather(y, support_rows),
                    rows: g.step("support_weights", &[t, n]),
                    count: g.step("support_count", &[t, 1]),
                },
                xq: g.gather(x, query_rows),
                yq: g.gather(y, query_rows),
                query_rows: Some(g.step("query_weights", &[t, q])),
                descriptor: (descriptor > 0).then(|| g.step("descriptor", &[t, descriptor])),
                task: Some(g.step_u32("task", &[t])),
                noise: None,
            }
        })
    }

    fn upload(&self, session: &mut Session) -> Result<()> {
        session.write("table_x", &self.groups.x)?;
        session.write("table_y", &self.groups.y)
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let mut rng = Rng::new(self.seed, 0xC5F0_0000_0000 + step);
        let (n, q) = (self.shots, self.query);
        let many = tasks.len();
        let (mut s_rows, mut s_weights, mut counts) =
            (vec![0; many * n], vec![0.0; many * n], vec![0.0; many]);
        let (mut q_rows, mut q_weights) = (vec![0; many * q], vec![0.0; many * q]);
        let (mut descriptor, mut known) = (Vec::new(), Vec::new());
        // One stream for all tasks: those before are drawn, too.
        for number in 0..tasks.end {
            let group = self.train[rng.below(self.train.len())];
            // Now and then the task counts as unknown, so that the embedding of unknown tasks learns too.
            let hidden = rng.uniform() < UNKNOWN_FRACTION;
            let rows = &self.groups.groups[group].rows;
            let most = n.min(rows.len() - 1);
            let k = 1 + rng.below(most);
            // Those that come first are known, or any.
            let order: Vec<usize> = match &self.groups.order {
                Some(_) => (0..k).chain(rng.choose(rows.len() - k, q).into_iter().map(|r| k + r)).collect(),
                None => rng.choose(rows.len(), k + q),
            };
            let Some(t) = number.checked_sub(tasks.start) else { continue };
            known.push(if hidden { self.groups.groups.len() } else { group } as u32);
            let (support, query) = order.split_at(k);
            for (i, &r) in support.iter().enumerate() {
                s_rows[t * n + i] = (rows.start + r) as u32;
                s_weights[t * n + i] = 1.0 / k as f32;
            }
            for (i, &r) in query.iter().enumerate() {
                q_rows[t * q + i] = (rows.start + r) as u32;
                q_weights[t * q + i] = 1.0 / query.len() as f32;
            }
            counts[t] = k as f32;
            descriptor.extend(self.descriptor_of(group));
        }
        session.set_step_u32(row, "task", &known)?;
        session.set_step_u32(row, "support_rows", &s_rows)?;
        session.set_step(row, "support_weights", &s_weights)?;
        session.set_step(row, "support_count", &counts)?;
        session.set_step_u32(row, "query_rows", &q_rows)?;
        session.set_step(row, "query_weights", &q_weights)?;
        if !descriptor.is_empty() {
            session.set_step(row, "descriptor", &descriptor)?;
        }
        Ok(())
    }
}
