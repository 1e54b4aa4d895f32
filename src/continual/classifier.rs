//! Which task a row belongs to, where nobody says it.

use super::sequence::{Sequence, TaskRows};
use crate::error::Result;
use crate::graph::Graph;
use crate::plan::lower;
use crate::run::Device;

/// How much of the covariance is that of inputs which have nothing to do with one another, and are equally wide.
const SHRINKAGE: f64 = 0.05;
/// Rows of a task that are looked at, at most.
const ROWS: usize = 1_000;

/// Streaming linear discriminant analysis (Hayes and Kanan 2020): means of groups of rows (the classes of tasks, or tasks whose rows have values), and the
/// covariance that all have around them. A further task adds its own means, and its rows to the covariance; no mean of an earlier task changes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskClassifier {
    /// Means, `[groups, inputs]`.
    means: Vec<f32>,
    /// The task of each group.
    of: Vec<usize>,
    /// Products of what rows are away from their means, summed, `[inputs, inputs]`.
    scatter: Vec<f32>,
    /// Rows that are in it.
    rows: usize,
    inputs: usize,
    /// What scores are made from: weights `[inputs, groups]` and biases `[groups]`.
    scores: (Vec<f32>, Vec<f32>),
}

impl TaskClassifier {
    /// One that knows no task, of rows with so many inputs.
    pub fn new(inputs: usize) -> TaskClassifier {
        TaskClassifier {
            means: vec![],
            of: vec![],
            scatter: vec![0.0; inputs * inputs],
            rows: 0,
            inputs,
            scores: (vec![], vec![]),
        }
    }

    /// Looks at the rows of task `task`, which is the next.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn learn(&mut self, device: &Device, sequence: &Sequence, task: usize, seed: u64) -> Result<()> {
        let (rows, d) = (&sequence.tasks[task].train, self.inputs);
        let groups = if sequence.has_classes() { sequence.outputs } else { 1 };
        let among = rows.drawn(ROWS, seed, 0x51da ^ (task as u64) << 32);
        let group = |at: usize| rows.class(at).unwrap_or(0);
        let (mut x, mut means, mut many) = (vec![], vec![0.0f64; groups * d], vec![0usize; groups]);
        for at in &among {
            rows.put(*at, &mut x);
            let g = group(*at);
            many[g] += 1;
            let row = &x[x.len() - d..];
            means[g * d..][..d].iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v));
        }
        for (g, n) in many.iter().enumerate() {
            means[g * d..][..d].iter_mut().for_each(|m| *m /= (*n).max(1) as f64);
        }
        for (row, at) in x.chunks_mut(d).zip(&among) {
            let mean = &means[group(*at) * d..][..d];
            row.iter_mut().zip(mean).for_each(|(v, m)| *v -= *m as f32);
        }
        let n = among.len();
        let mut g = Graph::new();
        let (away, scatter) = (g.data("away", &[n, d]), g.data("scatter", &[d, d]));
        let product = g.matmul_t(away, true, away, false);
        let sum = g.add(scatter, product);
        g.output("sum", sum);
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        session.write("away", &x)?;
        session.write("scatter", &self.scatter)?;
        session.run(1)?;
        self.scatter = session.read("sum")?;
        self.rows += n;
        // A group without a row is never meant.
        for (g, n) in many.iter().enumerate().filter(|(_, n)| **n > 0) {
            debug_assert!(*n > 0);
            self.means.extend(means[g * d..][..d].iter().map(|m| *m as f32));
            self.of.push(task);
        }
        self.solve(device)
    }

    /// Weights and biases of the scores: `Σ⁻¹ μ` and `-½ μᵀ Σ⁻¹ μ`.
    fn solve(&mut self, device: &Device) -> Result<()> {
        let (d, groups) = (self.inputs, self.of.len());
        let trace: f64 = (0..d).map(|i| f64::from(self.scatter[i * d + i])).sum();
        let scale = 1.0 / self.rows.max(1) as f64;
        let spread = (trace * scale / d as f64).max(1e-12);
        let mut covariance: Vec<f32> = self
            .scatter
            .iter()
            .map(|v| (f64::from(*v) * scale * (1.0 - SHRINKAGE) / spread) as f32)
            .collect();
        (0..d).for_each(|i| covariance[i * d + i] += SHRINKAGE as f32);
        let mut g = Graph::new();
        let (a, means) = (g.data("covariance", &[1, d, d]), g.data("means", &[groups, d]));
        let columns = g.permute(means, &[1, 0]);
        let columns = g.reshape(columns, &[1, d, groups]);
        let weights = g.spd_solve(a, columns);
        let weights = g.reshape(weights, &[d, groups]);
        g.output("weights", weights);
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        session.write("covariance", &covariance)?;
        session.write("means", &self.means)?;
        session.run(1)?;
        let weights = session.read("weights")?;
        let bias = |group: usize| {
            let mean = &self.means[group * d..][..d];
            let dot = (0..d).map(|i| f64::from(mean[i]) * f64::from(weights[i * groups + group]));
            (-0.5 * dot.sum::<f64>()) as f32
        };
        self.scores = (weights.clone(), (0..groups).map(bias).collect());
        Ok(())
    }

    /// The task that a row belongs to, among those that are known.
    pub fn task_of(&self, x: &[f32]) -> usize {
        let groups = self.of.len();
        let mut scores = self.scores.1.clone();
        for (v, weights) in x.iter().zip(self.scores.0.chunks(groups)) {
            scores.iter_mut().zip(weights).for_each(|(s, w)| *s += v * w);
        }
        self.of[crate::task::argmax(&scores)]
    }

    /// The tasks of rows.
    pub(super) fn tasks_of(&self, rows: &TaskRows) -> Vec<usize> {
        let mut x = vec![];
        (0..rows.len())
            .map(|at| {
                x.clear();
                rows.put(at, &mut x);
                self.task_of(&x)
            })
            .collect()
    }

    /// Rows that it saw.
    pub(super) fn rows_seen(&self) -> usize {
        self.rows
    }

    /// Bytes of what a further task of so many groups adds.
    pub(super) fn bytes_of_a_task(&self, groups: usize) -> usize {
        4 * groups * (self.inputs + 1)
    }

    /// What it knows, to be stored.
    pub(super) fn values(&self) -> [(String, Vec<f32>); 3] {
        let tasks = self.of.iter().map(|t| *t as f32).collect();
        [
            ("classifier.means".into(), self.means.clone()),
            ("classifier.tasks".into(), tasks),
            ("classifier.scatter".into(), self.scatter.clone()),
        ]
    }

    /// Goes on from what was stored, with so many rows looked at.
    pub(super) fn restore(&mut self, device: &Device, values: [Vec<f32>; 3], rows: usize) -> Result<()> {
        let [means, tasks, scatter] = values;
        (self.means, self.scatter, self.rows) = (means, scatter, rows);
        self.of = tasks.iter().map(|t| *t as usize).collect();
        if self.of.is_empty() { Ok(()) } else { self.solve(device) }
    }
}
