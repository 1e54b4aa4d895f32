//! `y = Σ a` or `y = Σ a·b` over the axes that y lacks.
//!
//! A GPU gives each result to one thread, or to the 64 of a workgroup where the sum is long; the order
//! of the additions depends on the shape alone.

use super::parallel::{Shared, segments};
use super::uniform::{GpuView, WG, grid, params};
use super::{Dispatch, Read, Real, Write};
use crate::plan::Arg;
use crate::plan::view::{View, collapse, for_each};
use crate::spec::MAX_RANK;

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

/// Sums of at least this many terms get a workgroup.
const LONG: usize = 128;

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
        let mut steps = Vec::with_capacity(terms.min(1 << 16));
        let along =
            p.a_step.strides[5] == 1 && p.a_step.dims[5] == terms && (!self.dot || p.b_step.strides[5] == 1);
        if !along {
            for_each([&p.a_step, &p.b_step], |[i, j]| steps.push((i, j)));
        }
        let (sy, sa, sb) = (p.y.strides[5], p.a.strides[5], p.b.strides[5]);
        let steps = &steps;
        segments([&p.y, &p.a, &p.b], 2.0 * terms as f64, |[yi, ai, bi], len| {
            if !along && sy == 1 && sa == 1 && sb == 1 {
                // SAFETY: the view ends inside the slot, is injective, and segments do not overlap.
                let y = unsafe { std::slice::from_raw_parts_mut(out.get().add(yi), len) };
                y.fill(0.0);
                for &(oa, ob) in steps {
                    let a = &a[ai + oa..ai + oa + len];
                    if self.dot {
                        for ((y, a), b) in y.iter_mut().zip(a).zip(&b[bi + ob..bi + ob + len]) {
                            *y += a * b;
                        }
                    } else {
                        for (y, a) in y.iter_mut().zip(a) {
                            *y += a;
                        }
                    }
                }
                return;
            }
            for i in 0..len {
                let (a0, b0) = (ai + i * sa, bi + i * sb);
                let s = match (along, self.dot) {
                    (true, true) => lanes(terms, |l| a[a0 + l] * b[b0 + l]),
                    (true, false) => lanes(terms, |l| a[a0 + l]),
                    (false, true) => steps.iter().map(|(oa, ob)| a[a0 + oa] * b[b0 + ob]).sum(),
                    (false, false) => steps.iter().map(|(oa, _)| a[a0 + oa]).sum(),
                };
                // SAFETY: as above.
                unsafe { *out.get().add(yi + i * sy) = s };
            }
        });
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[Arg], writes: &[Arg]) -> Dispatch {
        let p = split(&writes[0].view, &reads[0].view, &reads[1].view);
        let params = Params {
            kept: GpuView::dims(&p.y),
            y: (&p.y).into(),
            a: (&p.a).into(),
            b: (&p.b).into(),
            reduced: GpuView::dims(&p.a_step),
            a_step: (&p.a_step).into(),
            b_step: (&p.b_step).into(),
        };
        let lanes = if p.a_step.count() >= LONG { WG } else { 1 };
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: vec![("DOT", self.dot as u32 as f64), ("LANES", lanes as f64)],
            groups: grid((p.y.count() * lanes).div_ceil(WG)),
        }
    }

    /// Operations of the launch.
    pub fn flops(&self, reads: &[Arg], _: &[Arg]) -> f64 {
        reads[0].view.count() as f64 * if self.dot { 2.0 } else { 1.0 }
    }
}

/// A sum in 16 lanes, which the compiler keeps in vector registers; then the lanes in order.
#[inline(always)]
fn lanes(n: usize, at: impl Fn(usize) -> f32) -> f32 {
    let mut acc = [0.0f32; 16];
    let whole = n / 16 * 16;
    for i in (0..whole).step_by(16) {
        for (l, s) in acc.iter_mut().enumerate() {
            *s += at(i + l);
        }
    }
    let tail: f32 = (whole..n).map(&at).sum();
    acc.iter().sum::<f32>() + tail
}
