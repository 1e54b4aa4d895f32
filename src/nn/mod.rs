//! Layers and losses: pure functions over a graph. Weights are a value: trainable parameters shared by
//! all tasks, or what a hypernetwork wrote, a row a task; a layer does not know which.

use crate::graph::op::{Binary, Func};
use crate::graph::{Graph, Value};
use crate::spec::{DenseSpec, ParamLayout, count};

/// A flat vector of weights `[P]`, or one a task `[T, P]`, and what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'l> {
    /// The values.
    pub flat: Value,
    /// Names, shapes and offsets.
    pub layout: &'l ParamLayout,
}

impl Weights<'_> {
    /// The parameter `name`: its shape, after `[T]` where every task has its own.
    ///
    /// # Panics
    /// When the layout has no such parameter.
    #[track_caller]
    pub fn get(&self, g: &mut Graph, name: &str) -> Value {
        let Some(p) = self.layout.get(name) else { panic!("the layout has no parameter '{name}'") };
        let shape = g.shape(self.flat).to_vec();
        let axis = shape.len() - 1;
        let flat = g.slice(self.flat, axis, p.offset, count(&p.shape));
        let mut full = shape[..axis].to_vec();
        full.extend(&p.shape);
        g.reshape(flat, &full)
    }

    /// Whether every task has its own weights.
    pub fn per_task(&self, g: &Graph) -> bool {
        g.shape(self.flat).len() == 2
    }

    /// `x W + b` with the parameters `layer.weight [in, out]` and `layer.bias [out]`; x is `[T, n, in]`
    /// where every task has its own weights, else `[rows, in]`.
    #[track_caller]
    pub fn linear(&self, g: &mut Graph, layer: &str, x: Value) -> Value {
        let w = self.get(g, &format!("{layer}.weight"));
        let b = self.get(g, &format!("{layer}.bias"));
        let b = if self.per_task(g) {
            let [t, o] = g.shape(b)[..] else { panic!("a bias has one axis") };
            g.reshape(b, &[t, 1, o])
        } else {
            b
        };
        let y = g.matmul(x, w);
        g.add(y, b)
    }
}

/// A dense network: x `[.., in]` to `[.., out]`. With a row of weights a task, x leads with `[T, n]`.
/// `prefix` is the name of the network in the layout (`""` where it is the whole layout). Context parameters are 0.
#[track_caller]
pub fn dense(g: &mut Graph, spec: &DenseSpec, weights: Weights<'_>, prefix: &str, x: Value) -> Value {
    let x = with_context(g, spec, x, None);
    layers(g, spec, weights, prefix, x, spec.layers())
}

/// A dense network on rows `[T, n, i]` whose tasks have context parameters `[T, c]`.
#[track_caller]
pub fn dense_in_context(
    g: &mut Graph,
    spec: &DenseSpec,
    weights: Weights<'_>,
    x: Value,
    context: Value,
) -> Value {
    let x = with_context(g, spec, x, Some(context));
    layers(g, spec, weights, "", x, spec.layers())
}

/// What the last layer of a dense network reads: x `[.., widths[0]]` to `[.., features]`.
#[track_caller]
pub fn features(g: &mut Graph, spec: &DenseSpec, weights: Weights<'_>, x: Value) -> Value {
    layers(g, spec, weights, "", x, spec.layers() - 1)
}

/// Rows `[T, n, i]` with the context parameters of their task `[T, c]` (0 where there are none) as further inputs.
#[track_caller]
pub fn with_context(g: &mut Graph, spec: &DenseSpec, x: Value, context: Option<Value>) -> Value {
    let c = spec.context;
    if c == 0 {
        return x;
    }
    let mut shape = g.shape(x).to_vec();
    let axis = shape.len() - 1;
    let Some(context) = context else { return g.pad(x, axis, 0, spec.widths[0]) };
    shape[axis] = c;
    let rows = g.reshape(context, &[shape[0], 1, c]);
    let rows = g.expand(rows, &shape);
    g.concat(&[x, rows], axis)
}

/// The first `most` layers; each but the network's last with its activation.
fn layers(
    g: &mut Graph,
    spec: &DenseSpec,
    weights: Weights<'_>,
    prefix: &str,
    x: Value,
    most: usize,
) -> Value {
    let shape = g.shape(x).to_vec();
    let rows = count(&shape[..shape.len() - 1]);
    // Shared weights see all rows of all tasks as one matrix.
    let mut h = if weights.per_task(g) { x } else { g.reshape(x, &[rows, spec.widths[0]]) };
    for layer in 0..most {
        let name = if prefix.is_empty() { layer.to_string() } else { format!("{prefix}.{layer}") };
        h = g.scope(name.clone(), |g| {
            let z = weights.linear(g, &name, h);
            if layer + 1 < spec.layers() { g.act(spec.activation, z) } else { z }
        });
    }
    let mut out = shape;
    if let Some(last) = out.last_mut() {
        *last = spec.widths[most];
    }
    g.reshape(h, &out)
}

/// What a network is asked to do with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// Mean squared error of `[.., o]` outputs.
    Mse,
    /// Cross entropy of `[.., c]` logits with probabilities or one-hot classes.
    CrossEntropy,
}

/// Loss of each task, `[T]`: prediction and target `[T, n, o]`, row weights `[T, n]` that sum to one over
/// n (`None`: all rows alike). Squared errors are averaged over the outputs.
#[track_caller]
pub fn loss(g: &mut Graph, kind: Loss, prediction: Value, target: Value, rows: Option<Value>) -> Value {
    let [t, n, o] = g.shape(prediction)[..] else { panic!("a prediction is [T, n, o]") };
    match kind {
        Loss::Mse => {
            let d = g.sub(prediction, target);
            let weighted = match rows {
                Some(w) => {
                    let w = g.reshape(w, &[t, n, 1]);
                    g.mul(d, w)
                }
                None => g.scale(d, 1.0 / n as f64),
            };
            let square = g.mul(weighted, d);
            let sum = g.sum_to(square, &[t, 1, 1]);
            let sum = g.reshape(sum, &[t]);
            g.scale(sum, 1.0 / o as f64)
        }
        Loss::CrossEntropy => {
            let rows_loss = g.cross_entropy(prediction, target);
            let weighted = match rows {
                Some(w) => g.mul(rows_loss, w),
                None => g.scale(rows_loss, 1.0 / n as f64),
            };
            let sum = g.sum_to(weighted, &[t, 1]);
            g.reshape(sum, &[t])
        }
    }
}

/// Factor that brings a gradient of squared norm `norm2` (any shape) down to norm `max`: `min(1, max/√norm2)`.
pub fn clip_factor(g: &mut Graph, norm2: Value, max: f64) -> Value {
    let safe = g.affine(norm2, 1.0, 1e-20);
    let r = g.map(Func::Rsqrt, safe);
    // min(1, c r) = -max(-1, -c r)
    let down = g.scale(r, -max);
    let shape = g.shape(norm2).to_vec();
    let minus_one = g.constant(-1.0);
    let minus_one = g.expand(minus_one, &shape);
    let m = g.zip(Binary::Max, down, minus_one);
    g.scale(m, -1.0)
}
