//! AdamW (Loshchilov and Hutter 2019) on a flat state `[3, p]`: weights, first and second moment, in place.
//!
//! `g ← f·g; m ← β₁ m + (1-β₁) g; v ← β₂ v + (1-β₂) g²; w ← w - lr (m c₁ / (√(v c₂) + ε) + λ w)` with
//! control `(lr, c₁ = 1/(1-β₁ᵗ), c₂ = 1/(1-β₂ᵗ))`. A factor f that is negative or not finite refuses the
//! step: the state stays as it was.

use multiversion::multiversion;

use super::optimiser::{self, Control};
use super::uniform::{GpuView, WG, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::plan::Arg;
use crate::spec::MAX_RANK;

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
    #[inline(always)]
    fn step<T: Real>(&self, c: &Control<T>, [w, m, v]: [T; 3], grad: T) -> [T; 3] {
        let g = grad * c.factor;
        let m = T::of(self.beta1) * m + T::of(1.0 - self.beta1) * g;
        let v = T::of(self.beta2) * v + T::of(1.0 - self.beta2) * (g * g);
        let direction = m * c.correct1 / ((v * c.correct2).sqrt() + T::of(self.eps));
        [w - c.rate * (direction + T::of(self.decay) * w), m, v]
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        optimiser::reference(reads, writes, |c, old, g| self.step(c, old, g));
    }

    /// Computes the launch in f32, in parallel pieces of neighbours.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        if !optimiser::fast(reads, writes, 16.0, |c, rows, grad| step_all(self, c, rows, grad)) {
            self.reference(reads, writes);
        }
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[Arg], writes: &[Arg]) -> Dispatch {
        let params = Params {
            state: (&writes[0].view).into(),
            grad: (&reads[0].view).into(),
            control: (&reads[1].view).into(),
            factor: reads[2].view.offset as u32,
            weights: writes[0].view.dims[MAX_RANK - 1] as u32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            eps: self.eps as f32,
            decay: self.decay as f32,
            rest1: (1.0 - self.beta1) as f32,
            rest2: (1.0 - self.beta2) as f32,
        };
        let n = writes[0].view.dims[MAX_RANK - 1];
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: vec![],
            groups: grid(n.div_ceil(WG)),
        }
    }

    /// Operations of the launch.
    pub fn flops(&self, _: &[Arg], writes: &[Arg]) -> f64 {
        16.0 * writes[0].view.dims[MAX_RANK - 1] as f64
    }
}

/// One step for runs of neighbours.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn step_all(k: &AdamW, c: &Control<f32>, [w, m, v]: [&mut [f32]; 3], grad: &[f32]) {
    for (((w, m), v), g) in w.iter_mut().zip(m).zip(v).zip(grad) {
        [*w, *m, *v] = k.step(c, [*w, *m, *v], *g);
    }
}
