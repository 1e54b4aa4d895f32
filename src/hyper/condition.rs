//! What a hypernetwork reads: an encoded support set, a learned embedding of a known task, a descriptor,
//! or several of them side by side.

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Value};
use crate::net::{Init, Net, ParamLayout, Weights};
use crate::spec::Activation;
use crate::task::Rows;

/// Which conditions are read; they are concatenated in this order.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct ConditionSpec {
    /// A set encoder of the support examples (Zaheer et al. 2017, "Deep Sets").
    pub support: Option<SetEncoder>,
    /// A learned embedding for each known task.
    pub embedding: Option<Embedding>,
    /// A descriptor of this width.
    pub descriptor: usize,
}

/// An MLP over (input, target) of each example, averaged over the examples with their row weights. Where an example is no wider than the
/// inputs, it is the first numbers of these, without the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetEncoder {
    /// Width of an example: inputs + outputs of the target, or how many numbers of the inputs alone are read.
    pub example: usize,
    /// Widths of its layers, each followed by the activation.
    pub widths: Vec<usize>,
    /// Inputs and targets are multiplied by this first, which brings them to order one.
    pub scale: f64,
}

/// A table of learned vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Number of known tasks.
    pub tasks: usize,
    /// Width of a vector.
    pub width: usize,
}

/// What is at hand for the tasks of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// The support set, where the spec encodes one.
    pub support: Option<Rows>,
    /// Numbers of known tasks, u32 `[T]`, where the spec has an embedding.
    pub task: Option<Value>,
    /// Descriptors `[T, d]`, where the spec has one.
    pub descriptor: Option<Value>,
}

impl SetEncoder {
    /// The network up to the last activation.
    fn net(&self, activation: Activation) -> Net {
        Net::mlp(&[&[self.example], &self.widths[..]].concat(), activation)
    }
}

impl ConditionSpec {
    /// `E`: the width of the condition.
    pub fn width(&self) -> usize {
        // An encoded support set carries how many examples it saw.
        let support = self.support.as_ref().map_or(0, |s| s.widths.last().map_or(s.example, |w| *w) + 1);
        support + self.embedding.as_ref().map_or(0, |e| e.width) + self.descriptor
    }

    /// Whether nothing is read.
    pub fn is_empty(&self) -> bool {
        self.support.is_none() && self.embedding.is_none() && self.descriptor == 0
    }

    /// Where the embedding lies in the condition (empty where there is none).
    pub fn embedding_range(&self) -> std::ops::Range<usize> {
        let end = self.width() - self.descriptor;
        end - self.embedding.as_ref().map_or(0, |e| e.width)..end
    }

    pub(super) fn add_to(&self, layout: &mut ParamLayout, activation: Activation) {
        if let Some(s) = &self.support {
            layout.extend("encoder", &s.net(activation).layout_he(activation));
        }
        if let Some(e) = &self.embedding {
            layout.push("embedding", &[e.tasks, e.width], Init::Normal(1.0));
        }
    }

    /// The condition of every task, `[T, E]`.
    ///
    /// # Panics
    /// When `available` lacks what the spec asks for.
    #[track_caller]
    pub(super) fn encode(
        &self,
        g: &mut Graph,
        params: Weights<'_>,
        available: &Condition,
        activation: Activation,
    ) -> Value {
        let mut parts = Vec::new();
        if let (Some(encoder), Some(s)) = (&self.support, &available.support) {
            parts.push(g.scope("encoder", |g| {
                let [t, n, _] = g.shape(s.x)[..] else { panic!("support inputs are [T, n, i]") };
                let example = match encoder.example <= g.shape(s.x)[2] {
                    true => g.slice(s.x, 2, 0, encoder.example),
                    false => g.concat(&[s.x, s.y], 2),
                };
                let example = g.scale(example, encoder.scale);
                let h = encoder.net(activation).apply_named(g, params, "encoder", example);
                let h = g.act(activation, h);
                let width = g.shape(h)[2];
                let rows = g.reshape(s.rows, &[t, n, 1]);
                let weighted = g.mul(h, rows);
                let mean = g.sum_to(weighted, &[t, 1, width]);
                g.reshape(mean, &[t, width])
            }));
            // ln(1 + n) / 4 is of order one for sets of any size.
            let n = g.affine(s.count, 1.0, 1.0);
            let n = g.map(crate::graph::op::Func::Log, n);
            parts.push(g.scale(n, 0.25));
        }
        if let (Some(_), Some(task)) = (&self.embedding, available.task) {
            let table = params.get(g, "embedding");
            parts.push(g.gather(table, task));
        }
        if self.descriptor > 0
            && let Some(d) = available.descriptor
        {
            parts.push(d);
        }
        let z = g.concat(&parts, 1);
        assert_eq!(g.shape(z)[1], self.width(), "the condition at hand is not what the hypernetwork reads");
        z
    }
}
