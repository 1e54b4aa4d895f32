//! The Cholesky factor that `spd_solve` and `spd_logdet` share: `A = L Lᵀ` (Golub and Van Loan 2013, section 4.2). Only the
//! lower triangle of A is read. Of a matrix that is not positive definite the factor is NaN, and so is what is made of it.

use pulp::Simd;

use super::Real;
use super::lanes::{LANES, LaneOperand};
use super::simd::V;
use crate::spec::MAX_RANK;
use crate::view::View;

/// Where matrix `b` of a stack `[b, r, c]` starts, and its strides.
pub(super) fn matrix(v: &View, b: usize) -> (usize, usize, usize) {
    (v.offset + b * v.strides[MAX_RANK - 3], v.strides[MAX_RANK - 2], v.strides[MAX_RANK - 1])
}

/// Rows and columns of the matrices of a stack, and their number.
pub(super) fn sizes(v: &View) -> (usize, usize, usize) {
    (v.dims[MAX_RANK - 3], v.dims[MAX_RANK - 2], v.dims[MAX_RANK - 1])
}

/// The factor of an n x n matrix, row-major in `l`, with zeros above the diagonal.
pub(super) fn factor<T: Real>(n: usize, a: impl Fn(usize, usize) -> T, l: &mut Vec<T>) {
    l.clear();
    l.resize(n * n, T::zero());
    for j in 0..n {
        let pivot = {
            let row = &l[j * n..j * n + j];
            a(j, j) - T::dot(row.iter().map(|x| (*x, *x)))
        };
        let root = pivot.sqrt();
        l[j * n + j] = root;
        for i in j + 1..n {
            let (row, other) = (&l[i * n..i * n + j], &l[j * n..j * n + j]);
            let sum = T::dot(row.iter().zip(other).map(|(x, y)| (*x, *y)));
            l[i * n + j] = (a(i, j) - sum) / root;
        }
    }
}

/// Operations of a factor.
pub(super) fn flops(n: usize) -> f64 {
    (n * n * n) as f64 / 3.0 + 2.0 * (n * n) as f64
}

/// A matrix of sixteen tasks: its first element, and the distances of rows and columns.
#[derive(Clone, Copy)]
pub(super) struct LaneMatrix {
    operand: LaneOperand,
    at: usize,
    row: usize,
    column: usize,
}

impl LaneMatrix {
    /// Matrix `i` of a stack.
    #[inline(always)]
    pub(super) fn of(operand: LaneOperand, stack: &View, i: usize) -> LaneMatrix {
        let (at, row, column) = matrix(stack, i);
        LaneMatrix { operand, at, row, column }
    }

    /// # Safety
    /// The element exists.
    #[inline(always)]
    pub(super) unsafe fn get<S: Simd>(&self, simd: S, i: usize, j: usize, lane: usize) -> V<S> {
        // SAFETY: promised by the caller.
        unsafe { self.operand.get(simd, self.at + i * self.row + j * self.column, lane) }
    }

    /// # Safety
    /// The element exists and is not shared.
    #[inline(always)]
    pub(super) unsafe fn put<S: Simd>(&self, i: usize, j: usize, lane: usize, v: V<S>) {
        // SAFETY: promised by the caller.
        unsafe { self.operand.put(self.at + i * self.row + j * self.column, lane, v) }
    }
}

/// The factors of n x n matrices of sixteen tasks, the lower triangle of `l`.
///
/// # Safety
/// Both matrices exist and do not overlap.
#[inline(always)]
pub(super) unsafe fn factor_lanes<S: Simd>(simd: S, n: usize, a: LaneMatrix, l: LaneMatrix) {
    for lane in (0..LANES).step_by(S::F32_LANES) {
        for j in 0..n {
            // SAFETY: promised by the caller.
            unsafe {
                let mut sum = V::splat(simd, 0.0);
                for k in 0..j {
                    let x = l.get(simd, j, k, lane);
                    sum = x.fma(x, sum);
                }
                let root = a.get(simd, j, j, lane).sub(sum).sqrt();
                l.put(j, j, lane, root);
                for i in j + 1..n {
                    let mut sum = V::splat(simd, 0.0);
                    for k in 0..j {
                        sum = l.get(simd, i, k, lane).fma(l.get(simd, j, k, lane), sum);
                    }
                    l.put(i, j, lane, a.get(simd, i, j, lane).sub(sum).div(root));
                }
            }
        }
    }
}
