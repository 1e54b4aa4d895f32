//! What a run over tasks one after another found.

use serde::{Deserialize, Serialize};

use crate::continual::Outcome;

/// `report.json` of such a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContinualReport {
    /// `continual`.
    pub task: String,
    /// Where the tasks come from.
    pub source: Vec<String>,
    /// Their names, in the order in which they were learned.
    pub tasks: Vec<String>,
    /// What was known when a network was asked: `task`, `domain` or `class`.
    pub scenario: String,
    /// Whether tasks have classes; else they predict values.
    pub classes: bool,
    /// What it was trained on.
    pub device: String,
    /// The seed.
    pub seed: u64,
    /// Steps of each task.
    pub steps: u64,
    /// Weights of the network of a task.
    pub target_weights: usize,
    /// What came of it.
    pub continual: Outcome,
    /// What came of other methods.
    pub beside: Vec<Outcome>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum ContinualStatus {
    /// Trained and judged.
    Finished(Box<ContinualReport>),
    /// Stopped by the observer after so many steps of all methods; the folder goes on from there.
    Stopped(u64),
}
