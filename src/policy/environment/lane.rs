//! A car that is to stay in its lane, past what stands in it, as fast as the road lets it.

use super::{
    ActionSpace, ContextNumber, Environment, Ink, Moment, Scene, Shape, Transition, Widths, between, normal,
    wrapped,
};
use crate::graph::expr::Expr;

/// Lane keeping: a car on a road whose curvature is a sum of two waves along it, with obstacles left or right in the lane. It steers, and speeds up
/// or brakes; 200 steps of 0.1 s. A step pays its speed in shares of 20 m/s, the limit, beyond which nothing more is paid, less for being off the middle; who is more than 2 m off the middle, or
/// hits an obstacle, pays 20, and the episode ends. Roads and obstacles are drawn for each episode.
///
/// The car turns as it is steered (at most 0.05 per metre) as long as the tyres hold: the sideways acceleration is at most `grip` times that of gravity, and so is that along the road,
/// which is at most 4 m/s². What was steered counts after `delay` seconds. Seen are the place in the lane and the heading, both with noise, the speed, the curvature here and
/// 10, 25 and 45 m ahead, the last four that were steered, and how near the next obstacle is and on which side, from 60 m on. Grip, delay and noise are not seen.
///
/// Columns of the context: the largest curvature of the road (1/m), grip, delay (s), deviation of the noise (m), and the mean distance from obstacle to obstacle (m).
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// Whether it is driven by keys: full, half or no steering either way, and brake, roll or gas.
    pub keys: bool,
}

static CONTEXT: [ContextNumber; 5] = [
    ContextNumber::new("curvature", 0.01, [0.0, 0.03]),
    ContextNumber::new("grip", 0.8, [0.1, 1.5]),
    ContextNumber::new("delay", 0.1, [0.0, 0.4]),
    ContextNumber::new("noise", 0.02, [0.0, 0.5]),
    ContextNumber::new("gap", 100.0, [50.0, 10_000.0]),
];
const TAU: f64 = 0.1;
const GRAVITY: f64 = 9.81;
/// Least and largest speed.
const SPEED: [f64; 2] = [3.0, 30.0];
/// Speed up to which it pays.
const LIMIT: f64 = 20.0;
/// Farthest from the middle of the lane.
const SIDE: f64 = 2.0;
/// Where obstacles are, how near one may come, sideways and along.
const OBSTACLE: f64 = 0.9;
const ROOM: [f64; 2] = [1.4, 3.0];
/// From where on obstacles are seen.
const SIGHT: f64 = 60.0;
/// Steps of steering that are on their way at most.
const WAITING: usize = 4;
/// Lengths of the road's two waves, and their shares of its curvature.
const WAVES: [(f64, f64); 2] = [(200.0, 0.6), (83.0, 0.4)];
/// Places ahead where the curvature is seen.
const AHEAD: [f64; 4] = [0.0, 10.0, 25.0, 45.0];

/// Columns of a state.
mod column {
    pub(super) const OFF: usize = 0;
    pub(super) const HEADING: usize = 1;
    pub(super) const SPEED: usize = 2;
    pub(super) const WAVE: usize = 3;
    pub(super) const STEERED: usize = 5;
    pub(super) const OBSTACLE: usize = 9;
    pub(super) const NOISE: usize = 11;
    pub(super) const ALL: usize = 13;
}

/// Curvature of the road so far ahead of where its waves are.
fn curvature<'g>(most: Expr<'g>, waves: [Expr<'g>; 2], ahead: f64) -> Expr<'g> {
    let [one, two] = [0, 1].map(|i| {
        let (length, share) = WAVES[i];
        (waves[i] + std::f64::consts::TAU * ahead / length).sin() * share
    });
    (one + two) * most
}

/// Not below `-most` and not above `most`.
fn within<'g>(x: Expr<'g>, most: Expr<'g>) -> Expr<'g> {
    -(-x.larger(-most)).larger(-most)
}

/// Random numbers of a start and of a step.
const RANDOM: usize = 8;

/// Errors of both sensors, by the last four uniform numbers.
fn sensed(noise: Expr<'_>) -> [Expr<'_>; 2] {
    [4, 6].map(|i| normal(noise.column(i), noise.column(i + 1)))
}

/// The next obstacle: how far it is, and on which side.
fn obstacle<'g>(gap: Expr<'g>, noise: Expr<'g>) -> [Expr<'g>; 2] {
    let side = noise.column(1).at_least(0.5) * 2.0 - 1.0;
    [gap * between(noise.column(0), 0.75, 1.25), side * OBSTACLE]
}

fn started<'g>(context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
    use std::f64::consts::PI;
    let zero = noise.column(0) * 0.0;
    let [far, side] = obstacle(context.column(4), noise);
    let [one, two] = sensed(noise);
    let wave = |i: usize| between(noise.column(i), -PI, PI);
    let mut columns = vec![zero, zero, zero + 10.0, wave(2), wave(3)];
    columns.extend([zero; WAITING]);
    columns.extend([far, side, one, two]);
    Expr::columns(&columns)
}

/// A step, steered and sped up by shares of the most.
fn driven<'g>(m: Moment<'g>, steer: Expr<'g>, speed_up: Expr<'g>) -> Transition<'g> {
    let of = |i: usize| m.state.column(i);
    let [most, grip, delay, _, gap] = [0, 1, 2, 3, 4].map(|i| m.context.column(i));
    let (off, heading, speed) = (of(column::OFF), of(column::HEADING), of(column::SPEED));
    let waves = [of(column::WAVE), of(column::WAVE + 1)];
    let holds = grip * GRAVITY;
    // What was steered `delay` ago, between the two steps that it lies between.
    let mut waiting = vec![steer];
    waiting.extend((0..WAITING).map(|i| of(column::STEERED + i)));
    let share = |i: usize| {
        let off = delay / TAU - i as f64;
        (1.0 - off.larger(-off)).relu()
    };
    let steered = waiting.iter().enumerate().map(|(i, s)| *s * share(i));
    let steered = steered.reduce(|a, b| a + b).expect("there is one");
    let sideways = within(steered * 0.05 * speed * speed, holds);
    let here = curvature(most, waves, 0.0);
    // How far along the road's middle a second goes.
    let along = speed * heading.cos() / (1.0 - here * off);
    let heading = heading + (sideways / speed - here * along) * TAU;
    let off = off + speed * heading.sin() * TAU;
    let speed = (speed + within(speed_up * 4.0, holds) * TAU).clip(SPEED[0], SPEED[1]);
    let moved = along * TAU;
    let (far, side) = (of(column::OBSTACLE) - moved, of(column::OBSTACLE + 1));
    let hit = is_within(far, ROOM[1]) * is_within(off - side, ROOM[0]);
    let left = 1.0 - is_within(off, SIDE);
    let terminated = hit.larger(left);
    let passed = far.below(-ROOM[1]);
    let [next_far, next_side] = obstacle(gap, m.noise);
    let wave = |i: usize| wrapped(waves[i] + moved * (std::f64::consts::TAU / WAVES[i].0));
    let [one, two] = sensed(m.noise);
    let mut columns = vec![off, heading, speed, wave(0), wave(1)];
    columns.extend(&waiting[..WAITING]);
    columns.extend([passed.choose(next_far, far), passed.choose(next_side, side), one, two]);
    let reward = -(-speed).larger(speed * 0.0 - LIMIT) / LIMIT - off * off * 0.05 - terminated * 20.0;
    Transition { state: Expr::columns(&columns), reward, terminated }
}

/// 1 where it is at most so far from 0.
fn is_within(x: Expr<'_>, most: f64) -> Expr<'_> {
    (x.larger(-x)).below(most)
}

fn seen<'g>(state: Expr<'g>, context: Expr<'g>) -> Expr<'g> {
    let of = |i: usize| state.column(i);
    let (most, noise) = (context.column(0), context.column(3));
    let waves = [of(column::WAVE), of(column::WAVE + 1)];
    let (far, side) = (of(column::OBSTACLE), of(column::OBSTACLE + 1));
    let near = (1.0 - far / SIGHT).relu();
    let mut columns = vec![
        (of(column::OFF) + of(column::NOISE) * noise) / SIDE,
        (of(column::HEADING) + of(column::NOISE + 1) * noise * 0.1) * 5.0,
        of(column::SPEED) / 10.0 - 1.5,
    ];
    columns.extend(AHEAD.map(|ahead| curvature(most, waves, ahead) * 50.0));
    columns.extend((0..WAITING).map(|i| of(column::STEERED + i)));
    columns.extend([near, side * (1.0 - far.at_least(SIGHT))]);
    Expr::columns(&columns)
}

/// The road ahead from above, upwards, the lane's edges, the car and the next obstacle.
fn drawn(state: &[f32], context: &[f32]) -> Scene {
    use std::f64::consts::{FRAC_PI_2, TAU};
    let of = |i: usize| f64::from(state[i]);
    let most = f64::from(context[0]);
    let bend = |ahead: f64| -> f64 {
        let wave = |i: usize| (of(column::WAVE + i) + TAU * ahead / WAVES[i].0).sin() * WAVES[i].1;
        most * (wave(0) + wave(1))
    };
    // The middle of the road, 5 m by 5 m, and which way it goes there.
    let step = 5.0;
    let mut middle = vec![([0.0, 0.0], FRAC_PI_2)];
    for k in 0..11 {
        let ([x, y], way) = middle[k];
        let way = way + bend(step * (k as f64 + 0.5)) * step;
        middle.push(([x + step * way.cos(), y + step * way.sin()], way));
    }
    let beside = |([x, y], way): ([f64; 2], f64), off: f64| [x - off * way.sin(), y + off * way.cos()];
    let edge = |off: f64| -> Vec<[f64; 2]> { middle.iter().map(|m| beside(*m, off)).collect() };
    let far = of(column::OBSTACLE);
    let near = ((far / step).max(0.0) as usize).min(middle.len() - 2);
    let share = (far / step - near as f64).min(1.0);
    let between = |k: usize| middle[near].0[k] + (middle[near + 1].0[k] - middle[near].0[k]) * share;
    let obstacle = beside(([between(0), between(1)], middle[near].1), of(column::OBSTACLE + 1));
    let shown = if far < step * (middle.len() - 1) as f64 { 0.5 } else { 0.0 };
    let (off, way) = (of(column::OFF), FRAC_PI_2 + of(column::HEADING));
    let car = |along: f64| [-off + along * way.cos(), along * way.sin()];
    // Half of the car is 0.9 wide, the edge is where its middle may be at most.
    let shapes = vec![
        Shape::line(&edge(SIDE + 0.9), 0.3, Ink::World),
        Shape::line(&edge(-SIDE - 0.9), 0.3, Ink::World),
        Shape::disc(obstacle, shown, Ink::Thing),
        Shape::line(&[car(-1.5), car(1.5)], 1.8, Ink::Agent),
    ];
    Scene { view: [[-15.0, 15.0], [-5.0, 45.0]], shapes }
}

impl Environment for Lane {
    fn name(&self) -> &str {
        if self.keys { "lane-discrete" } else { "lane" }
    }

    fn widths(&self) -> Widths {
        Widths { state: column::ALL, observation: 3 + AHEAD.len() + WAITING + 2, noise: RANDOM }
    }

    fn action(&self) -> ActionSpace {
        match self.keys {
            true => ActionSpace::MultiDiscrete(vec![5, 3]),
            false => ActionSpace::Continuous(vec![[-1.0, 1.0]; 2]),
        }
    }

    fn context(&self) -> &[ContextNumber] {
        &CONTEXT
    }

    fn horizon(&self) -> usize {
        200
    }

    fn reward_scale(&self) -> f64 {
        0.1
    }

    fn start<'g>(&self, context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        started(context, noise)
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let action = m.action.clip(-1.0, 1.0);
        let of = |i: usize| action.column(i);
        match self.keys {
            true => driven(m, of(4) - of(0) + (of(3) - of(1)) * 0.5, of(7) - of(5)),
            false => driven(m, of(0), of(1)),
        }
    }

    fn observe<'g>(&self, state: Expr<'g>, context: Expr<'g>) -> Expr<'g> {
        seen(state, context)
    }

    fn scene(&self, state: &[f32], context: &[f32]) -> Option<Scene> {
        Some(drawn(state, context))
    }
}
