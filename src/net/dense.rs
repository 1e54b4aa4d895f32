//! `y = x W + b` over the last axis of a row: weight `[in, out]`, row-major, bias `[out]`.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use crate::graph::{Graph, Value};
use crate::spec::{Shape, count};

/// A dense layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Dense {
    /// Outputs.
    #[serde(rename = "dense")]
    pub outputs: usize,
}

impl Dense {
    /// So many outputs.
    #[must_use]
    pub fn new(outputs: usize) -> Dense {
        Dense { outputs }
    }
}

impl Kind for Dense {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        if !(1..=65_536).contains(&self.outputs) {
            return Err(format!("a dense layer of {} outputs: 1 to 65536 are possible", self.outputs));
        }
        let Some((_, before)) = row.split_last() else { return Err("a row has no axis".into()) };
        Ok([before, &[self.outputs]].concat())
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let fan_in = row[row.len() - 1];
        to.weight_and_bias(&[fan_in, self.outputs], fan_in, Some(self.outputs));
    }

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let shape = g.shape(x).to_vec();
        let (lead, row) = shape.split_at(f.lead);
        // What a row has before its last axis counts as further rows.
        let rows = count(&row[..row.len() - 1]);
        let y = g.scope(name.clone(), |g| {
            let mut flat = lead.to_vec();
            if let Some(n) = flat.last_mut() {
                *n *= rows;
            }
            flat.push(row[row.len() - 1]);
            let x = if row.len() > 1 { g.reshape(x, &flat) } else { x };
            let x = f.product_reads(g, x);
            let y = f.weights.linear(g, &name, x);
            let y = f.corrected(g, y, x, &name);
            let y = f.shifted(g, y, &name);
            let mut out = shape.clone();
            out[shape.len() - 1] = self.outputs;
            if row.len() > 1 { g.reshape(y, &out) } else { y }
        });
        f.gave(y)
    }
}
