//! Policies: networks that act in worlds, thousands side by side, and learn from what they get.
//!
//! An [`Environment`] writes its steps as graph code, so that whole roll-outs run on the device: g networks with r worlds each, every
//! world with a context (masses, lengths, goals) of its own. A [`Policy`] says what the networks are and where their weights come from: one
//! for all worlds, one for each context, or written by a hypernetwork that reads the context.
//!
//! ```
//! use std::sync::Arc;
//! use hyperloom::Device;
//! use hyperloom::policy::{Behaviour, Learning, Policy, PolicyTrainer, Worlds, environment};
//!
//! let worlds = Worlds::usual(environment("cartpole", "--task")?, 1, 8);
//! let policy = Policy::shared(&worlds, &[32, 32], 0);
//! let mut learning = Learning::new(20_000);
//! learning.steps = 64;
//! let mut trainer = PolicyTrainer::new(&Device::Cpu, worlds.clone(), policy, learning, 0)?;
//! while trainer.left() > 0 {
//!     trainer.advance(8)?;
//! }
//! let (now, random) = (
//!     trainer.evaluate(&worlds, Behaviour::Greedy, 1)?,
//!     trainer.evaluate(&worlds, Behaviour::Random, 1)?,
//! );
//! assert!(now.mean() > 2.0 * random.mean());
//! # Ok::<(), hyperloom::Error>(())
//! ```

mod action;
mod adaptation;
mod advantage;
mod analytic;
pub mod environment;
mod evolution;
mod host;
mod iteration;
mod memory;
mod objective;
mod play;
mod rollout;
mod spec;
mod trainer;
mod worlds;

pub use action::Distribution;
pub use adaptation::Adaptation;
pub use advantage::{Rewards, advantages};
pub use environment::{
    ActionSpace, ContextNumber, Environment, HostEnvironment, HostStep, HostWorlds, Ink, Moment, OnHost,
    Program, Scene, Shape, Spread, Transition, Widths, end_programs, environment, environments,
    is_environment,
};
pub use evolution::Evolution;
pub use iteration::training_graph;
pub use memory::{Belief, Memory};
pub use objective::{Objective, Parts, Steps};
pub use play::{Episodes, Setting, Trajectory};
pub use rollout::{Agents, Behaviour, FirstTrials, Past, Place, RollInputs, Rolled};
pub use spec::{Policy, PolicyWeights};
pub use trainer::{Learning, PolicyState, PolicyTrainer, Progressed};
pub use worlds::{Varied, Worlds};
