//! What a run leaves for people to read: its numbers as a table and its pictures.

pub mod events;
pub mod metrics;
pub mod plot;
