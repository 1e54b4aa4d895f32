//! Rules: what a step of adaptation does with a gradient. A rule is one file here and one row of the table.

mod adam;
mod momentum;
mod sgd;

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Value};

/// The decay of a velocity, and Adam's β₁.
const MOMENTUM: f64 = 0.9;

/// A rule of gradient steps, as graph.
pub(super) trait Descend {
    /// What a task carries from step to step beside its fast state of width `s`: name, width, and the value it starts with.
    fn moments(&self, _s: usize) -> Vec<(&'static str, usize, f32)> {
        vec![]
    }

    /// The fast state after a step, then what is carried; `state` has both as they are before it.
    fn step(&self, g: &mut Graph, d: &Descent, state: &[Value]) -> Vec<Value>;
}

/// A gradient, and how far to follow it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descent {
    /// `[T, S]`
    pub(super) grad: Value,
    /// Brings it down to the norm that is allowed, `[T, 1]`.
    pub(super) factor: Value,
    /// Learned step sizes `[T, S]`.
    pub(super) rates: Option<Value>,
    /// The step size where none is learned.
    pub(super) rate: f64,
}

impl Descent {
    /// The gradient, clipped.
    fn clipped(&self, g: &mut Graph) -> Value {
        g.mul(self.grad, self.factor)
    }

    /// `fast - α · direction`
    fn along(&self, g: &mut Graph, fast: Value, direction: Value) -> Value {
        let step = match self.rates {
            Some(rates) => g.mul(direction, rates),
            None => g.scale(direction, self.rate),
        };
        g.sub(fast, step)
    }
}

/// One row a rule: its variant, its name in files, what it does with a gradient (the closed form takes none).
macro_rules! table {
    ($($(#[$doc:meta])* $variant:ident $name:literal $descend:expr,)*) => {
        /// What a step of adaptation does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Rule { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Rule {
            /// How it descends; `None` where it takes no gradient.
            pub(super) fn descent(self) -> Option<&'static dyn Descend> {
                match self { $(Rule::$variant => $descend,)* }
            }
        }
    };
}

table! {
    /// Gradient descent: `s ← s - α g`.
    Sgd "sgd" Some(&sgd::Sgd),
    /// Descent with momentum .9: `v ← .9 v + g; s ← s - α v`.
    Momentum "momentum" Some(&momentum::Momentum),
    /// Adam (Kingma and Ba 2015), ε inside the root so that the step can be differentiated where a gradient is 0.
    Adam "adam" Some(&adam::Adam),
    /// The head in closed form: Bayesian linear regression around the generated one ([`super::closed_form`]).
    Ridge "ridge" None,
}

impl Rule {
    /// Whether a step is the exact solution.
    pub fn is_closed_form(self) -> bool {
        self.descent().is_none()
    }
}
