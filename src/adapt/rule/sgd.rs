//! `s ← s - α g`

use super::{Descend, Descent};
use crate::graph::{Graph, Value};

pub(super) struct Sgd;

impl Descend for Sgd {
    fn step(&self, g: &mut Graph, d: &Descent, state: &[Value]) -> Vec<Value> {
        // A fixed rate goes into the factor: one number a task instead of S.
        let step = match d.rates {
            Some(rates) => {
                let clipped = d.clipped(g);
                g.mul(clipped, rates)
            }
            None => {
                let rate = g.scale(d.factor, d.rate);
                g.mul(d.grad, rate)
            }
        };
        vec![g.sub(state[0], step)]
    }
}
