//! Blocks of a region at work, for sixteen tasks at once. Everything is inlined into three functions that `pulp`
//! compiles for each kind of processor; hence functions are types and not closures, which would not be.

use pulp::{Arch, Simd, WithSimd};

use super::{Instruction, Kind};
use crate::graph::op::{Binary, Func, Num};
use crate::kernel::block::LaneBlock;
use crate::kernel::lanes::{LANES, Lane, LaneOperand as Operand, LaneProduct};
use crate::kernel::simd::*;
use crate::region::DEPTH;
use crate::spec::MAX_RANK;
use crate::view::{View, for_each};

/// Runs a block for the sixteen tasks from `task` on.
///
/// # Safety
/// Its operands lie inside the arena and the shared operands, and its results overlap no other operand (or
/// are the same elements).
pub(super) unsafe fn work(
    arch: Arch,
    w: &Instruction,
    turns: [usize; DEPTH],
    arena: *mut Lane,
    shared: &[&[f32]],
    task: usize,
) {
    let mut ops = [Operand { lanes: arena, shared: std::ptr::null(), is_shared: false }; 5];
    for (op, s) in ops.iter_mut().zip(&w.addresses) {
        let mut at = s.base as isize;
        for depth in 0..DEPTH {
            at += s.steps[depth] * turns[depth] as isize;
        }
        let at = at as usize;
        match s.shared {
            Some(r) => {
                let shared = shared[r].as_ptr().wrapping_add(at);
                *op = Operand { lanes: arena, shared, is_shared: true };
            }
            None => op.lanes = arena.wrapping_add(at),
        }
    }
    match &w.kind {
        Kind::Product { batch: [y, a, b, c], sizes, strides, bias, act } => {
            let target = ops[w.addresses.len() - 1];
            for_each([y, a, b, c], |[yi, ai, bi, ci]| {
                arch.dispatch(ProductOf(LaneProduct {
                    m: sizes[0],
                    n: sizes[1],
                    k: sizes[2],
                    a: ops[0].source(ai, strides[1]),
                    b: ops[1].source(bi, strides[2]),
                    bias: bias.then(|| ops[2].source(ci, strides[3])),
                    y: target.lanes.wrapping_add(yi),
                    row: strides[0].0,
                    col: strides[0].1,
                }));
            });
            if let Some((func, y, x)) = act {
                arch.dispatch(MapOf { func: *func, y, x, to: ops[3], from: target });
            }
        }
        Kind::Map { func, y, x } => arch.dispatch(MapOf { func: *func, y, x, to: ops[1], from: ops[0] }),
        kind => arch.dispatch(Other { kind, ops: &ops, task }),
    }
}

struct ProductOf(LaneProduct);

impl WithSimd for ProductOf {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: promised by the caller of `work`.
        unsafe { self.0.run(simd) }
    }
}

const LAST: usize = MAX_RANK - 1;

/// Positions of runs along the last axis.
struct Runs<'v, const N: usize> {
    views: [&'v View; N],
    at: [usize; N],
    index: [usize; MAX_RANK],
    /// Runs that are left, this one too.
    left: usize,
}

impl<'v, const N: usize> Runs<'v, N> {
    #[inline(always)]
    fn new(views: [&'v View; N]) -> Runs<'v, N> {
        let mut at = [0; N];
        for v in 0..N {
            at[v] = views[v].offset;
        }
        let mut left = 1;
        for k in 0..LAST {
            left *= views[0].dims[k];
        }
        Runs { views, at, index: [0; MAX_RANK], left }
    }

    /// Length of a run.
    #[inline(always)]
    fn len(&self) -> usize {
        self.views[0].dims[LAST]
    }

    /// Distances of neighbours in a run.
    #[inline(always)]
    fn steps(&self) -> [usize; N] {
        let mut steps = [0; N];
        for v in 0..N {
            steps[v] = self.views[v].strides[LAST];
        }
        steps
    }

    #[inline(always)]
    fn next(&mut self) -> Option<[usize; N]> {
        let now = self.at;
        match self.left {
            0 => return None,
            1 => {}
            _ => self.advance(),
        }
        self.left -= 1;
        Some(now)
    }

    /// To the next run, where there is one.
    fn advance(&mut self) {
        for k in (0..LAST).rev() {
            self.index[k] += 1;
            for v in 0..N {
                self.at[v] += self.views[v].strides[k];
            }
            if self.index[k] < self.views[0].dims[k] {
                return;
            }
            for v in 0..N {
                self.at[v] -= self.views[v].strides[k] * self.views[0].dims[k];
            }
            self.index[k] = 0;
        }
    }
}

struct MapOf<'v> {
    func: Func,
    y: &'v View,
    x: &'v View,
    to: Operand,
    from: Operand,
}

impl WithSimd for MapOf<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        visit(self.func, Mapped { simd, map: self });
    }
}

struct Mapped<'v, S> {
    simd: S,
    map: MapOf<'v>,
}

impl<S: Simd> Visit for Mapped<'_, S> {
    #[inline(always)]
    fn with(self, f: impl Unary) {
        let (simd, MapOf { y, x, to, from, .. }) = (self.simd, self.map);
        let mut runs = Runs::new([y, x]);
        let (len, [ys, xs]) = (runs.len(), runs.steps());
        let whole = len - len % SIDE_BY_SIDE;
        while let Some([yi, xi]) = runs.next() {
            for lane in (0..LANES).step_by(S::F32_LANES) {
                // SAFETY: promised by the caller of `work`.
                unsafe {
                    for i in (0..whole).step_by(SIDE_BY_SIDE) {
                        let mut y = [V::splat(simd, 0.0); SIDE_BY_SIDE];
                        for k in 0..SIDE_BY_SIDE {
                            y[k] = f.at(from.get(simd, xi + (i + k) * xs, lane));
                        }
                        for k in 0..SIDE_BY_SIDE {
                            to.put(yi + (i + k) * ys, lane, y[k]);
                        }
                    }
                    for i in whole..len {
                        to.put(yi + i * ys, lane, f.at(from.get(simd, xi + i * xs, lane)));
                    }
                }
            }
        }
    }
}

/// `a` times a function of `b`.
struct Times<'w, 'v, S> {
    simd: S,
    other: &'w Other<'w>,
    views: [&'v View; 3],
}

impl<S: Simd> Visit for Times<'_, '_, S> {
    #[inline(always)]
    fn with(self, f: impl Unary) {
        self.other.zip(self.simd, self.views, After(Mul {}, f));
    }
}

/// All but products and functions of one value.
struct Other<'w> {
    kind: &'w Kind,
    ops: &'w [Operand; 5],
    /// Number of the first task.
    task: usize,
}

impl Other<'_> {
    #[inline(always)]
    fn fill<S: Simd>(&self, simd: S, y: &View, to: Operand, value: f32) {
        let mut runs = Runs::new([y]);
        let (len, [step]) = (runs.len(), runs.steps());
        while let Some([at]) = runs.next() {
            for i in 0..len {
                for lane in (0..LANES).step_by(S::F32_LANES) {
                    // SAFETY: promised by the caller of `work`.
                    unsafe { to.put(at + i * step, lane, V::splat(simd, value)) };
                }
            }
        }
    }

    #[inline(always)]
    fn zip<S: Simd>(&self, simd: S, views: [&View; 3], f: impl Binary2) {
        let mut runs = Runs::new(views);
        let (len, [ys, sa, sb]) = (runs.len(), runs.steps());
        let [a, b, y, ..] = *self.ops;
        while let Some([yi, ai, bi]) = runs.next() {
            for i in 0..len {
                for lane in (0..LANES).step_by(S::F32_LANES) {
                    // SAFETY: promised by the caller of `work`.
                    unsafe {
                        let v = f.at(a.get(simd, ai + i * sa, lane), b.get(simd, bi + i * sb, lane));
                        y.put(yi + i * ys, lane, v);
                    }
                }
            }
        }
    }

    /// Sums: along the last axis in a register, else into the results in place.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, views: [&View; 3], dot: bool) {
        let mut runs = Runs::new(views);
        let (len, [ys, sa, sb]) = (runs.len(), runs.steps());
        let [a, b, y, ..] = *self.ops;
        while let Some([yi, ai, bi]) = runs.next() {
            for lane in (0..LANES).step_by(S::F32_LANES) {
                // SAFETY: promised by the caller of `work`.
                unsafe {
                    let mut sum = y.get(simd, yi, lane);
                    for i in 0..len {
                        if ys != 0 {
                            sum = y.get(simd, yi + i * ys, lane);
                        }
                        let x = a.get(simd, ai + i * sa, lane);
                        sum = if dot { x.fma(b.get(simd, bi + i * sb, lane), sum) } else { sum.add(x) };
                        if ys != 0 {
                            y.put(yi + i * ys, lane, sum);
                        }
                    }
                    if ys == 0 {
                        y.put(yi, lane, sum);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn select<S: Simd>(&self, simd: S, views: [&View; 4]) {
        let mut runs = Runs::new(views);
        let (len, [ys, sc, sa, sb]) = (runs.len(), runs.steps());
        let [c, a, b, y, _] = *self.ops;
        while let Some([yi, ci, ai, bi]) = runs.next() {
            for i in 0..len {
                for lane in (0..LANES).step_by(S::F32_LANES) {
                    // SAFETY: promised by the caller of `work`.
                    unsafe {
                        let (a, b) = (a.get(simd, ai + i * sa, lane), b.get(simd, bi + i * sb, lane));
                        y.put(yi + i * ys, lane, c.get(simd, ci + i * sc, lane).choose(a, b));
                    }
                }
            }
        }
    }
}

impl WithSimd for Other<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        match self.kind {
            Kind::Fill { value, y } => self.fill(s, y, self.ops[0], *value),
            Kind::Zip { op, pre, y, a, b } => {
                let views = [y, a, b];
                match (op, pre) {
                    (Binary::Add, None) => self.zip(s, views, Add {}),
                    (Binary::Sub, None) => self.zip(s, views, Sub {}),
                    (Binary::Mul, None) => self.zip(s, views, Mul {}),
                    (Binary::Div, None) => self.zip(s, views, Div {}),
                    (Binary::Max, None) => self.zip(s, views, Larger {}),
                    (Binary::Less, None) => self.zip(s, views, Below {}),
                    (Binary::GreaterEq, None) => self.zip(s, views, NotBelow {}),
                    (Binary::Equal, None) => self.zip(s, views, Alike {}),
                    (Binary::Mul, Some(f)) => visit(*f, Times { simd: s, other: &self, views }),
                    (Binary::Add, Some(Func::Affine(Num(scale), Num(shift)))) => {
                        let f = Affine { scale: *scale as f32, shift: *shift as f32 };
                        self.zip(s, views, After(Add {}, f))
                    }
                    (Binary::Sub, Some(Func::Affine(Num(scale), Num(shift)))) => {
                        let f = Affine { scale: *scale as f32, shift: *shift as f32 };
                        self.zip(s, views, After(Sub {}, f))
                    }
                    (op, Some(f)) => self.zip(s, views, AnyWith { op: *op, f: *f }),
                }
            }
            Kind::Select { y, c, a, b } => self.select(s, [y, c, a, b]),
            Kind::Sum { dot, y, a, b } => {
                let mut kept = *y;
                for i in 0..MAX_RANK {
                    if kept.strides[i] == 0 {
                        kept.dims[i] = 1;
                    }
                }
                self.fill(s, &kept, self.ops[2], 0.0);
                self.sum(s, [y, a, b], *dot);
            }
            Kind::Own { kernel, views } => {
                let block = LaneBlock { operands: &self.ops[..views.len()], views, task: self.task };
                // SAFETY: promised by the caller of `work`.
                unsafe { kernel.lanes(s, &block) }
            }
            Kind::Map { .. } | Kind::Product { .. } => {}
        }
    }
}
