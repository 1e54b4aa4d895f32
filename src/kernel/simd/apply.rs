//! Functions as types, so that what runs them is compiled for each, for each kind of processor.

use pulp::{Arch, Simd, WithSimd};

use super::V;
use crate::graph::op::{Binary, Func, Num};
use crate::kernel::pointwise::{binary, func};
use crate::spec::Activation;

/// A function of one register.
pub(crate) trait Unary: Copy {
    fn at<S: Simd>(self, x: V<S>) -> V<S>;
}

/// A function of two.
pub(crate) trait Binary2: Copy {
    fn at<S: Simd>(self, a: V<S>, b: V<S>) -> V<S>;
}

macro_rules! functions {
    ($trait:ident: $($name:ident($($field:ident: $ty:ty),*)($($x:ident),*) = $value:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            pub(crate) struct $name { $(pub(crate) $field: $ty,)* }

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
    Softplus()(x) = x.softplus();
    Silu()(x) = x.silu();
    Gelu()(x) = x.gelu();
    Sin(k: u8)(x) = x.sin_quarter(k);
    ReluSlope()(x) = x.relu_slope();
    LeakySlope()(x) = x.leaky_slope();
    TanhSlope()(x) = x.tanh_slope();
    SigmoidSlope()(x) = x.sigmoid_slope();
    TanhDerivative(k: u8)(x) = x.tanh_derivative(k);
    SigmoidDerivative(k: u8)(x) = x.sigmoid_derivative(k);
    SiluDerivative(k: u8)(x) = x.silu_derivative(k);
    GeluDerivative(k: u8)(x) = x.gelu_derivative(k);
    Scale(scale: f32)(x) = x.mul(x.of(scale));
    Affine(scale: f32, shift: f32)(x) = x.mul(x.of(scale)).add(x.of(shift));
    Exp()(x) = x.exp();
    Log()(x) = x.ln();
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
    Larger()(a, b) = a.larger(b);
    Below()(a, b) = a.below(b);
    NotBelow()(a, b) = a.not_below(b);
    Alike()(a, b) = a.alike(b);
    AnyOf(op: Binary)(a, b) = a.both(b, |a, b| binary(op, a, b));
    AnyWith(op: Binary, f: Func)(a, b) = a.both(b, |a, b| binary(op, a, func(f, b)));
}

/// `f(a, g(b))`
#[derive(Clone, Copy)]
pub(crate) struct After<F, G>(pub(crate) F, pub(crate) G);

impl<F: Binary2, G: Unary> Binary2 for After<F, G> {
    #[inline(always)]
    fn at<S: Simd>(self, a: V<S>, b: V<S>) -> V<S> {
        self.0.at(a, self.1.at(b))
    }
}

/// What is done with a function.
pub(crate) trait Visit {
    fn with(self, f: impl Unary);
}

/// Finds the type of a function.
#[inline(always)]
pub(crate) fn visit(f: Func, v: impl Visit) {
    use Activation as A;
    let f = match f {
        Func::Slope(a) if !matches!(a, A::Tanh | A::Sigmoid) => Func::Act(a, 1),
        Func::Act(A::Softplus, k) if k > 0 => Func::Act(A::Sigmoid, k - 1),
        f => f,
    };
    match f {
        Func::Act(A::Identity, 0) => v.with(Same {}),
        Func::Act(A::Relu, 0) => v.with(Relu {}),
        Func::Act(A::Relu, 1) => v.with(ReluSlope {}),
        Func::Act(A::LeakyRelu, 0) => v.with(Leaky {}),
        Func::Act(A::LeakyRelu, 1) => v.with(LeakySlope {}),
        Func::Act(A::Tanh, 0) => v.with(Tanh {}),
        Func::Act(A::Tanh, k) => v.with(TanhDerivative { k }),
        Func::Act(A::Sigmoid, 0) => v.with(Sigmoid {}),
        Func::Act(A::Sigmoid, k) => v.with(SigmoidDerivative { k }),
        Func::Act(A::Softplus, 0) => v.with(Softplus {}),
        Func::Act(A::Silu, 0) => v.with(Silu {}),
        Func::Act(A::Silu, k) => v.with(SiluDerivative { k }),
        Func::Act(A::Gelu, 0) => v.with(Gelu {}),
        Func::Act(A::Gelu, k) => v.with(GeluDerivative { k }),
        Func::Act(A::Sin, k) => v.with(Sin { k }),
        Func::Slope(A::Tanh) => v.with(TanhSlope {}),
        Func::Slope(A::Sigmoid) => v.with(SigmoidSlope {}),
        Func::Affine(Num(1.0), Num(0.0)) => v.with(Same {}),
        Func::Affine(Num(a), Num(0.0)) => v.with(Scale { scale: a as f32 }),
        Func::Affine(Num(a), Num(b)) => v.with(Affine { scale: a as f32, shift: b as f32 }),
        Func::Exp => v.with(Exp {}),
        Func::Log => v.with(Log {}),
        Func::Sqrt => v.with(Sqrt {}),
        Func::Rsqrt => v.with(Rsqrt {}),
        Func::Recip => v.with(Recip {}),
        f => v.with(Any { f }),
    }
}

/// Elements of a function that are computed side by side: functions are long chains of operations, and several keep the
/// processor busy.
pub(crate) const SIDE_BY_SIDE: usize = 4;

/// Numbers of the widest registers.
pub(crate) const WIDEST: usize = 16;

/// Applies a function to numbers in place.
pub(crate) fn apply(f: Func, xs: &mut [f32]) {
    Arch::new().dispatch(Slice { f, xs });
}

/// A first operand: numbers side by side, or one for all.
#[derive(Clone, Copy)]
pub(crate) enum First<'x> {
    Row(&'x [f32]),
    One(f32),
}

/// Puts `op(a, y)` in the place of each y.
pub(crate) fn apply_after(op: Binary, a: First<'_>, ys: &mut [f32]) {
    Arch::new().dispatch(Pairs { op, a, ys });
}

struct Pairs<'x> {
    op: Binary,
    a: First<'x>,
    ys: &'x mut [f32],
}

impl WithSimd for Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.op {
            Binary::Add => self.put(simd, Add {}),
            Binary::Sub => self.put(simd, Sub {}),
            Binary::Mul => self.put(simd, Mul {}),
            Binary::Div => self.put(simd, Div {}),
            Binary::Max => self.put(simd, Larger {}),
            Binary::Less => self.put(simd, Below {}),
            Binary::GreaterEq => self.put(simd, NotBelow {}),
            Binary::Equal => self.put(simd, Alike {}),
        }
    }
}

impl Pairs<'_> {
    #[inline(always)]
    fn put<S: Simd>(self, simd: S, f: impl Binary2) {
        let (lanes, n) = (S::F32_LANES, self.ys.len());
        let (row, one) = match self.a {
            First::Row(row) => (Some(&row[..n]), 0.0),
            First::One(one) => (None, one),
        };
        let one = V::splat(simd, one);
        let ys = self.ys.as_mut_ptr();
        let mut i = 0;
        while i + lanes <= n {
            // SAFETY: the numbers from i to i + 1 register are there, of a row as well.
            unsafe {
                let a = match row {
                    Some(row) => V::load(simd, row.as_ptr().add(i)),
                    None => one,
                };
                f.at(a, V::load(simd, ys.add(i))).store(ys.add(i));
            }
            i += lanes;
        }
        if i < n {
            let mut last = [[1.0; WIDEST]; 2];
            last[1][..n - i].copy_from_slice(&self.ys[i..]);
            if let Some(row) = row {
                last[0][..n - i].copy_from_slice(&row[i..]);
            }
            // SAFETY: the widest register fits.
            unsafe {
                let a = if row.is_some() { V::load(simd, last[0].as_ptr()) } else { one };
                f.at(a, V::load(simd, last[1].as_ptr())).store(last[1].as_mut_ptr());
            }
            self.ys[i..].copy_from_slice(&last[1][..n - i]);
        }
    }
}

pub(super) struct Slice<'x> {
    pub(super) f: Func,
    pub(super) xs: &'x mut [f32],
}

impl WithSimd for Slice<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        visit(self.f, InPlace { simd, xs: self.xs });
    }
}

struct InPlace<'x, S> {
    simd: S,
    xs: &'x mut [f32],
}

impl<S: Simd> Visit for InPlace<'_, S> {
    #[inline(always)]
    fn with(self, f: impl Unary) {
        let (simd, lanes, n) = (self.simd, S::F32_LANES, self.xs.len());
        let xs = self.xs.as_mut_ptr();
        // By index and pointer: iterators are calls of their own here.
        let mut i = 0;
        while i + SIDE_BY_SIDE * lanes <= n {
            let mut y = [V::splat(simd, 0.0); SIDE_BY_SIDE];
            let mut k = 0;
            while k < SIDE_BY_SIDE {
                // SAFETY: the numbers from i to i + 4 registers are there.
                y[k] = f.at(unsafe { V::load(simd, xs.add(i + k * lanes)) });
                k += 1;
            }
            k = 0;
            while k < SIDE_BY_SIDE {
                // SAFETY: as above.
                unsafe { y[k].store(xs.add(i + k * lanes)) };
                k += 1;
            }
            i += SIDE_BY_SIDE * lanes;
        }
        while i + lanes <= n {
            // SAFETY: the numbers from i to i + 1 register are there.
            unsafe { f.at(V::load(simd, xs.add(i))).store(xs.add(i)) };
            i += lanes;
        }
        if i < n {
            // Beside numbers for which no function is slow.
            let mut last = [1.0; WIDEST];
            last[..n - i].copy_from_slice(&self.xs[i..]);
            // SAFETY: the widest register fits.
            unsafe { f.at(V::load(simd, last.as_ptr())).store(last.as_mut_ptr()) };
            self.xs[i..].copy_from_slice(&last[..n - i]);
        }
    }
}
