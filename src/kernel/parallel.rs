//! Splitting work over threads in pieces whose sizes depend on the work alone, so that any number of
//! threads computes the same bits; small work stays on the calling thread.

use rayon::prelude::*;

use crate::spec::MAX_RANK;
use crate::view::{View, for_each};

/// Below this many operations a fork costs more than it saves.
const INLINE: f64 = 400_000.0;

/// Whether so many operations are worth several threads.
pub(crate) fn is_parallel(flops: f64) -> bool {
    flops >= INLINE
}

/// Runs `piece(0..n)`, in parallel where `flops` in all is worth it.
pub(crate) fn pieces(n: usize, flops: f64, piece: impl Fn(usize) + Sync) {
    if n <= 1 || !is_parallel(flops) {
        (0..n).for_each(piece);
    } else {
        (0..n).into_par_iter().with_max_len(1).for_each(&piece);
    }
}

/// A pointer that threads may share because each writes elements that no other touches.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) *mut T);

// SAFETY: users write disjoint elements from different threads (each says why) and the borrow that the
// pointer was made from outlives the parallel call.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The pointer; a method, so that closures capture the wrapper and not the raw pointer.
    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}

/// Longest run given out at once.
const SEGMENT: usize = 16_384;

/// Runs `run(positions, length)` over stretches of the last axis that cover the (collapsed, equally
/// shaped) views, in parallel where `cost` operations an element make that worth it.
pub(crate) fn segments<const N: usize>(views: [&View; N], cost: f64, run: impl Fn([usize; N], usize) + Sync) {
    const LAST: usize = MAX_RANK - 1;
    let len = views[0].dims[LAST];
    let outer: usize = views[0].dims[..LAST].iter().product();
    let flops = cost * (outer * len) as f64;
    let position = |mut row: usize, start: usize| {
        let mut at: [usize; N] = std::array::from_fn(|v| views[v].offset + start * views[v].strides[LAST]);
        for k in (0..LAST).rev() {
            let d = views[0].dims[k];
            let i = row % d;
            row /= d;
            for v in 0..N {
                at[v] += i * views[v].strides[k];
            }
        }
        at
    };
    if !is_parallel(flops) {
        // One walk without divisions.
        let heads: [View; N] = std::array::from_fn(|v| {
            let mut h = *views[v];
            h.dims[LAST] = 1;
            h.strides[LAST] = 0;
            h
        });
        for_each(std::array::from_fn::<_, N, _>(|v| &heads[v]), |at| run(at, len));
        return;
    }
    if outer == 1 {
        pieces(len.div_ceil(SEGMENT), flops, |p| {
            let start = p * SEGMENT;
            run(position(0, start), SEGMENT.min(len - start));
        });
        return;
    }
    let rows = (SEGMENT / len).max(1);
    pieces(outer.div_ceil(rows), flops, |p| {
        for row in p * rows..((p + 1) * rows).min(outer) {
            run(position(row, 0), len);
        }
    });
}
