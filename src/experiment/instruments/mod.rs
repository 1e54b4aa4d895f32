//! Instruments: what the generated networks look like, whether they depend on the task at all, and what is dead. A hypernetwork
//! that writes the same network for every task, or one whose trunk has died, still has a loss that falls for a while.

mod sequences;
mod start;

use serde::{Deserialize, Serialize};

use self::sequences::Sequences;
pub use self::sequences::{Attended, GateSaturation};
pub use self::start::LayerStart;
pub(super) use self::start::layers_at_start;
use crate::adapt::Generated;
use crate::error::Result;
use crate::graph::Graph;
use crate::meta::model::Model;
use crate::net::{Param, Weights};
use crate::plan::{Caps, lower};
use crate::run::Device;
use crate::run::cpu::CpuRunner;
use crate::task::Task;

/// Tasks that are looked at, at most.
const MAX_TASKS: usize = 100;
/// Rows of each task that are looked at, at most.
const MAX_ROWS: usize = 50;
/// Below this share of their own size, predictions do not depend on the task.
const MIN_OUTPUT_SENSITIVITY: f64 = 1e-3;
/// From this share of dead units on, a layer of the trunk is called dead.
const MAX_DEAD_FRACTION: f64 = 0.5;

/// What the instruments show of the first member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Instruments {
    /// The generated networks of the first member before the first step, beside networks that are drawn directly; none of weights that all tasks share, of a run that
    /// starts from another, and of networks that read the support of their task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start: Vec<LayerStart>,
    /// Mean square of what each layer of the generated networks gives before its activation. The ideal is that of the inputs: a
    /// sound initialisation neither grows nor shrinks it (He et al. 2015).
    pub activations: Vec<LayerActivation>,
    /// How much each tensor of the target differs between tasks: the deviation over tasks as a share of its size.
    pub sensitivity: Vec<Sensitivity>,
    /// How much predictions on the same rows differ between tasks, as a share of their size.
    pub output_sensitivity: f64,
    /// Share of the units of each layer of the trunk that give the same for every task.
    pub dead_units: Vec<f64>,
    /// The first two principal components of what the hypernetwork reads, of every task.
    pub map: Vec<MapPoint>,
    /// Of recurrent layers: how often their gates are nearly shut or fully open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateSaturation>,
    /// Of networks that read sequences: how large the gradient of the loss of the last element that is asked about is by each element that is
    /// read, a root mean square over rows. Where it is nearly 0, training does not reach back so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gradient_by_element: Vec<f64>,
    /// Steps of training that were refused because a number in them was not finite.
    pub refused_steps: Vec<u64>,
    /// What is wrong, in words.
    pub warnings: Vec<String>,
}

/// The size of what a layer gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerActivation {
    /// The layer.
    pub layer: usize,
    /// Mean square over tasks, rows and units.
    pub mean_square: f64,
    /// The same of the inputs.
    pub ideal: f64,
}

/// How much a tensor differs between tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sensitivity {
    /// Its name in the target.
    pub tensor: String,
    /// `√(mean_t ‖w_t - w̄‖²) / ‖w̄‖`
    pub relative: f64,
}

/// A task on the map of conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MapPoint {
    /// The task.
    pub task: String,
    /// First component.
    pub x: f64,
    /// Second component.
    pub y: f64,
    /// What colours it: the mean target of its support (of classes: the most frequent one's number).
    pub attribute: f64,
}

impl Instruments {
    /// Looks at the networks that a model writes for `tasks`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn of(
        model: &Model,
        device: &Device,
        tasks: &[Task],
        refused_steps: Vec<u64>,
    ) -> Result<Instruments> {
        let mut found = Instruments { refused_steps, ..Instruments::default() };
        if !found.refused_steps.is_empty() {
            found.warnings.push(format!(
                "{} steps were refused because the loss or its gradient was not finite; the weights before them were kept",
                found.refused_steps.len()
            ));
        }
        let (Some(member), false) = (model.members.first(), tasks.is_empty()) else { return Ok(found) };
        let tasks = &tasks[..tasks.len().min(MAX_TASKS)];
        let Generated { weights, settled, condition, trunk } = model.written(device, member, tasks)?;
        let mut networks = Networks::prepare(model, tasks)?;
        let alone = if settled.is_empty() { &weights } else { &settled };
        found.look_at_layers(&mut networks, model, alone, tasks)?;
        // How tasks differ, several can say.
        if model.spec.is_shared() || tasks.len() < 2 {
            return Ok(found);
        }
        found.look_at_tensors(model, &weights);
        found.output_sensitivity = output_sensitivity(&mut networks, model, alone, tasks)?;
        found.dead_units = trunk.iter().map(|h| dead_share(h, tasks.len())).collect();
        let attribute = |t: &Task| attribute(t, model.likelihood.outputs, model.likelihood.has_classes());
        found.map = components(&condition, tasks.len())
            .into_iter()
            .zip(tasks)
            .map(|((x, y), t)| MapPoint { task: t.name.clone(), x, y, attribute: attribute(t) })
            .collect();
        // Unknown tasks share an embedding: where nothing else is read, they start alike and differ by adaptation.
        if !model.spec.condition.reads_new_tasks() {
            return Ok(found);
        }
        if found.output_sensitivity < MIN_OUTPUT_SENSITIVITY {
            found.warnings.push(format!(
                "the generated networks do not depend on the task: their predictions differ by {:.1e} of their size. More \
                 steps, a larger learning rate, or inputs of the encoder of order one may help",
                found.output_sensitivity
            ));
        }
        for (i, share) in found.dead_units.iter().enumerate().filter(|(_, s)| **s >= MAX_DEAD_FRACTION) {
            found.warnings.push(format!(
                "{:.0} % of the units of trunk layer {i} give the same for every task: the layer is dead. A smooth \
                 model.hyper_activation (leaky_relu, silu) or a smaller learning rate helps",
                100.0 * share
            ));
        }
        Ok(found)
    }

    /// Adds how the generated networks started, and what was wrong with that.
    #[must_use]
    pub(super) fn started(mut self, start: Vec<LayerStart>) -> Instruments {
        self.warnings.extend(start.iter().find_map(LayerStart::warning));
        self.start = start;
        self
    }

    /// What the network of a task looks at in its first row, layer by layer; nothing where it has no attention over a sequence.
    ///
    /// # Errors
    /// Those of the device.
    pub fn attended(model: &Model, device: &Device, task: &Task) -> Result<Vec<Attended>> {
        let (Some(member), task) = (model.members.first(), std::slice::from_ref(task)) else {
            return Ok(vec![]);
        };
        let mut networks = Networks::prepare(model, task)?;
        if !networks.sequences.has_attention() {
            return Ok(vec![]);
        }
        let Generated { weights, settled, .. } = model.written(device, member, task)?;
        let alone = if settled.is_empty() { &weights } else { &settled };
        let (x, y) = rows_and_targets(&task[0], model);
        networks.watch(&alone[0], x, y)?;
        networks.sequences.attended(&networks.runner, networks.rows)
    }

    fn look_at_layers(
        &mut self,
        networks: &mut Networks,
        model: &Model,
        weights: &[Vec<f32>],
        tasks: &[Task],
    ) -> Result<()> {
        let layers = networks.layers;
        let (mut squares, mut counts) = (vec![0.0; layers + 1], vec![0.0; layers + 1]);
        for (w, task) in weights.iter().zip(tasks) {
            let (x, y) = rows_and_targets(task, model);
            let (x, given, _) = networks.watch(w, x, y)?;
            for (l, z) in [x].iter().chain(&given).enumerate() {
                squares[l] += z.iter().map(|v| v * v).sum::<f64>();
                counts[l] += z.len() as f64;
            }
        }
        self.gates = networks.sequences.gates();
        self.gradient_by_element = networks.sequences.gradient();
        let mean = |l: usize| squares[l] / f64::max(counts[l], 1.0);
        // Numbers of symbols have no size: there it is what the first layer gives.
        let ideal = mean(usize::from(model.spec.target.symbols().is_some()));
        let one = |layer| LayerActivation { layer, mean_square: mean(layer + 1), ideal };
        self.activations = (0..layers).map(one).collect();
        Ok(())
    }

    fn look_at_tensors(&mut self, model: &Model, weights: &[Vec<f32>]) {
        for p in &model.spec.target.layout().params {
            let relative = from_mean(p, weights, weights);
            self.sensitivity.push(Sensitivity { tensor: p.name.clone(), relative });
        }
    }
}

/// How far a parameter of networks `of` `[P]` is from its mean over `known` ones, `√(mean ‖w - w̄‖²) / ‖w̄‖`.
pub(super) fn from_mean(p: &Param, known: &[Vec<f32>], of: &[Vec<f32>]) -> f64 {
    let (mut spread, mut size) = (0.0, 0.0);
    for i in p.range() {
        let mean = known.iter().map(|w| w[i] as f64).sum::<f64>() / known.len() as f64;
        spread += of.iter().map(|w| (w[i] as f64 - mean).powi(2)).sum::<f64>() / of.len() as f64;
        size += mean * mean;
    }
    if size > 0.0 { (spread / size).sqrt() } else { 0.0 }
}

/// Rows of a task to look at.
fn rows<'t>(task: &'t Task, model: &Model) -> &'t [f32] {
    rows_and_targets(task, model).0
}

/// Rows of a task to look at, and what they should be.
fn rows_and_targets<'t>(task: &'t Task, model: &Model) -> (&'t [f32], &'t [f32]) {
    let (x, y) = if task.xq.is_empty() { (&task.xs, &task.ys) } else { (&task.xq, &task.yq) };
    let inputs = model.spec.target.inputs();
    let all = x.len() / inputs;
    let shown = all.min(MAX_ROWS);
    (&x[..shown * inputs], &y[..shown * (y.len() / all.max(1))])
}

/// Inputs, what each layer with parameters gives, and predictions.
type Run = (Vec<f64>, Vec<Vec<f64>>, Vec<f64>);

/// The networks of tasks, one after another, in f64.
struct Networks {
    runner: CpuRunner<f64>,
    inputs: usize,
    /// Rows that the plan reads.
    rows: usize,
    /// Layers that have parameters.
    layers: usize,
    /// What shows sequences.
    sequences: Sequences,
}

impl Networks {
    fn prepare(model: &Model, tasks: &[Task]) -> Result<Networks> {
        let target = match &model.spec.target {
            target if target.reads_support() => target.without_context().settled(),
            target => target.clone(),
        };
        let layout = target.layout();
        let inputs = target.inputs();
        let n = tasks.iter().map(|t| rows(t, model).len() / inputs).max().unwrap_or(0).max(1);
        let mut g = Graph::new();
        let flat = g.data("weights", &[1, layout.len()]);
        let x = g.data("x", &[1, n, inputs]);
        let (y, given, watched) = target.apply_watched(&mut g, Weights { flat, layout: &layout }, x);
        for (i, z) in given.iter().enumerate() {
            g.output(&format!("layer {i}"), *z);
        }
        g.output("prediction", y);
        let sequences = Sequences::add(&mut g, &target, &model.likelihood, (x, y), &watched);
        let plan = lower(&g, Caps::cpu(1))?;
        Ok(Networks { runner: CpuRunner::prepare(&plan), inputs, rows: n, layers: given.len(), sequences })
    }

    /// The same as [`Networks::run`], and takes in what goes on in layers over sequences.
    fn watch(&mut self, w: &[f32], x: &[f32], y: &[f32]) -> Result<Run> {
        self.sequences.ask(&mut self.runner, y, self.rows)?;
        let run = self.run(w, x)?;
        self.sequences.look(&self.runner, x.len() / self.inputs, self.rows)?;
        Ok(run)
    }

    /// Inputs, what each layer with parameters gives before its activation, and predictions, on rows `x` (no more than the
    /// plan reads). Context parameters are 0.
    fn run(&mut self, w: &[f32], x: &[f32]) -> Result<Run> {
        let mut input: Vec<f64> = x.iter().map(|v| *v as f64).collect();
        input.resize(self.rows * self.inputs, 0.0);
        self.runner.write("weights", &w.iter().map(|v| *v as f64).collect::<Vec<_>>())?;
        self.runner.write("x", &input)?;
        self.runner.run(1)?;
        let there = x.len() / self.inputs;
        let read = |name: &str| -> Result<Vec<f64>> {
            let all = self.runner.read(name)?;
            Ok(all[..all.len() / self.rows * there].to_vec())
        };
        let given = (0..self.layers).map(|i| read(&format!("layer {i}"))).collect::<Result<_>>()?;
        let y = read("prediction")?;
        input.truncate(x.len());
        Ok((input, given, y))
    }
}

/// How much predictions on the first task's rows differ between the networks of all tasks.
fn output_sensitivity(
    networks: &mut Networks,
    model: &Model,
    weights: &[Vec<f32>],
    tasks: &[Task],
) -> Result<f64> {
    let x = rows(&tasks[0], model);
    let outputs: Vec<Vec<f64>> = weights.iter().map(|w| Ok(networks.run(w, x)?.2)).collect::<Result<_>>()?;
    let (mut spread, mut size) = (0.0, 0.0);
    for i in 0..outputs[0].len() {
        let mean = outputs.iter().map(|y| y[i]).sum::<f64>() / outputs.len() as f64;
        spread += outputs.iter().map(|y| (y[i] - mean).powi(2)).sum::<f64>() / outputs.len() as f64;
        size += outputs.iter().map(|y| y[i] * y[i]).sum::<f64>() / outputs.len() as f64;
    }
    Ok(if size > 0.0 { (spread / size).sqrt() } else { 0.0 })
}

/// Share of columns of `[tasks, width]` that are the same in all rows.
fn dead_share(h: &[f32], tasks: usize) -> f64 {
    let width = h.len() / tasks;
    let dead = |j: &usize| h.chunks(width).all(|row| row[*j] == h[*j]);
    if tasks < 2 { 0.0 } else { (0..width).filter(dead).count() as f64 / width as f64 }
}

/// The first two principal components of rows `[tasks, width]`, by power iteration.
pub(super) fn components(z: &[f32], tasks: usize) -> Vec<(f64, f64)> {
    let width = z.len() / tasks.max(1);
    if width == 0 {
        return vec![];
    }
    let mean: Vec<f64> =
        (0..width).map(|j| z.chunks(width).map(|r| r[j] as f64).sum::<f64>() / tasks as f64).collect();
    let mut rows: Vec<Vec<f64>> =
        z.chunks(width).map(|r| r.iter().zip(&mean).map(|(v, m)| *v as f64 - m).collect()).collect();
    let mut components = Vec::new();
    for _ in 0..2 {
        // Starts from the row that is farthest out.
        let size = |r: &Vec<f64>| r.iter().map(|v| v * v).sum::<f64>();
        let mut v = rows.iter().cloned().max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or_default();
        for _ in 0..100 {
            let mut next = vec![0.0; width];
            for r in &rows {
                let dot: f64 = r.iter().zip(&v).map(|(a, b)| a * b).sum();
                next.iter_mut().zip(r).for_each(|(n, r)| *n += dot * r);
            }
            let length = size(&next).sqrt();
            if length == 0.0 || !length.is_finite() {
                break;
            }
            v = next.into_iter().map(|n| n / length).collect();
        }
        let length = size(&v).sqrt().max(1e-300);
        v.iter_mut().for_each(|v| *v /= length);
        let scores: Vec<f64> =
            rows.iter().map(|r| r.iter().zip(&v).map(|(a, b)| a * b).sum::<f64>()).collect();
        for (r, s) in rows.iter_mut().zip(&scores) {
            r.iter_mut().zip(&v).for_each(|(r, v)| *r -= s * v);
        }
        components.push(scores);
    }
    (0..tasks).map(|t| (components[0][t], components[1][t])).collect()
}

/// The mean target of the support; of classes the number of the most frequent.
pub(super) fn attribute(task: &Task, outputs: usize, classes: bool) -> f64 {
    let rows = task.shots(outputs).max(1) as f64;
    let mean: Vec<f32> =
        (0..outputs).map(|o| task.ys.iter().skip(o).step_by(outputs).sum::<f32>() / rows as f32).collect();
    match classes {
        true => crate::task::argmax(&mean) as f64,
        false => mean.iter().map(|m| f64::from(*m)).sum::<f64>() / outputs as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_of_a_flat_cloud() {
        // Points along (3, 4)/5 with a little across.
        let z: Vec<f32> = (0..20)
            .flat_map(|i| {
                let (a, b) = (i as f32 - 9.5, if i % 2 == 0 { 0.1 } else { -0.1 });
                [0.6 * a - 0.8 * b, 0.8 * a + 0.6 * b, 7.0]
            })
            .collect();
        let found = components(&z, 20);
        let sign = found[19].0.signum();
        for (i, (x, y)) in found.iter().enumerate() {
            assert!((x * sign - (i as f64 - 9.5)).abs() < 0.05, "{i}: {x}");
            assert!((y.abs() - 0.1).abs() < 0.05, "{i}: {y}");
        }
        assert_eq!(components(&[1.0; 8], 4), [(0.0, 0.0); 4]);
    }

    #[test]
    fn units_that_never_change() {
        assert_eq!(dead_share(&[0.0, 1.0, 0.0, 2.0], 2), 0.5);
        assert_eq!(dead_share(&[0.0, 1.0], 1), 0.0);
    }
}
