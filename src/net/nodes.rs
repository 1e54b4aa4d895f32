//! Branches that meet: a directed graph of nodes without circles. Each node adds up what branches of layers make of nodes before it, and
//! lets its own layers follow. Cells of architecture search are such graphs (Zoph et al. 2018; Dong and Yang 2020).

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Layer, Params, layers, mix_rows, output, read_support};
use crate::graph::{Graph, Value};
use crate::spec::{Activation, Shape};

/// Nodes, of which the last one is the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Nodes {
    /// Nodes 1, 2 and so on; node 0 is the row that is read.
    pub nodes: Vec<Node>,
}

/// A sum of branches, and what follows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Node {
    /// The branches.
    pub inputs: Vec<Edge>,
    /// What follows their sum.
    #[serde(default, deserialize_with = "layers", skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

/// A branch from a node before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Edge {
    /// The node that it reads.
    pub from: usize,
    /// Its layers; none: what it reads, as it is.
    #[serde(default, deserialize_with = "layers", skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

impl Nodes {
    /// These nodes.
    #[must_use]
    pub fn new(nodes: Vec<Node>) -> Nodes {
        Nodes { nodes }
    }

    /// All lists of layers, in the order in which they run.
    pub(super) fn branches(&self) -> impl Iterator<Item = &Vec<Layer>> {
        self.nodes.iter().flat_map(|n| n.inputs.iter().map(|e| &e.layers).chain([&n.layers]))
    }

    /// The same, to be changed.
    pub(super) fn branches_mut(&mut self) -> impl Iterator<Item = &mut Vec<Layer>> {
        self.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().map(|e| &mut e.layers).chain([&mut n.layers]))
    }

    /// Row shapes of all nodes, the row that is read first.
    fn rows(&self, row: &[usize]) -> Result<Vec<Shape>, String> {
        let mut rows: Vec<Shape> = vec![row.to_vec()];
        let mut read = vec![false; self.nodes.len() + 1];
        for (i, node) in self.nodes.iter().enumerate() {
            let mut sum: Option<Shape> = None;
            for edge in &node.inputs {
                let Some(from) = rows.get(edge.from) else {
                    return Err(format!(
                        "its node {} reads node {}: only the row (0) and nodes before it can be read",
                        i + 1,
                        edge.from
                    ));
                };
                read[edge.from] = true;
                let out = output(&edge.layers, from)
                    .map_err(|e| format!("its node {}, branch from {}: {e}", i + 1, edge.from))?;
                match &sum {
                    Some(sum) if *sum != out => {
                        return Err(format!(
                            "branches of its node {} give {sum:?} and {out:?}: what is added must have one shape",
                            i + 1
                        ));
                    }
                    _ => sum = Some(out),
                }
            }
            let sum = sum.ok_or_else(|| format!("its node {} has no inputs", i + 1))?;
            rows.push(output(&node.layers, &sum).map_err(|e| format!("its node {}: {e}", i + 1))?);
        }
        let last = rows.len() - 1;
        if last == 0 {
            return Err("nodes without a node: give at least one".into());
        }
        match (0..last).find(|n| !read[*n]) {
            Some(0) => Err("no node reads the row (node 0)".into()),
            Some(n) => Err(format!("no node reads its node {n}: leave it out")),
            None => Ok(rows),
        }
    }
}

impl Node {
    /// A sum of these branches, with layers behind it.
    #[must_use]
    pub fn new(inputs: Vec<Edge>, layers: Vec<Layer>) -> Node {
        Node { inputs, layers }
    }
}

impl Edge {
    /// A branch of these layers from a node.
    #[must_use]
    pub fn new(from: usize, layers: Vec<Layer>) -> Edge {
        Edge { from, layers }
    }
}

impl Kind for Nodes {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        Ok(self.rows(row)?.pop().unwrap_or_default())
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let rows = self.rows(row).unwrap_or_else(|e| panic!("{e}"));
        for node in &self.nodes {
            let after = to.activation;
            to.activation = match node.layers.first() {
                Some(Layer::Activation(a)) => a.function,
                Some(_) => Activation::Identity,
                None => after,
            };
            for edge in &node.inputs {
                to.list(&edge.layers, &rows[edge.from]);
            }
            to.activation = after;
            let sum = node.inputs.first().map(|e| output(&e.layers, &rows[e.from]));
            to.list(&node.layers, &sum.unwrap_or_else(|| Ok(row.to_vec())).unwrap_or_else(|e| panic!("{e}")));
        }
    }

    fn mixes_rows(&self) -> bool {
        self.branches().any(|layers| mix_rows(layers))
    }

    fn reads_support(&self) -> bool {
        self.branches().any(|layers| read_support(layers))
    }

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let mut values = vec![x];
        for node in &self.nodes {
            let parts: Vec<Value> =
                node.inputs.iter().map(|edge| f.list(g, &edge.layers, values[edge.from])).collect();
            let sum = parts.into_iter().reduce(|a, b| g.add(a, b)).unwrap_or(x);
            let value = f.list(g, &node.layers, sum);
            values.push(value);
        }
        values[values.len() - 1]
    }
}
