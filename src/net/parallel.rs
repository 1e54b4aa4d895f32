//! Branches that read the same row, their results side by side along the last axis. An empty branch gives the row itself.

use serde::{Deserialize, Deserializer, Serialize};

use super::layer::{Forward, Kind, Layer, Params, layers, mix_rows, output, read_support};
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// Branches side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Parallel {
    /// The branches.
    #[serde(rename = "parallel", deserialize_with = "branches")]
    pub branches: Vec<Vec<Layer>>,
}

fn branches<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<Layer>>, D::Error> {
    #[derive(Deserialize)]
    struct Branch(#[serde(deserialize_with = "layers")] Vec<Layer>);
    Ok(Vec::<Branch>::deserialize(from)?.into_iter().map(|b| b.0).collect())
}

impl Parallel {
    /// These branches.
    #[must_use]
    pub fn new(branches: Vec<Vec<Layer>>) -> Parallel {
        Parallel { branches }
    }
}

impl Kind for Parallel {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        if !self.branches.is_empty() && self.branches.iter().all(Vec::is_empty) {
            return Err("parallel branches without layers would only repeat what they read".into());
        }
        let mut all: Option<Shape> = None;
        for (i, branch) in self.branches.iter().enumerate() {
            let mut out = output(branch, row).map_err(|e| format!("its branch {}: {e}", i + 1))?;
            let Some(last) = out.pop() else { return Err("a branch gives a row without axes".into()) };
            match &mut all {
                None => all = Some([&out[..], &[last]].concat()),
                Some(sum) if sum[..sum.len() - 1] == out => {
                    let axis = sum.len() - 1;
                    sum[axis] += last;
                }
                Some(sum) => {
                    return Err(format!(
                        "parallel branches give {sum:?} and {:?}: all axes but the last must be the same",
                        [&out[..], &[last]].concat()
                    ));
                }
            }
        }
        all.ok_or_else(|| "parallel without a branch: give at least one".into())
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        self.branches.iter().for_each(|branch| to.list(branch, row));
    }

    fn mixes_rows(&self) -> bool {
        self.branches.iter().any(|branch| mix_rows(branch))
    }

    fn reads_support(&self) -> bool {
        self.branches.iter().any(|branch| read_support(branch))
    }

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let parts: Vec<Value> = self.branches.iter().map(|branch| f.list(g, branch, x)).collect();
        let axis = g.shape(parts[0]).len() - 1;
        g.concat(&parts, axis)
    }
}
