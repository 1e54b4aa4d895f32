//! A point that is to find a place which pays only where it is near.

use super::{ActionSpace, ContextNumber, Environment, Ink, Moment, Scene, Shape, Transition, Widths};
use crate::graph::expr::Expr;

/// The point robot with sparse rewards (as in Rakelly et al. 2019 and Zintgraf et al. 2020): the point starts at the origin and moves by at most 0.1 along
/// each axis; the goal is somewhere on the upper half of the unit circle, and not observed. A step that ends within 0.2 of it pays 1 less the distance, any
/// other nothing; 20 steps. So in a first episode it is to be searched for, and in the next gone to.
#[derive(Clone, Copy, Debug)]
pub struct Point {}

static CONTEXT: [ContextNumber; 1] =
    [ContextNumber::new("angle", std::f64::consts::FRAC_PI_2, [0.0, std::f64::consts::PI])];
const NEAR: f64 = 0.2;
const MOST: f64 = 0.1;
const STEPS: usize = 20;

impl Environment for Point {
    fn name(&self) -> &str {
        "point"
    }

    fn widths(&self) -> Widths {
        Widths { state: 2, observation: 2, noise: 1 }
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::Continuous(vec![[-MOST, MOST]; 2])
    }

    fn context(&self) -> &[ContextNumber] {
        &CONTEXT
    }

    fn is_family(&self) -> bool {
        true
    }

    fn horizon(&self) -> usize {
        STEPS
    }

    /// Straight to the goal.
    fn oracle(&self, context: &[f32], steps: usize) -> Option<f64> {
        let angle = f64::from(context[0]);
        let mut off = [angle.cos(), angle.sin()];
        let mut gained = 0.0;
        for _ in 0..steps {
            off = off.map(|x| x - x.clamp(-MOST, MOST));
            let distance = off[0].hypot(off[1]);
            gained += if distance < NEAR { 1.0 - distance } else { 0.0 };
        }
        Some(gained)
    }

    fn start<'g>(&self, _context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        let zero = noise.column(0) * 0.0;
        Expr::columns(&[zero, zero])
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let state = m.state + m.action.clip(-MOST, MOST);
        let [x, y] = [state.column(0) - m.context.cos(), state.column(1) - m.context.sin()];
        let distance = (x * x + y * y).sqrt();
        let reward = distance.below(NEAR) * (1.0 - distance);
        Transition { state, reward, terminated: reward * 0.0 }
    }

    fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        state
    }

    fn scene(&self, state: &[f32], context: &[f32]) -> Option<Scene> {
        let [x, y, angle] = [state[0], state[1], context[0]].map(f64::from);
        let around = |k: i32| (std::f64::consts::PI * f64::from(k) / 32.0).sin_cos();
        let half: Vec<[f64; 2]> = (0..=32).map(|k| [around(k).1, around(k).0]).collect();
        let shapes = vec![
            Shape::line(&half, 0.015, Ink::World),
            Shape::disc([angle.cos(), angle.sin()], NEAR, Ink::Goal),
            Shape::disc([x, y], 0.05, Ink::Agent),
        ];
        Some(Scene { view: [[-1.4, 1.4], [-0.6, 1.4]], shapes })
    }

    fn plane(&self) -> Option<[(&str, [f64; 2]); 2]> {
        Some([("x", [-1.3, 1.3]), ("y", [-0.5, 1.3])])
    }
}
