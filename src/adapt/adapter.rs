//! Tasks that were not trained on: their weights are generated, then go on learning from their support
//! rows. Any number of tasks, in batches of one size, of any sizes within.

use super::{Adaptation, InnerLoop};
use crate::error::{Error, Result};
use crate::graph::{Graph, Role};
use crate::hyper::{Condition, HyperSpec};
use crate::net::{Net, Weights};
use crate::plan::lower;
use crate::run::{Device, Session};
use crate::spec::DType;
use crate::task::{Loss, Rows, Task};

/// Tasks in a batch, as many as run at once.
const MAX_BATCH_TASKS: usize = 256;
/// Weights of a batch at most: 256 MiB.
const MAX_BATCH_WEIGHTS: usize = 1 << 26;

/// One trained hypernetwork with the pooled network beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// Weights of the pooled network, `[P]`.
    pub pooled: Vec<f32>,
    /// Parameters of the hypernetwork, `[H]`.
    pub hyper: Vec<f32>,
}

/// Where adaptation starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StartFrom {
    /// The pooled network's weights.
    Pooled,
    /// The generated weights; of their correction to the pooled network this fraction.
    Generated(f64),
}

/// Tasks padded to one size.
struct PaddedBatch {
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
struct BatchSizes {
    t: usize,
    n: usize,
    q: usize,
    inputs: usize,
    outputs: usize,
    /// Known tasks; the number after them stands for any other.
    known: usize,
}

impl PaddedBatch {
    /// Pads at most `t` tasks to `t` (repeating the first) of `n` support and `q` query rows.
    fn new(tasks: &[Task], s: BatchSizes) -> PaddedBatch {
        let mut b = PaddedBatch {
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

/// What was found on a batch of tasks after some steps, a row a task.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TaskPredictions {
    /// Predictions on the query rows, `[q · o]`.
    pub predictions: Vec<Vec<f32>>,
    /// Predictive variances of the query rows, `[q]`, where the rule of adaptation knows them.
    pub variance: Vec<Vec<f32>>,
    /// Log density of the support as generated, and of what adaptation may reach, where the rule knows them.
    pub evidence: Vec<[f32; 2]>,
}

/// What a hypernetwork reads and writes, a row a task.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Generated {
    /// Weights `[P]`.
    pub weights: Vec<Vec<f32>>,
    /// What is read, `[t · E]`.
    pub condition: Vec<f32>,
    /// What each layer of the trunk gives, `[t · width]`.
    pub trunk: Vec<Vec<f32>>,
}

/// Plans for generating, adapting and predicting, prepared for one size of batch.
#[derive(Debug)]
pub struct Adapter {
    hyper: HyperSpec,
    adaptation: Adaptation,
    kind: Loss,
    generate: Session,
    descend: Session,
    predict: Session,
    sizes: BatchSizes,
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
        let (inputs, outputs) = (hyper.target.inputs(), hyper.target.outputs());
        let most = (MAX_BATCH_WEIGHTS / hyper.target.layout().len()).clamp(1, MAX_BATCH_TASKS);
        let mut t = tasks.len().clamp(1, most);
        let known = hyper.condition.embedding.as_ref().map_or(0, |e| e.tasks - 1);
        let n = tasks.iter().map(|x| x.shots(outputs)).max().unwrap_or(1).max(1);
        let q = tasks.iter().map(|x| x.queries(outputs)).max().unwrap_or(1).max(1);
        let even = |rows: &dyn Fn(&Task) -> usize| tasks.windows(2).all(|w| rows(&w[0]) == rows(&w[1]));
        if hyper.target.mixes_rows() && !(even(&|x| x.shots(outputs)) && even(&|x| x.queries(outputs))) {
            return Err(Error::Shape(
                "the network normalises over the rows of a task: tasks that are asked about together need as many rows each"
                    .into(),
            ));
        }
        let plan = |g: Graph| lower(&g, device.caps(1));
        let inner = InnerLoop { hyper, adaptation: &adaptation, kind };
        // Fewer tasks at once where a batch of them does not fit.
        let (generate, descend, predict) = loop {
            let plans = plan(generate_graph(hyper, t, n)).and_then(|a| {
                let b = plan(descend_graph(inner, t, n))?;
                Ok((a, b, plan(predict_graph(inner, t, n, q))?))
            });
            match plans {
                Err(Error::Memory(_)) if t > 1 => t = t.div_ceil(2),
                done => break done?,
            }
        };
        let sizes = BatchSizes { t, n, q, inputs, outputs, known };
        Ok(Adapter {
            hyper: hyper.clone(),
            adaptation,
            kind,
            generate: device.prepare(generate)?,
            descend: device.prepare(descend)?,
            predict: device.prepare(predict)?,
            sizes,
        })
    }

    /// Hands a member's parameters to the plans that read them; one that is not trained yet has none.
    fn read_member(&mut self, member: &Member) -> Result<()> {
        if let Some(params) = member.hyper.get(..self.hyper.layout().len()) {
            self.generate.write("params", params)?;
        }
        for session in [&mut self.descend, &mut self.predict] {
            if session.has_input("params") {
                session.write("params", &member.hyper)?;
            }
        }
        Ok(())
    }

    /// Weights that at most a batch of tasks starts with, `[t, P]`, by the parameters of a member that was read.
    fn start(
        &mut self,
        member: &Member,
        from: StartFrom,
        tasks: &[Task],
        batch: &PaddedBatch,
    ) -> Result<Vec<f32>> {
        let fraction = match from {
            StartFrom::Pooled => return Ok(member.pooled.repeat(self.sizes.t)),
            StartFrom::Generated(fraction) => fraction,
        };
        debug_assert!(tasks.len() <= self.sizes.t);
        batch.write_support(&mut self.generate)?;
        self.generate.run(1)?;
        let mut w = self.generate.read("weights")?;
        if fraction != 1.0 {
            let p = member.pooled.len();
            for (i, g) in w.iter_mut().enumerate() {
                let base = member.pooled[i % p];
                *g = base + fraction as f32 * (*g - base);
            }
        }
        Ok(w)
    }

    /// What is written for tasks.
    pub fn written(&mut self, member: &Member, tasks: &[Task]) -> Result<Generated> {
        let mut all = Generated { trunk: vec![vec![]; self.hyper.trunk.len()], ..Generated::default() };
        let t = self.sizes.t;
        self.read_member(member)?;
        for chunk in tasks.chunks(t) {
            let batch = PaddedBatch::new(chunk, self.sizes);
            let w = self.start(member, StartFrom::Generated(1.0), chunk, &batch)?;
            all.weights.extend(w.chunks(w.len() / t).take(chunk.len()).map(<[f32]>::to_vec));
            if self.hyper.is_shared() {
                continue;
            }
            let mut rows = |name: &str, to: &mut Vec<f32>| -> Result<()> {
                let values = self.generate.read(name)?;
                to.extend(&values[..values.len() / t * chunk.len()]);
                Ok(())
            };
            rows("condition", &mut all.condition)?;
            for (i, layer) in all.trunk.iter_mut().enumerate() {
                rows(&format!("trunk {i}"), layer)?;
            }
        }
        Ok(all)
    }

    /// Every task adapts; `visit(the plan of prediction, after its run; the step's index; tasks; start weights; fast states)` is
    /// called after each number of steps in `steps` (ascending), a batch at a time.
    fn descend(
        &mut self,
        member: &Member,
        from: StartFrom,
        tasks: &[Task],
        steps: &[usize],
        mut visit: impl FnMut(&mut Session, usize, &[Task], &[f32], &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.read_member(member)?;
        for chunk in tasks.chunks(self.sizes.t) {
            let batch = PaddedBatch::new(chunk, self.sizes);
            let weights = self.start(member, from, chunk, &batch)?;
            let fast: Vec<f32> = weights
                .chunks(weights.len() / self.sizes.t)
                .zip(&batch.known)
                .flat_map(|(w, known)| {
                    let embedding = self.embedding(&member.hyper, *known as usize);
                    self.adaptation.start(&self.hyper, w, embedding)
                })
                .collect();
            self.descend.write("fast", &fast)?;
            for (name, width, value) in self.adaptation.moments(&self.hyper) {
                self.descend.write(name, &vec![value; width * self.sizes.t])?;
            }
            for session in [&mut self.descend, &mut self.predict] {
                batch.write_support(session)?;
                if session.has_input("weights") {
                    session.write("weights", &weights)?;
                }
            }
            self.predict.write("xq", &batch.xq)?;
            let mut done = 0;
            for (at, &k) in steps.iter().enumerate() {
                self.descend.run(k - done)?;
                done = k;
                let fast = self.descend.read("fast")?;
                self.predict.write("fast", &fast)?;
                self.predict.run(1)?;
                visit(&mut self.predict, at, chunk, &weights, &fast)?;
            }
        }
        Ok(())
    }

    /// The embedding of a known task (of the first unknown one), where there are embeddings.
    fn embedding<'p>(&self, params: &'p [f32], known: usize) -> &'p [f32] {
        let Some(e) = &self.hyper.condition.embedding else { return &[] };
        let start = self.hyper.layout().get("embedding").map_or(0, |p| p.offset) + known * e.width;
        params.get(start..start + e.width).unwrap_or(&[])
    }

    /// What is found on every task after each number of steps in `steps` (ascending).
    pub fn predict(
        &mut self,
        member: &Member,
        from: StartFrom,
        tasks: &[Task],
        steps: &[usize],
    ) -> Result<Vec<TaskPredictions>> {
        let mut all = vec![TaskPredictions::default(); steps.len()];
        let (q, outputs) = (self.sizes.q, self.sizes.outputs);
        self.descend(member, from, tasks, steps, |predict, at, chunk, _, _| {
            let found = &mut all[at];
            let y = predict.read("prediction")?;
            for (i, task) in chunk.iter().enumerate() {
                let rows = task.queries(outputs);
                found.predictions.push(y[i * q * outputs..][..rows * outputs].to_vec());
            }
            if predict.has_output("variance") {
                let v = predict.read("variance")?;
                let rows = chunk.iter().enumerate();
                found.variance.extend(rows.map(|(i, t)| v[i * q..][..t.queries(outputs)].to_vec()));
            }
            if predict.has_output("evidence") {
                let e = predict.read("evidence")?;
                found.evidence.extend(e.chunks(2).take(chunk.len()).map(|e| [e[0], e[1]]));
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// The network of every task after `steps` steps: its weights `[P]`, context parameters folded into the first layer's
    /// bias, so that rows are all it reads.
    pub fn adapt(
        &mut self,
        member: &Member,
        from: StartFrom,
        tasks: &[Task],
        steps: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(tasks.len());
        let (t, adaptation, hyper) = (self.sizes.t, self.adaptation, self.hyper.clone());
        self.descend(member, from, tasks, &[steps], |predict, _, chunk, weights, fast| {
            let state = adaptation.fast.state();
            let written = if state.rewrites() { Some(predict.read("generated")?) } else { None };
            let weights = written.as_deref().unwrap_or(weights);
            let (p, s) = (weights.len() / t, fast.len() / t);
            for (w, f) in weights.chunks(p).zip(fast.chunks(s)).take(chunk.len()) {
                all.push(state.network(&hyper, w, f));
            }
            Ok(())
        })?;
        if adaptation.rule.is_closed_form() && self.kind.has_classes() {
            let scale = super::closed_form::logit_scale(&member.hyper, &adaptation.layout(&hyper));
            let head = adaptation.width(&hyper);
            all.iter_mut().for_each(|w| {
                let start = w.len() - head;
                w[start..].iter_mut().for_each(|v| *v *= scale);
            });
        }
        Ok(all)
    }
}

/// Weights of [`Net::without_context`] for context parameters of 0.
pub(crate) fn without_context(target: &Net, weights: &[f32]) -> Vec<f32> {
    target.fold_context(weights, &vec![0.0; target.context_width()])
}

fn support(g: &mut Graph, t: usize, n: usize, inputs: usize, outputs: usize) -> Rows {
    Rows {
        x: g.data("xs", &[t, n, inputs]),
        y: g.data("ys", &[t, n, outputs]),
        rows: g.data("rows", &[t, n]),
        count: g.data("count", &[t, 1]),
    }
}

/// What is at hand of the tasks of a batch.
fn condition(g: &mut Graph, hyper: &HyperSpec, support: Rows, t: usize) -> Condition {
    let d = hyper.condition.descriptor;
    let descriptor = (d > 0).then(|| g.data("descriptor", &[t, d]));
    let task = hyper.condition.embedding.as_ref().map(|_| g.input("task", Role::Data, &[t], DType::U32));
    Condition { support: Some(support), task, descriptor }
}

fn generate_graph(hyper: &HyperSpec, t: usize, n: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let layout = hyper.layout();
    let flat = g.data("params", &[layout.len()]);
    let support = support(g, t, n, hyper.target.inputs(), hyper.target.outputs());
    let params = Weights { flat, layout: &layout };
    let condition = condition(g, hyper, support, t);
    let z = hyper.condition(g, params, &condition);
    if let Some(z) = z {
        g.output("condition", z);
        for (i, h) in hyper.trunk(g, params, z).into_iter().enumerate() {
            g.output(&format!("trunk {i}"), h);
        }
    }
    let w = hyper.generate(g, params, z, t);
    g.output("weights", w);
    graph
}

/// What a step and a prediction know of a batch, as inputs of their plans.
fn problem(g: &mut Graph, inner: InnerLoop<'_>, t: usize, n: usize) -> super::InnerProblem {
    let (hyper, a) = (inner.hyper, inner.adaptation);
    let all = a.layout(hyper);
    let s = support(g, t, n, hyper.target.inputs(), hyper.target.outputs());
    let params = a.reads_params().then(|| Weights { flat: g.data("params", &[all.len()]), layout: &all });
    let z = match params {
        Some(p) if a.fast.state().rewrites() => {
            let condition = condition(g, hyper, s, t);
            hyper.condition(g, p, &condition)
        }
        _ => None,
    };
    let weights = g.data("weights", &[t, hyper.target.layout().len()]);
    inner.problem(g, params, weights, z, &s)
}

/// One step of every task.
fn descend_graph(inner: InnerLoop<'_>, t: usize, n: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let problem = problem(g, inner, t, n);
    let (hyper, a) = (inner.hyper, inner.adaptation);
    let mut state = vec![g.state("fast", &[t, a.width(hyper)])];
    state.extend(a.moments(hyper).into_iter().map(|(name, width, _)| g.state(name, &[t, width])));
    let new = inner.step(g, &problem, &state, false);
    for (old, new) in state.into_iter().zip(new) {
        g.update(old, new);
    }
    graph
}

fn predict_graph(inner: InnerLoop<'_>, t: usize, n: usize, q: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let problem = problem(g, inner, t, n);
    let fast = g.data("fast", &[t, inner.adaptation.width(inner.hyper)]);
    let xq = g.data("xq", &[t, q, inner.hyper.target.inputs()]);
    let xq = inner.inputs(g, problem.weights(), xq);
    let y = inner.predict(g, &problem, fast, xq);
    g.output("prediction", y);
    if inner.adaptation.fast.state().rewrites() {
        let w = inner.generated(g, &problem, fast);
        g.output("generated", w);
    }
    if inner.adaptation.rule.is_closed_form() {
        if let Some(v) = inner.variance(g, &problem, xq) {
            g.output("variance", v);
        }
        if let Some(e) = inner.evidence(g, &problem) {
            g.output("evidence", e);
        }
    }
    graph
}

/// Outputs of one network on rows `[n, i]`.
pub(crate) fn forward(device: &Device, spec: &Net, weights: &[f32], x: &[f32]) -> Result<Vec<f32>> {
    let (rows, layout) = (x.len() / spec.inputs(), spec.layout());
    let mut graph = Graph::new();
    let g = &mut graph;
    let flat = g.data("weights", &[1, layout.len()]);
    let input = g.data("xq", &[1, rows, spec.inputs()]);
    let y = spec.apply(g, Weights { flat, layout: &layout }, input);
    g.output("prediction", y);
    let mut session = device.prepare(lower(&graph, device.caps(1))?)?;
    session.write("weights", weights)?;
    session.write("xq", x)?;
    session.run(1)?;
    session.read("prediction")
}
