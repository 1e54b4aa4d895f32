//! Convolutions of sixteen tasks, one a SIMD lane: for each tap of the windows products over runs of neighbouring windows,
//! added to the result where it lies.

use std::ops::Range;

use pulp::Simd;

use super::{AXES, Conv, ImplicitProduct};
use crate::graph::conv::{Window, Wrt};
use crate::graph::op::Func;
use crate::kernel::block::LaneBlock;
use crate::kernel::lanes::{LANES, LaneOperand, LaneProduct as Tiles};
use crate::kernel::simd::{Unary, V, Visit, visit};
use crate::view::{View, for_each};

/// The windows, of `windows`, whose tap `tap` lies inside of `len` elements: neighbours.
fn inside(w: &Window, tap: usize, windows: usize, len: usize) -> Range<usize> {
    let is = |at: &usize| w.element(*at, tap, len).is_some();
    let first = (0..windows).find(is).unwrap_or(windows);
    let last = (first..windows).rev().find(is).map_or(first, |l| l + 1);
    first..last
}

/// Computes a block.
///
/// # Safety
/// As for [`super::super::block::OwnBlock::lanes`].
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(conv: &Conv, simd: S, block: &LaneBlock<'_>) {
    let (ops, views) = (block.operands, block.views);
    let last = views.len() - 1;
    let p = ImplicitProduct::of(conv, &views[0], &views[1], &views[3]);
    let target = (ops[last], &views[last]);
    // SAFETY: promised by the caller.
    unsafe {
        begin(simd, target);
        for batch in 0..p.batch {
            for group in 0..conv.geometry.groups {
                taps(conv, simd, block, &p, target, [batch, group]);
            }
        }
        if conv.bias {
            add_bias(simd, block, target);
        }
        if last > 3 || conv.act != crate::spec::Activation::Identity {
            let end = End { simd, y: (ops[3], &views[3]), z: target };
            visit(Func::Act(conv.act, 0), end);
        }
    }
}

/// Zeros, which the taps are added to.
#[inline(always)]
unsafe fn begin<S: Simd>(simd: S, (to, view): (LaneOperand, &View)) {
    for_each([view], |[at]| {
        for lane in (0..LANES).step_by(S::F32_LANES) {
            // SAFETY: promised by the caller.
            unsafe { to.put(at, lane, V::splat(simd, 0.0)) }
        }
    });
}

/// Adds the bias to the complete sums: before them, each of their terms would be rounded at its size.
#[inline(always)]
unsafe fn add_bias<S: Simd>(simd: S, block: &LaneBlock<'_>, (to, view): (LaneOperand, &View)) {
    for_each([view, &block.views[2]], |[at, from]| {
        for lane in (0..LANES).step_by(S::F32_LANES) {
            // SAFETY: promised by the caller.
            unsafe { to.put(at, lane, to.get(simd, at, lane).add(block.operands[2].get(simd, from, lane))) }
        }
    });
}

/// Adds all terms of a batch and a group.
#[inline(always)]
unsafe fn taps<S: Simd>(
    conv: &Conv,
    simd: S,
    block: &LaneBlock<'_>,
    p: &ImplicitProduct,
    (to, view): (LaneOperand, &View),
    [batch, group]: [usize; 2],
) {
    let [a0, b0] = p.starts(batch, group);
    let (va, vb, vy) = (&p.a.strides[AXES], &block.views[1].strides[AXES], &view.strides[AXES]);
    let y0 = batch * vy[0] + group * p.columns * vy[4];
    let [height, width] = conv.geometry.windows;
    // Images, windows and taps, whichever of the three they are rows of.
    let (images, windows, [h, w], size) = match conv.wrt {
        Wrt::Output => (p.rows[0], [p.rows[1], p.rows[2]], p.extent, [p.terms[0], p.terms[1]]),
        Wrt::Input => (p.rows[0], p.extent, [p.rows[1], p.rows[2]], [p.terms[0], p.terms[1]]),
        Wrt::Kernels => (p.terms[0], [p.terms[1], p.terms[2]], p.extent, [p.rows[0], p.rows[1]]),
    };
    for i in 0..size[0] {
        for j in 0..size[1] {
            let across = inside(&width, j, windows[1], w);
            let Some(x) = width.element(across.start, j, w).filter(|_| !across.is_empty()) else { continue };
            for n in 0..images {
                for at in inside(&height, i, windows[0], h) {
                    let Some(y) = height.element(at, i, h) else { continue };
                    // Where the run begins among the elements and among the windows, and its distances there.
                    let element = |s: &[usize]| n * s[1] + y * s[2] + x * s[3];
                    let window = |s: &[usize]| n * s[1] + at * s[2] + across.start * s[3];
                    let tap = |s: &[usize]| i * s[1] + j * s[2];
                    let (m, k, a, b, c) = match conv.wrt {
                        Wrt::Output => (
                            across.len(),
                            p.terms[2],
                            (element(va), (width.stride * va[3], va[4])),
                            (tap(vb), (vb[3], vb[4])),
                            (window(vy), (vy[3], vy[4])),
                        ),
                        Wrt::Input => (
                            across.len(),
                            p.terms[2],
                            (window(va), (va[3], va[4])),
                            (tap(vb), (vb[4], vb[3])),
                            (element(vy), (width.stride * vy[3], vy[4])),
                        ),
                        Wrt::Kernels => (
                            p.rows[2],
                            across.len(),
                            (element(va), (va[4], width.stride * va[3])),
                            (window(vb), (vb[3], vb[4])),
                            (tap(vy), (vy[3], vy[4])),
                        ),
                    };
                    let y = to.lanes.wrapping_add(y0 + c.0);
                    let tiles = Tiles {
                        m,
                        n: p.columns,
                        k,
                        a: block.operands[0].source(a0 + a.0, a.1),
                        b: block.operands[1].source(b0 + b.0, b.1),
                        bias: Some(to.source(y0 + c.0, c.1)),
                        y,
                        row: c.1.0,
                        col: c.1.1,
                    };
                    // SAFETY: promised by the caller; a tile reads its results before it writes them.
                    unsafe { tiles.run(simd) }
                }
            }
        }
    }
}

/// The activation of the sums.
struct End<'v, S> {
    simd: S,
    y: (LaneOperand, &'v View),
    z: (LaneOperand, &'v View),
}

impl<S: Simd> Visit for End<'_, S> {
    #[inline(always)]
    fn with(self, f: impl Unary) {
        let End { simd, y, z } = self;
        for_each([y.1, z.1], |[yi, zi]| {
            for lane in (0..LANES).step_by(S::F32_LANES) {
                // SAFETY: promised by the caller of `run`.
                unsafe { y.0.put(yi, lane, f.at(z.0.get(simd, zi, lane))) }
            }
        });
    }
}
