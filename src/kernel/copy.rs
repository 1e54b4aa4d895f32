//! `y = x` between views of any strides: permutations, slices, pieces of a concatenation. Moves bits,
//! so that it serves floats and u32 alike.

use super::nest::{Family, Nest};
use super::parallel::{Shared, segments};
use super::uniform::{GpuView, axes, elements, params};
use super::{Buffer, Dispatch, Read, Real, Write};
use crate::view::{View, collapse, for_each};

/// A copy has no parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Copy;

params!(Copy { dims: GpuView, x: GpuView, y: GpuView });

impl Copy {
    pub(super) const FAMILY: Family = Family::Pointwise;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::pointwise(1))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let [view, x] = collapse([writes[0].view, reads[0].view]);
        match (&mut *writes[0].buffer, reads[0].buffer) {
            (Buffer::F(y), Buffer::F(data)) => for_each([&view, &x], |[i, j]| y[i] = data[j]),
            (Buffer::U(y), Buffer::U(data)) => for_each([&view, &x], |[i, j]| y[i] = data[j]),
            _ => panic!("a copy between slots of different types"),
        }
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let views = collapse([writes[0].view, reads[0].view]);
        match (&mut *writes[0].buffer, reads[0].buffer) {
            (Buffer::F(y), Buffer::F(x)) => moved(views, y, x),
            (Buffer::U(y), Buffer::U(x)) => moved(views, y, x),
            _ => panic!("a copy between slots of different types"),
        }
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let [y, x] = collapse([writes[0], reads[0]]);
        let params = Params { dims: GpuView::dims(&y), x: (&x).into(), y: (&y).into() };
        let (groups, each) = elements(y.count());
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![axes([&y]), each], groups }
    }

    /// A copy computes nothing.
    pub fn flops(&self, _: &[View], _: &[View]) -> f64 {
        0.0
    }
}

/// Neighbours are moved together.
fn moved<T: std::marker::Copy + Send + Sync>([view, from]: [View; 2], y: &mut [T], x: &[T]) {
    assert!(view.end() <= y.len());
    let (out, steps) = (Shared(y.as_mut_ptr()), [view.strides[5], from.strides[5]]);
    segments([&view, &from], 1.0, |[yi, xi], len| {
        if steps == [1, 1] {
            // SAFETY: the view ends inside the slot, is injective, and segments do not overlap.
            let y = unsafe { std::slice::from_raw_parts_mut(out.get().add(yi), len) };
            y.copy_from_slice(&x[xi..xi + len]);
            return;
        }
        for i in 0..len {
            // SAFETY: as above.
            unsafe { *out.get().add(yi + i * steps[0]) = x[xi + i * steps[1]] };
        }
    });
}
