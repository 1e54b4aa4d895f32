//! Blocks of a region at work, for sixteen tasks at once. Everything is inlined into three functions that `pulp`
//! compiles for each kind of processor; hence functions are types and not closures, which would not be.

use std::iter::zip;

use pulp::{Arch, Simd, WithSimd};

use super::lanes::{Kind, Work};
use super::math::{LANES, Lane, V};
use super::product::{Product, Source};
use crate::graph::op::{Binary, Func, Num};
use crate::kernel::pointwise::{binary, func};
use crate::plan::View;
use crate::plan::region::DEPTH;
use crate::plan::view::for_each;
use crate::spec::{Activation, MAX_RANK};

/// An operand: vectors, or numbers for all lanes.
#[derive(Clone, Copy)]
struct Operand {
    lanes: *mut Lane,
    shared: *const f32,
    is_shared: bool,
}

impl Operand {
    /// The lanes from `lane` on of an element.
    ///
    /// # Safety
    /// The element exists.
    #[inline(always)]
    unsafe fn get<S: Simd>(self, simd: S, at: usize, lane: usize) -> V<S> {
        // SAFETY: promised by the caller.
        let x = unsafe {
            if self.is_shared {
                simd.splat_f32s(*self.shared.add(at))
            } else {
                self.lanes.add(at).cast::<f32>().add(lane).cast::<S::f32s>().read_unaligned()
            }
        };
        V { simd, x }
    }

    /// # Safety
    /// The element exists and is not shared.
    #[inline(always)]
    unsafe fn put<S: Simd>(self, at: usize, lane: usize, v: V<S>) {
        // SAFETY: promised by the caller.
        unsafe { self.lanes.add(at).cast::<f32>().add(lane).cast::<S::f32s>().write_unaligned(v.x) }
    }

    fn source(self, at: usize, (row, col): (usize, usize)) -> Source {
        let (lanes, shared) = (self.lanes.wrapping_add(at).cast_const(), self.shared.wrapping_add(at));
        Source { lanes, shared, is_shared: self.is_shared, row, col }
    }
}

/// Runs a block.
///
/// # Safety
/// Its operands lie inside the arena and the shared operands, and its results overlap no other operand (or
/// are the same elements).
pub(super) unsafe fn work(arch: Arch, w: &Work, turns: [usize; DEPTH], arena: *mut Lane, shared: &[&[f32]]) {
    let mut ops = [Operand { lanes: arena, shared: std::ptr::null(), is_shared: false }; 5];
    for (op, s) in ops.iter_mut().zip(&w.spots) {
        let moved: isize = zip(s.steps, turns).map(|(s, i)| s * i as isize).sum();
        let at = (s.base as isize + moved) as usize;
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
            let target = ops[w.spots.len() - 1];
            for_each([y, a, b, c], |[yi, ai, bi, ci]| {
                arch.dispatch(ProductOf(Product {
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
        kind => arch.dispatch(Other { kind, ops: &ops }),
    }
}

struct ProductOf(Product);

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
    done: bool,
}

impl<'v, const N: usize> Runs<'v, N> {
    #[inline(always)]
    fn new(views: [&'v View; N]) -> Runs<'v, N> {
        let mut at = [0; N];
        for v in 0..N {
            at[v] = views[v].offset;
        }
        Runs { views, at, index: [0; MAX_RANK], done: false }
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
        if self.done {
            return None;
        }
        let now = self.at;
        self.advance();
        Some(now)
    }

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
        self.done = true;
    }
}

/// Elements of a function that are computed side by side.
const SIDE_BY_SIDE: usize = 4;

/// A function of one register.
trait Unary: Copy {
    fn at<S: Simd>(self, x: V<S>) -> V<S>;
}

/// A function of two.
trait Binary2: Copy {
    fn at<S: Simd>(self, a: V<S>, b: V<S>) -> V<S>;
}

macro_rules! functions {
    ($trait:ident: $($name:ident($($field:ident: $ty:ty),*)($($x:ident),*) = $value:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            struct $name { $($field: $ty,)* }

            impl $trait for $name {
                #[inline(always)]
                fn at<S: Simd>(self, $($x: V<S>),*) -> V<S> {
                    let $name { $($field,)* } = self;
                    $value
                }
            }
        )*
    };
}

functions! { Unary:
    Same()(x) = x;
    Relu()(x) = x.relu();
    Leaky()(x) = x.leaky();
    Tanh()(x) = x.tanh();
    Sigmoid()(x) = x.sigmoid();
    Silu()(x) = x.silu();
    SiluSlope()(x) = x.silu_slope();
    Gelu()(x) = x.gelu();
    ReluSlope()(x) = x.relu_slope();
    LeakySlope()(x) = x.leaky_slope();
    TanhSlope()(x) = x.tanh_slope();
    SigmoidSlope()(x) = x.sigmoid_slope();
    Scale(scale: f32)(x) = x.mul(x.of(scale));
    Affine(scale: f32, shift: f32)(x) = x.mul(x.of(scale)).add(x.of(shift));
    Exp()(x) = x.exp();
    Sqrt()(x) = x.sqrt();
    Rsqrt()(x) = x.of(1.0).div(x.sqrt());
    Recip()(x) = x.of(1.0).div(x);
    Any(f: Func)(x) = x.each(|v| func(f, v));
}

functions! { Binary2:
    Add()(a, b) = a.add(b);
    Sub()(a, b) = a.sub(b);
    Mul()(a, b) = a.mul(b);
    Div()(a, b) = a.div(b);
    AnyOf(op: Binary)(a, b) = a.both(b, |a, b| binary(op, a, b));
    AnyWith(op: Binary, f: Func)(a, b) = a.both(b, |a, b| binary(op, a, func(f, b)));
}

/// `f(a, g(b))`
#[derive(Clone, Copy)]
struct After<F, G>(F, G);

impl<F: Binary2, G: Unary> Binary2 for After<F, G> {
    #[inline(always)]
    fn at<S: Simd>(self, a: V<S>, b: V<S>) -> V<S> {
        self.0.at(a, self.1.at(b))
    }
}

struct MapOf<'v> {
    func: Func,
    y: &'v View,
    x: &'v View,
    to: Operand,
    from: Operand,
}

impl MapOf<'_> {
    #[inline(always)]
    fn by<S: Simd>(&self, simd: S, f: impl Unary) {
        let mut runs = Runs::new([self.y, self.x]);
        let (len, [ys, xs]) = (runs.len(), runs.steps());
        // Functions are long chains of operations: several side by side keep the processor busy.
        let whole = len - len % SIDE_BY_SIDE;
        while let Some([yi, xi]) = runs.next() {
            for lane in (0..LANES).step_by(S::F32_LANES) {
                // SAFETY: promised by the caller of `work`.
                unsafe {
                    for i in (0..whole).step_by(SIDE_BY_SIDE) {
                        let mut y = [V::splat(simd, 0.0); SIDE_BY_SIDE];
                        for k in 0..SIDE_BY_SIDE {
                            y[k] = f.at(self.from.get(simd, xi + (i + k) * xs, lane));
                        }
                        for k in 0..SIDE_BY_SIDE {
                            self.to.put(yi + (i + k) * ys, lane, y[k]);
                        }
                    }
                    for i in whole..len {
                        self.to.put(yi + i * ys, lane, f.at(self.from.get(simd, xi + i * xs, lane)));
                    }
                }
            }
        }
    }
}

impl WithSimd for MapOf<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        use Activation as A;
        match self.func {
            Func::Act(A::Identity, 0) => self.by(s, Same {}),
            Func::Act(A::Relu, 0) => self.by(s, Relu {}),
            Func::Act(A::LeakyRelu, 0) => self.by(s, Leaky {}),
            Func::Act(A::Tanh, 0) => self.by(s, Tanh {}),
            Func::Act(A::Sigmoid, 0) => self.by(s, Sigmoid {}),
            Func::Act(A::Silu, 0) => self.by(s, Silu {}),
            Func::Act(A::Silu, 1) => self.by(s, SiluSlope {}),
            Func::Act(A::Gelu, 0) => self.by(s, Gelu {}),
            Func::Slope(A::Tanh) => self.by(s, TanhSlope {}),
            Func::Slope(A::Sigmoid) => self.by(s, SigmoidSlope {}),
            Func::Slope(A::Relu) => self.by(s, ReluSlope {}),
            Func::Slope(A::LeakyRelu) => self.by(s, LeakySlope {}),
            Func::Affine(Num(1.0), Num(0.0)) => self.by(s, Same {}),
            Func::Affine(Num(a), Num(0.0)) => self.by(s, Scale { scale: a as f32 }),
            Func::Affine(Num(a), Num(b)) => self.by(s, Affine { scale: a as f32, shift: b as f32 }),
            Func::Exp => self.by(s, Exp {}),
            Func::Sqrt => self.by(s, Sqrt {}),
            Func::Rsqrt => self.by(s, Rsqrt {}),
            Func::Recip => self.by(s, Recip {}),
            f => self.by(s, Any { f }),
        }
    }
}

/// All but products and functions of one value.
struct Other<'w> {
    kind: &'w Kind,
    ops: &'w [Operand; 5],
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

    /// Largest number of a row, and the logarithm of the sum of exponentials below it.
    #[inline(always)]
    fn log_sum_exp<S: Simd>(
        &self,
        simd: S,
        from: usize,
        step: usize,
        classes: usize,
        lane: usize,
    ) -> [V<S>; 2] {
        let x = self.ops[0];
        // SAFETY: promised by the caller of `work`.
        unsafe {
            let mut max = x.get(simd, from, lane);
            for j in 1..classes {
                max = max.larger(x.get(simd, from + j * step, lane));
            }
            let mut sum = V::splat(simd, 0.0);
            for j in 0..classes {
                sum = sum.add(x.get(simd, from + j * step, lane).sub(max).exp());
            }
            [max, sum.ln()]
        }
    }

    #[inline(always)]
    fn log_softmax<S: Simd>(&self, simd: S, y: &View, x: &View) {
        let (rows, classes) = (y.dims[MAX_RANK - 2], y.dims[LAST]);
        for i in 0..rows {
            let (from, to) = (i * x.strides[MAX_RANK - 2], i * y.strides[MAX_RANK - 2]);
            for lane in (0..LANES).step_by(S::F32_LANES) {
                let [max, log] = self.log_sum_exp(simd, from, x.strides[LAST], classes, lane);
                for j in 0..classes {
                    // SAFETY: promised by the caller of `work`.
                    unsafe {
                        let v = self.ops[0].get(simd, from + j * x.strides[LAST], lane);
                        self.ops[1].put(to + j * y.strides[LAST], lane, v.sub(max).sub(log));
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn cross_entropy<S: Simd>(&self, simd: S, y: &View, x: &View, p: &View) {
        let (rows, classes) = (x.dims[MAX_RANK - 2], x.dims[LAST]);
        for i in 0..rows {
            let (from, at) = (i * x.strides[MAX_RANK - 2], i * p.strides[MAX_RANK - 2]);
            for lane in (0..LANES).step_by(S::F32_LANES) {
                let [max, log] = self.log_sum_exp(simd, from, x.strides[LAST], classes, lane);
                let zero = V::splat(simd, 0.0);
                let mut sum = zero;
                // SAFETY: promised by the caller of `work`.
                unsafe {
                    for j in 0..classes {
                        let v = self.ops[0].get(simd, from + j * x.strides[LAST], lane);
                        let p = self.ops[1].get(simd, at + j * p.strides[LAST], lane);
                        sum = zero.sub(p).fma(v.sub(max).sub(log), sum);
                    }
                    self.ops[2].put(i * y.strides[LAST], lane, sum);
                }
            }
        }
    }
}

impl WithSimd for Other<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        use Activation as A;
        match self.kind {
            Kind::Fill { value, y } => self.fill(s, y, self.ops[0], *value),
            Kind::Zip { op, pre, y, a, b } => {
                let views = [y, a, b];
                match (op, pre) {
                    (Binary::Add, None) => self.zip(s, views, Add {}),
                    (Binary::Sub, None) => self.zip(s, views, Sub {}),
                    (Binary::Mul, None) => self.zip(s, views, Mul {}),
                    (Binary::Div, None) => self.zip(s, views, Div {}),
                    (Binary::Mul, Some(Func::Slope(A::Tanh))) => {
                        self.zip(s, views, After(Mul {}, TanhSlope {}))
                    }
                    (Binary::Mul, Some(Func::Slope(A::Sigmoid))) => {
                        self.zip(s, views, After(Mul {}, SigmoidSlope {}))
                    }
                    (Binary::Mul, Some(Func::Slope(A::Relu))) => {
                        self.zip(s, views, After(Mul {}, ReluSlope {}))
                    }
                    (Binary::Mul, Some(Func::Slope(A::LeakyRelu))) => {
                        self.zip(s, views, After(Mul {}, LeakySlope {}))
                    }
                    (Binary::Mul, Some(Func::Act(A::Silu, 1))) => {
                        self.zip(s, views, After(Mul {}, SiluSlope {}))
                    }
                    (Binary::Add, Some(Func::Affine(Num(scale), Num(shift)))) => {
                        let f = Affine { scale: *scale as f32, shift: *shift as f32 };
                        self.zip(s, views, After(Add {}, f))
                    }
                    (Binary::Sub, Some(Func::Affine(Num(scale), Num(shift)))) => {
                        let f = Affine { scale: *scale as f32, shift: *shift as f32 };
                        self.zip(s, views, After(Sub {}, f))
                    }
                    (op, None) => self.zip(s, views, AnyOf { op: *op }),
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
            Kind::LogSoftmax { y, x } => self.log_softmax(s, y, x),
            Kind::CrossEntropy { y, x, p } => self.cross_entropy(s, y, x, p),
            Kind::Map { .. } | Kind::Product { .. } => {}
        }
    }
}
