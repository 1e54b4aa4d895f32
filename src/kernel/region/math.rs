//! Pointwise functions without branches, so that the compiler can compute sixteen tasks at once. The formulas are
//! those of `pointwise`; functions that are not here run lane by lane through `pointwise` itself.

use crate::kernel::pointwise::{GELU_A, GELU_C, LEAK};

/// `a b + c`, fused where the processor has that in hardware.
#[inline(always)]
pub(super) fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_arch = "x86_64") || cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x`: x = n ln 2 + r with |r| <= ln 2 / 2, the polynomial of Cephes' `expf` for e^r, and 2^n in two
/// factors, so that the ends of the range come out right.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let c = x.clamp(-105.0, 90.0);
    let shifted = fused(c, std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = fused(n, -0.693_359_4, c);
    let r = fused(n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    p = fused(p, r, 1.398_199_9e-3);
    p = fused(p, r, 8.333_452e-3);
    p = fused(p, r, 4.166_579_5e-2);
    p = fused(p, r, 1.666_666_5e-1);
    p = fused(p, r, 0.5);
    p = fused(p, r * r, r + 1.0);
    let whole = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let half = whole >> 1;
    let power = |e: i32| f32::from_bits(((e + 127) << 23) as u32);
    let y = p * power(half) * power(whole - half);
    if x.is_nan() { x } else { y }
}

#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let s = x * x;
    let p = fused(-1382.0 / 155_925.0, s, 62.0 / 2835.0);
    let p = fused(p, s, -17.0 / 315.0);
    let p = fused(p, s, 2.0 / 15.0);
    let p = fused(p, s, -1.0 / 3.0);
    let small = fused(x, p * s, x);
    let t = exp(-2.0 * a);
    let y = ((1.0 - t) / (1.0 + t)).copysign(x);
    if a < 0.25 { small } else { y }
}

#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    let t = exp(-x.abs());
    let numerator = if x < 0.0 { t } else { 1.0 };
    numerator / (1.0 + t)
}

#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    if x > 0.0 || x.is_nan() { x } else { 0.0 }
}

#[inline(always)]
pub(super) fn relu_slope(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x.is_nan() {
        x
    } else {
        0.0
    }
}

#[inline(always)]
pub(super) fn leaky(x: f32) -> f32 {
    if x < 0.0 { LEAK as f32 * x } else { x }
}

#[inline(always)]
pub(super) fn leaky_slope(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x.is_nan() {
        x
    } else {
        LEAK as f32
    }
}

/// `x sigmoid(x)`; the product is 0 below -90, where it would be a denormal.
#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    let y = x * sigmoid(x);
    if x < -90.0 { 0.0 } else { y }
}

#[inline(always)]
pub(super) fn silu_slope(x: f32) -> f32 {
    let c = x.clamp(-90.0, 90.0);
    let s = sigmoid(c);
    s + c * (s * sigmoid(-c))
}

#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    let (c, ca) = (GELU_C as f32, (GELU_C * GELU_A) as f32);
    let b = x.clamp(-8.0, 8.0);
    let u = b * (c + ca * (b * b));
    let y = b * sigmoid(2.0 * u);
    if x > 8.0 { x } else { y }
}
