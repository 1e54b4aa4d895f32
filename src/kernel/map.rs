//! `y = f(x)`, pointwise.

use super::nest::{Family, Nest};
use super::parallel::{Shared, segments};
use super::pointwise::func;
use super::simd::apply;
use super::uniform::{GpuView, axes, elements, params};
use super::wgsl::{affine, chosen};
use super::{Dispatch, Read, Real, Write};
use crate::graph::op::Func;
use crate::spec::Activation;
use crate::view::{View, collapse, for_each};

/// Parameters of a pointwise function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map {
    /// The function.
    pub func: Func,
}

params!(Map { dims: GpuView, x: GpuView, y: GpuView, scale: f32, shift: f32, pad0: u32, pad1: u32 });

/// About how many operations a function costs, for the roofline.
pub(super) fn func_flops(f: Func) -> f64 {
    match f {
        Func::Act(Activation::Identity | Activation::Relu | Activation::LeakyRelu, _)
        | Func::Floor
        | Func::Round
        | Func::IsFinite => 1.0,
        Func::Affine(..) | Func::Slope(_) => 2.0,
        Func::EightBits(_) => 4.0,
        Func::Act(..) => 20.0,
        _ => 8.0,
    }
}

impl Map {
    pub(super) const FAMILY: Family = Family::Pointwise;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::pointwise(1))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let x = reads[0];
        let view = writes[0].view;
        let y = writes[0].f();
        for_each([&view, &x.view], |[i, j]| y[i] = func(self.func, x.f()[j]));
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let [y, x] = collapse([writes[0].view, reads[0].view]);
        in_chunks([&y, &x], writes, |[_, xi], to| {
            gather(reads[0].f(), xi, x.strides[5], to);
            apply(self.func, to);
        });
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let [y, x] = collapse([writes[0], reads[0]]);
        let [scale, shift] = affine(self.func);
        let params = Params {
            dims: GpuView::dims(&y),
            x: (&x).into(),
            y: (&y).into(),
            scale,
            shift,
            pad0: 0,
            pad1: 0,
        };
        let (groups, each) = elements(y.count());
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![axes([&y]), each], groups }
    }

    /// The function, for the shader.
    pub fn chosen(&self) -> String {
        chosen(self.func)
    }

    /// Operations of the launch.
    pub fn flops(&self, _: &[View], writes: &[View]) -> f64 {
        writes[0].count() as f64 * func_flops(self.func)
    }
}

/// Elements that a function is applied to at once: they stay in the nearest cache.
const CHUNK: usize = 256;

/// Gives results to be filled, some that follow one another along the last axis at a time, with the positions of the
/// first of them in the views (collapsed, equally shaped), that of the results first.
pub(super) fn in_chunks<const N: usize>(
    views: [&View; N],
    writes: &mut [Write<'_, f32>],
    fill: impl Fn([usize; N], &mut [f32]) + Sync,
) {
    let y = views[0];
    assert!(y.end() <= writes[0].f().len());
    let out = Shared(writes[0].f().as_mut_ptr());
    let step = y.strides[5];
    segments(views, 4.0, |start, len| {
        let mut apart = [0.0; CHUNK];
        for i in (0..len).step_by(CHUNK) {
            let n = CHUNK.min(len - i);
            let at: [usize; N] = std::array::from_fn(|v| start[v] + i * views[v].strides[5]);
            if step == 1 {
                // SAFETY: the view ends inside the slot, is injective, and segments do not overlap.
                fill(at, unsafe { std::slice::from_raw_parts_mut(out.get().add(at[0]), n) });
                continue;
            }
            fill(at, &mut apart[..n]);
            for (k, v) in apart[..n].iter().enumerate() {
                // SAFETY: as above.
                unsafe { *out.get().add(at[0] + k * step) = *v };
            }
        }
    });
}

/// Numbers that lie `step` apart.
pub(super) fn gather(data: &[f32], at: usize, step: usize, to: &mut [f32]) {
    match step {
        0 => to.fill(data[at]),
        1 => to.copy_from_slice(&data[at..at + to.len()]),
        _ => to.iter_mut().enumerate().for_each(|(k, t)| *t = data[at + k * step]),
    }
}
