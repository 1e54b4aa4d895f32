//! Group normalisation (Wu and He 2018): channels in groups, each with mean 0 and variance 1 over all elements of a row. One
//! group: over the whole row; as many as channels: each channel by itself (instance normalisation). Gain `[c]`, shift `[c]`.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::norm;
use crate::graph::{Graph, Value};
use crate::spec::{Shape, count};

/// Groups of channels that are normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GroupNorm {
    /// Number of groups.
    #[serde(rename = "group_norm")]
    pub groups: usize,
}

impl GroupNorm {
    /// So many groups of channels.
    #[must_use]
    pub fn new(groups: usize) -> GroupNorm {
        GroupNorm { groups }
    }
}

impl Kind for GroupNorm {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let channels = row.last().copied().unwrap_or(0);
        if self.groups == 0 || channels == 0 || !channels.is_multiple_of(self.groups) {
            return Err(format!("{} groups do not part {channels} channels evenly", self.groups));
        }
        if count(row) == self.groups {
            return Err(format!(
                "the norm of one number is always 0: fewer groups than {} of a row {row:?}",
                self.groups
            ));
        }
        Ok(row.to_vec())
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        norm::params(row[row.len() - 1], to);
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let shape = g.shape(x).to_vec();
        let (lead, row) = shape.split_at(f.lead);
        let channels = row[row.len() - 1];
        let y = g.scope(name.clone(), |g| {
            let elements = count(row) / channels;
            let split = [lead, &[elements, self.groups, channels / self.groups]].concat();
            let y = g.reshape(x, &split);
            let kept = [lead, &[1, self.groups, 1]].concat();
            let y = norm::standardised(g, y, &kept, None);
            let y = g.reshape(y, &shape);
            norm::scaled(g, y, &name, f)
        });
        f.gave(y)
    }
}
