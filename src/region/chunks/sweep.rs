//! A sweep over elements, some at a time: what several blocks do to them, one after another while they are in the nearest cache.
//! What is done to a plane of elements is inlined into a few functions that `pulp` compiles for each kind of processor.

use std::iter::zip;
use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use crate::graph::op::{Binary, Func, Num};
use crate::kernel::Read;
use crate::kernel::simd::*;
use crate::spec::MAX_RANK;
use crate::view::View;

use super::LINE;

/// What an operand lies in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// The sweep's own memory.
    Strip,
    /// A buffer of the lane.
    Buffer(usize),
    /// An operand that the launch reads, of which a chunk has its part.
    Slot { operand: usize, stride: usize },
}

/// An operand in the first turn, and how far it moves in each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Address {
    pub(super) place: Place,
    pub(super) offset: usize,
    pub(super) step: usize,
}

/// What is done with some elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Fill(f32),
    Map(Func),
    Zip(Binary, Option<Func>),
    Select,
    /// Added to what is there; of products where that is wanted.
    Sum {
        dot: bool,
    },
}

/// One block in a turn of a sweep. The result comes first; all views have its loops (a sum steps by 0 along what it adds up), and begin at 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Op {
    pub(super) kind: Kind,
    pub(super) operands: Vec<(Address, View)>,
}

/// What is done in turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The blocks in it.
    pub blocks: Vec<usize>,
    /// Turns.
    pub turns: usize,
    /// Before the first turn: sums begin at 0.
    pub(super) first: Vec<Op>,
    /// In each turn.
    pub(super) ops: Vec<Op>,
}

/// Where the operands of a sweep lie.
pub(super) struct Memory<'m> {
    strip: Part,
    buffers: Vec<Part>,
    reads: &'m [Read<'m, f32>],
    chunk: usize,
    /// What the parts are borrowed from.
    _borrowed: PhantomData<&'m mut [f32]>,
}

/// Elements from one on.
#[derive(Clone, Copy)]
struct Part {
    at: *mut f32,
    len: usize,
    writable: bool,
}

impl Part {
    fn of(data: &mut [f32]) -> Part {
        Part { at: data.as_mut_ptr(), len: data.len(), writable: true }
    }
}

impl<'m> Memory<'m> {
    pub(super) fn new(
        strip: &'m mut [f32],
        buffers: impl Iterator<Item = &'m mut [f32]>,
        reads: &'m [Read<'m, f32>],
        chunk: usize,
    ) -> Memory<'m> {
        let buffers = buffers.map(Part::of).collect();
        Memory { strip: Part::of(strip), buffers, reads, chunk, _borrowed: PhantomData }
    }

    /// An operand, from its first element on.
    fn of(&self, address: &Address) -> Part {
        let (whole, moved) = match address.place {
            Place::Strip => (self.strip, 0),
            Place::Buffer(k) => (self.buffers[k], 0),
            Place::Slot { operand, stride } => {
                let data = self.reads[operand].f();
                let at = data.as_ptr().cast_mut();
                (Part { at, len: data.len(), writable: false }, self.chunk * stride)
            }
        };
        let from = address.offset + moved;
        assert!(from <= whole.len, "an operand of a sweep begins outside of its place");
        Part { at: whole.at.wrapping_add(from), len: whole.len - from, ..whole }
    }
}

impl Sweep {
    /// Checks that operands lie inside of their places in all turns, and that results lie where something may be written.
    pub(super) fn verify(&self, room: impl Fn(Place) -> usize) -> Result<(), String> {
        for (turns, op) in
            self.first.iter().map(|op| (1, op)).chain(self.ops.iter().map(|op| (self.turns, op)))
        {
            for (i, (address, view)) in op.operands.iter().enumerate() {
                let end = address.offset + (turns - 1) * address.step + view.end();
                if end > room(address.place) {
                    return Err(format!("operand {i} of a sweep ends at {end} of {}", room(address.place)));
                }
                if i == 0 && matches!(address.place, Place::Slot { .. }) {
                    return Err("a sweep writes what it may only read".into());
                }
                if view.dims != op.operands[0].1.dims || view.offset != 0 {
                    return Err("operands of a sweep have different loops".into());
                }
            }
        }
        Ok(())
    }

    /// Does it.
    pub(super) fn run(&self, memory: &Memory<'_>) {
        Arch::new().dispatch(Running { sweep: self, memory });
    }
}

/// Most operands of an op.
const OPERANDS: usize = 4;

struct Running<'r, 'm> {
    sweep: &'r Sweep,
    memory: &'r Memory<'m>,
}

impl WithSimd for Running<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Running { sweep, memory } = self;
        for (turns, ops) in [(1, &sweep.first), (sweep.turns, &sweep.ops)] {
            // Where the operands of each begin in the next turn, and how far they move.
            let mut at: Vec<[(*mut f32, usize); OPERANDS]> = ops
                .iter()
                .map(|op| {
                    let mut at = [(std::ptr::null_mut(), 0); OPERANDS];
                    for (i, (at, (address, view))) in zip(&mut at, &op.operands).enumerate() {
                        let part = memory.of(address);
                        let inside = (turns - 1) * address.step + view.end() <= part.len;
                        assert!(
                            inside && (part.writable || i > 0),
                            "an operand of a sweep lies outside of its place"
                        );
                        *at = (part.at, address.step);
                    }
                    at
                })
                .collect();
            let mut coming = Coming::new(ops, &at);
            for turn in 0..turns {
                for (i, (op, at)) in zip(ops, &mut at).enumerate() {
                    if turn + 1 < turns {
                        coming.fetch(i, ops.len());
                    }
                    // SAFETY: the assertion above covers the last turn of each operand, and only what is borrowed mutably is written.
                    unsafe { op.run(simd, at.map(|(at, _)| at)) };
                    for (at, step) in at {
                        *at = at.wrapping_add(*step);
                    }
                }
                coming.turn();
            }
        }
    }
}

/// What the next turn finds in main memory or a far cache: it is fetched while this turn computes.
struct Coming(Vec<Stream>);

struct Stream {
    /// Where the next turn begins.
    at: *const f32,
    /// Elements of a turn.
    len: usize,
    written: bool,
}

impl Coming {
    #[inline(always)]
    fn new(ops: &[Op], at: &[[(*mut f32, usize); OPERANDS]]) -> Coming {
        let mut streams: Vec<(Stream, Place)> = Vec::new();
        for (op, at) in zip(ops, at) {
            for (i, ((address, _), (first, step))) in zip(&op.operands, at).enumerate() {
                let known = streams.iter().any(|(_, place)| *place == address.place);
                if *step > 0 && !known {
                    let at = first.wrapping_add(*step).cast_const();
                    streams.push((Stream { at, len: *step, written: i == 0 }, address.place));
                }
            }
        }
        Coming(streams.into_iter().map(|(s, _)| s).collect())
    }

    /// Asks for the `i`-th of `n` parts.
    #[inline(always)]
    fn fetch(&self, i: usize, n: usize) {
        for s in &self.0 {
            for at in (s.len * i / n..s.len * (i + 1) / n).step_by(LINE) {
                ask(s.at.wrapping_add(at), s.written);
            }
        }
    }

    #[inline(always)]
    fn turn(&mut self) {
        self.0.iter_mut().for_each(|s| s.at = s.at.wrapping_add(s.len));
    }
}

/// Asks for a line of memory, where a processor can be asked: to be read, or to be written.
#[inline(always)]
fn ask(at: *const f32, written: bool) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which may name any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};
        if written {
            _mm_prefetch::<_MM_HINT_ET0>(at.cast());
        } else {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, written);
}

/// The axes of a plane: rows, and the elements of a row.
const ROWS: usize = MAX_RANK - 2;
const LAST: usize = MAX_RANK - 1;

/// Some elements of an operand: the first, and the distances of rows and of neighbours.
#[derive(Clone, Copy)]
struct Plane {
    at: *mut f32,
    row: usize,
    next: usize,
}

impl Plane {
    /// `n` elements of a row as a register; those behind them are 1.
    ///
    /// # Safety
    /// The elements exist.
    #[inline(always)]
    unsafe fn get<S: Simd>(self, simd: S, r: usize, i: usize, n: usize) -> V<S> {
        // SAFETY: promised by the caller.
        unsafe {
            let from = self.at.add(r * self.row + i * self.next);
            if self.next == 0 {
                V::splat(simd, *from)
            } else if self.next == 1 && n == S::F32_LANES {
                V { simd, x: from.cast::<S::f32s>().read_unaligned() }
            } else {
                let mut some = [1.0f32; WIDEST];
                for k in 0..n {
                    some[k] = *from.add(k * self.next);
                }
                V { simd, x: some.as_ptr().cast::<S::f32s>().read_unaligned() }
            }
        }
    }

    /// The first `n` elements of a register to a row.
    ///
    /// # Safety
    /// The elements exist, and may be written.
    #[inline(always)]
    unsafe fn put<S: Simd>(self, r: usize, i: usize, n: usize, v: V<S>) {
        // SAFETY: promised by the caller.
        unsafe {
            let to = self.at.add(r * self.row + i * self.next);
            if self.next == 1 && n == S::F32_LANES {
                to.cast::<S::f32s>().write_unaligned(v.x);
            } else {
                let mut some = [0.0f32; WIDEST];
                some.as_mut_ptr().cast::<S::f32s>().write_unaligned(v.x);
                for k in 0..n {
                    *to.add(k * self.next) = some[k];
                }
            }
        }
    }

    /// Whole registers, where all elements of a row are neighbours or one and the same.
    ///
    /// # Safety
    /// The elements exist.
    #[inline(always)]
    unsafe fn whole<S: Simd, const SAME: bool>(self, simd: S, r: usize, i: usize) -> V<S> {
        // SAFETY: promised by the caller.
        unsafe {
            let row = self.at.add(r * self.row);
            if SAME {
                V::splat(simd, *row)
            } else {
                V { simd, x: row.add(i).cast::<S::f32s>().read_unaligned() }
            }
        }
    }
}

impl Op {
    /// # Safety
    /// The operands exist from these elements on, and the first may be written.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, at: [*mut f32; OPERANDS]) {
        let views: [&View; OPERANDS] =
            std::array::from_fn(|i| &self.operands[i.min(self.operands.len() - 1)].1);
        let dims = views[0].dims;
        let plane = |i: usize, moved: usize| Plane {
            at: at[i].wrapping_add(moved),
            row: views[i].strides[ROWS],
            next: views[i].strides[LAST],
        };
        let size = [dims[ROWS], dims[LAST]];
        // The axes before the last two.
        let mut index = [0usize; ROWS];
        let mut moved = [0usize; OPERANDS];
        loop {
            let planes: [Plane; OPERANDS] = std::array::from_fn(|i| plane(i, moved[i]));
            // SAFETY: promised by the caller.
            unsafe { self.plane(simd, size, planes) };
            let mut k = ROWS;
            loop {
                if k == 0 {
                    return;
                }
                k -= 1;
                index[k] += 1;
                (0..OPERANDS).for_each(|i| moved[i] += views[i].strides[k]);
                if index[k] < dims[k] {
                    break;
                }
                (0..OPERANDS).for_each(|i| moved[i] -= views[i].strides[k] * dims[k]);
                index[k] = 0;
            }
        }
    }

    /// # Safety
    /// As for [`Op::run`].
    #[inline(always)]
    unsafe fn plane<S: Simd>(&self, simd: S, size: [usize; 2], [y, a, b, c]: [Plane; OPERANDS]) {
        match self.kind {
            Kind::Zip(op @ (Binary::Add | Binary::Sub | Binary::Mul), None) => {
                simd.vectorize(Plain { op, size, y, a, b });
            }
            Kind::Map(func) => simd.vectorize(Mapped { func, size, y, a }),
            Kind::Zip(Binary::Mul, Some(func)) if !matches!(func, Func::Affine(..)) => {
                simd.vectorize(Times { func, size, y, a, b });
            }
            Kind::Sum { dot } => simd.vectorize(Sums { dot, size, y, a, b }),
            kind => simd.vectorize(Others { kind, size, planes: [y, a, b, c] }),
        }
    }
}

/// What is done most.
struct Plain {
    op: Binary,
    size: [usize; 2],
    y: Plane,
    a: Plane,
    b: Plane,
}

impl WithSimd for Plain {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Plain { op, size, y, a, b } = self;
        // SAFETY: made in `Op::plane`, whose caller promises it.
        unsafe {
            match op {
                Binary::Add => combine(simd, size, y, a, b, Add {}),
                Binary::Sub => combine(simd, size, y, a, b, Sub {}),
                _ => combine(simd, size, y, a, b, Mul {}),
            }
        }
    }
}

/// What is done less often.
struct Others {
    kind: Kind,
    size: [usize; 2],
    planes: [Plane; OPERANDS],
}

impl WithSimd for Others {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Others { kind, size, planes: [y, a, b, c] } = self;
        // SAFETY: made in `Op::plane`, whose caller promises it.
        unsafe {
            match kind {
                Kind::Fill(value) => each(simd, size, y, |_, _, _| V::splat(simd, value)),
                Kind::Select => each(simd, size, y, |r, i, n| {
                    a.get(simd, r, i, n).choose(b.get(simd, r, i, n), c.get(simd, r, i, n))
                }),
                Kind::Zip(Binary::Div, None) => combine(simd, size, y, a, b, Div {}),
                Kind::Zip(Binary::Max, None) => combine(simd, size, y, a, b, Larger {}),
                Kind::Zip(Binary::Less, None) => combine(simd, size, y, a, b, Below {}),
                Kind::Zip(Binary::GreaterEq, None) => combine(simd, size, y, a, b, NotBelow {}),
                Kind::Zip(Binary::Equal, None) => combine(simd, size, y, a, b, Alike {}),
                Kind::Zip(op, Some(Func::Affine(Num(scale), Num(shift)))) => {
                    let f = Affine { scale: scale as f32, shift: shift as f32 };
                    match op {
                        Binary::Add => combine(simd, size, y, a, b, After(Add {}, f)),
                        Binary::Sub => combine(simd, size, y, a, b, After(Sub {}, f)),
                        op => combine(simd, size, y, a, b, After(AnyOf { op }, f)),
                    }
                }
                Kind::Zip(op, Some(f)) => combine(simd, size, y, a, b, AnyWith { op, f }),
                Kind::Zip(op, None) => combine(simd, size, y, a, b, AnyOf { op }),
                Kind::Map(_) | Kind::Sum { .. } => {}
            }
        }
    }
}

/// Fills rows, a register at a time: `f` gives the `n` elements from the `i`-th of row `r` on.
///
/// # Safety
/// The elements of `y` exist, and may be written.
#[inline(always)]
unsafe fn each<S: Simd>(_: S, [rows, len]: [usize; 2], y: Plane, f: impl Fn(usize, usize, usize) -> V<S>) {
    for r in 0..rows {
        for i in (0..len).step_by(S::F32_LANES) {
            let n = S::F32_LANES.min(len - i);
            // SAFETY: promised by the caller.
            unsafe { y.put(r, i, n, f(r, i, n)) };
        }
    }
}

/// A function of one operand.
///
/// # Safety
/// As for [`Op::run`].
#[inline(always)]
unsafe fn map<S: Simd>(simd: S, [rows, len]: [usize; 2], y: Plane, a: Plane, f: impl Unary) {
    // SAFETY: promised by the caller.
    unsafe {
        if y.next == 1 && a.next == 1 && len.is_multiple_of(S::F32_LANES) {
            for r in 0..rows {
                for i in (0..len).step_by(S::F32_LANES) {
                    let v = f.at(a.whole::<S, false>(simd, r, i));
                    y.at.add(r * y.row + i).cast::<S::f32s>().write_unaligned(v.x);
                }
            }
            return;
        }
        each(simd, [rows, len], y, |r, i, n| f.at(a.get(simd, r, i, n)));
    }
}

/// A function of two operands.
///
/// # Safety
/// As for [`Op::run`].
#[inline(always)]
unsafe fn combine<S: Simd>(simd: S, [rows, len]: [usize; 2], y: Plane, a: Plane, b: Plane, f: impl Binary2) {
    // SAFETY: promised by the caller.
    unsafe {
        if y.next == 1 && len.is_multiple_of(S::F32_LANES) {
            match (a.next, b.next) {
                (1, 1) if is_short::<S>(len) && b.row == 0 => {
                    return down::<S, true>(simd, [rows, len], y, a, b, f);
                }
                (1, 1) if is_short::<S>(len) => return down::<S, false>(simd, [rows, len], y, a, b, f),
                (1, 1) => return whole::<S, false, false>(simd, [rows, len], y, a, b, f),
                (1, 0) => return whole::<S, false, true>(simd, [rows, len], y, a, b, f),
                (0, 1) => return whole::<S, true, false>(simd, [rows, len], y, a, b, f),
                _ => {}
            }
        }
        each(simd, [rows, len], y, |r, i, n| f.at(a.get(simd, r, i, n), b.get(simd, r, i, n)));
    }
}

/// Whether rows are so short that what begins each would take longer than what is done with it.
#[inline(always)]
fn is_short<S: Simd>(len: usize) -> bool {
    len <= 4 * S::F32_LANES
}

/// A function of two operands in whole registers, down columns of registers: `SAME` where all rows have the second operand's one row,
/// which then stays in a register.
///
/// # Safety
/// As for [`Op::run`].
#[inline(always)]
unsafe fn down<S: Simd, const SAME: bool>(
    simd: S,
    [rows, len]: [usize; 2],
    y: Plane,
    a: Plane,
    b: Plane,
    f: impl Binary2,
) {
    let many = rows - rows % BESIDE;
    for i in (0..len).step_by(S::F32_LANES) {
        // SAFETY: promised by the caller.
        unsafe {
            let mut to = y.at.add(i);
            let mut from = a.at.add(i).cast_const();
            let mut other = b.at.add(i).cast_const();
            let same = V { simd, x: other.cast::<S::f32s>().read_unaligned() };
            for r in (0..many).step_by(BESIDE).chain(many..rows) {
                let count = if r < many { BESIDE } else { 1 };
                if count == BESIDE {
                    let mut v = [same; BESIDE];
                    for k in 0..BESIDE {
                        let x = V { simd, x: from.add(k * a.row).cast::<S::f32s>().read_unaligned() };
                        let z = match SAME {
                            true => same,
                            false => V { simd, x: other.add(k * b.row).cast::<S::f32s>().read_unaligned() },
                        };
                        v[k] = f.at(x, z);
                    }
                    for k in 0..BESIDE {
                        to.add(k * y.row).cast::<S::f32s>().write_unaligned(v[k].x);
                    }
                } else {
                    let x = V { simd, x: from.cast::<S::f32s>().read_unaligned() };
                    let z = match SAME {
                        true => same,
                        false => V { simd, x: other.cast::<S::f32s>().read_unaligned() },
                    };
                    to.cast::<S::f32s>().write_unaligned(f.at(x, z).x);
                }
                to = to.wrapping_add(count * y.row);
                from = from.wrapping_add(count * a.row);
                other = other.wrapping_add(count * b.row);
            }
        }
    }
}

/// The same in whole registers.
///
/// # Safety
/// As for [`Op::run`].
#[inline(always)]
unsafe fn whole<S: Simd, const A: bool, const B: bool>(
    simd: S,
    [rows, len]: [usize; 2],
    y: Plane,
    a: Plane,
    b: Plane,
    f: impl Binary2,
) {
    for r in 0..rows {
        for i in (0..len).step_by(S::F32_LANES) {
            // SAFETY: promised by the caller.
            unsafe {
                let v = f.at(a.whole::<S, A>(simd, r, i), b.whole::<S, B>(simd, r, i));
                y.at.add(r * y.row + i).cast::<S::f32s>().write_unaligned(v.x);
            }
        }
    }
}

/// What a sum adds up.
#[derive(Clone, Copy)]
struct Terms {
    a: Plane,
    b: Plane,
    dot: bool,
}

impl Terms {
    /// Adds `n` of them.
    ///
    /// # Safety
    /// They exist.
    #[inline(always)]
    unsafe fn add<S: Simd>(self, simd: S, sum: V<S>, r: usize, i: usize, n: usize) -> V<S> {
        // SAFETY: promised by the caller.
        unsafe {
            let x = self.a.get(simd, r, i, n);
            if self.dot { x.fma(self.b.get(simd, r, i, n), sum) } else { sum.add(x) }
        }
    }
}

/// Adds rows to a row of sums, in whole registers.
///
/// # Safety
/// As for [`Op::run`].
#[inline(always)]
unsafe fn columns<S: Simd, const DOT: bool>(simd: S, [rows, len]: [usize; 2], y: Plane, a: Plane, b: Plane) {
    let zero = V::splat(simd, 0.0);
    for i in (0..len).step_by(S::F32_LANES) {
        let mut sums = [zero; BESIDE];
        let many = rows - rows % BESIDE;
        // SAFETY: promised by the caller.
        unsafe {
            for r in (0..many).step_by(BESIDE) {
                for k in 0..BESIDE {
                    let x = a.whole::<S, false>(simd, r + k, i);
                    sums[k] = match DOT {
                        true => x.fma(b.whole::<S, false>(simd, r + k, i), sums[k]),
                        false => sums[k].add(x),
                    };
                }
            }
            for r in many..rows {
                let x = a.whole::<S, false>(simd, r, i);
                sums[0] = match DOT {
                    true => x.fma(b.whole::<S, false>(simd, r, i), sums[0]),
                    false => sums[0].add(x),
                };
            }
            let all = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
            let to = y.at.add(i).cast::<S::f32s>();
            to.write_unaligned(y.whole::<S, false>(simd, 0, i).add(all).x);
        }
    }
}

/// Rows that are added up side by side: additions wait for one another.
const BESIDE: usize = 4;

/// Adds to sums. In which order does not depend on how wide registers are.
///
/// # Safety
/// As for [`Op::run`].
#[inline(always)]
unsafe fn sum<S: Simd>(simd: S, [rows, len]: [usize; 2], y: Plane, a: Plane, b: Plane, dot: bool) {
    let zero = V::splat(simd, 0.0);
    // SAFETY: promised by the caller.
    unsafe {
        let terms = Terms { a, b, dot };
        let apart = a.next == 1 && (!dot || b.next == 1) && len.is_multiple_of(S::F32_LANES);
        if y.next == 1 && y.row == 0 && apart {
            return match dot {
                true => columns::<S, true>(simd, [rows, len], y, a, b),
                false => columns::<S, false>(simd, [rows, len], y, a, b),
            };
        }
        if y.next == 1 && y.row == 0 {
            // A column of sums.
            for i in (0..len).step_by(S::F32_LANES) {
                let n = S::F32_LANES.min(len - i);
                let mut sums = [zero; BESIDE];
                let many = rows - rows % BESIDE;
                for r in (0..many).step_by(BESIDE) {
                    for k in 0..BESIDE {
                        sums[k] = terms.add(simd, sums[k], r + k, i, n);
                    }
                }
                for r in many..rows {
                    sums[0] = terms.add(simd, sums[0], r, i, n);
                }
                let all = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
                y.put(0, i, n, y.get(simd, 0, i, n).add(all));
            }
            return;
        }
        if y.next == 0 {
            // A row each is added up in as many parts as the widest registers have elements.
            for r in 0..rows {
                let mut parts = [0.0f32; WIDEST];
                let many = len - len % WIDEST;
                for from in (0..WIDEST).step_by(S::F32_LANES) {
                    let mut sum = zero;
                    for i in (0..many).step_by(WIDEST) {
                        sum = terms.add(simd, sum, r, i + from, S::F32_LANES);
                    }
                    parts.as_mut_ptr().add(from).cast::<S::f32s>().write_unaligned(sum.x);
                }
                for i in many..len {
                    let at = |p: Plane| *p.at.add(r * p.row + i * p.next);
                    parts[i - many] += if dot { at(a) * at(b) } else { at(a) };
                }
                *y.at.add(r * y.row) += parts.iter().sum::<f32>();
            }
            return;
        }
        for r in 0..rows {
            for i in 0..len {
                let at = |p: Plane| p.at.add(r * p.row + i * p.next);
                *at(y) += if dot { *at(a) * *at(b) } else { *at(a) };
            }
        }
    }
}

struct Sums {
    dot: bool,
    size: [usize; 2],
    y: Plane,
    a: Plane,
    b: Plane,
}

impl WithSimd for Sums {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: made in `Op::plane`, whose caller promises it.
        unsafe { sum(simd, self.size, self.y, self.a, self.b, self.dot) }
    }
}

struct Mapped {
    func: Func,
    size: [usize; 2],
    y: Plane,
    a: Plane,
}

impl WithSimd for Mapped {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        visit(self.func, On { simd, of: self });
    }
}

/// `a` times a function of `b`.
struct Times {
    func: Func,
    size: [usize; 2],
    y: Plane,
    a: Plane,
    b: Plane,
}

impl WithSimd for Times {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        visit(self.func, On { simd, of: self });
    }
}

/// What a function is found for.
struct On<S, F> {
    simd: S,
    of: F,
}

impl<S: Simd> Visit for On<S, Mapped> {
    #[inline(always)]
    fn with(self, f: impl Unary) {
        // SAFETY: made in `Op::plane`, whose caller promises it.
        unsafe { map(self.simd, self.of.size, self.of.y, self.of.a, f) }
    }
}

impl<S: Simd> Visit for On<S, Times> {
    #[inline(always)]
    fn with(self, f: impl Unary) {
        let Times { size, y, a, b, .. } = self.of;
        // SAFETY: made in `Op::plane`, whose caller promises it.
        unsafe {
            if [y.next, a.next, b.next] == [1; 3] && size[1].is_multiple_of(S::F32_LANES) {
                whole::<S, false, false>(self.simd, size, y, a, b, After(Mul {}, f));
                return;
            }
            let simd = self.simd;
            each(simd, size, y, |r, i, n| a.get(simd, r, i, n).mul(f.at(b.get(simd, r, i, n))));
        }
    }
}
