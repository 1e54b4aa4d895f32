//! `y = act(a b + bias)`, batched; optionally `z = a b + bias` beside it.
//!
//! Operands: a `[.., m, k]`, b `[.., k, n]` (transposes and broadcasts are strides), bias `[.., m, n]`
//! (usually a broadcast row). Results: y, and z where the backward pass needs it.
//!
//! On a GPU the shape chooses one of four shaders: see [`tier`].

mod tier;

use std::cell::RefCell;

use multiversion::multiversion;

use super::parallel::{Shared, pieces};
use super::pointwise::activation;
use super::uniform::{GpuView, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::plan::Arg;
use crate::plan::view::{View, for_each};
use crate::spec::{Activation, MAX_RANK};
use tier::Product;
pub use tier::{Tier, parts, tier};

/// Parameters of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMul {
    /// Whether the third operand is added (else it repeats the first and is ignored).
    pub bias: bool,
    /// Applied to the result.
    pub act: Activation,
}

params!(MatMul {
    dims: GpuView,
    a: GpuView,
    b: GpuView,
    bias: GpuView,
    y: GpuView,
    z: GpuView,
    k: u32,
    tiles_m: u32,
    tiles_n: u32,
    pad: u32
});

impl MatMul {
    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (a, b) = (&reads[0], &reads[1]);
        let k = a.view.dims[MAX_RANK - 1];
        let (ak, bk) = (a.view.strides[MAX_RANK - 1], b.view.strides[MAX_RANK - 2]);
        let y_view = writes[0].view;
        // Positions of row i of a and column j of b for each (batch, i, j).
        let a_rows = axis_to_zero(&a.view, MAX_RANK - 1, &y_view);
        let b_cols = axis_to_zero(&b.view, MAX_RANK - 2, &y_view);
        let bias = if self.bias { reads[2].view } else { a_rows };
        let (first, rest) = writes.split_at_mut(1);
        let z_view = rest.first().map_or(y_view, |z| z.view);
        for_each([&y_view, &a_rows, &b_cols, &bias, &z_view], |[yi, ai, bi, ci, zi]| {
            let mut s = T::dot((0..k).map(|l| (a.f()[ai + l * ak], b.f()[bi + l * bk])));
            if self.bias {
                s = s + reads[2].f()[ci];
            }
            if let Some(z) = rest.first_mut() {
                z.f()[zi] = s;
            }
            first[0].f()[yi] = activation(self.act, 0, s);
        });
    }

    /// Computes the launch in f32: register tiles, or `matrixmultiply` where the product is large.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let shape = writes[0].view.dims;
        let (m, n, k) = (shape[MAX_RANK - 2], shape[MAX_RANK - 1], reads[0].view.dims[MAX_RANK - 1]);
        let batch: usize = shape[..MAX_RANK - 2].iter().product();
        let (y, z) = writes.split_at_mut(1);
        // Rows that are walked become the tile's rows; the operand of the columns must step by one or is packed.
        let mut job = Job {
            m,
            n,
            k,
            a: Matrix::of(&reads[0].view, reads[0].f()),
            b: Matrix::of(&reads[1].view, reads[1].f()),
            bias: self.bias.then(|| Matrix::of(&reads[2].view, reads[2].f())),
            y: Target::of(&mut y[0]),
            z: z.first_mut().map(Target::of),
            act: self.act,
        };
        if job.b.col != 1 && (job.a.row == 1 || m < n) || (n < 8 && m >= 8) {
            job = job.transposed();
        }
        let (m, n) = (job.m, job.n);
        let (block_m, block_n) = job.blocks();
        let (nn, nm) = (n.div_ceil(block_n), m.div_ceil(block_m));
        let flops = 2.0 * (batch * m * n * k) as f64;
        // Many small matrices: several a piece.
        let group = if nn * nm == 1 { ((1 << 17) / (m * n * k).max(1)).clamp(1, batch) } else { 1 };
        let job = &job;
        pieces(batch.div_ceil(group) * nn * nm, flops, |piece| {
            let (g, part) = (piece / (nn * nm), piece % (nn * nm));
            let (pm, pn) = (part / nn, part % nn);
            for item in g * group..((g + 1) * group).min(batch) {
                let rows = pm * block_m..((pm + 1) * block_m).min(m);
                let cols = pn * block_n..((pn + 1) * block_n).min(n);
                job.run(item, rows, cols);
            }
        });
    }

    /// How a GPU computes the product, the product as it sees it, and whether that is the transposed one.
    fn tiered(&self, reads: &[Arg], writes: &[Arg]) -> (Tier, Product, bool) {
        let y = writes[0].view;
        let bias = if self.bias { reads[2].view } else { y };
        let z = writes.get(1).map_or(y, |z| z.view);
        Product::of([reads[0].view, reads[1].view, bias, y, z]).tiered()
    }

    /// The shader that a GPU computes the launch with.
    pub fn shader(&self, reads: &[Arg], writes: &[Arg]) -> &'static str {
        self.tiered(reads, writes).0.shader()
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[Arg], writes: &[Arg]) -> Dispatch {
        let (tier, p, swap) = self.tiered(reads, writes);
        let (tiles_m, tiles_n) = tier.tiles(p.m, p.n);
        let [a, b, bias, y, z] = &p.views;
        let params = Params {
            dims: GpuView::dims(y),
            a: a.into(),
            b: b.into(),
            bias: bias.into(),
            y: y.into(),
            z: z.into(),
            k: p.k as u32,
            tiles_m: tiles_m as u32,
            tiles_n: tiles_n as u32,
            pad: 0,
        };
        let mut constants = vec![
            ("BIAS", self.bias as u32 as f64),
            ("ACT", super::map::act_code(self.act)),
            ("SAVE_Z", (writes.len() > 1) as u32 as f64),
        ];
        constants.extend(tier.constants(&p, swap));
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants,
            groups: grid(tier.groups(p.batch, p.m, p.n)),
        }
    }

    /// Two operations a multiply-add.
    pub fn flops(&self, reads: &[Arg], writes: &[Arg]) -> f64 {
        2.0 * writes[0].view.count() as f64 * reads[0].view.dims[MAX_RANK - 1] as f64
    }
}

/// The view with one matrix axis held at 0 and broadcast over the result's shape.
fn axis_to_zero(v: &View, axis: usize, result: &View) -> View {
    let mut w = *v;
    w.dims = result.dims;
    w.strides[axis] = 0;
    for i in 0..MAX_RANK - 2 {
        if v.dims[i] == 1 {
            w.strides[i] = 0;
        }
    }
    w
}

/// A block length: a multiple of `unit` that gives about `want` columns, at most `n`.
fn block(n: usize, unit: usize, want: usize) -> usize {
    if want >= n { n } else { (want.max(1).div_ceil(unit) * unit).min(n) }
}

/// Rows and columns of the register tile: 12 accumulators of 8 lanes.
const MR: usize = 6;
const NR: usize = 16;

#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    view: View,
    row: usize,
    col: usize,
}

impl<'a> Matrix<'a> {
    fn of(view: &View, data: &'a [f32]) -> Matrix<'a> {
        assert!(view.end() <= data.len(), "a matrix lies outside its slot");
        Matrix { data, view: *view, row: view.strides[MAX_RANK - 2], col: view.strides[MAX_RANK - 1] }
    }

    fn transposed(self) -> Matrix<'a> {
        Matrix { row: self.col, col: self.row, ..self }
    }
}

#[derive(Clone, Copy)]
struct Target {
    data: Shared<f32>,
    view: View,
    row: usize,
    col: usize,
}

impl Target {
    fn of(w: &mut Write<'_, f32>) -> Target {
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
            if self.col == 1 {
                std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
            } else {
                for (c, v) in values.iter().enumerate() {
                    *to.add(c * self.col) = *v;
                }
            }
        }
    }
}

struct Job<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'a>,
    b: Matrix<'a>,
    bias: Option<Matrix<'a>>,
    y: Target,
    z: Option<Target>,
    act: Activation,
}

thread_local! {
    /// A packed panel of b, and a tile of results of a large product; kept between launches.
    static PANEL: RefCell<(Vec<f32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl<'a> Job<'a> {
    /// yᵀ = bᵀ aᵀ
    fn transposed(self) -> Job<'a> {
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

    /// Whether a product is worth `matrixmultiply`'s packing of both operands.
    fn is_large(&self) -> bool {
        self.m * self.n * self.k >= 1 << 27 && self.k >= 64 && self.m.min(self.n) >= 32
    }

    /// Whether columns fill wide tiles.
    fn is_wide(&self) -> bool {
        self.n >= WIDE && self.m >= MR
    }

    /// Rows and columns of a piece of work: about half a million multiply-adds, whatever the number of
    /// threads. Where columns are packed, all rows share the packed panel.
    fn blocks(&self) -> (usize, usize) {
        if self.is_large() {
            return (self.m.min(256), self.n.min(256));
        }
        if self.is_wide() {
            // A million multiply-adds or so; the panel of b, packed or not, is used by all rows of a block.
            let columns = block(self.n, WIDE, (1 << 20) / (self.m.min(256) * self.k).max(1));
            let rows = if self.b.col == 1 { block(self.m, MR, 256) } else { self.m };
            return (rows, columns);
        }
        let columns = block(self.n, NR, (1 << 19) / (self.m * self.k).max(1));
        let rows =
            if self.b.col == 1 { block(self.m, MR, (1 << 19) / (columns * self.k).max(1)) } else { self.m };
        (rows, columns)
    }

    /// Rows and columns of one matrix of the batch.
    fn run(&self, item: usize, rows: std::ops::Range<usize>, cols: std::ops::Range<usize>) {
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
        PANEL.with_borrow_mut(|(panel, tile)| {
            if self.is_large() {
                self.large(a0, b0, bias0, y0, z0, rows, cols, tile);
                return;
            }
            if self.is_wide() {
                self.wide(a0, b0, [bias0, y0, z0], rows, cols, panel);
                return;
            }
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
                    let mut acc = [[0.0f32; NR]; MR];
                    // A short tile repeats its last row: the result is not stored.
                    let row: [usize; MR] = std::array::from_fn(|r| r.min(height - 1) * self.a.row);
                    micro(self.k, a, row, self.a.col, b, b_step, &mut acc);
                    for (r, sums) in acc.iter_mut().enumerate().take(height) {
                        self.store(&mut sums[..width], i + r, j, [bias0, y0, z0]);
                    }
                }
            }
        });
    }

    /// Tiles of `MR` rows and up to `WIDE` columns; columns of b that do not lie side by side are packed.
    fn wide(
        &self,
        a0: usize,
        b0: usize,
        at: [usize; 3],
        rows: std::ops::Range<usize>,
        cols: std::ops::Range<usize>,
        panel: &mut Vec<f32>,
    ) {
        let arch = pulp::Arch::new();
        for j in cols.clone().step_by(WIDE) {
            let width = WIDE.min(cols.end - j);
            let b_at = b0 + j * self.b.col;
            let (b, b_step) = if self.b.col == 1 && width == WIDE {
                (&self.b.data[b_at..], self.b.row)
            } else {
                panel.clear();
                panel.resize(self.k * WIDE, 0.0);
                if self.b.col == 1 {
                    for (l, to) in panel.chunks_exact_mut(WIDE).enumerate() {
                        let from = b_at + l * self.b.row;
                        to[..width].copy_from_slice(&self.b.data[from..from + width]);
                    }
                } else {
                    // Eight terms of a column at a time, so that lines of both sides are used whole.
                    for l in (0..self.k).step_by(8) {
                        let end = (l + 8).min(self.k);
                        for c in 0..width {
                            let from = b_at + c * self.b.col;
                            for t in l..end {
                                panel[t * WIDE + c] = self.b.data[from + t * self.b.row];
                            }
                        }
                    }
                }
                (&panel[..], WIDE)
            };
            for i in rows.clone().step_by(MR) {
                let height = MR.min(rows.end - i);
                let mut acc = [[0.0f32; WIDE]; MR];
                let a = &self.a.data[a0 + i * self.a.row..];
                // A short tile repeats its last row: the result is not stored.
                let row: [usize; MR] = std::array::from_fn(|r| r.min(height - 1) * self.a.row);
                let last = row[MR - 1] + (self.k - 1) * self.a.col;
                assert!(last < a.len() && (self.k - 1) * b_step + WIDE <= b.len());
                arch.dispatch(Wide { k: self.k, a, row, a_step: self.a.col, b, b_step, acc: &mut acc });
                for (r, sums) in acc.iter_mut().enumerate().take(height) {
                    self.store(&mut sums[..width], i + r, j, at);
                }
            }
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "positions of five operands; a struct would only rename them"
    )]
    fn large(
        &self,
        a0: usize,
        b0: usize,
        bias0: usize,
        y0: usize,
        z0: usize,
        rows: std::ops::Range<usize>,
        cols: std::ops::Range<usize>,
        tile: &mut Vec<f32>,
    ) {
        let (m, n) = (rows.len(), cols.len());
        tile.clear();
        tile.resize(m * n, 0.0);
        // SAFETY: `Matrix::of` checked that the views end inside their slices, and the tile holds m x n.
        unsafe {
            matrixmultiply::sgemm(
                m,
                self.k,
                n,
                1.0,
                self.a.data.as_ptr().add(a0 + rows.start * self.a.row),
                self.a.row as isize,
                self.a.col as isize,
                self.b.data.as_ptr().add(b0 + cols.start * self.b.col),
                self.b.row as isize,
                self.b.col as isize,
                0.0,
                tile.as_mut_ptr(),
                n as isize,
                1,
            );
        }
        for (r, sums) in tile.chunks_mut(n).enumerate() {
            self.store(sums, rows.start + r, cols.start, [bias0, y0, z0]);
        }
    }

    /// Adds the bias to a run of sums in one row, applies the activation and writes them; `at` are the
    /// positions of this matrix in bias, y and z.
    #[inline(always)]
    fn store(&self, sums: &mut [f32], row: usize, col: usize, at: [usize; 3]) {
        let [bias0, y0, z0] = at;
        if let Some(bias) = &self.bias {
            let from = bias0 + row * bias.row + col * bias.col;
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
        // SAFETY: the views are injective and inside their slots (`Target::of`), and every (item, row,
        // column) belongs to one piece of work.
        unsafe {
            if let Some(z) = &self.z {
                z.put(sums, z0 + row * z.row + col * z.col);
            }
            match self.act {
                Activation::Identity => {}
                Activation::Relu => {
                    sums.iter_mut().for_each(|s| *s = if *s > 0.0 || s.is_nan() { *s } else { 0.0 })
                }
                act => sums.iter_mut().for_each(|s| *s = activation(act, 0, *s)),
            }
            self.y.put(sums, y0 + row * self.y.row + col * self.y.col);
        }
    }
}

/// Columns of a wide tile: four registers of sixteen.
const WIDE: usize = 64;

/// `acc = a b` for MR rows of a (at `row[r]`, stepping by `a_step`) and WIDE columns of b (rows `b_step` apart), whose
/// last elements exist.
struct Wide<'a> {
    k: usize,
    a: &'a [f32],
    row: [usize; MR],
    a_step: usize,
    b: &'a [f32],
    b_step: usize,
    acc: &'a mut [[f32; WIDE]; MR],
}

impl pulp::WithSimd for Wide<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        // As many columns at once as there are registers for.
        if S::REGISTER_COUNT >= 32 { self.columns::<S, 4>(simd) } else { self.columns::<S, 2>(simd) }
    }
}

impl Wide<'_> {
    #[inline(always)]
    fn columns<S: pulp::Simd, const N: usize>(self, simd: S) {
        for j in (0..WIDE).step_by(N * S::F32_LANES) {
            let mut sum = [[simd.splat_f32s(0.0); N]; MR];
            let (mut a, mut b) = (self.a.as_ptr(), self.b.as_ptr().wrapping_add(j));
            for _ in 0..self.k {
                let mut column = [simd.splat_f32s(0.0); N];
                for c in 0..N {
                    // SAFETY: whoever made this has checked the last element of each operand.
                    column[c] =
                        unsafe { b.wrapping_add(c * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
                }
                for r in 0..MR {
                    // SAFETY: as above.
                    let x = simd.splat_f32s(unsafe { *a.wrapping_add(self.row[r]) });
                    for c in 0..N {
                        sum[r][c] = simd.mul_add_e_f32s(x, column[c], sum[r][c]);
                    }
                }
                a = a.wrapping_add(self.a_step);
                b = b.wrapping_add(self.b_step);
            }
            for r in 0..MR {
                for c in 0..N {
                    let at = j + c * S::F32_LANES;
                    let to = &mut self.acc[r][at..at + S::F32_LANES];
                    to.copy_from_slice(bytemuck::cast_slice(std::slice::from_ref(&sum[r][c])));
                }
            }
        }
    }
}

/// `acc += a b` for MR rows of a (at `row[r]`, stepping by `a_step`) and NR columns of b (rows `b_step` apart).
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
    if k == 0 {
        return;
    }
    let last = row.iter().max().copied().unwrap_or(0) + (k - 1) * a_step;
    assert!(last < a.len() && (k - 1) * b_step + NR <= b.len());
    let mut sum = *acc;
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
