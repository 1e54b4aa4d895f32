//! `x + f(x)` (He et al. 2016): a branch of layers that gives rows of the shape that it reads, added to what it read.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Layer, Params, layers, output};
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// A branch whose result is added to its input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// The branch.
    #[serde(rename = "residual", deserialize_with = "layers")]
    pub layers: Vec<Layer>,
}

impl Kind for Residual {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let out = output(&self.layers, row)?;
        match out == row {
            true => Ok(out),
            false => Err(format!("a residual branch makes {out:?} of a row {row:?}: both must be the same")),
        }
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        to.list(&self.layers, row);
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let y = f.list(g, &self.layers, x);
        g.add(x, y)
    }
}
