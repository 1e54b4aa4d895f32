//! The sine family (Finn et al. 2017): amplitude U[0.1, 5], phase U[0, π], x U[-5, 5], `y = A sin(x - φ)`.
//!
//! Training episodes are drawn inside the plan; held-out tasks on the host, from a stream of their own.

use std::ops::Range;

use crate::error::Result;
use crate::graph::op::{Binary, Dist};
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::spec::Activation;
use crate::task::{Batch, Loss, Rows, Task, TaskFamily, TaskShape};

/// The encoder sees inputs and targets divided by this: both lie within ±5.
pub const SCALE: f64 = 5.0;

/// Query points of a held-out wave.
pub const QUERY_POINTS: usize = 100;

/// The sine family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sine {
    /// Largest number of support rows.
    pub shots: usize,
    /// Fewest support rows of a training episode.
    pub min_shots: usize,
    /// Query rows of a training episode.
    pub query: usize,
    /// Seed of the numbers of support rows.
    pub seed: u64,
}

impl TaskFamily for Sine {
    fn shape(&self) -> TaskShape {
        TaskShape {
            support: self.shots,
            query: self.query,
            row: vec![1],
            outputs: 1,
            descriptor: 0,
            known: 0,
            loss: Loss::Mse,
        }
    }

    fn rows_are_even(&self) -> bool {
        self.min_shots == self.shots
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, key: Value) -> Batch {
        g.scope("sine", |g| {
            let (t, n, q) = (tasks.len(), self.shots, self.query);
            let uniform = |g: &mut Graph, stream, shape: &[usize], low: f64, high: f64| {
                let u = g.random_from(tasks.start, Dist::Uniform, key, stream, shape);
                g.affine(u, high - low, low)
            };
            let amplitude = uniform(g, 1, &[t, 1, 1], 0.1, 5.0);
            let phase = uniform(g, 2, &[t, 1, 1], 0.0, std::f64::consts::PI);
            // Support and query rows together, then cut.
            let x = uniform(g, 3, &[t, n + q, 1], -5.0, 5.0);
            let shifted = g.sub(x, phase);
            let s = g.act(Activation::Sin, shifted);
            let y = g.mul(amplitude, s);
            // Row i counts when i < k, with weight 1/k.
            let k = g.step("support_count", &[t, 1]);
            let row = g.data("row_number", &[1, n]);
            let mask = g.zip(Binary::Less, row, k);
            let rows = g.div(mask, k);
            Batch {
                support: Rows { x: g.slice(x, 1, 0, n), y: g.slice(y, 1, 0, n), rows, count: k },
                xq: g.slice(x, 1, n, q),
                yq: g.slice(y, 1, n, q),
                query_rows: None,
                descriptor: None,
                task: None,
                noise: None,
            }
        })
    }

    fn upload(&self, session: &mut Session) -> Result<()> {
        let rows: Vec<f32> = (0..self.shots).map(|i| i as f32).collect();
        session.write("row_number", &rows)
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let mut rng = Rng::new(self.seed, 0x51e1_0000_0000 + step);
        let min_shots = self.min_shots;
        // One stream for all tasks: those before are drawn, too.
        let all = (0..tasks.end).map(|_| (min_shots + rng.below(self.shots - min_shots + 1)) as f32);
        let counts: Vec<f32> = all.skip(tasks.start).collect();
        session.set_step(row, "support_count", &counts)
    }
}

impl Sine {
    /// `count` held-out tasks with `shots` support rows and a grid of 100 query points on [-5, 5].
    pub fn held_out(seed: u64, count: usize, shots: usize) -> Vec<Task> {
        (0..count)
            .map(|t| {
                let mut rng = Rng::new(seed, 0x51e0_0000_0000 + t as u64);
                let (a, phase) = (rng.range(0.1, 5.0), rng.range(0.0, std::f64::consts::PI));
                let y = |x: f64| (a * (x - phase).sin()) as f32;
                let xs: Vec<f64> = (0..shots).map(|_| rng.range(-5.0, 5.0)).collect();
                let xq: Vec<f64> =
                    (0..QUERY_POINTS).map(|i| -5.0 + 10.0 * i as f64 / (QUERY_POINTS - 1) as f64).collect();
                Task {
                    name: format!("amplitude {a:.2}, phase {phase:.2}"),
                    ys: xs.iter().map(|x| y(*x)).collect(),
                    xs: xs.iter().map(|x| *x as f32).collect(),
                    yq: xq.iter().map(|x| y(*x)).collect(),
                    xq: xq.iter().map(|x| *x as f32).collect(),
                    descriptor: vec![],
                    known: None,
                }
            })
            .collect()
    }
}
