//! What a flat vector of weights holds: named parameters, one after another, and how each starts.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Compression;
use crate::rng::Rng;
use crate::spec::{Shape, count};

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Init {
    /// All the same value.
    Constant(f64),
    /// Uniform on `[-bound, bound]`.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform around the first, by up to the second.
    Around(f64, f64),
}

impl Init {
    /// The deviation of what is drawn; of a constant 0.
    pub fn deviation(self) -> f64 {
        match self {
            Init::Uniform(bound) | Init::Around(_, bound) => bound / 3f64.sqrt(),
            Init::Normal(deviation) => deviation,
            Init::Constant(_) => 0.0,
        }
    }

    /// The value around which is drawn.
    pub fn middle(self) -> f64 {
        match self {
            Init::Constant(c) | Init::Around(c, _) => c,
            Init::Uniform(_) | Init::Normal(_) => 0.0,
        }
    }
}

/// What a parameter is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ParamRole {
    /// Anything that is not named below.
    #[default]
    Body,
    /// Gains and shifts of a normalisation.
    Norm,
    /// The dense layer that a net ends in: what ANIL and the closed form adapt.
    Head,
    /// The layer that gives the distribution of a code in a variational autoencoder.
    Code,
    /// What writes a row from its code in one.
    Decoder,
}

impl ParamRole {
    /// All names, as in files.
    pub const NAMES: [&'static str; 5] = ["body", "norm", "head", "code", "decoder"];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        ParamRole::NAMES[self as usize]
    }
}

/// One named parameter in a flat vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Param {
    /// Dotted name, for example `trunk.0.weight`.
    pub name: String,
    /// Its shape; weights of a dense layer are `[in, out]`, row-major.
    pub shape: Shape,
    /// First element in the flat vector.
    pub offset: usize,
    /// How it starts.
    pub init: Init,
    /// What it is for.
    pub role: ParamRole,
}

impl Param {
    /// Whether `name` is its name, or the first parts of it.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Whether it is the kernels of a convolution, `[.., in, out]` with a window before.
    pub fn is_kernel(&self) -> bool {
        self.shape.len() > 2
    }

    /// Fan-in and fan-out: of a weight `[.., in, out]` how many values an output is summed from, and how many outputs a value goes
    /// into; `None` for a bias.
    pub fn fans(&self) -> Option<(usize, usize)> {
        let [window @ .., inputs, outputs] = &self.shape[..] else { return None };
        Some((count(window) * inputs, count(window) * outputs))
    }

    /// Where the parameter lies in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + count(&self.shape)
    }
}

/// What a flat vector of `P` weights holds: names, shapes, offsets and initial distributions.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct ParamLayout {
    /// The parameters, in order of their offsets, without gaps.
    pub params: Vec<Param>,
    /// What matrices are wherever they are used.
    #[serde(skip)]
    pub(super) compression: Compression,
}

impl ParamLayout {
    /// Appends a parameter of the body.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> &mut Param {
        let (at, offset) = (self.params.len(), self.len());
        let (name, shape, role) = (name.into(), shape.to_vec(), ParamRole::Body);
        self.params.push(Param { name, shape, offset, init, role });
        &mut self.params[at]
    }

    /// Appends another layout, each name prefixed with `prefix.`.
    pub fn extend(&mut self, prefix: &str, other: &ParamLayout) {
        for p in &other.params {
            self.push(format!("{prefix}.{}", p.name), &p.shape, p.init).role = p.role;
        }
    }

    /// `P`: the number of weights.
    pub fn len(&self) -> usize {
        self.params.last().map_or(0, |p| p.range().end)
    }

    /// Whether there is no weight at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A vector of initial weights.
    pub fn init(&self, rng: &mut Rng) -> Vec<f32> {
        let mut w = Vec::with_capacity(self.len());
        for p in &self.params {
            for _ in 0..count(&p.shape) {
                w.push(match p.init {
                    Init::Constant(c) => c,
                    Init::Uniform(b) => rng.range(-b, b),
                    Init::Normal(s) => s * rng.normal(),
                    Init::Around(middle, b) => rng.range(middle - b, middle + b),
                } as f32);
            }
        }
        w
    }

    /// The vector in segments, in order: each with whether its parameters are called one of `names` (`trunk` is all of
    /// `trunk.0.weight`, `trunk.0.bias`, …).
    pub fn segments(&self, names: &[String]) -> Vec<(Range<usize>, bool)> {
        self.segments_by(|p| names.iter().any(|n| p.is_called(n)))
    }

    /// The vector in segments, in order: each with what is said of its parameters.
    pub fn segments_by(&self, of: impl Fn(&Param) -> bool) -> Vec<(Range<usize>, bool)> {
        let mut all: Vec<(Range<usize>, bool)> = Vec::new();
        for p in &self.params {
            let named = of(p);
            match all.last_mut() {
                Some((range, same)) if *same == named => range.end = p.range().end,
                _ => all.push((p.range(), named)),
            }
        }
        all
    }

    /// The parameter called `name`.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name == name)
    }
}
