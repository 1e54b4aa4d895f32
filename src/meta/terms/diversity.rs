//! `-λ · ln(10⁻⁶ + mean_t ‖w_t - w̄‖² / P)`: weights of different tasks are held apart.

use super::{Term, TermInput};
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::meta::objective::MetaSpec;

pub(super) struct Diversity;

impl Term for Diversity {
    fn is_asked(&self, spec: &MetaSpec) -> bool {
        spec.diversity > 0.0
    }

    fn add(&self, g: &mut Graph, spec: &MetaSpec, input: &TermInput<'_>, rest: Value) -> Value {
        let weights = input.weights;
        let reward = g.scope("diversity", |g| {
            let [t, p] = g.shape(weights)[..] else { panic!("weights of different tasks are [T, P]") };
            let sum = g.sum_to(weights, &[1, p]);
            let mean = g.scale(sum, 1.0 / t as f64);
            let d = g.sub(weights, mean);
            let square = g.mul(d, d);
            let sum = g.sum_to(square, &[]);
            let spread = g.affine(sum, 1.0 / (t * p) as f64, 1e-6);
            let log = g.map(Func::Log, spread);
            g.scale(log, -spec.diversity)
        });
        g.add(rest, reward)
    }

    fn couples_tasks(&self) -> bool {
        true
    }
}
