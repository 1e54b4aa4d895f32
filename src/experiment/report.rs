//! What a run found: `report.json`.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::instruments::Instruments;
use super::single::{TestReport, Translations};
use crate::adapt::Gate;
use crate::task::{Coverage, Reliability};

/// What a run found: `report.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Family of tasks.
    pub task: String,
    /// `cpu` or `gpu`.
    pub device: String,
    /// Seed.
    pub seed: u64,
    /// Steps of the hypernetwork's training.
    pub steps: u64,
    /// Seconds of training, pooled network included.
    pub seconds: f64,
    /// Tasks trained on a second, while the hypernetwork was trained.
    pub tasks_per_second: f64,
    /// Weights of a task's network.
    pub target_weights: usize,
    /// Of these, how many are written for each task: 0 where all tasks share them.
    #[serde(default)]
    pub written_weights: usize,
    /// Parameters of the hypernetwork.
    pub hyper_parameters: usize,
    /// Models whose predictions are averaged.
    pub members: usize,
    /// Error on unseen tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Of a source that is one task: how good its network is on rows to be judged on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestReport>,
    /// How good what was chosen is on the validation tasks that it was chosen by; runs are compared by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// What the generated networks look like.
    pub instruments: Instruments,
}

/// How good a model is on validation tasks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Validation {
    /// By the metric of the run.
    pub score: f64,
    /// Over tasks (of one task over its rows; none of sequences of symbols).
    pub standard_error: Option<f64>,
}

/// Error on tasks that nothing was trained on or chosen by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HeldOut {
    /// `mse`, `rmse` in the target's own units, or `accuracy`.
    pub metric: String,
    /// Number of tasks.
    pub tasks: usize,
    /// Of how many groups, where several tasks are draws of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
    /// Support rows that were asked for.
    pub shots: usize,
    /// The fewest, the mean and the most support rows that tasks have, where some have fewer than `shots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_rows: Option<[f64; 3]>,
    /// The column by which the first rows of a group are the support; none: which are is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_by: Option<String>,
    /// Steps of adaptation chosen on validation tasks.
    pub chosen_steps: usize,
    /// Fraction of the correction to the pooled network chosen on validation tasks.
    pub chosen_correction: f64,
    /// How pooled, generated and adapted networks are weighed for each task, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// The metric of what was chosen: that many steps, weighed.
    pub chosen: f64,
    /// The metric after each number of steps.
    pub by_steps: IndexMap<String, f64>,
    /// Of pictures: the peak signal-to-noise ratio after each number of steps, decibels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psnr: Option<IndexMap<String, f64>>,
    /// Of pictures of 11 pixels a side at least: the structural similarity after each number of steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssim: Option<IndexMap<String, f64>>,
    /// Of pictures: the peak signal-to-noise ratio of as many coefficients of the cosine transform as numbers adapt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine_transform: Option<CosineTransform>,
    /// The metric of the main network alone (θ, which all tasks' weights are a correction to), and after as many steps of
    /// fine-tuning as are best for the pooled network.
    #[serde(default, alias = "main", skip_serializing_if = "Option::is_none")]
    pub main_network: Option<[f64; 2]>,
    /// The same metric of simple things.
    pub baselines: Baselines,
    /// By how much the error of what was chosen is larger than that of each of these, by their names there, averaged over tasks.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub differences: IndexMap<String, Difference>,
    /// Of series: errors of forecasts so many points ahead, from what is known alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points_ahead: Vec<PointsAhead>,
    /// Of pairs: how good what is said of all sources is, by what was chosen (`chosen`), the baselines `pooled` and `pooled_fine_tuned`, by saying
    /// the sources themselves (`copy`), and what the training task says whose pairs are most like the known ones (`nearest`).
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub translations: IndexMap<String, Translations>,
    /// Standard deviation of the target on the training groups, in its own units (1 where there is no file).
    pub target_std: f64,
    /// How many rows predictive intervals cover, of values.
    pub coverage: Vec<Coverage>,
    /// How probabilities agree with what happened, of classes.
    pub reliability: Vec<Reliability>,
    /// How far the networks disagree that noise makes of a task, where there is noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<Disagreement>,
}

/// How far the networks of a task disagree on its query rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Disagreement {
    /// Its mean over rows: of values a standard deviation in the target's own units, of classes what knowing the network would say of the class, in nats.
    pub mean: f64,
    /// Spearman's rank correlation with how wrong a row is (the size of the error, or one less the probability of the right class).
    pub rank_correlation: Option<f64>,
}

/// Errors of forecasts of series, each point from what is known and what was said of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PointsAhead {
    /// So many points after the last known one.
    pub ahead: usize,
    /// Root mean squared error of what was chosen, in the target's own unit.
    pub chosen: f64,
    /// That of saying the last known value.
    pub naive: f64,
    /// Share of the points that lie inside the interval for 80 % of them; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered: Option<f64>,
    /// Number of points.
    pub points: usize,
}

/// Pictures by their lowest frequencies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CosineTransform {
    /// Numbers that are kept of each.
    pub coefficients: usize,
    /// Peak signal-to-noise ratio, decibels.
    pub psnr: f64,
}

/// How two errors differ from task to task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// Mean over tasks (those of one name are one): of squared errors in the target's own units, shares of rows whose class is wrong, or
    /// bits.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Number of tasks with different names.
    pub tasks: usize,
}

impl HeldOut {
    /// What it was judged on, in words: `60 unseen tasks (12 groups, 5 draws of each)`, `12 unseen tasks, first rows by 'week' known`.
    pub fn judged_on(&self) -> String {
        if let Some(column) = &self.first_by {
            return format!("{} unseen tasks, first rows by '{column}' known", self.tasks);
        }
        match self.groups {
            Some(groups) if self.tasks.is_multiple_of(groups) => {
                format!(
                    "{} unseen tasks ({groups} groups, {} draws of each)",
                    self.tasks,
                    self.tasks / groups
                )
            }
            Some(groups) => format!("{} unseen tasks (draws of {groups} groups)", self.tasks),
            None => format!("{} unseen tasks", self.tasks),
        }
    }

    /// The support rows, in words: `10 shots (2 to 10 known rows, 5.3 on average)`.
    pub fn known_rows(&self) -> String {
        match self.support_rows {
            Some([fewest, mean, most]) if fewest < most => {
                format!("{} shots ({fewest} to {most} known rows, {mean:.1} on average)", self.shots)
            }
            Some([rows, ..]) => format!("{} shots ({rows} known rows)", self.shots),
            None => format!("{} shots", self.shots),
        }
    }
}

impl Difference {
    /// Of errors of the same tasks.
    pub(super) fn of(errors: &[f64], others: &[f64]) -> Difference {
        let n = errors.len() as f64;
        let each: Vec<f64> = errors.iter().zip(others).map(|(a, b)| a - b).collect();
        let mean = each.iter().sum::<f64>() / n;
        let square: f64 = each.iter().map(|d| (d - mean).powi(2)).sum();
        Difference { mean, standard_error: (square / (n - 1.0).max(1.0) / n).sqrt(), tasks: errors.len() }
    }

    /// Whether the first error is smaller (`Some(true)`) or larger by more than two standard errors.
    pub fn is_better(&self) -> Option<bool> {
        (self.mean.abs() > 2.0 * self.standard_error).then_some(self.mean < 0.0)
    }
}

/// Simple things that a hypernetwork is held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Baselines {
    /// The mean target of the support.
    pub support_mean: f64,
    /// One network for all tasks.
    pub pooled: f64,
    /// The same, shifted by the shrunk mean residual on the support (shrinkage chosen on validation tasks).
    pub pooled_residual: f64,
    /// The same, fine-tuned on the support (steps chosen on validation tasks).
    pub pooled_fine_tuned: f64,
    /// What simple methods that know the data say (of series: naive, seasonal naive, exponential smoothing).
    #[serde(flatten)]
    pub simple: IndexMap<String, f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports that were written when the main network was called `main`.
    #[test]
    fn old_reports_are_read() -> Result<(), serde_json::Error> {
        let old = r#"{"metric": "mse", "tasks": 3, "shots": 5, "chosen_steps": 0, "chosen_correction": 1.0, "chosen": 0.5,
            "by_steps": {"0": 0.5}, "main": [0.75, 0.5], "target_std": 1.0, "coverage": [], "reliability": [],
            "baselines": {"support_mean": 1.0, "pooled": 1.0, "pooled_residual": 1.0, "pooled_fine_tuned": 1.0}}"#;
        let read: HeldOut = serde_json::from_str(old)?;
        assert_eq!(read.main_network, Some([0.75, 0.5]));
        let text = serde_json::to_string(&read)?;
        assert!(text.contains("\"main_network\":[0.75,0.5]") && !text.contains("\"main\""), "{text}");
        assert_eq!(serde_json::from_str::<HeldOut>(&text)?, read);
        Ok(())
    }
}
