//! How large what generated networks give was before the first step of training, and how large the gradients that come back, beside networks of
//! the same layers that are drawn directly: a hypernetwork that starts badly writes networks whose outputs, or gradients, grow or vanish
//! with every layer.

use serde::{Deserialize, Serialize};

use super::rows;
use crate::error::Result;
use crate::graph::Graph;
use crate::meta::model::Model;
use crate::net::Weights;
use crate::plan::{Caps, lower};
use crate::rng::Rng;
use crate::run::Device;
use crate::run::cpu::CpuRunner;
use crate::spec::count;
use crate::task::Task;

/// Tasks that are looked at, at most.
const MAX_TASKS: usize = 64;
/// A layer is called badly started from this factor on, where it has as many units: of few the mean square is much a matter of luck.
const FAR: f64 = 4.0;
const MANY: usize = 16;

/// A layer of generated networks before the first step, beside that of networks that are drawn directly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerStart {
    /// The layer.
    pub layer: usize,
    /// Numbers that it gives of a row.
    pub units: usize,
    /// Mean square of what it gives before its activation, over tasks, rows and units.
    pub activation: f64,
    /// The same of networks that are drawn directly.
    pub ideal_activation: f64,
    /// Mean square of the gradient that comes back to it, of the outputs by random directions of variance 1.
    pub gradient: f64,
    /// The same of networks that are drawn directly.
    pub ideal_gradient: f64,
}

impl LayerStart {
    /// How far both are from the ideal, as factors: of activations, and of gradients.
    pub fn ratios(&self) -> [f64; 2] {
        [self.activation / self.ideal_activation, self.gradient / self.ideal_gradient]
    }

    /// What is wrong with it, in words.
    pub(super) fn warning(&self) -> Option<String> {
        let far = |r: f64| self.units >= MANY && !(1.0 / FAR..=FAR).contains(&r);
        let [activation, gradient] = self.ratios();
        let (what, ratio) = match (far(activation), far(gradient)) {
            (true, _) => ("what it gives has", activation),
            (_, true) => ("gradients that come back to it have", gradient),
            _ => return None,
        };
        Some(format!(
            "before the first step {what} {ratio:.2e} times the mean square in layer {} of the generated networks that it has in networks that are drawn \
             directly: model.hyper_init = \"bias\" starts with such a network, \"hyperfan-in\" and \"hyperfan-out\" with one as large for each task",
            self.layer
        ))
    }
}

/// Sums of squares, layer by layer.
#[derive(Clone, Default)]
struct Squares {
    activations: Vec<f64>,
    gradients: Vec<f64>,
}

/// The layers of the networks that a model, as it is before training, writes for tasks, beside `direct` networks `[P]`, one a task; nothing for networks
/// that read the support of their task.
///
/// # Errors
/// Those of the device.
pub(in crate::experiment) fn layers_at_start(
    model: &Model,
    device: &Device,
    tasks: &[Task],
    direct: impl Fn(&mut Rng) -> Vec<f32>,
) -> Result<Vec<LayerStart>> {
    let target = &model.spec.target;
    let tasks = &tasks[..tasks.len().min(MAX_TASKS)];
    if target.reads_support() || tasks.is_empty() {
        return Ok(vec![]);
    }
    let inputs = target.inputs();
    let n = tasks.iter().map(|t| rows(t, model).len() / inputs).max().unwrap_or(0).max(1);
    let layout = target.layout();
    let mut g = Graph::new();
    let flat = g.data("weights", &[1, layout.len()]);
    let x = g.data("x", &[1, n, inputs]);
    let (y, given, _) = target.apply_watched(&mut g, Weights { flat, layout: &layout }, x);
    let shape = g.shape(y).to_vec();
    let directions = g.data("directions", &shape);
    let along = g.mul(y, directions);
    let axes: Vec<usize> = (0..shape.len()).collect();
    let along = g.sum_axes(along, &axes);
    let along = g.reshape(along, &[]);
    let gradients = g.grad(along, &given);
    let layers = given.len();
    let units: Vec<usize> = given.iter().map(|v| count(&g.shape(*v)[1..]) / n).collect();
    for (i, (given, gradient)) in given.iter().zip(&gradients).enumerate() {
        for (what, value) in [("given", given), ("gradient", gradient)] {
            let square = g.mul(*value, *value);
            g.output(&format!("{what} {i}"), square);
        }
    }
    let mut runner: CpuRunner<f64> = CpuRunner::prepare(&lower(&g, Caps::cpu(1))?);
    let (mut rng, all) = (Rng::new(0x57a7, 0), count(&shape));
    let written = model.written(device, &model.members[0], tasks)?.weights;
    let mut found = [Squares::default(), Squares::default()];
    found.iter_mut().for_each(|s| (s.activations, s.gradients) = (vec![0.0; layers], vec![0.0; layers]));
    for (task, generated) in tasks.iter().zip(&written) {
        // Rows that are not there are not looked at: they give and get nothing.
        let here = rows(task, model);
        let there = here.len() / inputs;
        let mut input: Vec<f64> = here.iter().map(|v| f64::from(*v)).collect();
        input.resize(n * inputs, 0.0);
        runner.write("x", &input)?;
        let each = all / n;
        let directions: Vec<f64> =
            (0..all).map(|i| if i / each < there { rng.normal() } else { 0.0 }).collect();
        runner.write("directions", &directions)?;
        for (squares, w) in found.iter_mut().zip([generated, &direct(&mut rng)]) {
            runner.write("weights", &w.iter().map(|v| f64::from(*v)).collect::<Vec<_>>())?;
            runner.run(1)?;
            let mean = |runner: &CpuRunner<f64>, name: String| -> Result<f64> {
                let all = runner.read(&name)?;
                let all = &all[..all.len() / n * there];
                Ok(all.iter().sum::<f64>() / (all.len().max(1) * tasks.len()) as f64)
            };
            for layer in 0..layers {
                squares.activations[layer] += mean(&runner, format!("given {layer}"))?;
                squares.gradients[layer] += mean(&runner, format!("gradient {layer}"))?;
            }
        }
    }
    let [generated, drawn] = found;
    let one = |layer: usize| LayerStart {
        layer,
        units: units[layer],
        activation: generated.activations[layer],
        ideal_activation: drawn.activations[layer],
        gradient: generated.gradients[layer],
        ideal_gradient: drawn.gradients[layer],
    };
    Ok((0..layers).map(one).collect())
}
