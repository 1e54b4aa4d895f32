//! Generators: how the weights of every task are written from what was read of it. A generator is one file here and one row of the
//! table.
//!
//! Those that read something of a task write a correction to the same base weights, the parameter `head.bias [P]`, and begin with a
//! correction of 0 (Bias-HyperInit: Beck et al. 2022, "Hypernetworks in meta-reinforcement learning"): every task starts with the
//! same sound network. Or every task starts with one of its own, as large as one that is drawn ([`HyperInit`](super::HyperInit)).

mod chunked;
mod film;
mod linear;
mod low_rank;
mod masked;
mod mixture;
mod recurrent;
mod shared;
mod static_blocks;
mod tiles;
mod transformer;

use serde::{Deserialize, Serialize};

pub use self::chunked::Chunked;
pub use self::film::Film;
pub use self::linear::Linear;
pub use self::low_rank::LowRank;
pub use self::masked::Masked;
pub use self::mixture::Mixture;
pub use self::recurrent::Recurrent;
pub use self::shared::Shared;
pub use self::static_blocks::Static;
pub use self::transformer::Transformer;
use super::{HyperSpec, Read};
use crate::graph::{Graph, Value};
use crate::net::{Correction, ParamLayout, Weights};

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

    /// Refuses a target that it can write nothing of.
    fn check_target(&self, _: &HyperSpec) -> Result<(), String> {
        Ok(())
    }

    /// Whether what it writes is a correction to base weights.
    fn has_base(&self) -> bool {
        true
    }

    /// Whether all weights may be drawn by its head at first, and not only a correction to weights that are drawn once.
    fn may_draw(&self) -> bool {
        false
    }

    /// Appends its parameters, all but the base weights.
    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout);

    /// Changes parameters that were drawn by `layout` so that the target starts with `base`, as far as it can be told what to
    /// start with. Base weights do that themselves.
    fn start(&self, _spec: &HyperSpec, _layout: &ParamLayout, _params: &mut [f32], _base: &[f32]) {}

    /// Whether it reads what each support row became, and not only what they became together.
    fn reads_rows(&self) -> bool {
        false
    }

    /// What each layer of the trunk gives after its activation, `[T, ..]`, from what was read of every task.
    fn trunk(&self, g: &mut Graph, spec: &HyperSpec, params: Weights<'_>, read: &Read) -> Vec<Value> {
        spec.run_trunk(g, params, read.condition)
    }

    /// What each task adds to the dense layers of weights that all share, in factors, where it can be had so.
    fn corrections(&self, _: &mut Graph, _: &HyperSpec, _: Weights<'_>, _: &Read) -> Option<Vec<Correction>> {
        None
    }

    /// What is written, from what was read of every task, where anything is: `[T, W]`, W of [`HyperSpec::written`], or `[1, P]` for
    /// all tasks; `None`: nothing, the base weights are all there is.
    fn written(
        &self,
        g: &mut Graph,
        spec: &HyperSpec,
        params: Weights<'_>,
        read: Option<&Read>,
    ) -> Option<Value>;
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
    /// A recurrent cell walks over the target's layers and writes one after another.
    "recurrent" Recurrent,
    /// Tokens of the target's layers look at the support rows and at one another, and each writes its layer.
    "transformer" Transformer,
    /// Corrections of low rank to matrices that tasks share.
    "low-rank" LowRank,
    /// Gains and shifts of what layers give.
    "film" Film,
    /// Gates on weights that tasks share.
    "masked" Masked,
    /// A mixture of learned networks.
    "mixture" Mixture,
    /// Nothing is read: kernels are written block by block from a learned embedding of each.
    "static" Static,
}

impl Default for Generator {
    fn default() -> Generator {
        Generator::Linear(Linear {})
    }
}

impl Generator {
    /// Whether it reads anything of a task.
    pub fn reads(&self) -> bool {
        self.kind().reads()
    }

    /// Whether it reads what each support row became, and not only what they became together.
    pub fn reads_rows(&self) -> bool {
        self.kind().reads_rows()
    }

    /// Whether what it writes is a correction to base weights.
    pub fn has_base(&self) -> bool {
        self.kind().has_base()
    }

    /// Whether the weights themselves are the parameters, and nothing writes them.
    pub fn is_shared_weights(&self) -> bool {
        matches!(self, Generator::Shared(_))
    }

    /// Whether it may draw the weights of every task at first ([`HyperInit`](super::HyperInit)).
    pub fn may_draw(&self) -> bool {
        self.kind().may_draw()
    }

    /// Refuses sizes beyond any use.
    ///
    /// # Errors
    /// What is out of range, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        self.kind().check()
    }
}
