//! Meta-learning: episodes, the outer loop, adaptation, evaluation.

pub mod adapt;
mod choose;
pub mod episode;
pub mod evaluate;
pub mod experiment;
pub mod gate;
pub mod inner;
pub mod instruments;
pub mod interval;
pub mod model;
pub mod objective;
pub mod outer;
pub mod ridge;
