//! `y = ln |A|` for a stack of symmetric positive definite matrices, by their Cholesky factors: `2 Σ ln Lᵢᵢ`.
//!
//! Operand: A `[b, n, n]`; result y `[b]`, and room for the factors `[b, n, n]`.

use super::cholesky::{factor, flops, matrix, sizes};
use super::nest::{Family, Nest};
use super::parallel::{Shared, pieces};
use super::uniform::{GpuView, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::View;

/// A determinant has no parameters beyond its shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpdLogdet;

params!(SpdLogdet { a: GpuView, y: GpuView, l: GpuView, n: u32, matrices: u32, pad0: u32, pad1: u32 });

impl SpdLogdet {
    pub(super) const FAMILY: Family = Family::Opaque;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        None
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (count, n, _) = sizes(&reads[0].view);
        let (a, view) = (reads[0].f(), writes[0].view);
        let out = Shared(writes[0].f().as_mut_ptr());
        pieces(count, count as f64 * flops(n), |i| {
            let (a0, ar, ac) = matrix(&reads[0].view, i);
            let mut l = Vec::new();
            factor(n, |r, c| a[a0 + r * ar + c * ac], &mut l);
            let sum = T::sum((0..n).map(|j| l[j * n + j].ln()));
            // SAFETY: a written view is injective and inside its slot (`plan::verify`): results share no element.
            unsafe { *out.get().add(view.offset + i * view.strides[MAX_RANK - 1]) = sum + sum };
        });
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        self.reference(reads, writes);
    }

    /// The uniform, constants and workgroups: one a matrix.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let (count, n, _) = sizes(&reads[0]);
        let params = Params {
            a: (&reads[0]).into(),
            y: (&writes[0]).into(),
            l: (&writes[1]).into(),
            n: n as u32,
            matrices: count as u32,
            pad0: 0,
            pad1: 0,
        };
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![], groups: grid(count) }
    }

    /// A factor a matrix.
    pub fn flops(&self, reads: &[View], _: &[View]) -> f64 {
        let (count, n, _) = sizes(&reads[0]);
        count as f64 * flops(n)
    }
}
