//! How a product goes to a GPU: the rule that chooses a shader by the shape, and the shape it is asked about.

use crate::spec::MAX_RANK;
use crate::view::{COLUMN, ROW, View};

/// A way to compute a product on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Up to 8 rows (or columns): a thread a column, the terms split over eight threads (`matmul_thin`).
    Thin,
    /// Small matrices, several a workgroup, or strips (`matmul_small`): `rows x columns` threads make a tile
    /// of 4 x 4 elements a thread, a workgroup `items` tiles.
    Small {
        /// Threads down a tile.
        rows: usize,
        /// Threads along a tile.
        columns: usize,
        /// Tiles a workgroup.
        items: usize,
    },
    /// `side x side` threads make a tile, 4 x 4 elements a thread (`matmul`).
    Middle {
        /// Threads along each side of a tile: 8 or 16.
        side: usize,
    },
    /// `side x side` threads make a tile, 8 x 8 elements a thread (`matmul_large`).
    Large {
        /// Threads along each side of a tile: 8 or 16.
        side: usize,
    },
}

/// As many workgroups keep any GPU busy.
pub const FILL: usize = 128;

/// The rule: which tier a product of `batch` matrices `m x k` and `k x n` takes on a device that `fill` workgroups
/// keep busy. The first line that holds:
///
/// | where | tier | why |
/// |---|---|---|
/// | m or n ≤ 8, k ≥ 32, and the other > 64 or k ≥ 256 | thin | memory is the limit: many threads read at once |
/// | m and n ≤ 64, one of them ≤ 32 | small | a workgroup reads a whole matrix, or several tiny ones |
/// | m or n ≤ 16 | small | strips as narrow as the matrix |
/// | m and n ≥ 128, and `fill` tiles of 128 x 128 | large, side 16 | most work for what is read, if it keeps a GPU busy |
/// | m and n > 32, and 4 `fill` tiles of 64 x 64 | large, side 8 | the same work a thread; several workgroups hide what one waits for |
/// | m and n > 32, and both ≤ 64 or `fill` tiles of 64 x 64 | middle, side 16 | whole matrices, more threads |
/// | else | middle, side 8 | the most workgroups |
pub fn tier(batch: usize, m: usize, n: usize, k: usize, fill: usize) -> Tier {
    let (short, long) = (m.min(n), m.max(n));
    let tiles = |side: usize| batch * m.div_ceil(side) * n.div_ceil(side);
    if short <= 8 && k >= 32 && (long > 64 || k >= 256) {
        return Tier::Thin;
    }
    if long <= 64 && short <= 32 {
        let (rows, columns) = (lanes(m), lanes(n));
        return Tier::Small { rows, columns, items: items(batch, rows, columns, fill) };
    }
    if short <= 16 {
        let narrow = lanes(short);
        let wide = if narrow == 3 { 16 } else { 64 / narrow };
        let (rows, columns) = if m <= n { (narrow, wide) } else { (wide, narrow) };
        return Tier::Small { rows, columns, items: 1 };
    }
    if short >= 128 && tiles(128) >= fill {
        return Tier::Large { side: 16 };
    }
    if short > 32 && tiles(64) >= 4 * fill {
        return Tier::Large { side: 8 };
    }
    Tier::Middle { side: if short > 32 && (long <= 64 || tiles(64) >= fill) { 16 } else { 8 } }
}

/// Parts that the terms of a product are split into, each a product of its own whose results are added
/// afterwards: where the result alone has too few workgroups for a GPU, and the sums are long. Then there are enough for
/// several on each of its cores: an NVIDIA H200 took 0.20 ms in place of 0.94 for 32 x 101770 by 101770 x 1024.
pub fn parts(batch: usize, m: usize, n: usize, k: usize, fill: usize) -> usize {
    let groups = tier(batch, m, n, k, fill).groups(batch, m, n).max(1);
    let parts = (8 * fill / groups).min(k / SHORTEST);
    if groups <= fill / 2 && parts >= 4 { parts } else { 1 }
}

/// Terms of a part at least.
const SHORTEST: usize = 128;

/// Threads, of four elements each, along a side of a tile that covers `n` elements. Few different numbers,
/// since each is a pipeline.
fn lanes(n: usize) -> usize {
    [1, 2, 3, 4, 6, 8, 12].into_iter().find(|l| 4 * l >= n).unwrap_or(16)
}

/// Matrices a workgroup where one takes `rows x columns` threads: up to 128 threads with little idle in the
/// last 32 of them, but not at the price of fewer workgroups than a GPU can use, or of fewer than 8 terms
/// staged at a time.
fn items(batch: usize, rows: usize, columns: usize, fill: usize) -> usize {
    let threads = rows * columns;
    let most = (128 / threads).min(70 / (rows + columns)).min(batch / fill.max(1)).max(1);
    let worth = |i: &usize| (i * threads).min(64) * 100 * i * threads / (i * threads).next_multiple_of(32);
    (1..=most).rev().max_by_key(worth).unwrap_or(1)
}

impl Tier {
    /// The shader's name.
    pub fn shader(self) -> &'static str {
        match self {
            Tier::Thin => "matmul_thin",
            Tier::Small { .. } => "matmul_small",
            Tier::Middle { .. } => "matmul",
            Tier::Large { .. } => "matmul_large",
        }
    }

    /// Rows and columns of a tile.
    fn tile(self) -> (usize, usize) {
        match self {
            Tier::Thin => (8, 32),
            Tier::Small { rows, columns, .. } => (4 * rows, 4 * columns),
            Tier::Middle { side } => (4 * side, 4 * side),
            Tier::Large { side } => (8 * side, 8 * side),
        }
    }

    /// Tiles down and along one result.
    pub(super) fn tiles(self, m: usize, n: usize) -> (usize, usize) {
        let (rows, columns) = self.tile();
        (m.div_ceil(rows), n.div_ceil(columns))
    }

    /// Workgroups of a launch.
    pub(super) fn groups(self, batch: usize, m: usize, n: usize) -> usize {
        // The thin tier takes the shorter side for its rows.
        let (m, n) = if self == Tier::Thin { (m.min(n), m.max(n)) } else { (m, n) };
        let (down, along) = self.tiles(m, n);
        let items = if let Tier::Small { items, .. } = self { items } else { 1 };
        (batch * down * along).div_ceil(items)
    }

    /// The override constants that belong to the tier.
    pub(super) fn constants(self, p: &BatchedProduct, swap: bool) -> Vec<(&'static str, f64)> {
        match self {
            Tier::Thin => {
                [("SWAP", swap), ("LOWER", p.m > 4)].map(|(name, x)| (name, x as u32 as f64)).to_vec()
            }
            Tier::Middle { side } | Tier::Large { side } => vec![("SIDE", side as f64)],
            Tier::Small { rows, columns, items } => {
                // Terms staged at a time: no more than there are, and than 9 KiB hold.
                let quads = items * (rows + columns) + 2;
                let fits = |t: &usize| t * quads <= 576 && t / 2 < p.k;
                let terms = [16, 8].into_iter().find(fits).unwrap_or(4);
                let all = [("ROWS", rows), ("COLUMNS", columns), ("ITEMS", items), ("TERMS", terms)];
                all.map(|(name, x)| (name, x as f64)).to_vec()
            }
        }
    }
}

/// A product as its shader sees it: the same elements, with as few batch axes and as long rows and columns
/// as the views allow. `x W` with one `W` for all tasks is one tall product.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchedProduct {
    /// a, b, bias, y and z: the batch axes first, then `[m, k]`, `[k, n]` and three times `[m, n]`.
    pub(super) views: [View; 5],
    pub(super) batch: usize,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
}

const A: usize = 0;
const B: usize = 1;

impl BatchedProduct {
    /// Of views that broadcast over the batch by stride or by length 1.
    pub(super) fn of(mut views: [View; 5]) -> BatchedProduct {
        let [m, n] = [views[3].dims[ROW], views[3].dims[COLUMN]];
        let k = views[A].dims[COLUMN];
        let dims = views[3].dims;
        for v in &mut views {
            for i in 0..MAX_RANK {
                if v.dims[i] == 1 {
                    v.strides[i] = 0;
                }
            }
            v.dims[..ROW].copy_from_slice(&dims[..ROW]);
        }
        let mut p = BatchedProduct { views, batch: 1, m, n, k };
        // Axes over which b does not step join the rows, axes over which a does not, the columns.
        for (axis, still, along) in (0..ROW).rev().flat_map(|i| [(i, B, ROW), (i, A, COLUMN)]) {
            p.join(axis, along, Some(still));
        }
        // Of the others each joins the next one that it steps on from; the result is kept at the right.
        for axis in (1..ROW).rev() {
            for outer in (0..axis).rev() {
                p.join(outer, axis, None);
            }
        }
        p.batch = p.views[3].dims[..ROW].iter().product();
        p
    }

    /// Merges batch axis `axis` into `along` where all operands but `still`, which must not step along the
    /// former and does not know the latter, go on evenly from one to the other.
    fn join(&mut self, axis: usize, along: usize, still: Option<usize>) {
        let d = self.views[3].dims[axis];
        let length = self.views[3].dims[along];
        let even = |(i, v): (usize, &View)| match still {
            Some(s) if s == i => v.strides[axis] == 0,
            _ => length == 1 || v.strides[axis] == length * v.strides[along],
        };
        if d == 1 || !self.views.iter().enumerate().all(even) {
            return;
        }
        for (i, v) in self.views.iter_mut().enumerate() {
            if still != Some(i) {
                v.dims[along] = d * length;
                if length == 1 {
                    v.strides[along] = v.strides[axis];
                }
            }
            v.dims[axis] = 1;
            v.strides[axis] = 0;
        }
        match along {
            ROW => self.m *= d,
            COLUMN => self.n *= d,
            _ => {}
        }
    }

    /// yᵀ = bᵀ aᵀ
    fn transposed(mut self) -> BatchedProduct {
        for v in &mut self.views {
            *v = v.transposed();
        }
        self.views.swap(A, B);
        BatchedProduct { m: self.n, n: self.m, ..self }
    }

    /// The product as a tier wants it, and whether it is transposed.
    pub(super) fn turned(self, tier: Tier) -> (BatchedProduct, bool) {
        let swap = tier == Tier::Thin && self.n < self.m;
        (if swap { self.transposed() } else { self }, swap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule() {
        let name = |batch, m, k, n| match tier(batch, m, n, k, FILL) {
            Tier::Small { rows, columns, items } => format!("small {rows}x{columns}, {items}"),
            Tier::Middle { side } => format!("middle {side}"),
            Tier::Large { side } => format!("large {side}"),
            other => format!("{other:?}").to_lowercase(),
        };
        assert_eq!(name(4096, 16, 32, 32), "small 4x8, 2");
        assert_eq!(name(4096, 10, 40, 40), "small 3x12, 3");
        assert_eq!(name(64, 10, 40, 40), "small 3x12, 1");
        assert_eq!(name(100_000, 1, 5, 1), "small 1x1, 32");
        assert_eq!(name(4096, 64, 64, 64), "large 8");
        assert_eq!(name(300, 64, 64, 64), "middle 16");
        assert_eq!(name(1, 64, 20_000, 64), "middle 16");
        assert_eq!(name(1, 1, 256, 4417), "thin");
        assert_eq!(name(1, 40_960, 40, 1), "thin");
        assert_eq!(name(1, 3, 20_000, 5), "thin");
        assert_eq!(name(1, 16, 256, 4417), "small 4x16, 1");
        assert_eq!(name(1, 512, 512, 512), "middle 8");
        assert_eq!(name(1, 1024, 1024, 1024), "middle 16");
        assert_eq!(name(1, 2048, 256, 2048), "large 16");
        assert_eq!(name(1, 100, 256, 20_000), "large 8");
        assert_eq!(
            [(64, 20_000), (64, 500), (256, 5000), (2048, 20_000)].map(|(m, k)| parts(1, m, m, k, FILL)),
            [156, 1, 16, 1]
        );
    }

    #[test]
    fn no_workgroup_is_too_large() {
        for (batch, m, n, k) in (0..20_000).map(|i| (1 << (i % 15), i % 67 + 1, i % 71 + 1, i % 37 + 1)) {
            let tier = tier(batch, m, n, k, FILL);
            let Tier::Small { rows, columns, items } = tier else { continue };
            assert!(rows * columns * items <= 256 && items <= 64, "{tier:?}");
            assert!(4 * rows >= m.min(n) || 4 * columns >= m.min(n), "{tier:?}");
            let views = [[m, k], [k, n], [m, n], [m, n], [m, n]].map(|s| View::contiguous(&s, 0));
            let terms = tier.constants(&BatchedProduct::of(views), false)[3].1 as usize;
            assert!(16 * terms * (items * (rows + columns) + 2) <= 16_384, "{tier:?}");
        }
    }

    #[test]
    fn a_shared_operand_makes_one_product() {
        let [x, w, y] = [[50, 10, 7], [1, 7, 9], [50, 10, 9]].map(|s| View::contiguous(&s, 3));
        let p = BatchedProduct::of([x, w.expand(&[50, 7, 9]), y, y, y]);
        assert_eq!((p.batch, p.m, p.n, p.k), (1, 500, 9, 7));
        // The same, transposed.
        let t = |v: View| v.permute(&[0, 2, 1]);
        let p = BatchedProduct::of([t(w).expand(&[50, 9, 7]), t(x), t(y), t(y), t(y)]);
        assert_eq!((p.batch, p.m, p.n, p.k), (1, 9, 500, 7));
        // Results with gaps between the tasks cannot be seen so.
        let gaps = View::contiguous(&[50, 11, 9], 0).slice(3, 1, 0, 10);
        assert_eq!(BatchedProduct::of([x, w.expand(&[50, 7, 9]), gaps, gaps, gaps]).batch, 50);
        // A weight of each task's own: a batch, of one axis.
        let [a, b, y] = [[5, 6, 10, 7], [5, 6, 7, 9], [5, 6, 10, 9]].map(|s| View::contiguous(&s, 0));
        let p = BatchedProduct::of([a, b, y, y, y]);
        assert_eq!((p.batch, p.m, p.n, p.views[0].dims[3]), (30, 10, 9, 30));
    }
}
