//! Predictive intervals: an interval is the prediction plus and minus a factor times the
//! predictive deviation; the factors are those that cover the right share of validation rows (split conformal prediction with
//! normalised residuals: Papadopoulos et al. 2008), so that coverage is honest whatever the deviation is worth.

use serde::{Deserialize, Serialize};

use super::Task;

/// Levels that are fitted.
pub const LEVELS: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];

/// Factors on the predictive deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// For each of [`LEVELS`].
    pub factors: Vec<f64>,
    /// Variance of a prediction where the rule of adaptation knows none.
    pub variance: f64,
    /// Variance of targets around what networks say that only know how far they disagree.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub noise: f64,
    /// Of series: what the deviation is multiplied by one point ahead of what is known, two points ahead, and so on as far as was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub growth: Vec<f64>,
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

/// Share of rows inside an interval, and its mean width.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Coverage {
    /// Share that was asked for.
    pub level: f64,
    /// Share of the query rows of unseen tasks that lie inside.
    pub covered: f64,
    /// Mean width, in the target's own units.
    pub width: f64,
}

/// Ratios of residual to deviation of every query value.
fn ratios<'a>(
    tasks: &'a [Task],
    y: &'a [Vec<f32>],
    deviation: &'a [Vec<f32>],
) -> impl Iterator<Item = (f64, f64)> + 'a {
    tasks.iter().zip(y).zip(deviation).flat_map(|((task, y), d)| {
        let outputs = y.len() / d.len().max(1);
        task.yq.iter().zip(y).enumerate().map(move |(i, (t, p))| {
            let d = (d[i / outputs.max(1)] as f64).max(1e-12);
            (((t - p) as f64).abs() / d, d)
        })
    })
}

impl Intervals {
    /// Factors that cover the right share of the query values of validation tasks, whose predictions and deviations are given;
    /// `variance` is what a deviation is where nothing is known.
    pub fn fit(tasks: &[Task], y: &[Vec<f32>], deviation: &[Vec<f32>], variance: f64) -> Intervals {
        let mut all: Vec<f64> = ratios(tasks, y, deviation).map(|r| r.0).filter(|r| r.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        let n = all.len();
        let factor = |level: &f64| {
            // The (n + 1) · level-th smallest, so that a new one lies below with that probability.
            let k = ((n + 1) as f64 * level).ceil() as usize;
            all.get(k.clamp(1, n.max(1)) - 1).copied().unwrap_or(0.0)
        };
        Intervals { factors: LEVELS.iter().map(factor).collect(), variance, noise: 0.0, growth: vec![] }
    }

    /// Factor of a level; between two of [`LEVELS`] on the line between theirs, beyond them that of the outermost.
    pub fn factor(&self, level: f64) -> f64 {
        let at = |i: usize| self.factors.get(i).copied().unwrap_or(0.0);
        let above = LEVELS.iter().position(|l| *l >= level).unwrap_or(LEVELS.len() - 1);
        let Some(below) = above.checked_sub(1) else { return at(0) };
        let share = ((level - LEVELS[below]) / (LEVELS[above] - LEVELS[below])).min(1.0);
        at(below) + share * (at(above) - at(below))
    }

    /// What the deviation is multiplied by so many points ahead of what is known; `None`: nobody knows.
    pub fn growth(&self, ahead: usize) -> Option<f64> {
        match ahead {
            1 => Some(1.0),
            _ => self.growth.get(ahead.checked_sub(1)?).copied(),
        }
    }

    /// How many query values of unseen tasks lie inside, and how wide the intervals are in units of `unit`.
    pub fn coverage(
        &self,
        tasks: &[Task],
        y: &[Vec<f32>],
        deviation: &[Vec<f32>],
        unit: f64,
    ) -> Vec<Coverage> {
        let all: Vec<(f64, f64)> = ratios(tasks, y, deviation).collect();
        let n = all.len().max(1) as f64;
        LEVELS
            .iter()
            .zip(&self.factors)
            .map(|(&level, &f)| Coverage {
                level,
                covered: all.iter().filter(|r| r.0 <= f).count() as f64 / n,
                width: all.iter().map(|r| 2.0 * f * r.1).sum::<f64>() / n * unit,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_cover_what_they_promise() {
        let mut rng = crate::rng::Rng::new(1, 2);
        // Noise of two sizes, which the deviation knows up to a factor.
        let mut draw = |n: usize| {
            let (mut tasks, mut y, mut d) = (vec![], vec![], vec![]);
            for i in 0..n {
                let size = if i % 2 == 0 { 1.0 } else { 5.0 };
                let yq: Vec<f32> = (0..20).map(|_| (size * rng.normal()) as f32).collect();
                tasks.push(Task { yq, ..Task::from_support(vec![], vec![]) });
                y.push(vec![0.0; 20]);
                d.push(vec![0.3 * size as f32; 20]);
            }
            (tasks, y, d)
        };
        let (tasks, y, d) = draw(200);
        let intervals = Intervals::fit(&tasks, &y, &d, 1.0);
        assert!((intervals.factor(0.8) - 1.2816 / 0.3).abs() < 0.2);
        let (tasks, y, d) = draw(200);
        for c in intervals.coverage(&tasks, &y, &d, 2.0) {
            assert!((c.covered - c.level).abs() < 0.03, "{c:?}");
            assert!(c.width > 0.0);
        }
    }
}
