//! Some tasks' numbers in one register, and the pointwise functions on them, without branches. The formulas are
//! those of `pointwise`; functions that are not here run lane by lane through `pointwise` itself.

use pulp::Simd;

use crate::kernel::pointwise::{GELU_A, GELU_C, LEAK};

/// Tasks that are computed at once: a register of the widest processors, several of others.
pub(crate) const LANES: usize = 16;

/// One element of sixteen tasks.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lane(pub(super) [f32; LANES]);

impl Lane {
    pub(super) const ZERO: Lane = Lane([0.0; LANES]);
}

/// A register of numbers.
#[derive(Clone, Copy)]
pub(super) struct V<S: Simd> {
    pub(super) simd: S,
    pub(super) x: S::f32s,
}

impl<S: Simd> V<S> {
    #[inline(always)]
    pub(super) fn splat(simd: S, x: f32) -> V<S> {
        V { simd, x: simd.splat_f32s(x) }
    }

    #[inline(always)]
    pub(super) fn of(self, x: f32) -> V<S> {
        V::splat(self.simd, x)
    }

    #[inline(always)]
    fn with(self, x: S::f32s) -> V<S> {
        V { x, ..self }
    }

    #[inline(always)]
    pub(super) fn add(self, o: V<S>) -> V<S> {
        self.with(self.simd.add_f32s(self.x, o.x))
    }

    #[inline(always)]
    pub(super) fn sub(self, o: V<S>) -> V<S> {
        self.with(self.simd.sub_f32s(self.x, o.x))
    }

    #[inline(always)]
    pub(super) fn mul(self, o: V<S>) -> V<S> {
        self.with(self.simd.mul_f32s(self.x, o.x))
    }

    #[inline(always)]
    pub(super) fn div(self, o: V<S>) -> V<S> {
        self.with(self.simd.div_f32s(self.x, o.x))
    }

    /// `self · a + b`, fused where the processor has that in hardware.
    #[inline(always)]
    pub(super) fn fma(self, a: V<S>, b: V<S>) -> V<S> {
        self.with(self.simd.mul_add_e_f32s(self.x, a.x, b.x))
    }

    #[inline(always)]
    fn abs(self) -> V<S> {
        self.with(self.simd.abs_f32s(self.x))
    }

    #[inline(always)]
    pub(super) fn sqrt(self) -> V<S> {
        self.with(self.simd.sqrt_f32s(self.x))
    }

    #[inline(always)]
    fn bits(self) -> S::u32s {
        self.simd.transmute_u32s_f32s(self.x)
    }

    #[inline(always)]
    fn of_bits(self, bits: S::u32s) -> V<S> {
        self.with(self.simd.transmute_f32s_u32s(bits))
    }

    /// `a` where `self < b`, else `c`.
    #[inline(always)]
    fn if_below(self, b: V<S>, a: V<S>, c: V<S>) -> V<S> {
        let mask = self.simd.less_than_f32s(self.x, b.x);
        self.with(self.simd.select_f32s(mask, a.x, c.x))
    }

    /// `a` where `self > b`, else `c`.
    #[inline(always)]
    fn if_above(self, b: V<S>, a: V<S>, c: V<S>) -> V<S> {
        b.if_below(self, a, c)
    }

    /// `x` where that is not a number, else `self`.
    #[inline(always)]
    fn nan_of(self, x: V<S>) -> V<S> {
        let number = self.simd.equal_f32s(x.x, x.x);
        self.with(self.simd.select_f32s(number, self.x, x.x))
    }

    /// `a` where `self` is not 0, else `b`.
    #[inline(always)]
    pub(super) fn choose(self, a: V<S>, b: V<S>) -> V<S> {
        let zero = self.simd.equal_f32s(self.x, self.of(0.0).x);
        self.with(self.simd.select_f32s(zero, b.x, a.x))
    }

    /// The larger; NaN where either is none.
    #[inline(always)]
    pub(super) fn larger(self, o: V<S>) -> V<S> {
        self.if_below(o, o, self).nan_of(o)
    }

    #[inline(always)]
    fn within(self, low: f32, high: f32) -> V<S> {
        let (low, high) = (self.of(low), self.of(high));
        let x = self.if_below(low, low, self);
        x.if_above(high, high, x)
    }

    #[inline(always)]
    fn with_sign(self, of: V<S>) -> V<S> {
        let s = self.simd;
        let sign = s.and_u32s(of.bits(), s.splat_u32s(0x8000_0000));
        self.of_bits(s.or_u32s(self.bits(), sign))
    }

    /// `ln x`, lane by lane.
    #[inline(always)]
    pub(super) fn ln(self) -> V<S> {
        self.each(f32::ln)
    }

    /// Any function, lane by lane.
    #[inline(always)]
    pub(super) fn each(self, f: impl Fn(f32) -> f32) -> V<S> {
        let mut y = self;
        for x in bytemuck::cast_slice_mut::<S::f32s, f32>(std::slice::from_mut(&mut y.x)) {
            *x = f(*x);
        }
        y
    }

    /// Any function of two, lane by lane.
    #[inline(always)]
    pub(super) fn both(self, o: V<S>, f: impl Fn(f32, f32) -> f32) -> V<S> {
        let mut y = self;
        let others = bytemuck::cast_slice::<S::f32s, f32>(std::slice::from_ref(&o.x));
        let ys = bytemuck::cast_slice_mut::<S::f32s, f32>(std::slice::from_mut(&mut y.x));
        for (x, o) in ys.iter_mut().zip(others) {
            *x = f(*x, *o);
        }
        y
    }

    /// `e^x = p 2^n`: x = n ln 2 + r with |r| <= ln 2 / 2, and p the polynomial of Cephes' `expf` for e^r.
    #[inline(always)]
    fn exp_parts(self) -> (V<S>, S::u32s) {
        let magic = self.of(12_582_912.0); // 1.5 * 2^23: adding it rounds to an integer
        let shifted = self.fma(self.of(std::f32::consts::LOG2_E), magic);
        let n = shifted.sub(magic);
        let r = n.fma(self.of(-0.693_359_4), self);
        let r = n.fma(self.of(2.121_944_4e-4), r);
        let p =
            r.polynomial([1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_5e-2, 1.666_666_5e-1, 0.5]);
        let p = p.fma(r.mul(r), r.add(self.of(1.0)));
        (p, self.simd.sub_u32s(shifted.bits(), magic.bits()))
    }

    /// `2^n` for n from -126 to 127.
    #[inline(always)]
    fn power(self, n: S::u32s) -> V<S> {
        let s = self.simd;
        self.of_bits(s.wrapping_dyn_shl_u32s(s.add_u32s(n, s.splat_u32s(127)), s.splat_u32s(23)))
    }

    /// `e^x`, its power of two in two factors, so that the ends of the range come out right.
    #[inline(always)]
    pub(super) fn exp(self) -> V<S> {
        let (p, whole) = self.within(-105.0, 90.0).exp_parts();
        let s = self.simd;
        // n from -152 to 130 in two halves; offset by 256 where it is halved, since words have no sign.
        let half = s.wrapping_dyn_shr_u32s(s.add_u32s(whole, s.splat_u32s(256)), s.splat_u32s(1));
        let half = s.sub_u32s(half, s.splat_u32s(128));
        let rest = s.sub_u32s(whole, half);
        p.mul(self.power(half)).mul(self.power(rest)).nan_of(self)
    }

    /// `c₀ + c₁ s + …`, the highest power first.
    #[inline(always)]
    fn polynomial<const N: usize>(self, c: [f32; N]) -> V<S> {
        let mut p = self.of(c[0]);
        for k in 1..N {
            p = p.fma(self, self.of(c[k]));
        }
        p
    }

    /// `x P(x²) / Q(x²)` with |error| below half a unit up to 9, where tanh is 1; below 1 as `x + x (P - Q) / Q`, which
    /// loses nothing. A rational approximation fitted for this (least squares, weights after Lawson 1961); it takes
    /// two thirds of the time that the exponential takes.
    #[inline(always)]
    pub(super) fn tanh(self) -> V<S> {
        let (a, s, one, zero) = (self.abs(), self.mul(self), self.of(1.0), self.of(0.0));
        let p = s.polynomial([1.368_165e-8, 2.086_843_8e-5, 3.512_386_6e-3, 0.133_955_21, 1.0]);
        let q = s.polynomial([7.917_249e-7, 3.312_372_6e-4, 2.594_197_8e-2, 0.467_288_54, 1.0]);
        let d = s.polynomial([-7.780_432e-7, -3.103_688e-4, -2.242_959e-2, -0.333_333_3]);
        let ratio = a.if_below(one, d.mul(s), p).div(q);
        let y = a.fma(ratio, a.if_below(one, a, zero));
        let y = y.if_above(one, one, y);
        a.if_above(self.of(9.0), one, y).with_sign(self)
    }

    #[inline(always)]
    pub(super) fn sigmoid(self) -> V<S> {
        let one = self.of(1.0);
        let t = self.of(-1.0).mul(self.abs()).exp();
        self.if_below(self.of(0.0), t, one).div(one.add(t))
    }

    #[inline(always)]
    pub(super) fn relu(self) -> V<S> {
        self.if_above(self.of(0.0), self, self.of(0.0)).nan_of(self)
    }

    #[inline(always)]
    pub(super) fn relu_slope(self) -> V<S> {
        self.if_above(self.of(0.0), self.of(1.0), self.of(0.0)).nan_of(self)
    }

    #[inline(always)]
    pub(super) fn leaky(self) -> V<S> {
        self.if_below(self.of(0.0), self.mul(self.of(LEAK as f32)), self)
    }

    #[inline(always)]
    pub(super) fn leaky_slope(self) -> V<S> {
        self.if_above(self.of(0.0), self.of(1.0), self.of(LEAK as f32)).nan_of(self)
    }

    #[inline(always)]
    pub(super) fn tanh_slope(self) -> V<S> {
        self.of(1.0).sub(self).mul(self.of(1.0).add(self))
    }

    #[inline(always)]
    pub(super) fn sigmoid_slope(self) -> V<S> {
        self.mul(self.of(1.0).sub(self))
    }

    /// `x sigmoid(x)`; 0 below -90, where it would be a denormal.
    #[inline(always)]
    pub(super) fn silu(self) -> V<S> {
        self.if_below(self.of(-90.0), self.of(0.0), self.mul(self.sigmoid()))
    }

    #[inline(always)]
    pub(super) fn silu_slope(self) -> V<S> {
        let c = self.within(-90.0, 90.0);
        let s = c.sigmoid();
        let rest = self.of(0.0).sub(c).sigmoid();
        c.fma(s.mul(rest), s)
    }

    #[inline(always)]
    pub(super) fn gelu(self) -> V<S> {
        let b = self.within(-8.0, 8.0);
        let u = b.mul(b.mul(b).fma(self.of((GELU_C * GELU_A) as f32), self.of(GELU_C as f32)));
        let y = b.mul(u.add(u).sigmoid());
        self.if_above(self.of(8.0), self, y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::real::Real;
    use crate::kernel::{Bounded, pointwise};
    use crate::spec::Activation;

    /// A function on one number, on whatever processor this is.
    struct One<F>(f32, F);

    trait Function {
        fn at<S: Simd>(self, x: V<S>) -> V<S>;
    }

    impl<F: Function> pulp::WithSimd for One<F> {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            let y = self.1.at(V::splat(simd, self.0));
            bytemuck::cast_slice::<S::f32s, f32>(std::slice::from_ref(&y.x))[0]
        }
    }

    macro_rules! functions {
        ($($name:ident = $method:ident;)*) => {
            $(
                struct $name;
                impl Function for $name {
                    fn at<S: Simd>(self, x: V<S>) -> V<S> {
                        x.$method()
                    }
                }
            )*
        };
    }
    functions! { Tanh = tanh; Sigmoid = sigmoid; Silu = silu; Gelu = gelu; Exp = exp; Relu = relu; Leaky = leaky; SiluSlope = silu_slope; }

    fn arguments() -> impl Iterator<Item = f32> {
        let grid = (-4000..4000).map(|i| i as f32 * 0.005_003);
        grid.chain([0.0, -0.0, 1e-6, -1e-20, 2e-38, 88.0, 89.0, -87.5, -104.0, 1e4, -1e4, 1e30, -1e30])
    }

    fn agrees<F: Function>(name: &str, f: impl Fn() -> F, exact: impl Fn(Bounded) -> Bounded) {
        for x in arguments() {
            let got = pulp::Arch::new().dispatch(One(x, f()));
            let want = exact(Bounded::exact(f64::from(x)));
            assert!(want.admits(got), "{name}({x}) is {got}, not {want:?}");
        }
        assert!(pulp::Arch::new().dispatch(One(f32::NAN, f())).is_nan(), "{name} of NaN");
    }

    #[test]
    fn functions_are_within_the_bounds_of_the_reference() {
        let act = |a, k| move |x| pointwise::activation(a, k, x);
        agrees("tanh", || Tanh, act(Activation::Tanh, 0));
        agrees("sigmoid", || Sigmoid, act(Activation::Sigmoid, 0));
        agrees("silu", || Silu, act(Activation::Silu, 0));
        agrees("silu'", || SiluSlope, act(Activation::Silu, 1));
        agrees("gelu", || Gelu, act(Activation::Gelu, 0));
        agrees("relu", || Relu, act(Activation::Relu, 0));
        agrees("leaky", || Leaky, act(Activation::LeakyRelu, 0));
        agrees("exp", || Exp, |x| x.exp());
    }
}
