//! All axes of a row as one: `[28, 28, 1]` becomes `[784]`, the last axis fastest.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use crate::graph::{Graph, Value};
use crate::spec::{Shape, count};

/// Rows without axes of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Flatten {
    /// Says that it is there: `flatten = true`.
    #[serde(rename = "flatten")]
    pub on: bool,
}

impl Flatten {
    /// The layer, which has no settings.
    #[must_use]
    pub fn on() -> Flatten {
        Flatten { on: true }
    }
}

impl Kind for Flatten {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        if self.on { Ok(vec![count(row)]) } else { Err("flatten = true, or leave the layer out".into()) }
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let shape = g.shape(x).to_vec();
        let (lead, row) = shape.split_at(f.lead);
        g.reshape(x, &[lead, &[count(row)]].concat())
    }
}
