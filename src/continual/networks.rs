//! The networks: one for each task, which a hypernetwork writes, or one for all with outputs for what is asked.

use std::ops::Range;

use super::method::{Method, Scenario};
use super::sequence::Sequence;
use crate::hyper::{ConditionSpec, Embedding, HyperSpec};
use crate::net::{Net, ParamLayout};
use crate::rng::Rng;
use crate::spec::Activation;

/// What is learned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Networks {
    /// The hypernetwork, with the network of a task, which has the outputs of one.
    pub hyper: HyperSpec,
    /// The network that tasks share: outputs of all tasks side by side, or of one where all have the same classes.
    pub shared: Net,
    /// What is known when they are asked.
    pub scenario: Scenario,
    /// Outputs of a task.
    pub outputs: usize,
    /// Number of tasks.
    pub tasks: usize,
}

impl Networks {
    /// Networks of `body` and a dense layer, and a hypernetwork that reads an embedding of `embedding` numbers of each task through hidden layers `trunk` and
    /// writes all weights at once. Another generator is assigned.
    ///
    /// # Panics
    /// Where `body` reads other rows than the tasks have.
    #[must_use]
    #[track_caller]
    pub fn new(
        body: &Net,
        scenario: Scenario,
        sequence: &Sequence,
        embedding: usize,
        trunk: &[usize],
    ) -> Networks {
        assert_eq!(body.input(), sequence.row, "the network reads the rows of the tasks");
        let (tasks, outputs) = (sequence.len(), sequence.outputs);
        let embedding = Embedding { tasks, width: embedding };
        let condition = ConditionSpec { embedding: Some(embedding), ..ConditionSpec::default() };
        let target = body.clone().dense(outputs);
        let hyper = HyperSpec::new(condition, trunk.to_vec(), Activation::Relu, target);
        let many = if scenario == Scenario::Domain { 1 } else { tasks };
        Networks { hyper, shared: body.clone().dense(many * outputs), scenario, outputs, tasks }
    }

    /// The network of a task.
    pub fn target(&self) -> &Net {
        &self.hyper.target
    }

    /// The network that rows are given to.
    pub(super) fn net(&self, method: Method) -> &Net {
        if method.has_own() { self.target() } else { &self.shared }
    }

    /// What the parameters of a method hold, of networks of the tasks' own those of one.
    pub(super) fn layout(&self, method: Method) -> ParamLayout {
        match method {
            Method::Hypernetwork => self.hyper.layout(),
            _ => self.net(method).layout(),
        }
    }

    /// Parameters to start from.
    pub(super) fn start(&self, method: Method, seed: u64) -> Vec<f32> {
        let rng = || Rng::new(seed, 0x1417);
        match method {
            Method::Hypernetwork => self.hyper.init(&mut rng(), &self.target().layout().init(&mut rng())),
            _ => self.layout(method).init(&mut rng()),
        }
    }

    /// Where the outputs of a task lie among those of the network that rows are given to.
    pub(super) fn outputs_of(&self, method: Method, task: usize) -> Range<usize> {
        match self.scenario {
            _ if method.has_own() => 0..self.outputs,
            Scenario::Domain => 0..self.outputs,
            _ => task * self.outputs..(task + 1) * self.outputs,
        }
    }

    /// Which of these outputs a row of `task` may be answered by, when tasks up to `last` are known.
    pub(super) fn allowed(&self, method: Method, task: usize, last: usize) -> Range<usize> {
        match self.scenario {
            Scenario::Class if !method.has_own() => 0..self.outputs_of(method, task.max(last)).end,
            _ => self.outputs_of(method, task),
        }
    }

    /// Bytes of the parameters that a further task brings.
    pub(super) fn bytes_of_a_task(&self, method: Method) -> usize {
        let outputs = if self.scenario == Scenario::Domain { 0 } else { self.outputs };
        4 * match method {
            Method::Hypernetwork => self.hyper.condition.width(),
            Method::Separate => self.target().layout().len(),
            _ => self.shared.head().map_or(0, |head| (head.features + 1) * outputs),
        }
    }
}
