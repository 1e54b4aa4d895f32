//! Products of small matrices, sixteen tasks at a time: every element is a vector with a lane a task, so any
//! shape and any stride runs at the same speed.

use multiversion::multiversion;
use multiversion::target::target_cfg_f;

use super::lanes::{LANES, Lane};
use super::math::fused;

/// A matrix of lanes, or of numbers that all tasks share.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) lanes: *const Lane,
    pub(super) shared: *const f32,
    pub(super) is_shared: bool,
    pub(super) row: usize,
    pub(super) col: usize,
}

/// `y = a b (+ bias)`
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) a: Source,
    pub(super) b: Source,
    pub(super) bias: Option<Source>,
    pub(super) y: *mut Lane,
    pub(super) row: usize,
    pub(super) col: usize,
}

/// Computes a product.
///
/// # Safety
/// All elements of the operands and of the result exist, and the result overlaps no operand.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
pub(super) unsafe fn product(p: &Product) {
    // SAFETY: promised by the caller.
    unsafe {
        if target_cfg_f!(target_feature = "avx512f") {
            rows::<16, 4>(p);
        } else {
            rows::<8, 2>(p);
        }
    }
}

/// `W` lanes at once, tiles of `NR` columns at most.
#[inline(always)]
unsafe fn rows<const W: usize, const NR: usize>(p: &Product) {
    // SAFETY: as for `product`; lanes are `LANES` floats.
    unsafe {
        for lane in (0..LANES).step_by(W) {
            let mut i = 0;
            while i < p.m {
                i += match p.m - i {
                    6.. => columns::<W, 6, NR>(p, lane, i),
                    4.. => columns::<W, 4, NR>(p, lane, i),
                    2.. => columns::<W, 2, NR>(p, lane, i),
                    _ => columns::<W, 1, NR>(p, lane, i),
                };
            }
        }
    }
}

#[inline(always)]
unsafe fn columns<const W: usize, const MR: usize, const NR: usize>(p: &Product, lane: usize, i: usize) -> usize {
    // SAFETY: as for `product`.
    unsafe {
        let mut j = 0;
        while j < p.n {
            j += match p.n - j {
                4.. if NR >= 4 => kinds::<W, MR, 4>(p, lane, i, j),
                2.. => kinds::<W, MR, 2>(p, lane, i, j),
                _ => kinds::<W, MR, 1>(p, lane, i, j),
            };
        }
    }
    MR
}

#[inline(always)]
unsafe fn kinds<const W: usize, const MR: usize, const NR: usize>(
    p: &Product,
    lane: usize,
    i: usize,
    j: usize,
) -> usize {
    // SAFETY: as for `product`.
    unsafe {
        match (p.a.is_shared, p.b.is_shared) {
            (false, false) => tile::<W, MR, NR, false, false>(p, lane, i, j),
            (false, true) => tile::<W, MR, NR, false, true>(p, lane, i, j),
            (true, false) => tile::<W, MR, NR, true, false>(p, lane, i, j),
            (true, true) => tile::<W, MR, NR, true, true>(p, lane, i, j),
        }
    }
    NR
}

#[inline(always)]
unsafe fn fetch<const W: usize, const SHARED: bool>(s: &Source, at: usize, lane: usize) -> [f32; W] {
    // SAFETY: as for `product`.
    unsafe {
        if SHARED {
            [*s.shared.add(at); W]
        } else {
            s.lanes.add(at).cast::<f32>().add(lane).cast::<[f32; W]>().read()
        }
    }
}

#[inline(always)]
unsafe fn tile<const W: usize, const MR: usize, const NR: usize, const A: bool, const B: bool>(
    p: &Product,
    lane: usize,
    i: usize,
    j: usize,
) {
    // SAFETY: as for `product`: rows i .. i + MR and columns j .. j + NR exist.
    unsafe {
        let mut acc = [[[0.0f32; W]; NR]; MR];
        if let Some(bias) = &p.bias {
            for r in 0..MR {
                for c in 0..NR {
                    let at = (i + r) * bias.row + (j + c) * bias.col;
                    acc[r][c] = if bias.is_shared {
                        fetch::<W, true>(bias, at, lane)
                    } else {
                        fetch::<W, false>(bias, at, lane)
                    };
                }
            }
        }
        let (a0, b0) = (i * p.a.row, j * p.b.col);
        for l in 0..p.k {
            let (a1, b1) = (a0 + l * p.a.col, b0 + l * p.b.row);
            let b: [[f32; W]; NR] = std::array::from_fn(|c| fetch::<W, B>(&p.b, b1 + c * p.b.col, lane));
            for r in 0..MR {
                let a = fetch::<W, A>(&p.a, a1 + r * p.a.row, lane);
                for c in 0..NR {
                    for w in 0..W {
                        acc[r][c][w] = fused(a[w], b[c][w], acc[r][c][w]);
                    }
                }
            }
        }
        for r in 0..MR {
            for c in 0..NR {
                let to = p.y.add((i + r) * p.row + (j + c) * p.col).cast::<f32>().add(lane);
                to.cast::<[f32; W]>().write(acc[r][c]);
            }
        }
    }
}
