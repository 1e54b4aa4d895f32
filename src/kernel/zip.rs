//! `y = f(a, g(b))`, pointwise over operands broadcast to one shape; `g` is an activation's derivative
//! where the backward pass multiplies by one.

use super::map::{func_flops, gather, in_chunks};
use super::nest::{Family, Nest};
use super::parallel::{Shared, segments};
use super::pointwise::{binary, func};
use super::simd::{First, apply, apply_after};
use super::uniform::{GpuView, axes, elements, params};
use super::wgsl::{affine, chosen_pair};
use super::{Dispatch, Read, Real, Write};
use crate::graph::op::{Binary, Func};
use crate::spec::Activation;
use crate::view::{View, collapse, for_each};

/// Parameters of a pointwise function of two values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zip {
    /// The function.
    pub op: Binary,
    /// Applied to `b` first.
    pub pre: Option<Func>,
}

params!(Zip {
    dims: GpuView,
    a: GpuView,
    b: GpuView,
    y: GpuView,
    scale: f32,
    shift: f32,
    pad0: u32,
    pad1: u32
});

impl Zip {
    pub(super) const FAMILY: Family = Family::Pointwise;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::pointwise(2))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (a, b) = (reads[0], reads[1]);
        let view = writes[0].view;
        let y = writes[0].f();
        for_each([&view, &a.view, &b.view], |[i, j, k]| {
            let right = b.f()[k];
            y[i] = binary(self.op, a.f()[j], self.pre.map_or(right, |f| func(f, right)));
        });
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let views = collapse([writes[0].view, reads[0].view, reads[1].view]);
        match (self.op, self.pre) {
            (Binary::Add, None) => each(views, reads, writes, |a, b| a + b),
            (Binary::Sub, None) => each(views, reads, writes, |a, b| a - b),
            (Binary::Mul, None) => each(views, reads, writes, |a, b| a * b),
            (Binary::Div, None) => each(views, reads, writes, |a, b| a / b),
            (op, pre) => after(op, pre, views, reads, writes),
        }
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let [y, a, b] = collapse([writes[0], reads[0], reads[1]]);
        let [scale, shift] = affine(self.before());
        let params = Params {
            dims: GpuView::dims(&y),
            a: (&a).into(),
            b: (&b).into(),
            y: (&y).into(),
            scale,
            shift,
            pad0: 0,
            pad1: 0,
        };
        let (groups, each) = elements(y.count());
        Dispatch { uniform: bytemuck::bytes_of(&params).to_vec(), constants: vec![axes([&y]), each], groups }
    }

    /// What is applied to `b`.
    fn before(&self) -> Func {
        self.pre.unwrap_or(Func::Act(Activation::Identity, 0))
    }

    /// The functions, for the shader.
    pub fn chosen(&self) -> String {
        chosen_pair(self.op, self.before())
    }

    /// Operations of the launch.
    pub fn flops(&self, _: &[View], writes: &[View]) -> f64 {
        writes[0].count() as f64 * (1.0 + self.pre.map_or(0.0, func_flops))
    }
}

#[inline(always)]
fn each(
    [y, a, b]: [View; 3],
    reads: &[Read<'_, f32>],
    writes: &mut [Write<'_, f32>],
    f: impl Fn(f32, f32) -> f32 + Sync,
) {
    let (da, db) = (reads[0].f(), reads[1].f());
    assert!(y.end() <= writes[0].f().len());
    let out = Shared(writes[0].f().as_mut_ptr());
    let (sy, sa, sb) = (y.strides[5], a.strides[5], b.strides[5]);
    segments([&y, &a, &b], 2.0, |[yi, ai, bi], len| {
        if sy != 1 {
            for i in 0..len {
                // SAFETY: the view ends inside the slot, is injective, and segments do not overlap.
                unsafe { *out.get().add(yi + i * sy) = f(da[ai + i * sa], db[bi + i * sb]) };
            }
            return;
        }
        // SAFETY: as above; a run of `len` neighbours.
        let y = unsafe { std::slice::from_raw_parts_mut(out.get().add(yi), len) };
        match (sa, sb) {
            (1, 1) => {
                for ((y, a), b) in y.iter_mut().zip(&da[ai..ai + len]).zip(&db[bi..bi + len]) {
                    *y = f(*a, *b);
                }
            }
            (1, 0) => {
                let b = db[bi];
                for (y, a) in y.iter_mut().zip(&da[ai..ai + len]) {
                    *y = f(*a, b);
                }
            }
            (0, 1) => {
                let a = da[ai];
                for (y, b) in y.iter_mut().zip(&db[bi..bi + len]) {
                    *y = f(a, *b);
                }
            }
            _ => {
                for (i, y) in y.iter_mut().enumerate() {
                    *y = f(da[ai + i * sa], db[bi + i * sb]);
                }
            }
        }
    });
}

/// `op(a, f(b))`
fn after(
    op: Binary,
    pre: Option<Func>,
    [y, a, b]: [View; 3],
    reads: &[Read<'_, f32>],
    writes: &mut [Write<'_, f32>],
) {
    let left = reads[0].f();
    in_chunks([&y, &a, &b], writes, |[_, ai, bi], to| {
        gather(reads[1].f(), bi, b.strides[5], to);
        if let Some(f) = pre {
            apply(f, to);
        }
        match a.strides[5] {
            1 => apply_after(op, First::Row(&left[ai..]), to),
            0 => apply_after(op, First::One(left[ai]), to),
            step => to.iter_mut().enumerate().for_each(|(k, y)| *y = binary(op, left[ai + k * step], *y)),
        }
    });
}
