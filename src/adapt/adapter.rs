//! Tasks that were not trained on: their weights are generated, then go on learning from their support
//! rows. Any number of tasks, in batches of one size, of any sizes within.

use super::pool::{Lease, Pool, Prepared, bucket};
use super::{Adaptation, InnerLoop};
use crate::error::{Error, Result};
use crate::graph::{Graph, Role, Value};
use crate::hyper::{Condition, HyperSpec};
use crate::net::{Net, SupportRows, Weights};
use crate::plan::{KEEP, lower};
use crate::run::{Device, Session, Store};
use crate::spec::DType;
use crate::task::{Loss, Rows, Task};

/// Tasks in a batch, as many as run at once.
const MAX_BATCH_TASKS: usize = 256;
/// Weights of a batch at most, and numbers behind a layer: 256 MiB. A pass keeps some dozens of such values at most.
const MAX_BATCH_NUMBERS: usize = 1 << 26;

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
pub(super) struct PaddedBatch {
    xs: Vec<f32>,
    ys: Vec<f32>,
    rows: Vec<f32>,
    count: Vec<f32>,
    xq: Vec<f32>,
    descriptor: Vec<f32>,
    known: Vec<u32>,
}

/// Sizes of a batch: networks (of each task one, or one for each draw of the noise), support rows, query rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BatchSizes {
    pub(super) t: usize,
    pub(super) n: usize,
    pub(super) q: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Known tasks; the number after them stands for any other.
    pub(super) known: usize,
    /// Networks of a task, one after another: each counts as a task of the batch.
    pub(super) draws: usize,
}

impl BatchSizes {
    /// The sizes of a batch of tasks like these, in buckets, with so many networks of each.
    ///
    /// # Errors
    /// [`Error::Shape`] where the network mixes the rows of a task and tasks have not as many as each other.
    pub(super) fn of(hyper: &HyperSpec, tasks: &[Task], draws: usize) -> Result<BatchSizes> {
        let (inputs, outputs) = (hyper.target.inputs(), hyper.target.outputs());
        let known = hyper.condition.embedding.as_ref().map_or(0, |e| e.tasks - 1);
        let shots = |x: &Task| x.shots(outputs);
        let queries = |x: &Task| x.queries(outputs);
        let largest = |rows: &dyn Fn(&Task) -> usize| tasks.iter().map(rows).max().unwrap_or(1).max(1);
        let (mut n, mut q) = (largest(&shots), largest(&queries));
        if hyper.target.mixes_rows() {
            // A row that does not count would count in what is normalised by.
            let even = |rows: &dyn Fn(&Task) -> usize| tasks.windows(2).all(|w| rows(&w[0]) == rows(&w[1]));
            if !(even(&shots) && even(&queries)) {
                return Err(Error::Shape(
                    "the network normalises over the rows of a task: tasks that are asked about together need as many rows \
                     each"
                        .into(),
                ));
            }
        } else {
            (n, q) = (bucket(n), bucket(q));
        }
        let task = hyper.target.layout().len().max(hyper.target.largest_row() * (n + q));
        let most = (MAX_BATCH_NUMBERS / task / draws).clamp(1, MAX_BATCH_TASKS.div_ceil(draws));
        let t = bucket(tasks.len()).min(most) * draws;
        Ok(BatchSizes { t, n, q, inputs, outputs, known, draws })
    }

    /// Tasks whose networks a batch holds.
    pub(super) fn tasks(self) -> usize {
        self.t / self.draws
    }

    /// The same for so many tasks.
    pub(super) fn for_tasks(self, tasks: usize) -> BatchSizes {
        BatchSizes { t: tasks * self.draws, ..self }
    }

    /// The same with fewer tasks, where a gradient through so many steps keeps the weights of each.
    pub(super) fn with_steps(self, hyper: &HyperSpec, steps: usize) -> BatchSizes {
        let most = MAX_BATCH_NUMBERS / (hyper.target.layout().len() * (steps + 1)) / self.draws;
        self.for_tasks(self.tasks().min(most.max(1)))
    }
}

impl PaddedBatch {
    /// Pads at most as many tasks as a batch holds to as many (repeating the first) of `n` support and `q` query rows.
    pub(super) fn new(tasks: &[Task], s: BatchSizes) -> PaddedBatch {
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
            let task = tasks.get(i / s.draws).unwrap_or(&tasks[0]);
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

    /// Writes what plans read of the tasks.
    pub(super) fn write(&self, store: &Store) -> Result<()> {
        let values = [
            ("xs", &self.xs),
            ("ys", &self.ys),
            ("rows", &self.rows),
            ("count", &self.count),
            ("descriptor", &self.descriptor),
            ("xq", &self.xq),
        ];
        for (name, values) in values.into_iter().filter(|(name, _)| store.has(name)) {
            store.write(name, values)?;
        }
        if store.has("task") {
            store.write_u32("task", &self.known)?;
        }
        Ok(())
    }
}

/// What was found on a batch of tasks after some steps, a row a task: of several networks that noise makes of it what they say together.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TaskPredictions {
    /// Predictions on the query rows, `[q · o]`.
    pub predictions: Vec<Vec<f32>>,
    /// Predictive variances of the query rows, `[q]`, where the rule of adaptation knows them.
    pub variance: Vec<Vec<f32>>,
    /// How far several networks of a task disagree on its query rows, `[q]`: the variance of values, or what knowing the network would say of the class, in nats.
    pub disagreement: Vec<Vec<f32>>,
    /// Log density of the support as generated, and of what adaptation may reach, where the rule knows them.
    pub evidence: Vec<[f32; 2]>,
}

/// What a hypernetwork reads and writes, a row a task.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Generated {
    /// Weights `[P]`.
    pub weights: Vec<Vec<f32>>,
    /// Weights of networks that do without the support ([`Net::settled`]), where the target normalises by it.
    pub settled: Vec<Vec<f32>>,
    /// What is read, `[t · E]`.
    pub condition: Vec<f32>,
    /// What each layer of the trunk gives, `[t · width]`.
    pub trunk: Vec<Vec<f32>>,
}

/// Plans for generating, adapting and predicting, prepared for one size of batch in one store: weights stay on the device
/// from the plan that writes them to the one that predicts.
#[derive(Debug)]
pub struct Adapter {
    hyper: HyperSpec,
    adaptation: Adaptation,
    kind: Loss,
    store: Store,
    plans: Plans<Session>,
    /// What it was prepared for; `sizes` has fewer tasks where these do not fit the device.
    asked: BatchSizes,
    sizes: BatchSizes,
}

impl Prepared for Adapter {
    fn bytes(&self) -> u64 {
        let Plans { generate, blend, begin, descend, predict, settle } = &self.plans;
        let all = [generate, blend, begin, descend, predict].into_iter().chain(settle);
        all.map(|s| s.plan().bytes()).sum()
    }
}

/// What is done with a batch, one after another.
#[derive(Clone, Debug)]
struct Plans<P> {
    /// `weights` are written.
    generate: P,
    /// Of their correction to the pooled network a fraction is kept.
    blend: P,
    /// `fast` is what of them adapts.
    begin: P,
    /// One step changes `fast`.
    descend: P,
    /// Predictions by `weights` and `fast`.
    predict: P,
    /// Networks that normalise by the support are made to do without it.
    settle: Option<P>,
}

impl Adapter {
    /// Prepares for tasks like these: as many, with as many support and query rows as the largest of them. The numbers go into
    /// buckets (1, 2, 4, 8, 10, 12, 14, 16, 20, ..) and are filled up with rows that do not count; where the network mixes the rows of a
    /// task, as batch normalisation does, numbers of rows are taken as they are.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] with numbers where the plans do not fit the device; [`Error::Shape`] where the network mixes the
    /// rows of a task and tasks have not as many as each other.
    pub fn new(
        device: &Device,
        hyper: &HyperSpec,
        kind: Loss,
        adaptation: Adaptation,
        tasks: &[Task],
    ) -> Result<Adapter> {
        let asked = BatchSizes::of(hyper, tasks, hyper.condition.draws())?;
        Adapter::of_size(device, hyper, kind, adaptation, asked)
    }

    fn of_size(
        device: &Device,
        hyper: &HyperSpec,
        kind: Loss,
        adaptation: Adaptation,
        asked: BatchSizes,
    ) -> Result<Adapter> {
        let BatchSizes { n, q, .. } = asked;
        let plan = |g: Graph| lower(&g, device.caps(1));
        let inner = InnerLoop { hyper, adaptation: &adaptation, kind };
        // Fewer tasks at once where a batch of them does not fit.
        let plans = |tasks| {
            let t = asked.for_tasks(tasks).t;
            Ok(Plans {
                generate: plan(generate_graph(inner, t, n))?,
                blend: plan(blend_graph(hyper, t))?,
                begin: plan(begin_graph(inner, t, n))?,
                descend: plan(descend_graph(inner, t, n))?,
                predict: plan(predict_graph(inner, t, n, q))?,
                settle: hyper.target.reads_support().then(|| plan(settle_graph(hyper, t, n))).transpose()?,
            })
        };
        let mut tasks = asked.tasks();
        let plans = as_many_as_fit(&mut tasks, plans)?;
        let sizes = asked.for_tasks(tasks);
        let store = device.store();
        let plans = Plans {
            generate: store.prepare(plans.generate)?,
            blend: store.prepare(plans.blend)?,
            begin: store.prepare(plans.begin)?,
            descend: store.prepare(plans.descend)?,
            predict: store.prepare(plans.predict)?,
            settle: plans.settle.map(|plan| store.prepare(plan)).transpose()?,
        };
        write_noise(&store, hyper, sizes)?;
        Ok(Adapter { hyper: hyper.clone(), adaptation, kind, store, plans, asked, sizes })
    }

    /// One from a pool for tasks like these with so many networks of each, prepared where there is none.
    pub(crate) fn leased(
        pool: &Pool<Adapter>,
        device: &Device,
        hyper: &HyperSpec,
        kind: Loss,
        adaptation: Adaptation,
        tasks: &[Task],
        draws: usize,
    ) -> Result<Lease<Adapter>> {
        let sizes = BatchSizes::of(hyper, tasks, draws)?;
        pool.lease(
            |a| {
                (a.asked, a.adaptation, a.kind) == (sizes, adaptation, kind)
                    && a.store.device() == device
                    && a.hyper == *hyper
            },
            || Adapter::of_size(device, hyper, kind, adaptation, sizes),
        )
    }

    /// Refuses tasks that the plans have no room for.
    fn check(&self, tasks: &[Task]) -> Result<()> {
        let BatchSizes { n, q, outputs, .. } = self.sizes;
        if self.hyper.target.reads_support()
            && let Some(x) = tasks.iter().find(|x| x.shots(outputs) == 0)
        {
            return Err(Error::Shape(format!(
                "task '{}' has no support rows, and the network normalises by them (batch_norm = \"support\")",
                x.name
            )));
        }
        let mixes = self.hyper.target.mixes_rows();
        let fits = |rows: usize, room: usize| if mixes { rows == room } else { rows <= room };
        match tasks.iter().find(|x| !fits(x.shots(outputs), n) || !fits(x.queries(outputs).max(1), q)) {
            None => Ok(()),
            Some(x) => Err(Error::Shape(format!(
                "task '{}' has {} support and {} query rows; the adapter was prepared for {}{n} and {q}",
                x.name,
                x.shots(outputs),
                x.queries(outputs),
                if mixes { "" } else { "up to " }
            ))),
        }
    }

    /// Hands a member's parameters to the plans that read them; one that is not trained yet has none.
    fn read_member(&mut self, member: &Member) -> Result<()> {
        match member.hyper.get(..self.adaptation.layout(&self.hyper).len()) {
            Some(params) => self.store.write("params", params),
            None if self.adaptation.reads_params() => self.store.write("params", &member.hyper),
            None => Ok(()),
        }
    }

    /// Writes the weights that at most a batch of tasks starts with, by the parameters of a member that was read.
    fn start(&mut self, member: &Member, from: StartFrom, tasks: &[Task]) -> Result<()> {
        self.check(tasks)?;
        let batch = PaddedBatch::new(tasks, self.sizes);
        batch.write(&self.store)?;
        let fraction = match from {
            StartFrom::Pooled => return self.store.write("weights", &member.pooled.repeat(self.sizes.t)),
            StartFrom::Generated(fraction) => fraction,
        };
        self.plans.generate.run(1)?;
        if fraction != 1.0 {
            self.plans.blend.write("pooled", &member.pooled)?;
            self.plans.blend.write("fraction", &[fraction as f32])?;
            self.plans.blend.run(1)?;
        }
        Ok(())
    }

    /// What is written for tasks; of several networks of each the first.
    pub fn written(&mut self, member: &Member, tasks: &[Task]) -> Result<Generated> {
        let mut all = Generated { trunk: vec![vec![]; self.hyper.trunk.len()], ..Generated::default() };
        let BatchSizes { t, draws, .. } = self.sizes;
        self.read_member(member)?;
        for chunk in tasks.chunks(self.sizes.tasks()) {
            self.start(member, StartFrom::Generated(1.0), chunk)?;
            let w = self.store.read("weights")?;
            let weights = w.chunks(w.len() / t).step_by(draws).take(chunk.len()).map(<[f32]>::to_vec);
            if self.plans.settle.is_some() {
                let plain = weights.clone().map(|w| without_context(&self.hyper.target, &w)).collect();
                all.settled.extend(self.plans.settled(plain, t)?);
            }
            all.weights.extend(weights);
            if self.hyper.is_shared() {
                continue;
            }
            let mut rows = |name: &str, to: &mut Vec<f32>| -> Result<()> {
                let values = self.plans.generate.read(name)?;
                let each = values.chunks(values.len() / t).step_by(draws).take(chunk.len());
                each.for_each(|row| to.extend(row));
                Ok(())
            };
            rows("condition", &mut all.condition)?;
            for (i, layer) in all.trunk.iter_mut().enumerate() {
                rows(&format!("trunk {i}"), layer)?;
            }
        }
        Ok(all)
    }

    /// Every task adapts; `visit(the plans, the store, the step's index, tasks)` is called after each number of steps in `steps` (ascending), a batch at a time.
    fn descend(
        &mut self,
        member: &Member,
        from: StartFrom,
        tasks: &[Task],
        steps: &[usize],
        mut visit: impl FnMut(&mut Plans<Session>, &Store, usize, &[Task]) -> Result<()>,
    ) -> Result<()> {
        self.read_member(member)?;
        for chunk in tasks.chunks(self.sizes.tasks()) {
            self.start(member, from, chunk)?;
            self.plans.begin.run(1)?;
            let mut done = 0;
            for (at, &k) in steps.iter().enumerate() {
                self.plans.descend.run(k - done)?;
                done = k;
                visit(&mut self.plans, &self.store, at, chunk)?;
            }
        }
        Ok(())
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
        let BatchSizes { q, outputs, draws, .. } = self.sizes;
        let kind = self.kind;
        self.descend(member, from, tasks, steps, |plans, _, at, chunk| {
            let (found, predict) = (&mut all[at], &mut plans.predict);
            predict.run(1)?;
            let y = predict.read("prediction")?;
            // What each network of a task says of its query rows, of which each has so many numbers.
            let of_task = |all: &[f32], i: usize, numbers: usize| -> Vec<Vec<f32>> {
                let rows = chunk[i].queries(outputs);
                let networks = i * draws..(i + 1) * draws;
                networks.map(|n| all[n * q * numbers..][..rows * numbers].to_vec()).collect()
            };
            let variance = predict.has_output("variance").then(|| predict.read("variance")).transpose()?;
            for i in 0..chunk.len() {
                let said = of_task(&y, i, outputs);
                let own = variance.as_ref().map(|v| of_task(v, i, 1).concat());
                if draws == 1 {
                    found.variance.extend(own);
                    found.predictions.extend(said);
                    continue;
                }
                found.disagreement.push(kind.disagreement(&said, outputs));
                let networks: Vec<&[f32]> = said.iter().map(Vec::as_slice).collect();
                found.predictions.push(kind.mixture(&networks, &vec![1.0 / draws as f64; draws], outputs));
            }
            if predict.has_output("evidence") {
                let e = predict.read("evidence")?;
                let each = e.chunks(2).step_by(draws).take(chunk.len());
                found.evidence.extend(each.map(|e| [e[0], e[1]]));
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// The fast state of every task after `steps` steps; of several networks of each that of the first.
    pub(crate) fn codes(&mut self, member: &Member, tasks: &[Task], steps: usize) -> Result<Vec<Vec<f32>>> {
        let BatchSizes { t, draws, .. } = self.sizes;
        let mut all = Vec::with_capacity(tasks.len());
        self.descend(member, StartFrom::Generated(1.0), tasks, &[steps], |_, store, _, chunk| {
            let fast = store.read("fast")?;
            let each = fast.chunks(fast.len() / t).step_by(draws).take(chunk.len());
            all.extend(each.map(<[f32]>::to_vec));
            Ok(())
        })?;
        Ok(all)
    }

    /// The network of every task after `steps` steps (of a task with noise one after another for each draw): its weights `[P]`, context parameters folded into the first layer's
    /// bias and statistics of the support into gains and shifts ([`Net::settled`]), so that rows are all it reads.
    pub fn adapt(
        &mut self,
        member: &Member,
        from: StartFrom,
        tasks: &[Task],
        steps: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let BatchSizes { t, draws, .. } = self.sizes;
        let mut all = Vec::with_capacity(tasks.len() * draws);
        let (adaptation, hyper) = (self.adaptation, self.hyper.clone());
        self.descend(member, from, tasks, &[steps], |plans, store, _, chunk| {
            let state = adaptation.fast.state();
            let weights = match state.rewrites() {
                true => {
                    plans.predict.run(1)?;
                    plans.predict.read("generated")?
                }
                false => store.read("weights")?,
            };
            let fast = store.read("fast")?;
            let (p, s) = (weights.len() / t, fast.len() / t);
            let networks = weights.chunks(p).zip(fast.chunks(s)).take(chunk.len() * draws);
            let networks = networks.map(|(w, f)| state.network(&hyper, w, f)).collect();
            all.extend(plans.settled(networks, t)?);
            Ok(())
        })?;
        all.iter_mut().for_each(|w| adaptation.sharpen_head(&hyper, self.kind, &member.hyper, w));
        Ok(all)
    }
}

impl Plans<Session> {
    /// Weights of networks without context parameters, of at most a batch of `t` tasks whose support the store has, that do without
    /// the support.
    fn settled(&mut self, weights: Vec<Vec<f32>>, t: usize) -> Result<Vec<Vec<f32>>> {
        let Some(settle) = &mut self.settle else { return Ok(weights) };
        let (many, p) = (weights.len(), weights[0].len());
        let mut all = weights.concat();
        all.resize(t * p, 0.0);
        settle.write("networks", &all)?;
        settle.run(1)?;
        Ok(settle.read("settled")?.chunks(p).take(many).map(<[f32]>::to_vec).collect())
    }
}

/// Weights of [`Net::without_context`] for context parameters of 0.
pub(crate) fn without_context(target: &Net, weights: &[f32]) -> Vec<f32> {
    target.fold_context(weights, &vec![0.0; target.context_width()])
}

/// What is made for `t` tasks at once, or for half as many as often as they do not fit.
pub(super) fn as_many_as_fit<P>(t: &mut usize, of: impl Fn(usize) -> Result<P>) -> Result<P> {
    loop {
        match of(*t) {
            Err(Error::Memory(_)) if *t > 1 => *t = t.div_ceil(2),
            done => return done,
        }
    }
}

/// A value that plans share.
fn shared(g: &mut Graph, name: &str, role: Role, shape: &[usize], dtype: DType) -> Value {
    let v = g.input(name, role, shape, dtype);
    g.stored(name);
    v
}

/// A value that a plan only reads.
pub(super) fn data(g: &mut Graph, name: &str, shape: &[usize]) -> Value {
    shared(g, name, Role::Data, shape, DType::F32)
}

/// A value that a plan writes for others to read.
fn result(g: &mut Graph, name: &str, v: Value) {
    g.output(name, v);
    g.stored(name);
}

pub(super) fn support(g: &mut Graph, t: usize, n: usize, inputs: usize, outputs: usize) -> Rows {
    Rows {
        x: data(g, "xs", &[t, n, inputs]),
        y: data(g, "ys", &[t, n, outputs]),
        rows: data(g, "rows", &[t, n]),
        count: data(g, "count", &[t, 1]),
    }
}

/// What is at hand of the tasks of a batch.
pub(super) fn condition(g: &mut Graph, hyper: &HyperSpec, support: Rows, t: usize) -> Condition {
    let d = hyper.condition.descriptor;
    let descriptor = (d > 0).then(|| data(g, "descriptor", &[t, d]));
    let embedding = hyper.condition.embedding.as_ref();
    let task = embedding.map(|_| shared(g, "task", Role::Data, &[t], DType::U32));
    let noise = hyper.condition.noise.map(|noise| data(g, "noise", &[t, noise.width]));
    Condition { support: Some(support), task, descriptor, noise }
}

/// Writes the draws of the noise that the networks of a batch are made by, where plans read any.
pub(super) fn write_noise(store: &Store, hyper: &HyperSpec, sizes: BatchSizes) -> Result<()> {
    match hyper.condition.noise {
        Some(noise) if store.has("noise") => {
            let draws = &noise.table()[..sizes.draws * noise.width];
            store.write("noise", &draws.repeat(sizes.tasks()))
        }
        _ => Ok(()),
    }
}

fn generate_graph(inner: InnerLoop<'_>, t: usize, n: usize) -> Graph {
    let mut graph = Graph::new();
    let (g, hyper) = (&mut graph, inner.hyper);
    let layout = inner.adaptation.layout(hyper);
    let flat = data(g, "params", &[layout.len()]);
    let support = support(g, t, n, hyper.target.inputs(), hyper.target.outputs());
    let params = Weights { flat, layout: &layout };
    let condition = condition(g, hyper, support, t);
    let read = hyper.condition(g, params, &condition);
    if let Some(read) = &read {
        g.output("condition", read.condition);
        for (i, h) in hyper.trunk(g, params, read).into_iter().enumerate() {
            g.output(&format!("trunk {i}"), h);
        }
    }
    let w = hyper.generate(g, params, read, t);
    let w = hyper.refine(g, params, &condition, inner.kind, w);
    result(g, "weights", w);
    graph
}

/// `pooled + fraction (weights - pooled)`
fn blend_graph(hyper: &HyperSpec, t: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let p = hyper.target.layout().len();
    let w = shared(g, "weights", Role::State, &[t, p], DType::F32);
    let (base, fraction) = (g.data("pooled", &[1, p]), g.data("fraction", &[1, 1]));
    let correction = g.sub(w, base);
    let part = g.mul(correction, fraction);
    let new = g.add(part, base);
    g.update(w, new);
    graph
}

/// What adapts of the weights, and what is carried beside it.
fn begin_graph(inner: InnerLoop<'_>, t: usize, n: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let problem = problem(g, inner, t, n);
    let fast = inner.start(g, &problem);
    result(g, "fast", fast);
    for (name, width, value) in inner.adaptation.moments(inner.hyper) {
        let value = g.constant(value as f64);
        let value = g.expand(value, &[t, width]);
        result(g, name, value);
    }
    graph
}

/// What a step and a prediction know of a batch, as inputs of their plans.
fn problem(g: &mut Graph, inner: InnerLoop<'_>, t: usize, n: usize) -> super::InnerProblem {
    let (hyper, a) = (inner.hyper, inner.adaptation);
    let all = a.layout(hyper);
    let s = support(g, t, n, hyper.target.inputs(), hyper.target.outputs());
    let params = a.reads_params().then(|| Weights { flat: data(g, "params", &[all.len()]), layout: &all });
    let z = match params {
        Some(p) if a.fast.state().rewrites() => {
            let condition = condition(g, hyper, s, t);
            hyper.condition(g, p, &condition).map(|read| read.condition)
        }
        _ => None,
    };
    let weights = data(g, "weights", &[t, hyper.target.layout().len()]);
    inner.problem(g, params, weights, z, &s)
}

/// One step of every task.
fn descend_graph(inner: InnerLoop<'_>, t: usize, n: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    g.keep(KEEP);
    let problem = problem(g, inner, t, n);
    let (hyper, a) = (inner.hyper, inner.adaptation);
    let state = |g: &mut Graph, name, width| shared(g, name, Role::State, &[t, width], DType::F32);
    let mut states = vec![state(g, "fast", a.width(hyper))];
    states.extend(a.moments(hyper).into_iter().map(|(name, width, _)| state(g, name, width)));
    let new = inner.step(g, &problem, &states, false);
    for (old, new) in states.into_iter().zip(new) {
        g.update(old, new);
    }
    graph
}

fn predict_graph(inner: InnerLoop<'_>, t: usize, n: usize, q: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let problem = problem(g, inner, t, n);
    let fast = data(g, "fast", &[t, inner.adaptation.width(inner.hyper)]);
    let xq = data(g, "xq", &[t, q, inner.hyper.target.inputs()]);
    let xq = inner.inputs(g, &problem, xq);
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

/// What statistics of the support say, put into the weights of networks without context parameters.
fn settle_graph(hyper: &HyperSpec, t: usize, n: usize) -> Graph {
    let mut graph = Graph::new();
    let (g, net) = (&mut graph, hyper.target.without_context());
    let layout = net.layout();
    let flat = g.data("networks", &[t, layout.len()]);
    let s = support(g, t, n, net.inputs(), net.outputs());
    let support = SupportRows { x: s.x, weights: s.rows };
    let settled = net.settle(g, Weights { flat, layout: &layout }, support);
    g.output("settled", settled);
    graph
}

/// A network prepared for a number of rows.
#[derive(Debug)]
pub(crate) struct Forward {
    net: Net,
    rows: usize,
    device: Device,
    session: Session,
}

impl Prepared for Forward {
    fn bytes(&self) -> u64 {
        self.session.plan().bytes()
    }
}

impl Forward {
    fn new(device: &Device, net: &Net, rows: usize) -> Result<Forward> {
        let layout = net.layout();
        let mut graph = Graph::new();
        let g = &mut graph;
        let flat = g.data("weights", &[1, layout.len()]);
        let input = g.data("xq", &[1, rows, net.inputs()]);
        let y = net.apply(g, Weights { flat, layout: &layout }, input);
        g.output("prediction", y);
        let session = device.prepare(lower(&graph, device.caps(1))?)?;
        Ok(Forward { net: net.clone(), rows, device: device.clone(), session })
    }

    /// One from a pool that has room for these inputs `[n, i]`, prepared where there is none.
    pub(crate) fn leased(
        pool: &Pool<Forward>,
        device: &Device,
        net: &Net,
        x: &[f32],
    ) -> Result<Lease<Forward>> {
        let rows = x.len() / net.inputs();
        let rows = if net.mixes_rows() { rows } else { bucket(rows) };
        pool.lease(
            |f| f.rows == rows && f.device == *device && f.net == *net,
            || Forward::new(device, net, rows),
        )
    }

    /// Outputs `[n, o]` for inputs `[n, i]`, by these weights.
    pub(crate) fn run(&mut self, weights: &[f32], x: &[f32]) -> Result<Vec<f32>> {
        let mut padded = x.to_vec();
        padded.resize(self.rows * self.net.inputs(), 0.0);
        self.session.write("weights", weights)?;
        self.session.write("xq", &padded)?;
        self.session.run(1)?;
        let mut y = self.session.read("prediction")?;
        y.truncate(x.len() / self.net.inputs() * self.net.outputs());
        Ok(y)
    }
}
