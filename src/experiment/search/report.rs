//! What a search found.

use serde::{Deserialize, Serialize};

use super::table::Truth;
use crate::search::Architecture;

/// What networks are judged by. More is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Metric {
    /// The share of rows whose class is told.
    Accuracy,
    /// The share of the variance of values that is explained; negative where it errs by more than their mean does.
    R2,
}

impl Metric {
    /// A score as an accuracy, or as R².
    pub(super) fn split(self, score: f64) -> [Option<f64>; 2] {
        match self {
            Metric::Accuracy => [Some(score), None],
            Metric::R2 => [None, Some(score)],
        }
    }

    /// In a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::R2 => "R²",
        }
    }

    /// As a title has it.
    pub fn title(self) -> &'static str {
        match self {
            Metric::Accuracy => "Accuracy",
            Metric::R2 => "R²",
        }
    }
}

/// What networks were trained from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Start {
    /// Weights that were drawn.
    #[default]
    Scratch,
    /// Weights that the hypernetwork wrote.
    Generated,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SearchReport {
    /// What predictions are of, and curves: accuracy, or of values R².
    pub metric: Metric,
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
    /// Keys of those, of the best and the others, that none is smaller than and better: the Pareto front by weights, from the smallest.
    #[serde(default)]
    pub front: Vec<String>,
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
    /// The file with its networks, one for each seed: `predict` says what they say together.
    pub network: String,
    /// Its weights.
    pub parameters: u64,
    /// Operations of a forward pass of one row.
    pub operations: u64,
    /// What was predicted, on validation rows.
    pub predicted: f64,
    /// Steps of training after which networks are taken: those that are best on validation rows, of ten points.
    pub steps: u64,
    /// The same after these steps from scratch, the mean over seeds: the best are listed by it.
    pub validation: f64,
    /// Accuracy on test rows after training from scratch, the mean over seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The same of values: R².
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// Its standard deviation over seeds.
    pub deviation: f64,
    /// Which networks are handed over: those that are better on validation rows.
    #[serde(default)]
    pub start: Start,
    /// Accuracy or R² of what these say together.
    pub together: f64,
    /// Of values the root of the mean squared error of what these say together, in the target's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// The same trained from generated weights; `None` where nothing generates them.
    pub from_generated: Option<f64>,
    /// Accuracy or R² on test rows after each tenth of the steps, from scratch and from generated weights.
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
    /// Operations of a forward pass of one row.
    pub operations: u64,
    /// What was predicted, on validation rows.
    pub predicted: f64,
    /// Accuracy on test rows after training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The same of values: R².
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
}

impl Found {
    /// Accuracy or R².
    pub fn score(&self) -> f64 {
        self.accuracy.or(self.r2).unwrap_or(f64::NAN)
    }
}

impl Checked {
    /// Accuracy or R².
    pub fn score(&self) -> f64 {
        self.accuracy.or(self.r2).unwrap_or(f64::NAN)
    }
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchStatus {
    /// With a report.
    Finished(Box<SearchReport>),
    /// Stopped by the observer; `--resume` goes on.
    Stopped,
}
