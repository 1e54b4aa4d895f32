//! `y = ln |A|` for a stack of symmetric positive definite matrices, by their Cholesky factors: `2 Σ ln Lᵢᵢ`.
//!
//! Operand: A `[b, n, n]`; result y `[b]`, and room for the factors `[b, n, n]`.

use pulp::Simd;

use super::block::{LaneBlock, OwnBlock};
use super::cholesky::{LaneMatrix, factor, factor_lanes, flops, matrix, sizes};
use super::lanes::LANES;
use super::nest::{Family, Nest};
use super::parallel::{Shared, pieces};
use super::simd::V;
use super::uniform::{GpuView, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::{COLUMN, View};

/// A determinant has no parameters beyond its shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpdLogdet;

params!(SpdLogdet { a: GpuView, y: GpuView, l: GpuView, n: u32, matrices: u32, pad0: u32, pad1: u32 });

impl SpdLogdet {
    pub(super) const FAMILY: Family = Family::Own;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::stack(1, 2, true))
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

impl OwnBlock for SpdLogdet {
    const OPERANDS: &'static [(&'static str, usize)] = &[("a", 3), ("y", 1), ("l", 3)];

    fn sizes(&self, reads: &[View], _: &[View]) -> Vec<(&'static str, usize)> {
        let (count, n, _) = sizes(&reads[0]);
        vec![("MATRICES", count), ("N", n)]
    }

    #[inline(always)]
    unsafe fn lanes<S: Simd>(&self, simd: S, block: &LaneBlock<'_>) {
        let (count, n, _) = sizes(&block.views[0]);
        for i in 0..count {
            let of = |k: usize| LaneMatrix::of(block.operands[k], &block.views[k], i);
            let (a, l) = (of(0), of(2));
            // SAFETY: promised by the caller.
            unsafe {
                factor_lanes(simd, n, a, l);
                for lane in (0..LANES).step_by(S::F32_LANES) {
                    let mut sum = V::splat(simd, 0.0);
                    for j in 0..n {
                        sum = sum.add(l.get(simd, j, j, lane).ln());
                    }
                    block.operands[1].put(i * block.views[1].strides[COLUMN], lane, sum.add(sum));
                }
            }
        }
    }
}
