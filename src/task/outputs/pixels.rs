//! Logits of numbers that are 0 or 1, and the divergence of the code that they were written from, in nats: cost the negative evidence
//! lower bound.

use super::{Outputs, column_means};
use crate::task::Task;

pub(in crate::task) struct Pixels;

/// What a number that was seen in all or no rows is taken to be short of that: half a row (Jeffreys' prior).
const HALF: f64 = 0.5;

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

impl Outputs for Pixels {
    fn mean(&self, y: &[f32], _: usize) -> Vec<f64> {
        y.iter().map(|v| f64::from(*v)).collect()
    }

    fn of_mean(&self, mean: f64) -> f32 {
        mean as f32
    }

    fn cost(&self, targets: &[f32], y: &[f32], o: usize) -> f64 {
        let row = |(t, y): (&[f32], &[f32])| {
            let each = t[..o - 1].iter().zip(y).map(|(t, y)| {
                let (t, y) = (f64::from(*t), f64::from(*y));
                y.max(0.0) + (-y.abs()).exp().ln_1p() - t * y
            });
            each.sum::<f64>() + f64::from(y[o - 1])
        };
        targets.chunks(o).zip(y.chunks(o)).map(row).sum()
    }

    fn log_density(&self, cost: f64, _: f64, _: f64) -> f64 {
        -cost
    }

    /// How often each number was 1, written without a code.
    fn of_support(&self, ys: &[f32], o: usize) -> Vec<f32> {
        let n = (ys.len() / o) as f64;
        let mut mean: Vec<f32> = (column_means(ys, o).iter())
            .map(|m| logit((n * f64::from(*m) + HALF) / (n + 2.0 * HALF)) as f32)
            .collect();
        mean[o - 1] = 0.0;
        mean
    }

    /// The odds of each number are multiplied by how its frequency in the support compares with the mean predicted probability, shrunk by
    /// κ.
    fn shifted(&self, task: &Task, on_query: &[f32], on_support: &[f32], kappa: f64, o: usize) -> Vec<f32> {
        if !kappa.is_finite() {
            return on_query.to_vec();
        }
        let n = task.shots(o) as f64;
        let probability: Vec<f32> = on_support.iter().map(|y| 1.0 / (1.0 + (-y).exp())).collect();
        let (seen, said) = (column_means(&task.ys, o), column_means(&probability, o));
        let shift: Vec<f32> = (seen.iter().zip(&said).take(o - 1))
            .map(|(seen, said)| {
                let said = f64::from(*said).clamp(1e-6, 1.0 - 1e-6);
                let kappa = kappa + HALF;
                let now = (n * f64::from(*seen) + kappa * said) / (n + kappa);
                (logit(now.clamp(1e-6, 1.0 - 1e-6)) - logit(said)) as f32
            })
            .chain([0.0])
            .collect();
        on_query
            .chunks(o)
            .flat_map(|y| y.iter().zip(&shift).map(|(y, s)| y + s).collect::<Vec<_>>())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_and_what_shifts_it() {
        // Two numbers, of which the second is surely 1, and a code of 0.25 nats.
        let cost = Pixels.cost(&[1.0, 1.0, 0.0], &[0.0, 40.0, 0.25], 3);
        assert!((cost - (std::f64::consts::LN_2 + 0.25)).abs() < 1e-12, "{cost}");
        assert!((Pixels.cost(&[0.0, 0.0], &[-300.0, 0.0], 2)).abs() < 1e-12, "no overflow");
        // Seen in three of four rows: 3.5 of 5.
        let rows = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        let mean = Pixels.of_support(&rows, 2);
        assert!((f64::from(mean[0]) - (3.5f64 / 1.5).ln()).abs() < 1e-6 && mean[1] == 0.0, "{mean:?}");
        let task = Task::from_support(vec![0.0; 4], rows.to_vec());
        let shifted = Pixels.shifted(&task, &[0.0, 0.5], &[0.0; 8], 0.5, 2);
        // Half of it was said: (3 + 1/2) of 5 again, and the code stays as it is.
        assert!(
            (f64::from(shifted[0]) - (3.5f64 / 1.5).ln()).abs() < 1e-6 && shifted[1] == 0.5,
            "{shifted:?}"
        );
        assert_eq!(Pixels.shifted(&task, &[0.3, 0.5], &[0.0; 8], f64::INFINITY, 2), [0.3, 0.5]);
    }
}
