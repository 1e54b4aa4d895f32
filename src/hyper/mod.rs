//! Hypernetworks: from what a task looks like (the condition) to the weights of its target network.
//!
//! Trunk and head: an MLP reads the condition `[T, E]`, a linear head writes all P weights of every task,
//! `[T, P]`. The head starts with weight 0 and the initial target weights as its bias (Bias-HyperInit:
//! Beck et al. 2022, "Hypernetworks in meta-reinforcement learning"), so that every task starts with the
//! same sound network and the hypernetwork learns a correction to it.

mod condition;

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Value};
use crate::nn::{Weights, dense};
use crate::rng::Rng;
use crate::spec::{Activation, DenseSpec, Init, ParamLayout};
pub use condition::{Condition, ConditionSpec, Embedding, SetEncoder, Support};

/// A hypernetwork for a dense target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HyperSpec {
    /// What is read.
    pub condition: ConditionSpec,
    /// Hidden widths of the trunk.
    pub trunk: Vec<usize>,
    /// Activation of trunk and encoder.
    pub activation: Activation,
    /// The network whose weights are written.
    pub target: DenseSpec,
}

impl HyperSpec {
    fn trunk_spec(&self) -> DenseSpec {
        let mut widths = vec![self.condition.width()];
        widths.extend(&self.trunk);
        DenseSpec::new(&widths, self.activation)
    }

    /// Width of the vector that the head reads.
    fn features(&self) -> usize {
        self.trunk.last().copied().unwrap_or(self.condition.width())
    }

    /// Parameters of the hypernetwork: `condition.*`, `trunk.*`, `head.weight [h, P]`, `head.bias [P]`.
    pub fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::default();
        self.condition.add_to(&mut layout, self.activation);
        if !self.trunk.is_empty() {
            layout.extend("trunk", &self.trunk_spec().layout_he());
        }
        let p = self.target.layout().len();
        layout.push("head.weight", &[self.features(), p], Init::Constant(0.0));
        layout.push("head.bias", &[p], Init::Constant(0.0));
        layout
    }

    /// Initial parameters; `base` are the target weights that every task starts with.
    pub fn init(&self, rng: &mut Rng, base: &[f32]) -> Vec<f32> {
        let layout = self.layout();
        let mut w = rng.init(&layout);
        if let Some(bias) = layout.get("head.bias") {
            w[bias.range()].copy_from_slice(base);
        }
        w
    }

    /// Writes the weights of every task: `[T, P]`, from parameters `[H]` laid out by [`HyperSpec::layout`].
    pub fn generate(&self, g: &mut Graph, params: Weights<'_>, condition: &Condition) -> Value {
        g.scope("hyper", |g| {
            let z = self.condition.encode(g, params, condition, self.activation);
            let mut h = z;
            if !self.trunk.is_empty() {
                // The trunk ends with its activation: the head is the linear layer after it.
                let trunk = self.trunk_spec();
                h = dense(g, &trunk, params, "trunk", z);
                h = g.act(self.activation, h);
            }
            g.scope("head", |g| params.linear(g, "head", h))
        })
    }
}
