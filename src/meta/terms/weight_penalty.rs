//! `λ · mean_t ‖w_t‖²`

use super::{Term, TermInput};
use crate::graph::{Graph, Value};
use crate::meta::objective::MetaSpec;

pub(super) struct WeightPenalty;

impl Term for WeightPenalty {
    fn is_asked(&self, spec: &MetaSpec) -> bool {
        spec.weight_penalty > 0.0
    }

    fn add(&self, g: &mut Graph, spec: &MetaSpec, input: &TermInput<'_>, rest: Value) -> Value {
        let penalty = g.scope("penalty", |g| {
            let square = g.mul(input.weights, input.weights);
            let sum = g.sum_to(square, &[]);
            let tasks = match g.shape(input.weights)[..] {
                [t, _] => t,
                _ => 1,
            };
            g.scale(sum, spec.weight_penalty / tasks as f64)
        });
        g.add(rest, penalty)
    }
}
