//! `y = window[counter]`: this step's row of a window of rows that the host wrote. Moves bits, so that it
//! serves floats and u32 alike. A counter beyond the window is clamped.

use super::nest::{Family, Nest};
use super::uniform::{GpuView, WG, grid, params};
use super::{Buffer, Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::View;

/// A row read has no parameters beyond its shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowRead;

params!(RowRead { window: GpuView, y: GpuView, rows: u32, len: u32, counter: u32, pad: u32 });

impl RowRead {
    pub(super) const FAMILY: Family = Family::Opaque;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        None
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (window, counter) = (&reads[0], &reads[1]);
        let row = (counter.u()[counter.view.offset] as usize).min(window.view.dims[MAX_RANK - 2] - 1);
        let view = writes[0].view;
        let len = view.dims[MAX_RANK - 1];
        let from = window.view.offset + row * window.view.strides[MAX_RANK - 2];
        match (&mut *writes[0].buffer, window.buffer) {
            (Buffer::F(y), Buffer::F(x)) => {
                y[view.offset..view.offset + len].copy_from_slice(&x[from..from + len])
            }
            (Buffer::U(y), Buffer::U(x)) => {
                y[view.offset..view.offset + len].copy_from_slice(&x[from..from + len])
            }
            _ => panic!("a row is read between slots of different types"),
        }
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        self.reference(reads, writes);
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let (window, y) = (&reads[0], &writes[0]);
        let params = Params {
            window: window.into(),
            y: y.into(),
            rows: window.dims[MAX_RANK - 2] as u32,
            len: y.dims[MAX_RANK - 1] as u32,
            counter: reads[1].offset as u32,
            pad: 0,
        };
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: vec![],
            groups: grid(y.count().div_ceil(WG)),
        }
    }

    /// A copy computes nothing.
    pub fn flops(&self, _: &[View], _: &[View]) -> f64 {
        0.0
    }
}
