//! Hypernetworks: from what a task looks like (the condition) to the weights of its target network.
//!
//! Trunk and head: an MLP reads the condition `[T, E]`, a linear head writes all P weights of every task,
//! `[T, P]`. The head starts with weight 0 and the initial target weights as its bias (Bias-HyperInit:
//! Beck et al. 2022, "Hypernetworks in meta-reinforcement learning"), so that every task starts with the
//! same sound network and the hypernetwork learns a correction to it.
//!
//! A hypernetwork that reads nothing writes its bias for every task: one learned initialisation, which is
//! what MAML and its kin train. So one code path, one checkpoint and one set of adaptation methods serve both.

mod condition;

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Value};
use crate::net::{Init, Net, ParamLayout, Weights};
use crate::rng::Rng;
use crate::spec::Activation;
pub use condition::{Condition, ConditionSpec, Embedding, SetEncoder};

/// A hypernetwork, and the network whose weights it writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HyperSpec {
    /// What is read.
    pub condition: ConditionSpec,
    /// Hidden widths of the trunk.
    pub trunk: Vec<usize>,
    /// Activation of trunk and encoder.
    pub activation: Activation,
    /// The network whose weights are written.
    pub target: Net,
}

impl HyperSpec {
    /// The trunk up to its last activation.
    fn trunk_net(&self) -> Net {
        Net::mlp(&[&[self.condition.width()], &self.trunk[..]].concat(), self.activation)
    }

    /// Width of the vector that the head reads.
    fn features(&self) -> usize {
        self.trunk.last().copied().unwrap_or(self.condition.width())
    }

    /// Whether nothing is read: all tasks start with the same weights, the head's bias.
    pub fn is_shared(&self) -> bool {
        self.condition.width() == 0
    }

    /// Parameters of the hypernetwork: `encoder.*`, `embedding`, `trunk.*`, `head.weight [h, P]`, `head.bias [P]`; the last
    /// alone where nothing is read.
    pub fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::default();
        let p = self.target.layout().len();
        if !self.is_shared() {
            self.condition.add_to(&mut layout, self.activation);
            if !self.trunk.is_empty() {
                layout.extend("trunk", &self.trunk_net().layout_he(self.activation));
            }
            layout.push("head.weight", &[self.features(), p], Init::Constant(0.0));
        }
        layout.push("head.bias", &[p], Init::Constant(0.0));
        layout
    }

    /// Initial parameters; `base` are the target weights that every task starts with.
    pub fn init(&self, rng: &mut Rng, base: &[f32]) -> Vec<f32> {
        let layout = self.layout();
        let mut w = layout.init(rng);
        if let Some(bias) = layout.get("head.bias") {
            w[bias.range()].copy_from_slice(base);
        }
        w
    }

    /// What is read of every task, `[T, E]`; `None` where nothing is.
    pub fn condition(&self, g: &mut Graph, params: Weights<'_>, available: &Condition) -> Option<Value> {
        (!self.is_shared())
            .then(|| g.scope("hyper", |g| self.condition.encode(g, params, available, self.activation)))
    }

    /// Writes the weights of `tasks` tasks, `[T, P]`, from what was read of them and parameters `[H]` laid out by
    /// [`HyperSpec::layout`].
    pub fn generate(&self, g: &mut Graph, params: Weights<'_>, z: Option<Value>, tasks: usize) -> Value {
        g.scope("hyper", |g| {
            let Some(z) = z else {
                let base = params.get(g, "head.bias");
                let p = g.shape(base)[0];
                return g.expand(base, &[tasks, p]);
            };
            let h = self.trunk(g, params, z).last().copied().unwrap_or(z);
            g.scope("head", |g| params.linear(g, "head", h))
        })
    }

    /// What each layer of the trunk gives, after its activation: the head is the linear layer after the last.
    pub fn trunk(&self, g: &mut Graph, params: Weights<'_>, z: Value) -> Vec<Value> {
        let mut h = z;
        (0..self.trunk.len())
            .map(|layer| {
                let name = format!("trunk.{layer}");
                h = g.scope(name.clone(), |g| {
                    let z = params.linear(g, &name, h);
                    g.act(self.activation, z)
                });
                h
            })
            .collect()
    }
}
