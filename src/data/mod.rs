//! Where tasks come from: one file a source, and what the sources share.
//!
//! [`csv`] reads a table of many small groups, every group a task. It stands on [`table`] (text cells, checked),
//! [`encoder`] (text to numbers, fitted on every group but those judged by, and stored with the model) and [`split`] (which groups train, choose and judge).
//! [`series`] reads tables of points in time, every series a task; [`images`] reads pictures sorted into classes, of which [`ways`] makes N-way K-shot tasks, and [`labelled`]
//! batches of a single one; [`one_class`] makes each class a task of its own, [`fields`] each picture, and [`score`] says how alike two are. [`sine`] and [`shapes`] make theirs;
//! [`staged`] takes them from a function or a list of a program's own.
//!
//! ```
//! use hyperloom::data::Table;
//! use hyperloom::data::csv::group_rows;
//!
//! let text = "plant,week,height\nfern,1,3\nmoss,1,2\nfern,2,5\n";
//! let table = Table::parse("heights.csv", text.as_bytes())?;
//! // Every group is a task: its name, and its rows.
//! let groups = group_rows(&table, "plant")?;
//! assert_eq!(groups, [("fern".to_string(), vec![0, 2]), ("moss".to_string(), vec![1])]);
//! # Ok::<(), hyperloom::Error>(())
//! ```

mod column;
pub mod csv;
pub mod encoder;
pub mod fields;
pub mod format;
pub mod grouped;
pub mod idx;
pub mod images;
pub mod labelled;
pub mod one_class;
pub mod pairs;
pub mod picture;
pub mod score;
pub mod score_text;
mod seen;
pub mod sequences;
pub mod series;
pub mod shapes;
pub mod sine;
mod smoothing;
pub mod split;
pub mod staged;
pub mod table;
pub mod text;
pub mod texts;
pub mod ways;

pub use csv::{CsvSpec, Group, Groups};
pub use encoder::{Encoder, TargetKind};
pub use split::Split;
pub use table::Table;
