//! Products with many columns on the CPU: panels of columns are packed, and tiles of six rows run over them with their
//! sums in registers (Goto and van de Geijn 2008). The terms of a sum are added one after another whatever the blocks, so
//! that how a product is cut changes no bit.

use std::cell::RefCell;
use std::ops::Range;

use multiversion::multiversion;
use pulp::{Arch, Simd, WithSimd};

use super::job::{Job, MR, Matrix, block};
use crate::kernel::transposed;
use crate::spec::Activation;

/// Columns of a panel: four of the widest registers.
pub(super) const WIDE: usize = 64;

/// Terms that are summed before the next are packed, so that a panel stays in cache.
const DEPTH: usize = 256;

/// One matrix of a batch, with where it begins in the operands, and in bias, y and z.
pub(super) struct Wide<'j, 'a> {
    pub(super) job: &'j Job<'a>,
    pub(super) a: usize,
    pub(super) b: usize,
    pub(super) results: [usize; 3],
}

/// What is packed, and unfinished sums; kept between launches.
#[derive(Default)]
struct Scratch {
    a: Vec<f32>,
    b: Vec<f32>,
    sums: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Wide<'_, '_> {
    /// Rows and columns of a piece: up to four million multiply-adds, but sixteen pieces of a product where that leaves
    /// half a million to each, and enough columns for rows that are packed.
    pub(super) fn blocks(job: &Job<'_>) -> (usize, usize) {
        let budget = (job.m * job.n * job.k / 16).clamp(1 << 19, 1 << 22);
        let packed = packs_rows(job);
        let tall = if packed { job.m >= 512 } else { budget >= 1 << 21 };
        let short = match packed {
            true if budget == 1 << 19 => 32,
            true => 64,
            false => 128,
        };
        let rows = block(job.m, MR, if tall { 256 } else { short });
        let least = if packed { 4 * WIDE } else { WIDE };
        (rows, block(job.n, WIDE, (budget / (rows * job.k)).max(least)))
    }

    /// Computes these rows and columns.
    pub(super) fn run(&self, rows: Range<usize>, cols: Range<usize>) {
        SCRATCH.with_borrow_mut(|s| self.pieces(rows, cols, s));
    }

    fn pieces(&self, rows: Range<usize>, cols: Range<usize>, scratch: &mut Scratch) {
        let (job, arch) = (self.job, Arch::new());
        let parts = job.k.div_ceil(DEPTH);
        let depth = job.k.div_ceil(parts);
        let across = cols.len().next_multiple_of(WIDE);
        // Sums are kept where the results go, or here: those of all parts, or of a tile.
        let in_place = job.y.col == 1 && job.z.is_none();
        scratch.sums.resize(if parts > 1 { rows.len() * across } else { MR * WIDE }, 0.0);
        for from in (0..job.k).step_by(depth) {
            let terms = from..(from + depth).min(job.k);
            let last = terms.end == job.k;
            let packed = packs_rows(job);
            if packed {
                self.pack_rows(rows.clone(), terms.clone(), &mut scratch.a);
            }
            let panels = cols.clone().step_by(WIDE);
            // Columns that few tiles run over are read where they lie.
            let direct = job.b.col == 1 && rows.len() <= 2 * MR;
            scratch.b.resize(terms.len() * across, 0.0);
            for (j, to) in panels.clone().zip(scratch.b.chunks_exact_mut(terms.len() * WIDE)) {
                let width = WIDE.min(cols.end - j);
                if !direct || width < WIDE {
                    let at = self.b + from * job.b.row + j * job.b.col;
                    pack_columns(&job.b, at, terms.len(), width, to);
                }
            }
            for (tile, i) in rows.clone().step_by(MR).enumerate() {
                let height = MR.min(rows.end - i);
                let (a, a_row, a_col) = match packed {
                    true => (&scratch.a[tile * terms.len() * MR..], 1, MR),
                    false => (&job.a.data[self.a + i * job.a.row + from * job.a.col..], job.a.row, 1),
                };
                for (panel, j) in panels.clone().enumerate() {
                    let width = WIDE.min(cols.end - j);
                    let (b, b_row) = match direct && width == WIDE {
                        true => (&job.b.data[self.b + from * job.b.row + j..], job.b.row),
                        false => (&scratch.b[panel * terms.len() * WIDE..], WIDE),
                    };
                    let in_place = in_place && width == WIDE;
                    let (sums, step) = if in_place {
                        (self.result(i, j), job.y.row)
                    } else if parts > 1 {
                        let at = (i - rows.start) * across + (j - cols.start);
                        (scratch.sums[at..].as_mut_ptr(), across)
                    } else {
                        (scratch.sums.as_mut_ptr(), WIDE)
                    };
                    let (first, terms) = (from == 0, terms.len());
                    arch.dispatch(Tile {
                        first,
                        height,
                        width,
                        terms,
                        a,
                        a_row,
                        a_col,
                        b,
                        b_row,
                        sums,
                        step,
                    });
                    if last {
                        // SAFETY: the tile has just been computed there.
                        unsafe { self.finish(sums, step, [height, width], [i, j], in_place) };
                    }
                }
            }
        }
    }

    /// Bias, activation and results of a tile, whose first element is at that row and column; `in_place` where its sums
    /// are where the results go.
    ///
    /// # Safety
    /// The sums exist.
    unsafe fn finish(
        &self,
        sums: *mut f32,
        step: usize,
        [height, width]: [usize; 2],
        [i, j]: [usize; 2],
        in_place: bool,
    ) {
        if in_place && self.job.bias.is_none() && self.job.act == Activation::Identity {
            return;
        }
        for r in 0..height {
            // SAFETY: promised by the caller.
            let sums = unsafe { std::slice::from_raw_parts_mut(sums.add(r * step), width) };
            store(self.job, sums, [i + r, j], self.results, in_place);
        }
    }

    /// Where the result of a row and column lies.
    fn result(&self, row: usize, col: usize) -> *mut f32 {
        let y = &self.job.y;
        y.data.get().wrapping_add(self.results[1] + row * y.row + col * y.col)
    }

    /// Rows in tiles of `MR`, term after term.
    fn pack_rows(&self, rows: Range<usize>, terms: Range<usize>, to: &mut Vec<f32>) {
        let a = &self.job.a;
        to.resize(rows.len().next_multiple_of(MR) * terms.len(), 0.0);
        for (tile, i) in rows.clone().step_by(MR).enumerate() {
            let height = MR.min(rows.end - i);
            let to = &mut to[tile * terms.len() * MR..];
            for (l, to) in terms.clone().zip(to.as_chunks_mut::<MR>().0) {
                let from = self.a + i * a.row + l * a.col;
                if let (1, Some(next)) = (a.row, a.data[from..].first_chunk::<MR>()) {
                    *to = *next;
                } else {
                    for r in 0..height {
                        to[r] = a.data[from + r * a.row];
                    }
                }
            }
        }
    }
}

/// Whether rows are packed: tiles read term after term.
fn packs_rows(job: &Job<'_>) -> bool {
    job.a.col != 1
}

/// A panel: `width` columns from element `at` on, padded to `WIDE`, term after term.
fn pack_columns(b: &Matrix<'_>, at: usize, terms: usize, width: usize, to: &mut [f32]) {
    if b.col == 1 {
        for (l, to) in to.as_chunks_mut::<WIDE>().0.iter_mut().enumerate() {
            let from = &b.data[at + l * b.row..];
            match from.first_chunk::<WIDE>() {
                Some(from) if width == WIDE => *to = *from,
                _ => to[..width].copy_from_slice(&from[..width]),
            }
        }
        return;
    }
    let (mut l, whole) = (0, width - width % 4);
    if b.row == 1 {
        // Four columns' next four terms are transposed in registers.
        while l + 4 <= terms {
            for c in (0..whole).step_by(4) {
                let mut block = [[0.0; 4]; 4];
                for k in 0..4 {
                    let from = at + l + (c + k) * b.col;
                    block[k].copy_from_slice(&b.data[from..from + 4]);
                }
                let block = transposed(block);
                for k in 0..4 {
                    to[(l + k) * WIDE + c..][..4].copy_from_slice(&block[k]);
                }
            }
            for c in whole..width {
                for k in l..l + 4 {
                    to[k * WIDE + c] = b.data[at + k + c * b.col];
                }
            }
            l += 4;
        }
    }
    for l in l..terms {
        for c in 0..width {
            to[l * WIDE + c] = b.data[at + l * b.row + c * b.col];
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn store(job: &Job<'_>, sums: &mut [f32], at: [usize; 2], results: [usize; 3], in_place: bool) {
    job.finish(sums, at, results);
    if !in_place {
        job.put(sums, at, results);
    }
}

/// `sums = a b`, or `sums += a b` where they are not the first terms: up to `MR` rows, up to `WIDE` columns.
struct Tile<'t> {
    first: bool,
    height: usize,
    width: usize,
    terms: usize,
    a: &'t [f32],
    a_row: usize,
    a_col: usize,
    b: &'t [f32],
    b_row: usize,
    /// Its rows, `step` apart, exist up to a whole number of registers.
    sums: *mut f32,
    step: usize,
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let last = self.terms - 1;
        assert!((self.height - 1) * self.a_row + last * self.a_col < self.a.len(), "rows end early");
        assert!(last * self.b_row + WIDE <= self.b.len(), "columns end early");
        let mut i = 0;
        while i < self.height {
            i += match self.height - i {
                6.. => self.rows::<S, 6>(simd, i),
                4.. => self.rows::<S, 4>(simd, i),
                2.. => self.rows::<S, 2>(simd, i),
                _ => self.rows::<S, 1>(simd, i),
            };
        }
    }
}

impl Tile<'_> {
    /// As many columns at once as there are registers for.
    #[inline(always)]
    fn rows<S: Simd, const M: usize>(&self, simd: S, i: usize) -> usize {
        let mut j = 0;
        while j < self.width {
            j += match (self.width - j).div_ceil(S::F32_LANES) {
                4.. if S::REGISTER_COUNT >= 32 => self.part::<S, M, 4>(simd, i, j),
                2.. => self.part::<S, M, 2>(simd, i, j),
                _ => self.part::<S, M, 1>(simd, i, j),
            };
        }
        M
    }

    #[inline(always)]
    fn part<S: Simd, const M: usize, const N: usize>(&self, simd: S, i: usize, j: usize) -> usize {
        // SAFETY: `with_simd` has checked the last elements; rows i .. i + M lie inside the tile, and so do
        // N registers of columns from j on, since WIDE is a multiple of them.
        unsafe {
            let start = self.sums.add(i * self.step + j);
            let at =
                |r: usize, c: usize| start.wrapping_add(r * self.step + c * S::F32_LANES).cast::<S::f32s>();
            let mut sum = [[simd.splat_f32s(0.0); N]; M];
            if !self.first {
                for r in 0..M {
                    for c in 0..N {
                        sum[r][c] = at(r, c).read_unaligned();
                    }
                }
            }
            let (mut a, mut b) = (self.a.as_ptr().add(i * self.a_row), self.b.as_ptr().add(j));
            for _ in 0..self.terms {
                let mut column = [simd.splat_f32s(0.0); N];
                for c in 0..N {
                    column[c] = b.wrapping_add(c * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                }
                for r in 0..M {
                    let x = simd.splat_f32s(*a.wrapping_add(r * self.a_row));
                    for c in 0..N {
                        sum[r][c] = simd.mul_add_e_f32s(x, column[c], sum[r][c]);
                    }
                }
                a = a.wrapping_add(self.a_col);
                b = b.wrapping_add(self.b_row);
            }
            for r in 0..M {
                for c in 0..N {
                    at(r, c).write_unaligned(sum[r][c]);
                }
            }
        }
        N * S::F32_LANES
    }
}
