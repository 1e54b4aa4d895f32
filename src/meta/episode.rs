//! Episodes: the support and query sets of a batch of tasks, inside a graph or on the host.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::hyper::Support;
use crate::nn::Loss;
use crate::run::Session;

/// Steps between two visits of the host at most.
pub const WINDOW: usize = 50;

/// What a family of tasks looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeShape {
    /// Largest number of support rows.
    pub support: usize,
    /// Largest number of query rows.
    pub query: usize,
    /// Inputs of the target network.
    pub inputs: usize,
    /// Outputs of the target network.
    pub outputs: usize,
    /// Width of the task's descriptor (0: none).
    pub descriptor: usize,
    /// Known tasks that an embedding can tell apart (0: none); the number after them stands for any other.
    pub known: usize,
    /// What is minimised.
    pub loss: Loss,
}

/// A batch of episodes in a graph.
#[derive(Clone, Copy, Debug)]
pub struct Episode {
    /// What the tasks may learn from.
    pub support: Support,
    /// Query inputs `[T, q, i]`.
    pub xq: Value,
    /// Query targets `[T, q, o]`.
    pub yq: Value,
    /// Row weights of the query `[T, q]` that sum to one over q; `None`: all alike.
    pub query_rows: Option<Value>,
    /// Descriptors `[T, d]`.
    pub descriptor: Option<Value>,
    /// Numbers of known tasks, u32 `[T]`.
    pub task: Option<Value>,
}

impl Episode {
    /// The episodes of tasks `start .. start + len` alone.
    pub fn part(&self, g: &mut Graph, start: usize, len: usize) -> Episode {
        let cut = |g: &mut Graph, v: Value| g.slice(v, 0, start, len);
        Episode {
            support: Support {
                x: cut(g, self.support.x),
                y: cut(g, self.support.y),
                rows: cut(g, self.support.rows),
                count: cut(g, self.support.count),
            },
            xq: cut(g, self.xq),
            yq: cut(g, self.yq),
            query_rows: self.query_rows.map(|v| cut(g, v)),
            descriptor: self.descriptor.map(|v| cut(g, v)),
            task: self.task.map(|v| cut(g, v)),
        }
    }
}

/// A family of tasks to train on.
pub trait TaskFamily: Send + Sync {
    /// Sizes of its episodes.
    fn shape(&self) -> EpisodeShape;

    /// Adds the sampling of `tasks` episodes to a training graph; `key` is (seed, step).
    fn episodes(&self, g: &mut Graph, tasks: usize, key: Value) -> Episode;

    /// Steps between two visits of the host: fewer where what is staged for a step is large.
    fn window(&self, _tasks: usize) -> usize {
        WINDOW
    }

    /// Writes what stays on the device.
    fn upload(&self, _session: &mut Session) -> Result<()> {
        Ok(())
    }

    /// Stages the step inputs that the episodes of step `step` read, in row `row` of the window. What is
    /// staged is a function of the seed and the step alone.
    fn stage(&self, _session: &mut Session, _row: usize, _step: u64, _tasks: usize) -> Result<()> {
        Ok(())
    }
}

/// One task on the host: rows to learn from and rows to be judged on.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its name, for reports.
    pub name: String,
    /// Support inputs `[n, i]`.
    pub xs: Vec<f32>,
    /// Support targets `[n, o]`.
    pub ys: Vec<f32>,
    /// Query inputs `[q, i]`.
    pub xq: Vec<f32>,
    /// Query targets `[q, o]`.
    pub yq: Vec<f32>,
    /// Descriptor `[d]`.
    pub descriptor: Vec<f32>,
    /// Its number where it is a known task; others count as the first unknown one.
    pub known: Option<usize>,
}

impl Task {
    /// A new task of which only support rows are known: inputs `[n, i]`, targets `[n, o]`.
    pub fn from_support(xs: Vec<f32>, ys: Vec<f32>) -> Task {
        Task { name: String::new(), xs, ys, xq: vec![], yq: vec![], descriptor: vec![], known: None }
    }

    /// Number of support rows, given the number of outputs.
    pub fn shots(&self, outputs: usize) -> usize {
        self.ys.len() / outputs
    }

    /// Number of query rows, given the number of outputs.
    pub fn queries(&self, outputs: usize) -> usize {
        self.yq.len() / outputs
    }
}
