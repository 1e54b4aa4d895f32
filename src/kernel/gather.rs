//! `y[r] = table[index[r]]`: rows of a table; an index beyond it is clamped to the last row.
//!
//! Operands: table `[n, w]` (floats or u32), index u32 `[r]`, result `[r, w]`.

use pulp::Simd;

use super::block::{LaneBlock, OwnBlock};
use super::lanes::LANES;
use super::nest::{Family, Nest};
use super::uniform::{GpuView, WG, axes, grid, params};
use super::{Buffer, Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::{COLUMN, ROW, View, for_each};

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
    pub(super) const FAMILY: Family = Family::Own;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::gather())
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
            constants: vec![axes([y])],
            groups: grid(y.count().div_ceil(WG)),
        }
    }

    /// A gather computes nothing.
    pub fn flops(&self, _: &[View], _: &[View]) -> f64 {
        0.0
    }
}

impl OwnBlock for Gather {
    const OPERANDS: &'static [(&'static str, usize)] = &[("table", 2), ("index", 1), ("y", 2)];

    fn sizes(&self, reads: &[View], writes: &[View]) -> Vec<(&'static str, usize)> {
        let y = &writes[0];
        vec![("ROWS", y.dims[ROW]), ("WIDTH", y.dims[COLUMN]), ("TABLE", reads[0].dims[ROW])]
    }

    #[inline(always)]
    unsafe fn lanes<S: Simd>(&self, _: S, b: &LaneBlock<'_>) {
        let [table, index, y] = [b.operands[0], b.operands[1], b.operands[2]];
        let [vt, vi, vy] = [&b.views[0], &b.views[1], &b.views[2]];
        for r in 0..vy.dims[ROW] {
            for lane in 0..LANES {
                // SAFETY: promised by the caller; rows are clamped to the table.
                unsafe {
                    let row = index.word(r * vi.strides[COLUMN], lane) as usize;
                    let from = row.min(vt.dims[ROW] - 1) * vt.strides[ROW];
                    for j in 0..vy.dims[COLUMN] {
                        let v = table.element(from + j * vt.strides[COLUMN], lane);
                        y.put_element(r * vy.strides[ROW] + j * vy.strides[COLUMN], lane, v);
                    }
                }
            }
        }
    }
}
