//! A car in a valley, too weak to drive straight up.

use super::{
    ActionSpace, ContextNumber, Environment, Ink, Moment, Scene, Shape, Transition, Widths, between,
};
use crate::graph::expr::Expr;

/// MountainCar (Moore 1990) as in Gymnasium's `MountainCar-v0`: place and speed; action 0 pushes left, 1 not at all, 2 right; a reward of −1
/// for each step until the car is at 0.5; 200 steps.
#[derive(Clone, Copy, Debug)]
pub struct MountainCar {}

/// The same with a push of any strength, `MountainCarContinuous-v0`: 100 where the car is at 0.45, less a tenth of each push squared; 999 steps.
#[derive(Clone, Copy, Debug)]
pub struct MountainCarContinuous {}

static CONTEXT: [ContextNumber; 2] =
    [ContextNumber::new("force", 0.001, [0.0, 0.1]), ContextNumber::new("gravity", 0.0025, [0.0, 0.1])];
static CONTINUOUS: [ContextNumber; 2] =
    [ContextNumber::new("force", 0.0015, [0.0, 0.1]), ContextNumber::new("gravity", 0.0025, [0.0, 0.1])];

/// Place and speed after a push, and whether the car is at `goal`.
fn driven<'g>(m: &Moment<'g>, push: Expr<'g>, goal: f64) -> [Expr<'g>; 2] {
    let (x, speed) = (m.state.column(0), m.state.column(1));
    let (force, gravity) = (m.context.column(0), m.context.column(1));
    let speed = (speed + push * force - gravity * (x * 3.0).cos()).clip(-0.07, 0.07);
    let x = (x + speed).clip(-1.2, 0.6);
    // The wall on the left stops it; there the place is the least there is.
    let moving = 1.0 - (-x).at_least(1.2) * speed.below(0.0);
    let speed = speed * moving;
    [Expr::columns(&[x, speed]), x.at_least(goal) * speed.at_least(0.0)]
}

fn started(noise: Expr<'_>) -> Expr<'_> {
    Expr::columns(&[between(noise.column(0), -0.6, -0.4), noise.column(0) * 0.0])
}

/// The valley, the car in it, and a flag at the goal.
fn drawn(state: &[f32], goal: f64) -> Scene {
    let x = f64::from(state[0]);
    let height = |x: f64| (3.0 * x).sin() * 0.45 + 0.55;
    let ground: Vec<[f64; 2]> =
        (0..=45).map(|k| -1.2 + 0.04 * f64::from(k)).map(|x| [x, height(x)]).collect();
    let foot = [goal, height(goal)];
    let shapes = vec![
        Shape::line(&ground, 0.02, Ink::World),
        Shape::line(&[foot, [goal, foot[1] + 0.25]], 0.02, Ink::Goal),
        Shape::disc([x, height(x) + 0.06], 0.06, Ink::Agent),
    ];
    Scene { view: [[-1.25, 0.65], [0.0, 1.35]], shapes }
}

/// Places and speeds.
const PLANE: [(&str, [f64; 2]); 2] = [("place", [-1.2, 0.6]), ("speed", [-0.07, 0.07])];

impl Environment for MountainCar {
    fn name(&self) -> &str {
        "mountain-car"
    }

    fn widths(&self) -> Widths {
        Widths { state: 2, observation: 2, noise: 1 }
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::Discrete(3)
    }

    fn context(&self) -> &[ContextNumber] {
        &CONTEXT
    }

    fn horizon(&self) -> usize {
        200
    }

    fn start<'g>(&self, _context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        started(noise)
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let [state, terminated] = driven(&m, m.action.column(2) - m.action.column(0), 0.5);
        Transition { state, reward: terminated * 0.0 - 1.0, terminated }
    }

    fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        state
    }

    fn scene(&self, state: &[f32], _context: &[f32]) -> Option<Scene> {
        Some(drawn(state, 0.5))
    }

    fn plane(&self) -> Option<[(&str, [f64; 2]); 2]> {
        Some(PLANE)
    }
}

impl Environment for MountainCarContinuous {
    fn name(&self) -> &str {
        "mountain-car-continuous"
    }

    fn widths(&self) -> Widths {
        MountainCar {}.widths()
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::Continuous(vec![[-1.0, 1.0]])
    }

    fn context(&self) -> &[ContextNumber] {
        &CONTINUOUS
    }

    fn horizon(&self) -> usize {
        999
    }

    fn start<'g>(&self, _context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        started(noise)
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let [state, terminated] = driven(&m, m.action.clip(-1.0, 1.0), 0.45);
        Transition { state, reward: terminated * 100.0 - m.action * m.action * 0.1, terminated }
    }

    fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
        state
    }

    fn scene(&self, state: &[f32], _context: &[f32]) -> Option<Scene> {
        Some(drawn(state, 0.45))
    }

    fn plane(&self) -> Option<[(&str, [f64; 2]); 2]> {
        Some(PLANE)
    }
}
