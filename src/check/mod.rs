//! Proof: the case table of the kernels, error-bounded comparison, known answers in double precision, and both runners
//! side by side. Tests and the command `check` ask the same questions.

pub mod bounds;
pub mod cases;
pub mod golden;
#[cfg(feature = "gpu")]
pub mod lockstep;
