//! The number types a kernel's reference runs on: f32, f64, and [`Bounded`], an f64 value with a bound
//! on how far an f32 evaluation of the same formula may lie from it. With the third type every
//! element's tolerance is derived from the arithmetic, not chosen (running error analysis: Higham,
//! Accuracy and Stability of Numerical Algorithms, 2002, section 3.3).

use std::ops::{Add, Div, Mul, Neg, Sub};

/// Unit roundoff of f32.
pub const UNIT: f64 = 1.0 / 16_777_216.0;
/// Results below the smallest normal f32 may be flushed to zero.
const TINY: f64 = 1.2e-38;
/// Largest finite f32.
const MAX: f64 = f32::MAX as f64;

/// A number type of the CPU references.
pub trait Real:
    Copy
    + Send
    + Sync
    + std::fmt::Debug
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// From f64, rounded to the type.
    fn of(x: f64) -> Self;
    /// From f32, exactly.
    fn of_f32(x: f32) -> Self;
    /// The value, without its error bound.
    fn value(self) -> f64;
    /// `e^x`
    fn exp(self) -> Self;
    /// `ln x`
    fn ln(self) -> Self;
    /// `√x`
    fn sqrt(self) -> Self;
    /// `1/√x`
    fn rsqrt(self) -> Self;
    /// `sin(x + quarter·π/2)`, for any x
    fn sin_quarter(self, quarter: u8) -> Self;
    /// The larger; NaN if either is.
    fn max(self, other: Self) -> Self;
    /// The largest whole number that is not larger.
    fn floor(self) -> Self;
    /// The nearest whole number, of two the even one.
    fn round(self) -> Self;
    /// 1 where `test` holds of the two values, else 0.
    fn compare(self, other: Self, test: impl Fn(f64, f64) -> bool) -> Self {
        Self::of(if test(self.value(), other.value()) { 1.0 } else { 0.0 })
    }
    /// `a` where this is not 0, else `b`.
    fn choose(self, a: Self, b: Self) -> Self {
        if self.value() != 0.0 { a } else { b }
    }
    /// Sum of products, in any order.
    fn dot(pairs: impl Iterator<Item = (Self, Self)>) -> Self;
    /// Sum, in any order.
    fn sum(items: impl Iterator<Item = Self>) -> Self;

    /// `|x|`
    fn abs(self) -> Self {
        if self.value() < 0.0 { -self } else { self }
    }
    /// The smaller; NaN if either is.
    fn min(self, other: Self) -> Self {
        -(-self).max(-other)
    }
    /// Zero.
    fn zero() -> Self {
        Self::of(0.0)
    }
    /// One.
    fn one() -> Self {
        Self::of(1.0)
    }
}

macro_rules! plain_real {
    ($t:ty) => {
        impl Real for $t {
            #[inline(always)]
            fn of(x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn of_f32(x: f32) -> $t {
                x as $t
            }
            #[inline(always)]
            fn value(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn exp(self) -> $t {
                self.exp()
            }
            #[inline(always)]
            fn ln(self) -> $t {
                self.ln()
            }
            #[inline(always)]
            fn sqrt(self) -> $t {
                self.sqrt()
            }
            #[inline(always)]
            fn rsqrt(self) -> $t {
                1.0 / self.sqrt()
            }
            #[inline(always)]
            fn sin_quarter(self, quarter: u8) -> $t {
                match quarter % 4 {
                    0 => self.sin(),
                    1 => self.cos(),
                    2 => -self.sin(),
                    _ => -self.cos(),
                }
            }
            #[inline(always)]
            fn floor(self) -> $t {
                <$t>::floor(self)
            }
            #[inline(always)]
            fn round(self) -> $t {
                <$t>::round_ties_even(self)
            }
            #[inline(always)]
            fn max(self, other: $t) -> $t {
                if self.is_nan() || self >= other { self } else { other }
            }
            #[inline(always)]
            fn dot(pairs: impl Iterator<Item = ($t, $t)>) -> $t {
                pairs.fold(0.0, |s, (a, b)| s + a * b)
            }
            #[inline(always)]
            fn sum(items: impl Iterator<Item = $t>) -> $t {
                items.fold(0.0, |s, a| s + a)
            }
        }
    };
}
plain_real!(f32);
plain_real!(f64);

/// An f64 value `v` and a bound `e`: an evaluation in f32, by any of the runners, lies within `v ± e`.
///
/// The rounding model is WGSL's: correctly rounded `+ - *` (contraction allowed), 2.5 ulp for `/`,
/// `3 + 2|x|` ulp for `exp`, 3 ulp (absolute 2⁻²¹ near 1) for `log`, 2 ulp for the inverse root, the root as
/// its reciprocal; sums in any order.
///
/// Overflow is followed too: a value that no f32 can hold is an exact infinity from there on, as it is in
/// f32, and where an evaluation may or may not overflow the bound is infinite. Exact infinities and NaN stay
/// exact, so that a result that ought to be infinite or NaN must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// The value, in f64.
    pub v: f64,
    /// The bound on the error of an f32 evaluation.
    pub e: f64,
}

impl Bounded {
    /// A value that is exact in f32.
    pub fn exact(v: f64) -> Bounded {
        Bounded { v, e: 0.0 }
    }

    /// `v` computed with `units` units of roundoff of its own, on top of what came in.
    fn rounded(v: f64, e: f64, units: f64) -> Bounded {
        if !e.is_finite() {
            return Bounded { v, e: f64::INFINITY };
        }
        if !v.is_finite() {
            return Bounded::exact(v);
        }
        Bounded { v, e: e * (1.0 + 2.0 * UNIT) + units * UNIT * (v.abs() + e) + TINY }.overflown()
    }

    /// A whole number by it, to which roundings before may lead or not.
    fn whole(self, of: fn(f64) -> f64) -> Bounded {
        if !self.v.is_finite() {
            return self;
        }
        let [low, high] = [self.v - self.e, self.v + self.e].map(of);
        Bounded { v: of(self.v), e: if low == high { 0.0 } else { high - low } }
    }

    /// The value as f32 can hold it.
    fn overflown(self) -> Bounded {
        let Bounded { v, e } = self;
        if v.abs() - e > MAX {
            return Bounded::exact(v.signum() * f64::INFINITY);
        }
        Bounded { v, e: if v.abs() + e > MAX { f64::INFINITY } else { e } }
    }

    /// Whether an f32 result is admissible for this value.
    pub fn admits(self, got: f32) -> bool {
        let got = got as f64;
        if self.e.is_infinite() {
            true // whether it overflows depends on the roundings
        } else if self.v.is_nan() {
            got.is_nan()
        } else {
            got == self.v || (got - self.v).abs() <= self.e
        }
    }
}

impl Add for Bounded {
    type Output = Bounded;
    fn add(self, o: Bounded) -> Bounded {
        Bounded::rounded(self.v + o.v, self.e + o.e, 1.0)
    }
}
impl Sub for Bounded {
    type Output = Bounded;
    fn sub(self, o: Bounded) -> Bounded {
        Bounded::rounded(self.v - o.v, self.e + o.e, 1.0)
    }
}
/// The error that a product inherits; an exact factor of zero inherits nothing, not even from infinity, but
/// zero times what may be infinite is unknown.
fn product_error(a: Bounded, b: Bounded) -> f64 {
    let part = |x: f64, e: f64| {
        if e == 0.0 {
            0.0
        } else if e.is_infinite() {
            e
        } else {
            x.abs() * e
        }
    };
    part(a.v, b.e) + part(b.v, a.e) + part(a.e, b.e)
}
impl Mul for Bounded {
    type Output = Bounded;
    fn mul(self, o: Bounded) -> Bounded {
        Bounded::rounded(self.v * o.v, product_error(self, o), 1.0)
    }
}
impl Div for Bounded {
    type Output = Bounded;
    fn div(self, o: Bounded) -> Bounded {
        let v = self.v / o.v;
        let room = o.v.abs() - o.e;
        let e = if self.e == 0.0 && o.e == 0.0 {
            0.0
        } else if room > 0.0 {
            (self.e + v.abs() * o.e) / room
        } else {
            f64::INFINITY
        };
        Bounded::rounded(v, e, 5.0)
    }
}
impl Neg for Bounded {
    type Output = Bounded;
    fn neg(self) -> Bounded {
        Bounded { v: -self.v, e: self.e }
    }
}

impl Real for Bounded {
    fn of(x: f64) -> Bounded {
        Bounded { v: x, e: if x as f32 as f64 == x { 0.0 } else { UNIT * x.abs() } }
    }
    fn of_f32(x: f32) -> Bounded {
        Bounded::exact(x as f64)
    }
    fn value(self) -> f64 {
        self.v
    }
    fn exp(self) -> Bounded {
        if self.v - self.e > 89.0 {
            return Bounded::exact(f64::INFINITY);
        }
        let v = self.v.exp();
        // e^(x+δ) - e^x; one ulp is at most two units.
        let e = if self.e == 0.0 { 0.0 } else { v * self.e.exp_m1() };
        let units = if v == 0.0 { 1.0 } else { 2.0 * (3.0 + 2.0 * self.v.abs()) };
        Bounded::rounded(v, e, units)
    }
    fn ln(self) -> Bounded {
        let v = self.v.ln();
        let room = self.v - self.e;
        let e = if self.e == 0.0 {
            0.0
        } else if room > 0.0 {
            self.e / room
        } else {
            f64::INFINITY
        };
        let near_one = if (0.5..=2.0).contains(&self.v) { (0.5f64).powi(21) } else { 0.0 };
        Bounded::rounded(v, e + near_one, 6.0)
    }
    fn sqrt(self) -> Bounded {
        let v = self.v.sqrt();
        let low = (self.v - self.e).max(0.0).sqrt();
        let e = if self.e == 0.0 { 0.0 } else { (v - low).max((self.v + self.e).sqrt() - v) };
        // 1/√ twice: 2 ulp of the inverse root, 2.5 of the division.
        Bounded::rounded(v, e, 9.0)
    }
    fn rsqrt(self) -> Bounded {
        let v = 1.0 / self.v.sqrt();
        let room = self.v - self.e;
        let e = if self.e == 0.0 {
            0.0
        } else if room > 0.0 {
            1.0 / room.sqrt() - v
        } else {
            f64::INFINITY
        };
        Bounded::rounded(v, e, 4.0)
    }
    fn sin_quarter(self, quarter: u8) -> Bounded {
        let v = self.v.sin_quarter(quarter);
        // The reduction to ±π/4 is as good as half an ulp of the argument; the polynomial some units more.
        Bounded { v, e: (self.e + UNIT * (self.v.abs() + 12.0)).min(2.0) }
    }
    fn floor(self) -> Bounded {
        self.whole(f64::floor)
    }
    fn round(self) -> Bounded {
        self.whole(f64::round_ties_even)
    }
    fn max(self, o: Bounded) -> Bounded {
        let v = Real::max(self.v, o.v);
        if self.v - self.e > o.v + o.e || o.v - o.e > self.v + self.e {
            return if v == self.v { self } else { o };
        }
        Bounded { v, e: self.e.max(o.e) }
    }
    fn compare(self, o: Bounded, test: impl Fn(f64, f64) -> bool) -> Bounded {
        // Roundings before the comparison may turn it over where the two are close.
        let apart = (self.v - o.v).abs();
        let sure = (self.e == 0.0 && o.e == 0.0) || apart > self.e + o.e || apart.is_nan();
        Bounded { v: if test(self.v, o.v) { 1.0 } else { 0.0 }, e: if sure { 0.0 } else { 1.0 } }
    }
    fn choose(self, a: Bounded, b: Bounded) -> Bounded {
        let (taken, other) = if self.v != 0.0 { (a, b) } else { (b, a) };
        if self.e == 0.0 || self.v.abs() > self.e {
            return taken;
        }
        let reach = (a.v - b.v).abs() + other.e;
        Bounded { v: taken.v, e: if reach.is_nan() { f64::INFINITY } else { taken.e.max(reach) } }
    }
    fn dot(pairs: impl Iterator<Item = (Bounded, Bounded)>) -> Bounded {
        let (mut v, mut magnitude, mut e, mut n) = (0.0, 0.0, 0.0, 0.0);
        for (a, b) in pairs {
            v += a.v * b.v;
            magnitude += (a.v * b.v).abs();
            e += product_error(a, b);
            n += 1.0;
        }
        if !e.is_finite() {
            return Bounded { v, e: f64::INFINITY };
        }
        if !v.is_finite() {
            return Bounded::exact(v); // infinite or NaN terms
        }
        // |fl(Σ aᵢbᵢ) - Σ aᵢbᵢ| ≤ γₙ Σ|aᵢbᵢ|, whatever the order (Higham, section 3.1).
        let sum = Bounded { v, e: e + (n + 1.0) * UNIT * (magnitude + e) + n * TINY };
        if magnitude > MAX && v.abs() < magnitude {
            return Bounded { v, e: f64::INFINITY }; // some orders overflow on the way
        }
        sum.overflown()
    }
    fn sum(items: impl Iterator<Item = Bounded>) -> Bounded {
        Bounded::dot(items.map(|x| (x, Bounded::exact(1.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_f32_and_is_not_loose() {
        let xs: Vec<f32> = (0..999).map(|i| ((i * 7919) % 1000) as f32 / 311.0 - 1.6).collect();
        let sum32: f32 = xs.iter().sum();
        let b = Bounded::sum(xs.iter().map(|&x| Bounded::of_f32(x)));
        assert!(b.admits(sum32) && b.e < 0.2);
        assert!(!b.admits(sum32 + 1.0));
        for &x in &xs {
            let formula = |x: f32| (1.0 - (-x).exp()) / (1.0 + (-x).exp());
            let t = Bounded::of_f32(x);
            let b = (Bounded::one() - (-t).exp()) / (Bounded::one() + (-t).exp());
            assert!(b.admits(formula(x)) && b.e < 1e-5, "{x} {b:?}");
        }
    }

    #[test]
    fn nan_and_overflow() {
        assert!(Bounded::exact(f64::NAN).admits(f32::NAN));
        assert!(!Bounded::exact(1.0).admits(f32::NAN));
        let big = Bounded::exact(3e38) + Bounded::exact(3e38);
        assert!(big.admits(f32::INFINITY) && !big.admits(f32::NEG_INFINITY));
        // What overflowed on the way stays so: 1 / (10³⁰)² is 0 in f32.
        let square = Bounded::exact(1e30) * Bounded::exact(1e30);
        assert!((Bounded::one() / square).admits(0.0));
        assert!(!(Bounded::exact(f64::INFINITY) + Bounded::one()).admits(7.0));
        assert!((square - square).admits(f32::NAN) && !(square - square).admits(0.0));
    }

    #[test]
    fn close_comparisons_are_open() {
        let third = Bounded::one() / Bounded::exact(3.0);
        let less = |a: f64, b: f64| a < b;
        assert!(third.compare(third, less).admits(0.0) && third.compare(third, less).admits(1.0));
        assert!(!third.compare(Bounded::one(), less).admits(0.0));
        assert!(!Bounded::one().compare(Bounded::one(), less).admits(1.0));
        let either = third.compare(third, less).choose(Bounded::exact(5.0), Bounded::exact(7.0));
        assert!(either.admits(5.0) && either.admits(7.0) && !either.admits(9.5));
    }
}
