//! hyperloom

pub mod data;
pub mod error;
pub mod graph;
pub mod kernel;
pub mod plan;
pub mod run;
pub mod spec;
