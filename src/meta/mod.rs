//! Meta-learning: the objective, the outer loop, and the model that it leaves.

pub mod model;
pub mod objective;
pub mod outer;
pub(crate) mod store;
mod terms;
