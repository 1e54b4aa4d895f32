//! Context parameters: further inputs of the target that belong to the task. They start at 0.

use super::State;
use crate::adapt::{InnerLoop, InnerProblem};
use crate::graph::{Graph, Value};
use crate::hyper::HyperSpec;
use crate::net::Weights;

pub(super) struct Context;

impl State for Context {
    fn is_in(&self, hyper: &HyperSpec) -> bool {
        hyper.target.context_width() > 0
    }

    fn tensors(&self, hyper: &HyperSpec) -> Vec<usize> {
        vec![hyper.target.context_width()]
    }

    fn network(&self, hyper: &HyperSpec, weights: &[f32], fast: &[f32]) -> Vec<f32> {
        hyper.target.fold_context(weights, fast)
    }

    fn folded(&self, g: &mut Graph, inner: &InnerLoop<'_>, problem: &InnerProblem, fast: Value) -> Value {
        let target = &inner.hyper.target;
        target.folded(g, Weights { flat: problem.weights, layout: &target.layout() }, Some(fast))
    }

    fn start(&self, g: &mut Graph, inner: &InnerLoop<'_>, problem: &InnerProblem) -> Value {
        let zero = g.constant(0.0);
        g.expand(zero, &[problem.t, inner.hyper.target.context_width()])
    }

    fn predict(
        &self,
        g: &mut Graph,
        inner: &InnerLoop<'_>,
        problem: &InnerProblem,
        fast: Value,
        x: Value,
    ) -> Value {
        let target = &inner.hyper.target;
        let weights = Weights { flat: problem.weights, layout: &target.layout() };
        target.apply_in_context(g, weights, Some(problem.support()), x, fast)
    }
}
