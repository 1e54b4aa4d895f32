//! Two links, of which the joint between them is driven.

use super::{
    ActionSpace, ContextNumber, Environment, Ink, Moment, Scene, Shape, Transition, Widths, between, wrapped,
};
use crate::graph::expr::Expr;

/// Acrobot (Sutton 1996) as in Gymnasium's `Acrobot-v1`, the version of the book: two angles and their speeds, observed as cosines, sines
/// and speeds; a torque of −1, 0 or 1 at the second joint; a reward of −1 for each step until the tip is a link's length above the axis; 500
/// steps. A step is one of Runge and Kutta over 0.2 seconds.
#[derive(Clone, Copy, Debug)]
pub struct Acrobot {}

static CONTEXT: [ContextNumber; 6] = [
    ContextNumber::new("length_1", 1.0, [0.1, 10.0]),
    ContextNumber::new("length_2", 1.0, [0.1, 10.0]),
    ContextNumber::new("mass_1", 1.0, [0.05, 20.0]),
    ContextNumber::new("mass_2", 1.0, [0.05, 20.0]),
    ContextNumber::new("torque", 1.0, [0.0, 20.0]),
    ContextNumber::sign("sign"),
];
const GRAVITY: f64 = 9.8;
const TAU: f64 = 0.2;
/// Moments of inertia of both links.
const INERTIA: f64 = 1.0;

/// How fast all four numbers change; `sin(a - π/2)` stands for `cos a` as in the book.
fn change<'g>([a, b, da, db]: [Expr<'g>; 4], u: Expr<'g>, context: Expr<'g>) -> [Expr<'g>; 4] {
    let [l1, l2, m1, m2] = [0, 1, 2, 3].map(|i| context.column(i));
    let (c1, c2) = (l1 * 0.5, l2 * 0.5);
    let (cos, sin) = (b.cos(), b.sin());
    let d1 = m1 * c1 * c1 + m2 * (l1 * l1 + c2 * c2 + l1 * c2 * cos * 2.0) + 2.0 * INERTIA;
    let d2 = m2 * (c2 * c2 + l1 * c2 * cos) + INERTIA;
    let p2 = m2 * c2 * (a + b).sin() * GRAVITY;
    let p1 = -(m2 * l1 * c2 * db * db * sin) - m2 * l1 * c2 * db * da * sin * 2.0
        + (m1 * c1 + m2 * l1) * a.sin() * GRAVITY
        + p2;
    let ddb =
        (u + d2 / d1 * p1 - m2 * l1 * c2 * da * da * sin - p2) / (m2 * c2 * c2 + INERTIA - d2 * d2 / d1);
    let dda = -(d2 * ddb + p1) / d1;
    [da, db, dda, ddb]
}

impl Environment for Acrobot {
    fn name(&self) -> &str {
        "acrobot"
    }

    fn widths(&self) -> Widths {
        Widths { state: 4, observation: 6, noise: 4 }
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::Discrete(3)
    }

    fn context(&self) -> &[ContextNumber] {
        &CONTEXT
    }

    fn horizon(&self) -> usize {
        500
    }

    fn reward_scale(&self) -> f64 {
        0.1
    }

    fn start<'g>(&self, _context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        between(noise, -0.1, 0.1)
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let at = [0, 1, 2, 3].map(|i| m.state.column(i));
        let u = (m.action.column(2) - m.action.column(0)) * m.context.column(4) * m.context.column(5);
        let further = |k: [Expr<'g>; 4], by: f64| [0, 1, 2, 3].map(|i| at[i] + k[i] * by);
        let k1 = change(at, u, m.context);
        let k2 = change(further(k1, TAU / 2.0), u, m.context);
        let k3 = change(further(k2, TAU / 2.0), u, m.context);
        let k4 = change(further(k3, TAU), u, m.context);
        let next = [0, 1, 2, 3].map(|i| at[i] + (k1[i] + k2[i] * 2.0 + k3[i] * 2.0 + k4[i]) * (TAU / 6.0));
        let pi = std::f64::consts::PI;
        let [a, b] = [wrapped(next[0]), wrapped(next[1])];
        let [da, db] = [next[2].clip(-4.0 * pi, 4.0 * pi), next[3].clip(-9.0 * pi, 9.0 * pi)];
        // Strictly higher than 1.
        let terminated = (a.cos() + (a + b).cos()).below(-1.0);
        Transition { state: Expr::columns(&[a, b, da, db]), reward: terminated - 1.0, terminated }
    }

    fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        let (a, b) = (state.column(0), state.column(1));
        Expr::columns(&[a.cos(), a.sin(), b.cos(), b.sin(), state.column(2), state.column(3)])
    }

    fn scene(&self, state: &[f32], context: &[f32]) -> Option<Scene> {
        let [a, b, first, second] = [state[0], state[1], context[0], context[1]].map(f64::from);
        // Angles are from hanging down on.
        let along =
            |[x, y]: [f64; 2], length: f64, angle: f64| [x + length * angle.sin(), y - length * angle.cos()];
        let elbow = along([0.0, 0.0], first, a);
        let tip = along(elbow, second, a + b);
        let (far, goal) = (1.1 * (first + second), first);
        let shapes = vec![
            Shape::line(&[[-far, goal], [far, goal]], 0.02 * far, Ink::Goal),
            Shape::line(&[[0.0, 0.0], elbow], 0.06 * far, Ink::Body),
            Shape::line(&[elbow, tip], 0.06 * far, Ink::Agent),
            Shape::disc([0.0, 0.0], 0.03 * far, Ink::World),
            Shape::disc(elbow, 0.03 * far, Ink::World),
        ];
        Some(Scene { view: [[-far, far], [-far, far]], shapes })
    }
}
