//! Known answers: the dense network, its losses and gradients, gradient descent through gradient descent
//! and ten optimiser steps, computed elsewhere in double precision and kept as safetensors files. Whatever
//! runs plans is compared with them. In the library because `hyperloom check` asks the same of a user's
//! device as the tests do.

mod choices;
mod generators;
mod layers;

use std::path::Path;

use serde::Serialize;

use crate::checkpoint::{Checkpoint, Tensor, TensorData, read_safetensors};
use crate::error::{Error, Result};
use crate::graph::op::{Num, Op};
use crate::graph::{Graph, Value};
use crate::kernel::Buffer;
use crate::net::{Net, Weights};
use crate::plan::{Arg, Caps, KEEP, SlotId, lower};
use crate::run::Device;
use crate::run::cpu::CpuRunner;
use crate::spec::{Activation, count};
use crate::task::{Loss, loss};
use crate::view::for_each;

/// Largest difference, as a fraction of a tensor's largest magnitude, of a run in f64.
pub const LIMIT_F64: f64 = 1e-9;
/// The same in f32.
pub const LIMIT_F32: f64 = 1e-5;

/// How near a tensor came to the file's.
#[derive(Clone, Debug, Serialize)]
pub struct GoldenReport {
    /// The file's name.
    pub file: String,
    /// The tensor's.
    pub tensor: String,
    /// Its number of elements.
    pub elements: usize,
    /// Largest difference divided by the largest magnitude in the file.
    pub error: f64,
    /// The same of exact arithmetic on inputs rounded to f32: what no run in f32 can know better.
    pub rounding: f64,
}

impl GoldenReport {
    /// Whether a run in f32 is as near as [`LIMIT_F32`] allows beyond what the rounding of its inputs costs.
    pub fn passes_f32(&self) -> bool {
        self.error <= LIMIT_F32 + self.rounding
    }
}

impl std::fmt::Display for GoldenReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({} elements): {:.1e}", self.file, self.tensor, self.elements, self.error)
    }
}

/// A graph to be run for some steps.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// What to compute.
    pub graph: Graph,
    /// Contents of data and state inputs, by name.
    pub inputs: Vec<(String, Vec<f64>)>,
    /// One entry a step: contents of the step inputs, by name.
    pub steps: Vec<Vec<(String, Vec<f64>)>>,
    /// Names of outputs and states to be returned.
    pub read: Vec<String>,
}

/// What became of a [`Job`].
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The values read, in the order of [`Job::read`].
    pub values: Vec<Vec<f64>>,
    /// The records of each step.
    pub records: Vec<Vec<f64>>,
}

/// Runs a job on the CPU in f64.
///
/// # Errors
/// Those of lowering, and [`Error::Shape`] for a name that the plan lacks.
pub fn run_f64(job: &Job) -> Result<Outcome> {
    run_f64_for(Caps::cpu(job.steps.len()), job)
}

/// The same, lowered for `caps` (of that many steps).
///
/// # Errors
/// As for [`run_f64`].
pub fn run_f64_for(caps: Caps, job: &Job) -> Result<Outcome> {
    let plan = lower(&job.graph, caps)?;
    let mut r = CpuRunner::<f64>::prepare(&plan);
    let missing = |name: &str| Error::Shape(format!("the plan has no '{name}'"));
    for (name, values) in &job.inputs {
        let at = plan.input(name).ok_or_else(|| missing(name))?.arg;
        write_floats(&mut r, at.slot, at.view.offset, values);
    }
    for (row, inputs) in job.steps.iter().enumerate() {
        for (name, values) in inputs {
            let at = plan.step(name).ok_or_else(|| missing(name))?.arg;
            let width = plan.slots[at.slot.0].len / plan.window;
            write_floats(&mut r, at.slot, row * width + at.view.offset, values);
        }
    }
    r.run(job.steps.len())?;
    let mut outcome = Outcome::default();
    for name in &job.read {
        let port = plan.output(name).or_else(|| plan.input(name)).ok_or_else(|| missing(name))?;
        outcome.values.push(read_floats(&r, &port.arg));
    }
    if let (Some(ring), Buffer::F(x)) = (plan.ring, r.slot(plan.ring.unwrap_or(SlotId(0)))) {
        debug_assert_eq!(plan.slots[ring.0].len, x.len());
        outcome.records = x.chunks(plan.records.len()).map(<[f64]>::to_vec).collect();
    }
    Ok(outcome)
}

fn write_floats(r: &mut CpuRunner<f64>, slot: SlotId, at: usize, values: &[f64]) {
    if let Buffer::F(x) = r.slot_mut(slot) {
        x[at..at + values.len()].copy_from_slice(values);
    }
}

fn read_floats(r: &CpuRunner<f64>, arg: &Arg) -> Vec<f64> {
    let mut out = Vec::new();
    if let Buffer::F(x) = r.slot(arg.slot) {
        for_each([&arg.view], |[i]| out.push(x[i]));
    }
    out
}

/// Runs a job in f32 on a device.
///
/// # Errors
/// Those of the device, and [`Error::Shape`] for a name that the plan lacks.
pub fn run_on(device: &Device, job: &Job) -> Result<Outcome> {
    run_on_for(device, device.caps(job.steps.len()), job)
}

/// The same, lowered for `caps` (of that many steps).
///
/// # Errors
/// As for [`run_on`].
pub fn run_on_for(device: &Device, caps: Caps, job: &Job) -> Result<Outcome> {
    let narrow = |x: &[f64]| x.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let wide = |x: Vec<f32>| x.into_iter().map(f64::from).collect::<Vec<f64>>();
    let mut s = device.prepare(lower(&job.graph, caps)?)?;
    for (name, values) in &job.inputs {
        s.write(name, &narrow(values))?;
    }
    for (row, inputs) in job.steps.iter().enumerate() {
        for (name, values) in inputs {
            s.set_step(row, name, &narrow(values))?;
        }
    }
    let records = s.run(job.steps.len())?.into_iter().map(wide).collect();
    let values = job.read.iter().map(|name| s.read(name).map(wide)).collect::<Result<_>>()?;
    Ok(Outcome { values, records })
}

/// Computes what each file in `dir` holds, by `run`, and reports how near it comes.
///
/// # Errors
/// [`Error::Io`] and [`Error::Checkpoint`] for files that cannot be read or are none of these, and the
/// errors of `run`.
pub fn check_golden(dir: &Path, run: &mut dyn FnMut(&Job) -> Result<Outcome>) -> Result<Vec<GoldenReport>> {
    let entries = std::fs::read_dir(dir).map_err(Error::io("read", dir))?;
    let mut files: Vec<_> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "safetensors"));
    files.sort();
    if files.is_empty() {
        return Err(Error::checkpoint(dir, "there is no .safetensors file in it"));
    }
    let mut reports = Vec::new();
    for path in files {
        let file = File { path: &path, content: read_safetensors(&path)? };
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let kind = name.split('-').next().unwrap_or_default();
        let computed = |run: &mut dyn FnMut(&Job) -> Result<Outcome>| match name.split('_').next() {
            _ if File::is_of_layers(kind) => file.layers(kind, run),
            _ if File::is_of_choices(kind) => file.choices(kind, run),
            _ if File::is_of_generators(kind) => file.generated(kind, run),
            _ if File::is_of_shared_layers(kind) => file.shared_layers(kind, run),
            _ if File::is_of_learning_layers(kind) => file.learning_layers(kind, run),
            Some("mlp") => file.network(run),
            Some("maml") => file.maml(run),
            Some("hypernet") => file.hypernet(run),
            _ => Err(Error::checkpoint(
                &path,
                "the name says no kind of golden file: mlp_.., maml_.., conv2d-.. and the like",
            )),
        };
        let rounded = computed(&mut |job| run_f64(&rounded(job)))?;
        for ((tensor, got), (_, rounded)) in computed(run)?.into_iter().zip(rounded) {
            let want = file.floats(&tensor)?;
            reports.push(GoldenReport {
                file: name.clone(),
                tensor,
                elements: want.len(),
                error: difference(&got, &want),
                rounding: difference(&rounded, &want),
            });
        }
    }
    Ok(reports)
}

/// A job with all that it is given rounded to f32.
fn rounded(job: &Job) -> Job {
    let mut job = job.clone();
    for (_, values) in job.inputs.iter_mut().chain(job.steps.iter_mut().flatten()) {
        values.iter_mut().for_each(|v| *v = f64::from(*v as f32));
    }
    job
}

/// Largest difference divided by the largest magnitude wanted; infinite where lengths differ or a number is
/// not finite.
fn difference(got: &[f64], want: &[f64]) -> f64 {
    if got.len() != want.len() || got.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let scale = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let worst = got.iter().zip(want).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    // Zeros are compared as they are.
    if scale == 0.0 { worst } else { worst / scale }
}

struct File<'a> {
    path: &'a Path,
    content: Checkpoint,
}

type Named = Vec<(String, Vec<f64>)>;

impl File<'_> {
    fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.content
            .tensors
            .get(name)
            .ok_or_else(|| Error::checkpoint(self.path, format!("there is no tensor '{name}'")))
    }

    fn floats(&self, name: &str) -> Result<Vec<f64>> {
        match &self.tensor(name)?.data {
            TensorData::F64(x) => Ok(x.clone()),
            _ => Err(Error::checkpoint(self.path, format!("'{name}' is not F64"))),
        }
    }

    /// Classes of rows `[T, n]` as data `[T, n, classes]`, one-hot.
    fn one_hot(&self, job: &mut Job, name: &str, classes: usize) -> Result<Value> {
        let Tensor { shape, data: TensorData::I64(labels) } = self.tensor(name)? else {
            return Err(Error::checkpoint(self.path, format!("'{name}' is not I64")));
        };
        let one = |l: i64| (0..classes).map(move |c| if c as i64 == l { 1.0 } else { 0.0 });
        job.inputs.push((name.into(), labels.iter().copied().flat_map(one).collect()));
        Ok(job.graph.data(name, &[&shape[..], &[classes]].concat()))
    }

    /// Declares whole numbers as data, and adds them to the job.
    fn flags(&self, job: &mut Job, name: &str) -> Result<Value> {
        let Tensor { shape, data: TensorData::I64(flags) } = self.tensor(name)? else {
            return Err(Error::checkpoint(self.path, format!("'{name}' is not I64")));
        };
        job.inputs.push((name.into(), flags.iter().map(|f| *f as f64).collect()));
        Ok(job.graph.data(name, shape))
    }

    /// Declares a tensor as data and adds its contents to the job.
    fn data(&self, job: &mut Job, name: &str) -> Result<Value> {
        let shape = &self.tensor(name)?.shape;
        job.inputs.push((name.to_string(), self.floats(name)?));
        Ok(job.graph.data(name, shape))
    }

    /// A value of the metadata, which are JSON.
    fn setting<S: serde::de::DeserializeOwned>(&self, key: &str) -> Result<S> {
        let text = self.content.metadata.get(key).map(String::as_str).unwrap_or("null");
        serde_json::from_str(text).map_err(|e| Error::checkpoint(self.path, format!("metadata '{key}': {e}")))
    }

    fn activation(&self, key: &str) -> Result<Activation> {
        let name: String = self.setting(key)?;
        let own = name.trim_end_matches("_tanh"); // gelu_tanh is our gelu
        let found = Activation::ALL.into_iter().find(|a| a.name() == own);
        found.ok_or_else(|| Error::checkpoint(self.path, format!("unknown activation '{name}'")))
    }

    fn target(&self) -> Result<Net> {
        let widths: Vec<usize> = self.setting("dims")?;
        if widths.len() < 2 || widths.contains(&0) {
            return Err(Error::checkpoint(self.path, format!("dims {widths:?} are no network")));
        }
        Ok(Net::mlp(&widths, self.activation("activation")?))
    }

    /// Some tasks, each with its own weights: predictions, losses, gradient of the losses' sum.
    fn network(&self, run: &mut dyn FnMut(&Job) -> Result<Outcome>) -> Result<Named> {
        let target = self.target()?;
        let layout = target.layout();
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        job.graph.keep(KEEP);
        let (w, x) = (self.data(&mut job, "w")?, self.data(&mut job, "x")?);
        let classes = self.content.tensors.contains_key("labels");
        let y = match classes {
            true => self.one_hot(&mut job, "labels", target.outputs())?,
            false => self.data(&mut job, "y")?,
        };
        let kind = if classes { Loss::CrossEntropy } else { Loss::Mse };
        let g = &mut job.graph;
        let prediction = target.apply(g, Weights { flat: w, layout: &layout }, x);
        let losses = loss(g, kind, prediction, y, None);
        let total = g.sum_to(losses, &[]);
        let gradient = g.grad(total, &[w])[0];
        self.outputs(run, job, &[("pred", prediction), ("loss", losses), ("grad_w", gradient)])
    }

    /// Names the outputs that the file holds too, runs the job and returns them.
    fn outputs(
        &self,
        run: &mut dyn FnMut(&Job) -> Result<Outcome>,
        mut job: Job,
        outputs: &[(&str, Value)],
    ) -> Result<Named> {
        for (name, v) in outputs {
            if self.content.tensors.contains_key(*name) {
                job.graph.output(name, *v);
                job.read.push((*name).to_string());
            }
        }
        let outcome = run(&job)?;
        Ok(job.read.into_iter().zip(outcome.values).collect())
    }

    /// K steps of gradient descent from shared weights, the query loss, and its gradient with respect to
    /// them: exact, and with the inner gradients held constant.
    fn maml(&self, run: &mut dyn FnMut(&Job) -> Result<Outcome>) -> Result<Named> {
        let target = self.target()?;
        let layout = target.layout();
        let (rate, steps): (f64, usize) = (self.setting("inner_lr")?, self.setting("inner_steps")?);
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        job.graph.keep(KEEP);
        let start = self.data(&mut job, "w0")?;
        let [xs, ys, xq, yq] = ["xs", "ys", "xq", "yq"].map(|name| self.data(&mut job, name));
        let (xs, ys, xq, yq) = (xs?, ys?, xq?, yq?);
        let g = &mut job.graph;
        let tasks = g.shape(xs)[0];
        let of = |g: &mut Graph, w: Value, x: Value, y: Value| {
            let prediction = target.apply(g, Weights { flat: w, layout: &layout }, x);
            let losses = loss(g, Loss::Mse, prediction, y, None);
            g.sum_to(losses, &[])
        };
        let mut results = Vec::new();
        for exact in [true, false] {
            let w = g.expand(start, &[tasks, layout.len()]);
            let (finals, _) = g.scan(steps, &[w], &[xs, ys], &[], |g, args| {
                let w = args.carried[0];
                let support = of(g, w, args.constants[0], args.constants[1]);
                let gradient = g.grad(support, &[w])[0];
                let gradient = if exact { gradient } else { g.stop_gradient(gradient) };
                let step = g.scale(gradient, rate);
                (vec![g.sub(w, step)], vec![])
            });
            let w = finals[0];
            let query = of(g, w, xq, yq);
            let query = g.scale(query, 1.0 / tasks as f64);
            let gradient = g.grad(query, &[start])[0];
            if exact {
                results.extend([
                    ("adapted", w),
                    ("loss", g.reshape(query, &[1])),
                    ("grad_second_order", gradient),
                ]);
            } else {
                results.push(("grad_first_order", gradient));
            }
        }
        self.outputs(run, job, &results)
    }

    /// A hypernetwork (embeddings, one hidden layer, linear head) trained by Adam for ten steps.
    fn hypernet(&self, run: &mut dyn FnMut(&Job) -> Result<Outcome>) -> Result<Named> {
        let target = self.target()?;
        let layout = target.layout();
        let hidden = self.activation("hidden_activation")?;
        let [rate, beta1, beta2, eps]: [f64; 4] = self.setting("adam")?;
        let names = ["z", "w1", "b1", "w2", "b2"];
        let mut job = Job::default();
        job.graph.keep(KEEP);
        let (x, y) = (self.data(&mut job, "x")?, self.data(&mut job, "y")?);
        let mut flat = Vec::new();
        let mut places = Vec::new();
        for name in names {
            let shape = self.tensor(&format!("init_{name}"))?.shape.clone();
            places.push((name, flat.len(), shape));
            flat.extend(self.floats(&format!("init_{name}"))?);
        }
        let p = flat.len();
        flat.resize(3 * p, 0.0);
        job.inputs.push(("state".into(), flat));
        let g = &mut job.graph;
        let state = g.state("state", &[3, p]);
        let control = g.step("control", &[3]);
        let params = g.slice(state, 0, 0, 1);
        let params = g.reshape(params, &[p]);
        let part = |g: &mut Graph, flat: Value, i: usize| {
            let (_, at, shape) = &places[i];
            let piece = g.slice(flat, 0, *at, count(shape));
            g.reshape(piece, shape)
        };
        let [z, w1, b1, w2, b2] = std::array::from_fn(|i| part(g, params, i));
        let h = g.matmul(z, w1);
        let h = g.add(h, b1);
        let h = g.act(hidden, h);
        let w = g.matmul(h, w2);
        let w = g.add(w, b2);
        let prediction = target.apply(g, Weights { flat: w, layout: &layout }, x);
        let losses = loss(g, Loss::Mse, prediction, y, None);
        let total = g.mean(losses);
        g.record("loss", total);
        let gradient = g.grad(total, &[params])[0];
        let one = g.constant(1.0);
        let op = Op::AdamW { beta1: Num(beta1), beta2: Num(beta2), eps: Num(eps), decay: Num(0.0) };
        let new = g.optimise(op, state, gradient, control, one);
        g.update(state, new);
        g.output("gradient", gradient);
        job.read = vec!["gradient".into(), "state".into()];
        // The first step gives the gradients, all of them the losses and the final parameters.
        let control = |t: i32| vec![rate, 1.0 / (1.0 - beta1.powi(t)), 1.0 / (1.0 - beta2.powi(t))];
        let steps = self.tensor("losses")?.shape.iter().product::<usize>() as i32;
        job.steps = vec![vec![("control".into(), control(1))]];
        let first = run(&job)?;
        job.steps = (1..=steps).map(|t| vec![("control".into(), control(t))]).collect();
        let last = run(&job)?;
        let mut found =
            vec![("losses".to_string(), last.records.into_iter().flatten().collect::<Vec<f64>>())];
        for (name, at, shape) in &places {
            let range = *at..at + count(shape);
            found.push((format!("grad_{name}"), first.values[0][range.clone()].to_vec()));
            found.push((format!("final_{name}"), last.values[1][range].to_vec()));
        }
        Ok(found)
    }
}
