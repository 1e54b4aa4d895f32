//! SGD with momentum on a flat state `[2, p]`: weights and velocity, in place.
//!
//! `v ← μ v + f·g; w ← w - lr (v + λ w)` with control `(lr, ·, ·)`. A factor f that is negative or not
//! finite refuses the step: the state stays as it was.

use super::adamw::refused;
use super::parallel::{Shared, pieces};
use super::uniform::{GpuView, WG, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::plan::Arg;
use crate::plan::view::View;
use crate::spec::MAX_RANK;

/// Parameters of SGD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Momentum μ.
    pub momentum: f64,
    /// Decoupled weight decay λ.
    pub decay: f64,
}

params!(Sgd {
    state: GpuView,
    grad: GpuView,
    control: GpuView,
    factor: u32,
    weights: u32,
    momentum: f32,
    decay: f32
});

/// Elements of one piece of work on the CPU.
const PIECE: usize = 16_384;

/// The scalars that a step reads.
struct Control<T> {
    rate: T,
    factor: T,
}

impl Sgd {
    fn control<T: Real>(&self, reads: &[Read<'_, T>]) -> Control<T> {
        let c = &reads[1];
        let at = |i: usize| c.f()[c.view.offset + i * c.view.strides[MAX_RANK - 1]];
        Control { rate: at(0), factor: reads[2].f()[reads[2].view.offset] }
    }

    #[inline(always)]
    fn step<T: Real>(&self, c: &Control<T>, [w, v]: [T; 2], grad: T) -> [T; 2] {
        let v = T::of(self.momentum) * v + c.factor * grad;
        [w - c.rate * (v + T::of(self.decay) * w), v]
    }

    fn run(&self, c: &Control<f32>, [w, v]: [&mut [f32]; 2], grad: &[f32]) {
        for ((w, v), g) in w.iter_mut().zip(v).zip(grad) {
            [*w, *v] = self.step(c, [*w, *v], *g);
        }
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let c = self.control(reads);
        if refused(c.factor.value()) {
            return;
        }
        let (g, s) = (&reads[0], writes[0].view);
        let (row, col) = (s.strides[MAX_RANK - 2], s.strides[MAX_RANK - 1]);
        let state = writes[0].f();
        for i in 0..s.dims[MAX_RANK - 1] {
            let at = s.offset + i * col;
            let grad = g.f()[g.view.offset + i * g.view.strides[MAX_RANK - 1]];
            let new = self.step(&c, [state[at], state[at + row]], grad);
            for (r, v) in new.into_iter().enumerate() {
                state[at + r * row] = v;
            }
        }
    }

    /// Computes the launch in f32, in parallel pieces of neighbours.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let (g, s) = (&reads[0], writes[0].view);
        let n = s.dims[MAX_RANK - 1];
        let dense = |v: &View| v.dims[MAX_RANK - 1] == 1 || v.strides[MAX_RANK - 1] == 1;
        if !dense(&g.view) || !dense(&s) || n == 1 {
            return self.reference(reads, writes);
        }
        let c = self.control(reads);
        if refused(c.factor as f64) {
            return;
        }
        let row = s.strides[MAX_RANK - 2];
        let grad = &g.f()[g.view.offset..g.view.offset + n];
        assert!(s.end() <= writes[0].f().len() && row >= n);
        let state = Shared(writes[0].f().as_mut_ptr());
        pieces(n.div_ceil(PIECE), 6.0 * n as f64, |p| {
            let range = p * PIECE..((p + 1) * PIECE).min(n);
            // SAFETY: the rows lie inside the slot (asserted) and pieces are disjoint ranges of each row.
            let rows: [&mut [f32]; 2] = std::array::from_fn(|r| unsafe {
                std::slice::from_raw_parts_mut(state.get().add(s.offset + r * row + range.start), range.len())
            });
            self.run(&c, rows, &grad[range]);
        });
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[Arg], writes: &[Arg]) -> Dispatch {
        let params = Params {
            state: (&writes[0].view).into(),
            grad: (&reads[0].view).into(),
            control: (&reads[1].view).into(),
            factor: reads[2].view.offset as u32,
            weights: writes[0].view.dims[MAX_RANK - 1] as u32,
            momentum: self.momentum as f32,
            decay: self.decay as f32,
        };
        let n = writes[0].view.dims[MAX_RANK - 1];
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: vec![],
            groups: grid(n.div_ceil(WG)),
        }
    }

    /// Operations of the launch.
    pub fn flops(&self, _: &[Arg], writes: &[Arg]) -> f64 {
        6.0 * writes[0].view.dims[MAX_RANK - 1] as f64
    }
}
