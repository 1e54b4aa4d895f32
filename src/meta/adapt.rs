//! Tasks that were not trained on: their weights are generated, then go on learning from their support
//! rows by clipped gradient descent. Any number of tasks, in batches of one size, of any sizes within.

use serde::{Deserialize, Serialize};

use super::episode::Task;
use crate::error::Result;
use crate::graph::Graph;
use crate::hyper::{Condition, HyperSpec, Support};
use crate::nn::{Loss, Weights, clip_factor, dense, loss};
use crate::plan::lower;
use crate::run::{Device, Session};
use crate::spec::DenseSpec;

/// Adaptation by gradient steps on all weights of a target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adaptation {
    /// Step size.
    pub rate: f64,
    /// Largest norm of a task's gradient.
    pub clip: f64,
}

/// Tasks in a batch, as many as run at once.
const BATCH: usize = 256;

/// Tasks padded to one size.
struct Batch {
    t: usize,
    n: usize,
    q: usize,
    xs: Vec<f32>,
    ys: Vec<f32>,
    rows: Vec<f32>,
    count: Vec<f32>,
    xq: Vec<f32>,
    descriptor: Vec<f32>,
}

impl Batch {
    /// Pads `tasks` to `t` tasks (repeating the first) of `n` support and `q` query rows.
    fn new(tasks: &[Task], t: usize, n: usize, q: usize, inputs: usize, outputs: usize) -> Batch {
        let mut b = Batch {
            t,
            n,
            q,
            xs: vec![],
            ys: vec![],
            rows: vec![],
            count: vec![],
            xq: vec![],
            descriptor: vec![],
        };
        let pad = |to: &mut Vec<f32>, from: &[f32], len: usize| {
            to.extend(from);
            to.resize(to.len() + len - from.len(), 0.0);
        };
        for i in 0..t {
            let task = tasks.get(i).unwrap_or(&tasks[0]);
            let k = task.shots(outputs);
            pad(&mut b.xs, &task.xs, n * inputs);
            pad(&mut b.ys, &task.ys, n * outputs);
            pad(&mut b.rows, &vec![1.0 / k.max(1) as f32; k], n);
            b.count.push(k as f32);
            pad(&mut b.xq, &task.xq, q * inputs);
            b.descriptor.extend(&task.descriptor);
        }
        b
    }
}

/// Plans for generating, adapting and predicting, prepared for one size of batch.
#[derive(Debug)]
pub struct Adapter {
    target: DenseSpec,
    generate: Option<Session>,
    descend: Session,
    predict: Session,
    size: (usize, usize, usize),
}

impl Adapter {
    /// Prepares for tasks like these: the largest numbers of support and query rows are taken from them.
    /// Without a hypernetwork, weights are given.
    pub fn new(
        device: &Device,
        hyper: Option<&HyperSpec>,
        target: &DenseSpec,
        kind: Loss,
        adaptation: Adaptation,
        tasks: &[Task],
    ) -> Result<Adapter> {
        let outputs = target.outputs();
        let t = tasks.len().clamp(1, BATCH);
        let n = tasks.iter().map(|x| x.shots(outputs)).max().unwrap_or(1).max(1);
        let q = tasks.iter().map(|x| x.queries(outputs)).max().unwrap_or(1).max(1);
        let prepare = |g: Graph| device.prepare(lower(&g, device.caps(1))?);
        let generate = hyper.map(|h| prepare(generate_graph(h, t, n))).transpose()?;
        let descend = prepare(descend_graph(target, kind, adaptation, t, n))?;
        let predict = prepare(predict_graph(target, t, q))?;
        Ok(Adapter { target: target.clone(), generate, descend, predict, size: (t, n, q) })
    }

    /// Predictions on the query rows of every task, `[q, o]` each, after each number of steps in `steps`
    /// (ascending). `params` are the hypernetwork's parameters, or without one the weights that all tasks
    /// start with.
    pub fn run(&mut self, params: &[f32], tasks: &[Task], steps: &[usize]) -> Result<Vec<Vec<Vec<f32>>>> {
        let (t, n, q) = self.size;
        let (inputs, outputs) = (self.target.widths[0], self.target.outputs());
        let mut all = vec![Vec::new(); steps.len()];
        for chunk in tasks.chunks(t) {
            let batch = Batch::new(chunk, t, n, q, inputs, outputs);
            let weights = self.start(params, &batch)?;
            self.descend.write("weights", &weights)?;
            self.write_support(false, &batch)?;
            self.predict.write("xq", &batch.xq)?;
            let mut done = 0;
            for (at, &k) in steps.iter().enumerate() {
                self.descend.run(k - done)?;
                done = k;
                let w = self.descend.read("weights")?;
                self.predict.write("weights", &w)?;
                self.predict.run(1)?;
                let y = self.predict.read("prediction")?;
                for (i, task) in chunk.iter().enumerate() {
                    let len = task.queries(outputs) * outputs;
                    all[at].push(y[i * batch.q * outputs..][..len].to_vec());
                }
            }
        }
        Ok(all)
    }

    /// The weights `[P]` of one task after `steps` steps.
    pub fn weights(&mut self, params: &[f32], task: &Task, steps: usize) -> Result<Vec<f32>> {
        let (t, n, q) = self.size;
        let (inputs, outputs) = (self.target.widths[0], self.target.outputs());
        let batch = Batch::new(std::slice::from_ref(task), t, n, q, inputs, outputs);
        let weights = self.start(params, &batch)?;
        self.descend.write("weights", &weights)?;
        self.write_support(false, &batch)?;
        self.descend.run(steps)?;
        let mut w = self.descend.read("weights")?;
        w.truncate(w.len() / t);
        Ok(w)
    }

    fn write_support(&mut self, generate: bool, b: &Batch) -> Result<()> {
        let session = if generate { self.generate.as_mut() } else { Some(&mut self.descend) };
        let Some(s) = session else { return Ok(()) };
        for (name, values) in [
            ("xs", &b.xs),
            ("ys", &b.ys),
            ("rows", &b.rows),
            ("count", &b.count),
            ("descriptor", &b.descriptor),
        ] {
            if s.has_input(name) {
                s.write(name, values)?;
            }
        }
        Ok(())
    }

    /// Weights before the first step, `[T, P]`.
    fn start(&mut self, params: &[f32], batch: &Batch) -> Result<Vec<f32>> {
        self.write_support(true, batch)?;
        match &mut self.generate {
            Some(s) => {
                s.write("params", params)?;
                s.run(1)?;
                s.read("weights")
            }
            None => Ok(params.repeat(batch.t)),
        }
    }
}

fn support(g: &mut Graph, t: usize, n: usize, inputs: usize, outputs: usize) -> Support {
    Support {
        x: g.data("xs", &[t, n, inputs]),
        y: g.data("ys", &[t, n, outputs]),
        rows: g.data("rows", &[t, n]),
        count: g.data("count", &[t, 1]),
    }
}

fn generate_graph(hyper: &HyperSpec, t: usize, n: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let layout = hyper.layout();
    let flat = g.data("params", &[layout.len()]);
    let support = support(g, t, n, hyper.target.widths[0], hyper.target.outputs());
    let d = hyper.condition.descriptor;
    let descriptor = (d > 0).then(|| g.data("descriptor", &[t, d]));
    let condition = Condition { support: Some(support), task: None, descriptor };
    let w = hyper.generate(g, Weights { flat, layout: &layout }, &condition);
    g.output("weights", w);
    graph
}

/// One step of descent for every task: `w ← w - rate · clip(∇ loss(w; support))`.
fn descend_graph(target: &DenseSpec, kind: Loss, a: Adaptation, t: usize, n: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let layout = target.layout();
    let w = g.state("weights", &[t, layout.len()]);
    let s = support(g, t, n, target.widths[0], target.outputs());
    let prediction = dense(g, target, Weights { flat: w, layout: &layout }, "", s.x);
    let each = loss(g, kind, prediction, s.y, Some(s.rows));
    let total = g.sum_to(each, &[]);
    let grad = g.grad(total, &[w])[0];
    let square = g.mul(grad, grad);
    let norm2 = g.sum_to(square, &[t, 1]);
    let factor = clip_factor(g, norm2, a.clip);
    let rate = g.scale(factor, a.rate);
    let step = g.mul(grad, rate);
    let new = g.sub(w, step);
    g.update(w, new);
    graph
}

fn predict_graph(target: &DenseSpec, t: usize, q: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let layout = target.layout();
    let w = g.data("weights", &[t, layout.len()]);
    let x = g.data("xq", &[t, q, target.widths[0]]);
    let y = dense(g, target, Weights { flat: w, layout: &layout }, "", x);
    g.output("prediction", y);
    graph
}
