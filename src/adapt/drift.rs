//! Whether what is true of rows has changed: the sum of the logarithms of how much likelier each row is if it has than if it has not, which begins anew whenever it falls below 0 (CUSUM: Page
//! 1954, "Continuous inspection schemes"). Where nothing changes it takes 1 / confidence rows at least, in the mean, until it reaches ln(1 / confidence) (Lorden 1971).

/// A row alone is no change, however improbable: it counts so much of what is needed at most.
const OF_ONE: f64 = 1.0 / 3.0;
/// Deviations from which on a value is an outlier.
const FAR: f64 = 10.0;
/// If things have changed, errors are so many times as large.
const LARGER: f64 = 3.0;

/// Notices when things change.
///
/// ```
/// use hyperloom::adapt::ChangeDetector;
///
/// let mut detector = ChangeDetector::new(0.002);
/// // Errors in deviations, as they should be; one of them is an outlier.
/// let errors = [0.3, -1.2, 0.8, 5.0, -0.4, 0.1, 1.6, -0.7];
/// assert!(errors.iter().all(|e| detector.push(ChangeDetector::of_values(*e)).is_none()));
/// // And as they are behind a change: it is noticed, and three rows lie behind it.
/// let noticed: Vec<_> = [4.0, -3.5, 4.4].iter().map(|e| detector.push(ChangeDetector::of_values(*e))).collect();
/// assert_eq!(noticed, [None, None, Some(3)]);
/// ```
#[derive(Clone, Debug)]
pub struct ChangeDetector {
    /// What the sum has to reach.
    needed: f64,
    sum: f64,
    /// Rows since it was 0.
    since: usize,
}

impl ChangeDetector {
    /// Nothing was seen yet. A change that is none is noticed once in 1 / `confidence` rows at most; 0: nothing is ever noticed.
    pub fn new(confidence: f64) -> ChangeDetector {
        ChangeDetector { needed: -confidence.ln(), sum: 0.0, since: 0 }
    }

    /// The evidence of a value that is so many of its deviations away from what was said.
    pub fn of_values(deviations: f64) -> f64 {
        0.5 * deviations * deviations * (1.0 - LARGER.powi(-2)) - LARGER.ln()
    }

    /// The evidence of a class that had this probability among so many: if things have changed, it is as probable as any other every second time.
    pub fn of_classes(probability: f64, classes: usize) -> f64 {
        (0.5 + 0.5 / (classes as f64 * probability.max(1e-12))).ln()
    }

    /// Whether a value so many deviations away from what was said is an error of its own, or the first behind a change, and nothing to learn from before that is known.
    pub fn is_outlier(&self, deviations: f64) -> bool {
        self.needed.is_finite() && deviations > FAR
    }

    /// Takes in the evidence of the next row. Where a change is noticed, the number of rows behind it, this one among them.
    pub fn push(&mut self, evidence: f64) -> Option<usize> {
        let evidence = if evidence.is_nan() { 0.0 } else { evidence.min(OF_ONE * self.needed) };
        self.sum += evidence;
        self.since += 1;
        if self.sum <= 0.0 {
            (self.sum, self.since) = (0.0, 0);
            return None;
        }
        // Three thirds of a number may be a little less than it.
        if self.sum < self.needed * (1.0 - 1e-9) {
            return None;
        }
        let since = self.since;
        (self.sum, self.since) = (0.0, 0);
        Some(since)
    }
}
