//! hyperloom

pub mod checkpoint;
pub mod error;
pub mod files;
pub mod report;
