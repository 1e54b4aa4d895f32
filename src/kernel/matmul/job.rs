//! A product on the CPU: its operands as matrices, how it is cut into pieces, and tiles for those that are not wide.

use std::cell::RefCell;
use std::ops::Range;

use multiversion::multiversion;

use super::wide::{WIDE, Wide};
use crate::graph::op::Func;
use crate::kernel::Write;
use crate::kernel::parallel::Shared;
use crate::kernel::simd::apply;
use crate::spec::{Activation, MAX_RANK};
use crate::view::View;

/// A block length: a multiple of `unit` that gives about `want` columns, at most `n`.
pub(super) fn block(n: usize, unit: usize, want: usize) -> usize {
    if want >= n { n } else { (want.max(1).div_ceil(unit) * unit).min(n) }
}

/// Rows and columns of the register tile: 12 accumulators of 8 lanes.
pub(super) const MR: usize = 6;
const NR: usize = 16;
/// Lanes of a sum along neighbours, and rows of results at most for which it pays.
const LANES: usize = 16;
const DOT_ROWS: usize = 2;

#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) data: &'a [f32],
    view: View,
    pub(super) row: usize,
    pub(super) col: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn of(view: &View, data: &'a [f32]) -> Matrix<'a> {
        assert!(view.end() <= data.len(), "a matrix lies outside its slot");
        Matrix { data, view: *view, row: view.strides[MAX_RANK - 2], col: view.strides[MAX_RANK - 1] }
    }

    pub(super) fn transposed(self) -> Matrix<'a> {
        Matrix { row: self.col, col: self.row, ..self }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) data: Shared<f32>,
    view: View,
    pub(super) row: usize,
    pub(super) col: usize,
}

impl Target {
    pub(super) fn of(w: &mut Write<'_, f32>) -> Target {
        let view = w.view;
        assert!(view.end() <= w.f().len() && view.is_injective(), "a result lies outside its slot");
        let data = Shared(w.f().as_mut_ptr());
        Target { data, view, row: view.strides[MAX_RANK - 2], col: view.strides[MAX_RANK - 1] }
    }

    fn transposed(self) -> Target {
        Target { row: self.col, col: self.row, ..self }
    }

    /// Writes neighbours of one row from element `at` on.
    ///
    /// # Safety
    /// The elements lie inside the slot and no other thread touches them.
    #[inline(always)]
    unsafe fn put(&self, values: &[f32], at: usize) {
        // SAFETY: promised by the caller.
        unsafe {
            let to = self.data.get().add(at);
            if let (1, Ok(full)) = (self.col, <[f32; NR]>::try_from(values)) {
                // A length that is known is no call.
                to.cast::<[f32; NR]>().write_unaligned(full);
            } else if self.col == 1 {
                std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
            } else {
                for (c, v) in values.iter().enumerate() {
                    *to.add(c * self.col) = *v;
                }
            }
        }
    }
}

pub(super) struct Job<'a> {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) a: Matrix<'a>,
    pub(super) b: Matrix<'a>,
    pub(super) bias: Option<Matrix<'a>>,
    pub(super) y: Target,
    pub(super) z: Option<Target>,
    pub(super) act: Activation,
}

thread_local! {
    /// A packed panel of b, kept between launches.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl<'a> Job<'a> {
    /// yᵀ = bᵀ aᵀ
    pub(super) fn transposed(self) -> Job<'a> {
        Job {
            m: self.n,
            n: self.m,
            k: self.k,
            a: self.b.transposed(),
            b: self.a.transposed(),
            bias: self.bias.map(Matrix::transposed),
            y: self.y.transposed(),
            z: self.z.map(Target::transposed),
            act: self.act,
        }
    }

    /// The product, or its transpose: rows that are walked become the tile's rows; the operand of the columns must step by
    /// one or is packed.
    pub(super) fn oriented(self) -> Job<'a> {
        let Job { m, n, .. } = self;
        if self.b.col != 1 && (self.a.row == 1 || m < n) || (n < 8 && m >= 8) {
            self.transposed()
        } else {
            self
        }
    }

    /// Whether columns fill wide tiles.
    fn is_wide(&self) -> bool {
        self.n >= WIDE && self.m >= MR && self.k > 0
    }

    /// Rows and columns of a piece of work, whatever the number of threads. All rows of a piece share the packed
    /// columns.
    pub(super) fn blocks(&self) -> (usize, usize) {
        if self.is_wide() {
            return Wide::blocks(self);
        }
        // About half a million multiply-adds.
        let columns = block(self.n, NR, (1 << 19) / (self.m * self.k).max(1));
        let rows =
            if self.b.col == 1 { block(self.m, MR, (1 << 19) / (columns * self.k).max(1)) } else { self.m };
        (rows, columns)
    }

    /// Rows and columns of one matrix of the batch. In line: of many small matrices a call would cost a fifth.
    #[inline(always)]
    pub(super) fn run(&self, item: usize, rows: Range<usize>, cols: Range<usize>) {
        let at = |v: &View| {
            let (mut rest, mut pos) = (item, v.offset);
            for i in (0..MAX_RANK - 2).rev() {
                let d = self.y.view.dims[i];
                pos += (rest % d) * if v.dims[i] == 1 { 0 } else { v.strides[i] };
                rest /= d;
            }
            pos
        };
        let (a0, b0) = (at(&self.a.view), at(&self.b.view));
        let bias0 = self.bias.map_or(0, |b| at(&b.view));
        let (y0, z0) = (at(&self.y.view), self.z.map_or(0, |z| at(&z.view)));
        if self.is_wide() {
            Wide { job: self, a: a0, b: b0, results: [bias0, y0, z0] }.run(rows, cols);
            return;
        }
        if self.is_dots() {
            self.dots([a0, b0], [bias0, y0, z0], rows, cols);
            return;
        }
        PANEL.with_borrow_mut(|panel| {
            let mut acc = [[0.0f32; NR]; MR];
            for j in cols.clone().step_by(NR) {
                let width = NR.min(cols.end - j);
                let b_at = b0 + j * self.b.col;
                let (b, b_step) = if self.b.col == 1 && width == NR {
                    (&self.b.data[b_at..], self.b.row)
                } else {
                    panel.clear();
                    panel.resize(self.k * NR, 0.0);
                    for l in 0..self.k {
                        let from = b_at + l * self.b.row;
                        for c in 0..width {
                            panel[l * NR + c] = self.b.data[from + c * self.b.col];
                        }
                    }
                    (&panel[..], NR)
                };
                for i in rows.clone().step_by(MR) {
                    let height = MR.min(rows.end - i);
                    let a = &self.a.data[a0 + i * self.a.row..];
                    // A short tile repeats its last row: the result is not stored.
                    let row: [usize; MR] = std::array::from_fn(|r| r.min(height - 1) * self.a.row);
                    micro(self.k, a, row, self.a.col, b, b_step, &mut acc);
                    for (r, sums) in acc.iter_mut().enumerate().take(height) {
                        self.add(&mut sums[..width], [i + r, j], [bias0, y0, z0]);
                    }
                    // The whole tile at once, what lies beyond its rows and columns with it: a short row would be no vector.
                    self.activate(acc[..height].as_flattened_mut());
                    for (r, sums) in acc.iter().enumerate().take(height) {
                        self.put(&sums[..width], [i + r, j], [bias0, y0, z0]);
                    }
                }
            }
        });
    }

    /// Whether results are so few a column that each is a sum along neighbours: the columns of b lie in one piece each.
    fn is_dots(&self) -> bool {
        self.m <= DOT_ROWS && self.b.row == 1 && self.b.col != 1 && self.k >= LANES
    }

    /// Rows and columns of such a product.
    fn dots(&self, [a0, b0]: [usize; 2], at: [usize; 3], rows: Range<usize>, cols: Range<usize>) {
        PANEL.with_borrow_mut(|panel| {
            let mut sums = [0.0f32; 4 * NR];
            for i in rows {
                let row = a0 + i * self.a.row;
                let a = if self.a.col == 1 {
                    &self.a.data[row..][..self.k]
                } else {
                    panel.clear();
                    panel.extend((0..self.k).map(|l| self.a.data[row + l * self.a.col]));
                    &panel[..]
                };
                for j in cols.clone().step_by(sums.len()) {
                    let sums = &mut sums[..(4 * NR).min(cols.end - j)];
                    dots(a, &self.b.data[b0 + j * self.b.col..], self.b.col, sums);
                    self.finish(sums, [i, j], at);
                    self.put(sums, [i, j], at);
                }
            }
        });
    }

    /// Adds the bias to a run of sums that begins at that row and column, keeps them where that is wanted, and applies
    /// the activation; `at` are the positions of this matrix in bias, y and z.
    #[inline(always)]
    pub(super) fn finish(&self, sums: &mut [f32], place: [usize; 2], at: [usize; 3]) {
        self.add(sums, place, at);
        self.activate(sums);
    }

    /// Adds the bias, and keeps the sums where that is wanted.
    #[inline(always)]
    fn add(&self, sums: &mut [f32], [row, col]: [usize; 2], at: [usize; 3]) {
        if let Some(bias) = &self.bias {
            let from = at[0] + row * bias.row + col * bias.col;
            if bias.col == 1 {
                for (s, b) in sums.iter_mut().zip(&bias.data[from..]) {
                    *s += b;
                }
            } else {
                for (c, s) in sums.iter_mut().enumerate() {
                    *s += bias.data[from + c * bias.col];
                }
            }
        }
        if let Some(z) = &self.z {
            // SAFETY: as for `put`.
            unsafe { z.put(sums, at[2] + row * z.row + col * z.col) };
        }
    }

    #[inline(always)]
    fn activate(&self, sums: &mut [f32]) {
        match self.act {
            Activation::Identity => {}
            // What is not a number stays.
            Activation::Relu => sums.iter_mut().for_each(|s| *s = if *s <= 0.0 { 0.0 } else { *s }),
            act => apply(Func::Act(act, 0), sums),
        }
    }

    /// Writes a run of results that begins at that row and column.
    #[inline(always)]
    pub(super) fn put(&self, results: &[f32], [row, col]: [usize; 2], at: [usize; 3]) {
        // SAFETY: the views are injective and inside their slots (`Target::of`), and every (item, row,
        // column) belongs to one piece of work.
        unsafe { self.y.put(results, at[1] + row * self.y.row + col * self.y.col) };
    }
}

/// `sums[c] = Σ a[l] b[c · step + l]`: of each sum every lane adds up its own terms, then the lanes are added in pairs.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn dots(a: &[f32], b: &[f32], step: usize, sums: &mut [f32]) {
    for (c, to) in sums.iter_mut().enumerate() {
        let b = &b[c * step..][..a.len()];
        let mut lanes = [0.0f32; LANES];
        let (whole, rest) = a.as_chunks::<LANES>();
        let (others, last) = b.as_chunks::<LANES>();
        for (x, y) in whole.iter().zip(others) {
            for l in 0..LANES {
                lanes[l] = fused(x[l], y[l], lanes[l]);
            }
        }
        for (l, (x, y)) in rest.iter().zip(last).enumerate() {
            lanes[l] = fused(*x, *y, lanes[l]);
        }
        let mut half = LANES / 2;
        while half > 0 {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
            half /= 2;
        }
        *to = lanes[0];
    }
}

/// `acc = a b` for MR rows of a (at `row[r]`, stepping by `a_step`) and NR columns of b (rows `b_step` apart).
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn micro(
    k: usize,
    a: &[f32],
    row: [usize; MR],
    a_step: usize,
    b: &[f32],
    b_step: usize,
    acc: &mut [[f32; NR]; MR],
) {
    let mut sum = [[0.0f32; NR]; MR];
    if k == 0 {
        *acc = sum;
        return;
    }
    let last = row.iter().max().copied().unwrap_or(0) + (k - 1) * a_step;
    assert!(last < a.len() && (k - 1) * b_step + NR <= b.len());
    for l in 0..k {
        // SAFETY: the assertion above covers the largest index of each operand.
        unsafe {
            let b = b.as_ptr().add(l * b_step).cast::<[f32; NR]>().read_unaligned();
            for r in 0..MR {
                let x = *a.get_unchecked(row[r] + l * a_step);
                for c in 0..NR {
                    sum[r][c] = fused(x, b[c], sum[r][c]);
                }
            }
        }
    }
    *acc = sum;
}

/// A fused multiply-add where the processor has one; elsewhere it would be a slow library call.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_arch = "x86_64") || cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
}
