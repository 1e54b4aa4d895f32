//! `y = -Σ p · log_softmax(x)` over the last axis: logits x `[r, c]`, probabilities p `[r, c]`, result `[r]`.

use pulp::Simd;

use super::block::{LaneBlock, OwnBlock};
use super::lanes::LANES;
use super::log_softmax::{log_sum_exp, log_sum_exp_lanes, rows_at_once};
use super::nest::{Family, Nest};
use super::parallel::Shared;
use super::simd::V;
use super::uniform::{GpuView, WG, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::{COLUMN, ROW, View};

/// A cross entropy has no parameters beyond its shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy;

params!(CrossEntropy { x: GpuView, p: GpuView, y: GpuView, rows: u32, classes: u32, pad0: u32, pad1: u32 });

impl CrossEntropy {
    pub(super) const FAMILY: Family = Family::Own;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::rows(2, true))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (x, p, view) = (reads[0], reads[1], writes[0].view);
        let (r, c) = (x.view.dims[MAX_RANK - 2], x.view.dims[MAX_RANK - 1]);
        let at = |v: &View, i: usize, j: usize| {
            v.offset + i * v.strides[MAX_RANK - 2] + j * v.strides[MAX_RANK - 1]
        };
        for i in 0..r {
            let logit = |j: usize| x.f()[at(&x.view, i, j)];
            let (max, log) = log_sum_exp((0..c).map(logit));
            let terms = (0..c).map(|j| (p.f()[at(&p.view, i, j)], (logit(j) - max) - log));
            writes[0].f()[view.offset + i * view.strides[MAX_RANK - 1]] = -T::dot(terms);
        }
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let (p, y) = (reads[1], writes[0].view);
        let rows = reads[0].view.dims[MAX_RANK - 2];
        assert!(rows == y.dims[MAX_RANK - 1] && y.is_injective() && y.end() <= writes[0].f().len());
        let out = Shared(writes[0].f().as_mut_ptr());
        let [row, col] = [p.view.strides[MAX_RANK - 2], p.view.strides[MAX_RANK - 1]];
        rows_at_once(reads[0], |i, values| {
            let at = p.view.offset + i * row;
            let sum: f32 = values.iter().enumerate().map(|(j, v)| p.f()[at + j * col] * v).sum();
            // SAFETY: the view ends inside the slot, is injective, has these rows, and each is given once.
            unsafe { *out.get().add(y.offset + i * y.strides[MAX_RANK - 1]) = -sum };
        });
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let x = &reads[0];
        let rows = x.dims[MAX_RANK - 2];
        let params = Params {
            x: x.into(),
            p: (&reads[1]).into(),
            y: (&writes[0]).into(),
            rows: rows as u32,
            classes: x.dims[MAX_RANK - 1] as u32,
            pad0: 0,
            pad1: 0,
        };
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: vec![],
            groups: grid(rows.div_ceil(WG)),
        }
    }

    /// An exponential and some additions an element.
    pub fn flops(&self, reads: &[View], _: &[View]) -> f64 {
        14.0 * reads[0].count() as f64
    }
}

impl OwnBlock for CrossEntropy {
    const OPERANDS: &'static [(&'static str, usize)] = &[("x", 2), ("p", 2), ("y", 1)];

    fn sizes(&self, reads: &[View], _: &[View]) -> Vec<(&'static str, usize)> {
        vec![("ROWS", reads[0].dims[ROW]), ("CLASSES", reads[0].dims[COLUMN])]
    }

    #[inline(always)]
    unsafe fn lanes<S: Simd>(&self, simd: S, b: &LaneBlock<'_>) {
        let [x, p, y] = [b.operands[0], b.operands[1], b.operands[2]];
        let [vx, vp, vy] = [&b.views[0], &b.views[1], &b.views[2]];
        let (rows, classes, step) = (vx.dims[ROW], vx.dims[COLUMN], vx.strides[COLUMN]);
        for i in 0..rows {
            let (from, at) = (i * vx.strides[ROW], i * vp.strides[ROW]);
            for lane in (0..LANES).step_by(S::F32_LANES) {
                let zero = V::splat(simd, 0.0);
                // SAFETY: promised by the caller.
                unsafe {
                    let [max, log] = log_sum_exp_lanes(simd, x, from, step, classes, lane);
                    let mut sum = zero;
                    for j in 0..classes {
                        let v = x.get(simd, from + j * step, lane);
                        let p = p.get(simd, at + j * vp.strides[COLUMN], lane);
                        sum = zero.sub(p).fma(v.sub(max).sub(log), sum);
                    }
                    y.put(i * vy.strides[COLUMN], lane, sum);
                }
            }
        }
    }
}
