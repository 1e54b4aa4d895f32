//! Products of small matrices, sixteen tasks at a time: every element is a vector with a lane a task, so any
//! shape and any stride runs at the same speed.

use pulp::Simd;

use super::{LANES, Lane};

/// A matrix of lanes, or of numbers that all tasks share.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) lanes: *const Lane,
    pub(crate) shared: *const f32,
    pub(crate) is_shared: bool,
    pub(crate) row: usize,
    pub(crate) col: usize,
}

/// `y = a b (+ bias)`
#[derive(Clone, Copy)]
pub(crate) struct LaneProduct {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: Source,
    pub(crate) b: Source,
    pub(crate) bias: Option<Source>,
    pub(crate) y: *mut Lane,
    pub(crate) row: usize,
    pub(crate) col: usize,
}

impl LaneProduct {
    /// Computes the product.
    ///
    /// # Safety
    /// All elements of the operands and of the result exist, and the result overlaps no operand; it may be the bias, element by
    /// element, which is read before it is written.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(&self, simd: S) {
        // SAFETY: promised by the caller; a lane is a whole number of registers.
        unsafe {
            // By the registers that a lane is.
            match (self.m, LANES / S::F32_LANES) {
                (1, 1) => return self.row::<S, 8, 1>(simd),
                (1, 2) => return self.row::<S, 4, 2>(simd),
                _ => {}
            }
            for lane in (0..LANES).step_by(S::F32_LANES) {
                // Where a stays in the first cache, each column of b is fetched once; else each row of a.
                if self.m * self.k <= NEAR {
                    let mut j = 0;
                    while j < self.n {
                        let mut i = 0;
                        let width = width::<S>(self.n - j);
                        while i < self.m {
                            i += self.tiles(simd, lane, i, j, width);
                        }
                        j += width;
                    }
                } else {
                    let mut i = 0;
                    while i < self.m {
                        let (mut j, mut height) = (0, 0);
                        while j < self.n {
                            let width = width::<S>(self.n - j);
                            height = self.tiles(simd, lane, i, j, width);
                            j += width;
                        }
                        i += height;
                    }
                }
            }
        }
    }

    /// The product of one row: all lanes of several columns at once, so that a line of the cache is fetched once and no sum waits
    /// for its last addition.
    #[inline(always)]
    unsafe fn row<S: Simd, const NR: usize, const PARTS: usize>(&self, simd: S) {
        // SAFETY: as for `run`.
        unsafe {
            let whole = self.n - self.n % NR;
            for j in (0..whole).step_by(NR) {
                kinds::<S, 1, NR, PARTS>(simd, self, 0, 0, j);
            }
            for j in whole..self.n {
                kinds::<S, 1, 1, PARTS>(simd, self, 0, 0, j);
            }
        }
    }

    /// One tile, of so many columns; its rows.
    #[inline(always)]
    unsafe fn tiles<S: Simd>(&self, simd: S, lane: usize, i: usize, j: usize, width: usize) -> usize {
        // SAFETY: as for `run`.
        unsafe {
            match self.m - i {
                6 | 7 | 9.. => columns::<S, 6>(simd, self, lane, i, j, width),
                4.. => columns::<S, 4>(simd, self, lane, i, j, width),
                2.. => columns::<S, 2>(simd, self, lane, i, j, width),
                _ => columns::<S, 1>(simd, self, lane, i, j, width),
            }
        }
    }
}

/// Vectors that stay in the first cache beside a few columns of the other operand: 32 KiB.
const NEAR: usize = 512;

/// Columns of a tile: four where there are 32 registers, else two.
#[inline(always)]
fn width<S: Simd>(left: usize) -> usize {
    match left {
        4.. if S::REGISTER_COUNT >= 32 => 4,
        2.. => 2,
        _ => 1,
    }
}

#[inline(always)]
unsafe fn columns<S: Simd, const MR: usize>(
    simd: S,
    p: &LaneProduct,
    lane: usize,
    i: usize,
    j: usize,
    width: usize,
) -> usize {
    // SAFETY: as for `run`.
    unsafe {
        match width {
            4 => kinds::<S, MR, 4, 1>(simd, p, lane, i, j),
            2 => kinds::<S, MR, 2, 1>(simd, p, lane, i, j),
            _ => kinds::<S, MR, 1, 1>(simd, p, lane, i, j),
        }
    }
    MR
}

#[inline(always)]
unsafe fn kinds<S: Simd, const MR: usize, const NR: usize, const PARTS: usize>(
    simd: S,
    p: &LaneProduct,
    lane: usize,
    i: usize,
    j: usize,
) {
    // SAFETY: as for `run`.
    unsafe {
        match (p.a.is_shared, p.b.is_shared) {
            (false, false) => tile::<S, MR, NR, PARTS, false, false>(simd, p, lane, i, j),
            (false, true) => tile::<S, MR, NR, PARTS, false, true>(simd, p, lane, i, j),
            (true, false) => tile::<S, MR, NR, PARTS, true, false>(simd, p, lane, i, j),
            (true, true) => tile::<S, MR, NR, PARTS, true, true>(simd, p, lane, i, j),
        }
    }
}

/// Bytes of an element of an operand.
#[inline(always)]
const fn size(shared: bool) -> usize {
    if shared { size_of::<f32>() } else { size_of::<Lane>() }
}

/// An element, of the register's worth of lanes with this number.
#[inline(always)]
unsafe fn fetch<S: Simd, const SHARED: bool>(simd: S, at: *const u8, part: usize) -> S::f32s {
    // SAFETY: as for `run`.
    unsafe {
        match SHARED {
            true => simd.splat_f32s(*at.cast::<f32>()),
            false => at.cast::<S::f32s>().add(part).read_unaligned(),
        }
    }
}

/// First byte of an operand, as seen from lane `lane` on.
#[inline(always)]
fn start(s: &Source, at: usize, lane: usize) -> *const u8 {
    if s.is_shared {
        s.shared.wrapping_add(at).cast()
    } else {
        s.lanes.wrapping_add(at).cast::<f32>().wrapping_add(lane).cast()
    }
}

/// Rows i .. i + MR of columns j .. j + NR, in so many registers' worth of lanes from `lane` on.
#[inline(always)]
unsafe fn tile<
    S: Simd,
    const MR: usize,
    const NR: usize,
    const PARTS: usize,
    const A: bool,
    const B: bool,
>(
    simd: S,
    p: &LaneProduct,
    lane: usize,
    i: usize,
    j: usize,
) {
    // SAFETY: as for `run`: rows i .. i + MR and columns j .. j + NR exist.
    unsafe {
        let mut acc = [[[simd.splat_f32s(0.0); PARTS]; NR]; MR];
        // Bytes throughout, so that the addresses of a tile are sums.
        let (mut a, mut b) = (start(&p.a, i * p.a.row, lane), start(&p.b, j * p.b.col, lane));
        let (a_row, a_col) = (p.a.row * size(A), p.a.col * size(A));
        let (b_row, b_col) = (p.b.row * size(B), p.b.col * size(B));
        for _ in 0..p.k {
            let mut column = [[simd.splat_f32s(0.0); PARTS]; NR];
            for c in 0..NR {
                for part in 0..PARTS {
                    column[c][part] = fetch::<S, B>(simd, b.wrapping_add(c.wrapping_mul(b_col)), part);
                }
            }
            for r in 0..MR {
                for part in 0..PARTS {
                    let x = fetch::<S, A>(simd, a.wrapping_add(r.wrapping_mul(a_row)), part);
                    for c in 0..NR {
                        acc[r][c][part] = simd.mul_add_e_f32s(x, column[c][part], acc[r][c][part]);
                    }
                }
            }
            a = a.wrapping_add(a_col);
            b = b.wrapping_add(b_row);
        }
        for r in 0..MR {
            for c in 0..NR {
                for part in 0..PARTS {
                    let mut sum = acc[r][c][part];
                    // Added to the complete sum, not the sum to it: each of its terms would be rounded at its size.
                    if let Some(bias) = &p.bias {
                        let at = start(bias, (i + r) * bias.row + (j + c) * bias.col, lane);
                        let bias = match bias.is_shared {
                            true => fetch::<S, true>(simd, at, part),
                            false => fetch::<S, false>(simd, at, part),
                        };
                        sum = simd.add_f32s(sum, bias);
                    }
                    let to = p.y.add((i + r) * p.row + (j + c) * p.col).cast::<f32>().add(lane);
                    to.cast::<S::f32s>().add(part).write_unaligned(sum);
                }
            }
        }
    }
}
