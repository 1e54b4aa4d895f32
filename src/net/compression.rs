//! Networks of fewer bytes: matrices whose smallest numbers are 0 and whose others are whole numbers times a scale (Jacob et al. 2018: symmetric, 8 bits).
//!
//! A network with a [`Compression`] uses its matrices so wherever it runs: when it is trained, when it adapts and when it predicts. The gradient goes to the numbers
//! as they are before (straight through: Bengio et al. 2013), so what learns knows what will become of it. Vectors (biases, gains, shifts) stay as they are.
//!
//! ```
//! use hyperloom::net::{Compression, Net, Numbers};
//! use hyperloom::spec::Activation::Tanh;
//!
//! let net = Net::mlp(&[2, 3, 1], Tanh).compressed(Compression::new(Numbers::Int8, 0.5));
//! let mut weights = vec![0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 9.0, 9.0, 9.0, 1.0, 0.01, -1.0, 9.0];
//! net.compress(&mut weights);
//! // Of the first matrix, six numbers, the three smallest are 0; biases are as they were.
//! assert_eq!(weights[..9], [0.0, 0.0, 0.0, -0.4, 0.5, -0.6, 9.0, 9.0, 9.0]);
//! ```

use serde::{Deserialize, Serialize};

use super::layout::{Param, ParamLayout};
use crate::graph::op::{Binary, Func, Num};
use crate::graph::{Graph, Value};
use crate::spec::count;

/// Halvings by which the border between small and large numbers is found.
const HALVINGS: usize = 24;
/// Numbers that share a scale where four bits are left of each.
const GROUP: usize = 32;

/// How numbers of matrices are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Numbers {
    /// As they are, 32 bits.
    #[default]
    #[serde(rename = "f32")]
    F32,
    /// 16 bits of floating point: how files hold numbers. What runs has them in 32 bits.
    #[serde(rename = "f16")]
    F16,
    /// Whole numbers from -127 to 127 times a scale for each output (of kernels: each output channel).
    #[serde(rename = "int8")]
    Int8,
    /// The same with one scale for a whole matrix.
    #[serde(rename = "int8-tensor")]
    Int8Tensor,
    /// Whole numbers from -7 to 7 times a scale for each 32 that follow one another, row by row.
    #[serde(rename = "int4")]
    Int4,
}

impl Numbers {
    /// All of them.
    pub const ALL: [Numbers; 5] =
        [Numbers::F32, Numbers::F16, Numbers::Int8, Numbers::Int8Tensor, Numbers::Int4];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Numbers::F32 => "f32",
            Numbers::F16 => "f16",
            Numbers::Int8 => "int8",
            Numbers::Int8Tensor => "int8-tensor",
            Numbers::Int4 => "int4",
        }
    }

    /// The largest whole number; `None`: numbers are as they are.
    pub(crate) fn largest(self) -> Option<f32> {
        match self {
            Numbers::F32 | Numbers::F16 => None,
            Numbers::Int8 | Numbers::Int8Tensor => Some(127.0),
            Numbers::Int4 => Some(7.0),
        }
    }

    /// Which of the scales of a matrix of `n` numbers in rows of `o` is that of the `i`-th.
    fn scale_of(self, i: usize, o: usize) -> usize {
        match self {
            Numbers::F32 | Numbers::F16 | Numbers::Int8Tensor => 0,
            Numbers::Int8 => i % o,
            Numbers::Int4 => i / GROUP,
        }
    }

    /// How many scales a matrix of `n` numbers in rows of `o` has.
    pub(crate) fn scales(self, n: usize, o: usize) -> usize {
        match self {
            Numbers::F32 | Numbers::F16 => 0,
            Numbers::Int8Tensor => 1,
            Numbers::Int8 => o,
            Numbers::Int4 => n.div_ceil(GROUP),
        }
    }
}

/// Among which numbers the smallest are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Among {
    /// Among those of the same matrix.
    #[default]
    Matrix,
    /// Among those of all matrices of a network, which has learned: one that learns knows its matrices one by one.
    Network,
}

/// What matrices of a network are wherever they are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Compression {
    /// How their numbers are held.
    pub numbers: Numbers,
    /// Share of each matrix that is 0: its numbers of the smallest size. At least 0, less than 1.
    pub prune: f64,
    /// Among which these are the smallest.
    pub among: Among,
}

/// A matrix as whole numbers, row by row, and their scales.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Quantised {
    /// How they are held.
    pub numbers: Numbers,
    /// Length of a row: its last axis.
    pub row: usize,
    /// Whole numbers.
    pub whole: Vec<i8>,
    /// Scales, in order: one for each output, one in all, or one for each 32 numbers.
    pub scales: Vec<f32>,
}

impl Compression {
    /// These numbers, and this share of each matrix 0.
    pub fn new(numbers: Numbers, prune: f64) -> Compression {
        Compression { numbers, prune, among: Among::Matrix }
    }

    /// Whether matrices are as they are.
    pub fn is_none(&self) -> bool {
        *self == Compression::default()
    }

    /// Whether its whole numbers have eight bits.
    pub fn is_of_eight_bits(&self) -> bool {
        matches!(self.numbers, Numbers::Int8 | Numbers::Int8Tensor)
    }

    /// Refuses a share that is none, and numbers that no network computes with.
    ///
    /// # Errors
    /// What would be right.
    pub fn check(&self) -> Result<(), String> {
        if self.numbers == Numbers::F16 {
            return Err(
                "f16 is how files hold numbers: f32, int8, int8-tensor and int4 are what networks use".into(),
            );
        }
        if self.among == Among::Network && self.prune > 0.0 {
            return Err("while a network learns, the smallest numbers are those of each matrix".into());
        }
        self.check_share()
    }

    /// Refuses a share that is none.
    ///
    /// # Errors
    /// What would be right.
    pub fn check_share(&self) -> Result<(), String> {
        match (0.0..1.0).contains(&self.prune) {
            true => Ok(()),
            false => Err(format!(
                "a share of {} of each matrix cannot be 0: at least 0 and less than 1 can",
                self.prune
            )),
        }
    }

    /// Whether it is about this parameter: a matrix or kernels.
    pub(crate) fn reads(param: &Param) -> bool {
        param.fans().is_some() && !param.name.ends_with(".context")
    }

    /// How many of `n` numbers are 0 at least: of halves the even number.
    fn zeros(&self, n: usize) -> usize {
        ((self.prune * n as f64).round_ties_even() as usize).min(n.saturating_sub(1))
    }

    /// A parameter `[.., shape]` as it is used; gradients go to it as it is.
    pub(super) fn of(&self, g: &mut Graph, value: Value, shape: &[usize]) -> Value {
        if self.is_none() {
            return value;
        }
        let full = g.shape(value).to_vec();
        let n = count(shape);
        let t = count(&full) / n;
        let mut used = g.reshape(value, &[t, n]);
        used = g.stop_gradient(used);
        let zeros = self.zeros(n);
        if zeros > 0 {
            used = larger_ones(g, used, zeros);
        }
        if let Some(most) = self.numbers.largest() {
            used = self.rounded(g, used, shape[shape.len() - 1], most);
        }
        let used = g.reshape(used, &full);
        straight_through(g, value, used)
    }

    /// Numbers `[t, n]`, row by row of `o`, as whole numbers up to `most` times scales.
    fn rounded(&self, g: &mut Graph, value: Value, o: usize, most: f32) -> Value {
        let [t, n] = g.shape(value)[..] else { panic!("matrices are flat") };
        // Scales belong to what lies along the middle axis.
        let parts = match self.numbers {
            Numbers::Int8 => [t, n / o, o],
            Numbers::Int4 => [t, GROUP, n.div_ceil(GROUP)],
            Numbers::Int8Tensor | Numbers::F32 | Numbers::F16 => [t, n, 1],
        };
        let apart = match self.numbers {
            Numbers::Int4 => {
                let whole = g.pad(value, 1, 0, parts[1] * parts[2]);
                let groups = g.reshape(whole, &[t, parts[2], parts[1]]);
                g.permute(groups, &[0, 2, 1])
            }
            _ => g.reshape(value, &parts),
        };
        let size = sizes(g, apart);
        let largest = largest(g, size, 1);
        let (zero, one) = (g.constant(0.0), g.constant(1.0));
        let [zero, one] = [zero, one].map(|v| g.expand(v, &[t, 1, parts[2]]));
        let step = g.constant(f64::from(most));
        let step = g.expand(step, &[t, 1, parts[2]]);
        let scale = g.div(largest, step);
        let some = g.zip(Binary::Less, zero, scale);
        let scale = g.select(some, scale, one);
        let whole = g.div(apart, scale);
        let whole = g.map(Func::Round, whole);
        let rounded = g.mul(whole, scale);
        match self.numbers {
            Numbers::Int4 => {
                let groups = g.permute(rounded, &[0, 2, 1]);
                let flat = g.reshape(groups, &[t, parts[1] * parts[2]]);
                g.slice(flat, 1, 0, n)
            }
            _ => g.reshape(rounded, &[t, n]),
        }
    }

    /// A matrix of this shape with its smallest numbers 0 and the others rounded, as [`Compression::of`] has it.
    fn compress(&self, values: &mut [f32], shape: &[usize]) {
        if self.among == Among::Matrix {
            let border = border(&[values], self.zeros(values.len()));
            prune(values, border);
        }
        if self.numbers == Numbers::F16 {
            round_to_halves(values);
        }
        if let Some(q) = Quantised::of(self.numbers, values, shape) {
            values.copy_from_slice(&q.values());
        }
    }
}

impl Quantised {
    /// A matrix of this shape; `None` where its numbers stay as they are.
    pub fn of(numbers: Numbers, values: &[f32], shape: &[usize]) -> Option<Quantised> {
        let most = numbers.largest()?;
        let row = shape.last().copied().unwrap_or(1);
        let mut scales = vec![0f32; numbers.scales(values.len(), row)];
        for (i, v) in values.iter().enumerate() {
            let scale = &mut scales[numbers.scale_of(i, row)];
            *scale = scale.max(v.abs());
        }
        for scale in &mut scales {
            *scale = settled_scale(*scale, most);
        }
        let whole = |(i, v): (usize, &f32)| {
            (v / scales[numbers.scale_of(i, row)]).round_ties_even().clamp(-most, most) as i8
        };
        let whole = values.iter().enumerate().map(whole).collect();
        Some(Quantised { numbers, row, whole, scales })
    }

    /// The numbers that they stand for.
    pub fn values(&self) -> Vec<f32> {
        let value = |(i, q): (usize, &i8)| f32::from(*q) * self.scales[self.numbers.scale_of(i, self.row)];
        self.whole.iter().enumerate().map(value).collect()
    }
}

/// The scale by which `largest` is `most`, of neighbours one that comes back from what it makes of `most`: what was rounded once stays as it is.
fn settled_scale(largest: f32, most: f32) -> f32 {
    if largest == 0.0 || largest / most == 0.0 {
        return 1.0;
    }
    let mut scale = largest / most;
    for _ in 0..8 {
        let again = scale * most / most;
        if again == scale {
            break;
        }
        scale = again;
    }
    scale
}

/// The nearest numbers of 16 bits.
fn round_to_halves(values: &mut [f32]) {
    values.iter_mut().for_each(|v| *v = half::f16::from_f32(*v).to_f32());
}

/// The size below which lie the `zeros` smallest numbers, as [`larger_ones`] finds it.
fn border(values: &[&[f32]], zeros: usize) -> f32 {
    if zeros == 0 {
        return 0.0;
    }
    let sizes = || values.iter().flat_map(|v| v.iter()).map(|v| v.abs());
    let (mut low, mut high) = (0f32, sizes().fold(0f32, f32::max));
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        let below = sizes().filter(|v| *v < middle).count();
        *(if below <= zeros { &mut low } else { &mut high }) = middle;
    }
    low
}

fn prune(values: &mut [f32], border: f32) {
    values.iter_mut().filter(|v| v.abs() < border).for_each(|v| *v = 0.0);
}

/// Numbers `[t, n]` with `zeros` of each row 0, the smallest, or less where others are as small: the border between them lies between 0 and the largest, in a range that is
/// halved again and again.
fn larger_ones(g: &mut Graph, value: Value, zeros: usize) -> Value {
    let [t, n] = g.shape(value)[..] else { panic!("matrices are flat") };
    let size = sizes(g, value);
    let high = largest(g, size, 1);
    let zero = g.constant(0.0);
    let low = g.expand(zero, &[t, 1]);
    let (ends, _) = g.scan(HALVINGS, &[low, high], &[size], &[], |g, args| {
        let ([low, high], size) = ([args.carried[0], args.carried[1]], args.constants[0]);
        let sum = g.add(low, high);
        let middle = g.scale(sum, 0.5);
        let border = g.expand(middle, &[t, n]);
        let below = g.zip(Binary::Less, size, border);
        let below = g.sum_to(below, &[t, 1]);
        let most = g.constant(zeros as f64);
        let most = g.expand(most, &[t, 1]);
        let few = g.zip(Binary::GreaterEq, most, below);
        (vec![g.select(few, middle, low), g.select(few, high, middle)], vec![])
    });
    let border = g.expand(ends[0], &[t, n]);
    let kept = g.zip(Binary::GreaterEq, size, border);
    g.mul(value, kept)
}

/// Numbers as whole ones from -128 to 127 times a scale; gradients go to them as they are.
pub(super) fn in_eight_bits(g: &mut Graph, x: Value, scale: f64) -> Value {
    let held = g.stop_gradient(x);
    let used = g.map(Func::EightBits(Num(scale)), held);
    straight_through(g, x, used)
}

/// What is used in place of a value, with the gradient of the value.
fn straight_through(g: &mut Graph, value: Value, used: Value) -> Value {
    let used = g.stop_gradient(used);
    // 0, whose gradient is that of the value.
    let held = g.stop_gradient(value);
    let through = g.sub(value, held);
    g.add(used, through)
}

/// `|v|`
fn sizes(g: &mut Graph, v: Value) -> Value {
    let minus = g.scale(v, -1.0);
    g.zip(Binary::Max, v, minus)
}

/// The largest along an axis, which becomes 1: of halves that may overlap the larger, again and again.
fn largest(g: &mut Graph, mut v: Value, axis: usize) -> Value {
    loop {
        let n = g.shape(v)[axis];
        if n == 1 {
            return v;
        }
        let half = n.div_ceil(2);
        let [first, second] = [0, n - half].map(|start| g.slice(v, axis, start, half));
        v = g.zip(Binary::Max, first, second);
    }
}

impl ParamLayout {
    /// Flat weights with their matrices as they are used; in halves all are rounded.
    pub fn compress(&self, compression: &Compression, weights: &mut [f32]) {
        if compression.among == Among::Network {
            let ranges: Vec<_> =
                self.params.iter().filter(|p| Compression::reads(p)).map(Param::range).collect();
            let all: Vec<&[f32]> = ranges.iter().map(|r| &weights[r.clone()]).collect();
            let border = border(&all, compression.zeros(all.iter().map(|v| v.len()).sum()));
            ranges.into_iter().for_each(|range| prune(&mut weights[range], border));
        }
        for param in &self.params {
            let values = &mut weights[param.range()];
            match Compression::reads(param) {
                true => compression.compress(values, &param.shape),
                false if compression.numbers == Numbers::F16 => round_to_halves(values),
                false => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rounded_once_stays_as_it_is() {
        let mut rng = crate::rng::Rng::new(3, 0);
        for numbers in Numbers::ALL {
            for size in [1e-3, 1.0, 77.0] {
                let mut once: Vec<f32> = (0..70).map(|_| (size * rng.normal()) as f32).collect();
                let compression = Compression::new(numbers, 0.3);
                compression.compress(&mut once, &[10, 7]);
                assert!((21..=35).contains(&once.iter().filter(|v| **v == 0.0).count()));
                let mut twice = once.clone();
                compression.compress(&mut twice, &[10, 7]);
                assert_eq!(once, twice, "{numbers:?}");
            }
        }
        let zeros = Quantised::of(Numbers::Int8, &[0.0; 6], &[3, 2]).map(|q| q.values());
        assert_eq!(zeros, Some(vec![0.0; 6]));
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        for (prune, sound) in [(0.0, true), (0.999, true), (1.0, false), (-0.1, false), (f64::NAN, false)] {
            assert_eq!(Compression::new(Numbers::F32, prune).check().is_ok(), sound, "{prune}");
        }
        assert_eq!(Compression::new(Numbers::F32, 0.999).zeros(1), 0);
    }
}
