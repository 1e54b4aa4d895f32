// The pointwise functions, by the formulas of src/kernel/pointwise.rs: no argument overflows inside, and NaN stays NaN.
//
// A shader calls the one it needs by name (src/kernel/wgsl.rs knows the names), always with a number as the order of the
// derivative. A choice by a code would come out the same, but drivers inline all functions before they fold it.

#import exponential
#import sine

// (1 - t) / (1 + t) with t = e^-2|x|; near zero, where that cancels, an odd polynomial. Both are worked out, and no branch
// is taken: a region's threads make many in a row.
fn hyperbolic_tangent(x: f32) -> f32 {
    let a = abs(x);
    let s = x * x;
    var p = -1382.0 / 155925.0;
    p = p * s + 62.0 / 2835.0;
    p = p * s - 17.0 / 315.0;
    p = p * s + 2.0 / 15.0;
    p = p * s - 1.0 / 3.0;
    let near = x + x * (p * s);
    // At 52 it is ±1 since long, and the exponential is still a number.
    let t = exp(-2.0 * min(a, 52.0));
    let far = (1.0 - t) / (1.0 + t);
    return select(select(select(far, -far, x < 0.0), near, a < 0.25), x, is_nan(x));
}

fn sigmoid(x: f32) -> f32 {
    let t = exponential(-abs(x));
    return select(t, 1.0, x >= 0.0) / (1.0 + t);
}

fn sigmoid_derivative(order: u32, x: f32) -> f32 {
    let s = sigmoid(x);
    // 1 - s(x) = s(-x), without cancellation.
    let q = sigmoid(-x);
    switch order {
        case 0u: { return s; }
        case 1u: { return s * q; }
        case 2u: { return s * q * (q - s); }
        default: { return s * q * (1.0 - 6.0 * (s * q)); }
    }
}

// Of order 1 to 3.
fn tanh_derivative(order: u32, x: f32) -> f32 {
    let t = hyperbolic_tangent(x);
    // 1 - tanh² = 4e / (1 + e)² with e = e^-2|x|, which keeps its relative accuracy in the tails.
    let e = exponential(-2.0 * abs(x));
    let s = 4.0 * e / ((1.0 + e) * (1.0 + e));
    switch order {
        case 1u: { return s; }
        case 2u: { return -(2.0 * t * s); }
        default: { return s * (6.0 * (t * t) - 2.0); }
    }
}

fn silu(order: u32, x: f32) -> f32 {
    // Beyond ±90 the factors e^-|x| vanish; clamping keeps ∞·0 out of the tails.
    let c = within(x, -90.0, 90.0);
    switch order {
        case 0u: { return select(x * sigmoid(x), 0.0, x < -90.0); }
        case 1u: { return sigmoid(c) + c * sigmoid_derivative(1u, c); }
        case 2u: { return 2.0 * sigmoid_derivative(1u, c) + c * sigmoid_derivative(2u, c); }
        default: { return 3.0 * sigmoid_derivative(2u, c) + c * sigmoid_derivative(3u, c); }
    }
}

// The tanh form: u = c(x + a x³), h = tanh u, s = 1 - h²; h' = s u', s' = -2 h h', and so on.
fn gelu(order: u32, x_any: f32) -> f32 {
    if order == 0u && x_any > 8.0 {
        return x_any;
    }
    // tanh u is ±1 beyond |x| = 8, where the cubic could overflow.
    let x = within(x_any, -8.0, 8.0);
    let c = 0.7978845608028654;
    let ca = 0.7978845608028654 * 0.044715;
    let x2 = x * x;
    let u = x * (c + ca * x2);
    // (1 + h)/2 = sigmoid(2u), which keeps its relative accuracy for negative x.
    let half_1h = sigmoid(2.0 * u);
    if order == 0u {
        return x * half_1h;
    }
    let h = hyperbolic_tangent(u);
    let s = 4.0 * (half_1h * sigmoid(-(2.0 * u)));
    let u1 = c + 3.0 * ca * x2;
    let h1 = s * u1;
    if order == 1u {
        return half_1h + 0.5 * x * h1;
    }
    let u2 = 6.0 * ca * x;
    let s1 = -(2.0 * h * h1);
    let h2 = s1 * u1 + s * u2;
    if order == 2u {
        return h1 + 0.5 * x * h2;
    }
    let u3 = 6.0 * ca;
    let s2 = -(2.0 * (h1 * h1 + h * h2));
    let h3 = s2 * u1 + 2.0 * s1 * u2 + s * u3;
    return 1.5 * h2 + 0.5 * x * h3;
}

// The activations: their derivatives of order 0 to 3.

fn act_identity(order: u32, x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    return select(select(0.0, 1.0, order == 1u), x, order == 0u);
}

fn act_relu(order: u32, x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    let step = select(0.0, 1.0, x > 0.0);
    return select(select(0.0, step, order == 1u), larger(x, 0.0), order == 0u);
}

fn act_leaky_relu(order: u32, x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    let slope = select(0.01, 1.0, x > 0.0);
    return select(select(0.0, slope, order == 1u), larger(x, 0.01 * x), order == 0u);
}

fn act_tanh(order: u32, x: f32) -> f32 {
    if order == 0u {
        return hyperbolic_tangent(x);
    }
    return select(tanh_derivative(order, x), x, is_nan(x));
}

fn act_sigmoid(order: u32, x: f32) -> f32 {
    return select(sigmoid_derivative(order, x), x, is_nan(x));
}

fn act_silu(order: u32, x: f32) -> f32 {
    return select(silu(order, x), x, is_nan(x));
}

fn act_gelu(order: u32, x: f32) -> f32 {
    return select(gelu(order, x), x, is_nan(x));
}

// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)
fn act_softplus(order: u32, x: f32) -> f32 {
    if order == 0u {
        return select(larger(x, 0.0) + log(1.0 + exponential(-abs(x))), x, is_nan(x));
    }
    return select(sigmoid_derivative(order - 1u, x), x, is_nan(x));
}

fn act_sin(order: u32, x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    return sine(x, order);
}

// Slopes of tanh and sigmoid, from their values.
fn slope_of_tanh(y: f32) -> f32 {
    return (1.0 - y) * (1.0 + y);
}

fn slope_of_sigmoid(y: f32) -> f32 {
    return y * (1.0 - y);
}
