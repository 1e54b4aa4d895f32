//! Random numbers on the host, from the same counter-based generator as in plans: a number is a function
//! of (seed, stream, index), so that a resumed run draws what an uninterrupted one would have.

use crate::kernel::threefry2x32;
use crate::spec::{Init, ParamLayout, count};

/// A stream of random numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rng {
    key: [u32; 2],
    index: u64,
}

impl Rng {
    /// The numbers of one purpose (`stream`) under a seed.
    pub fn new(seed: u64, stream: u64) -> Rng {
        let mixed = threefry2x32([seed as u32, (seed >> 32) as u32], [stream as u32, (stream >> 32) as u32]);
        Rng { key: mixed, index: 0 }
    }

    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        let x = threefry2x32(self.key, [self.index as u32, (self.index >> 32) as u32]);
        self.index += 1;
        x[0]
    }

    /// Uniform on [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 8) as f64 / 16_777_216.0
    }

    /// Uniform on [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform on 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.bits() as u64 * n as u64) >> 32) as usize
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// `k` different numbers of 0..n in random order (all of them where k ≥ n).
    pub fn choose(&mut self, n: usize, k: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in 0..k.min(n) {
            let j = i + self.below(n - i);
            all.swap(i, j);
        }
        all.truncate(k);
        all
    }

    /// A flat vector of initial weights.
    pub fn init(&mut self, layout: &ParamLayout) -> Vec<f32> {
        let mut w = Vec::with_capacity(layout.len());
        for p in &layout.params {
            for _ in 0..count(&p.shape) {
                w.push(match p.init {
                    Init::Constant(c) => c,
                    Init::Uniform(b) => self.range(-b, b),
                    Init::Normal(s) => s * self.normal(),
                } as f32);
            }
        }
        w
    }
}
