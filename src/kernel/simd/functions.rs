//! The pointwise functions, without branches. The formulas are those of `pointwise` where nothing else is said; arguments
//! for which that does not do are computed lane by lane, whatever the other lanes hold.

use pulp::Simd;

use super::V;
use crate::kernel::pointwise::{GELU_A, GELU_C, LEAK};
use crate::kernel::real::Real;

impl<S: Simd> V<S> {
    /// The integer next to `x scale`, as a number and as a word.
    #[inline(always)]
    fn nearest(self, scale: f32) -> (V<S>, S::u32s) {
        let magic = self.of(12_582_912.0); // 1.5 * 2^23: adding it rounds to an integer
        let shifted = self.fma(self.of(scale), magic);
        (shifted.sub(magic), self.simd.sub_u32s(shifted.bits(), magic.bits()))
    }

    /// `e^x = p 2^n`: x = n ln 2 + r with |r| <= ln 2 / 2, and p the polynomial of Cephes' `expf` for e^r.
    #[inline(always)]
    fn exp_parts(self) -> (V<S>, S::u32s) {
        let (n, whole) = self.nearest(std::f32::consts::LOG2_E);
        let r = n.fma(self.of(-0.693_359_4), self);
        let r = n.fma(self.of(2.121_944_4e-4), r);
        let p =
            r.polynomial([1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_5e-2, 1.666_666_5e-1, 0.5]);
        let p = p.fma(r.mul(r), r.add(self.of(1.0)));
        (p, whole)
    }

    /// `2^n` for n from -126 to 127.
    #[inline(always)]
    fn power(self, n: S::u32s) -> V<S> {
        let s = self.simd;
        self.of_bits(s.wrapping_dyn_shl_u32s(s.add_u32s(n, s.splat_u32s(127)), s.splat_u32s(23)))
    }

    /// `e^x`, its power of two in two factors, so that the ends of the range come out right.
    #[inline(always)]
    pub(crate) fn exp(self) -> V<S> {
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
    pub(crate) fn tanh(self) -> V<S> {
        let (a, s, one, zero) = (self.abs(), self.mul(self), self.of(1.0), self.of(0.0));
        let p = s.polynomial([1.368_165e-8, 2.086_843_8e-5, 3.512_386_6e-3, 0.133_955_21, 1.0]);
        let q = s.polynomial([7.917_249e-7, 3.312_372_6e-4, 2.594_197_8e-2, 0.467_288_54, 1.0]);
        let d = s.polynomial([-7.780_432e-7, -3.103_688e-4, -2.242_959e-2, -0.333_333_3]);
        let ratio = a.if_below(one, d.mul(s), p).div(q);
        let y = a.fma(ratio, a.if_below(one, a, zero));
        let y = y.if_above(one, one, y);
        a.if_above(self.of(9.0), one, y).with_sign(self)
    }

    /// Derivatives from the first to the third. `1 - tanh² = 4 e / (1 + e)²` with `e = e^-2|x|`.
    #[inline(always)]
    pub(crate) fn tanh_derivative(self, k: u8) -> V<S> {
        let (t, one) = (self.tanh(), self.of(1.0));
        let e = self.of(-2.0).mul(self.abs()).exp();
        let s = self.of(4.0).mul(e).div(one.add(e).mul(one.add(e)));
        match k {
            1 => s,
            2 => self.of(-2.0).mul(t).mul(s),
            _ => s.mul(self.of(6.0).mul(t).fma(t, self.of(-2.0))),
        }
    }

    /// `sigmoid(x)` and `sigmoid(-x)`, the difference to 1 without cancellation.
    #[inline(always)]
    fn sigmoids(self) -> [V<S>; 2] {
        let (one, zero) = (self.of(1.0), self.of(0.0));
        let t = self.of(-1.0).mul(self.abs()).exp();
        let below = |a, b| self.if_below(zero, a, b).div(one.add(t));
        [below(t, one), below(one, t)]
    }

    #[inline(always)]
    pub(crate) fn sigmoid(self) -> V<S> {
        self.sigmoids()[0]
    }

    /// Derivatives up to the third.
    #[inline(always)]
    pub(crate) fn sigmoid_derivative(self, k: u8) -> V<S> {
        V::derivative_by_sigmoids(self.sigmoids(), k)
    }

    /// The k-th derivative of sigmoid from its values at x and -x.
    #[inline(always)]
    fn derivative_by_sigmoids([s, q]: [V<S>; 2], k: u8) -> V<S> {
        let slope = s.mul(q);
        match k {
            0 => s,
            1 => slope,
            2 => slope.mul(q.sub(s)),
            _ => slope.mul(s.of(-6.0).fma(slope, s.of(1.0))),
        }
    }

    /// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`
    #[inline(always)]
    pub(crate) fn softplus(self) -> V<S> {
        let t = self.of(-1.0).mul(self.abs()).exp();
        self.relu().add(self.of(1.0).add(t).ln())
    }

    #[inline(always)]
    pub(crate) fn relu(self) -> V<S> {
        self.if_above(self.of(0.0), self, self.of(0.0)).nan_of(self)
    }

    #[inline(always)]
    pub(crate) fn relu_slope(self) -> V<S> {
        self.if_above(self.of(0.0), self.of(1.0), self.of(0.0)).nan_of(self)
    }

    #[inline(always)]
    pub(crate) fn leaky(self) -> V<S> {
        self.if_below(self.of(0.0), self.mul(self.of(LEAK as f32)), self)
    }

    #[inline(always)]
    pub(crate) fn leaky_slope(self) -> V<S> {
        self.if_above(self.of(0.0), self.of(1.0), self.of(LEAK as f32)).nan_of(self)
    }

    #[inline(always)]
    pub(crate) fn tanh_slope(self) -> V<S> {
        self.of(1.0).sub(self).mul(self.of(1.0).add(self))
    }

    #[inline(always)]
    pub(crate) fn sigmoid_slope(self) -> V<S> {
        self.mul(self.of(1.0).sub(self))
    }

    /// `x sigmoid(x)`; 0 below -90, where it would be a denormal.
    #[inline(always)]
    pub(crate) fn silu(self) -> V<S> {
        self.if_below(self.of(-90.0), self.of(0.0), self.mul(self.sigmoid()))
    }

    /// Derivatives from the first to the third, `x σ⁽ᵏ⁾ + k σ⁽ᵏ⁻¹⁾`; clamped where the factors vanish.
    #[inline(always)]
    pub(crate) fn silu_derivative(self, k: u8) -> V<S> {
        let c = self.within(-90.0, 90.0);
        let sigmoids = c.sigmoids();
        let [d, before] = [k, k - 1].map(|k| V::derivative_by_sigmoids(sigmoids, k));
        c.fma(d, self.of(f32::from(k)).mul(before))
    }

    #[inline(always)]
    pub(crate) fn gelu(self) -> V<S> {
        let b = self.within(-8.0, 8.0);
        let u = b.mul(b.mul(b).fma(self.of((GELU_C * GELU_A) as f32), self.of(GELU_C as f32)));
        let y = b.mul(u.add(u).sigmoid());
        self.if_above(self.of(8.0), self, y)
    }

    /// Derivatives from the first to the third: h = tanh u, s = 1 - h² (see `pointwise::gelu`).
    #[inline(always)]
    pub(crate) fn gelu_derivative(self, k: u8) -> V<S> {
        let (c, ca, two, half) = (GELU_C as f32, (GELU_C * GELU_A) as f32, self.of(2.0), self.of(0.5));
        let x = self.within(-8.0, 8.0);
        let x2 = x.mul(x);
        let u = x.mul(x2.fma(self.of(ca), self.of(c)));
        let h = u.tanh();
        let [p, q] = u.add(u).sigmoids();
        let s = self.of(4.0).mul(p.mul(q));
        let u1 = x2.fma(self.of(3.0 * ca), self.of(c));
        let h1 = s.mul(u1);
        if k == 1 {
            return half.mul(x).fma(h1, p).nan_of(self);
        }
        let u2 = self.of(6.0 * ca).mul(x);
        let s1 = self.of(-2.0).mul(h).mul(h1);
        let h2 = s1.fma(u1, s.mul(u2));
        if k == 2 {
            return half.mul(x).fma(h2, h1).nan_of(self);
        }
        let s2 = self.of(-2.0).mul(h1.fma(h1, h.mul(h2)));
        let h3 = s2.fma(u1, two.mul(s1).fma(u2, s.mul(self.of(6.0 * ca))));
        half.mul(x).fma(h3, self.of(1.5).mul(h2)).nan_of(self)
    }

    /// `sin(x + k π/2)`: x = n π/2 + r with |r| <= π/4, π/2 in three parts of which n makes exact products up to 8192, also
    /// where multiply-adds are not fused, and the polynomials of Cephes' `sinf` and `cosf`.
    #[inline(always)]
    pub(crate) fn sin_quarter(self, k: u8) -> V<S> {
        let s = self.simd;
        let (n, quarters) = self.nearest(std::f32::consts::FRAC_2_PI);
        let r = n.fma(self.of(-1.570_312_5), self);
        let r = n.fma(self.of(-4.837_513e-4), r);
        let r = n.fma(self.of(-7.549_79e-8), r);
        let z = r.mul(r);
        let sine = z.polynomial([-1.951_529_6e-4, 8.332_161e-3, -0.166_666_55]).mul(z).fma(r, r);
        let cosine = z.polynomial([2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]).mul(z);
        let cosine = cosine.fma(z, z.fma(self.of(-0.5), self.of(1.0)));
        // The quarter: its lowest bit asks for the cosine, the next for the other sign.
        let quarter = s.add_u32s(quarters, s.splat_u32s(u32::from(k)));
        let up = |bits, by| s.wrapping_dyn_shl_u32s(bits, s.splat_u32s(by));
        let odd = self.of_bits(s.or_u32s(up(quarter, 31), self.of(1.0).bits()));
        let y = odd.if_below(self.of(0.0), cosine, sine);
        let sign = s.and_u32s(up(quarter, 30), s.splat_u32s(0x8000_0000));
        let y = self.of_bits(s.xor_u32s(y.bits(), sign));
        y.but_outside(self, -8192.0, 8192.0, |x| x.sin_quarter(k))
    }

    /// `ln x`: x = m 2^e with m from √½ to √2, and the polynomial of Cephes' `logf`.
    #[inline(always)]
    pub(crate) fn ln(self) -> V<S> {
        let s = self.simd;
        let low = s.splat_u32s(0x3f35_04f3); // √½
        let shifted = s.add_u32s(s.sub_u32s(self.bits(), low), s.splat_u32s(0x3f80_0000));
        let e = s.wrapping_dyn_shr_u32s(shifted, s.splat_u32s(23));
        // A number below 2^23 in the last bits of 2^23 is that much more.
        let e = self.of_bits(s.or_u32s(e, s.splat_u32s(0x4b00_0000))).sub(self.of(8_388_608.0 + 127.0));
        let m = s.add_u32s(s.and_u32s(shifted, s.splat_u32s(0x007f_ffff)), low);
        let f = self.of_bits(m).sub(self.of(1.0));
        let z = f.mul(f);
        let p = f.polynomial([
            7.037_683_6e-2,
            -0.115_146_1,
            0.116_769_99,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_58,
            0.200_007_15,
            -0.249_999_94,
            0.333_333_3,
        ]);
        let y = p.mul(f).mul(z);
        let y = e.fma(self.of(-2.121_944_4e-4), y);
        let y = z.fma(self.of(-0.5), y).add(f);
        let y = e.fma(self.of(0.693_359_4), y).nan_of(self);
        // Nothing, what is negative, denormal or infinite.
        y.but_outside(self, f32::MIN_POSITIVE, f32::MAX, f32::ln)
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Scalar, WithSimd};

    use crate::graph::op::{Func, Num};
    use crate::kernel::simd::{Slice, apply};
    use crate::kernel::{Bounded, pointwise};
    use crate::spec::Activation;

    fn arguments() -> impl Iterator<Item = f32> {
        let grid = (-4000..4000).map(|i| i as f32 * 0.005_003);
        grid.chain([0.0, -0.0, 1e-6, -1e-20, 2e-38, 88.0, 89.0, -87.5, -104.0, 1e4, -1e4, 1e30, -1e30])
    }

    /// One number among others, at the place where a register has its last; by the widest registers of this processor, or
    /// by none.
    fn at(f: Func, x: f32, scalar: bool) -> f32 {
        let mut xs = [0.5; 16];
        xs[15] = x;
        if scalar {
            Slice { f, xs: &mut xs }.with_simd(Scalar::new());
        } else {
            apply(f, &mut xs);
        }
        xs[15]
    }

    #[test]
    fn functions_are_within_the_bounds_of_the_reference() {
        let acts = Activation::ALL.iter().flat_map(|a| (0..=3).map(|k| Func::Act(*a, k)));
        let slopes = Activation::ALL.iter().map(|a| Func::Slope(*a));
        let others = [
            Func::Exp,
            Func::Log,
            Func::Sqrt,
            Func::Rsqrt,
            Func::Recip,
            Func::Floor,
            Func::Round,
            Func::IsFinite,
        ];
        let affine = [(1.0, 0.0), (-2.5, 0.0), (0.75, -3.0)].map(|(a, b)| Func::Affine(Num(a), Num(b)));
        let eight = [0.25, 1.0].map(|scale| Func::EightBits(Num(scale)));
        for f in acts.chain(slopes).chain(others).chain(affine).chain(eight) {
            for scalar in [false, true] {
                for x in arguments() {
                    let (got, want) = (at(f, x, scalar), pointwise::func(f, Bounded::exact(f64::from(x))));
                    assert!(want.admits(got), "{f:?} of {x} is {got}, not {want:?}");
                }
                let nan = pointwise::func(f, f32::NAN).is_nan();
                assert_eq!(at(f, f32::NAN, scalar).is_nan(), nan, "{f:?} of NaN");
            }
        }
    }

    /// A number's function does not depend on its neighbours, nor on where the slice ends.
    #[test]
    fn neighbours_do_not_matter() {
        for f in [Func::Act(Activation::Sin, 0), Func::Log, Func::Act(Activation::Softplus, 0)] {
            for neighbour in [1.0, 0.0, -1.0, 1e6, f32::INFINITY, f32::NAN] {
                for len in 1..40 {
                    let mut xs = vec![neighbour; len];
                    xs[len - 1] = 0.7;
                    apply(f, &mut xs);
                    assert_eq!(
                        xs[len - 1],
                        at(f, 0.7, false),
                        "{f:?} of .7 beside {neighbour}, {len} in all"
                    );
                }
            }
        }
    }

    /// Accuracy where a bound alone would admit more: in units of the last place of the larger of it and `least`.
    #[test]
    fn functions_are_accurate() {
        for (f, least, most) in [
            (Func::Act(Activation::Sin, 0), 1e-3, 1.5),
            (Func::Act(Activation::Sin, 1), 1e-3, 1.5),
            (Func::Log, 1e-2, 2.0),
            (Func::Exp, 1e-30, 2.5),
            (Func::Act(Activation::Tanh, 0), 1e-30, 2.5),
        ] {
            for x in arguments().filter(|x| x.abs() < 80.0 && (f != Func::Log || *x > 0.0)) {
                let (got, want) = (at(f, x, false), pointwise::func(f, f64::from(x)));
                let unit = f64::from(f32::EPSILON) / 2.0 * want.abs().max(least);
                let error = (f64::from(got) - want).abs() / unit;
                assert!(error <= 2.0 * most, "{f:?} of {x} is {got}, not {want}: {error} units");
            }
        }
    }
}
