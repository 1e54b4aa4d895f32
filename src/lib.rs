//! hyperloom

pub mod checkpoint;
pub mod config;
pub mod data;
pub mod error;
pub mod files;
pub mod graph;
pub mod hyper;
pub mod kernel;
pub mod meta;
pub mod nn;
pub mod optim;
pub mod plan;
pub mod report;
pub mod rng;
pub mod run;
pub mod run_folder;
pub mod spec;

pub use error::{Error, Result};
