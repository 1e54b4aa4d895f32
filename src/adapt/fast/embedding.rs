//! The task's embedding: the hypernetwork writes all weights anew from it.

use super::State;
use crate::adapt::{InnerLoop, InnerProblem, without_context};
use crate::graph::{Graph, Value};
use crate::hyper::HyperSpec;
use crate::net::Weights;

pub(super) struct Embedding;

impl State for Embedding {
    fn is_in(&self, hyper: &HyperSpec) -> bool {
        hyper.condition.embedding.is_some() && !hyper.generator.reads_rows()
    }

    fn tensors(&self, hyper: &HyperSpec) -> Vec<usize> {
        vec![hyper.condition.embedding.as_ref().map_or(0, |e| e.width)]
    }

    fn network(&self, hyper: &HyperSpec, weights: &[f32], _: &[f32]) -> Vec<f32> {
        without_context(&hyper.target, weights)
    }

    fn folded(&self, g: &mut Graph, inner: &InnerLoop<'_>, problem: &InnerProblem, fast: Value) -> Value {
        let (target, flat) = (&inner.hyper.target, inner.generated(g, problem, fast));
        target.folded(g, Weights { flat, layout: &target.layout() }, None)
    }

    fn start(&self, g: &mut Graph, inner: &InnerLoop<'_>, problem: &InnerProblem) -> Value {
        let range = inner.hyper.condition.embedding_range();
        let Some((z, _)) = problem.reads else { panic!("an embedding is read") };
        g.slice(z, 1, range.start, range.len())
    }

    fn predict(
        &self,
        g: &mut Graph,
        inner: &InnerLoop<'_>,
        problem: &InnerProblem,
        fast: Value,
        x: Value,
    ) -> Value {
        let (target, w) = (&inner.hyper.target, inner.generated(g, problem, fast));
        target.apply_by(g, Weights { flat: w, layout: &target.layout() }, problem.support(), x)
    }

    fn rewrites(&self) -> bool {
        true
    }
}
