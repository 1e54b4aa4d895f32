//! `ring[counter][column] = x`: one number into this step's row of the ring of records, in place. A
//! counter beyond the ring writes its last row.

use super::nest::{Family, Nest};
use super::uniform::{GpuView, params};
use super::{Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::View;

/// Parameters of a row write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowWrite {
    /// Column of the ring.
    pub column: usize,
}

params!(RowWrite { ring: GpuView, rows: u32, column: u32, x: u32, counter: u32 });

impl RowWrite {
    pub(super) const FAMILY: Family = Family::Opaque;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        None
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (x, counter) = (&reads[0], &reads[1]);
        let ring = writes[0].view;
        let row = (counter.u()[counter.view.offset] as usize).min(ring.dims[MAX_RANK - 2] - 1);
        let value = x.f()[x.view.offset];
        writes[0].f()[ring.offset + row * ring.strides[MAX_RANK - 2] + self.column] = value;
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        self.reference(reads, writes);
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let ring = &writes[0];
        let params = Params {
            ring: ring.into(),
            rows: ring.dims[MAX_RANK - 2] as u32,
            column: self.column as u32,
            x: reads[0].offset as u32,
            counter: reads[1].offset as u32,
        };
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![], groups: [1, 1, 1] }
    }

    /// A copy computes nothing.
    pub fn flops(&self, _: &[View], _: &[View]) -> f64 {
        0.0
    }
}
