//! Register tiles of convolutions: a few rows of one operand, whose elements are spread over a register each, by a panel of packed
//! columns of the other, with the sums in registers. Terms are added one after another, so no bit depends on a tile's height or
//! on how wide registers are.

use pulp::Simd;

/// Rows of a tile at most.
pub(super) const TALL: usize = 8;

/// Rows of the next tile where `rest` are left: tiles of a stretch are about equally tall.
#[inline(always)]
pub(super) fn height<S: Simd>(rest: usize) -> usize {
    let most = if S::REGISTER_COUNT >= 32 { TALL } else { 6 };
    let even = rest.div_ceil(rest.div_ceil(most));
    rounded(even).min(rest)
}

/// The height that a tile of so many rows is computed with.
#[inline(always)]
fn rounded(height: usize) -> usize {
    match height {
        7.. => 8,
        5.. => 6,
        3.. => 4,
        n => n,
    }
}

/// Sums of products over runs of terms.
pub(super) struct Tile<'t> {
    pub(super) height: usize,
    pub(super) a: &'t [f32],
    /// Where the first row begins.
    pub(super) at: usize,
    /// Distance of two rows.
    pub(super) row: usize,
    /// Where runs of terms begin, from a row's beginning.
    pub(super) runs: &'t [usize],
    /// Terms of a run, and their distance.
    pub(super) len: usize,
    pub(super) step: usize,
    /// `N` registers a term.
    pub(super) b: &'t [f32],
    /// `N` registers a row.
    pub(super) sums: &'t mut [f32],
    /// Whether sums begin at 0; else these are added to.
    pub(super) fresh: bool,
}

impl Tile<'_> {
    /// Computes the sums with panels of `N` registers.
    #[inline(always)]
    pub(super) fn run<S: Simd, const N: usize>(self, simd: S) {
        match rounded(self.height) {
            8 => self.rows::<S, 8, N>(simd),
            6 => self.rows::<S, 6, N>(simd),
            4 => self.rows::<S, 4, N>(simd),
            2 => self.rows::<S, 2, N>(simd),
            _ => self.rows::<S, 1, N>(simd),
        }
    }

    /// With `M` rows, the last of which may be more than there are: they are read, not kept.
    #[inline(always)]
    fn rows<S: Simd, const M: usize, const N: usize>(self, simd: S) {
        let Tile { height, a, at, row, runs, len, step, b, sums, fresh } = self;
        let width = N * S::F32_LANES;
        let last = runs.iter().max().map_or(0, |run| at + (M - 1) * row + run + len.saturating_sub(1) * step);
        assert!(last < a.len().max(1) && height <= M, "rows end early");
        assert!(runs.len() * len * width <= b.len() && height * width <= sums.len(), "columns end early");
        // SAFETY: the assertions cover the last element of each operand.
        unsafe {
            let cell = |r: usize, c: usize| r * width + c * S::F32_LANES;
            let mut sum = [[simd.splat_f32s(0.0); N]; M];
            if !fresh {
                for r in 0..M {
                    for c in 0..N {
                        if r < height {
                            sum[r][c] = sums.as_ptr().add(cell(r, c)).cast::<S::f32s>().read_unaligned();
                        }
                    }
                }
            }
            let mut b = b.as_ptr();
            for run in runs {
                let mut a = a.as_ptr().add(at + run);
                for _ in 0..len {
                    let mut column = [simd.splat_f32s(0.0); N];
                    for c in 0..N {
                        column[c] = b.add(c * S::F32_LANES).cast::<S::f32s>().read_unaligned();
                    }
                    for r in 0..M {
                        let x = simd.splat_f32s(*a.wrapping_add(r * row));
                        for c in 0..N {
                            sum[r][c] = simd.mul_add_e_f32s(x, column[c], sum[r][c]);
                        }
                    }
                    a = a.wrapping_add(step);
                    b = b.add(width);
                }
            }
            for r in 0..M {
                for c in 0..N {
                    if r < height {
                        sums.as_mut_ptr().add(cell(r, c)).cast::<S::f32s>().write_unaligned(sum[r][c]);
                    }
                }
            }
        }
    }
}
