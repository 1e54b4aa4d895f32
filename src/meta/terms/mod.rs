//! Terms of the objective beside the query loss. A term is one file here and one row of the table; they are added in its order.

mod diversity;
mod main_network;
mod weight_penalty;

use super::objective::MetaSpec;
use crate::graph::{Graph, Value};
use crate::net::Weights;
use crate::task::{Batch, Loss};

/// All of them.
pub(super) const ALL: &[&dyn Term] =
    &[&weight_penalty::WeightPenalty, &diversity::Diversity, &main_network::MainNetwork];

/// A term of the objective.
pub(super) trait Term: Sync {
    /// Whether the settings ask for it.
    fn is_asked(&self, spec: &MetaSpec) -> bool;

    /// The objective with this term, from that of the terms before it.
    fn add(&self, g: &mut Graph, spec: &MetaSpec, input: &TermInput<'_>, rest: Value) -> Value;

    /// Whether it is no mean over tasks.
    fn couples_tasks(&self) -> bool {
        false
    }
}

/// What terms are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct TermInput<'a> {
    /// All that is meta-learned.
    pub(super) params: Weights<'a>,
    /// Weights as tasks start with them: `[T, P]`, or one row `[P]` for all.
    pub(super) weights: Value,
    /// The episodes.
    pub(super) batch: &'a Batch,
    /// The loss on rows.
    pub(super) kind: Loss,
}
