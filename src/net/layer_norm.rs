//! Layer normalisation (Ba et al. 2016) over the last axis of a row: gain `[c]`, shift `[c]`.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::norm;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// Rows with mean 0 and variance 1 along their last axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LayerNorm {
    /// Says that it is there: `layer_norm = true`.
    #[serde(rename = "layer_norm")]
    pub on: bool,
}

impl LayerNorm {
    /// The layer, which has no settings.
    #[must_use]
    pub fn on() -> LayerNorm {
        LayerNorm { on: true }
    }
}

impl Kind for LayerNorm {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        match (self.on, row) {
            (false, _) => Err("layer_norm = true, or leave the layer out".into()),
            (true, [.., 1]) => Err(format!(
                "the norm of one number is always 0, and rows {row:?} have one along their last axis"
            )),
            (true, _) => Ok(row.to_vec()),
        }
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        norm::params(row[row.len() - 1], to);
    }

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let y = g.scope(name.clone(), |g| {
            let mut kept = g.shape(x).to_vec();
            *kept.last_mut().unwrap_or(&mut 1) = 1;
            let y = norm::standardised(g, x, &kept, None);
            norm::scaled(g, y, &name, f)
        });
        f.gave(y)
    }
}
