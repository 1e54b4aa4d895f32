//! Networks of different shape as one: the largest network of a space, of which each task uses a part. Widths, kernels, depths and functions
//! are data, so that another architecture compiles nothing anew.
//!
//! All that a connection may do without a state is one convolution: with the taps that it learns, plus taps that are fixed (1 in the middle
//! for a skip, a third each for a pool), each channel to itself or to all. What lies beyond an architecture's width is 0 throughout.

use super::architecture::{Architecture, Operation};
use super::decisions::Decision;
use super::space::{Space, StageSpace};
use crate::graph::conv::{Conv, Window};
use crate::graph::{Graph, Value};
use crate::net::{Init, ParamLayout, Weights, standardised};
use crate::spec::{Activation, count};

/// Taps of the layer in front of a stage, along each axis.
const STEM: usize = 3;

/// The largest network of a space over rows of one shape.
#[derive(Clone, Debug)]
pub struct Masked {
    space: Space,
    /// Shape of a row.
    row: Vec<usize>,
    outputs: usize,
    stages: Vec<MaskedStage>,
    layout: ParamLayout,
    /// Numbers that say which part of it an architecture is.
    choices: usize,
}

/// A stage with its largest sizes.
#[derive(Clone, Debug)]
pub(super) struct MaskedStage {
    space: StageSpace,
    name: String,
    width: usize,
    cells: usize,
    pairs: Vec<(usize, usize)>,
    /// Taps of a cell's kernels along each axis.
    kernel: usize,
    /// Where its numbers begin among the choices.
    at: usize,
}

/// What a part of the network is made of.
#[derive(Clone, Copy)]
struct Whole<'w> {
    weights: Weights<'w>,
    part: Value,
    /// Whether the part may be a mixture.
    mixed: bool,
}

impl Whole<'_> {
    /// One value or another; of a mixture both, by their shares.
    fn choose(self, g: &mut Graph, share: Value, a: Value, b: Value) -> Value {
        if !self.mixed {
            return g.select(share, a, b);
        }
        let apart = g.sub(a, b);
        let moved = g.mul(share, apart);
        g.add(b, moved)
    }
}

/// Numbers of a stage among the choices of an architecture, in this order.
struct Fields {
    /// Whether the stage is there.
    there: usize,
    /// Which channels are.
    channels: usize,
    /// A share for each activation.
    activations: usize,
    /// Whether sums are normalised, and 1 / width.
    norm: usize,
    /// Which cells are there.
    cells: usize,
    /// For each pair of nodes: which taps are learned, those that are fixed, whether channels go to all, whether there is a bias.
    pairs: usize,
    /// All of them.
    len: usize,
}

impl MaskedStage {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn space(&self) -> &StageSpace {
        &self.space
    }

    /// Cells at most.
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// Pairs of nodes that may be connected.
    pub(super) fn pairs(&self) -> &[(usize, usize)] {
        &self.pairs
    }

    /// Taps of the layer in front of it, all axes together.
    pub(super) fn stem_taps(&self, axes: usize) -> usize {
        if axes == 1 { 1 } else { STEM.pow(axes as u32 - 1) }
    }

    /// Taps of a kernel, all axes together.
    fn taps(&self, axes: usize) -> usize {
        self.kernel.pow(axes as u32 - 1)
    }

    fn fields(&self, axes: usize) -> Fields {
        let there = self.at;
        let channels = there + 1;
        let activations = channels + self.width;
        let norm = activations + self.space.activations.len();
        let cells = norm + 2;
        let pairs = cells + self.cells;
        let each = 2 * self.taps(axes) + 2;
        Fields {
            there,
            channels,
            activations,
            norm,
            cells,
            pairs,
            len: pairs + each * self.pairs.len() - there,
        }
    }

    fn norms(&self) -> bool {
        self.space.norms.contains(&true)
    }

    /// Nodes of a cell with a sum of their own.
    fn sums(&self) -> usize {
        if self.cells == 0 { 0 } else { self.space.nodes - 1 }
    }
}

/// A kernel's taps of one axis in a larger one of `of` taps: the number in the larger one.
fn centred(size: usize, of: usize) -> std::ops::Range<usize> {
    let before = (of - size) / 2;
    before..before + size
}

/// The taps of a kernel inside a larger one, along one axis or two.
fn taps_inside(size: usize, of: usize, axes: usize) -> Vec<usize> {
    match axes {
        2 => centred(size, of).collect(),
        3 => centred(size, of).flat_map(|i| centred(size, of).map(move |j| i * of + j)).collect(),
        _ => vec![0],
    }
}

impl Masked {
    /// The largest network of a space for rows of this shape and so many outputs.
    ///
    /// # Errors
    /// What of the space is no such network: operations with states or heads, or stages that are left out where others have another place.
    pub fn new(space: &Space, row: &[usize], outputs: usize) -> Result<Masked, String> {
        let axes = row.len();
        space.check(axes)?;
        let deep = space.stages.iter().skip(1).any(|s| s.stride > 1 || s.halved);
        if !space.depths.is_empty() && deep {
            return Err("stages that may be left out have no stride and are not halved".into());
        }
        let mut layout = ParamLayout::default();
        let (mut stages, mut at) = (Vec::new(), 0);
        let mut inputs = row[axes - 1];
        for (i, s) in space.stages.iter().enumerate() {
            let operations = || s.operations.iter().filter_map(|c| c.0);
            if let Some(o) = operations().find(|o| o.kernel().is_none()) {
                return Err(format!(
                    "'{}' is no convolution: its networks are trained by themselves",
                    o.name()
                ));
            }
            // Where any stage may be the last, all are as wide as the widest.
            let widest = |s: &StageSpace| s.widths.iter().copied().max().unwrap_or(1);
            let width = match space.depths.is_empty() {
                true => widest(s),
                false => space.stages.iter().map(widest).max().unwrap_or(1),
            };
            let cells = s.cells.iter().copied().max().unwrap_or(0);
            let mut stage = MaskedStage {
                name: format!("stage{i}"),
                width,
                cells,
                pairs: if cells > 0 { s.pairs().collect() } else { vec![] },
                kernel: operations().filter_map(Operation::kernel).max().unwrap_or(1),
                at,
                space: s.clone(),
            };
            if axes == 1 {
                stage.kernel = 1;
            }
            let stem = stage.stem_taps(axes);
            let uniform = |fan_in: usize| Init::Uniform(1.0 / (fan_in as f64).sqrt());
            let n = &stage.name;
            layout.push(format!("{n}.stem.weight"), &[stem, inputs, width], uniform(stem * inputs));
            layout.push(format!("{n}.stem.bias"), &[width], Init::Constant(0.0));
            if cells > 0 {
                let taps = stage.taps(axes);
                let many = cells * stage.pairs.len();
                layout.push(format!("{n}.cells.weight"), &[many, taps, width, width], uniform(taps * width));
                layout.push(format!("{n}.cells.bias"), &[many, width], Init::Constant(0.0));
            }
            if stage.norms() {
                let many = 1 + cells * stage.sums();
                layout.push(format!("{n}.norms.gain"), &[many, width], Init::Constant(1.0));
                layout.push(format!("{n}.norms.shift"), &[many, width], Init::Constant(0.0));
            }
            at += stage.fields(axes).len;
            inputs = width;
            stages.push(stage);
        }
        layout.push("head.weight", &[inputs, outputs], Init::Uniform(1.0 / (inputs as f64).sqrt()));
        layout.push("head.bias", &[outputs], Init::Constant(0.0));
        Ok(Masked { space: space.clone(), row: row.to_vec(), outputs, stages, layout, choices: at })
    }

    /// Its weights.
    pub fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// How many numbers say which part of it an architecture is.
    pub fn choices(&self) -> usize {
        self.choices
    }

    pub(super) fn axes(&self) -> usize {
        self.row.len()
    }

    /// Channels of a row.
    pub(super) fn channels(&self) -> usize {
        self.row[self.axes() - 1]
    }

    pub(super) fn space(&self) -> &Space {
        &self.space
    }

    pub(super) fn row(&self) -> &[usize] {
        &self.row
    }

    pub(super) fn inputs(&self) -> usize {
        count(&self.row)
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn stages(&self) -> impl Iterator<Item = &MaskedStage> {
        self.stages.iter()
    }

    /// Which part of it an architecture of the space is.
    pub fn part(&self, architecture: &Architecture) -> Vec<f32> {
        let mut part = vec![0.0; self.choices];
        let choices = self.space.choices_of(architecture);
        for ((decision, _), choice) in self.space.decisions().into_iter().zip(choices) {
            // Of a stage that is not there nothing is asked.
            for (at, value) in choice.into_iter().flat_map(|c| self.says(decision, c)) {
                part[at] += value;
            }
        }
        part
    }

    /// The numbers that a choice makes of [`Self::part`]: where, and what is added there.
    pub(super) fn says(&self, decision: Decision, choice: usize) -> Vec<(usize, f32)> {
        let axes = self.axes();
        let of = |i: usize| (&self.stages[i], self.stages[i].fields(axes));
        match decision {
            Decision::Depth => {
                let depth = self.space.depths_or_all()[choice];
                (0..depth).map(|i| (of(i).1.there, 1.0)).collect()
            }
            Decision::Width(i) => {
                let (s, f) = of(i);
                let width = s.space.widths[choice];
                let channels = (0..width).map(|c| (f.channels + c, 1.0));
                channels.chain([(f.norm + 1, 1.0 / width as f32)]).collect()
            }
            Decision::Activation(i) => vec![(of(i).1.activations + choice, 1.0)],
            Decision::Norm(i) => {
                let (s, f) = of(i);
                vec![(f.norm, f32::from(u8::from(s.space.norms[choice])))]
            }
            Decision::Cells(i) => {
                let (s, f) = of(i);
                (0..s.space.cells[choice]).map(|c| (f.cells + c, 1.0)).collect()
            }
            Decision::Operation(i, pair) => {
                let (s, f) = of(i);
                let Some(operation) = s.space.operations[choice].0 else { return vec![] };
                let taps = s.taps(axes);
                let at = f.pairs + pair * (2 * taps + 2);
                let inside = |size| taps_inside(size, s.kernel, axes);
                match operation {
                    Operation::Skip => inside(1).into_iter().map(|t| (at + taps + t, 1.0)).collect(),
                    Operation::Pool => {
                        let all = inside(3);
                        let share = 1.0 / all.len() as f32;
                        all.into_iter().map(|t| (at + taps + t, share)).collect()
                    }
                    learned => {
                        let size = learned.kernel().unwrap_or(1);
                        let all = f32::from(u8::from(!matches!(learned, Operation::Depthwise(_))));
                        let own = inside(size).into_iter().map(|t| (at + t, 1.0));
                        own.chain([(at + 2 * taps, all), (at + 2 * taps + 1, 1.0)]).collect()
                    }
                }
            }
        }
    }

    /// Where the weights of an architecture's own network ([`Space::net`]) lie among all weights, in the order of its layout.
    pub fn positions(&self, architecture: &Architecture) -> Vec<usize> {
        let axes = self.axes();
        let mut all = Vec::new();
        let mut inputs = self.row[axes - 1];
        let place = |name: String| self.layout.get(&name).map_or(0, |p| p.offset);
        for (s, stage) in self.stages.iter().zip(&architecture.stages) {
            let (n, w, own) = (&s.name, s.width, stage.width);
            let stem = s.stem_taps(axes);
            let read = self.layout.get(&format!("{n}.stem.weight")).map_or(0, |p| p.shape[1]);
            let at = place(format!("{n}.stem.weight"));
            for tap in 0..stem {
                for i in 0..inputs {
                    all.extend((0..own).map(|o| at + (tap * read + i) * w + o));
                }
            }
            let bias = place(format!("{n}.stem.bias"));
            all.extend(bias..bias + own);
            let norm = |which: usize, all: &mut Vec<usize>| {
                if stage.norm {
                    for what in ["gain", "shift"] {
                        let at = place(format!("{n}.norms.{what}")) + which * w;
                        all.extend(at..at + own);
                    }
                }
            };
            norm(0, &mut all);
            let (weights, biases) = (place(format!("{n}.cells.weight")), place(format!("{n}.cells.bias")));
            let taps = s.taps(axes);
            let mut spread = stage.clone();
            s.space.spread(&mut spread);
            for cell in 0..stage.cells {
                for to in 1..s.space.nodes {
                    let mut sum = false;
                    for c in spread.cell.iter().filter(|c| c.to == to) {
                        sum = true;
                        let Some(pair) = s.pairs.iter().position(|p| *p == (c.from, c.to)) else { continue };
                        let which = cell * s.pairs.len() + pair;
                        let at = weights + which * taps * w * w;
                        let size = match c.operation {
                            Operation::Skip | Operation::Pool => continue,
                            learned => learned.kernel().unwrap_or(1),
                        };
                        let alone = matches!(c.operation, Operation::Depthwise(_));
                        for tap in taps_inside(size, s.kernel, axes) {
                            for i in 0..if alone { 1 } else { own } {
                                all.extend((0..own).map(|o| {
                                    let from = if alone { o } else { i };
                                    at + (tap * w + from) * w + o
                                }));
                            }
                        }
                        all.extend((0..own).map(|o| biases + which * w + o));
                    }
                    if sum {
                        norm(1 + cell * s.sums() + to - 1, &mut all);
                    }
                }
            }
            inputs = own;
        }
        let head = place("head.weight".into());
        all.extend(head..head + inputs * self.outputs);
        let bias = place("head.bias".into());
        all.extend(bias..bias + self.outputs);
        all
    }

    /// Outputs `[T, n, outputs]` of rows `[T, n, inputs]` by all weights `[T, P]` of the part `[T, choices]` of each task.
    pub fn apply(&self, g: &mut Graph, weights: Value, part: Value, x: Value) -> Value {
        self.whole(g, weights, (part, false), x)
    }

    /// The same of a part that is a mixture of choices, by whose shares it can be differentiated.
    pub(super) fn mixed(&self, g: &mut Graph, weights: Value, part: Value, x: Value) -> Value {
        self.whole(g, weights, (part, true), x)
    }

    fn whole(&self, g: &mut Graph, weights: Value, (part, mixed): (Value, bool), x: Value) -> Value {
        let axes = self.axes();
        let &[t, n, _] = g.shape(x) else { panic!("rows are [T, n, inputs]") };
        let whole = Whole { weights: Weights { flat: weights, layout: &self.layout }, part, mixed };
        let [h, w] = match self.row[..] {
            [h, w, _] => [h, w],
            [w, _] => [1, w],
            _ => [1, 1],
        };
        let mut size = [h, w];
        let mut x = g.reshape(x, &[t, n, h, w, self.row[axes - 1]]);
        for s in &self.stages {
            x = g.scope(s.name.clone(), |g| self.stage(g, s, whole, x, &mut size));
        }
        let channels = g.shape(x)[4];
        let x = g.reshape(x, &[t, n, size[0] * size[1], channels]);
        let sum = g.sum_to(x, &[t, n, 1, channels]);
        let mean = g.scale(sum, 1.0 / (size[0] * size[1]) as f64);
        let mean = g.reshape(mean, &[t, n, channels]);
        whole.weights.linear(g, "head", mean)
    }

    fn stage(
        &self,
        g: &mut Graph,
        s: &MaskedStage,
        whole: Whole<'_>,
        x: Value,
        size: &mut [usize; 2],
    ) -> Value {
        let Whole { weights, part, .. } = whole;
        let axes = self.axes();
        let f = s.fields(axes);
        let &[t, _, h, w, c] = g.shape(x) else { panic!("images have five axes") };
        let number = |g: &mut Graph, at: usize, len: usize| {
            let v = g.slice(part, 1, at, len);
            g.reshape(v, &[t, 1, 1, 1, len])
        };
        let channels = number(g, f.channels, s.width);
        let mut x = x;
        if s.space.halved {
            x = halved(g, x);
        }
        let [hx, wx] = [g.shape(x)[2], g.shape(x)[3]];
        let stem_taps = if axes == 1 { 1 } else { STEM };
        let k = weights.get(g, &format!("{}.stem.weight", s.name));
        let kernel = if axes == 3 { [stem_taps, stem_taps] } else { [1, stem_taps] };
        let k = g.reshape(k, &[t, kernel[0], kernel[1], c, s.width]);
        let strides = if axes == 3 { [s.space.stride; 2] } else { [1, s.space.stride] };
        let windows = |kernel: [usize; 2], strides: [usize; 2], len: [usize; 2]| {
            [0, 1].map(|i| Window { stride: strides[i], ..Window::new(kernel[i]) }.same(len[i]))
        };
        let after = [hx.div_ceil(strides[0]), wx.div_ceil(strides[1])];
        let stem = self.conv(g, windows(kernel, strides, [hx, wx]), x, k, after);
        let bias = weights.get(g, &format!("{}.stem.bias", s.name));
        let bias = g.reshape(bias, &[t, 1, 1, 1, s.width]);
        let sum = g.add(stem, bias);
        let mut y = self.behind(g, s, whole, sum, 0, channels);
        *size = after;
        let taps = s.taps(axes);
        let side = if axes == 3 { [s.kernel, s.kernel] } else { [1, s.kernel] };
        let flat = [windows(side, [1, 1], after)];
        if s.cells > 0 {
            let kernels = weights.get(g, &format!("{}.cells.weight", s.name));
            let biases = weights.get(g, &format!("{}.cells.bias", s.name));
            let parts = g.slice(part, 1, f.pairs, s.pairs.len() * (2 * taps + 2));
            let parts = g.reshape(parts, &[t, s.pairs.len(), 2 * taps + 2]);
            let one: Vec<f64> =
                (0..s.width * s.width).map(|i| f64::from(u8::from(i % (s.width + 1) == 0))).collect();
            let one = g.constants(&[1, 1, s.width, s.width], &one);
            let there = number(g, f.cells, s.cells);
            for cell in 0..s.cells {
                let mut nodes = vec![y];
                for to in 1..s.space.nodes {
                    let mut sum: Option<Value> = None;
                    for (pair, (from, _)) in s.pairs.iter().enumerate().filter(|(_, p)| p.1 == to) {
                        let which = cell * s.pairs.len() + pair;
                        let own = g.slice(parts, 1, pair, 1);
                        let field = |g: &mut Graph, at: usize, len: usize| {
                            let v = g.slice(own, 2, at, len);
                            g.reshape(v, &[t, len, 1, 1])
                        };
                        let (learned, fixed) = (field(g, 0, taps), field(g, taps, taps));
                        let (all, biased) = (field(g, 2 * taps, 1), field(g, 2 * taps + 1, 1));
                        let k = g.slice(kernels, 1, which, 1);
                        let k = g.reshape(k, &[t, taps, s.width, s.width]);
                        // Of a channel by itself the diagonal alone is learned.
                        let rest = g.affine(all, -1.0, 1.0);
                        let diagonal = g.mul(one, rest);
                        let reach = g.add(diagonal, all);
                        let k = g.mul(k, reach);
                        let k = g.mul(k, learned);
                        let fixed = g.mul(one, fixed);
                        let k = g.add(k, fixed);
                        let k = g.reshape(k, &[t, side[0], side[1], s.width, s.width]);
                        let part = self.conv(g, flat[0], nodes[*from], k, after);
                        let bias = g.slice(biases, 1, which, 1);
                        let bias = g.reshape(bias, &[t, 1, 1, 1, s.width]);
                        let biased = g.reshape(biased, &[t, 1, 1, 1, 1]);
                        let bias = g.mul(bias, biased);
                        let part = g.add(part, bias);
                        sum = Some(sum.map_or(part, |sum| g.add(sum, part)));
                    }
                    let sum = sum.unwrap_or(y);
                    let which = 1 + cell * s.sums() + to - 1;
                    nodes.push(self.behind(g, s, whole, sum, which, channels));
                }
                let here = g.slice(there, 4, cell, 1);
                y = whole.choose(g, here, nodes[nodes.len() - 1], y);
            }
        }
        if [h, w, c] == [size[0], size[1], s.width] && !s.space.halved && s.space.stride == 1 {
            let here = number(g, f.there, 1);
            y = whole.choose(g, here, y, x);
        }
        y
    }

    /// A convolution; of rows of numbers, a product.
    fn conv(&self, g: &mut Graph, windows: [Window; 2], x: Value, k: Value, after: [usize; 2]) -> Value {
        if self.axes() > 1 {
            return g.conv(Conv { windows, groups: 1 }, x, k, after);
        }
        let (&[t, n, .., c], &[.., o]) = (g.shape(x), g.shape(k)) else { panic!("images have five axes") };
        let (x, k) = (g.reshape(x, &[t, n, c]), g.reshape(k, &[t, c, o]));
        let y = g.matmul(x, k);
        g.reshape(y, &[t, n, 1, 1, o])
    }

    /// What follows a node's sum: the norm, the function, and nothing beyond the width.
    fn behind(
        &self,
        g: &mut Graph,
        s: &MaskedStage,
        whole: Whole<'_>,
        sum: Value,
        which: usize,
        channels: Value,
    ) -> Value {
        let Whole { weights, part, .. } = whole;
        let f = s.fields(self.axes());
        let t = g.shape(sum)[0];
        let number = |g: &mut Graph, at: usize| {
            let v = g.slice(part, 1, at, 1);
            g.reshape(v, &[t, 1, 1, 1, 1])
        };
        let mut y = sum;
        if s.norms() {
            // Shares of channels in a mean add up to one, those of a mixture of widths, too.
            let share = match whole.mixed {
                true => {
                    let all = g.sum_to(channels, &[t, 1, 1, 1, 1]);
                    g.div(channels, all)
                }
                false => {
                    let share = number(g, f.norm + 1);
                    g.mul(channels, share)
                }
            };
            let mut kept = g.shape(sum).to_vec();
            kept[4] = 1;
            let mut normed = standardised(g, sum, &kept, Some(share));
            for (i, what) in ["gain", "shift"].into_iter().enumerate() {
                let v = weights.get(g, &format!("{}.norms.{what}", s.name));
                let v = g.slice(v, 1, which, 1);
                let v = g.reshape(v, &[t, 1, 1, 1, s.width]);
                normed = if i == 0 { g.mul(normed, v) } else { g.add(normed, v) };
            }
            let flag = number(g, f.norm);
            y = if s.space.norms.contains(&false) { whole.choose(g, flag, normed, sum) } else { normed };
        }
        let activations = &s.space.activations;
        let mut all: Option<Value> = None;
        for (i, a) in activations.iter().enumerate() {
            let mut one = if *a == Activation::Identity { y } else { g.act(*a, y) };
            if activations.len() > 1 {
                let flag = number(g, f.activations + i);
                one = g.mul(one, flag);
            }
            all = Some(all.map_or(one, |sum| g.add(sum, one)));
        }
        g.mul(all.unwrap_or(y), channels)
    }
}

/// Means of two neighbours along each axis that is longer than 1; what is left over at the end is dropped.
fn halved(g: &mut Graph, x: Value) -> Value {
    let mut x = x;
    for axis in [2, 3] {
        let len = g.shape(x)[axis];
        if len < 2 {
            continue;
        }
        let mut shape = g.shape(x).to_vec();
        let x2 = g.slice(x, axis, 0, len / 2 * 2);
        shape[axis] = len / 2;
        shape.insert(axis + 1, 2);
        let pairs = g.reshape(x2, &shape);
        let parts = [0, 1].map(|i| {
            let v = g.slice(pairs, axis + 1, i, 1);
            let mut flat = shape.clone();
            flat.remove(axis + 1);
            g.reshape(v, &flat)
        });
        let sum = g.add(parts[0], parts[1]);
        x = g.scale(sum, 0.5);
    }
    x
}

/// An architecture's own weights among all.
pub(super) fn own(all: &[f32], positions: &[usize]) -> Vec<f32> {
    positions.iter().map(|i| all[*i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;
    use crate::plan::lower;
    use crate::rng::Rng;
    use crate::run::Device;

    fn outputs(g: &Graph, inputs: &[(&str, &[f32])]) -> Vec<f32> {
        let device = Device::Cpu;
        let mut session = device.prepare(lower(g, device.caps(1)).expect("it fits")).expect("it fits");
        for (name, values) in inputs {
            session.write(name, values).expect("it is an input");
        }
        session.run(1).expect("it runs");
        session.read("y").expect("it is there")
    }

    /// Each architecture by itself, and all as parts of the largest one.
    fn compare(space: &Space, row: &[usize], many: usize, seed: u64) {
        let masked = Masked::new(space, row, 3).expect("it is a network");
        let mut rng = Rng::new(seed, 3);
        let all: Vec<Architecture> = (0..many).map(|_| space.sample(&mut rng)).collect();
        let (t, n, p) = (all.len(), 4, masked.layout.len());
        let weights: Vec<f32> = (0..t * p).map(|_| 0.4 * rng.normal() as f32).collect();
        let x: Vec<f32> = (0..n * count(row)).map(|_| rng.normal() as f32).collect();
        let mut g = Graph::new();
        let [w, part] = [("w", p), ("part", masked.choices)].map(|(name, len)| g.data(name, &[t, len]));
        let rows = g.data("x", &[1, n, count(row)]);
        let rows = g.expand(rows, &[t, n, count(row)]);
        let y = masked.apply(&mut g, w, part, rows);
        g.output("y", y);
        let parts: Vec<f32> = all.iter().flat_map(|a| masked.part(a)).collect();
        let together = outputs(&g, &[("w", &weights), ("part", &parts), ("x", &x)]);
        for (i, a) in all.iter().enumerate() {
            let net: Net = space.net(a, row, 3).expect("it fits");
            let layout = net.layout();
            let positions = masked.positions(a);
            assert_eq!(positions.len(), layout.len(), "{}", a.key());
            let mut g = Graph::new();
            let flat = g.data("w", &[1, layout.len()]);
            let rows = g.data("x", &[1, n, count(row)]);
            let y = net.apply(&mut g, Weights { flat, layout: &layout }, rows);
            g.output("y", y);
            let alone = outputs(&g, &[("w", &own(&weights[i * p..][..p], &positions)), ("x", &x)]);
            let scale = alone.iter().fold(1.0f32, |m, v| m.max(v.abs()));
            for (a_, b) in alone.iter().zip(&together[i * n * 3..]) {
                assert!((a_ - b).abs() < 1e-4 * scale, "{}: {a_} and {b}", a.key());
            }
        }
    }

    #[test]
    fn a_part_is_the_network_itself() {
        for (name, row) in [("mlp", vec![7]), ("cell-1d", vec![20, 2]), ("cell-2d", vec![16, 16, 3])] {
            compare(&Space::preset(name).expect("it is there"), &row, 12, 11);
        }
        let text = "[[stages]]\nwidths = [4, 8]\nactivations = ['tanh', 'softplus']\nnorms = [true, false]\ncells = [0, 1, 2]\nnodes = 3\n\
                    operations = ['none', 'skip', 'depthwise3', 'conv5', 'pool']";
        let space: Space = toml::from_str(text).expect("it is a space");
        compare(&space, &[9, 2], 20, 2);
        let dense = "[[stages]]\nwidths = [4, 8]\nactivations = ['tanh']\ncells = [1, 2]\nnodes = 3\noperations = ['none', 'skip', 'dense']";
        compare(&toml::from_str(dense).expect("it is a space"), &[5], 12, 4);
        let rnn = Masked::new(&Space::preset("rnn").expect("it is there"), &[5, 2], 3);
        assert!(rnn.expect_err("it has states").contains("'gru' is no convolution"));
    }
}
