//! `counter += 1`, in place: the last launch of a step.

use super::nest::{Family, Nest};
use super::uniform::params;
use super::{Dispatch, Read, Real, Write};
use crate::view::View;

/// Advancing has no parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Advance;

params!(Advance { counter: u32, pad0: u32, pad1: u32, pad2: u32 });

impl Advance {
    pub(super) const FAMILY: Family = Family::Opaque;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        None
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, _: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let at = writes[0].view.offset;
        writes[0].u()[at] = writes[0].u()[at].wrapping_add(1);
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        self.reference(reads, writes);
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, _: &[View], writes: &[View]) -> Dispatch {
        let params = Params { counter: writes[0].offset as u32, pad0: 0, pad1: 0, pad2: 0 };
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![], groups: [1, 1, 1] }
    }

    /// One addition.
    pub fn flops(&self, _: &[View], _: &[View]) -> f64 {
        1.0
    }
}
