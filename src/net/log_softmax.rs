//! `x - ln Σ e^x` over the last axis of a row: logarithms of probabilities, one distribution for each element of a sequence.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// Logarithms of probabilities along the last axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LogSoftmax {
    /// Says that it is there: `log_softmax = true`.
    #[serde(rename = "log_softmax")]
    pub on: bool,
}

impl LogSoftmax {
    /// The layer, which has no settings.
    #[must_use]
    pub fn on() -> LogSoftmax {
        LogSoftmax { on: true }
    }
}

impl Kind for LogSoftmax {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        match (self.on, row) {
            (false, _) => Err("log_softmax = true, or leave the layer out".into()),
            (true, [.., 1]) => Err(format!("the only one of {row:?} always has probability 1")),
            (true, _) => Ok(row.to_vec()),
        }
    }

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, _: &mut Forward<'_>) -> Value {
        g.log_softmax(x)
    }
}
