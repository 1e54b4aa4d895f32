//! `y[r] = table[index[r]]`: rows of a table; an index beyond it is clamped to the last row.
//!
//! Operands: table `[n, w]` (floats or u32), index u32 `[r]`, result `[r, w]`.

use super::nest::{Family, Nest};
use super::uniform::{GpuView, WG, grid, params};
use super::{Buffer, Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::{View, for_each};

/// A gather has no parameters beyond its shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gather;

params!(Gather {
    dims: GpuView,
    table: GpuView,
    index: GpuView,
    y: GpuView,
    rows: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32
});

/// The views with both axes of the result: the table's row is added from the index.
fn aligned(table: &View, index: &View, y: &View) -> (View, View) {
    let mut t = *table;
    t.dims = y.dims;
    t.strides[MAX_RANK - 2] = 0;
    let mut i = View { offset: index.offset, dims: y.dims, strides: [0; MAX_RANK] };
    i.strides[MAX_RANK - 2] = index.strides[MAX_RANK - 1];
    (t, i)
}

impl Gather {
    pub(super) const FAMILY: Family = Family::Opaque;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        None
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let view = writes[0].view;
        let (table, index) = aligned(&reads[0].view, &reads[1].view, &view);
        let rows = reads[0].view.dims[MAX_RANK - 2];
        let step = reads[0].view.strides[MAX_RANK - 2];
        let at = |i: usize| (reads[1].u()[i] as usize).min(rows - 1) * step;
        match (&mut *writes[0].buffer, reads[0].buffer) {
            (Buffer::F(y), Buffer::F(x)) => {
                for_each([&view, &table, &index], |[i, j, k]| y[i] = x[j + at(k)])
            }
            (Buffer::U(y), Buffer::U(x)) => {
                for_each([&view, &table, &index], |[i, j, k]| y[i] = x[j + at(k)])
            }
            _ => panic!("a gather between slots of different types"),
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
            table: (&reads[0]).into(),
            index: (&reads[1]).into(),
            y: y.into(),
            rows: reads[0].dims[MAX_RANK - 2] as u32,
            pad0: 0,
            pad1: 0,
            pad2: 0,
        };
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: vec![],
            groups: grid(y.count().div_ceil(WG)),
        }
    }

    /// A gather computes nothing.
    pub fn flops(&self, _: &[View], _: &[View]) -> f64 {
        0.0
    }
}
