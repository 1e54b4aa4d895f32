//! `x + f(x)` (He et al. 2016): a branch of layers, added to what it read, or to a projection of that.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Layer, Params, layers, mix_rows, output, read_support};
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// A branch whose result is added to its input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Residual {
    /// The branch.
    #[serde(rename = "residual", deserialize_with = "layers")]
    pub layers: Vec<Layer>,
    /// What the input goes through before it is added: a projection where the branch changes the shape. Empty: nothing.
    #[serde(default, deserialize_with = "layers", skip_serializing_if = "Vec::is_empty")]
    pub shortcut: Vec<Layer>,
}

impl Residual {
    /// `x + f(x)`, f these layers. What the input goes through before it is added is assigned.
    #[must_use]
    pub fn new(layers: Vec<Layer>) -> Residual {
        Residual { layers, shortcut: vec![] }
    }
}

impl Kind for Residual {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        if self.layers.is_empty() {
            return Err("a residual branch without layers would double what it reads".into());
        }
        let (out, straight) = (output(&self.layers, row)?, output(&self.shortcut, row)?);
        match out == straight {
            true => Ok(out),
            false => Err(format!(
                "a residual branch makes {out:?} of a row {row:?}, and {straight:?} is what it is added to: both must be the same"
            )),
        }
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        to.list(&self.layers, row);
        to.list(&self.shortcut, row);
    }

    fn mixes_rows(&self) -> bool {
        mix_rows(&self.layers) || mix_rows(&self.shortcut)
    }

    fn reads_support(&self) -> bool {
        read_support(&self.layers) || read_support(&self.shortcut)
    }

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let y = f.list(g, &self.layers, x);
        let straight = f.list(g, &self.shortcut, x);
        g.add(straight, y)
    }
}
