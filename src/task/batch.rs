//! A batch of episodes inside a graph: what each of its tasks may learn from, and what it is judged on.

use crate::graph::{Graph, Value};

/// Support examples in a graph.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
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

impl Rows {
    /// Support examples by their parts, of the shapes that the fields say.
    #[must_use]
    pub fn new(x: Value, y: Value, rows: Value, count: Value) -> Rows {
        Rows { x, y, rows, count }
    }

    /// Examples `x [T, n, i]`, `y [T, n, o]` that all count alike.
    #[track_caller]
    #[must_use]
    pub fn alike(g: &mut Graph, x: Value, y: Value) -> Rows {
        let [t, n, _] = g.shape(x)[..] else { panic!("support inputs are [T, n, i]") };
        let (each, count) = (g.constant(1.0 / n as f64), g.constant(n as f64));
        Rows { x, y, rows: g.expand(each, &[t, n]), count: g.expand(count, &[t, 1]) }
    }
}

/// A batch of episodes in a graph.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
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
    /// Random numbers of M networks of each task, `[T, M, width]`.
    pub noise: Option<Value>,
}

/// Every row of the first axis so often, one after another: `[T, ..]` becomes `[T · times, ..]`.
pub(crate) fn repeated(g: &mut Graph, v: Value, times: usize) -> Value {
    if times == 1 {
        return v;
    }
    let shape = g.shape(v).to_vec();
    let rows = g.reshape(v, &[&[shape[0], 1], &shape[1..]].concat());
    let all = g.expand(rows, &[&[shape[0], times], &shape[1..]].concat());
    g.reshape(all, &[&[shape[0] * times], &shape[1..]].concat())
}

impl Batch {
    /// Episodes by their support and query `[T, q, i]`, `[T, q, o]`, whose rows all count alike, without descriptors and numbers of
    /// known tasks: what there is of these is assigned.
    #[must_use]
    pub fn new(support: Rows, xq: Value, yq: Value) -> Batch {
        Batch { support, xq, yq, query_rows: None, descriptor: None, task: None, noise: None }
    }

    /// Episodes whose rows `[T, n, i]`, `[T, n, o]`, which all count alike, are support and query at once.
    #[must_use]
    pub fn same(g: &mut Graph, x: Value, y: Value) -> Batch {
        let support = Rows::alike(g, x, y);
        Batch::new(support, x, y)
    }

    /// The episodes of tasks `start .. start + len` alone.
    pub fn part(&self, g: &mut Graph, start: usize, len: usize) -> Batch {
        let cut = |g: &mut Graph, v: Value| g.slice(v, 0, start, len);
        let (x, y) = (cut(g, self.support.x), cut(g, self.support.y));
        // Rows that are both stay so.
        let same = self.xq == self.support.x;
        let (xq, yq) = if same { (x, y) } else { (cut(g, self.xq), cut(g, self.yq)) };
        Batch {
            support: Rows { x, y, rows: cut(g, self.support.rows), count: cut(g, self.support.count) },
            xq,
            yq,
            query_rows: self.query_rows.map(|v| cut(g, v)),
            descriptor: self.descriptor.map(|v| cut(g, v)),
            task: self.task.map(|v| cut(g, v)),
            noise: self.noise.map(|v| cut(g, v)),
        }
    }

    /// Support and query of every task so often, one after another, for as many networks of it: `[T · times, ..]`. What else is known of tasks stays as it is.
    pub(crate) fn repeated(&self, g: &mut Graph, times: usize) -> Batch {
        let mut of = |v: Value| repeated(g, v, times);
        let Rows { x, y, rows, count } = self.support;
        let (x, y) = (of(x), of(y));
        // Rows that are both stay so.
        let same = self.xq == self.support.x;
        let (xq, yq) = if same { (x, y) } else { (of(self.xq), of(self.yq)) };
        let support = Rows { x, y, rows: of(rows), count: of(count) };
        Batch { support, xq, yq, query_rows: self.query_rows.map(of), ..*self }
    }
}
