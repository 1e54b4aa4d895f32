//! What the pointwise functions are called in `shaders/shared/`: the one place that knows. Kernels and task regions
//! call each by name, and are given those that they need.

use crate::graph::op::{Binary, Func, Num};
use crate::spec::Activation;

/// `f(x)` as WGSL; `affine` are the factor and the term of an affine function, or a scale.
pub(crate) fn call(f: Func, affine: [&str; 2], x: &str) -> String {
    match f {
        Func::Act(Activation::Identity, 0) => x.into(),
        Func::Act(a, k) => format!("act_{a}({k}u, {x})"),
        Func::Slope(Activation::Tanh) => format!("slope_of_tanh({x})"),
        Func::Slope(Activation::Sigmoid) => format!("slope_of_sigmoid({x})"),
        // The value has the sign of the argument.
        Func::Slope(a) => call(Func::Act(a, 1), affine, x),
        Func::Affine(..) => format!("({} * {x} + {})", affine[0], affine[1]),
        Func::Exp => format!("exponential({x})"),
        Func::Log => format!("logarithm({x})"),
        Func::Sqrt => format!("square_root({x})"),
        Func::Rsqrt => format!("inverse_square_root({x})"),
        Func::Recip => format!("(1.0 / {x})"),
        Func::Floor => format!("floor({x})"),
        Func::Round => format!("round({x})"),
        Func::EightBits(_) => format!("(within(round({x} / {0}), -128.0, 127.0) * {0})", affine[0]),
        Func::IsFinite => format!("select(0.0, 1.0, is_finite({x}))"),
    }
}

/// The sign between two operands of a function that WGSL has an operator for.
pub(crate) fn operator(f: Binary) -> Option<char> {
    match f {
        Binary::Add => Some('+'),
        Binary::Sub => Some('-'),
        Binary::Mul => Some('*'),
        Binary::Div => Some('/'),
        Binary::Max | Binary::Less | Binary::GreaterEq | Binary::Equal => None,
    }
}

/// `f(p, q)` as WGSL.
pub(crate) fn call_of_two(f: Binary, p: &str, q: &str) -> String {
    if let Some(sign) = operator(f) {
        return format!("({p} {sign} {q})");
    }
    let name = match f {
        Binary::Less => "less",
        Binary::GreaterEq => "greater_or_equal",
        Binary::Equal => "equal",
        _ => "larger",
    };
    format!("{name}({p}, {q})")
}

/// Factor and term of an affine function, or a scale; other functions ignore them.
pub(crate) fn affine(f: Func) -> [f32; 2] {
    match f {
        Func::Affine(Num(a), Num(b)) => [a as f32, b as f32],
        Func::EightBits(Num(scale)) => [scale as f32, 0.0],
        _ => [1.0, 0.0],
    }
}

/// What stands in the place of `shaders/shared/chosen.wgsl` in a kernel that applies `f`, whose uniform holds the numbers
/// of an affine function: so pipelines differ by function only.
pub(crate) fn chosen(f: Func) -> String {
    let value = call(f, ["params.scale", "params.shift"], "x");
    format!("fn apply(x: f32) -> f32 {{\n    return {value};\n}}\n")
}

/// The same, with a function of two values beside it.
pub(crate) fn chosen_pair(op: Binary, f: Func) -> String {
    let value = call_of_two(op, "p", "q");
    format!("{}\nfn combine(p: f32, q: f32) -> f32 {{\n    return {value};\n}}\n", chosen(f))
}
