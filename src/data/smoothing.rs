//! Exponential smoothing: what series are forecast with where nothing is learned from others but a few constants.

/// Exponential smoothing with a damped trend (Gardner and McKenzie 1985): how fast level and trend follow, and how the trend fades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Smoothing {
    level: f64,
    trend: f64,
    damping: f64,
}

/// Known points of a series count as much as those that are known of all others together, times this many points.
const PRIOR_POINTS: f64 = 5.0;

impl Smoothing {
    /// Those that are tried: without a trend, and with one that fades or not.
    fn all() -> impl Iterator<Item = Smoothing> {
        let levels = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
        let trends =
            [(0.0, 1.0), (0.1, 1.0), (0.3, 1.0), (0.6, 1.0), (0.1, 0.8), (0.3, 0.8), (0.6, 0.8), (1.0, 0.8)];
        levels.into_iter().flat_map(move |level| {
            trends.into_iter().map(move |(trend, damping)| Smoothing { level, trend, damping })
        })
    }

    /// What is said of each value from those before it.
    pub(super) fn forecasts(self, values: &[Option<f32>]) -> Vec<Option<f64>> {
        let (mut level, mut trend): (Option<f64>, f64) = (None, 0.0);
        let mut said = Vec::with_capacity(values.len());
        for value in values {
            let next = level.map(|level| level + self.damping * trend);
            said.push(next);
            level = match (next, value.map(f64::from)) {
                (Some(next), Some(value)) => {
                    let new = next + self.level * (value - next);
                    let moved = new - level.unwrap_or(new);
                    trend = self.trend * moved + (1.0 - self.trend) * self.damping * trend;
                    Some(new)
                }
                (None, Some(value)) => Some(value),
                (next, None) => {
                    trend *= self.damping;
                    next
                }
            };
            if self.trend == 0.0 {
                trend = 0.0;
            }
        }
        said
    }

    /// Sum of squared errors, and how many.
    fn error(self, values: &[Option<f32>]) -> (f64, f64) {
        let said = self.forecasts(values);
        let pairs = values.iter().zip(said).filter_map(|(v, f)| Some((f64::from((*v)?), f?)));
        pairs.fold((0.0, 0.0), |(sum, n), (v, f)| (sum + (v - f).powi(2), n + 1.0))
    }

    /// The mean squared error of each on many series.
    pub(super) fn errors(series: impl Iterator<Item = Vec<Option<f32>>>) -> Vec<f64> {
        let series: Vec<_> = series.collect();
        Smoothing::all()
            .map(|s| {
                let all = series.iter().map(|values| s.error(values));
                let (sum, n) = all.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
                sum / f64::max(n, 1.0)
            })
            .collect()
    }

    /// The one that is best on what is known of a series, and on others.
    pub(super) fn best(known: &[Option<f32>], prior: &[f64]) -> Smoothing {
        let cost = |(s, prior): &(Smoothing, &f64)| s.error(known).0 + PRIOR_POINTS * **prior;
        let all = Smoothing::all().zip(prior);
        let best = all.min_by(|a, b| cost(a).total_cmp(&cost(b)));
        best.map_or(Smoothing { level: 1.0, trend: 0.0, damping: 1.0 }, |(s, _)| s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What simple exponential smoothing says of a series with a gap, by hand.
    #[test]
    fn smoothing_follows() {
        let plain = Smoothing { level: 0.5, trend: 0.0, damping: 1.0 };
        let said = plain.forecasts(&[Some(2.0), Some(4.0), None, Some(8.0)]);
        assert_eq!(said, [None, Some(2.0), Some(3.0), Some(3.0)]);
        // A trend that is followed at once goes on.
        let line = Smoothing { level: 1.0, trend: 1.0, damping: 1.0 };
        assert_eq!(line.forecasts(&[Some(1.0), Some(3.0), None, Some(7.0)])[2..], [Some(5.0), Some(7.0)]);
        assert_eq!(line.error(&[Some(1.0), Some(3.0), Some(5.0)]), (4.0, 2.0));
    }
}
