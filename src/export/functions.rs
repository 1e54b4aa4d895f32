//! Pointwise functions as expressions of each other, down to those that every language has. The formulas are those of `kernel::pointwise`, without branches.

use std::collections::BTreeMap;

use super::Language;
use crate::graph::op::{Binary, Func, Num};
use crate::spec::Activation;

/// Functions that every language has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Native {
    /// `e^x`
    Exp,
    /// `ln x`
    Log,
    /// `√x`
    Sqrt,
    /// `sin x`
    Sin,
    /// `cos x`
    Cos,
    /// `tanh x`
    Tanh,
    /// `|x|`
    Abs,
    /// The largest whole number that is not larger.
    Floor,
    /// The nearest whole number, of two the even one.
    Round,
    /// The larger of two; NaN where the first is.
    Larger,
    /// 1 where the first is less than the second, else 0.
    Less,
    /// 1 where both are equal, else 0.
    Equal,
    /// The second where the first is not 0, else the third.
    Choose,
    /// 1 where it is finite, else 0.
    IsFinite,
}

/// Their names.
const NATIVES: &[(&str, Native)] = &[
    ("exponential", Native::Exp),
    ("logarithm", Native::Log),
    ("root", Native::Sqrt),
    ("sine", Native::Sin),
    ("cosine", Native::Cos),
    ("tanh", Native::Tanh),
    ("size", Native::Abs),
    ("whole", Native::Floor),
    ("nearest", Native::Round),
    ("larger", Native::Larger),
    ("less", Native::Less),
    ("equal", Native::Equal),
    ("choose", Native::Choose),
    ("is_finite", Native::IsFinite),
];

/// Name, parameters, and what it gives.
const FORMULAS: &[(&str, &[&str], &str)] = &[
    ("smaller", &["a", "b"], "-larger(-a, -b)"),
    ("not_less", &["a", "b"], "larger(less(b, a), equal(a, b))"),
    ("leaky_relu", &["x"], "larger(x, 0.01 * x)"),
    ("leaky_relu_1", &["x"], "larger(less(0.0, x), 0.01)"),
    ("tanh_tail", &["x"], "exponential(-2.0 * size(x))"),
    ("tanh_1", &["x"], "4.0 * tanh_tail(x) / ((1.0 + tanh_tail(x)) * (1.0 + tanh_tail(x)))"),
    ("tanh_2", &["x"], "-2.0 * tanh(x) * tanh_1(x)"),
    ("tanh_3", &["x"], "tanh_1(x) * (6.0 * (tanh(x) * tanh(x)) - 2.0)"),
    ("sigmoid", &["x"], "choose(less(x, 0.0), exponential(-size(x)), 1.0) / (1.0 + exponential(-size(x)))"),
    ("sigmoid_1", &["x"], "sigmoid(x) * sigmoid(-x)"),
    ("sigmoid_2", &["x"], "sigmoid_1(x) * (sigmoid(-x) - sigmoid(x))"),
    ("sigmoid_3", &["x"], "sigmoid_1(x) * (1.0 - 6.0 * sigmoid_1(x))"),
    ("softplus", &["x"], "larger(x, 0.0) + logarithm(1.0 + exponential(-size(x)))"),
    ("within_90", &["x"], "larger(smaller(x, 90.0), -90.0)"),
    ("silu", &["x"], "choose(less(x, -90.0), 0.0 * within_90(x), x * sigmoid(x))"),
    ("silu_1", &["x"], "sigmoid(within_90(x)) + within_90(x) * sigmoid_1(within_90(x))"),
    ("silu_2", &["x"], "2.0 * sigmoid_1(within_90(x)) + within_90(x) * sigmoid_2(within_90(x))"),
    ("silu_3", &["x"], "3.0 * sigmoid_2(within_90(x)) + within_90(x) * sigmoid_3(within_90(x))"),
    // By u = c (x + a x³), h = tanh u and their derivatives, within ±8, where h is ±1.
    ("within_8", &["x"], "larger(smaller(x, 8.0), -8.0)"),
    ("gelu_u", &["x"], "x * (0.7978845608 + 0.0356774081 * (x * x))"),
    ("gelu_half", &["x"], "sigmoid(2.0 * gelu_u(x))"),
    ("gelu", &["x"], "choose(less(8.0, x), x, within_8(x) * gelu_half(within_8(x)))"),
    ("gelu_u1", &["x"], "0.7978845608 + 0.1070322243 * (x * x)"),
    ("gelu_s", &["x"], "4.0 * (gelu_half(x) * sigmoid(-2.0 * gelu_u(x)))"),
    ("gelu_h1", &["x"], "gelu_s(x) * gelu_u1(x)"),
    ("gelu_1_of", &["x"], "gelu_half(x) + 0.5 * x * gelu_h1(x)"),
    ("gelu_1", &["x"], "gelu_1_of(within_8(x))"),
    ("gelu_s1", &["x"], "-2.0 * tanh(gelu_u(x)) * gelu_h1(x)"),
    ("gelu_h2", &["x"], "gelu_s1(x) * gelu_u1(x) + gelu_s(x) * (0.2140644486 * x)"),
    ("gelu_2_of", &["x"], "gelu_h1(x) + 0.5 * x * gelu_h2(x)"),
    ("gelu_2", &["x"], "gelu_2_of(within_8(x))"),
    ("gelu_s2", &["x"], "-2.0 * (gelu_h1(x) * gelu_h1(x) + tanh(gelu_u(x)) * gelu_h2(x))"),
    (
        "gelu_h3",
        &["x"],
        "gelu_s2(x) * gelu_u1(x) + 2.0 * gelu_s1(x) * (0.2140644486 * x) + gelu_s(x) * 0.2140644486",
    ),
    ("gelu_3_of", &["x"], "1.5 * gelu_h2(x) + 0.5 * x * gelu_h3(x)"),
    ("gelu_3", &["x"], "gelu_3_of(within_8(x))"),
];

/// Parameters of a function that is made of others, and what it gives.
pub(super) fn formula_of(name: &str) -> Option<(&'static [&'static str], &'static str)> {
    FORMULAS.iter().find(|f| f.0 == name).map(|f| (f.1, f.2))
}

/// `f(x)` in formulas.
pub(super) fn of_one(f: Func, x: &str) -> String {
    match f {
        Func::Act(a, k) => activation(a, k, x),
        Func::Affine(Num(a), Num(b)) => match (a, b) {
            (-1.0, 0.0) => format!("(-{x})"),
            (1.0, b) => format!("({x} + {})", number(b)),
            (a, 0.0) => format!("({} * {x})", number(a)),
            (a, b) => format!("({} * {x} + {})", number(a), number(b)),
        },
        Func::Exp => format!("exponential({x})"),
        Func::Log => format!("logarithm({x})"),
        Func::Sqrt => format!("root({x})"),
        Func::Rsqrt => format!("(1.0 / root({x}))"),
        Func::Recip => format!("(1.0 / {x})"),
        Func::Slope(Activation::Tanh) => format!("((1.0 - {x}) * (1.0 + {x}))"),
        Func::Slope(Activation::Sigmoid) => format!("({x} * (1.0 - {x}))"),
        // The value has the sign of the argument.
        Func::Slope(a) => activation(a, 1, x),
        Func::Floor => format!("whole({x})"),
        Func::Round => format!("nearest({x})"),
        Func::EightBits(Num(s)) => {
            let s = number(s);
            format!("(larger(smaller(nearest({x} / {s}), 127.0), -128.0) * {s})")
        }
        Func::IsFinite => format!("is_finite({x})"),
    }
}

/// A number in a formula: with a sign in brackets.
pub(super) fn number(x: f64) -> String {
    let text = super::language::digits(x as f32);
    if text.starts_with('-') { format!("({text})") } else { text }
}

fn activation(a: Activation, k: u8, x: &str) -> String {
    match (a, k) {
        (Activation::Identity, 0) => x.into(),
        (Activation::Identity, 1) => "1.0".into(),
        (Activation::Relu, 0) => format!("larger({x}, 0.0)"),
        (Activation::Relu, 1) => format!("less(0.0, {x})"),
        (Activation::LeakyRelu, 0 | 1) | (_, 0) if a != Activation::Sin => match k {
            0 => format!("{}({x})", a.name()),
            _ => format!("{}_{k}({x})", a.name()),
        },
        (Activation::Identity | Activation::Relu | Activation::LeakyRelu, _) => "0.0".into(),
        (Activation::Sin, k) => {
            ["sine(@)", "cosine(@)", "(-sine(@))", "(-cosine(@))"][usize::from(k % 4)].replace('@', x)
        }
        (Activation::Softplus, 1) => format!("sigmoid({x})"),
        (Activation::Softplus, k) => format!("sigmoid_{}({x})", k - 1),
        (a, k) => format!("{}_{k}({x})", a.name()),
    }
}

/// `f(a, b)` in formulas.
pub(super) fn of_two(f: Binary, a: &str, b: &str) -> String {
    match f {
        Binary::Add => format!("({a} + {b})"),
        Binary::Sub => format!("({a} - {b})"),
        Binary::Mul => format!("({a} * {b})"),
        Binary::Div => format!("({a} / {b})"),
        Binary::Max => format!("larger({a}, {b})"),
        Binary::Less => format!("less({a}, {b})"),
        Binary::GreaterEq => format!("not_less({a}, {b})"),
        Binary::Equal => format!("equal({a}, {b})"),
    }
}

/// Definitions that texts in formulas need, each before those that use it.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    order: Vec<String>,
    known: BTreeMap<&'static str, ()>,
}

impl Definitions {
    /// A formula as it is written in a language: functions are called by their whole names and defined, numbers are the language's.
    pub(super) fn write(&mut self, language: &dyn Language, prefix: &str, formula: &str) -> String {
        let (mut out, mut rest) = (String::new(), formula);
        while let Some(first) = rest.chars().next() {
            let len = if first.is_ascii_alphabetic() || first == '_' {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())
            } else if first.is_ascii_digit() {
                number_length(rest)
            } else {
                first.len_utf8()
            };
            let (word, behind) = rest.split_at(len);
            rest = behind;
            if first.is_ascii_digit() && word.contains(['.', 'e']) {
                out.push_str(&language.number(word.parse().unwrap_or(f64::NAN)));
            } else if rest.starts_with('(')
                && let Some(name) = self.define(language, prefix, word)
            {
                out.push_str(&name);
            } else {
                out.push_str(word);
            }
        }
        out
    }

    /// The whole name of a function, which is defined; `None`: it is none of these.
    fn define(&mut self, language: &dyn Language, prefix: &str, name: &str) -> Option<String> {
        let whole = format!("{prefix}_{name}");
        if let Some((name, native)) = NATIVES.iter().find(|n| n.0 == name) {
            if self.known.insert(name, ()).is_none() {
                let many = match native {
                    Native::Larger | Native::Less | Native::Equal => 2,
                    Native::Choose => 3,
                    _ => 1,
                };
                let parameters = &["a", "b", "c"][..many];
                let given: Vec<String> = parameters.iter().map(|p| (*p).into()).collect();
                self.order.push(language.function(&whole, parameters, &language.native(*native, &given)));
            }
            return Some(whole);
        }
        let (name, parameters, formula) = FORMULAS.iter().find(|f| f.0 == name)?;
        if self.known.insert(name, ()).is_none() {
            let value = self.write(language, prefix, formula);
            self.order.push(language.function(&whole, parameters, &value));
        }
        Some(whole)
    }

    /// All of them.
    pub(super) fn text(&self) -> String {
        self.order.iter().map(|f| format!("{f}\n")).collect()
    }
}

/// Length of the number that a text begins with: digits, a point, an exponent.
pub(super) fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let sign = (bytes[at] == b'-' || bytes[at] == b'+') && at > 0 && bytes[at - 1] == b'e';
        let more = bytes[at].is_ascii_digit() || bytes[at] == b'.' || sign;
        // An exponent has digits behind it.
        let exponent = bytes[at] == b'e'
            && bytes.get(at + 1).is_some_and(|b| b.is_ascii_digit() || *b == b'-' || *b == b'+');
        if !(more || exponent) {
            break;
        }
        at += 1;
    }
    at
}
