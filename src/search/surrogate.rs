//! A model of how good an architecture is by what it looks like, fitted to those that were tried: a Gaussian process (Rasmussen and Williams
//! 2006, chapters 2 and 5), as predictors of Bayesian optimisation are (White et al. 2021).

use super::architecture::Architecture;
use super::limits::Cost;
use super::space::Space;

/// Length scales and variances of the noise among which the likeliest are taken; inputs and outputs are of standard deviation 1.
const LENGTHS: [f64; 8] = [0.4, 0.8, 1.5, 2.5, 4.0, 6.0, 9.0, 14.0];
const NOISES: [f64; 4] = [0.01, 0.03, 0.1, 0.3];
/// A deviation below which numbers are all the same.
const ALIKE: f64 = 1e-9;

/// What an architecture looks like in numbers: what it costs, and for each stage how wide, how deep, which functions and operations.
pub(super) fn looks(space: &Space, architecture: &Architecture, cost: &Cost) -> Vec<f64> {
    let mut looks = vec![(cost.parameters as f64).ln(), (cost.operations.max(1) as f64).ln()];
    for (i, s) in space.stages.iter().enumerate() {
        let stage = architecture.stages.get(i);
        let number = |of: &dyn Fn(&super::Stage) -> f64| stage.map_or(0.0, of);
        looks.push(number(&|_| 1.0));
        looks.push(number(&|s| (s.width as f64).log2()));
        looks.push(number(&|s| s.cells as f64));
        looks.push(number(&|s| f64::from(u8::from(s.norm))));
        for a in &s.activations {
            looks.push(number(&|s| f64::from(u8::from(s.activation == *a))));
        }
        for o in s.operations.iter().filter_map(|c| c.0) {
            looks.push(number(&|s| s.cell.iter().filter(|c| c.operation == o).count() as f64));
        }
        looks.push(number(&|s| s.nodes() as f64));
        looks.push(number(&|s| s.longest_path() as f64));
    }
    looks
}

/// A Gaussian process with the squared exponential kernel, over inputs that are brought to mean 0 and standard deviation 1.
#[derive(Clone, Debug)]
pub struct Surrogate {
    /// Mean and standard deviation of each input, and of the outputs.
    inputs: Vec<[f64; 2]>,
    output: [f64; 2],
    length: f64,
    noise: f64,
    /// The inputs that were known, brought to one scale.
    known: Vec<Vec<f64>>,
    /// `L` of `L Lᵀ = K + noise`, by rows.
    factor: Vec<Vec<f64>>,
    /// `(K + noise)⁻¹ y`
    weights: Vec<f64>,
}

impl Surrogate {
    /// The process that is likeliest for these inputs, each a list of the same length, and their outputs.
    ///
    /// ```
    /// use hyperloom::search::Surrogate;
    ///
    /// let x: Vec<Vec<f64>> = (0..8).map(|i| vec![f64::from(i)]).collect();
    /// let y: Vec<f64> = x.iter().map(|x| x[0].sin()).collect();
    /// let fitted = Surrogate::fit(&x, &y).expect("eight outputs of eight inputs");
    /// let (mean, deviation) = fitted.predict(&[2.5]);
    /// assert!((mean - 2.5f64.sin()).abs() < 0.1 && deviation < 0.2, "{mean} ± {deviation}");
    /// // Far away nothing is known.
    /// assert!(fitted.predict(&[40.0]).1 > 0.5);
    /// ```
    ///
    /// `None`: there is nothing to fit: fewer than two inputs, or numbers that are not finite.
    pub fn fit(x: &[Vec<f64>], y: &[f64]) -> Option<Surrogate> {
        let n = x.len();
        if n < 2 || y.len() != n || x.iter().flatten().chain(y).any(|v| !v.is_finite()) {
            return None;
        }
        let moments = |of: &dyn Fn(usize) -> f64| {
            let mean = (0..n).map(of).sum::<f64>() / n as f64;
            let deviation = ((0..n).map(|i| (of(i) - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
            [mean, if deviation < ALIKE { 1.0 } else { deviation }]
        };
        let inputs: Vec<[f64; 2]> = (0..x[0].len()).map(|j| moments(&|i| x[i][j])).collect();
        let output = moments(&|i| y[i]);
        let known: Vec<Vec<f64>> = x.iter().map(|x| standard(x, &inputs)).collect();
        let y: Vec<f64> = y.iter().map(|y| (y - output[0]) / output[1]).collect();
        let mut best: Option<(f64, Surrogate)> = None;
        for length in LENGTHS {
            let kernel: Vec<Vec<f64>> =
                known.iter().map(|a| known.iter().map(|b| near(a, b, length)).collect()).collect();
            for noise in NOISES {
                let factor = factor(n, |i, j| kernel[i][j] + if i == j { noise } else { 0.0 });
                let half = ahead(&factor, &y);
                // Twice the logarithm of the likelihood, but for a constant.
                let fit: f64 = half.iter().map(|v| v * v).sum();
                let size: f64 = factor.iter().enumerate().map(|(i, row)| 2.0 * row[i].ln()).sum();
                let likelihood = -fit - size;
                if best.as_ref().is_none_or(|(l, _)| likelihood > *l) {
                    let weights = back(&factor, &half);
                    let (inputs, known) = (inputs.clone(), known.clone());
                    best = Some((
                        likelihood,
                        Surrogate { inputs, output, length, noise, known, factor, weights },
                    ));
                }
            }
        }
        best.map(|(_, fitted)| fitted)
    }

    /// Mean and standard deviation of the output of an input, in the units of the outputs; the noise is no part of it.
    pub fn predict(&self, x: &[f64]) -> (f64, f64) {
        let x = standard(x, &self.inputs);
        let kernel: Vec<f64> = self.known.iter().map(|k| near(&x, k, self.length)).collect();
        let mean: f64 = kernel.iter().zip(&self.weights).map(|(k, w)| k * w).sum();
        let known: f64 = ahead(&self.factor, &kernel).iter().map(|v| v * v).sum();
        (self.output[0] + self.output[1] * mean, self.output[1] * (1.0 - known).max(0.0).sqrt())
    }

    /// The upper confidence bound of the output of an input: mean and one standard deviation.
    pub(super) fn bound(&self, x: &[f64]) -> f64 {
        let (mean, deviation) = self.predict(x);
        mean + deviation
    }

    /// The standard deviation of the noise, in the units of the outputs.
    pub fn noise(&self) -> f64 {
        self.noise.sqrt() * self.output[1]
    }
}

fn standard(x: &[f64], moments: &[[f64; 2]]) -> Vec<f64> {
    x.iter().zip(moments).map(|(x, [mean, deviation])| (x - mean) / deviation).collect()
}

fn near(a: &[f64], b: &[f64], length: f64) -> f64 {
    let apart: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (-apart / (2.0 * length * length)).exp()
}

/// The Cholesky factor `L`, by rows, of a symmetric positive definite matrix of `n` rows: `L Lᵀ` (Golub and Van Loan 2013, section 4.2).
pub(super) fn factor(n: usize, of: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    let mut l: Vec<Vec<f64>> = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let rest = of(i, j) - l[i][..j].iter().zip(&l[j][..j]).map(|(a, b)| a * b).sum::<f64>();
            l[i][j] = if i == j { rest.max(1e-12).sqrt() } else { rest / l[j][j] };
        }
    }
    l
}

/// `L⁻¹ b`
pub(super) fn ahead(l: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = Vec::with_capacity(b.len());
    for (row, b) in l.iter().zip(b) {
        let rest = b - row.iter().zip(&x).map(|(l, x)| l * x).sum::<f64>();
        x.push(rest / row[x.len()]);
    }
    x
}

/// `L⁻ᵀ b`
fn back(l: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let mut x = b.to_vec();
    for i in (0..x.len()).rev() {
        x[i] /= l[i][i];
        for j in 0..i {
            x[j] -= l[i][j] * x[i];
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_process_is_its_formulas() {
        // Two points: K = [[1, k], [k, 1]], by hand.
        let x = [vec![-1.0], vec![1.0]];
        let fitted = Surrogate::fit(&x, &[2.0, 4.0]).expect("two points");
        let k = (-2.0 / fitted.length.powi(2)).exp();
        let (a, b) = (1.0 + fitted.noise, k);
        let at = |x: f64| {
            let near = |y: f64| (-(x - y).powi(2) / (2.0 * fitted.length.powi(2))).exp();
            let (n, p) = (near(-1.0), near(1.0));
            let det = a * a - b * b;
            let mean = 3.0 + (p - n) / (a - b);
            (mean, (1.0 - (a * (n * n + p * p) - 2.0 * b * n * p) / det).sqrt())
        };
        for x in [-2.0, -1.0, 0.3, 5.0] {
            let (found, expected) = (fitted.predict(&[x]), at(x));
            assert!((found.0 - expected.0).abs() < 1e-9, "{found:?} {expected:?}");
            assert!((found.1 - expected.1).abs() < 1e-6, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn noise_is_told_from_what_is_there() {
        let mut rng = Rng::new(3, 3);
        let x: Vec<Vec<f64>> =
            (0..80).map(|_| vec![4.0 * rng.uniform() - 2.0, 4.0 * rng.uniform() - 2.0, 7.0]).collect();
        let truth = |x: &[f64]| 0.5 + 0.1 * x[0] - 0.05 * x[1] * x[1];
        let y: Vec<f64> = x.iter().map(|x| truth(x) + 0.03 * rng.normal()).collect();
        let fitted = Surrogate::fit(&x, &y).expect("there are some");
        assert!((0.015..0.06).contains(&fitted.noise()), "{}", fitted.noise());
        for x in x.iter().take(20) {
            assert!((fitted.predict(x).0 - truth(x)).abs() < 0.04);
        }
        assert!(Surrogate::fit(&x[..1], &y[..1]).is_none());
        assert!(Surrogate::fit(&x[..2], &[1.0, f64::NAN]).is_none());
        // All alike: nothing to tell apart, and no number that is none.
        let same = Surrogate::fit(&[vec![1.0], vec![1.0]], &[0.5, 0.5]).expect("two");
        assert_eq!(same.predict(&[1.0]).0, 0.5);
    }
}
