//! What came of learning tasks one after another.

use serde::{Deserialize, Serialize};

/// How good a learner was on each task behind each task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Outcome {
    /// How what was learned before was kept.
    pub method: String,
    /// Numbers that were learned; of networks of the tasks' own those of all.
    pub parameters: usize,
    /// How good it was on each task at first, without having learned any.
    #[serde(default)]
    pub first: Vec<f64>,
    /// `[i][j]`: how good it is on task j behind task i, both from 0: the share of rows whose class is right, or the mean squared error.
    pub matrix: Vec<Vec<f64>>,
    /// The mean over tasks, behind the last.
    pub mean: f64,
    /// How much worse it is on earlier tasks behind the last than it was at its best (Chaudhry et al. 2018), on average; in points of 1, or of squared error.
    pub forgetting: f64,
    /// The mean over tasks of how good it was on each right behind it.
    pub learned: f64,
    /// How much better it is on a task before it learns it, for what it learned before, than it was at first (Lopez-Paz and Ranzato 2017); `None` of
    /// one task.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forward_transfer: Option<f64>,
    /// Bytes that a further task adds to what is kept.
    pub bytes_per_task: usize,
    /// Bytes of all that is kept, parameters among them.
    pub bytes: usize,
    /// The mean squared error on each task behind the last, where tasks predict values.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub mse: Vec<f64>,
    /// The share of test rows whose task a hypernetwork found, where it is not said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub task_found: Option<f64>,
    /// Seconds of learning.
    pub seconds: f64,
}

impl Outcome {
    /// From how good it was on each task at first, and behind each task; `errors`: whether less is better.
    pub(super) fn of(method: &str, first: &[f64], matrix: Vec<Vec<f64>>, errors: bool) -> Outcome {
        let mean = |v: &mut dyn Iterator<Item = f64>| {
            let (sum, n) = v.fold((0.0, 0usize), |(sum, n), x| (sum + x, n + 1));
            if n == 0 { 0.0 } else { sum / n as f64 }
        };
        // More is better from here on.
        let sign = if errors { -1.0 } else { 1.0 };
        let last = matrix.last().cloned().unwrap_or_default();
        let n = last.len();
        let best = |j: usize| (j..n - 1).map(|i| sign * matrix[i][j]).fold(f64::NEG_INFINITY, f64::max);
        let forgetting = mean(&mut (0..n.saturating_sub(1)).map(|j| best(j) - sign * last[j]));
        let forward = (n > 1).then(|| mean(&mut (1..n).map(|j| sign * (matrix[j - 1][j] - first[j]))));
        Outcome {
            method: method.into(),
            parameters: 0,
            first: first.to_vec(),
            mean: mean(&mut last.iter().copied()),
            forgetting,
            learned: mean(&mut (0..n).map(|i| matrix[i][i])),
            forward_transfer: forward,
            bytes_per_task: 0,
            bytes: 0,
            mse: if errors { last } else { vec![] },
            task_found: None,
            seconds: 0.0,
            matrix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgetting_is_from_the_best() {
        let right = vec![vec![0.9, 0.5, 0.4], vec![0.95, 0.8, 0.5], vec![0.7, 0.85, 0.9]];
        let o = Outcome::of("ewc", &[0.5, 0.5, 0.5], right, false);
        assert!((o.mean - 2.45 / 3.0).abs() < 1e-12 && (o.learned - 2.6 / 3.0).abs() < 1e-12);
        assert!((o.forgetting - (0.25 - 0.05) / 2.0).abs() < 1e-12);
        assert!((o.forward_transfer.unwrap_or(9.0) - 0.0).abs() < 1e-12);
        let wrong = vec![vec![0.1, 2.0], vec![0.3, 0.2]];
        let o = Outcome::of("ewc", &[1.0, 3.0], wrong, true);
        assert!(
            (o.forgetting - 0.2).abs() < 1e-12 && (o.forward_transfer.unwrap_or(9.0) - 1.0).abs() < 1e-12
        );
        assert_eq!(o.mse, [0.3, 0.2]);
    }
}
