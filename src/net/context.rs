//! Context parameters: further inputs of a dense layer that are the same for all rows of a task and belong to the task, not to the rows
//! (Zintgraf et al. 2019, "Fast context adaptation via meta-learning"). They are no weights of the net; adaptation gives them,
//! and without it they are 0. In front of every dense layer they shift what each gives, as the modulations of a field do (Dupont
//! et al. 2022, "COIN++"). What they shift a layer by is computed once a task, by the parameter `context [c, out]` of that layer.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
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
            [_] if (1..=65_536).contains(&self.width) => Ok(row.to_vec()),
            [_] => Err(format!("{} context parameters: 1 to 65536 are possible", self.width)),
            _ => {
                Err(format!("context parameters go behind a row of one axis, not {row:?}: flatten it first"))
            }
        }
    }

    fn params(&self, _: &[usize], to: &mut Params<'_>) {
        to.context = Some(self.width);
    }

    /// The dense layer behind reads them.
    fn apply(&self, _: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        f.reads_context = true;
        x
    }
}
