//! What the optimiser kernels share: a flat state `[R, p]` (weights, then moments) updated in place from a
//! gradient `[p]`, element by element, unless the step is refused.

use super::parallel::{Shared, pieces};
use super::{Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::View;

/// Elements of one piece of work on the CPU.
const PIECE: usize = 16_384;

/// The scalars that a step reads.
pub(super) struct Control<T> {
    /// Learning rate.
    pub(super) rate: T,
    /// 1/(1-β₁ᵗ)
    pub(super) correct1: T,
    /// 1/(1-β₂ᵗ)
    pub(super) correct2: T,
    /// Gradients are multiplied by it.
    pub(super) factor: T,
}

impl<T: Real> Control<T> {
    /// From the operands (gradient, control, factor); `None` where the step is refused: its factor is
    /// negative (set so by the clipping) or not finite.
    fn of(reads: &[Read<'_, T>]) -> Option<Control<T>> {
        let c = &reads[1];
        let at = |i: usize| c.f()[c.view.offset + i * c.view.strides[MAX_RANK - 1]];
        let factor = reads[2].f()[reads[2].view.offset];
        let refused = !(factor.value() >= 0.0 && factor.value().is_finite());
        (!refused).then(|| Control { rate: at(0), correct1: at(1), correct2: at(2), factor })
    }
}

/// Computes the launch by plain loops; `step(control, old, gradient)` gives the new values of one element.
pub(super) fn reference<T: Real, const R: usize>(
    reads: &[Read<'_, T>],
    writes: &mut [Write<'_, T>],
    step: impl Fn(&Control<T>, [T; R], T) -> [T; R],
) {
    let Some(c) = Control::of(reads) else { return };
    let (g, s) = (&reads[0], writes[0].view);
    let (row, col) = (s.strides[MAX_RANK - 2], s.strides[MAX_RANK - 1]);
    let state = writes[0].f();
    for i in 0..s.dims[MAX_RANK - 1] {
        let at = s.offset + i * col;
        let grad = g.f()[g.view.offset + i * g.view.strides[MAX_RANK - 1]];
        let new = step(&c, std::array::from_fn(|r| state[at + r * row]), grad);
        for (r, v) in new.into_iter().enumerate() {
            state[at + r * row] = v;
        }
    }
}

/// Computes the launch in f32, in parallel pieces of neighbours; `run(control, rows, gradient)` updates the
/// rows of one piece. `false`, and nothing done, where elements are not neighbours.
pub(super) fn fast<const R: usize>(
    reads: &[Read<'_, f32>],
    writes: &mut [Write<'_, f32>],
    flops: f64,
    run: impl Fn(&Control<f32>, [&mut [f32]; R], &[f32]) + Sync,
) -> bool {
    let (g, s) = (&reads[0], writes[0].view);
    let n = s.dims[MAX_RANK - 1];
    let dense = |v: &View| v.strides[MAX_RANK - 1] == 1;
    if !dense(&g.view) || !dense(&s) {
        return false;
    }
    let Some(c) = Control::of(reads) else { return true };
    let row = s.strides[MAX_RANK - 2];
    let grad = &g.f()[g.view.offset..g.view.offset + n];
    assert!(s.end() <= writes[0].f().len() && row >= n);
    let state = Shared(writes[0].f().as_mut_ptr());
    pieces(n.div_ceil(PIECE), flops * n as f64, |p| {
        let range = p * PIECE..((p + 1) * PIECE).min(n);
        // SAFETY: the rows lie inside the slot (asserted) and pieces are disjoint ranges of each row.
        let rows: [&mut [f32]; R] = std::array::from_fn(|r| unsafe {
            std::slice::from_raw_parts_mut(state.get().add(s.offset + r * row + range.start), range.len())
        });
        run(&c, rows, &grad[range]);
    });
    true
}
