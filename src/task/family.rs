//! Families of tasks: where the episodes of training come from.

use std::ops::Range;

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::run::Session;
use crate::spec::{Shape, count};

use super::{Batch, Loss};

/// Steps between two visits of the host at most.
pub const WINDOW: usize = 50;

/// Numbers that are staged for a window at most: 64 MiB.
const MAX_STAGED_NUMBERS: usize = 1 << 24;

/// Steps between two visits of the host where so many numbers are staged for a step.
pub(crate) fn window_of(numbers: usize) -> usize {
    (MAX_STAGED_NUMBERS / numbers.max(1)).clamp(1, WINDOW)
}

/// What a family of tasks looks like.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskShape {
    /// Largest number of support rows.
    pub support: usize,
    /// Largest number of query rows.
    pub query: usize,
    /// Shape of a row of inputs: `[2]`, `[28, 28, 1]` (height, width, channels). Batches hold rows flat, the last axis fastest.
    pub row: Shape,
    /// Outputs of the target network.
    pub outputs: usize,
    /// Width of the task's descriptor (0: none).
    pub descriptor: usize,
    /// Known tasks that an embedding can tell apart (0: none); the number after them stands for any other.
    pub known: usize,
    /// What is minimised.
    pub loss: Loss,
}

impl TaskShape {
    /// Episodes of up to so many support and query rows: inputs of shape `row`, so many values as targets, neither descriptors
    /// nor known tasks. Another loss is assigned.
    #[must_use]
    pub fn new(row: impl Into<Shape>, outputs: usize, support: usize, query: usize) -> TaskShape {
        TaskShape { support, query, row: row.into(), outputs, descriptor: 0, known: 0, loss: Loss::Mse }
    }

    /// How many symbols there are, where rows are sequences of them and each has a distribution of the next one for its outputs.
    pub fn symbols(&self) -> Option<usize> {
        (self.loss == Loss::Symbols).then(|| self.outputs / self.inputs())
    }

    /// Numbers of a row of inputs.
    pub fn inputs(&self) -> usize {
        count(&self.row)
    }
}

/// A family of tasks to train on.
pub trait TaskFamily: Send + Sync {
    /// Sizes of its episodes.
    fn shape(&self) -> TaskShape;

    /// Adds the sampling of episodes to a training graph, of the tasks of these numbers in a step's batch; `key` is (seed, step).
    /// What a task gets depends on its number, not on which others are drawn beside it ([`Graph::random_from`]): several
    /// processes may share a batch.
    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, key: Value) -> Batch;

    /// Whether every task has as many support and query rows as every other, which layers that mix the rows of a task need.
    fn rows_are_even(&self) -> bool {
        false
    }

    /// Steps between two visits of the host: fewer where what is staged for a step is large.
    fn window(&self, _tasks: usize) -> usize {
        WINDOW
    }

    /// Writes what stays on the device.
    fn upload(&self, _session: &mut Session) -> Result<()> {
        Ok(())
    }

    /// Stages the step inputs that the episodes of step `step` read, in row `row` of the window, for the tasks of these numbers.
    /// What is staged for a task is a function of the seed, the step and its number alone.
    fn stage(&self, _session: &mut Session, _row: usize, _step: u64, _tasks: Range<usize>) -> Result<()> {
        Ok(())
    }
}
