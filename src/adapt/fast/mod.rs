//! What adapts: a task's *fast* state, and how it makes predictions. A kind of fast state is one file here and one row of the
//! table.

mod all;
mod context;
mod embedding;
mod head;

use serde::{Deserialize, Serialize};

use super::{InnerLoop, InnerProblem};
use crate::graph::{Graph, Value};
use crate::hyper::HyperSpec;
use crate::net::SupportRows;

/// What a kind of fast state says about itself.
pub(super) trait State {
    /// Whether `hyper` has what is adapted.
    fn is_in(&self, hyper: &HyperSpec) -> bool;

    /// Sizes of the tensors of the state.
    fn tensors(&self, hyper: &HyperSpec) -> Vec<usize>;

    /// Weights `[P]` of the network of a task, without context parameters ([`crate::net::Net::without_context`]).
    fn network(&self, hyper: &HyperSpec, weights: &[f32], fast: &[f32]) -> Vec<f32>;

    /// The same in a graph, `[T, P]`, of tasks with such states `[T, S]`.
    fn folded(&self, g: &mut Graph, inner: &InnerLoop<'_>, problem: &InnerProblem, fast: Value) -> Value;

    /// The state of every task `[T, S]` as it starts.
    fn start(&self, g: &mut Graph, inner: &InnerLoop<'_>, problem: &InnerProblem) -> Value;

    /// Predictions `[T, n, o]` by a state on rows as [`State::inputs`] gives them.
    fn predict(
        &self,
        g: &mut Graph,
        inner: &InnerLoop<'_>,
        problem: &InnerProblem,
        fast: Value,
        x: Value,
    ) -> Value;

    /// What the state reads of rows `[T, n, i]` of tasks with that support, by weights that stay as they are.
    fn inputs(
        &self,
        _g: &mut Graph,
        _inner: &InnerLoop<'_>,
        _weights: Value,
        _support: SupportRows,
        x: Value,
    ) -> Value {
        x
    }

    /// Whether all tasks may share the weights that are not adapted as one row.
    fn shares_weights(&self) -> bool {
        false
    }

    /// Whether the hypernetwork writes the weights anew from the state.
    fn rewrites(&self) -> bool {
        false
    }
}

/// One row a kind of fast state: its variant, its name in files, its file.
macro_rules! table {
    ($($(#[$doc:meta])* $variant:ident $name:literal $state:expr,)*) => {
        /// What adaptation changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Fast { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Fast {
            /// Its name in files.
            pub fn name(self) -> &'static str {
                match self { $(Fast::$variant => $name,)* }
            }

            pub(super) fn state(self) -> &'static dyn State {
                match self { $(Fast::$variant => $state,)* }
            }
        }
    };
}

table! {
    /// All weights of the target.
    All "all" &all::All,
    /// Its head: the dense layer that it ends in (ANIL: Raghu et al. 2020).
    Head "head" &head::Head,
    /// Its context parameters (CAVIA: Zintgraf et al. 2019).
    Context "context" &context::Context,
    /// The task's embedding, which the hypernetwork reads.
    Embedding "embedding" &embedding::Embedding,
}

impl Fast {
    /// Whether all tasks may share the weights that are not adapted as one row.
    pub fn shares_weights(self) -> bool {
        self.state().shares_weights()
    }
}
