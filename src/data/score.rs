//! How alike two pictures are, and how well a few coefficients say one: what fields of pictures are held against. Pictures are arrays
//! `[height, width, channels]` from 0 to 1.
//!
//! ```
//! use hyperloom::data::score::{psnr, truncated};
//!
//! let picture: Vec<f32> = (0..64).map(|i| ((i % 8) as f32 * 0.3).sin() * 0.4 + 0.5).collect();
//! // All 64 coefficients of the cosine transform give the picture back, a few nearly so.
//! assert!(psnr(&picture, &truncated(&picture, [8, 8, 1], 64)) > 100.0);
//! assert!(psnr(&picture, &truncated(&picture, [8, 8, 1], 20)) > 25.0);
//! ```

use std::f64::consts::PI;

/// What stands for the ratio of two pictures that are the same, decibels.
const SAME: f64 = 200.0;
/// Rows and columns of a window of the structural similarity, and its deviation.
const WINDOW: usize = 11;
const SIGMA: f64 = 1.5;

/// Peak signal-to-noise ratio, `-10 log10(mean (a - b)²)` decibels, at most 200.
pub fn psnr(a: &[f32], b: &[f32]) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (-10.0 * (square / a.len().max(1) as f64).log10()).min(SAME)
}

/// Structural similarity (Wang et al. 2004): the mean over windows of 11 x 11 that lie inside, weighed by a Gaussian, and over channels.
/// `None` where no window lies inside.
pub fn ssim(a: &[f32], b: &[f32], [h, w, channels]: [usize; 3]) -> Option<f64> {
    if h < WINDOW || w < WINDOW {
        return None;
    }
    let (c1, c2) = (1e-4, 9e-4);
    let middle = (WINDOW / 2) as f64;
    let line: Vec<f64> = (0..WINDOW).map(|i| (-0.5 * ((i as f64 - middle) / SIGMA).powi(2)).exp()).collect();
    let total: f64 = line.iter().sum();
    let line: Vec<f64> = line.iter().map(|v| v / total).collect();
    let (rows, columns) = (h - WINDOW + 1, w - WINDOW + 1);
    let mut sum = 0.0;
    for c in 0..channels {
        // The mean over each window of a function of both pictures, along one axis and then the other.
        let mean = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            let at = |y: usize, x: usize| {
                let i = (y * w + x) * channels + c;
                f(f64::from(a[i]), f64::from(b[i]))
            };
            let across: Vec<f64> = (0..h * columns)
                .map(|i| line.iter().enumerate().map(|(k, g)| g * at(i / columns, i % columns + k)).sum())
                .collect();
            (0..rows * columns)
                .map(|i| line.iter().enumerate().map(|(k, g)| g * across[i + k * columns]).sum())
                .collect()
        };
        let (ma, mb) = (mean(&|a, _| a), mean(&|_, b| b));
        let (aa, bb, ab) = (mean(&|a, _| a * a), mean(&|_, b| b * b), mean(&|a, b| a * b));
        for i in 0..rows * columns {
            let (va, vb, cov) = (aa[i] - ma[i] * ma[i], bb[i] - mb[i] * mb[i], ab[i] - ma[i] * mb[i]);
            sum += (2.0 * ma[i] * mb[i] + c1) * (2.0 * cov + c2)
                / ((ma[i] * ma[i] + mb[i] * mb[i] + c1) * (va + vb + c2));
        }
    }
    Some(sum / (rows * columns * channels) as f64)
}

/// What the `most` lowest frequencies of a picture's cosine transform (DCT-II, orthonormal) give: those nearest to the corner
/// `(0, 0)` of all channels alike.
pub fn truncated(picture: &[f32], [h, w, channels]: [usize; 3], most: usize) -> Vec<f32> {
    let (down, across) = (basis(h), basis(w));
    // Frequencies in the order of their distance, of each all channels.
    let mut order: Vec<(usize, usize)> = (0..h * w).map(|i| (i / w, i % w)).collect();
    let distance = |u: usize, n: usize| u as f64 / n as f64;
    order.sort_by(|a, b| {
        let size = |p: &(usize, usize)| distance(p.0, h).hypot(distance(p.1, w));
        size(a).total_cmp(&size(b)).then(a.cmp(b))
    });
    let kept: Vec<(usize, usize, usize)> =
        order.into_iter().flat_map(|(u, v)| (0..channels).map(move |c| (u, v, c))).take(most).collect();
    let mut out = vec![0.0f64; picture.len()];
    for (u, v, c) in kept {
        let wave = |y: usize, x: usize| down[u * h + y] * across[v * w + x];
        let at = |y: usize, x: usize| (y * w + x) * channels + c;
        let places = || (0..h * w).map(|i| (i / w, i % w));
        let coefficient: f64 = places().map(|(y, x)| wave(y, x) * f64::from(picture[at(y, x)])).sum();
        places().for_each(|(y, x)| out[at(y, x)] += coefficient * wave(y, x));
    }
    out.into_iter().map(|v| v as f32).collect()
}

/// The cosine basis of length n, `[frequency, place]`.
fn basis(n: usize) -> Vec<f64> {
    let wave = |i: usize| {
        let (u, x) = ((i / n) as f64, (i % n) as f64);
        let scale = if u == 0.0 { 1.0 } else { 2.0 };
        (scale / n as f64).sqrt() * (PI * (x + 0.5) * u / n as f64).cos()
    };
    (0..n * n).map(wave).collect()
}
