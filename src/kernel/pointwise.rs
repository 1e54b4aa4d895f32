//! The pointwise functions themselves, once for every number type. `shaders/shared/pointwise.wgsl`
//! holds the same formulas; both avoid overflow for arguments of any size.

use super::real::Real;
use crate::graph::op::{Binary, Func, Num};
use crate::spec::Activation;

/// √(2/π), in gelu's tanh form (Hendrycks and Gimpel 2016).
pub const GELU_C: f64 = 0.797_884_560_802_865_4;
/// The cubic coefficient in gelu's tanh form.
pub const GELU_A: f64 = 0.044_715;
/// Slope of leaky_relu below zero.
pub const LEAK: f64 = 0.01;

/// `f(x)`
#[inline]
pub fn func<T: Real>(f: Func, x: T) -> T {
    match f {
        Func::Act(a, k) => activation(a, k, x),
        Func::Affine(Num(a), Num(b)) => T::of(a) * x + T::of(b),
        Func::Exp => x.exp(),
        Func::Log => x.ln(),
        Func::Sqrt => x.sqrt(),
        Func::Rsqrt => x.rsqrt(),
        Func::Recip => T::one() / x,
        Func::Slope(Activation::Tanh) => (T::one() - x) * (T::one() + x),
        Func::Slope(Activation::Sigmoid) => x * (T::one() - x),
        // The value has the sign of the argument.
        Func::Slope(a) => activation(a, 1, x),
        Func::Floor => x.floor(),
        Func::Round => x.round(),
        Func::EightBits(Num(scale)) => {
            let whole = (x / T::of(scale)).round();
            let least = whole.max(T::of(-128.0));
            -(-least).max(T::of(-127.0)) * T::of(scale)
        }
        Func::IsFinite => T::of(if x.value().is_finite() { 1.0 } else { 0.0 }),
    }
}

/// `f(a, b)`
#[inline]
pub fn binary<T: Real>(f: Binary, a: T, b: T) -> T {
    match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Max => a.max(b),
        Binary::Less => a.compare(b, |a, b| a < b),
        Binary::GreaterEq => a.compare(b, |a, b| a >= b),
        Binary::Equal => a.compare(b, |a, b| a == b),
    }
}

/// `(1 - t) / (1 + t)` with `t = e^-2|x|`, by a polynomial near zero where that would cancel.
#[inline]
pub fn tanh<T: Real>(x: T) -> T {
    let a = x.abs();
    if a.value() < 0.25 {
        // Odd Taylor polynomial; the next term is below 2e-9 of x at 0.25.
        let s = x * x;
        let p = T::of(-1382.0 / 155_925.0);
        let p = p * s + T::of(62.0 / 2835.0);
        let p = p * s + T::of(-17.0 / 315.0);
        let p = p * s + T::of(2.0 / 15.0);
        let p = p * s + T::of(-1.0 / 3.0);
        return x + x * (p * s);
    }
    let t = (T::of(-2.0) * a).exp();
    let y = (T::one() - t) / (T::one() + t);
    if x.value() < 0.0 { -y } else { y }
}

/// `1 / (1 + e^-x)`, with the exponential of a negative number only.
#[inline]
pub fn sigmoid<T: Real>(x: T) -> T {
    let t = (-x.abs()).exp();
    let numerator = if x.value() >= 0.0 { T::one() } else { t };
    numerator / (T::one() + t)
}

fn sigmoid_derivative<T: Real>(k: u8, x: T) -> T {
    let s = sigmoid(x);
    // 1 - s(x) = s(-x), without cancellation.
    let q = sigmoid(-x);
    match k {
        0 => s,
        1 => s * q,
        2 => s * q * (q - s),
        _ => s * q * (T::one() - T::of(6.0) * (s * q)),
    }
}

/// The k-th derivative of an activation, k from 0 to 3.
pub fn activation<T: Real>(a: Activation, k: u8, x: T) -> T {
    let two = T::of(2.0);
    if x.value().is_nan() {
        return x; // NaN in, NaN out, for the piecewise functions too
    }
    match (a, k) {
        (Activation::Identity, 0) => x,
        (Activation::Identity, 1) => T::one(),
        (Activation::Relu, 0) => x.max(T::zero()),
        (Activation::Relu, 1) => x.compare(T::zero(), |x, zero| x > zero),
        // The larger of the two, so that an argument whose sign is uncertain keeps the bound of both.
        (Activation::LeakyRelu, 0) => x.max(T::of(LEAK) * x),
        (Activation::LeakyRelu, 1) => x.compare(T::zero(), |x, zero| x > zero).max(T::of(LEAK)),
        (Activation::Identity | Activation::Relu | Activation::LeakyRelu, _) => T::zero(),
        (Activation::Tanh, 0) => tanh(x),
        (Activation::Tanh, k) => {
            // 1 - tanh² = 4 e / (1 + e)² with e = e^-2|x|, which keeps its relative accuracy in the tails.
            let t = tanh(x);
            let e = (T::of(-2.0) * x.abs()).exp();
            let s = T::of(4.0) * e / ((T::one() + e) * (T::one() + e));
            match k {
                1 => s,
                2 => -(two * t * s),
                _ => s * (T::of(6.0) * (t * t) - two),
            }
        }
        (Activation::Sigmoid, k) => sigmoid_derivative(k, x),
        // ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)
        (Activation::Softplus, 0) => x.max(T::zero()) + (T::one() + (-x.abs()).exp()).ln(),
        (Activation::Softplus, k) => sigmoid_derivative(k - 1, x),
        (Activation::Silu, k) => {
            // Beyond ±90 the factors e^-|x| vanish in f32; clamping keeps ∞·0 out of the tails.
            let c = x.min(T::of(90.0)).max(T::of(-90.0));
            match k {
                0 => {
                    if x.value() < -90.0 {
                        T::zero() * c
                    } else {
                        x * sigmoid(x)
                    }
                }
                1 => sigmoid(c) + c * sigmoid_derivative(1, c),
                2 => two * sigmoid_derivative(1, c) + c * sigmoid_derivative(2, c),
                _ => T::of(3.0) * sigmoid_derivative(2, c) + c * sigmoid_derivative(3, c),
            }
        }
        (Activation::Gelu, k) => gelu(k, x),
        (Activation::Sin, k) => x.sin_quarter(k),
    }
}

/// gelu in its tanh form and derivatives. With u = c(x + a x³), h = tanh u, s = 1 - h²:
/// h' = s u', s' = -2 h h', h'' = s' u' + s u'', h''' = s'' u' + 2 s' u'' + s u'''.
fn gelu<T: Real>(k: u8, x: T) -> T {
    let (two, half) = (T::of(2.0), T::of(0.5));
    if k == 0 && x.value() > 8.0 {
        return x;
    }
    // tanh u is ±1 in f32 beyond |x| = 8, where the cubic could overflow.
    let x = x.min(T::of(8.0)).max(T::of(-8.0));
    let (c, ca) = (T::of(GELU_C), T::of(GELU_C * GELU_A));
    let x2 = x * x;
    let u = x * (c + ca * x2);
    let h = tanh(u);
    // (1 + h)/2 = sigmoid(2u), which keeps its relative accuracy for negative x.
    let half_1h = sigmoid(two * u);
    if k == 0 {
        return x * half_1h;
    }
    let s = T::of(4.0) * (half_1h * sigmoid(-(two * u)));
    let u1 = c + T::of(3.0) * ca * x2;
    let h1 = s * u1;
    if k == 1 {
        return half_1h + half * x * h1;
    }
    let u2 = T::of(6.0) * ca * x;
    let s1 = -(two * h * h1);
    let h2 = s1 * u1 + s * u2;
    if k == 2 {
        return h1 + half * x * h2;
    }
    let u3 = T::of(6.0) * ca;
    let s2 = -(two * (h1 * h1 + h * h2));
    let h3 = s2 * u1 + two * s1 * u2 + s * u3;
    T::of(1.5) * h2 + half * x * h3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_match_differences() {
        for a in Activation::ALL {
            for k in 0..3u8 {
                for i in -40..=40 {
                    let x = i as f64 * 0.2003 + 0.0501;
                    let h = 1e-5;
                    let want = (activation(a, k, x + h) - activation(a, k, x - h)) / (2.0 * h);
                    let got = activation(a, k + 1, x);
                    assert!((got - want).abs() < 3e-6, "{a} k={k} x={x}: {got} vs {want}");
                }
            }
        }
    }

    #[test]
    fn large_arguments_stay_finite() {
        for a in Activation::ALL {
            for k in 0..=3u8 {
                for x in [1e30f32, -1e30, 100.0, -100.0, 1e4, -1e4] {
                    assert!(activation(a, k, x).is_finite(), "{a} k={k} x={x}");
                }
                assert!(activation(a, k, f32::NAN).is_nan(), "{a} k={k}");
            }
        }
    }
}
