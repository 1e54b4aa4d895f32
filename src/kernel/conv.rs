//! `y = act(conv(x, k) + bias)`, or the gradient of a convolution by its input or its kernels, which goes the same way;
//! optionally the sum beside it. See [`crate::graph::conv`] for the three.
//!
//! Operands: the two of the trilinear form, and a bias of the result's shape (usually a broadcast row of channels). All have
//! five axes: images `[b, n, h, w, c]`, kernels `[b, i, j, c / groups, o]`; strides are free.

mod fast;
mod lanes;
mod tile;

use pulp::Simd;

use super::block::{LaneBlock, OwnBlock};
use super::matmul::FILL;
use super::nest::{Family, Nest};
use super::pointwise::activation;
use super::uniform::{GpuView, grid, params};
use super::wgsl::chosen;
use super::{Dispatch, Read, Real, Write};
use crate::graph::conv::{Conv as Geometry, Wrt};
use crate::graph::op::Func;
use crate::spec::{Activation, MAX_RANK};
use crate::view::{COLUMN, View};

/// Parameters of a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv {
    /// Windows and groups.
    pub geometry: Geometry,
    /// Which of the three.
    pub wrt: Wrt,
    /// Whether the third operand is added (else it repeats the first and is ignored).
    pub bias: bool,
    /// Applied to the result.
    pub act: Activation,
}

params!(Conv {
    dims: GpuView,
    a: GpuView,
    b: GpuView,
    bias: GpuView,
    y: GpuView,
    z: GpuView,
    terms: u32,
    terms_1: u32,
    terms_2: u32,
    columns: u32,
    groups: u32,
    a_group: u32,
    b_group: u32,
    tiles_m: u32,
    tiles_n: u32,
    height: u32,
    width: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    before_h: u32,
    before_w: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32
});

/// Rows and columns of a workgroup's tile.
const TILE: usize = 32;

/// Fewer tiles do not fill a GPU, which waits for their terms then: several parts of a workgroup sum up some of them each.
const FEW_TILES: usize = 8 * FILL;
/// So many parts, where each has enough terms.
const PARTS: usize = 4;
const TERMS_OF_PART: usize = 32;

/// The five axes of an operand: the last ones of its view.
const AXES: std::ops::Range<usize> = MAX_RANK - 5..MAX_RANK;

/// The implicit product: rows are three axes of the result, terms three axes of what is summed over.
#[derive(Clone, Copy, Debug)]
struct ImplicitProduct {
    wrt: Wrt,
    geometry: Geometry,
    batch: usize,
    rows: [usize; 3],
    terms: [usize; 3],
    /// Columns of a group.
    columns: usize,
    /// Extent of the first operand's images.
    extent: [usize; 2],
    /// Distances of the groups in both operands.
    group: [usize; 2],
    a: View,
    /// With terms before columns.
    b: View,
}

impl ImplicitProduct {
    fn of(conv: &Conv, a: &View, b: &View, y: &View) -> ImplicitProduct {
        let d = |v: &View| -> [usize; 5] { std::array::from_fn(|i| v.dims[AXES.start + i]) };
        let (da, db, dy) = (d(a), d(b), d(y));
        let groups = conv.geometry.groups;
        let mut b = *b;
        // Elements of a group along the last axis.
        let part = |v: &View, channels: usize| channels / groups * v.strides[COLUMN];
        let (terms, group) = match conv.wrt {
            // i, j, channels of the group
            Wrt::Output => ([db[1], db[2], db[3]], [part(a, da[4]), part(&b, db[4])]),
            Wrt::Input => {
                let group = [part(a, da[4]), part(&b, db[4])];
                b = b.transposed();
                ([db[1], db[2], db[4] / groups], group)
            }
            // n, p, q
            Wrt::Kernels => ([db[1], db[2], db[3]], [part(a, da[4]), part(&b, db[4])]),
        };
        ImplicitProduct {
            wrt: conv.wrt,
            geometry: conv.geometry,
            batch: dy[0],
            rows: [dy[1], dy[2], dy[3]],
            terms,
            columns: dy[4] / groups,
            extent: [da[2], da[3]],
            group,
            a: *a,
            b,
        }
    }

    /// Where the first operand's element of a row and a term lies from the start of its batch and group; `None` in padding.
    fn at_a(&self, row: [usize; 3], term: [usize; 3]) -> Option<usize> {
        let [h, w] = self.geometry.windows;
        let [height, width] = self.extent;
        let (image, y, x, channel) = match self.wrt {
            Wrt::Output => {
                (row[0], h.element(row[1], term[0], height)?, w.element(row[2], term[1], width)?, term[2])
            }
            Wrt::Input => {
                (row[0], h.window(row[1], term[0], height)?, w.window(row[2], term[1], width)?, term[2])
            }
            Wrt::Kernels => {
                (term[0], h.element(term[1], row[0], height)?, w.element(term[2], row[1], width)?, row[2])
            }
        };
        let s = &self.a.strides[AXES];
        Some(image * s[1] + y * s[2] + x * s[3] + channel * s[4])
    }

    /// Where the second operand's element of a term lies for column 0, from the start of its batch and group.
    fn at_b(&self, term: [usize; 3]) -> usize {
        let s = &self.b.strides[AXES];
        term[0] * s[1] + term[1] * s[2] + term[2] * s[3]
    }

    /// Starts of a batch and a group in both operands.
    fn starts(&self, batch: usize, group: usize) -> [usize; 2] {
        let start = |v: &View, step: usize| v.offset + batch * v.strides[AXES.start] + group * step;
        [start(&self.a, self.group[0]), start(&self.b, self.group[1])]
    }

    /// Multiply-adds, those with padding counted.
    fn work(&self) -> f64 {
        let count = |d: [usize; 3]| d.iter().product::<usize>() as f64;
        (self.batch * self.geometry.groups * self.columns) as f64 * count(self.rows) * count(self.terms)
    }
}

/// Index tuples of three axes in row-major order.
fn indices([a, b, c]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> + Clone {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| [i, j, k])))
}

impl Conv {
    pub(super) const FAMILY: Family = Family::Own;

    pub(super) fn nest(&self, _: &[View], writes: &[View]) -> Option<Nest> {
        let additive = self.act == Activation::Identity && writes.len() == 1;
        Some(Nest::conv(self.wrt != Wrt::Kernels, self.bias, writes.len(), additive))
    }

    /// Computes the launch by the formula.
    pub fn reference<T: Real>(&self, reads: &[Read<'_, T>], writes: &mut [Write<'_, T>]) {
        let (a, b) = (&reads[0], &reads[1]);
        let y_view = writes[0].view;
        let p = ImplicitProduct::of(self, &a.view, &b.view, &y_view);
        let column = p.b.strides[COLUMN];
        let (first, rest) = writes.split_at_mut(1);
        let at = |v: &View, batch: usize, row: [usize; 3], channel: usize| {
            let s = &v.strides[AXES];
            v.offset + batch * s[0] + row[0] * s[1] + row[1] * s[2] + row[2] * s[3] + channel * s[4]
        };
        for batch in 0..p.batch {
            for group in 0..self.geometry.groups {
                let [a0, b0] = p.starts(batch, group);
                for row in indices(p.rows) {
                    for c in 0..p.columns {
                        let terms = indices(p.terms).filter_map(|term| {
                            let i = p.at_a(row, term)?;
                            Some((a.f()[a0 + i], b.f()[b0 + p.at_b(term) + c * column]))
                        });
                        let mut s = T::dot(terms);
                        let channel = group * p.columns + c;
                        if self.bias {
                            s = s + reads[2].f()[at(&reads[2].view, batch, row, channel)];
                        }
                        if let Some(z) = rest.first_mut() {
                            let i = at(&z.view, batch, row, channel);
                            z.f()[i] = s;
                        }
                        first[0].f()[at(&y_view, batch, row, channel)] = activation(self.act, 0, s);
                    }
                }
            }
        }
    }

    /// Computes the launch in f32: products over gathered windows.
    pub fn fast(&self, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
        fast::run(self, reads, writes);
    }

    /// The uniform, constants and workgroups.
    pub fn dispatch(&self, reads: &[View], writes: &[View]) -> Dispatch {
        let y = &writes[0];
        let p = ImplicitProduct::of(self, &reads[0], &reads[1], y);
        let rows: usize = p.rows.iter().product();
        let (tiles_m, tiles_n) = (rows.div_ceil(TILE), p.columns.div_ceil(TILE));
        let tiles = p.batch * self.geometry.groups * tiles_m * tiles_n;
        let terms: usize = p.terms.iter().product();
        let parts = if tiles < FEW_TILES && terms >= PARTS * TERMS_OF_PART { PARTS } else { 1 };
        let bias = if self.bias { &reads[2] } else { y };
        let [h, w] = self.geometry.windows;
        let params = Params {
            dims: GpuView::dims(y),
            a: (&p.a).into(),
            b: (&p.b).into(),
            bias: bias.into(),
            y: y.into(),
            z: writes.get(1).unwrap_or(y).into(),
            terms: terms as u32,
            terms_1: p.terms[1] as u32,
            terms_2: p.terms[2] as u32,
            columns: p.columns as u32,
            groups: self.geometry.groups as u32,
            a_group: p.group[0] as u32,
            b_group: p.group[1] as u32,
            tiles_m: tiles_m as u32,
            tiles_n: tiles_n as u32,
            height: p.extent[0] as u32,
            width: p.extent[1] as u32,
            stride_h: h.stride as u32,
            stride_w: w.stride as u32,
            dilation_h: h.dilation as u32,
            dilation_w: w.dilation as u32,
            before_h: h.before as u32,
            before_w: w.before as u32,
            pad0: 0,
            pad1: 0,
            pad2: 0,
        };
        Dispatch {
            uniform: bytemuck::bytes_of(&params).to_vec(),
            constants: vec![
                ("ROLE", self.role() as f64),
                ("BIAS", f64::from(u8::from(self.bias))),
                ("SAVE_Z", f64::from(u8::from(writes.len() > 1))),
                ("PARTS", parts as f64),
            ],
            groups: grid(tiles),
        }
    }

    /// Which of the three, for the shaders.
    fn role(&self) -> usize {
        match self.wrt {
            Wrt::Output => 0,
            Wrt::Input => 1,
            Wrt::Kernels => 2,
        }
    }

    /// The activation, for the shader.
    pub fn chosen(&self) -> String {
        chosen(Func::Act(self.act, 0))
    }

    /// Two operations a multiply-add; padding counts, as it does for those who measure convolutions.
    pub fn flops(&self, reads: &[View], writes: &[View]) -> f64 {
        // Of the gradient by the input as many as of the convolution itself, whatever the stride.
        match self.wrt {
            Wrt::Input => {
                let [n, p, q] = [1, 2, 3].map(|i| reads[0].dims[AXES.start + i]);
                let k = reads[1].count() as f64;
                2.0 * k * (n * p * q) as f64
            }
            _ => 2.0 * ImplicitProduct::of(self, &reads[0], &reads[1], &writes[0]).work(),
        }
    }
}

impl OwnBlock for Conv {
    const OPERANDS: &'static [(&'static str, usize)] = &[("a", 5), ("b", 5), ("bias", 5), ("y", 5), ("z", 5)];

    fn sizes(&self, reads: &[View], writes: &[View]) -> Vec<(&'static str, usize)> {
        let p = ImplicitProduct::of(self, &reads[0], &reads[1], &writes[0]);
        let [h, w] = self.geometry.windows;
        vec![
            ("ROLE", self.role()),
            ("BIAS", usize::from(self.bias)),
            ("SAVE_Z", usize::from(writes.len() > 1)),
            ("BATCH", p.batch),
            ("GROUPS", self.geometry.groups),
            ("R0", p.rows[0]),
            ("R1", p.rows[1]),
            ("R2", p.rows[2]),
            ("T0", p.terms[0]),
            ("T1", p.terms[1]),
            ("T2", p.terms[2]),
            ("COLUMNS", p.columns),
            ("QUADS", p.columns.div_ceil(4)),
            ("HEIGHT", p.extent[0]),
            ("WIDTH", p.extent[1]),
            ("STRIDE_H", h.stride),
            ("STRIDE_W", w.stride),
            ("DILATION_H", h.dilation),
            ("DILATION_W", w.dilation),
            ("BEFORE_H", h.before),
            ("BEFORE_W", w.before),
        ]
    }

    fn activation(&self) -> Activation {
        self.act
    }

    #[inline(always)]
    unsafe fn lanes<S: Simd>(&self, simd: S, block: &LaneBlock<'_>) {
        // SAFETY: promised by the caller.
        unsafe { lanes::run(self, simd, block) }
    }
}
