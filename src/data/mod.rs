//! Where tasks come from: one file a source, and what the sources share.
//!
//! [`csv`] reads a table of many small groups, every group a task. It stands on [`table`] (text cells, checked),
//! [`encoder`] (text to numbers, fitted on every group but those judged by, and stored with the model) and [`split`] (which groups train, choose and judge).
//! [`images`] reads pictures sorted into classes, of which [`ways`] makes N-way K-shot tasks. [`sine`] and [`shapes`] make theirs;
//! [`staged`] takes them from a function or a list of a program's own.

mod column;
pub mod csv;
pub mod encoder;
pub mod format;
pub mod grouped;
pub mod idx;
pub mod images;
pub mod shapes;
pub mod sine;
pub mod split;
pub mod staged;
pub mod table;
pub mod ways;

pub use csv::{CsvSpec, Group, Groups};
pub use encoder::{Encoder, TargetKind};
pub use split::Split;
pub use table::Table;
