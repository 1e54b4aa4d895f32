//! Pictures of a run as SVG files: how the loss fell, what adaptation does to unseen tasks, how the error
//! depends on its steps. One file a kind of chart; `canvas`, `axis` and `frame` are what they share.
//!
//! The same numbers give the same bytes. Values that are not finite are left out, and said to be; a chart of
//! nothing is an empty chart.

mod attention;
mod axis;
mod canvas;
mod cells;
mod cloud;
mod confusion;
mod contour;
mod curves;
mod dots;
mod fields;
mod frame;
mod gallery;
mod matrix;
mod plane;
mod scatter;
mod tasks;

pub use attention::{AttentionPanel, attention};
pub use cells::{CellDrawing, cells};
pub use cloud::{Colouring, cloud};
pub use confusion::confusion;
pub use curves::{Curve, accuracy_curve, curves, error_by_steps, loss_curve, marked_curves};
pub use dots::{DotRow, dots};
pub use fields::{FieldPanel, fields};
pub use gallery::{Shown, Tile, gallery};
pub use matrix::{MatrixPanel, matrices};
pub use plane::{PlanePanel, planes};
pub use scatter::{Marked, marked, pareto_front, predicted_against_true};
pub use tasks::{INTERVAL, TaskPanel, task_panels};
