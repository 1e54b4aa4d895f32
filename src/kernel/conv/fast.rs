//! Convolutions on the CPU: rows of windows are gathered into panels (im2col: Chellapilla et al. 2006), which products of
//! register tiles run over. Of a gradient by the input the product comes first, and its rows are added back under the windows.
//! How work is cut depends on sizes alone, so any number of threads gives the same bits.

use std::cell::RefCell;
use std::iter::zip;

use super::{AXES, Conv, Product};
use crate::graph::conv::{Conv as Geometry, Wrt};
use crate::graph::op::Func;
use crate::kernel::matmul::{Job, Matrix, Target};
use crate::kernel::parallel::{Shared, pieces};
use crate::kernel::simd::apply;
use crate::kernel::{Read, Write};
use crate::spec::{Activation, MAX_RANK};
use crate::view::{COLUMN, View, for_each};

/// Elements of a panel of gathered windows: they stay in a core's own cache.
const PANEL: usize = 1 << 15;
/// Multiply-adds of a piece of work, at least, where images are small.
const PIECE: usize = 1 << 18;
/// Pieces that a sum over images is cut into, at most, where there are few tasks.
const SPLITS: usize = 8;

/// Buffers of a thread, kept between launches.
#[derive(Default)]
struct Scratch {
    panel: Vec<f32>,
    tile: Vec<f32>,
    /// Elements of the second operand where they do not lie as a matrix.
    matrix: Vec<f32>,
    sums: [Vec<f32>; 2],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Images under windows: one group of the channels of one batch.
#[derive(Clone, Copy)]
struct Images {
    geometry: Geometry,
    /// Windows along h and w.
    windows: [usize; 2],
    /// Taps along h and w.
    taps: [usize; 2],
    channels: usize,
    extent: [usize; 2],
    /// Distances of rows, columns and channels.
    strides: [usize; 3],
}

impl Images {
    /// The first operand of a product, over images and windows `[n, p, q]`, with taps and channels `[i, j, c]` under each.
    fn of_first(p: &Product, [_, down, across]: [usize; 3], [i, j, channels]: [usize; 3]) -> Images {
        let s = &p.a.strides[AXES];
        Images {
            geometry: p.geometry,
            windows: [down, across],
            taps: [i, j],
            channels,
            extent: p.extent,
            strides: [s[2], s[3], s[4]],
        }
    }

    /// Elements under a window.
    fn width(&self) -> usize {
        self.taps[0] * self.taps[1] * self.channels
    }

    /// Windows of an image.
    fn count(&self) -> usize {
        self.windows[0] * self.windows[1]
    }

    /// Calls `run(first element of the image, first element under the window, elements)` for stretches of neighbouring taps
    /// inside the image under window `at`, and `skip(first, elements)` for those in the padding.
    #[inline(always)]
    fn under(&self, at: usize, mut run: impl FnMut(usize, usize, usize), mut skip: impl FnMut(usize, usize)) {
        let [h, w] = self.geometry.windows;
        let (p, q) = (at / self.windows[1], at % self.windows[1]);
        let c = self.channels;
        // Taps of one row that follow one another in memory, too.
        let joined = w.dilation == 1 && self.strides[1] == c && self.strides[2] == 1;
        for i in 0..self.taps[0] {
            let to = i * self.taps[1] * c;
            let Some(y) = h.element(p, i, self.extent[0]) else {
                skip(to, self.taps[1] * c);
                continue;
            };
            let row = y * self.strides[0];
            if joined {
                let from = q * w.stride;
                let first = w.before.saturating_sub(from).min(self.taps[1]);
                let end = (self.extent[1] + w.before).saturating_sub(from).clamp(first, self.taps[1]);
                skip(to, first * c);
                if end > first {
                    run(row + (from + first - w.before) * c, to + first * c, (end - first) * c);
                }
                skip(to + end * c, (self.taps[1] - end) * c);
                continue;
            }
            for j in 0..self.taps[1] {
                match w.element(q, j, self.extent[1]) {
                    Some(x) => run(row + x * self.strides[1], to + j * c, c),
                    None => skip(to + j * c, c),
                }
            }
        }
    }

    /// What lies under windows `first..` of an image that starts at `start`, a row a window.
    fn gather(&self, data: &[f32], start: usize, first: usize, panel: &mut [f32]) {
        let step = self.strides[2];
        for (at, to) in panel.chunks_exact_mut(self.width()).enumerate() {
            let cells = std::cell::Cell::from_mut(to).as_slice_of_cells();
            self.under(
                first + at,
                |from, to, n| {
                    let to = &cells[to..to + n];
                    if step == 1 {
                        let from = &data[start + from..start + from + n];
                        to.iter().zip(from).for_each(|(t, f)| t.set(*f));
                    } else {
                        to.iter().enumerate().for_each(|(k, t)| t.set(data[start + from + k * step]));
                    }
                },
                |to, n| cells[to..to + n].iter().for_each(|t| t.set(0.0)),
            );
        }
    }

    /// Adds rows back to the elements under windows `first..` of an image whose elements follow one another.
    fn add(&self, panel: &[f32], first: usize, image: &mut [f32]) {
        for (at, from) in panel.chunks_exact(self.width()).enumerate() {
            self.under(
                first + at,
                |to, at, n| image[to..to + n].iter_mut().zip(&from[at..at + n]).for_each(|(i, f)| *i += f),
                |_, _| {},
            );
        }
    }
}

/// Where results go, with what is done to them.
struct Results<'a> {
    y: (Shared<f32>, View),
    z: Option<(Shared<f32>, View)>,
    bias: Option<(&'a [f32], View)>,
    act: Activation,
}

impl Results<'_> {
    fn position(v: &View, batch: usize, row: [usize; 3], channel: usize) -> usize {
        let s = &v.strides[AXES];
        v.offset + batch * s[0] + row[0] * s[1] + row[1] * s[2] + row[2] * s[3] + channel * s[4]
    }

    /// Finishes sums, `n` channels from `channel` on for each row.
    ///
    /// # Safety
    /// The rows exist, and no other thread writes them.
    unsafe fn put(
        &self,
        batch: usize,
        rows: impl Iterator<Item = [usize; 3]> + Clone,
        channel: usize,
        n: usize,
        sums: &mut [f32],
    ) {
        if let Some((data, v)) = &self.bias {
            let step = v.strides[COLUMN];
            for (row, sums) in rows.clone().zip(sums.chunks_exact_mut(n)) {
                let from = Results::position(v, batch, row, channel);
                sums.iter_mut().enumerate().for_each(|(c, s)| *s += data[from + c * step]);
            }
        }
        // SAFETY: promised by the caller.
        let write = |(data, v): &(Shared<f32>, View), sums: &[f32]| unsafe {
            let step = v.strides[COLUMN];
            for (row, sums) in rows.clone().zip(sums.chunks_exact(n)) {
                let to = data.get().add(Results::position(v, batch, row, channel));
                if step == 1 {
                    std::ptr::copy_nonoverlapping(sums.as_ptr(), to, n);
                } else {
                    sums.iter().enumerate().for_each(|(c, s)| *to.add(c * step) = *s);
                }
            }
        };
        if let Some(z) = &self.z {
            write(z, sums);
        }
        if self.act != Activation::Identity {
            apply(Func::Act(self.act, 0), sums);
        }
        write(&self.y, sums);
    }
}

/// A matrix of the second operand: `rows` over three axes of its view, and the channels of a group. It is copied where the
/// axes do not step evenly.
fn matrix<'a>(
    data: &'a [f32],
    v: &View,
    start: usize,
    rows: [usize; 3],
    columns: usize,
    copy: &'a mut Vec<f32>,
) -> Matrix<'a> {
    let mut own = View { offset: start, dims: [1; MAX_RANK], strides: [0; MAX_RANK] };
    for (i, n) in rows.into_iter().chain([columns]).enumerate() {
        let axis = AXES.start + 1 + i;
        own.dims[axis] = n;
        own.strides[axis] = if n > 1 { v.strides[axis] } else { 0 };
    }
    let shape = [rows.iter().product::<usize>(), columns];
    if let Some(even) = own.reshape(&shape) {
        return Matrix::of(&even, data);
    }
    copy.clear();
    for_each([&own], |[i]| copy.push(data[i]));
    Matrix::of(&View::contiguous(&shape, 0), copy)
}

/// A matrix alone in a buffer, row after row.
fn plain(rows: usize, columns: usize) -> View {
    View::contiguous(&[rows, columns], 0)
}

/// Kernels of a batch and a group with their output channels first: `[o, i, j, c]`.
fn turned(kernels: &View, start: usize, dims: [usize; 4]) -> View {
    let mut v = View { offset: start, dims: [1; MAX_RANK], strides: [0; MAX_RANK] };
    for (to, (from, n)) in zip([4, 1, 2, 3], dims).enumerate() {
        let axis = MAX_RANK - 4 + to;
        v.dims[axis] = n;
        v.strides[axis] = if n > 1 { kernels.strides[AXES.start + from] } else { 0 };
    }
    v
}

/// `y = a b (+ sums)` on this thread.
fn product(a: Matrix<'_>, b: Matrix<'_>, [m, n, k]: [usize; 3], sums: Option<&[f32]>, y: &mut [f32]) {
    assert!(y.len() >= m * n);
    let bias = sums.map(|s| Matrix::of(&plain(m, n), s));
    let y = Target::new(Shared(y.as_mut_ptr()), plain(m, n));
    Job { m, n, k, a, b, bias, y, z: None, act: Activation::Identity }.run_alone();
}

/// Row `i` of an image's windows or elements.
fn row(image: usize, i: usize, width: usize) -> [usize; 3] {
    [image, i / width, i % width]
}

/// Computes a convolution in f32.
pub(super) fn run(conv: &Conv, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>]) {
    let [a, b, y] = [reads[0].view, reads[1].view, writes[0].view];
    let lens = [reads[0].f().len(), reads[1].f().len(), writes[0].f().len()];
    assert!(zip([a, b, y], lens).all(|(v, len)| v.end() <= len), "an operand lies outside its slot");
    assert!(writes.iter().all(|w| w.view.is_injective()), "results overlap");
    let p = Product::of(conv, &a, &b, &y);
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
    match conv.wrt {
        Wrt::Output => output(&p, a, b, &results),
        Wrt::Input => input(&p, a, b, &reads[1].view, &results),
        Wrt::Kernels => kernels(&p, a, b, &results),
    }
}

/// Windows that are gathered at once.
fn block(images: &Images) -> usize {
    (PANEL / images.width()).clamp(1, images.count())
}

fn output(p: &Product, a: &[f32], b: &[f32], results: &Results<'_>) {
    let s = &p.a.strides[AXES];
    let images = Images::of_first(p, p.rows, p.terms);
    let (n, k, rows) = (p.columns, images.width(), images.count());
    let block = block(&images);
    let blocks = rows.div_ceil(block);
    // Several images a piece where they are small.
    let together = (PIECE / (rows * n * k).max(1)).clamp(1, p.rows[0]);
    let stacks = p.rows[0].div_ceil(together);
    let groups = p.geometry.groups;
    pieces(p.batch * groups * stacks * blocks, 2.0 * p.work(), |piece| {
        let (item, part) = (piece / (stacks * blocks), piece % blocks);
        let (batch, group) = (item / groups, item % groups);
        let stack = piece / blocks % stacks * together;
        let [a0, b0] = p.starts(batch, group);
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { panel, tile, matrix: copy, .. } = scratch;
            let b = matrix(b, &p.b, b0, p.terms, n, copy);
            let windows = part * block..((part + 1) * block).min(rows);
            let m = windows.len();
            panel.resize(m * k, 0.0);
            tile.resize(m * n, 0.0);
            for image in stack..(stack + together).min(p.rows[0]) {
                images.gather(a, a0 + image * s[1], windows.start, &mut panel[..m * k]);
                product(Matrix::of(&plain(m, k), &panel[..m * k]), b, [m, n, k], None, tile);
                let rows = windows.clone().map(|i| row(image, i, p.rows[2]));
                // SAFETY: each piece has windows of its own, and `run` has checked the views.
                unsafe { results.put(batch, rows, group * n, n, &mut tile[..m * n]) };
            }
        });
    });
}

fn input(p: &Product, a: &[f32], b: &[f32], kernels: &View, results: &Results<'_>) {
    let channels = p.columns;
    let images = Images {
        geometry: p.geometry,
        windows: p.extent,
        taps: [p.terms[0], p.terms[1]],
        channels,
        extent: [p.rows[1], p.rows[2]],
        strides: [p.rows[2] * channels, channels, 1],
    };
    let (n, k, rows) = (images.width(), p.terms[2], images.count());
    let block = block(&images);
    let groups = p.geometry.groups;
    let s = &p.a.strides[AXES];
    let count = p.rows[0];
    let together = (PIECE / (rows * n * k).max(1)).clamp(1, count);
    let stacks = count.div_ceil(together);
    let flops = 2.0 * (p.batch * groups * count * rows) as f64 * (n * k) as f64;
    pieces(p.batch * groups * stacks, flops, |piece| {
        let (item, stack) = (piece / stacks, piece % stacks * together);
        let (batch, group) = (item / groups, item % groups);
        let [a0, b0] = p.starts(batch, group);
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { panel, tile: image, matrix: copy, sums } = scratch;
            // Channels of y before taps: results then follow one another.
            copy.clear();
            for_each([&turned(kernels, b0, [k, p.terms[0], p.terms[1], channels])], |[i]| copy.push(b[i]));
            let b = Matrix::of(&plain(k, n), copy);
            image.resize(images.extent.iter().product::<usize>() * channels, 0.0);
            for i in stack..(stack + together).min(count) {
                image.fill(0.0);
                for first in (0..rows).step_by(block) {
                    let m = block.min(rows - first);
                    panel.resize(m * n, 0.0);
                    let start = a0 + i * s[1];
                    let y = some_rows(
                        a,
                        start,
                        [s[2], s[3], s[4]],
                        p.extent[1],
                        first..first + m,
                        k,
                        &mut sums[0],
                    );
                    product(y, b, [m, n, k], None, panel);
                    images.add(&panel[..m * n], first, image);
                }
                let all = (0..images.extent.iter().product()).map(|at| row(i, at, images.extent[1]));
                // SAFETY: each piece has images of its own, and `run` has checked the views.
                unsafe { results.put(batch, all, group * channels, channels, image) };
            }
        });
    });
}

/// Rows `range` of an image of `width` columns as a matrix of `channels` columns: where they lie if rows step evenly, else
/// copied.
fn some_rows<'a>(
    data: &'a [f32],
    start: usize,
    strides: [usize; 3],
    width: usize,
    range: std::ops::Range<usize>,
    channels: usize,
    copy: &'a mut Vec<f32>,
) -> Matrix<'a> {
    let (first, m) = (range.start, range.len());
    let [down, across, channel] = strides;
    let at = |i: usize| start + i / width * down + i % width * across;
    let step = if width == 1 { down } else { across };
    // One row of the image, or rows that follow one another.
    if down == width * across || width == 1 || (first / width == (range.end - 1) / width) {
        let mut v = plain(m, channels);
        v.offset = at(first);
        (v.strides[MAX_RANK - 2], v.strides[COLUMN]) =
            (if m > 1 { step } else { 0 }, if channels > 1 { channel } else { 0 });
        return Matrix::of(&v, data);
    }
    copy.clear();
    for i in range {
        copy.extend((0..channels).map(|c| data[at(i) + c * channel]));
    }
    Matrix::of(&plain(m, channels), copy)
}

fn kernels(p: &Product, a: &[f32], b: &[f32], results: &Results<'_>) {
    let (s, t) = (&p.a.strides[AXES], &p.b.strides[AXES]);
    let [count, ..] = p.terms;
    let images = Images::of_first(p, p.terms, p.rows);
    let (m, n, rows) = (images.width(), p.columns, images.count());
    let block = block(&images);
    let groups = p.geometry.groups;
    let items = p.batch * groups;
    let splits = SPLITS.div_ceil(items).clamp(1, count);
    let each = count.div_ceil(splits);
    let splits = count.div_ceil(each);
    // The sum over the images of a split.
    let sum = |item: usize, split: usize, scratch: &mut Scratch| {
        let (batch, group) = (item / groups, item % groups);
        let [a0, b0] = p.starts(batch, group);
        let Scratch { panel, matrix: copy, sums: [last, next], .. } = scratch;
        last.clear();
        last.resize(m * n, 0.0);
        next.resize(m * n, 0.0);
        for image in split * each..((split + 1) * each).min(count) {
            for first in (0..rows).step_by(block) {
                let k = block.min(rows - first);
                panel.resize(k * m, 0.0);
                images.gather(a, a0 + image * s[1], first, &mut panel[..k * m]);
                let start = b0 + image * t[1];
                let y = some_rows(b, start, [t[2], t[3], t[4]], images.windows[1], first..first + k, n, copy);
                let x = Matrix::of(&plain(k, m), &panel[..k * m]).transposed();
                product(x, y, [m, n, k], Some(last), next);
                std::mem::swap(last, next);
            }
        }
    };
    let put = |item: usize, sums: &mut [f32]| {
        let all = super::indices(p.rows);
        // SAFETY: each item has kernels of its own, and `run` has checked the views.
        unsafe { results.put(item / groups, all, item % groups * n, n, sums) };
    };
    let flops = 2.0 * p.work();
    if splits == 1 {
        pieces(items, flops, |item| {
            SCRATCH.with_borrow_mut(|scratch| {
                sum(item, 0, scratch);
                put(item, &mut scratch.sums[0][..m * n]);
            });
        });
        return;
    }
    let mut partial = vec![0.0f32; items * splits * m * n];
    let parts = Shared(partial.as_mut_ptr());
    pieces(items * splits, flops, |piece| {
        SCRATCH.with_borrow_mut(|scratch| {
            sum(piece / splits, piece % splits, scratch);
            // SAFETY: each piece has a part of its own.
            let to = unsafe { std::slice::from_raw_parts_mut(parts.get().add(piece * m * n), m * n) };
            to.copy_from_slice(&scratch.sums[0][..m * n]);
        });
    });
    for (item, parts) in partial.chunks_exact_mut(splits * m * n).enumerate() {
        let (total, rest) = parts.split_at_mut(m * n);
        for part in rest.chunks_exact(m * n) {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        }
        put(item, total);
    }
}
