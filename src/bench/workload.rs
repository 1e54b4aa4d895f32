//! What is measured: the computations that `benches/peers` does with other tools.

use std::str::FromStr;

use super::{fields, generators, heads, numbers, pictures, policies, search, sequences, word};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::net::{Init, Net, ParamLayout, Weights};
use crate::optim::Optimiser;
use crate::plan::{Caps, KEEP, Plan, lower};
use crate::run::{Device, Session, medians};
use crate::spec::{Activation, count};
use crate::task::{Loss, loss};

/// A workload by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// A training step of a generator of 1-40-40-1 networks from learned embeddings.
    Amortised,
    /// The same, the loss taken after 5 steps of inner learning, differentiated through.
    Maml2,
    /// 5 steps of learning of given 1-40-40-1 networks on 10 rows each.
    Adapt,
    /// 10 steps of learning of given 2-64-64-1 networks on 16 rows each.
    Adapt64,
    /// 5 steps of the same on 784 rows each, as many as a small picture has pixels.
    AdaptRows,
    /// A training step of a generator of 784-128-10 classifiers.
    Generator,
    /// A square product; tasks: its size.
    Gemm,
    /// Products of 64 x 64 matrices; tasks: their number.
    GemmBatch64,
    /// Products of 16 x 32 and 32 x 32 matrices; tasks: their number.
    GemmBatch16,
    /// Loss and gradient of given convolutional networks: three layers of 32, 32 and 64 channels over 32 pictures each.
    Conv,
    /// The loss of the same alone.
    ConvForward,
    /// Loss and gradient of given classifiers of four convolutions with norms and pools, on 32 pictures each.
    ConvTrain,
    /// Loss and gradient of one of these classifiers; tasks: its pictures.
    ConvBatch,
    /// 5 steps of learning of given classifiers of small pictures, on one picture of each of five classes.
    ConvAdapt,
    /// Loss and gradient of a classifier that all tasks share, after a step on each task's pictures, differentiated through.
    ConvMaml2,
    /// 10 steps of Adam of given networks of sines, 2-64-64-64-3, on all pixels of a picture each.
    Inr,
    /// 5 steps of learning of given recurrent networks (GRU, 16-32-1) on 8 sequences of 32 elements each.
    GruAdapt,
    /// Loss and gradient of a recurrent network (LSTM, 16-32-1) that all tasks share, after two steps on each task's sequences,
    /// differentiated through.
    LstmMaml2,
    /// A training step of a language model: LSTM of 128 units over 32 sequences of 100 characters.
    Charlm,
    /// A training step of a generator with attention over 25 support rows, which writes 1-40-40-1 networks.
    AttentionHyper,
    /// A training step of a generator that writes 784-128-10 classifiers from descriptors, all weights at once.
    HeadFull,
    /// The same in factors of rank 4.
    HeadLowRank,
    /// The same in chunks of 1024.
    HeadChunked,
    /// What dense networks of 64 shapes say of 256 rows.
    NasEval,
    /// Dense networks of 64 shapes, each in training on targets of its own.
    NasTrain,
    /// 200 steps of CartPole by policies of 4-64-64-2 with weights and physics of their own.
    RlRollout,
    /// An iteration of PPO of agents with networks and physics of their own: 128 steps in 64 worlds, 4 epochs of 4 minibatches.
    PpoStep,
}

/// How long the steps of small networks are.
const RATE: f64 = 0.01;
/// Steps of training that a plan's window holds.
const WINDOW: usize = 8;

/// Widths of the networks of a workload, and rows that they learn from.
struct Sizes {
    target: Net,
    support: usize,
    query: usize,
    steps: usize,
}

impl Workload {
    /// All of them, with their names.
    pub const ALL: [(&str, Workload); 27] = [
        ("amortised", Workload::Amortised),
        ("maml2", Workload::Maml2),
        ("adapt", Workload::Adapt),
        ("adapt-64", Workload::Adapt64),
        ("adapt-rows", Workload::AdaptRows),
        ("generator", Workload::Generator),
        ("gemm", Workload::Gemm),
        ("gemm-batch-64", Workload::GemmBatch64),
        ("gemm-batch-16", Workload::GemmBatch16),
        ("conv", Workload::Conv),
        ("conv-forward", Workload::ConvForward),
        ("conv-train", Workload::ConvTrain),
        ("conv-batch", Workload::ConvBatch),
        ("conv-adapt", Workload::ConvAdapt),
        ("conv-maml2", Workload::ConvMaml2),
        ("inr", Workload::Inr),
        ("gru-adapt", Workload::GruAdapt),
        ("lstm-maml2", Workload::LstmMaml2),
        ("charlm", Workload::Charlm),
        ("attention-hyper", Workload::AttentionHyper),
        ("head-full", Workload::HeadFull),
        ("head-low-rank", Workload::HeadLowRank),
        ("head-chunked", Workload::HeadChunked),
        ("nas-eval", Workload::NasEval),
        ("nas-train", Workload::NasTrain),
        ("rl-rollout", Workload::RlRollout),
        ("ppo-step", Workload::PpoStep),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Workload::ALL.iter().find(|(_, w)| *w == self).map_or("", |(n, _)| n)
    }

    /// Tasks where nothing is said.
    pub fn default_tasks(self) -> usize {
        match self {
            Workload::Amortised
            | Workload::Maml2
            | Workload::Adapt
            | Workload::AttentionHyper
            | Workload::HeadFull
            | Workload::HeadLowRank
            | Workload::HeadChunked
            | Workload::NasEval => 256,
            Workload::Adapt64 | Workload::GemmBatch64 | Workload::GemmBatch16 => 4096,
            Workload::AdaptRows
            | Workload::Inr
            | Workload::ConvBatch
            | Workload::GruAdapt
            | Workload::LstmMaml2 => 64,
            Workload::NasTrain => 2048,
            Workload::Generator => 32,
            Workload::Charlm | Workload::PpoStep => 1,
            Workload::Gemm | Workload::RlRollout => 1024,
            Workload::Conv | Workload::ConvForward | Workload::ConvTrain => 16,
            Workload::ConvAdapt | Workload::ConvMaml2 => 16,
        }
    }

    fn sizes(self) -> Sizes {
        match self {
            Workload::Adapt64 | Workload::AdaptRows => {
                let (support, steps) = if self == Workload::Adapt64 { (16, 10) } else { (784, 5) };
                let target = Net::mlp(&[2, 64, 64, 1], Activation::Tanh);
                Sizes { target, support, query: 0, steps }
            }
            Workload::Generator => {
                Sizes { target: Net::mlp(&[784, 128, 10], Activation::Relu), support: 0, query: 64, steps: 0 }
            }
            _ => Sizes {
                target: Net::mlp(&[1, 40, 40, 1], Activation::Tanh),
                support: 10,
                query: 50,
                steps: 5,
            },
        }
    }

    /// Nominal operations of a call: products only; a backward pass counts as two forward ones, and one through
    /// inner steps as two of theirs.
    pub fn flops(self, tasks: usize) -> f64 {
        let t = tasks as f64;
        let s = self.sizes();
        let network = |rows: usize| -> f64 {
            s.target
                .layout()
                .params
                .iter()
                .filter_map(|p| p.fans())
                .map(|(i, o)| 2.0 * (rows * i * o) as f64)
                .sum()
        };
        let p = s.target.layout().len() as f64;
        let generator = 2.0 * t * (32.0 * 128.0 + 128.0 * 128.0 + 128.0 * p);
        match self {
            Workload::Adapt | Workload::Adapt64 | Workload::AdaptRows => {
                t * s.steps as f64 * 3.0 * network(s.support)
            }
            Workload::Inr => {
                let weights = fields::siren().layout();
                let each = |(i, o): (usize, usize)| 2.0 * (fields::PIXELS * i * o) as f64;
                let network: f64 = weights.params.iter().filter_map(|p| p.fans()).map(each).sum();
                3.0 * t * fields::STEPS as f64 * network
            }
            Workload::Amortised => 3.0 * (generator + t * network(s.query)),
            Workload::Maml2 => {
                3.0 * (generator + t * network(s.query)) + 3.0 * t * s.steps as f64 * 3.0 * network(s.support)
            }
            Workload::Generator => 3.0 * (2.0 * t * (128.0 * 1024.0 + 1024.0 * p) + t * network(s.query)),
            Workload::Gemm => 2.0 * t * t * t,
            Workload::GemmBatch64 => 2.0 * t * 64.0 * 64.0 * 64.0,
            Workload::GemmBatch16 => 2.0 * t * 16.0 * 32.0 * 32.0,
            Workload::Conv => 3.0 * t * pictures::flops(&pictures::plain(), pictures::PICTURES),
            Workload::ConvForward => t * pictures::flops(&pictures::plain(), pictures::PICTURES),
            Workload::ConvTrain => 3.0 * t * pictures::flops(&pictures::classifier(), pictures::PICTURES),
            Workload::ConvBatch => 3.0 * pictures::flops(&pictures::classifier(), tasks),
            Workload::ConvAdapt => {
                3.0 * t * pictures::flops(&pictures::few_shot(), pictures::STEPS * pictures::SUPPORT)
            }
            Workload::RlRollout => t * policies::roll_flops(),
            Workload::PpoStep => t * policies::ppo_flops(),
            Workload::GruAdapt => 3.0 * t * sequences::GRU_STEPS as f64 * sequences::flops(3),
            Workload::Charlm => 3.0 * sequences::lm_flops(),
            Workload::AttentionHyper => 3.0 * t * generators::flops(),
            Workload::HeadFull | Workload::HeadLowRank | Workload::HeadChunked => {
                3.0 * t * heads::flops(self)
            }
            Workload::NasEval | Workload::NasTrain => search::flops(tasks, self == Workload::NasTrain),
            // The way back through a step is twice its way out.
            Workload::LstmMaml2 => t * (9.0 * sequences::LSTM_STEPS as f64 + 3.0) * sequences::flops(4),
            Workload::ConvMaml2 => {
                3.0 * t * pictures::flops(&pictures::few_shot(), pictures::QUERY + 3 * pictures::SUPPORT)
            }
        }
    }

    /// The computation and the contents of its inputs.
    pub fn graph(self, tasks: usize) -> (Graph, Vec<(String, Vec<f32>)>) {
        let mut b = Builder { g: Graph::new(), inputs: Vec::new() };
        b.g.keep(KEEP);
        match self {
            Workload::Adapt | Workload::Adapt64 | Workload::AdaptRows => b.adapt(self, tasks),
            Workload::Amortised | Workload::Maml2 | Workload::Generator => b.training(self, tasks),
            Workload::AttentionHyper => b.train_transformer(tasks),
            Workload::HeadFull | Workload::HeadLowRank | Workload::HeadChunked => b.train_head(self, tasks),
            Workload::Gemm => b.product([1, tasks, tasks, tasks]),
            Workload::GemmBatch64 => b.product([tasks, 64, 64, 64]),
            Workload::GemmBatch16 => b.product([tasks, 16, 32, 32]),
            Workload::Conv | Workload::ConvForward => {
                b.pictures(&pictures::plain(), tasks, self == Workload::Conv)
            }
            Workload::ConvTrain => b.pictures(&pictures::classifier(), tasks, true),
            Workload::ConvBatch => b.batch(&pictures::classifier(), tasks),
            Workload::ConvAdapt => b.adapt_pictures(tasks),
            Workload::ConvMaml2 => b.maml_pictures(tasks),
            Workload::Inr => b.fields(tasks),
            Workload::GruAdapt => b.adapt_sequences(tasks),
            Workload::LstmMaml2 => b.maml_sequences(tasks),
            Workload::Charlm => b.language_model(),
            Workload::NasEval | Workload::NasTrain => {
                b.different_networks(tasks, self == Workload::NasTrain);
            }
            Workload::RlRollout => b.roll_out(tasks),
            Workload::PpoStep => b.ppo(tasks),
        }
        (b.g, b.inputs)
    }

    /// The plan of a call.
    ///
    /// # Errors
    /// [`Error::Memory`] where it does not fit.
    pub fn plan(self, tasks: usize, caps: Caps) -> Result<Plan> {
        lower(&self.graph(tasks).0, caps)
    }

    /// Caps of a device, for [`Workload::plan`].
    pub fn caps(device: &Device) -> Caps {
        device.caps(WINDOW)
    }

    /// A plan on a device, its inputs written.
    ///
    /// # Errors
    /// Those of the device; [`Error::Memory`] where the plan does not fit.
    pub fn prepare(self, tasks: usize, device: &Device) -> Result<Prepared> {
        let (graph, inputs) = self.graph(tasks);
        let mut session = device.prepare(lower(&graph, Workload::caps(device))?)?;
        for (name, values) in &inputs {
            session.write(name, values)?;
        }
        if session.has_input("order") {
            session.write_u32("order", &policies::order())?;
        }
        Ok(Prepared { workload: self, session, step: 0 })
    }
}

impl FromStr for Workload {
    type Err = Error;

    fn from_str(s: &str) -> Result<Workload> {
        Workload::ALL.iter().find(|(n, _)| *n == s).map(|(_, w)| *w).ok_or_else(|| {
            let names: Vec<&str> = Workload::ALL.iter().map(|(n, _)| *n).collect();
            Error::config("--workload", format!("'{s}' is none of {}, scaling, sine", names.join(", ")))
        })
    }
}

/// A workload on a device.
#[derive(Debug)]
pub struct Prepared {
    workload: Workload,
    session: Session,
    step: u64,
}

impl Prepared {
    /// Its plan.
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }

    /// Seconds of each launch of a call: the median over `calls`, which are made. `None` where the device cannot tell.
    ///
    /// # Errors
    /// Those of the device.
    pub fn time_launches(&mut self, calls: usize) -> Result<Option<Vec<f64>>> {
        let mut times: Vec<Vec<f64>> = Vec::new();
        for _ in 0..calls {
            self.stage()?;
            self.step += 1;
            let Some(t) = self.session.time_launches(1)? else { return Ok(None) };
            times.push(t);
        }
        Ok(Some(medians(&times, self.plan().launches.len())))
    }

    fn stage(&mut self) -> Result<()> {
        if self.session.plan().step("control").is_some() {
            let control = Optimiser::default().control(self.step, 1e-3);
            self.session.set_step(0, "control", &control)?;
        }
        Ok(())
    }

    /// One call, done when it returns; of a training step, its loss.
    pub fn call(&mut self) -> Result<Option<f64>> {
        self.stage()?;
        let records = self.session.run(1)?;
        self.step += 1;
        self.session.wait()?;
        Ok(records.first().and_then(|r| r.first()).map(|x| f64::from(*x)))
    }

    /// Numbers that every implementation must agree on: of training, the losses of the first three steps (which are
    /// taken); of fields the mean loss before the first and the last step; of networks over pictures, the mean loss and the mean square of the gradient; else mean squares of the result.
    pub fn check(&mut self) -> Result<Vec<f64>> {
        if self.session.plan().step("control").is_some() {
            let steps = if self.workload == Workload::Generator { 2 } else { 3 };
            return (0..steps).map(|_| Ok(self.call()?.unwrap_or(f64::NAN))).collect();
        }
        self.call()?;
        let outputs = self.session.plan();
        let mean_square = |y: &[f32]| y.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / y.len() as f64;
        if outputs.output("losses").is_some() {
            // The steps of each task lie beside one another.
            let losses = self.session.read("losses")?;
            let at = |step: usize| losses.iter().skip(step).step_by(fields::STEPS).map(|l| f64::from(*l));
            let mean = |step: usize| at(step).sum::<f64>() / at(step).count() as f64;
            return Ok(vec![mean(0), mean(fields::STEPS - 1)]);
        }
        if outputs.output("loss").is_some() {
            let has_gradient = outputs.output("gradient").is_some();
            let losses = self.session.read("loss")?;
            let mut check = vec![losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len() as f64];
            if has_gradient {
                check.push(mean_square(&self.session.read("gradient")?));
            }
            return Ok(check);
        }
        let y = self.session.read("result")?;
        let moved =
            |y: &[f32], start: &[f32]| -> Vec<f32> { y.iter().zip(start).map(|(a, b)| a - b).collect() };
        if self.session.has_output("falls") {
            let falls = self.session.read("falls")?;
            let falls = falls.iter().map(|x| f64::from(*x)).sum::<f64>() / falls.len() as f64;
            if self.workload == Workload::RlRollout {
                return Ok(vec![mean_square(&y), falls]);
            }
            let losses = self.session.read("first_and_last")?;
            let moved = moved(&y, &self.session.read("w0")?);
            return Ok(vec![f64::from(losses[0]), f64::from(losses[1]), mean_square(&moved), falls]);
        }
        let square = mean_square(&y);
        if matches!(self.workload, Workload::NasEval | Workload::NasTrain) {
            let mean = y.iter().map(|v| f64::from(*v)).sum::<f64>() / y.len() as f64;
            return Ok(vec![square, mean]);
        }
        if !self.session.has_input("w0") {
            return Ok(vec![square]);
        }
        Ok(vec![square, mean_square(&moved(&y, &self.session.read("w0")?))])
    }
}

/// Kernels of `t` networks, `[t, P]`, each from a stream of its own from `first` on, in the order of the layout; biases are 0. `scale` is told of the kernel's number and its
/// inputs.
pub(super) fn kernels(
    layout: &ParamLayout,
    t: usize,
    first: u32,
    scale: impl Fn(usize, usize) -> f64,
) -> Vec<f32> {
    let p = layout.len();
    let mut all = vec![0.0; t * p];
    for (i, param) in layout.params.iter().filter(|param| param.shape.len() == 2).enumerate() {
        let len = count(&param.shape);
        let values = numbers(first + i as u32, scale(i, param.shape[0]) as f32, t * len);
        for (own, values) in all.chunks_exact_mut(p).zip(values.chunks_exact(len)) {
            own[param.range()].copy_from_slice(values);
        }
    }
    all
}

pub(super) struct Builder {
    pub(super) g: Graph,
    inputs: Vec<(String, Vec<f32>)>,
}

impl Builder {
    pub(super) fn data(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Value {
        self.inputs.push((name.into(), values));
        self.g.data(name, shape)
    }

    pub(super) fn random(&mut self, name: &str, shape: &[usize], stream: u32, scale: f32) -> Value {
        let values = numbers(stream, scale, count(shape));
        self.data(name, shape, values)
    }

    /// Rows x `[T, n, i]` and sin of their sum, `[T, n, 1]`.
    pub(super) fn waves(
        &mut self,
        name: &str,
        stream: u32,
        t: usize,
        n: usize,
        inputs: usize,
    ) -> (Value, Value) {
        let x = numbers(stream, 2.0, t * n * inputs);
        let y = x.chunks(inputs).map(|r| r.iter().sum::<f32>().sin()).collect();
        (self.data(&format!("x{name}"), &[t, n, inputs], x), self.data(&format!("y{name}"), &[t, n, 1], y))
    }

    fn product(&mut self, [batch, m, k, n]: [usize; 4]) {
        let a = self.random("a", &[batch, m, k], 1, 1.0);
        let b = self.random("b", &[batch, k, n], 2, 1.0);
        let c = self.g.matmul(a, b);
        self.g.output("result", c);
    }

    fn adapt(&mut self, workload: Workload, t: usize) {
        let s = workload.sizes();
        let p = s.target.layout().len();
        let (w0, stream) = if workload == Workload::Adapt {
            (self.data("w0", &[t, p], generated(t)), 6)
        } else {
            (self.random("w0", &[t, p], 8, 0.15), 9)
        };
        let (x, y) = self.waves("s", stream, t, s.support, s.target.inputs());
        let w = learn(&mut self.g, (&s.target, Loss::Mse), (s.steps, RATE), w0, [x, y]);
        self.g.output("result", w);
    }

    fn training(&mut self, workload: Workload, t: usize) {
        let s = workload.sizes();
        let p = s.target.layout().len();
        let mut layout = ParamLayout::default();
        let mut state = Vec::new();
        let parts: &[(&str, [usize; 2], u32, f32)] = if workload == Workload::Generator {
            &[
                ("z", [t, 128], 1, 1.0),
                ("w1", [128, 1024], 2, 0.1),
                ("b1", [1, 1024], 0, 0.0),
                ("w3", [1024, p], 4, 0.005),
                ("b3", [1, p], 5, 0.05),
            ]
        } else {
            &[
                ("z", [t, 32], 1, 1.0),
                ("w1", [32, 128], 2, 0.3),
                ("b1", [1, 128], 0, 0.0),
                ("w2", [128, 128], 3, 0.15),
                ("b2", [1, 128], 0, 0.0),
                ("w3", [128, p], 4, 0.03),
                ("b3", [1, p], 5, 0.3),
            ]
        };
        for (name, shape, stream, scale) in parts {
            layout.push(*name, shape, Init::Constant(0.0));
            state.extend(numbers(*stream, *scale, shape[0] * shape[1]));
        }
        let n = layout.len();
        state.resize(3 * n, 0.0);
        let support = (s.support > 0).then(|| self.waves("s", 6, t, s.support, 1));
        let (xq, yq) = if workload == Workload::Generator {
            let x = self.random("xq", &[t, s.query, 784], 6, 1.0);
            let mut labels = vec![0.0; t * s.query * 10];
            for row in 0..t * s.query {
                labels[10 * row + (word(7, row as u32) % 10) as usize] = 1.0;
            }
            (x, self.data("yq", &[t, s.query, 10], labels))
        } else {
            self.waves("q", 7, t, s.query, 1)
        };
        self.train(state, n, |g, flat| {
            let params = Weights { flat, layout: &layout };
            let mut h = params.get(g, "z");
            for (w, b) in [("w1", "b1"), ("w2", "b2"), ("w3", "b3")] {
                if layout.get(w).is_none() {
                    continue;
                }
                let (w, b) = (params.get(g, w), params.get(g, b));
                let y = g.matmul(h, w);
                let y = g.add(y, b);
                h = if g.shape(y)[1] == p { y } else { g.act(Activation::Relu, y) };
            }
            if workload == Workload::Maml2
                && let Some((xs, ys)) = support
            {
                h = learn(g, (&s.target, Loss::Mse), (s.steps, RATE), h, [xs, ys]);
            }
            let kind = if workload == Workload::Generator { Loss::CrossEntropy } else { Loss::Mse };
            let each = task_loss(g, &s.target, kind, h, xq, yq);
            g.mean(each)
        });
    }

    /// A step of training by Adam: its state, so many weights and then their moments, and the loss.
    pub(super) fn train(&mut self, state: Vec<f32>, n: usize, loss: impl FnOnce(&mut Graph, Value) -> Value) {
        let control = self.g.step("control", &[3]);
        self.inputs.push(("learner".into(), state));
        let state = self.g.state("learner", &[3, n]);
        let g = &mut self.g;
        let flat = g.slice(state, 0, 0, 1);
        let flat = g.reshape(flat, &[n]);
        let objective = loss(g, flat);
        let grad = g.grad(objective, &[flat])[0];
        // As the peers do it: no clipping.
        let factor = g.constant(1.0);
        let factor = g.expand(factor, &[1]);
        let new = g.optimise(Optimiser::default().op(), state, grad, control, factor);
        g.update(state, new);
        g.record("loss", objective);
    }
}

pub(super) fn task_loss(g: &mut Graph, target: &Net, kind: Loss, w: Value, x: Value, y: Value) -> Value {
    let layout = target.layout();
    let prediction = target.apply(g, Weights { flat: w, layout: &layout }, x);
    loss(g, kind, prediction, y, None)
}

/// Some steps of descent on each task's own loss, from weights `[T, P]`.
pub(super) fn learn(
    g: &mut Graph,
    (net, kind): (&Net, Loss),
    (steps, rate): (usize, f64),
    w0: Value,
    [x, y]: [Value; 2],
) -> Value {
    let (finals, _) = g.scan(steps, &[w0], &[x, y], &[], |g, args| {
        (vec![descend(g, (net, kind), rate, args.carried[0], [args.constants[0], args.constants[1]])], vec![])
    });
    finals[0]
}

/// One such step.
pub(super) fn descend(
    g: &mut Graph,
    (net, kind): (&Net, Loss),
    rate: f64,
    w: Value,
    [x, y]: [Value; 2],
) -> Value {
    let each = task_loss(g, net, kind, w, x, y);
    // Tasks do not meet: the gradient of the sum is that of every task's own loss.
    let sum = g.sum_to(each, &[]);
    let grad = g.grad(sum, &[w])[0];
    let step = g.scale(grad, rate);
    g.sub(w, step)
}

/// What the generator of `amortised` writes before any training.
fn generated(t: usize) -> Vec<f32> {
    let layer = |x: &[f32], w: &[f32], b: Option<&[f32]>, inputs: usize, outputs: usize| -> Vec<f64> {
        let mut y = vec![0.0f64; x.len() / inputs * outputs];
        for (x, y) in x.chunks(inputs).zip(y.chunks_mut(outputs)) {
            for (x, w) in x.iter().zip(w.chunks(outputs)) {
                y.iter_mut().zip(w).for_each(|(y, w)| *y += f64::from(*x) * f64::from(*w));
            }
            if let Some(b) = b {
                y.iter_mut().zip(b).for_each(|(y, b)| *y += f64::from(*b));
            }
        }
        y
    };
    let relu = |x: Vec<f64>| -> Vec<f32> { x.into_iter().map(|x| x.max(0.0) as f32).collect() };
    let h = relu(layer(&numbers(1, 1.0, t * 32), &numbers(2, 0.3, 32 * 128), None, 32, 128));
    let h = relu(layer(&h, &numbers(3, 0.15, 128 * 128), None, 128, 128));
    let w = layer(&h, &numbers(4, 0.03, 128 * 1761), Some(&numbers(5, 0.3, 1761)), 128, 1761);
    w.into_iter().map(|x| x as f32).collect()
}
