//! Environments: worlds that an agent acts in, whose steps are graph code. So a roll-out is a part of a plan, on any device, and
//! differentiable where the physics is.

mod acrobot;
mod bandit;
mod cartpole;
mod grid;
pub(super) mod host;
mod lane;
mod mdp;
mod mountain_car;
mod navigation;
mod pendulum;
mod point;
mod program;
mod rules;
mod scene;

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use crate::error::{Error, Result, nearest};
use crate::graph::expr::Expr;
use crate::graph::op::Binary;
pub use acrobot::Acrobot;
pub use bandit::Bandit;
pub use cartpole::CartPole;
pub use grid::Grid;
pub use host::{HostEnvironment, HostStep, HostWorlds, OnHost};
pub use lane::Lane;
pub use mdp::Mdp;
pub use mountain_car::{MountainCar, MountainCarContinuous};
pub use navigation::Navigation;
pub use pendulum::Pendulum;
pub use point::Point;
pub use program::{Program, end_programs};
pub use scene::{Ink, Scene, Shape};

/// What an agent may do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ActionSpace {
    /// One of so many actions; an environment gets it as one-hot `[.., n]`.
    Discrete(usize),
    /// One of each of so many, several choices at once; an environment gets them as one-hot columns behind one another, `[.., sum]`.
    MultiDiscrete(Vec<usize>),
    /// Numbers, one for each of these ranges; an environment gets them as they are, `[.., n]`, and clips what lies outside.
    Continuous(Vec<[f64; 2]>),
}

impl ActionSpace {
    /// Numbers of an action, and of what a policy's network says of it.
    pub fn width(&self) -> usize {
        match self {
            ActionSpace::Discrete(n) => *n,
            ActionSpace::MultiDiscrete(choices) => choices.iter().sum(),
            ActionSpace::Continuous(ranges) => ranges.len(),
        }
    }

    /// Actions of each choice, of discrete ones.
    pub fn choices(&self) -> Option<Vec<usize>> {
        match self {
            ActionSpace::Discrete(n) => Some(vec![*n]),
            ActionSpace::MultiDiscrete(choices) => Some(choices.clone()),
            ActionSpace::Continuous(_) => None,
        }
    }
}

/// How a number of a context is drawn where it differs between worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spread {
    /// Evenly between two ends.
    Even,
    /// Whole numbers, evenly between two ends and with them.
    Whole,
    /// −1 or 1.
    Sign,
    /// Exponentially with mean 1: numbers whose shares of their sum are a draw from a flat Dirichlet distribution.
    Share,
    /// From a normal distribution with mean 1 and deviation 1.
    Normal,
}

/// A number that differs from world to world: a mass, a length, a goal.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ContextNumber {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it is where nothing is said.
    pub usual: f64,
    /// What it may be.
    pub range: [f64; 2],
    /// How it is drawn.
    pub spread: Spread,
}

impl ContextNumber {
    /// One that is drawn evenly.
    #[must_use]
    pub const fn new(name: &'static str, usual: f64, range: [f64; 2]) -> ContextNumber {
        ContextNumber { name: Cow::Borrowed(name), usual, range, spread: Spread::Even }
    }

    /// One that is −1 or 1, usually 1.
    #[must_use]
    pub const fn sign(name: &'static str) -> ContextNumber {
        ContextNumber { name: Cow::Borrowed(name), usual: 1.0, range: [-1.0, 1.0], spread: Spread::Sign }
    }

    /// Of many that are numbered.
    fn numbered(name: String, usual: f64, range: [f64; 2], spread: Spread) -> ContextNumber {
        ContextNumber { name: name.into(), usual, range, spread }
    }
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
///         static PLACE: [ContextNumber; 1] = [ContextNumber::new("place", 0.0, [-1.0, 1.0])];
///         &PLACE
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

    /// Whether every number of the context differs from world to world where nothing else is said: a family of tasks with no usual one.
    fn is_family(&self) -> bool {
        false
    }

    /// Steps after which an episode is cut off.
    fn horizon(&self) -> usize;

    /// Steps of the episodes of a trial in which a memory finds out what world it is in, where nothing else is said.
    fn trial(&self) -> Vec<usize> {
        vec![self.horizon(); 2]
    }

    /// The mean return, of an episode of so many steps, of who knows the context and acts best; `None` where nobody worked it out.
    fn oracle(&self, _context: &[f32], _steps: usize) -> Option<f64> {
        None
    }

    /// What known rules that learn within a trial get, each by its name: mean returns, over contexts, of trials of episodes of so many steps.
    fn rules(&self, _contexts: &[&[f32]], _trial: &[usize], _seed: u64) -> Vec<(&'static str, f64)> {
        vec![]
    }

    /// What rewards are multiplied by where a policy is trained, so that returns are of order 1 to 100. Returns are reported as they are.
    fn reward_scale(&self) -> f64 {
        1.0
    }

    /// The state that an episode starts in, `[g, r, state]`, from the context `[g, r, context]` and uniform numbers `[g, r, noise]`.
    fn start<'g>(&self, context: Expr<'g>, noise: Expr<'g>) -> Expr<'g>;

    /// A step.
    fn step<'g>(&self, moment: Moment<'g>) -> Transition<'g>;

    /// The mean of the reward of a step that gave `reward`, over what is drawn in it, `[g, r, 1]`: what is learned from, as far as it is known. Memories read, and
    /// returns count, the rewards that were drawn.
    fn mean_reward<'g>(&self, _moment: Moment<'g>, reward: Expr<'g>) -> Expr<'g> {
        reward
    }

    /// What an agent sees of a state, `[g, r, observation]`.
    fn observe<'g>(&self, state: Expr<'g>, context: Expr<'g>) -> Expr<'g>;

    /// Height, width and channels, where what is seen is a picture, `[.., height · width · channels]`: policies that read nothing else read it by convolutions.
    fn picture(&self) -> Option<[usize; 3]> {
        None
    }

    /// The simulator behind it, of one that runs on the host ([`OnHost`]) and has no graph code.
    fn host(&self) -> Option<&dyn HostEnvironment> {
        None
    }

    /// What a state looks like; `None` where nobody drew it.
    fn scene(&self, _state: &[f32], _context: &[f32]) -> Option<Scene> {
        None
    }

    /// Of states of two numbers what they are called, and from where to where they are worth a look.
    fn plane(&self) -> Option<[(&str, [f64; 2]); 2]> {
        None
    }

    /// Where a state of two numbers is in that plane: angles less the turns that lead out of it.
    fn on_plane(&self, state: &[f32]) -> [f64; 2] {
        [f64::from(state[0]), f64::from(state[1])]
    }
}

/// Arms, states and actions that there may be at most.
const MOST: usize = 32;

/// The environments that are built in.
pub fn environments() -> Vec<Arc<dyn Environment>> {
    vec![
        Arc::new(CartPole {}),
        Arc::new(Pendulum {}),
        Arc::new(Acrobot {}),
        Arc::new(MountainCar {}),
        Arc::new(MountainCarContinuous {}),
        Arc::new(Navigation {}),
        Arc::new(Point {}),
        Arc::new(Grid { picture: false }),
        Arc::new(Grid { picture: true }),
        Arc::new(Lane { keys: false }),
        Arc::new(Lane { keys: true }),
        Arc::new(Bandit::new(10)),
        Arc::new(Mdp::new(10, 5)),
    ]
}

/// The number of arms, or of states and actions, that stands behind the name of an environment: `bandit-5`, `mdp-10-5`.
fn sized(name: &str) -> Option<Result<Arc<dyn Environment>>> {
    let (first, rest) = name.split_once('-')?;
    let sizes: Option<Vec<usize>> = rest.split('-').map(|n| n.parse().ok()).collect();
    let within = |n: usize| (2..=MOST).contains(&n);
    let right = match (first, sizes.as_deref()) {
        ("bandit", Some(&[arms])) if within(arms) => return Some(Ok(Arc::new(Bandit::new(arms)))),
        ("mdp", Some(&[states, actions])) if within(states) && within(actions) => {
            return Some(Ok(Arc::new(Mdp::new(states, actions))));
        }
        ("bandit", _) => format!("bandit-ARMS, with 2 to {MOST} arms, as bandit-5"),
        ("mdp", _) => format!("mdp-STATES-ACTIONS, each from 2 to {MOST}, as mdp-10-5"),
        _ => return None,
    };
    Some(Err(Error::config("--task", format!("'{name}' is no environment: {right}"))))
}

/// Whether a name means an environment: one that is built in, if of sizes that there are, or `exec:` and a command ([`Program`]).
pub fn is_environment(name: &str) -> bool {
    environments().iter().any(|e| e.name() == name)
        || sized(name).is_some()
        || name.starts_with(program::PREFIX)
}

/// The environment of a name; `bandit` and `mdp` may have sizes behind it ([`Bandit`], [`Mdp`]); behind `exec:` stands the command of a simulator
/// ([`Program`]).
///
/// # Errors
/// [`Error::Config`] about `key` with the names that there are; those of [`Program::ask`].
pub fn environment(name: &str, key: &str) -> Result<Arc<dyn Environment>> {
    let all = environments();
    if let Some(found) = all.iter().find(|e| e.name() == name) {
        return Ok(found.clone());
    }
    if let Some(found) = sized(name) {
        return found;
    }
    if let Some(command) = name.strip_prefix(program::PREFIX) {
        return program::environment(command);
    }
    let names: Vec<&str> = all.iter().map(|e| e.name()).collect();
    let near =
        nearest(name, names.iter().copied()).map_or(String::new(), |n| format!("; did you mean '{n}'?"));
    Err(Error::config(
        key,
        format!(
            "'{name}' is no environment: there are {}, and exec:COMMAND for a simulator of one's own{near}",
            names.join(", ")
        ),
    ))
}

/// Angles less as many turns as bring them into [-π, π).
fn wrapped(angle: Expr<'_>) -> Expr<'_> {
    use std::f64::consts::{PI, TAU};
    let turns = ((angle + PI) / TAU).floor();
    angle - turns * TAU
}

/// One of `n` as one-hot `[.., n]`, by a uniform number `[.., 1]` and what the probabilities, `[.., n]`, sum up to, `[.., 1]`: where the sum of those so far
/// passes the number.
pub(super) fn picked<'g>(u: Expr<'g>, p: Expr<'g>, n: usize) -> Expr<'g> {
    // 1 as long as u is not below the sum of the probabilities so far.
    let mut beyond = vec![];
    let mut sum = p.column(0);
    for i in 1..n {
        beyond.push(u.zip(Binary::GreaterEq, sum));
        sum = sum + p.column(i);
    }
    let columns: Vec<Expr<'g>> = (0..n)
        .map(|i| match (i.checked_sub(1).map(|b| beyond[b]), beyond.get(i)) {
            (None, None) => u * 0.0 + 1.0,
            (None, Some(after)) => 1.0 - *after,
            (Some(before), None) => before,
            (Some(before), Some(after)) => before - *after,
        })
        .collect();
    Expr::columns(&columns)
}

/// A normal number by two uniform ones on [0, 1) (Box and Muller).
pub(super) fn normal<'g>(first: Expr<'g>, second: Expr<'g>) -> Expr<'g> {
    let radius = ((1.0 - first).ln() * -2.0).sqrt();
    radius * (second * std::f64::consts::TAU).cos()
}

/// `low + (high - low) noise`
fn between(noise: Expr<'_>, low: f64, high: f64) -> Expr<'_> {
    noise * (high - low) + low
}
