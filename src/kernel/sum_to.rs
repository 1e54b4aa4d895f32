//! `y = Σ a` or `y = Σ a·b` over the axes that y lacks.
//!
//! A GPU gives a result to as many threads as the sum is long and results are few; the order of the
//! additions depends on the views alone.

use multiversion::multiversion;
use rayon::prelude::*;
use smallvec::SmallVec;

use super::nest::{Family, Nest};
use super::parallel::{Shared, segments};
use super::uniform::{GpuView, WG, axes, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::spec::MAX_RANK;
use crate::view::{View, collapse, for_each};

/// Parameters of a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SumTo {
    /// Whether products with the second operand are summed (else it repeats the first and is ignored).
    pub dot: bool,
}

params!(SumTo {
    kept: GpuView,
    y: GpuView,
    a: GpuView,
    b: GpuView,
    reduced: GpuView,
    a_step: GpuView,
    b_step: GpuView,
});

/// As many threads keep any GPU busy.
const FILL: usize = 65_536;
/// Threads of a workgroup where several of them share a result.
const SHARING: usize = 256;

/// How a GPU shares out the terms.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sharing {
    /// Threads a result, a power of two: thread l takes terms l, l + lanes, ...
    lanes: usize,
    /// Whether neighbouring threads take neighbouring terms, else neighbouring results.
    along: bool,
}

impl Sharing {
    /// Of `results` sums of `terms` each.
    fn of(p: &Parts) -> Sharing {
        let (results, terms) = (p.y.count(), p.a_step.count());
        // Neighbours should meet in memory: whatever steps less.
        let step = |a: &View, b: &View| a.strides[MAX_RANK - 1] + b.strides[MAX_RANK - 1];
        let along = results == 1 || step(&p.a_step, &p.b_step) <= step(&p.a, &p.b);
        // Rows one beside the other keep 32 neighbours together; long rows one after the other, 8.
        let least = if along && terms >= 128 { 8 } else { 1 };
        let most = if along { SHARING } else { SHARING / results.next_power_of_two().min(32) };
        // Short sums are not worth sharing; in others a thread has four terms at least.
        let lanes = if terms < 32 { 1 } else { (FILL / results).max(least).min(most).min(terms / 4) };
        Sharing { lanes: 1 << lanes.ilog2(), along }
    }
}

/// Parts that the terms of a sum are cut into, each a sum of its own, added up afterwards: where a thread of
/// a GPU would add up many terms, and there are more threads than those.
pub fn sum_parts(a: &View, b: &View, y: &View) -> usize {
    let p = split(y, a, b);
    let lanes = Sharing::of(&p).lanes;
    let terms = p.a_step.count() / lanes;
    let parts = (FILL / (p.y.count() * lanes)).min(terms / 16);
    if terms >= 128 { parts.max(1) } else { 1 }
}

/// The operands split into axes that stay and axes that are summed.
struct Parts {
    y: View,
    a: View,
    b: View,
    a_step: View,
    b_step: View,
}

fn split(y: &View, a: &View, b: &View) -> Parts {
    let part = |v: &View, kept: bool| {
        let mut w = *v;
        for i in 0..MAX_RANK {
            let reduced = y.dims[i] == 1 && a.dims[i] > 1;
            w.dims[i] = if reduced == kept { 1 } else { a.dims[i] };
            w.strides[i] = if w.dims[i] == 1 { 0 } else { v.strides[i] };
        }
        if !kept {
            w.offset = 0;
        }
        w
    };
    let [y, a_kept, b_kept] = collapse([*y, part(a, true), part(b, true)]);
    let [a_step, b_step] = collapse([part(a, false), part(b, false)]);
    Parts { y, a: a_kept, b: b_kept, a_step, b_step }
}

impl SumTo {
    pub(super) const FAMILY: Family = Family::Sum;

    pub(super) fn nest(&self, reads: &[View], writes: &[View]) -> Option<Nest> {
        Some(Nest::sum(2, &reads[0], &writes[0]))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let p = split(&writes[0].view, &reads[0].view, &reads[1].view);
        let mut steps = Vec::new();
        for_each([&p.a_step, &p.b_step], |[i, j]| steps.push((i, j)));
        let (a, b) = (reads[0].f(), reads[1].f());
        let y = writes[0].f();
        for_each([&p.y, &p.a, &p.b], |[i, j, k]| {
            y[i] = if self.dot {
                T::dot(steps.iter().map(|(sa, sb)| (a[j + sa], b[k + sb])))
            } else {
                T::sum(steps.iter().map(|(sa, _)| a[j + sa]))
            };
        });
    }

    /// Computes the launch in f32: sums along neighbours in 16 lanes, sums across rows a row at a time.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let p = split(&writes[0].view, &reads[0].view, &reads[1].view);
        let (a, b) = (reads[0].f(), reads[1].f());
        assert!(p.y.end() <= writes[0].f().len());
        let out = Shared(writes[0].f().as_mut_ptr());
        let terms = p.a_step.count();
        // Of few terms on the stack.
        let mut steps = SmallVec::<[(usize, usize); 256]>::new();
        let along =
            p.a_step.strides[5] == 1 && p.a_step.dims[5] == terms && (!self.dot || p.b_step.strides[5] == 1);
        if !along {
            for_each([&p.a_step, &p.b_step], |[i, j]| steps.push((i, j)));
        }
        let (sy, sa, sb) = (p.y.strides[5], p.a.strides[5], p.b.strides[5]);
        let steps = &steps;
        segments([&p.y, &p.a, &p.b], 2.0 * terms as f64, |[yi, ai, bi], len| {
            if !along && sy == 1 && sa == 1 && sb <= 1 {
                // SAFETY: the view ends inside the slot, is injective, and segments do not overlap.
                let y = unsafe { std::slice::from_raw_parts_mut(out.get().add(yi), len) };
                y.fill(0.0);
                for &(oa, ob) in steps.iter() {
                    let a = &a[ai + oa..ai + oa + len];
                    let b = &b[bi + ob..];
                    match (self.dot, sb) {
                        (false, _) => y.iter_mut().zip(a).for_each(|(y, a)| *y += a),
                        (true, 0) => y.iter_mut().zip(a).for_each(|(y, a)| *y += a * b[0]),
                        (true, _) => y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y += a * b),
                    }
                }
                return;
            }
            for i in 0..len {
                let (a0, b0) = (ai + i * sa, bi + i * sb);
                let s = match (along, self.dot) {
                    (true, true) => long_dot(&a[a0..a0 + terms], &b[b0..b0 + terms]),
                    (true, false) => long_sum(&a[a0..a0 + terms]),
                    (false, true) => steps.iter().map(|(oa, ob)| a[a0 + oa] * b[b0 + ob]).sum(),
                    (false, false) => steps.iter().map(|(oa, _)| a[a0 + oa]).sum(),
                };
                // SAFETY: as above.
                unsafe { *out.get().add(yi + i * sy) = s };
            }
        });
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let p = split(&writes[0], &reads[0], &reads[1]);
        let params = Params {
            kept: GpuView::dims(&p.y),
            y: (&p.y).into(),
            a: (&p.a).into(),
            b: (&p.b).into(),
            reduced: GpuView::dims(&p.a_step),
            a_step: (&p.a_step).into(),
            b_step: (&p.b_step).into(),
        };
        let Sharing { lanes, along } = Sharing::of(&p);
        let threads = if lanes == 1 { WG } else { SHARING };
        let constants =
            [("DOT", self.dot as usize), ("LANES", lanes), ("ALONG", along as usize), ("THREADS", threads)];
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: constants
                .map(|(name, x)| (name, x as f64))
                .into_iter()
                .chain([axes([&p.y, &p.a_step])])
                .collect(),
            groups: grid((p.y.count() * lanes).div_ceil(threads)),
        }
    }

    /// Operations of the launch.
    pub fn flops(&self, reads: &[View], _: &[View]) -> f64 {
        reads[0].count() as f64 * if self.dot { 2.0 } else { 1.0 }
    }
}

/// Terms that one thread adds up on its own.
const CHUNK: usize = 32_768;

/// A sum along neighbours: chunks of fixed size in parallel, then the chunks in order.
fn long_sum(a: &[f32]) -> f32 {
    if a.len() <= CHUNK {
        return sum_lanes(a);
    }
    a.par_chunks(CHUNK).map(sum_lanes).collect::<Vec<f32>>().iter().sum()
}

/// A dot product along neighbours, as [`long_sum`].
fn long_dot(a: &[f32], b: &[f32]) -> f32 {
    if a.len() <= CHUNK {
        return dot_lanes(a, b);
    }
    let parts: Vec<f32> =
        a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)).map(|(a, b)| dot_lanes(a, b)).collect();
    parts.iter().sum()
}

const LANES: usize = 32;

#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn sum_lanes(a: &[f32]) -> f32 {
    let (mut acc, mut i) = ([0.0f32; LANES], 0);
    // By index: iterators are calls of their own where registers are wide.
    while let Some(x) = a[i..].first_chunk::<LANES>() {
        let mut k = 0;
        while k < LANES {
            acc[k] += x[k];
            k += 1;
        }
        i += LANES;
    }
    let tail: f32 = a[i..].iter().sum();
    acc.iter().sum::<f32>() + tail
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
fn dot_lanes(a: &[f32], b: &[f32]) -> f32 {
    let b = &b[..a.len()];
    let (mut acc, mut i) = ([0.0f32; LANES], 0);
    while let (Some(x), Some(y)) = (a[i..].first_chunk::<LANES>(), b[i..].first_chunk::<LANES>()) {
        let mut k = 0;
        while k < LANES {
            acc[k] += x[k] * y[k];
            k += 1;
        }
        i += LANES;
    }
    let tail: f32 = a[i..].iter().zip(&b[i..]).map(|(a, b)| a * b).sum();
    acc.iter().sum::<f32>() + tail
}
