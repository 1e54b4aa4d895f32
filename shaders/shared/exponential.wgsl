// Exponentials, logarithms and roots with their limits spelt out: what the built-in functions return
// for infinite, negative or overflowing arguments differs between drivers. The exponential, which activations are made of,
// selects and does not branch: threads would wait for one another, and each for every step of its own.

#import bits

// e^x: 0 far below, infinity far above, whatever the driver does there.
fn exponential(x: f32) -> f32 {
    let y = exp(clamp(x, -104.0, 88.8));
    return select(select(select(y, 0.0, x < -104.0), infinity(), x > 88.8), x, is_nan(x));
}

// ln x: minus infinity at 0, NaN below.
fn logarithm(x: f32) -> f32 {
    if is_nan(x) || bitcast<u32>(x) == 0x7f800000u {
        return x;
    }
    if x < 0.0 {
        return nan();
    }
    if x == 0.0 {
        return -infinity();
    }
    return log(x);
}

// √x: NaN below 0. (By the specification `sqrt` may be computed as 1 / inverseSqrt, which fails at 0.)
fn square_root(x: f32) -> f32 {
    if is_nan(x) || x == 0.0 || bitcast<u32>(x) == 0x7f800000u {
        return x;
    }
    if x < 0.0 {
        return nan();
    }
    return sqrt(x);
}

// 1/√x: infinity at 0, NaN below.
fn inverse_square_root(x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    if x < 0.0 {
        return nan();
    }
    if x == 0.0 {
        return infinity();
    }
    return select(inverseSqrt(x), 0.0, bitcast<u32>(x) == 0x7f800000u);
}
