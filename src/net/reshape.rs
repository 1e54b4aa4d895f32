//! The numbers of a row with other axes: `reshape = [7, 7, 16]` makes a picture of 784 numbers, the last axis fastest.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use crate::graph::{Graph, Value};
use crate::spec::{Shape, count};

/// Rows with other axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Reshape {
    /// Their axes.
    #[serde(rename = "reshape")]
    pub shape: Shape,
}

impl Reshape {
    /// Rows of this shape.
    #[must_use]
    pub fn new(shape: impl Into<Shape>) -> Reshape {
        Reshape { shape: shape.into() }
    }
}

impl Kind for Reshape {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let numbers = self.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        match numbers == Some(count(row)) {
            true => Ok(self.shape.clone()),
            false => Err(format!(
                "a row {row:?} has {} numbers, which are no row {:?}: the product of the axes has to be the same",
                count(row),
                self.shape
            )),
        }
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let lead = g.shape(x)[..f.lead].to_vec();
        g.reshape(x, &[&lead[..], &self.shape].concat())
    }
}
