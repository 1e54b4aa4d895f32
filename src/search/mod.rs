//! Architecture search: architectures as values, spaces of them, and populations of different networks that are trained at once.
//!
//! ```
//! use hyperloom::rng::Rng;
//! use hyperloom::search::Space;
//!
//! // Cells of convolutions over series of 40 numbers, ten classes.
//! let space = Space::preset("cell-1d")?;
//! let mut rng = Rng::new(0, 0);
//! let one = space.sample(&mut rng);
//! let net = space.net(&one, &[40, 1], 10)?;
//! assert_eq!((net.inputs(), net.outputs()), (40, 10));
//! // Another one, with one choice changed.
//! let other = space.mutated(&one, &mut rng);
//! assert_ne!(one.key(), other.key());
//! # Ok::<(), String>(())
//! ```

mod architecture;

mod choice;
mod decisions;
mod generator;
mod gradient;
mod limits;
mod masked;
mod policy;
mod population;
mod replay;
mod scores;
mod space;
mod surrogate;
mod tokens;

pub use architecture::{Architecture, Connection, Operation, Stage};

pub use choice::{Candidate, ChoiceRule, rank_correlation};
pub(crate) use choice::{all_looks, best_first, fitted, settled};
pub use generator::{GeneratorSettings, GraphHypernetwork, Reading};
pub use gradient::{ChoiceGradient, GradientSettings, Sampling};
pub use limits::{Cost, Limits};
pub use masked::Masked;
pub(crate) use population::Tally;
pub use population::{Member, Population, RowsOf, TrainSettings};
pub(crate) use replay::{Length, Replay};
pub use scores::{Scores, scores};
pub use space::{Choice, Space, StageSpace};
pub use surrogate::Surrogate;
