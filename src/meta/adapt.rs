//! Tasks that were not trained on: their weights are generated, then go on learning from their support
//! rows by clipped gradient descent. Any number of tasks, in batches of one size, of any sizes within.

use serde::{Deserialize, Serialize};

use super::episode::Task;
use crate::error::{Error, Result};
use crate::graph::{Graph, Role};
use crate::hyper::{Condition, HyperSpec, Support};
use crate::nn::{Loss, Weights, clip_factor, dense, loss};
use crate::plan::lower;
use crate::run::{Device, Session};
use crate::spec::{DType, DenseSpec};

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
    xs: Vec<f32>,
    ys: Vec<f32>,
    rows: Vec<f32>,
    count: Vec<f32>,
    xq: Vec<f32>,
    descriptor: Vec<f32>,
    known: Vec<u32>,
}

/// Sizes of a batch: tasks, support rows, query rows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sizes {
    t: usize,
    n: usize,
    q: usize,
    inputs: usize,
    outputs: usize,
    /// Known tasks; the number after them stands for any other.
    known: usize,
}

impl Batch {
    /// Pads at most `t` tasks to `t` (repeating the first) of `n` support and `q` query rows.
    fn new(tasks: &[Task], s: Sizes) -> Batch {
        let mut b = Batch {
            xs: vec![],
            ys: vec![],
            rows: vec![],
            count: vec![],
            xq: vec![],
            descriptor: vec![],
            known: vec![],
        };
        let pad = |to: &mut Vec<f32>, from: &[f32], len: usize| {
            to.extend(from);
            to.resize(to.len() + len - from.len(), 0.0);
        };
        for i in 0..s.t {
            let task = tasks.get(i).unwrap_or(&tasks[0]);
            let k = task.shots(s.outputs);
            pad(&mut b.xs, &task.xs, s.n * s.inputs);
            pad(&mut b.ys, &task.ys, s.n * s.outputs);
            pad(&mut b.rows, &vec![1.0 / k.max(1) as f32; k], s.n);
            b.count.push(k as f32);
            pad(&mut b.xq, &task.xq, s.q * s.inputs);
            b.descriptor.extend(&task.descriptor);
            b.known.push(task.known.unwrap_or(s.known) as u32);
        }
        b
    }

    /// Writes what a plan reads of the support.
    fn write_support(&self, session: &mut Session) -> Result<()> {
        let values = [
            ("xs", &self.xs),
            ("ys", &self.ys),
            ("rows", &self.rows),
            ("count", &self.count),
            ("descriptor", &self.descriptor),
        ];
        for (name, values) in values {
            if session.has_input(name) {
                session.write(name, values)?;
            }
        }
        if session.has_input("task") {
            session.write_u32("task", &self.known)?;
        }
        Ok(())
    }
}

/// Plans for generating, adapting and predicting, prepared for one size of batch.
#[derive(Debug)]
pub struct Adapter {
    generate: Session,
    descend: Session,
    predict: Session,
    sizes: Sizes,
}

impl Adapter {
    /// Prepares for tasks like these: the largest numbers of support and query rows are taken from them.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] with numbers where the plans do not fit the device.
    pub fn new(
        device: &Device,
        hyper: &HyperSpec,
        kind: Loss,
        adaptation: Adaptation,
        tasks: &[Task],
    ) -> Result<Adapter> {
        let target = &hyper.target;
        let (inputs, outputs) = (target.widths[0], target.outputs());
        let mut t = tasks.len().clamp(1, BATCH);
        let known = hyper.condition.embedding.as_ref().map_or(0, |e| e.tasks - 1);
        let n = tasks.iter().map(|x| x.shots(outputs)).max().unwrap_or(1).max(1);
        let q = tasks.iter().map(|x| x.queries(outputs)).max().unwrap_or(1).max(1);
        let plan = |g: Graph| lower(&g, device.caps(1));
        // Fewer tasks at once where a batch of them does not fit.
        let (generate, descend, predict) = loop {
            let plans = plan(generate_graph(hyper, t, n)).and_then(|a| {
                let b = plan(descend_graph(target, kind, adaptation, t, n))?;
                Ok((a, b, plan(predict_graph(target, t, q))?))
            });
            match plans {
                Err(Error::Memory(_)) if t > 1 => t = t.div_ceil(2),
                done => break done?,
            }
        };
        let sizes = Sizes { t, n, q, inputs, outputs, known };
        Ok(Adapter {
            generate: device.prepare(generate)?,
            descend: device.prepare(descend)?,
            predict: device.prepare(predict)?,
            sizes,
        })
    }

    /// Weights written for every task, `[P]` each, from the hypernetwork's parameters.
    pub fn generate(&mut self, params: &[f32], tasks: &[Task]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(tasks.len());
        self.generate.write("params", params)?;
        for chunk in tasks.chunks(self.sizes.t) {
            Batch::new(chunk, self.sizes).write_support(&mut self.generate)?;
            self.generate.run(1)?;
            let w = self.generate.read("weights")?;
            all.extend(w.chunks(w.len() / self.sizes.t).take(chunk.len()).map(<[f32]>::to_vec));
        }
        Ok(all)
    }

    /// Every task goes on from its row of `weights`; `visit(step index, first task, weights [t, P])` is called
    /// after each number of steps in `steps` (ascending), a batch at a time.
    fn descend(
        &mut self,
        weights: &[Vec<f32>],
        tasks: &[Task],
        steps: &[usize],
        mut visit: impl FnMut(&mut Session, usize, &[Task], &Batch, &[f32]) -> Result<()>,
    ) -> Result<()> {
        for (chunk, w) in tasks.chunks(self.sizes.t).zip(weights.chunks(self.sizes.t)) {
            let batch = Batch::new(chunk, self.sizes);
            let mut flat: Vec<f32> = w.concat();
            for _ in chunk.len()..self.sizes.t {
                flat.extend(&w[0]);
            }
            self.descend.write("weights", &flat)?;
            batch.write_support(&mut self.descend)?;
            let mut done = 0;
            for (at, &k) in steps.iter().enumerate() {
                self.descend.run(k - done)?;
                done = k;
                let w = self.descend.read("weights")?;
                visit(&mut self.predict, at, chunk, &batch, &w)?;
            }
        }
        Ok(())
    }

    /// Predictions on the query rows of every task, `[q, o]` each, after each number of steps in `steps`
    /// (ascending): `[steps][tasks][q · o]`.
    pub fn predict(
        &mut self,
        weights: &[Vec<f32>],
        tasks: &[Task],
        steps: &[usize],
    ) -> Result<Vec<Vec<Vec<f32>>>> {
        let mut all = vec![Vec::with_capacity(tasks.len()); steps.len()];
        let (q, outputs) = (self.sizes.q, self.sizes.outputs);
        self.descend(weights, tasks, steps, |predict, at, chunk, batch, w| {
            predict.write("xq", &batch.xq)?;
            predict.write("weights", w)?;
            predict.run(1)?;
            let y = predict.read("prediction")?;
            for (i, task) in chunk.iter().enumerate() {
                let len = task.queries(outputs) * outputs;
                all[at].push(y[i * q * outputs..][..len].to_vec());
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// The weights of every task after `steps` steps, `[P]` each.
    pub fn adapt(&mut self, weights: &[Vec<f32>], tasks: &[Task], steps: usize) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(tasks.len());
        let t = self.sizes.t;
        self.descend(weights, tasks, &[steps], |_, _, chunk, _, w| {
            all.extend(w.chunks(w.len() / t).take(chunk.len()).map(<[f32]>::to_vec));
            Ok(())
        })?;
        Ok(all)
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
    let task = hyper.condition.embedding.as_ref().map(|_| g.input("task", Role::Data, &[t], DType::U32));
    let condition = Condition { support: Some(support), task, descriptor };
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

/// Outputs of one network on rows `[n, i]`.
pub(super) fn forward(device: &Device, spec: &DenseSpec, weights: &[f32], x: &[f32]) -> Result<Vec<f32>> {
    let rows = x.len() / spec.widths[0];
    let mut session = device.prepare(lower(&predict_graph(spec, 1, rows), device.caps(1))?)?;
    session.write("weights", weights)?;
    session.write("xq", x)?;
    session.run(1)?;
    session.read("prediction")
}
