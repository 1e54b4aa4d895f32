//! What a search found.

use serde::{Deserialize, Serialize};

use super::table::Truth;
use crate::search::Architecture;

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SearchReport {
    /// Where it ran.
    pub device: String,
    /// Seconds in all.
    pub seconds: f64,
    /// Seconds of the hypernetwork's training.
    pub hypernetwork_seconds: f64,
    /// Seconds of learning choices by gradient; 0 where they were not.
    #[serde(default)]
    pub gradient_seconds: f64,
    /// Numbers that the hypernetwork learned; 0 where there is none.
    pub hypernetwork_parameters: usize,
    /// Candidates that were judged.
    pub candidates: usize,
    /// Candidates a second, without the training of the hypernetwork and of choices.
    pub candidates_per_second: f64,
    /// Choices of the space; some are the same network.
    pub space_size: f64,
    /// The best, trained.
    pub best: Vec<Found>,
    /// Others, trained once to tell how good predictions are.
    pub checked: Vec<Checked>,
    /// What a table of trained architectures says of the predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<Truth>,
    /// Spearman's rank correlation of predicted and true accuracy over all of the space that was checked, and that of the number of
    /// weights with true accuracy.
    pub rank_correlation: Option<f64>,
    /// The same of the number of weights.
    pub rank_correlation_of_parameters: Option<f64>,
}

/// One of the best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Found {
    /// The architecture.
    pub architecture: Architecture,
    /// The same in a line.
    pub key: String,
    /// The file with its layers, for `train --net`.
    pub net: String,
    /// Its weights.
    pub parameters: u64,
    /// Operations of a forward pass of one row.
    pub operations: u64,
    /// Accuracy on validation rows that was predicted.
    pub predicted: f64,
    /// Accuracy on validation rows after training from scratch, the mean over seeds: the best are listed by it.
    pub validation: f64,
    /// Accuracy on test rows after training from scratch, the mean over seeds.
    pub accuracy: f64,
    /// Its standard deviation over seeds.
    pub deviation: f64,
    /// The same trained from generated weights; `None` where nothing generates them.
    pub from_generated: Option<f64>,
    /// Accuracy on test rows after each tenth of the steps, from scratch and from generated weights.
    pub curves: Vec<Vec<f64>>,
}

/// A candidate that was trained to check its prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Checked {
    /// The architecture in a line.
    pub key: String,
    /// Its weights.
    pub parameters: u64,
    /// Accuracy on validation rows that was predicted.
    pub predicted: f64,
    /// Accuracy on test rows after training.
    pub accuracy: f64,
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchStatus {
    /// With a report.
    Finished(Box<SearchReport>),
    /// Stopped by the observer; `--resume` goes on.
    Stopped,
}
