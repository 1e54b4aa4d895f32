//! The head in closed form: Bayesian linear regression around the generated one ([`crate::adapt::closed_form`]).

use std::rc::Rc;

use super::{Known, Solve};
use crate::adapt::closed_form::{self, Prior, SupportFeatures};
use crate::graph::{Graph, Value};
use crate::net::{Head, ParamLayout, Weights};
use crate::task::Loss;

pub(super) struct Ridge;

impl Solve for Ridge {
    fn layout(&self, head: &Head) -> ParamLayout {
        closed_form::layout(head)
    }

    fn known(&self, g: &mut Graph, params: Weights<'_>, t: usize, head: &Head) -> Rc<dyn Known> {
        Rc::new(Prior::read(g, params, t, head))
    }

    fn has_evidence(&self) -> bool {
        true
    }
}

impl Known for Prior {
    fn solve(&self, g: &mut Graph, head: &Head, seen: SupportFeatures) -> Value {
        Prior::solve(self, g, head, seen)
    }

    fn output(&self, g: &mut Graph, kind: Loss, y: Value) -> Value {
        Prior::output(self, g, kind, y)
    }

    fn variance(&self, g: &mut Graph, head: &Head, seen: SupportFeatures, xq: Value) -> Option<Value> {
        Some(Prior::variance(self, g, head, seen, xq))
    }

    fn evidence(&self, g: &mut Graph, head: &Head, seen: SupportFeatures) -> Option<(Value, Value)> {
        Some(Prior::evidence(self, g, head, seen))
    }
}
