//! A trained model: what a run leaves, and what an app loads to adapt to a new task.

use serde::{Deserialize, Serialize};

use super::adapt::{Adaptation, Adapter};
use super::episode::Task;
use super::evaluate::Judge;
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

impl Member {
    /// Weights that each task starts with.
    pub fn start(&self, adapter: &mut Adapter, tasks: &[Task], from: From) -> Result<Vec<Vec<f32>>> {
        match from {
            From::Pooled => Ok(vec![self.pooled.clone(); tasks.len()]),
            From::Generated(fraction) => {
                let mut all = adapter.generate(&self.hyper, tasks)?;
                if fraction != 1.0 {
                    for w in &mut all {
                        for (g, p) in w.iter_mut().zip(&self.pooled) {
                            *g = p + fraction as f32 * (*g - p);
                        }
                    }
                }
                Ok(all)
            }
        }
    }
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
        let mut adapter = Adapter::new(device, &self.spec, self.judge.loss, self.adaptation, tasks)?;
        let mut members = Vec::new();
        for m in &self.members {
            let start = m.start(&mut adapter, tasks, from)?;
            members.push(adapter.predict(&start, tasks, steps)?);
        }
        Ok((0..steps.len())
            .map(|k| self.judge.combine(&members.iter().map(|m| m[k].clone()).collect::<Vec<_>>()))
            .collect())
    }

    /// The network of one new task: generated from its support rows `xs [n, i]`, `ys [n, o]`, then adapted for
    /// `steps` steps (`None`: as many as were chosen on validation tasks).
    ///
    /// # Errors
    /// [`Error::Shape`] where the arrays do not fit the model.
    pub fn adapt(&self, device: &Device, support: &Task, steps: Option<usize>) -> Result<Network> {
        let (i, o) = (self.spec.target.widths[0], self.judge.outputs);
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
        let mut adapter = Adapter::new(device, &self.spec, self.judge.loss, self.adaptation, &tasks)?;
        let mut members = Vec::new();
        for m in &self.members {
            let start = m.start(&mut adapter, &tasks, From::Generated(self.choice.correction))?;
            members.extend(adapter.adapt(&start, &tasks, steps.unwrap_or(self.choice.steps))?);
        }
        Ok(Network { spec: self.spec.target.clone(), judge: self.judge, members })
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
        let i = self.spec.widths[0];
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
