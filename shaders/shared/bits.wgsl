// Special values by their bits. Compilers may assume that floats are never NaN or infinite and fold
// `x != x` away; they may not assume anything about integers.

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// Neither is NaN: without this a comparison may be replaced by the negation of its opposite.
fn ordered(a: f32, b: f32) -> bool {
    return !is_nan(a) && !is_nan(b);
}

// Variables, since a constant expression must not be NaN or infinite.
fn nan() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

// The larger, ties to a; NaN if either is.
fn larger(a: f32, b: f32) -> f32 {
    return select(b, a, !is_nan(b) && (is_nan(a) || a >= b));
}

// `lo` to `hi` for any x; NaN stays NaN.
fn within(x: f32, lo: f32, hi: f32) -> f32 {
    return -larger(-larger(x, lo), -hi);
}
