//! Rules: what a step of adaptation does with a gradient. A rule is one file here and one row of the table.

mod adam;
mod momentum;
mod prototypes;
mod ridge;
mod sgd;

use std::fmt::Debug;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::closed_form::SupportFeatures;
use crate::graph::{Graph, Value};
use crate::net::{Head, ParamLayout, Weights};
use crate::task::Loss;

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

/// A rule that finds the head of the target at once, as graph.
pub(super) trait Solve {
    /// What is learned for it, beside the networks.
    fn layout(&self, head: &Head) -> ParamLayout;

    /// What is known of `t` tasks before their support is seen.
    fn known(&self, g: &mut Graph, params: Weights<'_>, t: usize, head: &Head) -> Rc<dyn Known>;

    /// Whether only tasks of classes can be solved so.
    fn needs_classes(&self) -> bool {
        false
    }

    /// Whether it knows the evidence that networks are weighed by.
    fn has_evidence(&self) -> bool {
        false
    }
}

/// What a rule that solves knows of a batch of tasks.
pub(super) trait Known: Debug {
    /// The head, flat `[T, S]`.
    fn solve(&self, g: &mut Graph, head: &Head, seen: SupportFeatures) -> Value;

    /// What a prediction `[T, n, o]` of the head means: values, or logits.
    fn output(&self, g: &mut Graph, kind: Loss, y: Value) -> Value;

    /// Predictive variance `[T, q]` of values on rows with features `[T, q, f]`.
    fn variance(&self, _: &mut Graph, _: &Head, _: SupportFeatures, _: Value) -> Option<Value> {
        None
    }

    /// Log density of the support targets `[T]`: of the generated network, and of what adaptation may reach.
    fn evidence(&self, _: &mut Graph, _: &Head, _: SupportFeatures) -> Option<(Value, Value)> {
        None
    }
}

/// How a rule changes the fast state.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// Step by step, along gradients.
    Descend(&'static dyn Descend),
    /// At once.
    Solve(&'static dyn Solve),
}

/// One row a rule: its variant, its name in files, how it changes the fast state.
macro_rules! table {
    ($($(#[$doc:meta])* $variant:ident $name:literal $way:ident $rule:expr,)*) => {
        /// What a step of adaptation does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Rule { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Rule {
            pub(super) fn way(self) -> Way {
                match self { $(Rule::$variant => Way::$way(&$rule),)* }
            }
        }
    };
}

table! {
    /// Gradient descent: `s ← s - α g`.
    Sgd "sgd" Descend sgd::Sgd,
    /// Descent with momentum .9: `v ← .9 v + g; s ← s - α v`.
    Momentum "momentum" Descend momentum::Momentum,
    /// Adam (Kingma and Ba 2015), ε inside the root so that the step can be differentiated where a gradient is 0.
    Adam "adam" Descend adam::Adam,
    /// The head in closed form: Bayesian linear regression around the generated one ([`super::closed_form`]).
    Ridge "ridge" Solve ridge::Ridge,
    /// The head by class means of the features (Snell et al. 2017).
    Prototypes "prototypes" Solve prototypes::Prototypes,
}

impl Rule {
    /// Whether a step is the exact solution.
    pub fn is_closed_form(self) -> bool {
        self.solution().is_some()
    }

    /// Whether only tasks of classes can be adapted to so.
    pub fn needs_classes(self) -> bool {
        self.solution().is_some_and(Solve::needs_classes)
    }

    /// Whether it knows the evidence that networks are weighed by ([`super::Gate`]).
    pub fn has_evidence(self) -> bool {
        self.solution().is_some_and(Solve::has_evidence)
    }

    pub(super) fn solution(self) -> Option<&'static dyn Solve> {
        if let Way::Solve(rule) = self.way() { Some(rule) } else { None }
    }

    pub(super) fn descent(self) -> Option<&'static dyn Descend> {
        if let Way::Descend(rule) = self.way() { Some(rule) } else { None }
    }
}
