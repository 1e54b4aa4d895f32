//! Adam (Kingma and Ba 2015): `m ← β₁ m + (1 - β₁) g; v ← β₂ v + (1 - β₂) g²; s ← s - α m̂ / √(v̂ + ε²)`, hats over β₁ᵏ and β₂ᵏ taken
//! off. ε stands inside the root so that the step can be differentiated where a gradient is 0.

use super::{Descend, Descent, MOMENTUM};
use crate::graph::op::Func;
use crate::graph::{Graph, Value};

const BETA2: f64 = 0.999;
const EPS: f64 = 1e-6;

pub(super) struct Adam;

impl Descend for Adam {
    fn moments(&self, s: usize) -> Vec<(&'static str, usize, f32)> {
        vec![("first moment", s, 0.0), ("second moment", s, 0.0), ("powers", 2, 1.0)]
    }

    fn step(&self, g: &mut Graph, d: &Descent, state: &[Value]) -> Vec<Value> {
        let grad = d.clipped(g);
        let mix = |g: &mut Graph, old: Value, new: Value, beta: f64| {
            let (old, new) = (g.scale(old, beta), g.scale(new, 1.0 - beta));
            g.add(old, new)
        };
        let first = mix(g, state[1], grad, MOMENTUM);
        let square = g.mul(grad, grad);
        let second = mix(g, state[2], square, BETA2);
        let column = |g: &mut Graph, i: usize, beta: f64| {
            let power = g.slice(state[3], 1, i, 1);
            g.scale(power, beta)
        };
        let (power1, power2) = (column(g, 0, MOMENTUM), column(g, 1, BETA2));
        let corrected = |g: &mut Graph, v: Value, power: Value| {
            let rest = g.affine(power, -1.0, 1.0);
            g.div(v, rest)
        };
        let m = corrected(g, first, power1);
        let v = corrected(g, second, power2);
        let v = g.affine(v, 1.0, EPS * EPS);
        let r = g.map(Func::Rsqrt, v);
        let direction = g.mul(m, r);
        let powers = g.concat(&[power1, power2], 1);
        vec![d.along(g, state[0], direction), first, second, powers]
    }
}
