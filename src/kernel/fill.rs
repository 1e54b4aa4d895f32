//! `y = value`

use super::nest::{Family, Nest};
use super::uniform::{GpuView, axes, elements, params};
use super::{Dispatch, Read, Real, Write};
use crate::view::{View, collapse, for_each};

/// Parameters of a fill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    /// The value, rounded to f32.
    pub value: f64,
}

params!(Fill { dims: GpuView, y: GpuView, value: f32, pad0: u32, pad1: u32, pad2: u32 });

impl Fill {
    pub(super) const FAMILY: Family = Family::Pointwise;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::pointwise(0))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, _: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let [view] = collapse([writes[0].view]);
        let y = writes[0].f();
        for_each([&view], |[i]| y[i] = T::of(self.value));
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        self.reference(reads, writes);
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, _: &[View], writes: &[View]) -> Dispatch {
        let [y] = collapse([writes[0]]);
        let params = Params {
            dims: GpuView::dims(&y),
            y: (&y).into(),
            value: self.value as f32,
            pad0: 0,
            pad1: 0,
            pad2: 0,
        };
        let (groups, each) = elements(y.count());
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![axes([&y]), each], groups }
    }

    /// A fill computes nothing.
    pub fn flops(&self, _: &[View], _: &[View]) -> f64 {
        0.0
    }
}
