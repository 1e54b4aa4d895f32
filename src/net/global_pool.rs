//! The mean over all elements of a row, channel by channel: `[h, w, c]` becomes `[c]`.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use super::spatial::spatial;
use crate::graph::{Graph, Value};
use crate::spec::{Shape, count};

/// A pool over the whole row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GlobalPool {
    /// Says that it is there: `global_pool = true`.
    #[serde(rename = "global_pool")]
    pub on: bool,
}

impl GlobalPool {
    /// The layer, which has no settings.
    #[must_use]
    pub fn on() -> GlobalPool {
        GlobalPool { on: true }
    }
}

impl Kind for GlobalPool {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let (_, channels) = spatial(row, "a pool")?;
        if self.on { Ok(vec![channels]) } else { Err("global_pool = true, or leave the layer out".into()) }
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let shape = g.shape(x).to_vec();
        let (lead, row) = shape.split_at(f.lead);
        let channels = row[row.len() - 1];
        let elements = count(row) / channels;
        g.scope("global_pool", |g| {
            let flat = g.reshape(x, &[lead, &[elements, channels]].concat());
            let sum = g.sum_to(flat, &[lead, &[1, channels]].concat());
            let mean = g.scale(sum, 1.0 / elements as f64);
            g.reshape(mean, &[lead, &[channels]].concat())
        })
    }
}
