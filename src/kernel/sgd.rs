//! SGD with momentum on a flat state `[2, p]`: weights and velocity, in place.
//!
//! `v ← μ v + f·g; w ← w - lr (v + λ w)` with control `(lr, ·, ·)`. A factor f that is negative or not
//! finite refuses the step: the state stays as it was.

use multiversion::multiversion;

use super::nest::{Family, Nest};
use super::optimiser::{self, Control};
use super::uniform::{GpuView, elements, params};
use super::{Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::View;

/// Parameters of SGD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Momentum μ.
    pub momentum: f64,
    /// Decoupled weight decay λ.
    pub decay: f64,
}

params!(Sgd {
    state: GpuView,
    grad: GpuView,
    control: GpuView,
    factor: u32,
    weights: u32,
    momentum: f32,
    decay: f32
});

impl Sgd {
    pub(super) const FAMILY: Family = Family::Opaque;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        None
    }

    #[inline(always)]
    fn step<T: Real>(&self, c: &Control<T>, [w, v]: [T; 2], grad: T) -> [T; 2] {
        let v = T::of(self.momentum) * v + c.factor * grad;
        [w - c.rate * (v + T::of(self.decay) * w), v]
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        optimiser::reference(reads, writes, |c, old, g| self.step(c, old, g));
    }

    /// Computes the launch in f32, in parallel pieces of neighbours.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        if !optimiser::fast(reads, writes, 6.0, |c, rows, grad| step_all(self, c, rows, grad)) {
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
            momentum: self.momentum as f32,
            decay: self.decay as f32,
        };
        let n = writes[0].dims[MAX_RANK - 1];
        let (groups, each) = elements(n);
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![each], groups }
    }

    /// Operations of the launch.
    pub fn flops(&self, _: &[View], writes: &[View]) -> f64 {
        6.0 * writes[0].dims[MAX_RANK - 1] as f64
    }
}

/// One step for runs of neighbours.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn step_all(k: &Sgd, c: &Control<f32>, [w, v]: [&mut [f32]; 2], grad: &[f32]) {
    for ((w, v), g) in w.iter_mut().zip(v).zip(grad) {
        [*w, *v] = k.step(c, [*w, *v], *g);
    }
}
