//! `y[i] = Σ src[r]` over the rows r with `index[r] == i` (clamped to the last row), in order of r: the
//! transpose of gather. Each result is owned by one thread, so that the sum has a fixed order.
//!
//! Operands: src `[r, w]`, index u32 `[r]`, result `[n, w]`.

use super::nest::{Family, Nest};
use super::uniform::{GpuView, WG, axes, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::{View, for_each};

/// A scatter has no parameters beyond its shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScatterAdd;

params!(ScatterAdd {
    dims: GpuView,
    src: GpuView,
    index: GpuView,
    y: GpuView,
    sources: u32,
    rows: u32,
    pad0: u32,
    pad1: u32
});

impl ScatterAdd {
    pub(super) const FAMILY: Family = Family::Opaque;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        None
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let view = writes[0].view;
        let (n, w) = (view.dims[MAX_RANK - 2], view.dims[MAX_RANK - 1]);
        let (sn, sw) = (view.strides[MAX_RANK - 2], view.strides[MAX_RANK - 1]);
        let (src, index) = (&reads[0], &reads[1]);
        let y = writes[0].f();
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); n];
        let mut r = 0;
        for_each([&index.view], |[i]| {
            members[(index.u()[i] as usize).min(n - 1)].push(r);
            r += 1;
        });
        let (rs, cs) = (src.view.strides[MAX_RANK - 2], src.view.strides[MAX_RANK - 1]);
        for (i, rows) in members.iter().enumerate() {
            for c in 0..w {
                let at = |r: &usize| src.f()[src.view.offset + r * rs + c * cs];
                y[view.offset + i * sn + c * sw] = T::sum(rows.iter().map(at));
            }
        }
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        self.reference(reads, writes);
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let y = &writes[0];
        let params = Params {
            dims: GpuView::dims(y),
            src: (&reads[0]).into(),
            index: (&reads[1]).into(),
            y: y.into(),
            sources: reads[1].count() as u32,
            rows: y.dims[MAX_RANK - 2] as u32,
            pad0: 0,
            pad1: 0,
        };
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: vec![axes([y])],
            groups: grid(y.count().div_ceil(WG)),
        }
    }

    /// One addition a source element.
    pub fn flops(&self, reads: &[View], _: &[View]) -> f64 {
        reads[0].count() as f64
    }
}
