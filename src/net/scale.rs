//! A constant factor. Before a `sin` it is ω₀ of a SIREN (Sitzmann et al. 2020), which gives fine detail.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// Everything times a constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Scale {
    /// The constant.
    #[serde(rename = "scale")]
    pub factor: f64,
}

impl Scale {
    /// Times `factor`.
    #[must_use]
    pub fn new(factor: f64) -> Scale {
        Scale { factor }
    }
}

impl Kind for Scale {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        match self.factor.is_finite() && self.factor != 0.0 {
            true => Ok(row.to_vec()),
            false => Err(format!("a scale of {}: it must be finite and not 0", self.factor)),
        }
    }

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, _: &mut Forward<'_>) -> Value {
        g.scale(x, self.factor)
    }
}
