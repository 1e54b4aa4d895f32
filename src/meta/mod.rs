//! Meta-learning: episodes, the outer loop, adaptation, evaluation.

pub mod adapt;
pub mod episode;
pub mod evaluate;
pub mod experiment;
pub mod model;
pub mod outer;
