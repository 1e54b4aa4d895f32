//! Convolutions on the CPU, without gathering windows: images are copied with the zeros around them, and windows are then runs of
//! elements at fixed distances, which register tiles run over (as in Georganas et al. 2018). The gradient by the input
//! is a convolution of the gradient with the kernels turned around, for each remainder of the stride; that by the kernels has the
//! same runs as rows. How work is cut depends on sizes alone, so any number of threads gives the same bits.

use std::cell::RefCell;
use std::iter::zip;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::tile::{TALL, Tile, height};
use super::{AXES, Conv, ImplicitProduct};
use crate::graph::conv::{Window, Wrt};
use crate::graph::op::Func;
use crate::kernel::parallel::{Shared, pieces};
use crate::kernel::simd::apply;
use crate::kernel::{Read, Write, transposed};
use crate::spec::Activation;
use crate::view::{COLUMN, View};

/// Elements of an image that are copied at once: they stay in a core's own cache.
const BLOCK: usize = 1 << 15;
/// The same of images whose sums are over images, with the operand beside them: tile after tile reads them again.
const SUMMED: usize = 1 << 13;
/// Multiply-adds of a piece of work, at least, where images are small.
const PIECE: usize = 1 << 22;
/// Pieces that a sum over images is cut into, at most, where there are few tasks.
const SPLITS: usize = 8;

/// Elements of a line of memory: a register that lies across two takes twice as long to fetch.
const LINE: usize = 16;

/// Numbers that begin with a line of memory.
#[derive(Default)]
struct Lines(Vec<f32>);

impl Lines {
    /// Room for so many, with whatever is there.
    fn room(&mut self, len: usize) -> &mut [f32] {
        if self.0.len() < len + LINE {
            self.0.resize(len + LINE, 0.0);
        }
        let first = self.0.as_ptr().addr().wrapping_neg() % (4 * LINE) / 4;
        &mut self.0[first..first + len]
    }
}

/// Buffers of a thread, kept between launches.
#[derive(Default)]
struct Scratch {
    image: Lines,
    columns: Lines,
    sums: Lines,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// How results and the elements that they are summed from lie along one axis: result `first + i stride` reads element
/// `origin + i step + offset` by each tap.
struct Axis {
    count: usize,
    first: usize,
    stride: usize,
    step: usize,
    origin: isize,
    /// Taps with their offsets, which ascend from 0.
    taps: Vec<(usize, usize)>,
}

impl Axis {
    /// Windows over elements.
    fn windows(w: Window, taps: usize, count: usize) -> Axis {
        let taps = (0..taps).map(|tap| (tap, tap * w.dilation)).collect();
        Axis { count, first: 0, stride: 1, step: w.stride, origin: -(w.before as isize), taps }
    }

    /// Of `count` elements those that leave the remainder `first` by the stride, over the windows that see them.
    fn elements(w: Window, taps: usize, count: usize, first: usize) -> Axis {
        let window = |tap: usize| {
            let at = (first + w.before) as isize - (tap * w.dilation) as isize;
            (at.rem_euclid(w.stride as isize) == 0).then(|| (tap, at.div_euclid(w.stride as isize)))
        };
        let seen: Vec<(usize, isize)> = (0..taps).rev().filter_map(window).collect();
        let origin = seen.first().map_or(0, |(_, at)| *at);
        let taps = seen.into_iter().map(|(tap, at)| (tap, (at - origin) as usize)).collect();
        Axis {
            count: count.saturating_sub(first).div_ceil(w.stride),
            first,
            stride: w.stride,
            step: 1,
            origin,
            taps,
        }
    }

    /// Elements that `count` results span.
    fn span(&self, count: usize) -> usize {
        (count - 1) * self.step + self.taps.last().map_or(0, |(_, offset)| *offset) + 1
    }
}

/// Images as results see them: with their zeros, channels of a group last.
struct Images<'p> {
    p: &'p ImplicitProduct,
    axes: [Axis; 2],
    channels: usize,
    /// Where the taps' runs of elements begin, from the first element under a window.
    runs: Vec<usize>,
    /// Elements of a run.
    len: usize,
}

impl<'p> Images<'p> {
    fn new(p: &'p ImplicitProduct, axes: [Axis; 2], channels: usize) -> Images<'p> {
        let [h, w] = &axes;
        let line = w.span(w.count) * channels;
        // Taps of a line that follow one another are one run.
        let joined = w.taps.iter().enumerate().all(|(i, (_, offset))| i == *offset);
        let len = if joined { w.taps.len() * channels } else { channels };
        let across = if joined { w.taps.len().min(1) } else { w.taps.len() };
        let runs = h
            .taps
            .iter()
            .flat_map(|(_, y)| w.taps[..across].iter().map(move |(_, x)| y * line + x * channels));
        let runs = runs.collect();
        Images { p, channels, runs, len, axes }
    }

    /// Taps of both axes, in the order of runs.
    fn taps(&self) -> impl Iterator<Item = [usize; 2]> {
        let [h, w] = &self.axes;
        h.taps.iter().flat_map(|(i, _)| w.taps.iter().map(|(j, _)| [*i, *j]))
    }

    /// Elements of a line of the copy.
    fn line(&self) -> usize {
        self.axes[1].span(self.axes[1].count) * self.channels
    }

    /// Lines of results whose elements are about `most`.
    fn lines(&self, most: usize) -> usize {
        let h = &self.axes[0];
        (most / (self.line() * h.step)).clamp(1, h.count)
    }

    /// Where the first element under a result lies in a copy that begins with the first of its line.
    #[inline(always)]
    fn at(&self, line: usize, result: usize) -> usize {
        line * self.axes[0].step * self.line() + result * self.axes[1].step * self.channels
    }

    /// Copies what some lines of results see of the image that begins at `start`.
    #[inline(always)]
    fn copy<'t>(&self, data: &[f32], start: usize, lines: &Range<usize>, to: &'t mut Lines) -> &'t [f32] {
        let ([h, w], c) = (&self.axes, self.channels);
        let [.., down, across, channel] = self.p.a.strides;
        let [height, width] = self.p.extent.map(|n| n as isize);
        let (tall, wide) = (h.span(lines.len()), w.span(w.count));
        let inside = |x: isize| x.clamp(0, wide as isize) as usize;
        let (left, right) = (inside(-w.origin), inside(width - w.origin));
        // The last tile may read rows that it does not keep.
        let to = to.room(tall * wide * c + TALL * (w.step * c));
        for (i, line) in to.chunks_exact_mut(wide * c).take(tall).enumerate() {
            let y = h.origin + (lines.start * h.step + i) as isize;
            if !(0..height).contains(&y) || left >= right {
                line.fill(0.0);
                continue;
            }
            line[..left * c].fill(0.0);
            line[right * c..].fill(0.0);
            let from = start + y as usize * down + (w.origin + left as isize) as usize * across;
            let line = &mut line[left * c..right * c];
            if channel == 1 && across == c {
                line.copy_from_slice(&data[from..from + line.len()]);
            } else {
                for (x, to) in line.chunks_exact_mut(c).enumerate() {
                    for (k, to) in to.iter_mut().enumerate() {
                        *to = data[from + x * across + k * channel];
                    }
                }
            }
        }
        to
    }
}

/// Panels of `n` columns: where each begins, how many columns it has, and whether they take two registers.
#[inline(always)]
fn panels<S: Simd>(n: usize) -> impl Iterator<Item = (usize, usize, bool)> + Clone {
    (0..n).step_by(2 * S::F32_LANES).map(move |first| {
        let width = (n - first).min(2 * S::F32_LANES);
        (first, width, width > S::F32_LANES)
    })
}

/// Columns of all panels, padded to whole registers.
#[inline(always)]
fn padded<S: Simd>(n: usize) -> usize {
    n.next_multiple_of(S::F32_LANES)
}

/// Packs terms of `n` columns into panels, term after term: `rows` gives where runs of `len` terms begin; `step` and `column` are the
/// distances of terms and columns.
#[inline(always)]
fn pack<'t, S: Simd>(
    data: &[f32],
    rows: &[usize],
    len: usize,
    [step, column]: [usize; 2],
    n: usize,
    to: &'t mut Lines,
) -> &'t [f32] {
    let to = to.room(rows.len() * len * padded::<S>(n));
    let mut rest = &mut to[..];
    for (first, width, two) in panels::<S>(n) {
        let registers = if two { 2 * S::F32_LANES } else { S::F32_LANES };
        for from in rows {
            let (panel, after) = rest.split_at_mut(len * registers);
            rest = after;
            let from = from + first * column;
            if column == 1 {
                for (l, to) in panel.chunks_exact_mut(registers).enumerate() {
                    to[..width].copy_from_slice(&data[from + l * step..][..width]);
                    to[width..].fill(0.0);
                }
                continue;
            }
            // Where terms are neighbours, blocks of 4 x 4 are exchanged in registers.
            let (terms, columns) = if step == 1 { (len - len % 4, width - width % 4) } else { (0, 0) };
            for c in (0..columns).step_by(4) {
                for l in (0..terms).step_by(4) {
                    let at = |k: usize| from + l + (c + k) * column;
                    let block = transposed(std::array::from_fn(|k| {
                        let four = &data[at(k)..at(k) + 4];
                        [four[0], four[1], four[2], four[3]]
                    }));
                    for (k, part) in block.into_iter().enumerate() {
                        panel[(l + k) * registers + c..][..4].copy_from_slice(&part);
                    }
                }
            }
            for (l, to) in panel.chunks_exact_mut(registers).enumerate() {
                for c in if l < terms { columns } else { 0 }..width {
                    to[c] = data[from + l * step + c * column];
                }
                to[width..].fill(0.0);
            }
        }
    }
    to
}

/// Where results go, with what is done to them.
struct Results<'a> {
    y: (Shared<f32>, View),
    z: Option<(Shared<f32>, View)>,
    bias: Option<(&'a [f32], View)>,
    act: Activation,
}

impl Results<'_> {
    /// Finishes sums: `n` channels from `channel` on of rows that are `apart` along the last axis from `row` on; sums of two rows are
    /// `step` apart.
    ///
    /// # Safety
    /// The rows exist, and no other thread writes them.
    #[inline(always)]
    unsafe fn put(
        &self,
        row: [usize; 4],
        apart: usize,
        [channel, n]: [usize; 2],
        step: usize,
        sums: &mut [f32],
    ) {
        if let Some((data, v)) = &self.bias {
            let (first, [down, across]) = lay(v, row, apart, channel);
            for (r, sums) in sums.chunks_exact_mut(step).enumerate() {
                if across == 1 {
                    zip(&mut sums[..n], &data[first + r * down..][..n]).for_each(|(s, b)| *s += b);
                } else {
                    (0..n).for_each(|c| sums[c] += data[first + r * down + c * across]);
                }
            }
        }
        for (result, last) in [(&self.z, false), (&Some(self.y), true)] {
            let Some((data, v)) = result else { continue };
            match self.act {
                // What is not a number stays.
                Activation::Relu if last => {
                    sums.iter_mut().for_each(|s| *s = if *s <= 0.0 { 0.0 } else { *s });
                }
                act if last && act != Activation::Identity => apply(Func::Act(act, 0), sums),
                _ => {}
            }
            let (first, [down, across]) = lay(v, row, apart, channel);
            for (r, sums) in sums.chunks_exact(step).enumerate() {
                // SAFETY: promised by the caller.
                unsafe {
                    let to = data.0.add(first + r * down);
                    if across == 1 {
                        copy(&sums[..n], to);
                    } else {
                        (0..n).for_each(|c| *to.add(c * across) = sums[c]);
                    }
                }
            }
        }
    }
}

/// Where a row and channel of results lie, and the distances of two rows and two channels.
#[inline(always)]
fn lay(v: &View, row: [usize; 4], apart: usize, channel: usize) -> (usize, [usize; 2]) {
    let s = &v.strides[AXES];
    let first = v.offset + row[0] * s[0] + row[1] * s[1] + row[2] * s[2] + row[3] * s[3] + channel * s[4];
    (first, [apart * s[3], s[4]])
}

/// Copies a few elements: by whole registers, without a call.
///
/// # Safety
/// The elements of `to` exist, and no other thread writes them.
#[inline(always)]
unsafe fn copy(from: &[f32], to: *mut f32) {
    let (whole, rest) = from.as_chunks::<16>();
    for (i, part) in whole.iter().enumerate() {
        // SAFETY: promised by the caller.
        unsafe { to.add(16 * i).cast::<[f32; 16]>().write_unaligned(*part) };
    }
    for (i, x) in rest.iter().enumerate() {
        // SAFETY: promised by the caller.
        unsafe { *to.add(16 * whole.len() + i) = *x };
    }
}

/// Computes a convolution in f32.
pub(super) fn run(conv: &Conv, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
    let [a, b, y] = [reads[0].view, reads[1].view, writes[0].view];
    let lens = [reads[0].f().len(), reads[1].f().len(), writes[0].f().len()];
    assert!(zip([a, b, y], lens).all(|(v, len)| v.end() <= len), "an operand lies outside its slot");
    assert!(writes.iter().all(|w| w.view.is_injective()), "results overlap");
    let p = ImplicitProduct::of(conv, &a, &b, &y);
    let (first, rest) = writes.split_at_mut(1);
    let results = Results {
        y: (Shared(first[0].f().as_mut_ptr()), first[0].view),
        z: rest.first_mut().map(|z| {
            assert!(z.view.end() <= z.f().len(), "a result lies outside its slot");
            (Shared(z.f().as_mut_ptr()), z.view)
        }),
        bias: conv.bias.then(|| (reads[2].f(), reads[2].view)),
        act: conv.act,
    };
    let (a, b) = (reads[0].f(), reads[1].f());
    let [h, w] = p.geometry.windows;
    match conv.wrt {
        Wrt::Output => {
            let axes = [Axis::windows(h, p.terms[0], p.rows[1]), Axis::windows(w, p.terms[1], p.rows[2])];
            direct(&Images::new(&p, axes, p.terms[2]), a, b, &results);
        }
        Wrt::Input => {
            for (y, x) in (0..h.stride).flat_map(|y| (0..w.stride).map(move |x| (y, x))) {
                let axes = [
                    Axis::elements(h, p.terms[0], p.rows[1], y),
                    Axis::elements(w, p.terms[1], p.rows[2], x),
                ];
                if axes.iter().all(|a| a.count > 0) {
                    direct(&Images::new(&p, axes, p.terms[2]), a, b, &results);
                }
            }
        }
        Wrt::Kernels => {
            let axes = [Axis::windows(h, p.rows[0], p.terms[1]), Axis::windows(w, p.rows[1], p.terms[2])];
            summed(&Images::new(&p, axes, p.rows[2]), a, b, &results);
        }
    }
}

/// Results that are sums over what lies under their windows.
fn direct(images: &Images<'_>, a: &[f32], b: &[f32], results: &Results<'_>) {
    let p = images.p;
    let [h, w] = &images.axes;
    let terms = images.runs.len() * images.len;
    let each = h.count * w.count * terms * p.columns;
    let lines = images.lines(BLOCK);
    let blocks = h.count.div_ceil(lines);
    // Several images a piece where they are small.
    let together = (PIECE / each.max(1)).clamp(1, p.rows[0]);
    let stacks = p.rows[0].div_ceil(together);
    let groups = p.geometry.groups;
    let flops = 2.0 * (p.batch * groups * p.rows[0]) as f64 * each as f64;
    pieces(p.batch * groups * stacks * blocks, flops, |piece| {
        let (rest, block) = (piece / blocks, piece % blocks);
        let (item, stack) = (rest / stacks, rest % stacks * together);
        SCRATCH.with_borrow_mut(|scratch| {
            Arch::new().dispatch(Direct {
                images,
                a,
                b,
                results,
                batch: item / groups,
                group: item % groups,
                stack: stack..(stack + together).min(p.rows[0]),
                lines: block * lines..((block + 1) * lines).min(h.count),
                scratch,
            });
        });
    });
}

/// Lines of the results of some images of a batch and group.
struct Direct<'d> {
    images: &'d Images<'d>,
    a: &'d [f32],
    b: &'d [f32],
    results: &'d Results<'d>,
    batch: usize,
    group: usize,
    stack: Range<usize>,
    lines: Range<usize>,
    scratch: &'d mut Scratch,
}

impl WithSimd for Direct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Direct { images, a, b, results, batch, group, stack, lines, scratch } = self;
        let (p, [h, w]) = (images.p, &images.axes);
        let n = p.columns;
        let [a0, b0] = p.starts(batch, group);
        let Scratch { image, columns, .. } = scratch;
        let rows: Vec<usize> = images.taps().map(|[i, j]| b0 + p.at_b([i, j, 0])).collect();
        let steps = [p.at_b([0, 0, 1]), p.b.strides[COLUMN]];
        let columns = pack::<S>(b, &rows, images.channels, steps, n, columns);
        let terms = images.runs.len() * images.len;
        let mut tile = [0.0f32; TALL * 32];
        for index in stack {
            let image = images.copy(a, a0 + index * p.a.strides[AXES][1], &lines, image);
            for (first, width, two) in panels::<S>(n) {
                let b = &columns[first * terms..];
                let registers = if two { 2 * S::F32_LANES } else { S::F32_LANES };
                for line in lines.clone() {
                    let mut x = 0;
                    while x < w.count {
                        let height = height::<S>(w.count - x);
                        let sums = &mut tile[..height * registers];
                        let t = Tile {
                            height,
                            a: image,
                            at: images.at(line - lines.start, x),
                            row: w.step * images.channels,
                            runs: &images.runs,
                            len: images.len,
                            step: 1,
                            b,
                            sums,
                            fresh: true,
                        };
                        if two {
                            t.run::<S, 2>(simd)
                        } else {
                            t.run::<S, 1>(simd)
                        }
                        let row = [batch, index, h.first + line * h.stride, w.first + x * w.stride];
                        let sums = &mut tile[..height * registers];
                        // SAFETY: each piece has results of its own, and `run` has checked the views.
                        unsafe { results.put(row, w.stride, [group * n + first, width], registers, sums) };
                        x += height;
                    }
                }
            }
        }
    }
}

/// Results that are sums over all images and windows.
fn summed(images: &Images<'_>, a: &[f32], b: &[f32], results: &Results<'_>) {
    let p = images.p;
    let [count, ..] = p.terms;
    let groups = p.geometry.groups;
    let items = p.batch * groups;
    let splits = SPLITS.div_ceil(items).clamp(1, count);
    let each = count.div_ceil(splits);
    let splits = count.div_ceil(each);
    let sum = |item: usize, split: usize, scratch: &mut Scratch| {
        let stack = split * each..((split + 1) * each).min(count);
        Arch::new().dispatch(Sum { images, a, b, batch: item / groups, group: item % groups, stack, scratch })
    };
    let put = |item: usize, sums: &mut [f32]| {
        Arch::new().dispatch(Put { images, results, batch: item / groups, group: item % groups, sums });
    };
    let flops = 2.0 * p.work();
    if splits == 1 {
        pieces(items, flops, |item| {
            SCRATCH.with_borrow_mut(|scratch| {
                let len = sum(item, 0, scratch);
                put(item, scratch.sums.room(len));
            });
        });
        return;
    }
    // Splits are added in their order.
    let parts: Vec<std::sync::OnceLock<Vec<f32>>> = vec![std::sync::OnceLock::new(); items * splits];
    pieces(items * splits, flops, |piece| {
        SCRATCH.with_borrow_mut(|scratch| {
            let len = sum(piece / splits, piece % splits, scratch);
            let _ = parts[piece].set(scratch.sums.room(len).to_vec());
        });
    });
    for (item, parts) in parts.chunks_exact(splits).enumerate() {
        let mut parts = parts.iter().filter_map(|p| p.get());
        let Some(mut total) = parts.next().cloned() else { continue };
        for part in parts {
            zip(&mut total, part).for_each(|(t, p)| *t += p);
        }
        put(item, &mut total);
    }
}

/// Sums over some images of a batch and group, into the scratch: panel after panel, a row a tap and channel. Gives their number.
struct Sum<'d> {
    images: &'d Images<'d>,
    a: &'d [f32],
    b: &'d [f32],
    batch: usize,
    group: usize,
    stack: Range<usize>,
    scratch: &'d mut Scratch,
}

impl WithSimd for Sum<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let Sum { images, a, b, batch, group, stack, scratch } = self;
        let (p, [h, w]) = (images.p, &images.axes);
        let n = p.columns;
        let [a0, b0] = p.starts(batch, group);
        let Scratch { image, columns, sums } = scratch;
        let rows = images.runs.len() * images.len;
        let len = rows * padded::<S>(n);
        let sums = sums.room(len);
        sums.fill(0.0);
        // Channels that fill registers lie as they are wanted, where lines follow one another.
        let [step, column] = [p.at_b([0, 0, 1]), p.b.strides[COLUMN]];
        let full = n == S::F32_LANES || n == 2 * S::F32_LANES;
        let lies_so = full && column == 1 && step == n && (h.count == 1 || p.at_b([0, 1, 0]) == w.count * n);
        let lines = images.lines(SUMMED).min((2 * SUMMED / (w.count * n)).max(1));
        for index in stack {
            for from in (0..h.count).step_by(lines) {
                let lines = from..(from + lines).min(h.count);
                let image = images.copy(a, a0 + index * p.a.strides[AXES][1], &lines, image);
                let columns = if lies_so {
                    &b[b0 + p.at_b([index, from, 0])..][..lines.len() * w.count * n]
                } else {
                    let starts: Vec<usize> =
                        lines.clone().map(|line| b0 + p.at_b([index, line, 0])).collect();
                    pack::<S>(b, &starts, w.count, [step, column], n, columns)
                };
                let each: Vec<usize> = (0..lines.len()).map(|line| images.at(line, 0)).collect();
                for (first, _, two) in panels::<S>(n) {
                    let registers = if two { 2 * S::F32_LANES } else { S::F32_LANES };
                    let b = &columns[first * lines.len() * w.count..];
                    let mut sums = &mut sums[first * rows..][..rows * registers];
                    for run in &images.runs {
                        let mut r = 0;
                        while r < images.len {
                            let height = height::<S>(images.len - r);
                            let (own, rest) = sums.split_at_mut(height * registers);
                            sums = rest;
                            let t = Tile {
                                height,
                                a: image,
                                at: run + r,
                                row: 1,
                                runs: &each,
                                len: w.count,
                                step: w.step * images.channels,
                                b,
                                sums: own,
                                fresh: false,
                            };
                            if two {
                                t.run::<S, 2>(simd)
                            } else {
                                t.run::<S, 1>(simd)
                            }
                            r += height;
                        }
                    }
                }
            }
        }
        len
    }
}

/// Finishes what [`Sum`] has summed.
struct Put<'d> {
    images: &'d Images<'d>,
    results: &'d Results<'d>,
    batch: usize,
    group: usize,
    sums: &'d mut [f32],
}

impl WithSimd for Put<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Put { images, results, batch, group, sums } = self;
        let (n, c) = (images.p.columns, images.channels);
        let rows = images.runs.len() * images.len;
        for (first, width, two) in panels::<S>(n) {
            let registers = if two { 2 * S::F32_LANES } else { S::F32_LANES };
            let sums = &mut sums[first * rows..][..rows * registers];
            for ([i, j], sums) in zip(images.taps(), sums.chunks_exact_mut(c * registers)) {
                // SAFETY: each item has kernels of its own, and `run` has checked the views.
                unsafe { results.put([batch, i, j, 0], 1, [group * n + first, width], registers, sums) };
            }
        }
    }
}
