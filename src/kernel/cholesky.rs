//! The Cholesky factor that `spd_solve` and `spd_logdet` share: `A = L Lᵀ` (Golub and Van Loan 2013, section 4.2). Only the
//! lower triangle of A is read. Of a matrix that is not positive definite the factor is NaN, and so is what is made of it.

use super::Real;
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
