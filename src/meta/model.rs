//! A trained model: what a run leaves, and what an app loads to adapt to a new task.

use serde::{Deserialize, Serialize};

use super::adapt::{Adapter, Found};
use super::episode::Task;
use super::evaluate::Judge;
use super::inner::Adaptation;
use crate::error::{Error, Result};
use crate::hyper::HyperSpec;
use crate::run::Device;
use crate::spec::DenseSpec;

/// One trained hypernetwork with the pooled network beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// Weights of the pooled network, `[P]`.
    pub pooled: Vec<f32>,
    /// Parameters of the hypernetwork, `[H]`.
    pub hyper: Vec<f32>,
}

/// What was chosen on validation tasks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Steps of adaptation.
    pub steps: usize,
    /// Fraction of the generated correction to the pooled network that is kept (1: the generated weights).
    pub correction: f64,
}

/// A trained model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The hypernetwork.
    pub spec: HyperSpec,
    /// How its outputs are read and judged.
    pub judge: Judge,
    /// How generated weights go on learning.
    pub adaptation: Adaptation,
    /// How the pooled network does, to be held against.
    pub fine_tuning: Adaptation,
    /// Whose predictions are averaged.
    pub members: Vec<Member>,
    /// What was chosen on validation tasks.
    pub choice: Choice,
}

/// Predictions `[steps][tasks][q · o]`.
pub type Predictions = Vec<Vec<Vec<f32>>>;

/// Where adaptation starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum From {
    /// The pooled network's weights.
    Pooled,
    /// The generated weights; of their correction to the pooled network this fraction.
    Generated(f64),
}

impl Model {
    /// Predictions of all members together, on the query rows of `tasks`, after each number of steps.
    ///
    /// # Errors
    /// [`Error::Memory`] or [`Error::Device`] where the device refuses.
    pub fn predict(
        &self,
        device: &Device,
        tasks: &[Task],
        from: From,
        steps: &[usize],
    ) -> Result<Predictions> {
        let found = self.found(device, tasks, from, steps)?;
        Ok((0..steps.len())
            .map(|k| self.judge.combine(&found.iter().map(|m| m[k].predictions.clone()).collect::<Vec<_>>()))
            .collect())
    }

    /// What each member finds on the query rows of `tasks` after each number of steps: `[members][steps]`.
    ///
    /// # Errors
    /// [`Error::Memory`] or [`Error::Device`] where the device refuses.
    pub fn found(
        &self,
        device: &Device,
        tasks: &[Task],
        from: From,
        steps: &[usize],
    ) -> Result<Vec<Vec<Found>>> {
        let mut adapter = self.adapter(device, tasks, from)?;
        self.members.iter().map(|m| adapter.predict(m, from, tasks, steps)).collect()
    }

    fn adapter(&self, device: &Device, tasks: &[Task], from: From) -> Result<Adapter> {
        let adaptation = if from == From::Pooled { self.fine_tuning } else { self.adaptation };
        Adapter::new(device, &self.spec, self.judge.loss, adaptation, tasks)
    }

    /// The network of one new task: generated from its support rows `xs [n, i]`, `ys [n, o]`, then adapted for
    /// `steps` steps (`None`: as many as were chosen on validation tasks).
    ///
    /// # Errors
    /// [`Error::Shape`] where the arrays do not fit the model.
    pub fn adapt(&self, device: &Device, support: &Task, steps: Option<usize>) -> Result<Network> {
        let (i, o) = (self.spec.target.inputs(), self.judge.outputs);
        let rows = support.ys.len() / o;
        if rows == 0 || support.ys.len() != rows * o || support.xs.len() != rows * i {
            return Err(Error::Shape(format!(
                "a support set needs rows of {i} inputs and {o} outputs; {} and {} numbers were given",
                support.xs.len(),
                support.ys.len()
            )));
        }
        if support.descriptor.len() != self.spec.condition.descriptor {
            return Err(Error::Shape(format!(
                "the model reads a descriptor of {} numbers; {} were given",
                self.spec.condition.descriptor,
                support.descriptor.len()
            )));
        }
        let tasks = [support.clone()];
        let from = From::Generated(self.choice.correction);
        let mut adapter = self.adapter(device, &tasks, from)?;
        let mut members = Vec::new();
        for m in &self.members {
            members.extend(adapter.adapt(m, from, &tasks, steps.unwrap_or(self.choice.steps))?);
        }
        Ok(Network { spec: self.network_spec(), judge: self.judge, members })
    }

    /// Shape of a task's network: the target's, without context parameters.
    fn network_spec(&self) -> DenseSpec {
        let mut spec = self.spec.target.clone();
        spec.widths[0] -= std::mem::take(&mut spec.context);
        spec
    }

    /// The pooled network, for tasks of which nothing is known.
    pub fn pooled(&self) -> Network {
        let none = vec![0.0; self.spec.target.context];
        let members =
            self.members.iter().map(|m| super::adapt::folded(&self.spec.target, &m.pooled, &none)).collect();
        Network { spec: self.network_spec(), judge: self.judge, members }
    }
}

/// The network of one task, free of the hypernetwork that wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its shape.
    pub spec: DenseSpec,
    /// How its outputs are read.
    pub judge: Judge,
    /// Weights `[P]` of each member; predictions are averaged.
    pub members: Vec<Vec<f32>>,
}

impl Network {
    /// Outputs `[n, o]` for inputs `[n, i]`: values, or logarithms of class probabilities.
    ///
    /// # Errors
    /// [`Error::Shape`] where the inputs do not fit the network.
    pub fn predict(&self, device: &Device, x: &[f32]) -> Result<Vec<f32>> {
        let i = self.spec.inputs();
        if x.is_empty() || !x.len().is_multiple_of(i) {
            return Err(Error::Shape(format!(
                "the network reads rows of {i} inputs; {} numbers were given",
                x.len()
            )));
        }
        let mut all = Vec::new();
        for w in &self.members {
            all.push(vec![super::adapt::forward(device, &self.spec, w, x)?]);
        }
        Ok(self.judge.combine(&all).concat())
    }
}
