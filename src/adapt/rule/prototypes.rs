//! Prototypes (Snell et al. 2017): the support pictures of a class are one point, the mean of their features, and a row belongs to the
//! class whose point is nearest. With features φ and the mean c of a class its logit is `-s ‖φ - c‖²`, but for what is the same for all
//! classes: a head with weights `2 c` and the bias `-‖c‖²`, times the learned scale s. A class without support rows has the mean of all rows.

use std::rc::Rc;

use super::{Known, Solve};
use crate::adapt::closed_form::{self, LOG_UNIT, SupportFeatures};
use crate::graph::op::Binary;
use crate::graph::{Graph, Value};
use crate::net::{Head, Init, ParamLayout, Weights};
use crate::task::Loss;

pub(super) struct Prototypes;

/// What squared distances are multiplied by, `[T, 1, 1]`.
#[derive(Clone, Copy, Debug)]
struct Scale(Value);

impl Solve for Prototypes {
    fn layout(&self, head: &Head) -> ParamLayout {
        let mut layout = ParamLayout::default();
        // Squared distances of features of order one grow with their number.
        let start = Init::Constant((1.0 / head.features as f64).ln() / LOG_UNIT);
        layout.push(closed_form::LOG_SCALE, &[1], start);
        layout
    }

    fn known(&self, g: &mut Graph, params: Weights<'_>, t: usize, _: &Head) -> Rc<dyn Known> {
        Rc::new(Scale(closed_form::positive(g, params, closed_form::LOG_SCALE, t, 1)))
    }

    fn needs_classes(&self) -> bool {
        true
    }
}

impl Known for Scale {
    fn solve(&self, g: &mut Graph, head: &Head, seen: SupportFeatures) -> Value {
        g.scope("prototypes", |g| {
            let SupportFeatures { before, x, y, rows, .. } = seen;
            let (f, o) = (head.features, head.outputs);
            let [t, n, _] = g.shape(x)[..] else { panic!("features are [T, n, f]") };
            // The share of each row in its class, [T, n, o]: rows that do not count have none.
            let rows = g.reshape(rows, &[t, n, 1]);
            let member = g.mul(y, rows);
            let total = g.sum_to(member, &[t, 1, o]);
            let none = g.constant(0.0);
            let there = g.zip(Binary::Less, none, total);
            let any = g.sum_to(rows, &[t, 1, 1]);
            let count = g.select(there, total, any);
            let share = g.select(there, member, rows);
            let share = g.div(share, count);
            let mean = g.matmul_t(x, true, share, false);
            let square = g.mul(mean, mean);
            let square = g.sum_to(square, &[t, 1, o]);
            let [weights, bias] = [g.scale(mean, 2.0), g.scale(square, -1.0)];
            let all = g.concat(&[weights, bias], 1);
            debug_assert_eq!(g.shape(all), [t, f + 1, o]);
            let shape = g.shape(before).to_vec();
            g.reshape(all, &shape)
        })
    }

    fn output(&self, g: &mut Graph, _: Loss, y: Value) -> Value {
        g.mul(y, self.0)
    }
}
