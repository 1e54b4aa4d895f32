//! The reliability of predicted probabilities: how often a class is right beside how often its probability says so.

use serde::{Deserialize, Serialize};

use super::{Task, argmax, softmax};

/// Probabilities beside what happened: one bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reliability {
    /// Mean probability of the predicted class.
    pub confidence: f64,
    /// Share of rows on which it was right.
    pub accuracy: f64,
    /// Rows in the bin.
    pub rows: usize,
}

/// Ten bins of the probability of the predicted class; logits or logarithms of probabilities `[tasks][q · c]`.
pub fn reliability(tasks: &[Task], y: &[Vec<f32>], classes: usize) -> Vec<Reliability> {
    let mut bins = [(0.0, 0.0, 0usize); 10];
    for (task, y) in tasks.iter().zip(y) {
        for (p, t) in y.chunks(classes).zip(task.yq.chunks(classes)) {
            let best = argmax(p);
            let confidence = softmax(p)[best];
            let bin = &mut bins[((confidence * 10.0) as usize).min(9)];
            *bin = (bin.0 + confidence, bin.1 + f64::from(u8::from(argmax(t) == best)), bin.2 + 1);
        }
    }
    let filled = bins.into_iter().filter(|b| b.2 > 0);
    filled
        .map(|(c, a, n)| Reliability { confidence: c / n as f64, accuracy: a / n as f64, rows: n })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reliability_of_sure_and_unsure_rows() {
        let task = Task { yq: vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0], ..Task::from_support(vec![], vec![]) };
        let y = vec![vec![4.0, 0.0, 0.1, 0.0, 0.1, 0.0]];
        let bins = reliability(&[task], &y, 2);
        assert_eq!(bins.iter().map(|b| (b.rows, b.accuracy)).collect::<Vec<_>>(), [(2, 0.5), (1, 1.0)]);
    }
}
