//! A point in the plane that is to find a place.

use super::{ActionSpace, ContextNumber, Environment, Ink, Moment, Scene, Shape, Transition, Widths};
use crate::graph::expr::Expr;

/// Navigation in two dimensions (Finn, Abbeel and Levine 2017), as learn2learn's `Particles2D`: the point starts at the origin and moves by at
/// most 0.1 along each axis; reward: the distance from the goal, negative; the episode ends where both axes are within 0.01 of it, and after
/// 100 steps. The goal is the context, and is not observed.
#[derive(Clone, Copy, Debug)]
pub struct Navigation {}

static CONTEXT: [ContextNumber; 2] =
    [ContextNumber::new("goal_x", 0.3, [-2.0, 2.0]), ContextNumber::new("goal_y", -0.2, [-2.0, 2.0])];
const NEAR: f64 = 0.01;
const MOST: f64 = 0.1;

impl Environment for Navigation {
    fn name(&self) -> &str {
        "navigation"
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

    fn horizon(&self) -> usize {
        100
    }

    /// Straight to the goal.
    fn oracle(&self, context: &[f32], steps: usize) -> Option<f64> {
        let mut off = [f64::from(context[0]), f64::from(context[1])];
        let mut gained = 0.0;
        for _ in 0..steps {
            off = off.map(|x| x - x.clamp(-MOST, MOST));
            gained -= off[0].hypot(off[1]);
            if off == [0.0, 0.0] {
                break;
            }
        }
        Some(gained)
    }

    fn start<'g>(&self, _context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        let zero = noise.column(0) * 0.0;
        Expr::columns(&[zero, zero])
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let state = m.state + m.action.clip(-MOST, MOST);
        let [x, y] = [0, 1].map(|i| state.column(i) - m.context.column(i));
        let near = |off: Expr<'g>| off.below(NEAR) * (-off).below(NEAR);
        Transition { state, reward: -(x * x + y * y).sqrt(), terminated: near(x) * near(y) }
    }

    fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        state
    }

    fn scene(&self, state: &[f32], context: &[f32]) -> Option<Scene> {
        let [x, y, goal_x, goal_y] = [state[0], state[1], context[0], context[1]].map(f64::from);
        let far = 1.2 * goal_x.abs().max(goal_y.abs()).max(0.5);
        let shapes = vec![
            Shape::disc([goal_x, goal_y], 0.05 * far, Ink::Goal),
            Shape::disc([0.0, 0.0], 0.02 * far, Ink::World),
            Shape::disc([x, y], 0.04 * far, Ink::Agent),
        ];
        Some(Scene { view: [[-far, far], [-far, far]], shapes })
    }

    fn plane(&self) -> Option<[(&str, [f64; 2]); 2]> {
        Some([("x", [-1.0, 1.0]), ("y", [-1.0, 1.0])])
    }
}
