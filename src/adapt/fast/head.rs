//! The dense layer that the target ends in. What it reads, the features, is computed once, before the first step; where all tasks
//! share the body, as one product over all rows of all tasks.

use super::State;
use crate::adapt::{InnerLoop, InnerProblem, without_context};
use crate::graph::{Graph, Value};
use crate::hyper::HyperSpec;
use crate::net::{ParamRole, SupportRows, Weights};
use crate::spec::count;

pub(super) struct Head;

impl State for Head {
    fn is_in(&self, hyper: &HyperSpec) -> bool {
        hyper.target.head().is_some()
    }

    fn tensors(&self, hyper: &HyperSpec) -> Vec<usize> {
        let layout = hyper.target.layout();
        layout.params.iter().filter(|p| p.role == ParamRole::Head).map(|p| count(&p.shape)).collect()
    }

    fn network(&self, hyper: &HyperSpec, weights: &[f32], fast: &[f32]) -> Vec<f32> {
        let start = hyper.target.expect_head().range.start;
        without_context(&hyper.target, &[&weights[..start], fast].concat())
    }

    fn folded(&self, g: &mut Graph, inner: &InnerLoop<'_>, problem: &InnerProblem, fast: Value) -> Value {
        let target = &inner.hyper.target;
        let weights = g.expand(problem.weights, &[problem.t, target.layout().len()]);
        let body = g.slice(weights, 1, 0, target.expect_head().range.start);
        let flat = g.concat(&[body, fast], 1);
        target.folded(g, Weights { flat, layout: &target.layout() }, None)
    }

    fn start(&self, g: &mut Graph, inner: &InnerLoop<'_>, problem: &InnerProblem) -> Value {
        let range = inner.hyper.target.expect_head().range;
        let axis = g.shape(problem.weights).len() - 1;
        let head = g.slice(problem.weights, axis, range.start, range.len());
        g.expand(head, &[problem.t, range.len()])
    }

    fn predict(
        &self,
        g: &mut Graph,
        inner: &InnerLoop<'_>,
        problem: &InnerProblem,
        fast: Value,
        x: Value,
    ) -> Value {
        let y = inner.hyper.target.apply_head(g, fast, x);
        match &problem.known {
            Some(known) => known.output(g, inner.kind, y),
            None => y,
        }
    }

    fn inputs(
        &self,
        g: &mut Graph,
        inner: &InnerLoop<'_>,
        weights: Value,
        support: SupportRows,
        x: Value,
    ) -> Value {
        let target = &inner.hyper.target;
        let weights = Weights { flat: weights, layout: &target.layout() };
        g.scope("features", |g| target.features(g, weights, Some(support), x))
    }

    fn shares_weights(&self) -> bool {
        true
    }
}
