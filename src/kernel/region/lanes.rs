//! A region on the CPU: sixteen tasks at once, one a SIMD lane.
//!
//! A local is a row of vectors, element by element, with a lane a task; all locals lie in one arena, which
//! stays in cache. Groups of sixteen tasks are given to threads one by one. Which task is in which lane depends on its
//! number alone, and lanes never meet, so any number of threads gives the same bits.

use std::cell::RefCell;
use std::sync::Arc;

use multiversion::multiversion;

use super::math;
use super::product::{Product, Source, product};
use crate::graph::op::{Binary, Func, Num};
use crate::kernel::parallel::{Shared, pieces};
use crate::kernel::pointwise::{binary, func};
use crate::kernel::{Kernel, Read, Write};
use crate::plan::View;
use crate::plan::region::{At, Block, Life, Operand, Region, Stage};
use crate::plan::view::{collapse, for_each};
use crate::spec::{Activation, MAX_RANK};

/// Tasks that are computed at once.
pub(crate) const LANES: usize = 16;

/// One element of sixteen tasks.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lane(pub(super) [f32; LANES]);

const ZERO: Lane = Lane([0.0; LANES]);

/// A region with every local placed in the arena.
#[derive(Debug)]
pub struct LaneProgram {
    /// Elements of the arena.
    arena: usize,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// Fetches `len` elements of each task.
    Load(Transfer),
    Store(Transfer),
    Run(Work),
    Loop { n: usize, body: Vec<Work> },
}

#[derive(Debug)]
struct Transfer {
    operand: usize,
    offset: usize,
    stride: usize,
    len: usize,
    at: usize,
}

/// Where an operand lies: an element of the arena, or of what a shared operand holds.
#[derive(Clone, Copy, Debug)]
struct Spot {
    shared: Option<usize>,
    base: usize,
    step: isize,
}

#[derive(Debug)]
struct Work {
    kind: Kind,
    /// Operands read, then those written.
    spots: Vec<Spot>,
}

/// What a block does; views are relative to the spots.
#[derive(Debug)]
enum Kind {
    Fill { value: f32, y: View },
    Map { func: Func, y: View, x: View },
    Zip { op: Binary, pre: Option<Func>, y: View, a: View, b: View },
    Select { y: View, c: View, a: View, b: View },
    Sum { dot: bool, y: View, a: View, b: View },
    /// Computed at the last operand (its argument, where that is wanted), then activated into the fourth.
    Product {
        /// Batch axes beyond that of the tasks: of the result and the operands.
        batch: [View; 4],
        /// m, n, k
        sizes: [usize; 3],
        /// Distances of rows and columns, as `batch`.
        strides: [(usize, usize); 4],
        bias: bool,
        /// Function, result and argument.
        act: Option<(Func, View, View)>,
    },
    LogSoftmax { y: View, x: View },
    CrossEntropy { y: View, x: View, p: View },
}

impl LaneProgram {
    /// Places the locals and resolves the blocks.
    pub(crate) fn new(region: &Region) -> LaneProgram {
        let lives = region.lives();
        let (places, arena) = place(region, &lives);
        let mut steps = Vec::new();
        let mut at = 0;
        for stage in &region.stages {
            let (len, step) = match stage {
                Stage::Block(b) => (1, Step::Run(Work::new(b, &places))),
                Stage::Loop { n, body } => {
                    let body: Vec<Work> = body.iter().map(|b| Work::new(b, &places)).collect();
                    (body.len(), Step::Loop { n: *n, body })
                }
            };
            let here = at..at + len;
            let transfers = |load: bool| {
                region.locals.iter().enumerate().filter_map({
                    let (here, lives, places) = (here.clone(), &lives, &places);
                    move |(i, l)| {
                        let (o, life) = (l.outside?, lives[i]?);
                        let due = if load { o.load && here.contains(&life.first) } else { o.store && here.contains(&life.last) };
                        due.then(|| Transfer {
                            operand: o.operand,
                            offset: o.offset,
                            stride: o.stride,
                            len: l.len,
                            at: places[i],
                        })
                    }
                })
            };
            steps.extend(transfers(true).map(Step::Load));
            steps.push(step);
            steps.extend(transfers(false).map(Step::Store));
            at += len;
        }
        LaneProgram { arena, steps }
    }

    /// Bytes of the arena of a thread.
    pub(crate) fn bytes(&self) -> usize {
        self.arena * size_of::<Lane>()
    }
}

/// Offsets of the locals in the arena, first fit by size, and the arena's length.
fn place(region: &Region, lives: &[Option<Life>]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).filter(|&i| lives[i].is_some()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(region.locals[i].len), i));
    let mut places = vec![0; lives.len()];
    let mut done: Vec<(usize, Life)> = Vec::new();
    let mut arena = 0;
    for i in order {
        let (Some(life), len) = (lives[i], region.locals[i].len) else { continue };
        let mut taken: Vec<(usize, usize)> = done
            .iter()
            .filter(|(_, l)| l.first <= life.last && life.first <= l.last)
            .map(|(j, _)| (places[*j], places[*j] + region.locals[*j].len))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + len <= from {
                break;
            }
            at = at.max(to);
        }
        places[i] = at;
        arena = arena.max(at + len);
        done.push((i, life));
    }
    (places, arena)
}

impl Work {
    fn new(b: &Block, places: &[usize]) -> Work {
        let spot = |o: &Operand| match o.at {
            At::Local(l) => Spot { shared: None, base: places[l] + o.view.offset, step: o.step },
            At::Shared(r) => Spot { shared: Some(r), base: o.view.offset, step: o.step },
        };
        let relative = |o: &Operand| View { offset: 0, ..o.view };
        let reads: Vec<View> = b.reads.iter().map(relative).collect();
        let y = relative(&b.writes[0]);
        let kind = match &b.kernel {
            Kernel::Fill(f) => Kind::Fill { value: f.value as f32, y: collapse([y])[0] },
            Kernel::Copy(_) => {
                let [y, x] = collapse([y, reads[0]]);
                Kind::Map { func: Func::Affine(Num(1.0), Num(0.0)), y, x }
            }
            Kernel::Map(m) => {
                let [y, x] = collapse([y, reads[0]]);
                Kind::Map { func: m.func, y, x }
            }
            Kernel::Zip(z) => {
                let [y, a, b] = collapse([y, reads[0], reads[1]]);
                Kind::Zip { op: z.op, pre: z.pre, y, a, b }
            }
            Kernel::Select(_) => {
                let [y, c, a, b] = collapse([y, reads[0], reads[1], reads[2]]);
                Kind::Select { y, c, a, b }
            }
            Kernel::SumTo(s) => {
                // The sum's axes stay apart from the others: the result steps by 0 along them.
                let mut full = y;
                full.dims = reads[0].dims;
                let [y, a, b] = collapse([full, reads[0], reads[1]]);
                Kind::Sum { dot: s.dot, y, a, b }
            }
            Kernel::MatMul(p) => {
                let (r, c) = (MAX_RANK - 2, MAX_RANK - 1);
                let outer = |v: &View| {
                    let mut v = View { dims: y.dims, ..*v };
                    (v.dims[r], v.dims[c], v.strides[r], v.strides[c]) = (1, 1, 0, 0);
                    v
                };
                let of = |v: &View| (v.strides[r], v.strides[c]);
                let target = b.writes.last().map_or(y, relative);
                let plain = p.act == Activation::Identity && b.writes.len() == 1;
                let act = (!plain).then(|| {
                    let [y, z] = collapse([y, target]);
                    (Func::Act(p.act, 0), y, z)
                });
                Kind::Product {
                    batch: [outer(&target), outer(&reads[0]), outer(&reads[1]), outer(&reads[2])],
                    sizes: [y.dims[r], y.dims[c], reads[0].dims[c]],
                    strides: [of(&target), of(&reads[0]), of(&reads[1]), of(&reads[2])],
                    bias: p.bias,
                    act,
                }
            }
            Kernel::LogSoftmax(_) => Kind::LogSoftmax { y, x: reads[0] },
            Kernel::CrossEntropy(_) => Kind::CrossEntropy { y, x: reads[0], p: reads[1] },
            other => panic!("a region has no block '{}'", other.name()),
        };
        Work { kind, spots: b.reads.iter().chain(&b.writes).map(spot).collect() }
    }
}

thread_local! {
    /// The arena of a thread, kept between launches.
    static ARENA: RefCell<Vec<Lane>> = const { RefCell::new(Vec::new()) };
}

/// Runs a region in f32.
pub(in crate::kernel) fn run(region: &Region, reads: &[Read<'_, f32>], writes: &mut [Write<'_, f32>], flops: f64) {
    let program = region.lanes.0.get_or_init(|| Arc::new(LaneProgram::new(region)));
    let shared: Vec<&[f32]> = reads.iter().map(Read::f).collect();
    let stored: Vec<Shared<f32>> = writes.iter_mut().map(|w| Shared(w.f().as_mut_ptr())).collect();
    pieces(region.tasks.div_ceil(LANES), flops, |group| {
        ARENA.with_borrow_mut(|arena| {
            if arena.len() < program.arena {
                arena.resize(program.arena, ZERO);
            }
            let first = group * LANES;
            let count = LANES.min(region.tasks - first);
            // SAFETY: `plan::verify` has checked that operands lie inside locals and slots; locals whose
            // lives meet lie apart in the arena; stored parts of different tasks are disjoint.
            unsafe { run_group(program, arena.as_mut_ptr(), &shared, &stored, first, count) }
        });
    });
}

unsafe fn run_group(
    program: &LaneProgram,
    arena: *mut Lane,
    shared: &[&[f32]],
    stored: &[Shared<f32>],
    first: usize,
    count: usize,
) {
    for step in &program.steps {
        // SAFETY: promised by the caller.
        unsafe {
            match step {
                Step::Load(t) => {
                    let slot = match t.operand.checked_sub(shared.len()) {
                        Some(w) => stored[w].get().cast_const(),
                        None => shared[t.operand].as_ptr(),
                    };
                    // Lanes without a task repeat the last one.
                    let rows: [*const f32; LANES] = std::array::from_fn(|l| {
                        slot.add(t.offset + (first + l.min(count - 1)) * t.stride)
                    });
                    load(rows, t.len, arena.add(t.at));
                }
                Step::Store(t) => {
                    let slot = stored[t.operand - shared.len()].get();
                    let mut rows = [std::ptr::null_mut(); LANES];
                    for (l, row) in rows.iter_mut().enumerate().take(count) {
                        *row = slot.add(t.offset + (first + l) * t.stride);
                    }
                    store(arena.add(t.at).cast_const(), t.len, &rows[..count]);
                }
                Step::Run(w) => work(w, 0, arena, shared),
                Step::Loop { n, body } => {
                    for round in 0..*n {
                        for w in body {
                            work(w, round, arena, shared);
                        }
                    }
                }
            }
        }
    }
}

/// Sixteen rows of numbers to one row of vectors.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
unsafe fn load(rows: [*const f32; LANES], len: usize, to: *mut Lane) {
    // SAFETY: each row has `len` elements, and so has the result.
    unsafe {
        let mut i = 0;
        while i + LANES <= len {
            let block: [[f32; LANES]; LANES] =
                std::array::from_fn(|l| rows[l].add(i).cast::<[f32; LANES]>().read_unaligned());
            for e in 0..LANES {
                to.add(i + e).write(Lane(std::array::from_fn(|l| block[l][e])));
            }
            i += LANES;
        }
        while i < len {
            to.add(i).write(Lane(std::array::from_fn(|l| *rows[l].add(i))));
            i += 1;
        }
    }
}

/// One row of vectors to rows of numbers.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
unsafe fn store(from: *const Lane, len: usize, rows: &[*mut f32]) {
    // SAFETY: each row has `len` elements, and so has the source.
    unsafe {
        let mut i = 0;
        while i + LANES <= len {
            let block: [Lane; LANES] = std::array::from_fn(|e| from.add(i + e).read());
            for (l, row) in rows.iter().enumerate() {
                let part: [f32; LANES] = std::array::from_fn(|e| block[e].0[l]);
                row.add(i).cast::<[f32; LANES]>().write_unaligned(part);
            }
            i += LANES;
        }
        while i < len {
            let x = from.add(i).read();
            for (l, row) in rows.iter().enumerate() {
                *row.add(i) = x.0[l];
            }
            i += 1;
        }
    }
}

/// An operand of a block that runs: vectors, or numbers for all lanes.
#[derive(Clone, Copy)]
struct Ops {
    lanes: *mut Lane,
    shared: *const f32,
    is_shared: bool,
}

impl Ops {
    #[inline(always)]
    unsafe fn get(self, at: usize) -> Lane {
        // SAFETY: promised by the caller.
        unsafe { if self.is_shared { Lane([*self.shared.add(at); LANES]) } else { self.lanes.add(at).read() } }
    }

    #[inline(always)]
    unsafe fn put(self, at: usize, x: Lane) {
        // SAFETY: promised by the caller; results are never shared.
        unsafe { self.lanes.add(at).write(x) }
    }

    fn source(self, at: usize, (row, col): (usize, usize)) -> Source {
        let (lanes, shared) = (self.lanes.wrapping_add(at).cast_const(), self.shared.wrapping_add(at));
        Source { lanes, shared, is_shared: self.is_shared, row, col }
    }
}

unsafe fn work(w: &Work, round: usize, arena: *mut Lane, shared: &[&[f32]]) {
    let mut ops = [Ops { lanes: arena, shared: std::ptr::null(), is_shared: false }; 5];
    for (op, s) in ops.iter_mut().zip(&w.spots) {
        let at = (s.base as isize + s.step * round as isize) as usize;
        match s.shared {
            Some(r) => *op = Ops { lanes: arena, shared: shared[r].as_ptr().wrapping_add(at), is_shared: true },
            None => op.lanes = arena.wrapping_add(at),
        }
    }
    // SAFETY: promised by the caller of `run_group`.
    unsafe {
        match &w.kind {
            Kind::Product { batch: [y, a, b, c], sizes, strides, bias, act } => {
                let target = ops[w.spots.len() - 1];
                for_each([y, a, b, c], |[yi, ai, bi, ci]| {
                    product(&Product {
                        m: sizes[0],
                        n: sizes[1],
                        k: sizes[2],
                        a: ops[0].source(ai, strides[1]),
                        b: ops[1].source(bi, strides[2]),
                        bias: bias.then(|| ops[2].source(ci, strides[3])),
                        y: target.lanes.add(yi),
                        row: strides[0].0,
                        col: strides[0].1,
                    });
                });
                if let Some((f, y, z)) = act {
                    map(*f, y, z, ops[3], target);
                }
            }
            Kind::Map { func, y, x } => map(*func, y, x, ops[1], ops[0]),
            kind => other(kind, &ops),
        }
    }
}

/// Calls `run` with positions and lengths of the runs along the last axis.
#[inline(always)]
fn runs<const N: usize>(views: [&View; N], mut run: impl FnMut([usize; N], usize, [usize; N])) {
    const LAST: usize = MAX_RANK - 1;
    let len = views[0].dims[LAST];
    let steps = std::array::from_fn(|v| views[v].strides[LAST]);
    let heads: [View; N] = std::array::from_fn(|v| {
        let mut h = *views[v];
        (h.dims[LAST], h.strides[LAST]) = (1, 0);
        h
    });
    for_each(std::array::from_fn::<_, N, _>(|v| &heads[v]), |at| run(at, len, steps));
}

#[inline(always)]
fn each(x: Lane, f: impl Fn(f32) -> f32) -> Lane {
    let mut y = ZERO;
    for l in 0..LANES {
        y.0[l] = f(x.0[l]);
    }
    y
}

#[inline(always)]
fn pair(a: Lane, b: Lane, f: impl Fn(f32, f32) -> f32) -> Lane {
    let mut y = ZERO;
    for l in 0..LANES {
        y.0[l] = f(a.0[l], b.0[l]);
    }
    y
}

#[inline(always)]
unsafe fn map_by(y: &View, x: &View, to: Ops, from: Ops, f: impl Fn(f32) -> f32) {
    runs([y, x], |[yi, xi], len, [ys, xs]| {
        for i in 0..len {
            // SAFETY: promised by the caller.
            unsafe { to.put(yi + i * ys, each(from.get(xi + i * xs), &f)) };
        }
    });
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
unsafe fn map(f: Func, y: &View, x: &View, to: Ops, from: Ops) {
    use Activation::*;
    // SAFETY: promised by the caller.
    unsafe {
        match f {
            Func::Act(Identity, 0) => map_by(y, x, to, from, |v| v),
            Func::Act(Relu, 0) => map_by(y, x, to, from, math::relu),
            Func::Act(LeakyRelu, 0) => map_by(y, x, to, from, math::leaky),
            Func::Act(Tanh, 0) => map_by(y, x, to, from, math::tanh),
            Func::Act(Sigmoid, 0) => map_by(y, x, to, from, math::sigmoid),
            Func::Act(Silu, 0) => map_by(y, x, to, from, math::silu),
            Func::Act(Silu, 1) => map_by(y, x, to, from, math::silu_slope),
            Func::Act(Gelu, 0) => map_by(y, x, to, from, math::gelu),
            Func::Slope(a) => map_by(y, x, to, from, slope(a)),
            Func::Affine(Num(a), Num(b)) if b == 0.0 => {
                let a = a as f32;
                map_by(y, x, to, from, |v| a * v)
            }
            Func::Affine(Num(a), Num(b)) => {
                let (a, b) = (a as f32, b as f32);
                map_by(y, x, to, from, |v| a * v + b)
            }
            Func::Exp => map_by(y, x, to, from, math::exp),
            Func::Sqrt => map_by(y, x, to, from, f32::sqrt),
            Func::Rsqrt => map_by(y, x, to, from, |v| 1.0 / v.sqrt()),
            Func::Recip => map_by(y, x, to, from, |v| 1.0 / v),
            f => map_by(y, x, to, from, |v| func(f, v)),
        }
    }
}

/// First derivatives from the function's value, all in one formula: `(p + q y) (1 - y)` where smooth.
#[inline(always)]
fn slope(a: Activation) -> impl Fn(f32) -> f32 {
    let smooth = matches!(a, Activation::Tanh | Activation::Sigmoid);
    let one = (a == Activation::Tanh) as u8 as f32;
    let leak = if a == Activation::LeakyRelu { crate::kernel::pointwise::LEAK as f32 } else { 0.0 };
    move |y| {
        let straight = if y > 0.0 {
            1.0
        } else if y.is_nan() {
            y
        } else {
            leak
        };
        if smooth { (one + y) * (1.0 - y) } else { straight }
    }
}

#[inline(always)]
unsafe fn zip_by(
    [y, a, b]: [&View; 3],
    ops: &[Ops; 5],
    f: impl Fn(f32, f32) -> f32,
) {
    runs([y, a, b], |[yi, ai, bi], len, [ys, sa, sb]| {
        for i in 0..len {
            // SAFETY: promised by the caller.
            unsafe { ops[2].put(yi + i * ys, pair(ops[0].get(ai + i * sa), ops[1].get(bi + i * sb), &f)) };
        }
    });
}

/// Sums: along the last axis in a register, or into the results in place.
#[inline(always)]
unsafe fn sum_by(views: [&View; 3], ops: &[Ops; 5], f: impl Fn(f32, f32, f32) -> f32) {
    let triple = |s: Lane, a: Lane, b: Lane| {
        let mut y = ZERO;
        for l in 0..LANES {
            y.0[l] = f(s.0[l], a.0[l], b.0[l]);
        }
        y
    };
    runs(views, |[yi, ai, bi], len, [ys, sa, sb]| {
        // SAFETY: promised by the caller.
        unsafe {
            if ys == 0 {
                let mut sum = ops[2].get(yi);
                for i in 0..len {
                    sum = triple(sum, ops[0].get(ai + i * sa), ops[1].get(bi + i * sb));
                }
                ops[2].put(yi, sum);
            } else {
                for i in 0..len {
                    let at = yi + i * ys;
                    ops[2].put(at, triple(ops[2].get(at), ops[0].get(ai + i * sa), ops[1].get(bi + i * sb)));
                }
            }
        }
    });
}

/// All but products and functions of one value.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma", "aarch64+neon"))]
unsafe fn other(kind: &Kind, ops: &[Ops; 5]) {
    // SAFETY: promised by the caller.
    unsafe {
        match kind {
            Kind::Fill { value, y } => {
                runs([y], |[at], len, [step]| (0..len).for_each(|i| ops[0].put(at + i * step, Lane([*value; LANES]))))
            }
            Kind::Zip { op, pre, y, a, b } => {
                let views = [y, a, b];
                match (op, pre) {
                    (Binary::Add, None) => zip_by(views, ops, |a, b| a + b),
                    (Binary::Sub, None) => zip_by(views, ops, |a, b| a - b),
                    (Binary::Mul, None) => zip_by(views, ops, |a, b| a * b),
                    (Binary::Div, None) => zip_by(views, ops, |a, b| a / b),
                    (Binary::Mul, Some(Func::Slope(s))) => {
                        let s = slope(*s);
                        zip_by(views, ops, |a, b| a * s(b))
                    }
                    (Binary::Mul, Some(Func::Act(Activation::Relu, 1))) => {
                        zip_by(views, ops, |a, b| a * math::relu_slope(b))
                    }
                    (Binary::Mul, Some(Func::Act(Activation::LeakyRelu, 1))) => {
                        zip_by(views, ops, |a, b| a * math::leaky_slope(b))
                    }
                    (Binary::Mul, Some(Func::Act(Activation::Silu, 1))) => {
                        zip_by(views, ops, |a, b| a * math::silu_slope(b))
                    }
                    (Binary::Add, Some(Func::Affine(Num(s), Num(c)))) => {
                        let (s, c) = (*s as f32, *c as f32);
                        zip_by(views, ops, |a, b| a + (s * b + c))
                    }
                    (Binary::Sub, Some(Func::Affine(Num(s), Num(c)))) => {
                        let (s, c) = (*s as f32, *c as f32);
                        zip_by(views, ops, |a, b| a - (s * b + c))
                    }
                    (op, None) => zip_by(views, ops, |a, b| binary(*op, a, b)),
                    (op, Some(f)) => zip_by(views, ops, |a, b| binary(*op, a, func(*f, b))),
                }
            }
            Kind::Select { y, c, a, b } => runs([y, c, a, b], |[yi, ci, ai, bi], len, [ys, cs, sa, sb]| {
                for i in 0..len {
                    let c = ops[0].get(ci + i * cs);
                    let (a, b) = (ops[1].get(ai + i * sa), ops[2].get(bi + i * sb));
                    let mut r = ZERO;
                    for l in 0..LANES {
                        r.0[l] = if c.0[l] != 0.0 { a.0[l] } else { b.0[l] };
                    }
                    ops[3].put(yi + i * ys, r);
                }
            }),
            Kind::Sum { dot, y, a, b } => {
                let mut kept = *y;
                for i in 0..MAX_RANK {
                    if kept.strides[i] == 0 {
                        kept.dims[i] = 1;
                    }
                }
                runs([&kept], |[at], len, [step]| (0..len).for_each(|i| ops[2].put(at + i * step, ZERO)));
                if *dot {
                    sum_by([y, a, b], ops, |s, a, b| math::fused(a, b, s));
                } else {
                    sum_by([y, a, b], ops, |s, a, _| s + a);
                }
            }
            Kind::LogSoftmax { y, x } => {
                let (rows, classes) = (y.dims[MAX_RANK - 2], y.dims[MAX_RANK - 1]);
                for i in 0..rows {
                    let (from, to) = (i * x.strides[MAX_RANK - 2], i * y.strides[MAX_RANK - 2]);
                    let (max, log) = log_sum_exp(ops[0], from, x.strides[MAX_RANK - 1], classes);
                    for j in 0..classes {
                        let v = ops[0].get(from + j * x.strides[MAX_RANK - 1]);
                        let v = pair(pair(v, max, |v, m| v - m), log, |v, l| v - l);
                        ops[1].put(to + j * y.strides[MAX_RANK - 1], v);
                    }
                }
            }
            Kind::CrossEntropy { y, x, p } => {
                let (rows, classes) = (x.dims[MAX_RANK - 2], x.dims[MAX_RANK - 1]);
                for i in 0..rows {
                    let (from, step) = (i * x.strides[MAX_RANK - 2], x.strides[MAX_RANK - 1]);
                    let (max, log) = log_sum_exp(ops[0], from, step, classes);
                    let mut sum = ZERO;
                    for j in 0..classes {
                        let v = ops[0].get(from + j * step);
                        let v = pair(pair(v, max, |v, m| v - m), log, |v, l| v - l);
                        let p = ops[1].get(i * p.strides[MAX_RANK - 2] + j * p.strides[MAX_RANK - 1]);
                        for l in 0..LANES {
                            sum.0[l] = math::fused(-p.0[l], v.0[l], sum.0[l]);
                        }
                    }
                    ops[2].put(i * y.strides[MAX_RANK - 1], sum);
                }
            }
            Kind::Map { .. } | Kind::Product { .. } => {}
        }
    }
}

/// Largest number of a row, and the logarithm of the sum of exponentials below it.
#[inline(always)]
unsafe fn log_sum_exp(x: Ops, from: usize, step: usize, classes: usize) -> (Lane, Lane) {
    // SAFETY: promised by the caller.
    unsafe {
        let mut max = x.get(from);
        for j in 1..classes {
            max = pair(max, x.get(from + j * step), |a, b| if a >= b || a.is_nan() { a } else { b });
        }
        let mut sum = ZERO;
        for j in 0..classes {
            let v = x.get(from + j * step);
            for l in 0..LANES {
                sum.0[l] += math::exp(v.0[l] - max.0[l]);
            }
        }
        (max, each(sum, f32::ln))
    }
}
