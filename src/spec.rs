//! Shapes, activations and parameter layouts: the vocabulary that every layer above shares.
//!
//! Nothing here computes; it is kept apart so that the graph, the kernels and the configuration can
//! all name an activation or a layout without knowing one another.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The number of axes a view can have.
pub const MAX_RANK: usize = 6;

/// The shape of a value: lengths of its axes, outermost first. The empty shape is a scalar.
pub type Shape = Vec<usize>;

/// Element type of a value and of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DType {
    /// 32-bit float (the CPU runner can also hold it as f64 or with an error bound).
    F32,
    /// 32-bit unsigned integer: indices, counters, random keys.
    U32,
}

/// Number of elements of a shape.
pub fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The NumPy broadcast of two shapes, or `None` where they disagree.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    (0..rank)
        .map(|i| {
            let x = (i + a.len()).checked_sub(rank).map_or(1, |j| a[j]);
            let y = (i + b.len()).checked_sub(rank).map_or(1, |j| b[j]);
            match (x, y) {
                (x, y) if x == y => Some(x),
                (1, y) => Some(y),
                (x, 1) => Some(x),
                _ => None,
            }
        })
        .collect()
}

/// Pointwise non-linearities of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x`
    Identity,
    /// `max(x, 0)`, derivative 0 at 0
    #[default]
    Relu,
    /// `max(x, 0.01 x)`
    LeakyRelu,
    /// `tanh x`
    Tanh,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `x · sigmoid(x)`
    Silu,
    /// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`
    Gelu,
    /// `ln(1 + e^x)`
    Softplus,
    /// `sin x`
    Sin,
}

impl Activation {
    /// Every activation, in the order of their codes in WGSL.
    pub const ALL: [Activation; 9] = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::Gelu,
        Activation::Softplus,
        Activation::Sin,
    ];

    /// The name used in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Identity => "identity",
            Activation::Relu => "relu",
            Activation::LeakyRelu => "leaky_relu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::Silu => "silu",
            Activation::Gelu => "gelu",
            Activation::Softplus => "softplus",
            Activation::Sin => "sin",
        }
    }

    /// The factor c in the weight variance `c / fan_in` that keeps the variance of activations:
    /// 2 for the rectifiers (He et al. 2015), 1 otherwise.
    pub fn gain(self) -> f64 {
        match self {
            Activation::Relu | Activation::LeakyRelu | Activation::Silu | Activation::Gelu => 2.0,
            _ => 1.0,
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Init {
    /// All the same value.
    Constant(f64),
    /// Uniform on `[-bound, bound]`.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
}

/// One named parameter in a flat vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Dotted name, for example `trunk.0.weight`.
    pub name: String,
    /// Its shape; weights of a dense layer are `[in, out]`, row-major.
    pub shape: Shape,
    /// First element in the flat vector.
    pub offset: usize,
    /// How it starts.
    pub init: Init,
}

impl Param {
    /// Whether `name` is its name, or the first parts of it.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Where the parameter lies in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + count(&self.shape)
    }
}

/// What a flat vector of `P` weights holds: names, shapes, offsets and initial distributions.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct ParamLayout {
    /// The parameters, in order of their offsets, without gaps.
    pub params: Vec<Param>,
}

impl ParamLayout {
    /// Appends a parameter and returns its index.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> usize {
        let offset = self.len();
        self.params.push(Param { name: name.into(), shape: shape.to_vec(), offset, init });
        self.params.len() - 1
    }

    /// Appends another layout, each name prefixed with `prefix.`.
    pub fn extend(&mut self, prefix: &str, other: &ParamLayout) {
        for p in &other.params {
            self.push(format!("{prefix}.{}", p.name), &p.shape, p.init);
        }
    }

    /// `P`: the number of weights.
    pub fn len(&self) -> usize {
        self.params.last().map_or(0, |p| p.range().end)
    }

    /// Whether there is no weight at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The vector in stretches, in order: each with whether its parameters are called one of `names` (`trunk` is all of
    /// `trunk.0.weight`, `trunk.0.bias`, …).
    pub fn stretches(&self, names: &[String]) -> Vec<(Range<usize>, bool)> {
        let mut all: Vec<(Range<usize>, bool)> = Vec::new();
        for p in &self.params {
            let named = names.iter().any(|n| p.is_called(n));
            match all.last_mut() {
                Some((range, same)) if *same == named => range.end = p.range().end,
                _ => all.push((p.range(), named)),
            }
        }
        all
    }

    /// The parameter called `name`.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name == name)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting() {
        assert_eq!(broadcast(&[3, 1], &[4]), Some(vec![3, 4]));
        assert_eq!(broadcast(&[], &[2, 2]), Some(vec![2, 2]));
        assert_eq!(broadcast(&[3], &[4]), None);
    }

    #[test]
    fn dense_layout_is_flat_and_gapless() {
        let layout = DenseSpec::new(&[1, 40, 40, 1], Activation::Relu).layout();
        assert_eq!(layout.len(), 1761);
        assert_eq!(layout.get("1.weight").map(|p| p.offset), Some(80));
    }
}
