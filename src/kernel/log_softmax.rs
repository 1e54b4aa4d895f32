//! `y = x - max x - ln Σ e^(x - max x)` over the last axis of `[r, c]`.

use pulp::Simd;

use super::block::{LaneBlock, OwnBlock};
use super::lanes::{LANES, LaneOperand};
use super::map::gather;
use super::nest::{Family, Nest};
use super::parallel::{Shared, pieces};
use super::simd::{V, apply};
use super::uniform::{GpuView, WG, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::graph::op::Func;
use crate::spec::MAX_RANK;
use crate::view::{COLUMN, ROW, View};

/// A log-softmax has no parameters beyond its shapes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSoftmax;

params!(LogSoftmax { x: GpuView, y: GpuView, rows: u32, classes: u32, pad0: u32, pad1: u32 });

/// `max + ln Σ e^(x - max)` of one row, in two parts that are subtracted one after the other.
pub(super) fn log_sum_exp<T: Real>(row: impl Iterator<Item = T> + Clone) -> (T, T) {
    let max = row.clone().reduce(T::max).unwrap_or(T::zero());
    let sum = T::sum(row.map(|x| (x - max).exp()));
    (max, sum.ln())
}

/// Elements of the rows that are computed together.
const BLOCK: usize = 1024;

/// Gives each row's log-softmax, in f32.
pub(super) fn rows_at_once(x: Read<'_, f32>, each: impl Fn(usize, &[f32]) + Sync) {
    let [rows, classes] = [x.view.dims[MAX_RANK - 2], x.view.dims[MAX_RANK - 1]];
    let [row, col] = [x.view.strides[MAX_RANK - 2], x.view.strides[MAX_RANK - 1]];
    let together = (BLOCK / classes).max(1);
    pieces(rows.div_ceil(together), 12.0 * x.view.count() as f64, |p| {
        let rows = p * together..rows.min((p + 1) * together);
        let mut values = vec![0.0; rows.len() * classes];
        for (i, values) in rows.clone().zip(values.chunks_exact_mut(classes)) {
            gather(x.f(), x.view.offset + i * row, col, values);
            let max = values.iter().copied().reduce(Real::max).unwrap_or(0.0);
            values.iter_mut().for_each(|v| *v -= max);
        }
        let mut powers = values.clone();
        apply(Func::Exp, &mut powers);
        let mut logs: Vec<f32> = powers.chunks_exact(classes).map(|row| row.iter().sum()).collect();
        apply(Func::Log, &mut logs);
        for ((i, values), log) in rows.zip(values.chunks_exact_mut(classes)).zip(logs) {
            values.iter_mut().for_each(|v| *v -= log);
            each(i, values);
        }
    });
}

impl LogSoftmax {
    pub(super) const FAMILY: Family = Family::Own;

    pub(super) fn nest(&self, _: &[View], _: &[View]) -> Option<Nest> {
        Some(Nest::rows(1, false))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (x, view) = (reads[0], writes[0].view);
        let (r, c) = (view.dims[MAX_RANK - 2], view.dims[MAX_RANK - 1]);
        let at = |v: &View, i: usize, j: usize| {
            v.offset + i * v.strides[MAX_RANK - 2] + j * v.strides[MAX_RANK - 1]
        };
        for i in 0..r {
            let (max, log) = log_sum_exp((0..c).map(|j| x.f()[at(&x.view, i, j)]));
            for j in 0..c {
                let value = (x.f()[at(&x.view, i, j)] - max) - log;
                writes[0].f()[at(&view, i, j)] = value;
            }
        }
    }

    /// Computes the launch in f32.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let (x, y) = (reads[0], writes[0].view);
        assert!(x.view.dims == y.dims && y.is_injective() && y.end() <= writes[0].f().len());
        let out = Shared(writes[0].f().as_mut_ptr());
        let [row, col] = [y.strides[MAX_RANK - 2], y.strides[MAX_RANK - 1]];
        rows_at_once(x, |i, values| {
            for (j, v) in values.iter().enumerate() {
                // SAFETY: the view ends inside the slot, is injective, has these rows, and each is given once.
                unsafe { *out.get().add(y.offset + i * row + j * col) = *v };
            }
        });
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let y = &writes[0];
        let rows = y.dims[MAX_RANK - 2];
        let params = Params {
            x: (&reads[0]).into(),
            y: y.into(),
            rows: rows as u32,
            classes: y.dims[MAX_RANK - 1] as u32,
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
        12.0 * reads[0].count() as f64
    }
}

/// Largest number of a row of sixteen tasks, and the logarithm of the sum of exponentials below it.
///
/// # Safety
/// The row exists.
#[inline(always)]
pub(super) unsafe fn log_sum_exp_lanes<S: Simd>(
    simd: S,
    x: LaneOperand,
    from: usize,
    step: usize,
    classes: usize,
    lane: usize,
) -> [V<S>; 2] {
    // SAFETY: promised by the caller.
    unsafe {
        let mut max = x.get(simd, from, lane);
        for j in 1..classes {
            max = max.larger(x.get(simd, from + j * step, lane));
        }
        let mut sum = V::splat(simd, 0.0);
        for j in 0..classes {
            sum = sum.add(x.get(simd, from + j * step, lane).sub(max).exp());
        }
        [max, sum.ln()]
    }
}

impl OwnBlock for LogSoftmax {
    const OPERANDS: &'static [(&'static str, usize)] = &[("x", 2), ("y", 2)];

    fn sizes(&self, reads: &[View], _: &[View]) -> Vec<(&'static str, usize)> {
        vec![("ROWS", reads[0].dims[ROW]), ("CLASSES", reads[0].dims[COLUMN])]
    }

    #[inline(always)]
    unsafe fn lanes<S: Simd>(&self, simd: S, b: &LaneBlock<'_>) {
        let ([x, y], [vx, vy]) = ([b.operands[0], b.operands[1]], [&b.views[0], &b.views[1]]);
        let (rows, classes, step) = (vy.dims[ROW], vy.dims[COLUMN], vx.strides[COLUMN]);
        for i in 0..rows {
            let (from, to) = (i * vx.strides[ROW], i * vy.strides[ROW]);
            for lane in (0..LANES).step_by(S::F32_LANES) {
                // SAFETY: promised by the caller.
                unsafe {
                    let [max, log] = log_sum_exp_lanes(simd, x, from, step, classes, lane);
                    for j in 0..classes {
                        let v = x.get(simd, from + j * step, lane);
                        y.put(to + j * vy.strides[COLUMN], lane, v.sub(max).sub(log));
                    }
                }
            }
        }
    }
}
