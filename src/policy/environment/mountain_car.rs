//! A car in a valley, too weak to drive straight up.

use super::{ActionSpace, ContextNumber, Environment, Moment, Transition, Widths, between};
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
}
