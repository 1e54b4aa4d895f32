//! Context parameters: further inputs that are the same for all rows of a task and belong to the task, not to the rows
//! (Zintgraf et al. 2019, "Fast context adaptation via meta-learning"). They are no weights of the net; adaptation gives them,
//! and without it they are 0.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// The task's context behind every row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Context {
    /// How many context parameters a task has.
    #[serde(rename = "context")]
    pub width: usize,
}

impl Context {
    /// So many context parameters.
    #[must_use]
    pub fn new(width: usize) -> Context {
        Context { width }
    }
}

impl Kind for Context {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        match row {
            [width] if (1..=65_536).contains(&self.width) => Ok(vec![width + self.width]),
            [_] => Err(format!("{} context parameters: 1 to 65536 are possible", self.width)),
            _ => {
                Err(format!("context parameters go behind a row of one axis, not {row:?}: flatten it first"))
            }
        }
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let mut shape = g.shape(x).to_vec();
        let axis = shape.len() - 1;
        let Some(context) = f.context else { return g.pad(x, axis, 0, shape[axis] + self.width) };
        shape[axis] = self.width;
        let rows = g.reshape(context, &[shape[0], 1, self.width]);
        let rows = g.expand(rows, &shape);
        g.concat(&[x, rows], axis)
    }
}
