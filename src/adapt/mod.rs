//! Adaptation: how the network of a task goes on learning from its support rows.

mod adapter;
pub mod closed_form;
mod gate;
mod inner;

pub use adapter::{Adapter, Found, Member, StartFrom, Written};
pub(crate) use adapter::{folded, forward};
pub use gate::{Candidates, Gate};
pub use inner::{Adaptation, Given, Inner, Part, Rates, Rule};
