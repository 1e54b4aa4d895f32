//! A pendulum that is swung up by a motor.

use super::{
    ActionSpace, ContextNumber, Environment, Ink, Moment, Scene, Shape, Transition, Widths, between, wrapped,
};
use crate::graph::expr::Expr;

/// Pendulum as in Gymnasium's `Pendulum-v1`: state angle (0 is upright) and angular speed, observed as cosine, sine and speed; a torque
/// of at most `torque`; reward −(angle² + speed²/10 + torque²/1000) of the state before the step; 200 steps, which nothing ends earlier.
/// `sign` −1 turns the motor around.
#[derive(Clone, Copy, Debug)]
pub struct Pendulum {}

static CONTEXT: [ContextNumber; 6] = [
    ContextNumber::new("gravity", 10.0, [0.0, 100.0]),
    ContextNumber::new("mass", 1.0, [0.01, 100.0]),
    ContextNumber::new("length", 1.0, [0.05, 10.0]),
    ContextNumber::new("tau", 0.05, [0.001, 0.2]),
    ContextNumber::new("torque", 2.0, [0.0, 100.0]),
    ContextNumber::sign("sign"),
];

impl Environment for Pendulum {
    fn name(&self) -> &str {
        "pendulum"
    }

    fn widths(&self) -> Widths {
        Widths { state: 2, observation: 3, noise: 2 }
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::Continuous(vec![[-2.0, 2.0]])
    }

    fn context(&self) -> &[ContextNumber] {
        &CONTEXT
    }

    fn horizon(&self) -> usize {
        200
    }

    fn reward_scale(&self) -> f64 {
        0.02
    }

    fn start<'g>(&self, _context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        use std::f64::consts::PI;
        Expr::columns(&[between(noise.column(0), -PI, PI), between(noise.column(1), -1.0, 1.0)])
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let (angle, speed) = (m.state.column(0), m.state.column(1));
        let [gravity, mass, length, tau, torque, sign] = [0, 1, 2, 3, 4, 5].map(|i| m.context.column(i));
        // At most `torque` either way.
        let u = -(-m.action.larger(-torque)).larger(-torque);
        let off = wrapped(angle);
        let reward = -(off * off + speed * speed * 0.1 + u * u * 0.001);
        let pull = gravity * angle.sin() * 1.5 / length + u * sign * 3.0 / (mass * length * length);
        let speed = (speed + pull * tau).clip(-8.0, 8.0);
        let state = Expr::columns(&[angle + speed * tau, speed]);
        Transition { state, reward, terminated: reward * 0.0 }
    }

    fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        let angle = state.column(0);
        Expr::columns(&[angle.cos(), angle.sin(), state.column(1)])
    }

    fn scene(&self, state: &[f32], context: &[f32]) -> Option<Scene> {
        let (angle, length) = (f64::from(state[0]), f64::from(context[2]));
        // Angles are from upright on, to the left.
        let tip = [-length * angle.sin(), length * angle.cos()];
        let far = 1.25 * length;
        let shapes = vec![
            Shape::line(&[[0.0, 0.0], tip], 0.08 * length, Ink::Body),
            Shape::disc(tip, 0.14 * length, Ink::Agent),
            Shape::disc([0.0, 0.0], 0.05 * length, Ink::World),
        ];
        Some(Scene { view: [[-far, far], [-far, far]], shapes })
    }

    fn plane(&self) -> Option<[(&str, [f64; 2]); 2]> {
        use std::f64::consts::PI;
        Some([("angle", [-PI, PI]), ("speed", [-8.0, 8.0])])
    }

    fn on_plane(&self, state: &[f32]) -> [f64; 2] {
        use std::f64::consts::{PI, TAU};
        [(f64::from(state[0]) + PI).rem_euclid(TAU) - PI, f64::from(state[1])]
    }
}
