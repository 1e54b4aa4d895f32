//! `v ← .9 v + g; s ← s - α v`

use super::{Descend, Descent, MOMENTUM};
use crate::graph::{Graph, Value};

pub(super) struct Momentum;

impl Descend for Momentum {
    fn moments(&self, s: usize) -> Vec<(&'static str, usize, f32)> {
        vec![("velocity", s, 0.0)]
    }

    fn step(&self, g: &mut Graph, d: &Descent, state: &[Value]) -> Vec<Value> {
        let grad = d.clipped(g);
        let kept = g.scale(state[1], MOMENTUM);
        let velocity = g.add(kept, grad);
        vec![d.along(g, state[0], velocity), velocity]
    }
}
