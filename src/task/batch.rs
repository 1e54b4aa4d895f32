//! A batch of episodes inside a graph: what each of its tasks may learn from, and what it is judged on.

use crate::graph::{Graph, Value};

/// Support examples in a graph.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// `[T, n, i]`
    pub x: Value,
    /// `[T, n, o]`
    pub y: Value,
    /// Row weights `[T, n]` that sum to one over n.
    pub rows: Value,
    /// Number of examples of each task `[T, 1]`.
    pub count: Value,
}

/// A batch of episodes in a graph.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// What the tasks may learn from.
    pub support: Rows,
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

impl Batch {
    /// The episodes of tasks `start .. start + len` alone.
    pub fn part(&self, g: &mut Graph, start: usize, len: usize) -> Batch {
        let cut = |g: &mut Graph, v: Value| g.slice(v, 0, start, len);
        Batch {
            support: Rows {
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
