//! Polynomials that are learned one after another: the first experiment of von Oswald et al. 2020.

use std::sync::Arc;

use super::sequence::{Sequence, SequenceTask, TaskRows};
use crate::data::labelled::Labelled;
use crate::rng::Rng;

/// Rows to learn a polynomial from, and to be judged on.
const TRAIN: usize = 100;
const TEST: usize = 50;
/// Standard deviation of the noise on what is learned from.
const NOISE: f64 = 0.05;

/// So many polynomials, each on an interval of its own: `x + 3` on -4 to -2, `2x² - 1` on -1 to 1, `(x - 3)³` on 2 to 4; further ones are cubics whose
/// coefficients are drawn, on 4 to 6, 6 to 8 and so on. What is learned from has noise of standard deviation .05, what they are judged on has none.
pub fn polynomials(tasks: usize, seed: u64) -> Sequence {
    let tasks = (0..tasks).map(|task| {
        let mut rng = Rng::new(seed, 0x9017 ^ (task as u64) << 32);
        let drawn: [f64; 4] = std::array::from_fn(|_| rng.range(-1.0, 1.0));
        let (low, name) = match task {
            0 => (-4.0, "x + 3".into()),
            1 => (-1.0, "2x² - 1".into()),
            2 => (2.0, "(x - 3)³".into()),
            _ => (4.0 + 2.0 * (task - 3) as f64, format!("cubic {}", task - 2)),
        };
        let value = |x: f64| match task {
            0 => x + 3.0,
            1 => 2.0 * x * x - 1.0,
            2 => (x - 3.0).powi(3),
            _ => drawn.iter().rev().fold(0.0, |sum, c| sum * (x - low - 1.0) + c),
        };
        let rows = |xs: Vec<f64>, noise: &mut dyn FnMut() -> f64| {
            let y = xs.iter().map(|x| (value(*x) + noise()) as f32).collect();
            let n = xs.len();
            let rows = Labelled::of_values(vec![1], xs.iter().map(|x| *x as f32).collect(), y);
            TaskRows::new(Arc::new(rows), (0..n).collect(), 0)
        };
        let known: Vec<f64> = (0..TRAIN).map(|_| rng.range(low, low + 2.0)).collect();
        let train = rows(known, &mut || NOISE * rng.normal());
        let asked = (0..TEST).map(|i| low + 2.0 * i as f64 / (TEST - 1) as f64).collect();
        SequenceTask { name, train, test: rows(asked, &mut || 0.0) }
    });
    Sequence::new(tasks.collect(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_what_they_say() {
        let all = polynomials(5, 3);
        let row = |task: usize, at: usize| {
            let mut x = vec![];
            all.tasks[task].test.put(at, &mut x);
            (x[0], all.tasks[task].test.value(at))
        };
        for task in 0..3 {
            let (x, y) = row(task, 20);
            let right = [x + 3.0, 2.0 * x * x - 1.0, (x - 3.0).powi(3)][task];
            assert!((y - right).abs() < 1e-5, "task {task}: {y} at {x}");
        }
        let (low, high) = (row(4, 0).0, row(4, 49).0);
        assert_eq!((low, high), (6.0, 8.0));
    }
}
