//! Shapes, element types and activations: the vocabulary that every layer above shares.
//!
//! Nothing here computes; it is kept apart so that the graph, the kernels and the configuration can
//! all name an activation without knowing one another.

use std::fmt;

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
    /// Every activation.
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
            // Half of a sine's square is lost, too (Sitzmann et al. 2020, section 3.2).
            Activation::Sin => 2.0,
            _ => 1.0,
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
}
