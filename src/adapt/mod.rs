//! Adaptation: how the network of a task goes on learning from its support rows.

mod adapter;
pub mod closed_form;
mod gate;
mod inner;

pub use adapter::{Adapter, Generated, Member, StartFrom, TaskPredictions};
pub(crate) use adapter::{forward, without_context};
pub use gate::{Candidates, Gate};
pub use inner::{Adaptation, Fast, InnerLoop, InnerProblem, Rates, Rule};
