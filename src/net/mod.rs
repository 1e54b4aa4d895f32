//! Networks: layers as pure functions over a graph, the layout of their weights, and how these start.

mod dense;
mod layout;
mod weights;

pub use dense::{DenseSpec, dense, dense_in_context, features, with_context};
pub use layout::{Init, Param, ParamLayout};
pub use weights::Weights;
