//! `X = A⁻¹ B` for stacks of symmetric positive definite matrices, by their Cholesky factors.
//!
//! Operands: A `[b, n, n]`, B `[b, n, m]`; result X `[b, n, m]`, and room for the factors `[b, n, n]`.

use pulp::Simd;

use super::block::{LaneBlock, OwnBlock};
use super::cholesky::{LaneMatrix, factor, factor_lanes, flops, matrix, sizes};
use super::lanes::LANES;
use super::nest::{Family, Nest};
use super::parallel::{Shared, pieces};
use super::simd::V;
use super::uniform::{GpuView, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::view::View;

/// A solve has no parameters beyond its shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpdSolve;

params!(SpdSolve {
    a: GpuView,
    b: GpuView,
    x: GpuView,
    l: GpuView,
    n: u32,
    columns: u32,
    matrices: u32,
    pad0: u32
});

/// Solves `L Lᵀ x = b` for one column, in place.
fn substitute<T: Real>(n: usize, l: &[T], x: &mut [T]) {
    for i in 0..n {
        let sum = T::dot((0..i).map(|k| (l[i * n + k], x[k])));
        x[i] = (x[i] - sum) / l[i * n + i];
    }
    for i in (0..n).rev() {
        let sum = T::dot((i + 1..n).map(|k| (l[k * n + i], x[k])));
        x[i] = (x[i] - sum) / l[i * n + i];
    }
}

impl SpdSolve {
    pub(super) const FAMILY: Family = Family::Own;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::stack(2, 2, false))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let view = writes[0].view;
        let (count, n, m) = sizes(&view);
        let (a, b) = (reads[0].f(), reads[1].f());
        let cost = count as f64 * (flops(n) + 2.0 * (n * n * m) as f64);
        let out = Shared(writes[0].f().as_mut_ptr());
        pieces(count, cost, |i| {
            let ((a0, ar, ac), (b0, br, bc)) = (matrix(&reads[0].view, i), matrix(&reads[1].view, i));
            let (x0, xr, xc) = matrix(&view, i);
            let mut l = Vec::new();
            factor(n, |r, c| a[a0 + r * ar + c * ac], &mut l);
            let mut x = vec![T::zero(); n];
            for j in 0..m {
                for (r, x) in x.iter_mut().enumerate() {
                    *x = b[b0 + r * br + j * bc];
                }
                substitute(n, &l, &mut x);
                for (r, x) in x.iter().enumerate() {
                    // SAFETY: a written view is injective and inside its slot (`plan::verify`): matrices share no element.
                    unsafe { *out.get().add(x0 + r * xr + j * xc) = *x };
                }
            }
        });
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        self.reference(reads, writes);
    }

    /// The uniform, constants and workgroups: one a matrix.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let (count, n, m) = sizes(&writes[0]);
        let params = Params {
            a: (&reads[0]).into(),
            b: (&reads[1]).into(),
            x: (&writes[0]).into(),
            l: (&writes[1]).into(),
            n: n as u32,
            columns: m as u32,
            matrices: count as u32,
            pad0: 0,
        };
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![], groups: grid(count) }
    }

    /// A factor a matrix, and two substitutions a column.
    pub fn flops(&self, _: &[View], writes: &[View]) -> f64 {
        let (count, n, m) = sizes(&writes[0]);
        count as f64 * (flops(n) + 2.0 * (n * n * m) as f64)
    }
}

impl OwnBlock for SpdSolve {
    const OPERANDS: &'static [(&'static str, usize)] = &[("a", 3), ("b", 3), ("x", 3), ("l", 3)];

    fn sizes(&self, _: &[View], writes: &[View]) -> Vec<(&'static str, usize)> {
        let (count, n, m) = sizes(&writes[0]);
        vec![("MATRICES", count), ("N", n), ("COLUMNS", m)]
    }

    #[inline(always)]
    unsafe fn lanes<S: Simd>(&self, simd: S, block: &LaneBlock<'_>) {
        let (count, n, m) = sizes(&block.views[2]);
        for i in 0..count {
            let of = |k: usize| LaneMatrix::of(block.operands[k], &block.views[k], i);
            let [a, b, x, l] = [of(0), of(1), of(2), of(3)];
            // SAFETY: promised by the caller.
            unsafe {
                factor_lanes(simd, n, a, l);
                for lane in (0..LANES).step_by(S::F32_LANES) {
                    for j in 0..m {
                        for i in 0..n {
                            let mut sum = V::splat(simd, 0.0);
                            for k in 0..i {
                                sum = l.get(simd, i, k, lane).fma(x.get(simd, k, j, lane), sum);
                            }
                            let rest = b.get(simd, i, j, lane).sub(sum);
                            x.put(i, j, lane, rest.div(l.get(simd, i, i, lane)));
                        }
                        for i in (0..n).rev() {
                            let mut sum = V::splat(simd, 0.0);
                            for k in i + 1..n {
                                sum = l.get(simd, k, i, lane).fma(x.get(simd, k, j, lane), sum);
                            }
                            let rest = x.get(simd, i, j, lane).sub(sum);
                            x.put(i, j, lane, rest.div(l.get(simd, i, i, lane)));
                        }
                    }
                }
            }
        }
    }
}
