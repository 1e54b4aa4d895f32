//! Batch normalisation (Ioffe and Szegedy 2015) by the rows at hand: each channel has mean 0 and variance 1 over all rows of a
//! task that are asked about together, in training and afterwards alike ("transductive", what MAML's published figures use:
//! Finn et al. 2017; Bronskill et al. 2020 compare). There are no running statistics: what is predicted for a row depends on the
//! rows beside it.
//!
//! Or by the support ([`Statistics::Support`]; Bronskill et al. call its like "conventional" within a task): mean and variance of the
//! task's support rows, by their weights, also for its query rows, so that what is predicted for one of them depends on no
//! other. A network that leaves its task behind has them folded into gain and shift ([`Statistics::Settled`]).
//!
//! Gain `[c]`, shift `[c]`.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::norm;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// Channels normalised over the rows of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BatchNorm {
    /// By which rows: `batch_norm = "batch"`, those that are asked about together; `"support"`, the task's support.
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
    /// The task's support rows, by their weights.
    Support,
    /// None any more: gain and shift hold what statistics of the support had to say.
    Settled,
}

impl BatchNorm {
    /// By the mean and variance of these rows.
    #[must_use]
    pub fn new(statistics: Statistics) -> BatchNorm {
        BatchNorm { statistics }
    }
}

impl Kind for BatchNorm {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        Ok(row.to_vec())
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        norm::params(row[row.len() - 1], to);
    }

    fn mixes_rows(&self) -> bool {
        self.statistics == Statistics::Batch
    }

    fn reads_support(&self) -> bool {
        self.statistics == Statistics::Support
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let y = g.scope(name.clone(), |g| {
            // Tasks and channels stay; what a row has before its channels counts as further rows.
            let mut kept = vec![1; g.shape(x).len()];
            let last = kept.len() - 1;
            (kept[0], kept[last]) = (if f.single { 1 } else { g.shape(x)[0] }, g.shape(x)[last]);
            let (d, factor, mean) = match self.statistics {
                Statistics::Batch => {
                    let (d, factor) = norm::deviations(g, x, &kept, None);
                    (d, factor, None)
                }
                Statistics::Support => {
                    let (rows, weights) = f.support_rows(g, x);
                    let s = norm::Moments::of(g, rows, &kept, Some(weights));
                    let d = s.deviations(g, x);
                    (d, s.factor, Some(s.mean(g)))
                }
                Statistics::Settled => return norm::scaled(g, x, &name, f),
            };
            let [gain, shift] = norm::gain_and_shift(g, kept.len(), &name, f);
            // The gain is of the factor's shape: x is scaled once.
            let factor = g.mul(factor, gain);
            if let Some(mean) = mean {
                f.settle(g, &name, [mean, factor, shift]);
            }
            let y = g.mul(d, factor);
            g.add(y, shift)
        });
        f.gave(y)
    }
}
