//! A pole on a cart that is pushed left or right.

use super::{
    ActionSpace, ContextNumber, Environment, Ink, Moment, Scene, Shape, Transition, Widths, between,
};
use crate::graph::expr::Expr;

/// CartPole (Barto, Sutton and Anderson 1983) as in Gymnasium's `CartPole-v1`, bit for bit in f64: state and observation are place, speed,
/// angle and angular speed; action 0 pushes to the left, 1 to the right; a reward of 1 for each step until the pole leans by more than 12°
/// or the cart is more than 2.4 away; 500 steps. `sign` −1 exchanges left and right.
#[derive(Clone, Copy, Debug)]
pub struct CartPole {}

/// Columns of the context.
static CONTEXT: [ContextNumber; 7] = [
    ContextNumber::new("gravity", 9.8, [0.0, 100.0]),
    ContextNumber::new("cart_mass", 1.0, [0.01, 100.0]),
    ContextNumber::new("pole_mass", 0.1, [0.001, 10.0]),
    ContextNumber::new("length", 0.5, [0.01, 10.0]),
    ContextNumber::new("force", 10.0, [0.0, 200.0]),
    ContextNumber::new("tau", 0.02, [0.001, 0.2]),
    ContextNumber::sign("sign"),
];

impl Environment for CartPole {
    fn name(&self) -> &str {
        "cartpole"
    }

    fn widths(&self) -> Widths {
        Widths { state: 4, observation: 4, noise: 4 }
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::Discrete(2)
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
        between(noise, -0.05, 0.05)
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let [x, speed, angle, turning] = [0, 1, 2, 3].map(|i| m.state.column(i));
        let [gravity, cart, pole, length, force, tau, sign] =
            [0, 1, 2, 3, 4, 5, 6].map(|i| m.context.column(i));
        let push = (m.action.column(1) - m.action.column(0)) * force * sign;
        let (cos, sin, all) = (angle.cos(), angle.sin(), cart + pole);
        let pulled = (push + pole * length * turning * turning * sin) / all;
        let turned = (gravity * sin - cos * pulled) / (length * (4.0 / 3.0 - pole * cos * cos / all));
        let moved = pulled - pole * length * turned * cos / all;
        let (x, angle) = (x + tau * speed, angle + tau * turning);
        let state = Expr::columns(&[x, speed + tau * moved, angle, turning + tau * turned]);
        let (far, leaning) = (2.4, 12.0 * std::f64::consts::PI / 180.0);
        // Strictly more than the limits.
        let inside = |v: Expr<'g>, most: f64| (1.0 - (-v).below(-most)) * (1.0 - v.below(-most));
        let terminated = 1.0 - inside(x, far) * inside(angle, leaning);
        Transition { state, reward: terminated * 0.0 + 1.0, terminated }
    }

    fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        state
    }

    fn scene(&self, state: &[f32], context: &[f32]) -> Option<Scene> {
        let [x, angle, length] = [state[0], state[2], 2.0 * context[3]].map(f64::from);
        let top = 0.25 + length.max(0.2);
        let pole = [[x, 0.25], [x + length * angle.sin(), 0.25 + length * angle.cos()]];
        let shapes = vec![
            Shape::line(&[[-2.4, 0.0], [2.4, 0.0]], 0.03, Ink::World),
            Shape::line(&[[x - 0.3, 0.12], [x + 0.3, 0.12]], 0.22, Ink::Agent),
            Shape::line(&pole, 0.08, Ink::Body),
            Shape::disc([x, 0.25], 0.06, Ink::World),
        ];
        Some(Scene { view: [[-2.7, 2.7], [-0.15, top + 0.15]], shapes })
    }
}
