//! `y = act(a b + bias)`, batched; optionally `z = a b + bias` beside it.
//!
//! Operands: a `[.., m, k]`, b `[.., k, n]` (transposes and broadcasts are strides), bias `[.., m, n]`
//! (usually a broadcast row). Results: y, and z where the backward pass needs it.
//!
//! On a GPU the shape chooses one of four shaders: see [`tier`].

mod job;
mod tier;
mod wide;

use super::nest::{Family, Nest};
use super::parallel::pieces;
use super::pointwise::activation;
use super::uniform::{GpuView, grid, params};
use super::wgsl::chosen;
use super::{Dispatch, Read, Real, Write};
use crate::graph::op::Func;
use crate::spec::{Activation, MAX_RANK};
use crate::view::{View, for_each};
use job::{Job, Matrix, Target};
use tier::BatchedProduct;
pub use tier::{FILL, Tier, parts, tier};

/// Parameters of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMul {
    /// Whether the third operand is added (else it repeats the first and is ignored).
    pub bias: bool,
    /// Applied to the result.
    pub act: Activation,
}

params!(MatMul {
    dims: GpuView,
    a: GpuView,
    b: GpuView,
    bias: GpuView,
    y: GpuView,
    z: GpuView,
    k: u32,
    tiles_m: u32,
    tiles_n: u32,
    pad: u32
});

impl MatMul {
    pub(super) const FAMILY: Family = Family::Product;

    pub(super) fn nest(&self, _: &[View], writes: &[View]) -> Option<Nest> {
        let additive = self.act == Activation::Identity && writes.len() == 1;
        Some(Nest::product(self.bias, writes.len(), additive))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (a, b) = (&reads[0], &reads[1]);
        let k = a.view.dims[MAX_RANK - 1];
        let (ak, bk) = (a.view.strides[MAX_RANK - 1], b.view.strides[MAX_RANK - 2]);
        let y_view = writes[0].view;
        // Positions of row i of a and column j of b for each (batch, i, j).
        let a_rows = axis_to_zero(&a.view, MAX_RANK - 1, &y_view);
        let b_cols = axis_to_zero(&b.view, MAX_RANK - 2, &y_view);
        let bias = if self.bias { reads[2].view } else { a_rows };
        let (first, rest) = writes.split_at_mut(1);
        let z_view = rest.first().map_or(y_view, |z| z.view);
        for_each([&y_view, &a_rows, &b_cols, &bias, &z_view], |[yi, ai, bi, ci, zi]| {
            let mut s = T::dot((0..k).map(|l| (a.f()[ai + l * ak], b.f()[bi + l * bk])));
            if self.bias {
                s = s + reads[2].f()[ci];
            }
            if let Some(z) = rest.first_mut() {
                z.f()[zi] = s;
            }
            first[0].f()[yi] = activation(self.act, 0, s);
        });
    }

    /// Computes the launch in f32: by register tiles, over packed panels where the product is wide.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        let shape = writes[0].view.dims;
        let (m, n, k) = (shape[MAX_RANK - 2], shape[MAX_RANK - 1], reads[0].view.dims[MAX_RANK - 1]);
        let batch: usize = shape[..MAX_RANK - 2].iter().product();
        let (y, z) = writes.split_at_mut(1);
        let job = Job {
            m,
            n,
            k,
            a: Matrix::of(&reads[0].view, reads[0].f()),
            b: Matrix::of(&reads[1].view, reads[1].f()),
            bias: self.bias.then(|| Matrix::of(&reads[2].view, reads[2].f())),
            y: Target::of(&mut y[0]),
            z: z.first_mut().map(Target::of),
            act: self.act,
        }
        .oriented();
        let (m, n) = (job.m, job.n);
        let (block_m, block_n) = job.blocks();
        let (nn, nm) = (n.div_ceil(block_n), m.div_ceil(block_m));
        let flops = 2.0 * (batch * m * n * k) as f64;
        // Many small matrices: several a piece.
        let group = if nn * nm == 1 { ((1 << 17) / (m * n * k).max(1)).clamp(1, batch) } else { 1 };
        let job = &job;
        pieces(batch.div_ceil(group) * nn * nm, flops, |piece| {
            let (g, part) = (piece / (nn * nm), piece % (nn * nm));
            let (pm, pn) = (part / nn, part % nn);
            for item in g * group..((g + 1) * group).min(batch) {
                let rows = pm * block_m..((pm + 1) * block_m).min(m);
                let cols = pn * block_n..((pn + 1) * block_n).min(n);
                job.run(item, rows, cols);
            }
        });
    }

    /// The product as a GPU sees it.
    fn product(&self, reads: &[View], writes: &[View]) -> BatchedProduct {
        let y = writes[0];
        let bias = if self.bias { reads[2] } else { y };
        let z = writes.get(1).copied().unwrap_or(y);
        BatchedProduct::of([reads[0], reads[1], bias, y, z])
    }

    /// The rule's way to compute the launch on a GPU that `fill` workgroups keep busy ([`tier`]).
    pub fn tier(&self, reads: &[View], writes: &[View], fill: usize) -> Tier {
        let p = self.product(reads, writes);
        tier(p.batch, p.m, p.n, p.k, fill)
    }

    /// The uniform, constants and workgroups, by the rule for any GPU.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        self.dispatch_by(self.tier(reads, writes, FILL), reads, writes)
    }

    /// The uniform, constants and workgroups of a way to compute the launch.
    pub fn dispatch_by(&self, tier: Tier, reads: &[View], writes: &[View]) -> Dispatch {
        let (p, swap) = self.product(reads, writes).turned(tier);
        let (tiles_m, tiles_n) = tier.tiles(p.m, p.n);
        let [a, b, bias, y, z] = &p.views;
        let params = Params {
            dims: GpuView::dims(y),
            a: a.into(),
            b: b.into(),
            bias: bias.into(),
            y: y.into(),
            z: z.into(),
            k: p.k as u32,
            tiles_m: tiles_m as u32,
            tiles_n: tiles_n as u32,
            pad: 0,
        };
        let mut constants =
            vec![("BIAS", self.bias as u32 as f64), ("SAVE_Z", (writes.len() > 1) as u32 as f64)];
        constants.extend(tier.constants(&p, swap));
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants,
            groups: grid(tier.groups(p.batch, p.m, p.n)),
        }
    }

    /// The activation, for the shader.
    pub fn chosen(&self) -> String {
        chosen(Func::Act(self.act, 0))
    }

    /// Two operations a multiply-add.
    pub fn flops(&self, reads: &[View], writes: &[View]) -> f64 {
        2.0 * writes[0].count() as f64 * reads[0].dims[MAX_RANK - 1] as f64
    }
}

/// The view with one matrix axis held at 0 and broadcast over the result's shape.
fn axis_to_zero(v: &View, axis: usize, result: &View) -> View {
    let mut w = *v;
    w.dims = result.dims;
    w.strides[axis] = 0;
    for i in 0..MAX_RANK - 2 {
        if v.dims[i] == 1 {
            w.strides[i] = 0;
        }
    }
    w
}
