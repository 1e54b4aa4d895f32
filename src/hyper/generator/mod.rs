//! Generators: how the weights of every task are written from what was read of it. A generator is one file here and one row of the
//! table.
//!
//! All of them write a correction to the same base weights, the parameter `head.bias [P]`, and begin with a correction of 0
//! (Bias-HyperInit: Beck et al. 2022, "Hypernetworks in meta-reinforcement learning"): every task starts with the same sound
//! network.

mod chunked;
mod linear;
mod shared;

use serde::{Deserialize, Serialize};

pub use self::chunked::Chunked;
pub use self::linear::Linear;
pub use self::shared::Shared;
use super::HyperSpec;
use crate::graph::{Graph, Value};
use crate::net::{ParamLayout, Weights};

/// What a generator says about itself; its file has nothing else to do.
pub(super) trait Generate {
    /// Whether it reads anything of a task.
    fn reads(&self) -> bool {
        true
    }

    /// Refuses sizes beyond any use, with what would be right.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Appends its parameters, all but the base weights.
    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout);

    /// What each layer of the trunk gives after its activation, `[T, ..]`, from what was read of every task, `[T, E]`.
    fn trunk(&self, g: &mut Graph, spec: &HyperSpec, params: Weights<'_>, z: Value) -> Vec<Value>;

    /// What is added to the base weights, `[T, P]`; `None`: nothing ever.
    fn correction(&self, g: &mut Graph, spec: &HyperSpec, params: Weights<'_>, z: Value) -> Option<Value>;
}

/// One row a generator: its name in files, its variant.
macro_rules! table {
    ($($(#[$doc:meta])* $name:literal $variant:ident,)*) => {
        /// How the weights of every task are written. In a file its name, or a table of its settings:
        /// `generator = { kind = "chunked", chunk = 512 }`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[non_exhaustive]
        pub enum Generator { $($(#[$doc])* #[serde(rename = $name)] $variant($variant),)* }

        impl Generator {
            /// All names, for messages.
            pub const NAMES: &[&str] = &[$($name),*];

            pub(super) fn kind(&self) -> &dyn Generate {
                match self { $(Generator::$variant(generator) => generator,)* }
            }
        }
    };
}

table! {
    /// Nothing is read: all tasks share the base weights.
    "shared" Shared,
    /// A linear head on the trunk writes all weights at once.
    "linear" Linear,
    /// Trunk and head write one chunk of the weights after another.
    "chunked" Chunked,
}

impl Default for Generator {
    fn default() -> Generator {
        Generator::Linear(Linear {})
    }
}

impl Generator {
    /// Refuses sizes beyond any use.
    ///
    /// # Errors
    /// What is out of range, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        self.kind().check()
    }
}
