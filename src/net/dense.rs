//! Dense networks.

use serde::{Deserialize, Serialize};

use super::{Init, ParamLayout, Weights};
use crate::graph::{Graph, Value};
use crate::spec::{Activation, count};

/// A dense network: `widths[0]` inputs, hidden layers with `activation`, a linear output layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DenseSpec {
    /// Widths from input to output; at least two.
    pub widths: Vec<usize>,
    /// After every layer but the last.
    pub activation: Activation,
    /// Context parameters: the last so many inputs are the same for all rows of a task and belong to the task, not to the
    /// rows (Zintgraf et al. 2019, "Fast context adaptation via meta-learning").
    #[serde(default)]
    pub context: usize,
}

impl DenseSpec {
    /// A dense network with these widths and activation, without context parameters.
    pub fn new(widths: &[usize], activation: Activation) -> DenseSpec {
        DenseSpec { widths: widths.to_vec(), activation, context: 0 }
    }

    /// Inputs that a row has: those of the network but its context parameters.
    pub fn inputs(&self) -> usize {
        self.widths[0] - self.context
    }

    /// Width of what the last layer reads.
    pub fn features(&self) -> usize {
        self.widths[self.widths.len() - 2]
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.widths.len() - 1
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    /// Flat layout: for each layer the weight `[in, out]`, then the bias `[out]`, both
    /// uniform in ±1/√in (the scale PyTorch's linear layers start with).
    pub fn layout(&self) -> ParamLayout {
        self.layout_with(|_, fan_in| (Init::Uniform(1.0 / (fan_in as f64).sqrt()), true))
    }

    /// Flat layout with He initialisation (`N(0, gain/in)`, biases 0) in every layer.
    pub fn layout_he(&self) -> ParamLayout {
        let gain = self.activation.gain();
        self.layout_with(|_, fan_in| (Init::Normal((gain / fan_in as f64).sqrt()), false))
    }

    fn layout_with(&self, init: impl Fn(usize, usize) -> (Init, bool)) -> ParamLayout {
        let mut layout = ParamLayout::default();
        for (l, w) in self.widths.windows(2).enumerate() {
            let (weight, bias_too) = init(l, w[0]);
            layout.push(format!("{l}.weight"), &[w[0], w[1]], weight);
            layout.push(format!("{l}.bias"), &[w[1]], if bias_too { weight } else { Init::Constant(0.0) });
        }
        layout
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_layout_is_flat_and_gapless() {
        let layout = DenseSpec::new(&[1, 40, 40, 1], Activation::Relu).layout();
        assert_eq!(layout.len(), 1761);
        assert_eq!(layout.get("1.weight").map(|p| p.offset), Some(80));
    }
}
