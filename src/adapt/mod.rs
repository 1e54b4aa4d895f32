//! Adaptation: how the network of a task goes on learning from its support rows.

mod adapter;
pub mod closed_form;
mod fast;
mod gate;
mod inner;
mod rule;

pub use adapter::{Adapter, Generated, Member, StartFrom, TaskPredictions};
pub(crate) use adapter::{forward, without_context};
pub use fast::Fast;
pub use gate::{Candidates, Gate};
pub use inner::{Adaptation, InnerLoop, InnerProblem, Rates};
pub use rule::Rule;
