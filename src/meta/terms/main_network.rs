//! `λ L_main(θ) + (1 - λ) ·` all other terms: θ is the head's bias, which every task's weights are a correction to, on all rows of
//! all tasks.

use super::{Term, TermInput};
use crate::graph::{Graph, Value};
use crate::meta::objective::{MetaSpec, pooled};
use crate::net::Weights;

pub(super) struct MainNetwork;

impl Term for MainNetwork {
    fn is_asked(&self, spec: &MetaSpec) -> bool {
        spec.joint_lambda > 0.0
    }

    fn add(&self, g: &mut Graph, spec: &MetaSpec, input: &TermInput<'_>, rest: Value) -> Value {
        let (target, lambda) = (&spec.hyper.target, spec.joint_lambda);
        let theta = input.params.get(g, "head.bias");
        let main = g.scope("main", |g| {
            pooled(g, target, Weights { flat: theta, layout: &target.layout() }, input.batch, input.kind)
        });
        let (main, rest) = (g.scale(main, lambda), g.scale(rest, 1.0 - lambda));
        g.add(main, rest)
    }
}
