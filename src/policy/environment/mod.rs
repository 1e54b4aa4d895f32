//! Environments: worlds that an agent acts in, whose steps are graph code. So a roll-out is a part of a plan, on any device, and
//! differentiable where the physics is.

mod acrobot;
mod cartpole;
mod mountain_car;
mod navigation;
mod pendulum;

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::{Error, Result, nearest};
use crate::graph::expr::Expr;
pub use acrobot::Acrobot;
pub use cartpole::CartPole;
pub use mountain_car::{MountainCar, MountainCarContinuous};
pub use navigation::Navigation;
pub use pendulum::Pendulum;

/// What an agent may do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ActionSpace {
    /// One of so many actions; an environment gets it as one-hot `[.., n]`.
    Discrete(usize),
    /// Numbers, one for each of these ranges; an environment gets them as they are, `[.., n]`, and clips what lies outside.
    Continuous(Vec<[f64; 2]>),
}

impl ActionSpace {
    /// Numbers of an action, and of what a policy's network says of it.
    pub fn width(&self) -> usize {
        match self {
            ActionSpace::Discrete(n) => *n,
            ActionSpace::Continuous(ranges) => ranges.len(),
        }
    }
}

/// A number that differs from world to world: a mass, a length, a goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContextNumber {
    /// Its name.
    pub name: &'static str,
    /// What it is where nothing is said.
    pub usual: f64,
    /// What it may be.
    pub range: [f64; 2],
}

/// What a step starts from: `[g, r, ..]`, g networks with r worlds each.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'g> {
    /// `[g, r, state]`
    pub state: Expr<'g>,
    /// `[g, r, action]`
    pub action: Expr<'g>,
    /// `[g, r, context]`
    pub context: Expr<'g>,
    /// `[g, r, noise]`, uniform on [0, 1).
    pub noise: Expr<'g>,
}

/// What a step leads to.
#[derive(Clone, Copy, Debug)]
pub struct Transition<'g> {
    /// `[g, r, state]`
    pub state: Expr<'g>,
    /// `[g, r, 1]`
    pub reward: Expr<'g>,
    /// 1 where the episode ends by itself, `[g, r, 1]`; a time limit is not the environment's business.
    pub terminated: Expr<'g>,
}

/// Widths of what an environment reads and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Numbers of a state.
    pub state: usize,
    /// Numbers of an observation.
    pub observation: usize,
    /// Random numbers that a start, or a step, needs at most.
    pub noise: usize,
}

/// A world as graph code.
///
/// ```
/// use hyperloom::graph::expr::Expr;
/// use hyperloom::policy::{ActionSpace, ContextNumber, Environment, Moment, Transition, Widths};
///
/// /// A cart on a line that is to be kept at a place.
/// #[derive(Debug)]
/// struct Line;
///
/// impl Environment for Line {
///     fn name(&self) -> &str {
///         "line"
///     }
///     fn widths(&self) -> Widths {
///         Widths { state: 1, observation: 1, noise: 1 }
///     }
///     fn action(&self) -> ActionSpace {
///         ActionSpace::Continuous(vec![[-0.1, 0.1]])
///     }
///     fn context(&self) -> &[ContextNumber] {
///         &[ContextNumber { name: "place", usual: 0.0, range: [-1.0, 1.0] }]
///     }
///     fn horizon(&self) -> usize {
///         20
///     }
///     fn start<'g>(&self, _context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
///         noise.column(0) * 2.0 - 1.0
///     }
///     fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
///         let state = m.state + m.action.clip(-0.1, 0.1);
///         let off = state - m.context.column(0);
///         Transition { state, reward: -(off * off), terminated: state.at_least(9.0) }
///     }
///     fn observe<'g>(&self, state: Expr<'g>, _context: Expr<'g>) -> Expr<'g> {
///         state
///     }
/// }
/// ```
pub trait Environment: Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Widths of its values.
    fn widths(&self) -> Widths;

    /// What an agent may do.
    fn action(&self) -> ActionSpace;

    /// The numbers that may differ from world to world, in the order of the context's columns.
    fn context(&self) -> &[ContextNumber];

    /// Steps after which an episode is cut off.
    fn horizon(&self) -> usize;

    /// What rewards are multiplied by where a policy is trained, so that returns are of order 1 to 100. Returns are reported as they are.
    fn reward_scale(&self) -> f64 {
        1.0
    }

    /// The state that an episode starts in, `[g, r, state]`, from the context `[g, r, context]` and uniform numbers `[g, r, noise]`.
    fn start<'g>(&self, context: Expr<'g>, noise: Expr<'g>) -> Expr<'g>;

    /// A step.
    fn step<'g>(&self, moment: Moment<'g>) -> Transition<'g>;

    /// What an agent sees of a state, `[g, r, observation]`.
    fn observe<'g>(&self, state: Expr<'g>, context: Expr<'g>) -> Expr<'g>;
}

/// The environments that are built in.
pub fn environments() -> Vec<Arc<dyn Environment>> {
    vec![
        Arc::new(CartPole {}),
        Arc::new(Pendulum {}),
        Arc::new(Acrobot {}),
        Arc::new(MountainCar {}),
        Arc::new(MountainCarContinuous {}),
        Arc::new(Navigation {}),
    ]
}

/// Whether an environment that is built in has this name.
pub fn is_environment(name: &str) -> bool {
    environments().iter().any(|e| e.name() == name)
}

/// The environment of a name.
///
/// # Errors
/// [`Error::Config`] about `key` with the names that there are.
pub fn environment(name: &str, key: &str) -> Result<Arc<dyn Environment>> {
    let all = environments();
    if let Some(found) = all.iter().find(|e| e.name() == name) {
        return Ok(found.clone());
    }
    let names: Vec<&str> = all.iter().map(|e| e.name()).collect();
    let near =
        nearest(name, names.iter().copied()).map_or(String::new(), |n| format!("; did you mean '{n}'?"));
    Err(Error::config(key, format!("'{name}' is no environment: there are {}{near}", names.join(", "))))
}

/// Angles less as many turns as bring them into [-π, π).
fn wrapped(angle: Expr<'_>) -> Expr<'_> {
    use std::f64::consts::{PI, TAU};
    let turns = ((angle + PI) / TAU).floor();
    angle - turns * TAU
}

/// `low + (high - low) noise`
fn between(noise: Expr<'_>, low: f64, high: f64) -> Expr<'_> {
    noise * (high - low) + low
}
