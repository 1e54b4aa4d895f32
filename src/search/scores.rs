//! Scores of networks that are not trained at all: what any search that trains something has to beat (Abdelfattah et al. 2021).
//!
//! | score | of | source |
//! |---|---|---|
//! | `grad_norm` | the norm of the loss's gradient by the initial weights, on one batch | Abdelfattah et al. 2021 |
//! | `synflow` | `Σ |w · ∂R/∂w|`, R the sum of outputs of the network with weights `|w|`, without activations and norms, on rows of ones; its logarithm | Tanaka et al. 2020 |
//! | `jacob_cov` | how unlike the rows' input Jacobians are: `-Σ log(v + ε) + 1/(v + ε)` over the eigenvalues v of their correlation matrix | Mellor et al. 2020 |

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use super::population::RowsOf;
use super::space::Space;
use super::surrogate::{ahead, factor};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::net::{Net, Weights};
use crate::plan::lower;
use crate::rng::Rng;
use crate::run::Device;
use crate::spec::Activation;
use crate::task::loss;

/// Rows of the batch.
const ROWS: usize = 64;
/// ε of `jacob_cov`.
const EPS: f64 = 1e-5;
/// Random numbers of the initial weights.
const START: u64 = 0x5c04;

/// The scores of an architecture. Larger is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Scores {
    /// Norm of the gradient.
    pub grad_norm: f64,
    /// Logarithm of the synaptic flow.
    pub synflow: f64,
    /// Unlikeness of Jacobians.
    pub jacob_cov: f64,
}

/// The scores of architectures of a space, on the first rows of `rows`.
///
/// # Errors
/// What the device refuses; an architecture that does not fit the rows.
pub fn scores(
    device: &Device,
    (space, row, outputs): (&Space, &[usize], usize),
    rows: RowsOf<'_>,
    architectures: &[Architecture],
    seed: u64,
) -> Result<Vec<Scores>> {
    let one = |a: &Architecture| -> Result<Scores> {
        let fits = |net: std::result::Result<Net, String>| net.map_err(|e| Error::config(a.key(), e));
        let net = fits(space.net(a, row, outputs))?;
        let mut plain = a.clone();
        for stage in &mut plain.stages {
            (stage.activation, stage.norm) = (Activation::Identity, false);
        }
        let linear = fits(space.net(&plain, row, outputs))?;
        let [grad_norm, jacob_cov] = of_rows(device, &net, rows, seed)?;
        Ok(Scores { grad_norm, jacob_cov, synflow: synflow(device, &linear, seed)? })
    };
    match device {
        Device::Cpu | Device::CpuByLaunch => architectures.par_iter().map(one).collect(),
        #[cfg(feature = "gpu")]
        Device::Gpu(_) => architectures.iter().map(one).collect(),
    }
}

/// The norm of the gradient, and how unlike Jacobians are.
fn of_rows(device: &Device, net: &Net, (data, rows): RowsOf<'_>, seed: u64) -> Result<[f64; 2]> {
    let some = &rows[..ROWS.min(rows.len())];
    let (n, layout) = (some.len(), net.layout());
    let mut g = Graph::new();
    let flat = g.data("weights", &[1, layout.len()]);
    let x = g.data("x", &[1, n, net.inputs()]);
    let y = g.data("y", &[1, n, net.outputs()]);
    let out = net.apply(&mut g, Weights { flat, layout: &layout }, x);
    let each = loss(&mut g, data.loss(), out, y, None);
    let mean = g.sum_to(each, &[]);
    let gradient = g.grad(mean, &[flat])[0];
    let sum = g.sum_to(out, &[]);
    let jacobian = g.grad(sum, &[x])[0];
    g.output("gradient", gradient);
    g.output("jacobian", jacobian);
    let mut session = device.prepare(lower(&g, device.caps(1))?)?;
    session.write("weights", &layout.init(&mut Rng::new(seed, START)))?;
    session.write("x", &data.inputs(some))?;
    session.write("y", &data.targets(some))?;
    session.run(1)?;
    let norm = session.read("gradient")?.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    Ok([norm, unlikeness(&session.read("jacobian")?, n)])
}

fn synflow(device: &Device, net: &Net, seed: u64) -> Result<f64> {
    let layout = net.layout();
    let mut g = Graph::new();
    let flat = g.data("weights", &[1, layout.len()]);
    let x = g.data("x", &[1, 1, net.inputs()]);
    let out = net.apply(&mut g, Weights { flat, layout: &layout }, x);
    let sum = g.sum_to(out, &[]);
    let gradient = g.grad(sum, &[flat])[0];
    g.output("gradient", gradient);
    let mut session = device.prepare(lower(&g, device.caps(1))?)?;
    let weights: Vec<f32> = layout.init(&mut Rng::new(seed, START)).into_iter().map(f32::abs).collect();
    session.write("weights", &weights)?;
    session.write("x", &vec![1.0; net.inputs()])?;
    session.run(1)?;
    let gradient = session.read("gradient")?;
    let flow: f64 = weights.iter().zip(&gradient).map(|(w, g)| f64::from(w * g).abs()).sum();
    Ok(flow.ln())
}

/// `-Σ log(v + ε) + 1/(v + ε)` over the eigenvalues of the correlation matrix of `n` rows: the logarithm of its determinant, and the trace of
/// its inverse, from a Cholesky factor.
fn unlikeness(jacobian: &[f32], n: usize) -> f64 {
    let d = jacobian.len() / n;
    let mut rows: Vec<Vec<f64>> =
        jacobian.chunks(d).map(|r| r.iter().map(|v| f64::from(*v)).collect()).collect();
    for row in &mut rows {
        let mean = row.iter().sum::<f64>() / d as f64;
        row.iter_mut().for_each(|v| *v -= mean);
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-30);
        row.iter_mut().for_each(|v| *v /= norm);
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // L Lᵀ = C + ε
    let l = factor(n, |i, j| dot(&rows[i], &rows[j]) + if i == j { EPS } else { 0.0 });
    let mut sum = 0.0;
    for i in 0..n {
        sum += 2.0 * l[i][i].ln();
        // Column i of the inverse of L; their squares add up to the trace of the inverse.
        let one: Vec<f64> = (0..n).map(|r| f64::from(u8::from(r == i))).collect();
        let column = ahead(&l, &one);
        sum += dot(&column, &column);
    }
    -sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::labelled::Labelled;

    #[test]
    fn unlike_rows_score_higher() {
        // Two rows of correlation c: eigenvalues 1 ± c.
        let score = |c: f64| {
            let other = [c as f32, (1.0 - c * c).sqrt() as f32];
            // Means of 0 over four places.
            let rows = [[1.0, -1.0, 0.0, 0.0], [other[0], -other[0], other[1], -other[1]]];
            unlikeness(&rows.concat(), 2)
        };
        let expected = |c: f64| -> f64 {
            -[1.0 + c, 1.0 - c].iter().map(|v| (v + EPS).ln() + 1.0 / (v + EPS)).sum::<f64>()
        };
        for c in [0.0, 0.3, 0.9] {
            assert!(
                (score(c) - expected(c)).abs() < 1e-4 * expected(c).abs(),
                "{} {}",
                score(c),
                expected(c)
            );
        }
        assert!(score(0.0) > score(0.5) && score(0.5) > score(0.99));
    }

    #[test]
    fn scores_of_a_linear_network() {
        let space: Space =
            toml::from_str("[[stages]]\nwidths = [3]\nactivations = ['tanh']").expect("a space");
        let a = space.sample(&mut Rng::new(0, 0));
        let names = vec!["a".to_string(), "b".to_string()];
        let data = Labelled::of_numbers(vec![2], names, vec![0.1, 0.7, -0.4, 0.2, 0.9, -0.8], vec![0, 1, 1]);
        let rows = [0, 1, 2];
        let found = scores(&Device::Cpu, (&space, &[2], 2), (&data, &rows), std::slice::from_ref(&a), 4)
            .expect("it runs")[0];
        let layout = space.net(&a, &[2], 2).expect("it fits").layout();
        let w: Vec<f64> = layout.init(&mut Rng::new(4, START)).iter().map(|v| f64::from(v.abs())).collect();
        // Every path through the two layers, once for each weight on it; biases have paths of their own.
        let (w1, b1, w2, b2) = (&w[..6], &w[6..9], &w[9..15], &w[15..]);
        let paths: f64 = (0..3).map(|h| (w1[h] + w1[3 + h]) * (w2[2 * h] + w2[2 * h + 1])).sum();
        let biased: f64 = (0..3).map(|h| b1[h] * (w2[2 * h] + w2[2 * h + 1])).sum();
        let flow = 2.0 * paths + 2.0 * biased + b2.iter().sum::<f64>();
        assert!((found.synflow - flow.ln()).abs() < 1e-5, "{} {}", found.synflow, flow.ln());
        assert!(found.grad_norm > 0.0 && found.jacob_cov.is_finite());
    }
}
