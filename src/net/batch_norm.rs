//! Batch normalisation (Ioffe and Szegedy 2015) by the rows at hand: each channel has mean 0 and variance 1 over all rows of a
//! task that are asked about together, in training and afterwards alike ("transductive", what MAML's published figures use:
//! Finn et al. 2017; Bronskill et al. 2020 compare). There are no running statistics: what is predicted for a row depends on the
//! rows beside it. Gain `[c]`, shift `[c]`.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::norm;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// Channels normalised over the rows of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// By which rows: `batch_norm = "batch"`, those that are asked about together.
    #[serde(rename = "batch_norm")]
    pub statistics: Statistics,
}

/// Rows that mean and variance are taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Statistics {
    /// Those of a task that are asked about together.
    Batch,
}

impl Kind for BatchNorm {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        Ok(row.to_vec())
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        norm::params(row[row.len() - 1], to);
    }

    fn mixes_rows(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let y = g.scope(name.clone(), |g| {
            // Tasks and channels stay; what a row has before its channels counts as further rows.
            let mut kept = vec![1; g.shape(x).len()];
            let last = kept.len() - 1;
            (kept[0], kept[last]) = (g.shape(x)[0], g.shape(x)[last]);
            let (d, factor) = norm::deviations(g, x, &kept, None);
            let [gain, shift] = norm::gain_and_shift(g, kept.len(), &name, f);
            // The gain is of the factor's shape: x is scaled once.
            let factor = g.mul(factor, gain);
            let y = g.mul(d, factor);
            g.add(y, shift)
        });
        f.gave(y)
    }
}
