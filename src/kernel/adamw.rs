//! AdamW (Loshchilov and Hutter 2019) on a flat state `[3, p]`: weights, first and second moment, in place.
//!
//! `g ← f·g; m ← β₁ m + (1-β₁) g; v ← β₂ v + (1-β₂) g²; w ← w - lr (m c₁ / (√(v c₂) + ε) + λ w)` with
//! control `(lr, c₁ = 1/(1-β₁ᵗ), c₂ = 1/(1-β₂ᵗ))`. A factor f that is negative or not finite refuses the
//! step: the state stays as it was.

use multiversion::multiversion;

use super::nest::{Family, Nest};
use super::optimiser::{self, Control};
use super::uniform::{GpuView, elements, params};
use super::{Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::View;

/// Parameters of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// β₁
    pub beta1: f64,
    /// β₂
    pub beta2: f64,
    /// ε
    pub eps: f64,
    /// Decoupled weight decay λ.
    pub decay: f64,
}

params!(AdamW {
    state: GpuView,
    grad: GpuView,
    control: GpuView,
    factor: u32,
    weights: u32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    decay: f32,
    rest1: f32,
    rest2: f32
});

impl AdamW {
    pub(super) const FAMILY: Family = Family::Opaque;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        None
    }

    #[inline(always)]
    fn moments<T: Real>(&self, c: &Control<T>, [m, v]: [T; 2], grad: T) -> [T; 2] {
        let g = grad * c.factor;
        let m = T::of(self.beta1) * m + T::of(1.0 - self.beta1) * g;
        let v = T::of(self.beta2) * v + T::of(1.0 - self.beta2) * (g * g);
        [m, v]
    }

    #[inline(always)]
    fn weight<T: Real>(&self, c: &Control<T>, [w, m, v]: [T; 3]) -> T {
        let direction = m * c.correct1 / ((v * c.correct2).sqrt() + T::of(self.eps));
        w - c.rate * (direction + T::of(self.decay) * w)
    }

    fn step<T: Real>(&self, c: &Control<T>, [w, m, v]: [T; 3], grad: T) -> [T; 3] {
        let [m, v] = self.moments(c, [m, v], grad);
        [self.weight(c, [w, m, v]), m, v]
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        optimiser::reference(reads, writes, |c, old, g| self.step(c, old, g));
    }

    /// Computes the launch in f32, in parallel pieces of neighbours.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let dense = if rayon::current_num_threads() == 1 {
            optimiser::fast(reads, writes, 16.0, |c, [w, m, v], grad| {
                all_moments(self, c, [&mut *m, &mut *v], grad);
                all_weights(self, c, [w, m, v]);
            })
        } else {
            // All moments, then all weights. Every core has read the weights just before, and a line that several
            // cores hold is slow to write: by the time the moments are done, the weights have left most caches.
            optimiser::fast(reads, writes, 8.0, |c, [_, m, v], grad| all_moments(self, c, [m, v], grad))
                && optimiser::fast(reads, writes, 8.0, |c, rows, _| all_weights(self, c, rows))
        };
        if !dense {
            self.reference(reads, writes);
        }
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let params = Params {
            state: (&writes[0]).into(),
            grad: (&reads[0]).into(),
            control: (&reads[1]).into(),
            factor: reads[2].offset as u32,
            weights: writes[0].dims[MAX_RANK - 1] as u32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            eps: self.eps as f32,
            decay: self.decay as f32,
            rest1: (1.0 - self.beta1) as f32,
            rest2: (1.0 - self.beta2) as f32,
        };
        let n = writes[0].dims[MAX_RANK - 1];
        let (groups, each) = elements(n);
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![each], groups }
    }

    /// Operations of the launch.
    pub fn flops(&self, _: &[View], writes: &[View]) -> f64 {
        16.0 * writes[0].dims[MAX_RANK - 1] as f64
    }
}

/// The moments of neighbours.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn all_moments(k: &AdamW, c: &Control<f32>, [m, v]: [&mut [f32]; 2], grad: &[f32]) {
    for ((m, v), g) in m.iter_mut().zip(v).zip(grad) {
        [*m, *v] = k.moments(c, [*m, *v], *g);
    }
}

/// The weights of neighbours, their moments being done.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn all_weights(k: &AdamW, c: &Control<f32>, [w, m, v]: [&mut [f32]; 3]) {
    for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
        *w = k.weight(c, [*w, *m, *v]);
    }
}
