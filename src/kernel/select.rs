//! `y = c != 0 ? a : b`, pointwise over operands broadcast to one shape.

use super::map::in_chunks;
use super::nest::{Family, Nest};
use super::uniform::{GpuView, axes, elements, params};
use super::{Dispatch, Read, Real, Write};
use crate::view::{View, collapse, for_each};

/// A choice between two values has no parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Select;

params!(Select { dims: GpuView, c: GpuView, a: GpuView, b: GpuView, y: GpuView });

impl Select {
    pub(super) const FAMILY: Family = Family::Pointwise;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::pointwise(3))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (c, a, b) = (reads[0], reads[1], reads[2]);
        let view = writes[0].view;
        let y = writes[0].f();
        for_each([&view, &c.view, &a.view, &b.view], |[i, j, k, l]| {
            y[i] = c.f()[j].choose(a.f()[k], b.f()[l]);
        });
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let [y, c, a, b] = collapse([writes[0].view, reads[0].view, reads[1].view, reads[2].view]);
        let (when, then, other) = (reads[0].f(), reads[1].f(), reads[2].f());
        let [sc, sa, sb] = [c, a, b].map(|v| v.strides[5]);
        in_chunks([&y, &c, &a, &b], writes, |[_, ci, ai, bi], to| {
            for (k, y) in to.iter_mut().enumerate() {
                *y = when[ci + k * sc].choose(then[ai + k * sa], other[bi + k * sb]);
            }
        });
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let [y, c, a, b] = collapse([writes[0], reads[0], reads[1], reads[2]]);
        let params = Params {
            dims: GpuView::dims(&y),
            c: (&c).into(),
            a: (&a).into(),
            b: (&b).into(),
            y: (&y).into(),
        };
        let (groups, each) = elements(y.count());
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![axes([&y]), each], groups }
    }

    /// Operations of the launch.
    pub fn flops(&self, _: &[View], writes: &[View]) -> f64 {
        writes[0].count() as f64
    }
}
