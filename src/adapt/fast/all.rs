//! All weights of the target.

use super::State;
use crate::adapt::{InnerLoop, InnerProblem, without_context};
use crate::graph::{Graph, Value};
use crate::hyper::HyperSpec;
use crate::net::Weights;
use crate::spec::count;

pub(super) struct All;

impl State for All {
    fn is_in(&self, _: &HyperSpec) -> bool {
        true
    }

    fn tensors(&self, hyper: &HyperSpec) -> Vec<usize> {
        hyper.target.layout().params.iter().map(|p| count(&p.shape)).collect()
    }

    fn network(&self, hyper: &HyperSpec, _: &[f32], fast: &[f32]) -> Vec<f32> {
        without_context(&hyper.target, fast)
    }

    fn folded(&self, g: &mut Graph, inner: &InnerLoop<'_>, _: &InnerProblem, fast: Value) -> Value {
        let target = &inner.hyper.target;
        target.folded(g, Weights { flat: fast, layout: &target.layout() }, None)
    }

    fn start(&self, _: &mut Graph, _: &InnerLoop<'_>, problem: &InnerProblem) -> Value {
        problem.weights
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
        target.apply_by(g, Weights { flat: fast, layout: &target.layout() }, problem.support(), x)
    }
}
