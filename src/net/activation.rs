//! A pointwise function of everything in a row.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use crate::graph::{Graph, Value};
use crate::spec::{Activation, Shape};

/// An activation as a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pointwise {
    /// The function.
    #[serde(rename = "activation")]
    pub function: Activation,
}

impl Pointwise {
    /// This function of every element.
    #[must_use]
    pub fn new(function: Activation) -> Pointwise {
        Pointwise { function }
    }
}

impl Kind for Pointwise {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        Ok(row.to_vec())
    }

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, _: &mut Forward<'_>) -> Value {
        g.act(self.function, x)
    }
}
