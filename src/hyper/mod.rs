//! Hypernetworks: from what a task looks like (the condition) to the weights of its target network.
//!
//! The condition `[T, E]` is an encoded support set, an embedding or a descriptor ([`ConditionSpec`]). A [`Generator`] reads it
//! through a trunk and writes all P weights of every task, `[T, P]`, as a correction to weights that all tasks share.
//!
//! A hypernetwork that reads nothing writes these for every task: one learned initialisation, which is
//! what MAML and its kin train. So one code path, one checkpoint and one set of adaptation methods serve both.
//!
//! ```
//! use hyperloom::hyper::{Chunked, ConditionSpec, Generator, HyperSpec, SetEncoder};
//! use hyperloom::net::Net;
//! use hyperloom::spec::Activation::Relu;
//!
//! // What is read: examples of one input and one target.
//! let support = SetEncoder::new(2, vec![64, 64], 1.0);
//! let condition = ConditionSpec { support: Some(support), ..ConditionSpec::default() };
//! // What is written: the weights of a small network, all at once or in chunks.
//! let target = Net::mlp(&[1, 40, 40, 1], Relu);
//! let mut hyper = HyperSpec::new(condition, vec![128], Relu, target);
//! assert_eq!(hyper.layout().len(), 239_969);
//! hyper.generator = Generator::Chunked(Chunked { chunk: 256, embedding: 16, base: true });
//! assert_eq!(hyper.layout().len(), 49_489);
//! ```

mod condition;
mod generator;
mod init;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Value};
use crate::net::{Init, Net, Param, ParamLayout, SupportRows, Weights};
use crate::rng::Rng;
use crate::spec::{Activation, count};
use crate::task::Loss;
pub use condition::{Condition, ConditionSpec, Embedding, Noise, Read, SetEncoder};
pub use generator::*;
pub use init::HyperInit;

/// A hypernetwork, and the network whose weights it writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
#[non_exhaustive]
pub struct HyperSpec {
    /// What is read.
    pub condition: ConditionSpec,
    /// How weights are written.
    pub generator: Generator,
    /// What is written at first.
    #[serde(skip_serializing_if = "is_bias")]
    pub init: HyperInit,
    /// Which parameters of the target are written, by the role that they have (`head`, `code`, `decoder`) or by name (`3`, `3.weight`); all tasks
    /// share the others. Empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<String>,
    /// How often the weights are refined: what the network gets wrong of the support is read with it again, and a correction to the
    /// weights is written.
    #[serde(skip_serializing_if = "is_zero")]
    pub rounds: usize,
    /// Hidden widths of the generator's trunk.
    pub trunk: Vec<usize>,
    /// Activation of trunk and encoder.
    pub activation: Activation,
    /// The network whose weights are written.
    pub target: Net,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

fn is_bias(init: &HyperInit) -> bool {
    *init == HyperInit::Bias
}

/// Rounds of refinement at most.
pub const MAX_ROUNDS: usize = 16;
/// What share of a correction is taken at first: the gate of each tensor.
const GATE: f64 = 0.1;

/// As it stands in files; those from before there were several generators name none.
#[derive(Deserialize)]
struct Stored {
    condition: ConditionSpec,
    generator: Option<Generator>,
    #[serde(default)]
    init: HyperInit,
    #[serde(default)]
    writes: Vec<String>,
    #[serde(default)]
    rounds: usize,
    trunk: Vec<usize>,
    activation: Activation,
    target: Net,
}

impl From<Stored> for HyperSpec {
    fn from(stored: Stored) -> HyperSpec {
        let Stored { condition, generator, init, writes, rounds, trunk, activation, target } = stored;
        let generator = generator.unwrap_or_else(|| match condition.is_empty() {
            true => Generator::Shared(Shared {}),
            false => Generator::default(),
        });
        HyperSpec { condition, generator, init, writes, rounds, trunk, activation, target }
    }
}

impl HyperSpec {
    /// A hypernetwork that reads `condition` and writes the weights of `target` by a linear head on a trunk of these hidden widths.
    /// Another generator is assigned.
    #[must_use]
    pub fn new(
        condition: ConditionSpec,
        trunk: Vec<usize>,
        activation: Activation,
        target: Net,
    ) -> HyperSpec {
        HyperSpec {
            condition,
            generator: Generator::default(),
            init: HyperInit::Bias,
            writes: vec![],
            rounds: 0,
            trunk,
            activation,
            target,
        }
    }

    /// The same, which refines what it wrote so many times: it reads each support example anew with what the network got wrong of it (of
    /// values the target less the prediction, of classes less the probabilities), and adds a correction. The share of it that is taken is
    /// learned for each tensor, and is small at first.
    #[must_use]
    pub fn refined(mut self, rounds: usize) -> HyperSpec {
        self.rounds = rounds;
        if let Some(support) = &mut self.condition.support {
            // A target that does not fit is refused where all is checked.
            let sound = rounds > 0 && self.target.check().is_ok();
            support.errors = if sound { self.target.outputs() } else { 0 };
        }
        self
    }

    /// A hypernetwork that reads nothing: all tasks start with the same weights of `target`.
    #[must_use]
    pub fn shared(target: Net) -> HyperSpec {
        HyperSpec {
            condition: ConditionSpec::default(),
            generator: Generator::Shared(Shared {}),
            init: HyperInit::Bias,
            writes: vec![],
            rounds: 0,
            trunk: vec![],
            activation: Activation::default(),
            target,
        }
    }

    /// Whether nothing is read: all tasks start with the same weights.
    pub fn is_shared(&self) -> bool {
        !self.generator.kind().reads()
    }

    /// Refuses a generator that lacks what it reads, and sizes beyond any use.
    ///
    /// # Errors
    /// What does not fit, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        self.generator.check()?;
        self.target.check()?;
        if self.generator.reads_rows() && !self.trunk.is_empty() {
            return Err("a transformer has blocks, and no trunk: trunk = []".into());
        }
        if let Some(support) = &self.condition.support {
            support.check(&self.target)?;
        }
        self.check_rounds()?;
        self.generator.kind().check_target(self)?;
        self.check_init()?;
        if !self.is_shared()
            && !self.generator.kind().has_base()
            && (self.rounds > 0 || !self.writes.is_empty())
        {
            return Err(
                "what is written without base weights is all there is: leave base = false, or writes and rounds, out".into(),
            );
        }
        match (self.is_shared(), self.condition.is_empty()) {
            (false, true) => {
                Err("the generator reads nothing: give it a condition, or take the shared one".into())
            }
            (true, false) => {
                Err("the shared generator reads no condition: take another, or an empty one".into())
            }
            _ => self.check_writes(),
        }
    }

    /// Refuses rounds of refinement without a support whose targets are read.
    fn check_rounds(&self) -> Result<(), String> {
        if self.rounds > MAX_ROUNDS {
            return Err(format!("{} rounds of refinement: 0 to {MAX_ROUNDS} are possible", self.rounds));
        }
        let outputs = self.target.outputs();
        match &self.condition.support {
            Some(support) if self.rounds > 0 => {
                let inputs = support.inputs_of(&self.target);
                if support.errors != outputs || support.example != inputs + outputs {
                    return Err("rounds of refinement read what the network got wrong of examples: their targets, and as many errors, have to be read".into());
                }
            }
            None if self.rounds > 0 => {
                return Err(
                    "rounds of refinement read what the network got wrong of support rows, and none are read"
                        .into(),
                );
            }
            Some(support) if support.errors > 0 => {
                return Err("errors are read, and no round of refinement makes any".into());
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses names of parameters to write that the target, which was checked, has none of.
    pub(crate) fn check_writes(&self) -> Result<(), String> {
        if !self.writes.is_empty() && !self.generator.reads() {
            return Err(
                "only a generator that reads of a task can write some parameters and leave others".into()
            );
        }
        let layout = self.target.layout();
        match self.writes.iter().find(|name| !layout.params.iter().any(|p| is_of(p, name))) {
            None => Ok(()),
            Some(name) => {
                let mut known: Vec<&str> = layout.params.iter().map(|p| p.role.name()).collect();
                known.sort_unstable();
                known.dedup();
                Err(format!(
                    "no parameter of the target is called '{name}' or has that role: there are the roles {} and names as {}",
                    known.join(", "),
                    layout.params.first().map_or("", |p| &p.name)
                ))
            }
        }
    }

    /// Whether the generator writes a parameter of the target.
    fn is_written(&self, p: &Param) -> bool {
        self.writes.is_empty() || self.writes.iter().any(|name| is_of(p, name))
    }

    /// The target's weights in segments: each with whether it is written.
    fn segments(&self) -> Vec<(Range<usize>, bool)> {
        self.target.layout().segments_by(|p| self.is_written(p))
    }

    /// The target's parameters that are written, in their order: their names, and how many weights they have.
    fn written_params(&self) -> Vec<(String, usize)> {
        let layout = self.target.layout();
        layout.params.into_iter().filter(|p| self.is_written(p)).map(|p| (p.name, count(&p.shape))).collect()
    }

    /// The same as they stand in the target.
    fn written_layout(&self) -> Vec<Param> {
        self.target.layout().params.into_iter().filter(|p| self.is_written(p)).collect()
    }

    /// Number of weights that the generator writes for a task.
    pub fn written(&self) -> usize {
        self.segments().iter().filter(|s| s.1).map(|s| s.0.len()).sum()
    }

    /// Parameters of the hypernetwork: `encoder.*`, `embedding`, those of the generator (of the linear one `trunk.*` and
    /// `head.weight [h, P]`), and the weights that every task's are a correction to, `head.bias [P]`, where there are any.
    pub fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::default();
        self.condition.add_to(&mut layout, self.activation);
        self.generator.kind().params(self, &mut layout);
        if self.rounds > 0 {
            layout.push("refine.gate", &[self.written_params().len()], Init::Constant(GATE));
        }
        if self.generator.kind().has_base() {
            layout.push("head.bias", &[self.target.layout().len()], Init::Constant(0.0));
        }
        layout
    }

    /// Initial parameters; `base` are the target weights that every task starts with.
    pub fn init(&self, rng: &mut Rng, base: &[f32]) -> Vec<f32> {
        let layout = self.layout();
        let mut w = layout.init(rng);
        if let Some(bias) = layout.get("head.bias") {
            w[bias.range()].copy_from_slice(base);
            self.make_room(&mut w[bias.range()]);
        }
        self.generator.kind().start(self, &layout, &mut w, base);
        w
    }

    /// What is read of every task; `None` where nothing is.
    pub fn condition(&self, g: &mut Graph, params: Weights<'_>, available: &Condition) -> Option<Read> {
        (!self.is_shared())
            .then(|| g.scope("hyper", |g| self.condition.encode(g, params, available, self.activation, None)))
    }

    /// The graph that writes the weights of one task, `weights` `[1, P]`, from parameters `params` and from what was read of it, with so many support rows: what it costs is what a network costs.
    pub fn writing_graph(&self, shots: usize) -> Graph {
        let (mut g, layout) = (Graph::new(), self.layout());
        let flat = g.data("params", &[layout.len()]);
        let read = (!self.is_shared()).then(|| {
            let condition = g.data("condition", &[1, self.condition.width()]);
            let rows = self.condition.support.as_ref().map(|support| {
                [g.data("rows", &[1, shots, support.features()]), g.data("row_weights", &[1, shots])]
            });
            Read { condition, rows }
        });
        let weights = self.generate(&mut g, Weights { flat, layout: &layout }, read, 1);
        g.output("weights", weights);
        g
    }

    /// Writes the weights of `tasks` tasks, `[T, P]`, from what was read of them and parameters `[H]` laid out by
    /// [`HyperSpec::layout`].
    pub fn generate(&self, g: &mut Graph, params: Weights<'_>, read: Option<Read>, tasks: usize) -> Value {
        g.scope("hyper", |g| {
            let written = self.spread(g, params, read.as_ref());
            g.scope("head", |g| {
                let base = self.generator.has_base().then(|| params.get(g, "head.bias"));
                match (written, base) {
                    (Some(correction), Some(base)) => self.added(g, base, correction, tasks),
                    (Some(all), None) | (None, Some(all)) => {
                        let p = self.target.layout().len();
                        g.expand(all, &[tasks, p])
                    }
                    (None, None) => panic!("a generator writes something, or has base weights"),
                }
            })
        })
    }

    /// What the networks that are written say of rows x `[T, n, inputs]`, without the weights of any task where these are corrections in factors; `None`: they
    /// have to be written.
    pub fn predict_by_factors(
        &self,
        g: &mut Graph,
        params: Weights<'_>,
        read: Option<&Read>,
        x: Value,
    ) -> Option<Value> {
        if self.rounds > 0 {
            return None;
        }
        let corrections = g.scope("hyper", |g| self.generator.kind().corrections(g, self, params, read?))?;
        let (layout, flat) = (self.target.layout(), params.get(g, "head.bias"));
        let shared = Weights { flat, layout: &layout };
        Some(g.scope("target", |g| self.target.apply_corrected(g, shared, corrections, x)))
    }

    /// Weights of all, `[P]` or `[T, P]`, and a correction `[T, ..]` to those that are written.
    fn added(&self, g: &mut Graph, base: Value, correction: Value, tasks: usize) -> Value {
        if self.writes.is_empty() {
            return g.add(correction, base);
        }
        let axis = g.shape(base).len() - 1;
        let mut at = 0;
        let parts: Vec<Value> = (self.segments().into_iter())
            .map(|(range, is_written)| {
                let part = g.slice(base, axis, range.start, range.len());
                if !is_written {
                    return g.expand(part, &[tasks, range.len()]);
                }
                at += range.len();
                let own = g.slice(correction, 1, at - range.len(), range.len());
                g.add(own, part)
            })
            .collect();
        g.concat(&parts, 1)
    }

    /// Weights `[T, P]` after [`HyperSpec::rounds`] of refinement, by what is at hand of the tasks and what their loss is.
    ///
    /// # Panics
    /// When there are rounds, and no support.
    #[track_caller]
    pub fn refine(
        &self,
        g: &mut Graph,
        params: Weights<'_>,
        available: &Condition,
        kind: Loss,
        weights: Value,
    ) -> Value {
        let layout = self.target.layout();
        (0..self.rounds).fold(weights, |weights, _| {
            g.scope("refine", |g| {
                let Some(s) = &available.support else { panic!("rounds of refinement read a support") };
                let own = Weights { flat: weights, layout: &layout };
                let rows = SupportRows { x: s.x, weights: s.rows };
                let said = self.target.apply_by(g, own, rows, s.x);
                let errors = kind.errors(g, said, s.y);
                let read = self.condition.encode(g, params, available, self.activation, Some(errors));
                let written = self.spread(g, params, Some(&read));
                let Some(correction) = written else { panic!("a generator that reads writes") };
                let gate = params.get(g, "refine.gate");
                let gates: Vec<Value> = (self.written_params().iter().enumerate())
                    .map(|(i, (_, weights))| {
                        let one = g.slice(gate, 0, i, 1);
                        g.expand(one, &[*weights])
                    })
                    .collect();
                let gates = g.concat(&gates, 0);
                let taken = g.mul(correction, gates);
                let tasks = g.shape(weights)[0];
                self.added(g, weights, taken, tasks)
            })
        })
    }

    /// The weights that all tasks start with, `[P]`, where nothing is read of them.
    pub(crate) fn shared_weights(&self, g: &mut Graph, params: Weights<'_>) -> Value {
        let all = self.generate(g, params, None, 1);
        g.reshape(all, &[self.target.layout().len()])
    }

    /// What each layer of the trunk gives after its activation, `[T, ..]`.
    pub fn trunk(&self, g: &mut Graph, params: Weights<'_>, read: &Read) -> Vec<Value> {
        self.generator.kind().trunk(g, self, params, read)
    }
}

/// Whether a parameter is called so, or has this role.
fn is_of(p: &Param, name: &str) -> bool {
    p.is_called(name) || p.role.name() == name
}

/// What generators are made of.
impl HyperSpec {
    /// Width of what a trunk over so many inputs gives.
    fn features(&self, inputs: usize) -> usize {
        self.trunk.last().copied().unwrap_or(inputs)
    }

    /// Appends the parameters of a trunk over so many inputs.
    fn add_trunk(&self, layout: &mut ParamLayout, inputs: usize) {
        if !self.trunk.is_empty() {
            let net = Net::mlp(&[&[inputs], &self.trunk[..]].concat(), self.activation);
            layout.extend("trunk", &net.layout_he(self.activation));
        }
    }

    /// What the trunk gives on rows `[.., inputs]`; without layers these themselves.
    fn trunk_gave(&self, g: &mut Graph, params: Weights<'_>, x: Value) -> Value {
        self.run_trunk(g, params, x).last().copied().unwrap_or(x)
    }

    /// What each layer of the trunk gives, after its activation, on rows `[.., inputs]`.
    fn run_trunk(&self, g: &mut Graph, params: Weights<'_>, x: Value) -> Vec<Value> {
        let mut h = x;
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
