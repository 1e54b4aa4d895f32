//! Meta-learning: episodes, the outer loop, adaptation, evaluation.

pub mod adapt;
pub mod episode;
pub mod evaluate;
pub mod experiment;
pub mod inner;
pub mod model;
pub mod objective;
pub mod outer;
pub mod ridge;
