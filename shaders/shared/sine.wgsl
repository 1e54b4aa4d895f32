// sin(x + quarter·π/2) for any x. The built-in functions promise 2^-11 on ±π and nothing beyond.
//
// Reduction to ±π/4 by subtracting n·π/2 in three parts (Cody and Waite 1980): π/2 = A + B + C, where A has
// 8 and B has 11 significant bits, so that the products with n, itself taken in two halves, are exact.
// Up to |x| = 2^23 the error is a few units of 2^-24; beyond, a float's own spacing is near a whole
// turn, the argument is held at ±2^25, and the result still lies in ±1.

#import bits

const HALF_PI_A = 1.5703125;
const HALF_PI_B = 4.837512969970703e-4;
const HALF_PI_C = 7.549790126404332e-8;
const TWO_OVER_PI = 0.6366197723675814;

// x itself, in a way that the compiler cannot look through: `zero` is 0, which it does not know. Without
// this, fast-math compilers add up the parts of π/2 before the product, and the reduction is void.
fn opaque(x: f32, zero: u32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ zero);
}

// Minimax polynomials on ±π/4; relative error 1.3e-8 for the sine, absolute 6e-10 for the cosine.
fn sine_near_zero(r: f32) -> f32 {
    let s = r * r;
    return r + r * s * (-1.666666418e-1 + s * (8.332746103e-3 + s * -1.958738721e-4));
}

fn cosine_near_zero(r: f32) -> f32 {
    let s = r * r;
    return 1.0 - 0.5 * s + s * s * (4.166666418e-2 + s * (-1.388830016e-3 + s * 2.454743662e-5));
}

// x - n π/2
fn minus_quarters(x: f32, n: f32, zero: u32) -> f32 {
    // Towards zero, so that each difference is smaller than what it comes from, and exact.
    let high = trunc(n * (1.0 / 4096.0)) * 4096.0;
    let low = n - high;
    var r = opaque(x - opaque(high * HALF_PI_A, zero), zero);
    r = opaque(r - opaque(low * HALF_PI_A, zero), zero);
    r = opaque(r - opaque(high * HALF_PI_B, zero), zero);
    r = opaque(r - opaque(low * HALF_PI_B, zero), zero);
    return r - n * HALF_PI_C;
}

fn sine(x: f32, quarter: u32) -> f32 {
    let zero = u32(is_nan(x));
    let a = clamp(x, -33554432.0, 33554432.0);
    let n = round(a * TWO_OVER_PI);
    var r = minus_quarters(a, n, zero);
    // For large n the quotient is off by one now and then; a second round puts that right.
    let m = round(r * TWO_OVER_PI);
    r = minus_quarters(r, m, zero);
    let turn = (u32(i32(n) + i32(m)) + quarter) & 3u;
    var y = select(sine_near_zero(r), cosine_near_zero(r), (turn & 1u) == 1u);
    y = clamp(select(y, -y, turn >= 2u), -1.0, 1.0);
    return select(nan(), y, is_finite(x));
}
