//! What a hypernetwork reads: an encoded support set, a learned embedding of a known task, a descriptor,
//! or several of them side by side.

use std::f64::consts::FRAC_PI_2;

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Value};
use crate::net::{Init, Layer, Net, ParamLayout, Weights, layers};
use crate::rng::Rng;
use crate::spec::{Activation, Shape, count};
use crate::task::{Rows, repeated};

/// Which conditions are read; they are concatenated in this order.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct ConditionSpec {
    /// A set encoder of the support examples (Zaheer et al. 2017, "Deep Sets").
    pub support: Option<SetEncoder>,
    /// A learned embedding for each known task.
    pub embedding: Option<Embedding>,
    /// A descriptor of this width.
    pub descriptor: usize,
    /// Whether each of its numbers d is read as a point of the circle, `cos(π/2 d)` and `sin(π/2 d)`, so that a large number does not make large weights
    /// (Gonzalez Ortiz et al. 2023, "Magnitude invariant parametrizations improve hypernetwork learning").
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub circle: bool,
    /// Random numbers that stand behind all of these, others for each network: one condition becomes a distribution of networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

/// Standard normal numbers that are read beside what is known of a task: M draws of them make M networks, and where these disagree the task's support says
/// little (Pawlowski et al. 2017, "Implicit weight uncertainty in neural networks"; Ratzlaff and Fuxin 2019, "HyperGAN").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Noise {
    /// Numbers of a draw.
    pub width: usize,
    /// M: networks of a task.
    pub draws: usize,
}

/// Stream of the draws that a trained model predicts by.
const DRAWS: u64 = 0xd4a5;

impl Noise {
    /// So many numbers for each of so many networks of a task.
    #[must_use]
    pub fn new(width: usize, draws: usize) -> Noise {
        Noise { width, draws }
    }

    /// The draws that a trained model predicts by, `[M, width]`: the same for every task, so that what differs between tasks is what is known of them.
    pub(crate) fn table(&self) -> Vec<f32> {
        let mut rng = Rng::new(0, DRAWS);
        (0..self.draws * self.width).map(|_| rng.normal() as f32).collect()
    }
}

/// What reads a support set, whatever the order of its examples: layers that read the inputs of each, an MLP over these and its target, and
/// what makes all examples one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetEncoder {
    /// Width of what the MLP reads of an example: inputs, as `reader` gives them, + outputs of the target. Where it is no wider than the
    /// inputs it is the first numbers of these, without the target.
    pub example: usize,
    /// Widths of the MLP's layers, each followed by the activation.
    pub widths: Vec<usize>,
    /// Inputs (where no `reader` reads them) and targets are multiplied by this first, which brings them to order one.
    pub scale: f64,
    /// Layers that read the inputs of each example before the MLP does: convolutions of pictures, a recurrent cell over a sequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "layers")]
    pub reader: Vec<Layer>,
    /// Shape of the inputs that `reader` reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub row: Shape,
    /// Layers that make one row of all examples, a set `[n, width]` of what the MLP gave: attention to it. None: the mean, by the row
    /// weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "layers")]
    pub set: Vec<Layer>,
    /// Numbers that say of an example what the network got wrong, read behind it: 0, or the outputs of the target.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub errors: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
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
    /// Draws of the noise, `[T, width]`, or of M networks of each task, `[T · M, width]`, where the spec has any.
    pub noise: Option<Value>,
}

/// What was read of the tasks of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// The condition of every task, `[T, E]`.
    pub condition: Value,
    /// What the MLP gave for each support row, `[T, n, width]`, and the weights `[T, n]` of these, 0 where there is none; `None`: no support
    /// is read.
    pub rows: Option<[Value; 2]>,
}

impl Read {
    /// A condition that came without a support.
    pub fn of(condition: Value) -> Read {
        Read { condition, rows: None }
    }
}

impl SetEncoder {
    /// An MLP of these widths over examples of so many numbers, and the mean.
    #[must_use]
    pub fn new(example: usize, widths: Vec<usize>, scale: f64) -> SetEncoder {
        SetEncoder { example, widths, scale, reader: vec![], row: vec![], set: vec![], errors: 0 }
    }

    /// The MLP up to the last activation.
    fn mlp(&self, activation: Activation) -> Net {
        Net::mlp(&[&[self.example + self.errors], &self.widths[..]].concat(), activation)
    }

    /// What reads the inputs of an example first, where anything does.
    fn reader(&self) -> Option<Net> {
        (!self.reader.is_empty()).then(|| Net::rows(self.row.clone()).with_all(self.reader.iter().cloned()))
    }

    /// What makes one of a set of `n` examples, where it is not the mean.
    fn set(&self, n: usize) -> Option<Net> {
        let net = || Net::rows([n, self.features()]).with_all(self.set.iter().cloned());
        (!self.set.is_empty()).then(net)
    }

    /// Numbers of an example's inputs as the MLP reads them.
    pub(super) fn inputs_of(&self, target: &Net) -> usize {
        self.reader().map_or(target.inputs(), |net| net.outputs())
    }

    /// Width of what the MLP gives for each example.
    pub fn features(&self) -> usize {
        self.widths.last().copied().unwrap_or(self.example + self.errors)
    }

    /// Width of what all examples together become.
    pub fn width(&self) -> usize {
        self.set(1).map_or(self.features(), |net| net.outputs())
    }

    /// Refuses layers that do not fit one another or the rows of the target.
    ///
    /// # Errors
    /// Which ones, and what would be right.
    pub fn check(&self, target: &Net) -> Result<(), String> {
        let sound = |net: &Net| {
            net.check()?;
            if net.mixes_rows() || net.reads_support() {
                return Err(
                    "a batch norm would look at other rows: layer_norm and group_norm look at one, and nets with a name have them where a list of layers says so".into()
                );
            }
            if !net.own_layers().is_empty() {
                return Err("layers of a program's own are for targets".to_string());
            }
            Ok(())
        };
        let mut inputs = target.inputs();
        if let Some(net) = self.reader() {
            if count(&self.row) != target.inputs() {
                return Err(format!(
                    "the reader reads rows {:?}, and the target {:?}",
                    self.row,
                    target.input()
                ));
            }
            sound(&net).map_err(|e| format!("the reader: {e}"))?;
            if net.row_behind().is_some_and(|row| row.len() != 1) {
                let row = net.row_behind().unwrap_or_default();
                return Err(format!(
                    "the reader gives rows {row:?}, and one axis is needed: end it with global_pool = true, flatten = true, or last = true in \
                     the last recurrent layer"
                ));
            }
            inputs = net.outputs();
        }
        if self.example != inputs + target.outputs() && !(1..=inputs).contains(&self.example) {
            return Err(format!(
                "an example of {} numbers: rows have {inputs} inputs and {} outputs",
                self.example,
                target.outputs()
            ));
        }
        if let (Some(one), Some(two)) = (self.set(1), self.set(2)) {
            sound(&one).map_err(|e| format!("the layers over the set: {e}"))?;
            if one.row_behind() != two.row_behind()
                || one.layout() != two.layout()
                || one.row_behind().is_some_and(|r| r.len() != 1)
            {
                return Err(format!(
                    "the layers over the set of examples give rows {:?} for one example and {:?} for two: end them with attention_pool = 1, \
                     which gives as much of any number",
                    one.row_behind().unwrap_or_default(),
                    two.row_behind().unwrap_or_default()
                ));
            }
        }
        Ok(())
    }

    /// What all examples become together, `[T, width]`, and each of them, `[T, n, features]`; `errors` `[T, n, outputs]` are what the network got
    /// wrong of them, where there is one.
    fn encode(
        &self,
        g: &mut Graph,
        params: Weights<'_>,
        s: &Rows,
        activation: Activation,
        errors: Option<Value>,
    ) -> (Value, Value) {
        let [t, n, _] = g.shape(s.x)[..] else { panic!("support inputs are [T, n, i]") };
        let x = match self.reader() {
            Some(net) => g.scope("reader", |g| net.apply_named(g, params, "reader", s.x)),
            None => s.x,
        };
        let scaled = |g: &mut Graph, v: Value| g.scale(v, self.scale);
        let x = if self.reader.is_empty() { scaled(g, x) } else { x };
        let example = match self.example <= g.shape(x)[2] {
            true => g.slice(x, 2, 0, self.example),
            false => {
                let y = scaled(g, s.y);
                g.concat(&[x, y], 2)
            }
        };
        let example = match self.errors {
            0 => example,
            width => {
                let errors = match errors {
                    Some(errors) => scaled(g, errors),
                    None => {
                        let zero = g.constant(0.0);
                        g.expand(zero, &[t, n, width])
                    }
                };
                g.concat(&[example, errors], 2)
            }
        };
        let each = match self.widths.is_empty() {
            true => example,
            false => g.scope("encoder", |g| {
                let h = self.mlp(activation).apply_named(g, params, "encoder", example);
                g.act(activation, h)
            }),
        };
        let width = self.features();
        let pooled = match self.set(n) {
            Some(net) => g.scope("set", |g| {
                let flat = g.reshape(each, &[t, n * width]);
                let there = present(g, s.rows);
                net.apply_named_ragged(g, params, "set", there, flat)
            }),
            None => g.scope("encoder", |g| {
                let rows = g.reshape(s.rows, &[t, n, 1]);
                let weighted = g.mul(each, rows);
                let mean = g.sum_to(weighted, &[t, 1, width]);
                g.reshape(mean, &[t, width])
            }),
        };
        (pooled, each)
    }
}

/// 1 where a row has a weight, else 0.
pub(super) fn present(g: &mut Graph, rows: Value) -> Value {
    let [one, zero] = [1.0, 0.0].map(|v| g.constant(v));
    g.select(rows, one, zero)
}

impl ConditionSpec {
    /// `E`: the width of the condition.
    pub fn width(&self) -> usize {
        // An encoded support set carries how many examples it saw.
        let support = self.support.as_ref().map_or(0, |s| s.width() + 1);
        support + self.embedding.as_ref().map_or(0, |e| e.width) + self.behind_embedding()
    }

    /// Numbers of the condition that descriptor and noise become.
    fn behind_embedding(&self) -> usize {
        let descriptor = if self.circle { 2 * self.descriptor } else { self.descriptor };
        descriptor + self.noise.map_or(0, |noise| noise.width)
    }

    /// Networks that are written for a task: one, or as many as there are draws of the noise.
    pub fn draws(&self) -> usize {
        self.noise.map_or(1, |noise| noise.draws)
    }

    /// Whether nothing is read.
    pub fn is_empty(&self) -> bool {
        self.support.is_none() && self.embedding.is_none() && self.descriptor == 0 && self.noise.is_none()
    }

    /// Whether it says anything of a task that was not trained on: those share an embedding.
    pub fn reads_new_tasks(&self) -> bool {
        self.support.is_some() || self.descriptor > 0
    }

    /// Where the embedding lies in the condition (empty where there is none).
    pub fn embedding_range(&self) -> std::ops::Range<usize> {
        let end = self.width() - self.behind_embedding();
        end - self.embedding.as_ref().map_or(0, |e| e.width)..end
    }

    pub(super) fn add_to(&self, layout: &mut ParamLayout, activation: Activation) {
        if let Some(s) = &self.support {
            if let Some(net) = s.reader() {
                layout.extend("reader", &net.layout());
            }
            if !s.widths.is_empty() {
                layout.extend("encoder", &s.mlp(activation).layout_he(activation));
            }
            if let Some(net) = s.set(1) {
                layout.extend("set", &net.layout());
            }
        }
        if let Some(e) = &self.embedding {
            layout.push("embedding", &[e.tasks, e.width], Init::Normal(1.0));
        }
    }

    /// What is read of every task.
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
        errors: Option<Value>,
    ) -> Read {
        let (mut parts, mut rows) = (Vec::new(), None);
        if let (Some(encoder), Some(s)) = (&self.support, &available.support) {
            let (pooled, each) = encoder.encode(g, params, s, activation, errors);
            parts.push(pooled);
            rows = Some([each, s.rows]);
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
            if self.circle {
                // cos(x) = sin(x + π/2)
                let cosine = g.affine(d, FRAC_PI_2, FRAC_PI_2);
                parts.push(g.act(Activation::Sin, cosine));
                let sine = g.scale(d, FRAC_PI_2);
                parts.push(g.act(Activation::Sin, sine));
            } else {
                parts.push(d);
            }
        }
        if let (Some(_), Some(noise)) = (self.noise, available.noise) {
            // What is known of a task is read once, whatever the number of its networks.
            let networks = g.shape(noise)[0];
            parts.iter_mut().chain(rows.iter_mut().flatten()).for_each(|v| {
                *v = repeated(g, *v, networks / g.shape(*v)[0]);
            });
            parts.push(noise);
        }
        let condition = g.concat(&parts, 1);
        assert_eq!(
            g.shape(condition)[1],
            self.width(),
            "the condition at hand is not what the hypernetwork reads"
        );
        Read { condition, rows }
    }
}
