//! An architecture as a value: stages of equal cells, each cell a small graph.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::error::nearest;
use crate::net::{
    Attention, AvgPool, Cell, Conv, Dense, Edge, Layer, LayerNorm, Node, Nodes, Padding, Pointwise,
    Recurrent, Sizes,
};
use crate::spec::Activation;

/// Nodes of a cell at most, its input among them.
pub(super) const MAX_NODES: usize = 6;
/// Heads of attention in a cell.
const HEADS: usize = 4;

/// What a connection of a cell does to what it reads. All keep the number of channels, and the places of a series or picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Nothing: `x`.
    Skip,
    /// `x W + b`.
    Dense,
    /// A convolution with a kernel of so many elements along each axis.
    Conv(usize),
    /// The same channel by channel.
    Depthwise(usize),
    /// The mean of three neighbours along each axis; what lies beyond the ends counts as 0.
    Pool,
    /// A gated recurrent unit over the elements of a sequence.
    Gru,
    /// A long short-term memory.
    Lstm,
    /// Causal attention among the elements of a sequence.
    Attention,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 12] = [
        Operation::Skip,
        Operation::Dense,
        Operation::Conv(1),
        Operation::Conv(3),
        Operation::Conv(5),
        Operation::Conv(7),
        Operation::Depthwise(3),
        Operation::Depthwise(5),
        Operation::Pool,
        Operation::Gru,
        Operation::Lstm,
        Operation::Attention,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Skip => "skip",
            Operation::Dense => "dense",
            Operation::Conv(1) => "conv1",
            Operation::Conv(3) => "conv3",
            Operation::Conv(5) => "conv5",
            Operation::Conv(_) => "conv7",
            Operation::Depthwise(3) => "depthwise3",
            Operation::Depthwise(_) => "depthwise5",
            Operation::Pool => "pool",
            Operation::Gru => "gru",
            Operation::Lstm => "lstm",
            Operation::Attention => "attention",
        }
    }

    /// The operation of this name.
    ///
    /// # Errors
    /// The names there are, and which is nearest.
    pub fn of_name(name: &str) -> Result<Operation, String> {
        let names = || Operation::ALL.map(Operation::name);
        Operation::ALL.into_iter().find(|o| o.name() == name).ok_or_else(|| {
            let near = nearest(name, names()).map_or(String::new(), |n| format!("; did you mean '{n}'?"));
            format!("'{name}' is no operation: there are none, {}{near}", names().join(", "))
        })
    }

    /// The taps along each axis of the convolution that it is; `None`: it is none.
    pub(super) fn kernel(self) -> Option<usize> {
        match self {
            Operation::Skip | Operation::Dense => Some(1),
            Operation::Conv(kernel) | Operation::Depthwise(kernel) => Some(kernel),
            Operation::Pool => Some(3),
            Operation::Gru | Operation::Lstm | Operation::Attention => None,
        }
    }

    /// Axes of the rows that it can be done to: those of numbers (1), series (2) and pictures (3).
    pub fn takes(self, axes: usize) -> bool {
        match self {
            Operation::Skip => true,
            Operation::Dense => axes == 1,
            Operation::Conv(_) | Operation::Depthwise(_) | Operation::Pool => axes > 1,
            Operation::Gru | Operation::Lstm | Operation::Attention => axes == 2,
        }
    }

    /// The layers that do it to rows of so many channels.
    fn layers(self, width: usize) -> Vec<Layer> {
        let states = |cell| Layer::Recurrent(Recurrent::new(cell, width));
        match self {
            Operation::Skip => vec![],
            Operation::Dense => vec![Layer::Dense(Dense::new(width))],
            Operation::Conv(kernel) => vec![Layer::Conv(Conv::new(width, kernel))],
            Operation::Depthwise(kernel) => {
                vec![Layer::Conv(Conv { groups: width, ..Conv::new(width, kernel) })]
            }
            Operation::Pool => {
                let mut pool = AvgPool::new(3);
                (pool.stride, pool.padding) = (Some(Sizes::Both(1)), Padding::Same);
                vec![Layer::AvgPool(pool)]
            }
            Operation::Gru => vec![states(Cell::Gru)],
            Operation::Lstm => vec![states(Cell::Lstm)],
            Operation::Attention => vec![Layer::Attention(Attention::causal(HEADS))],
        }
    }
}

impl Serialize for Operation {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Operation, D::Error> {
        Operation::of_name(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// A connection of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Connection {
    /// The node that it reads; 0 is the cell's input.
    pub from: usize,
    /// The node that it is added to.
    pub to: usize,
    /// What it does.
    pub operation: Operation,
}

impl Connection {
    /// A connection.
    #[must_use]
    pub fn new(from: usize, to: usize, operation: Operation) -> Connection {
        Connection { from, to, operation }
    }
}

/// Equal cells one after another, behind a layer that brings rows to their width.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stage {
    /// Channels.
    pub width: usize,
    /// The function after each node's sum.
    pub activation: Activation,
    /// Whether sums are normalised over their channels first.
    #[serde(default)]
    pub norm: bool,
    /// How many cells there are.
    pub cells: usize,
    /// The connections of a cell, by the node they are added to, then by the one they read; the last node is the result. None: no cell.
    pub cell: Vec<Connection>,
}

/// A network's shape: what stands where. Which rows it reads and how many classes it tells apart is no part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Architecture {
    /// The stages, of which one at least is there.
    pub stages: Vec<Stage>,
}

impl Stage {
    /// So many channels behind an activation, without cells. Cells are assigned.
    #[must_use]
    pub fn new(width: usize, activation: Activation) -> Stage {
        Stage { width, activation, norm: false, cells: 0, cell: vec![] }
    }

    /// Nodes of a cell, its input among them.
    pub fn nodes(&self) -> usize {
        self.cell.iter().map(|c| c.to + 1).max().unwrap_or(1)
    }

    /// Connections of the longest way through all cells.
    pub(super) fn longest_path(&self) -> usize {
        let mut longest = vec![0; self.nodes()];
        for c in &self.cell {
            longest[c.to] = longest[c.to].max(longest[c.from] + 1);
        }
        self.cells * longest.last().copied().unwrap_or(0)
    }

    /// The layers of a node behind its sum.
    fn behind(&self) -> Vec<Layer> {
        let norm = self.norm.then(|| Layer::LayerNorm(LayerNorm::on()));
        let activation = (self.activation != Activation::Identity)
            .then(|| Layer::Activation(Pointwise::new(self.activation)));
        norm.into_iter().chain(activation).collect()
    }

    /// A cell as a layer.
    fn cell_layer(&self) -> Layer {
        let nodes = (1..self.nodes()).map(|to| {
            let inputs = self.cell.iter().filter(|c| c.to == to);
            let inputs = inputs.map(|c| Edge::new(c.from, c.operation.layers(self.width))).collect();
            Node::new(inputs, self.behind())
        });
        Layer::Nodes(Nodes::new(nodes.collect()))
    }

    /// Brings the cell into its one form: what does not lie between the input and the last node is left out, nodes are numbered anew,
    /// and of all orders of the nodes between them that keep connections pointing ahead the first is taken. `false`: nothing leads from
    /// the input to the last node.
    pub(super) fn normalise(&mut self) -> bool {
        if self.cells == 0 || self.cell.is_empty() {
            (self.cells, self.cell) = (0, vec![]);
            return true;
        }
        let n = self.nodes();
        let (mut ahead, mut back) = (vec![false; n], vec![false; n]);
        (ahead[0], back[n - 1]) = (true, true);
        self.cell.sort_by_key(|c| (c.to, c.from));
        for c in &self.cell {
            ahead[c.to] |= ahead[c.from];
        }
        for c in self.cell.iter().rev() {
            back[c.from] |= back[c.to];
        }
        let kept: Vec<usize> = (0..n).filter(|i| ahead[*i] && back[*i]).collect();
        if !ahead[n - 1] {
            return false;
        }
        let between: Vec<usize> = kept[1..kept.len() - 1].to_vec();
        let mut best: Option<Vec<Connection>> = None;
        for order in permutations(&between) {
            let mut number = vec![usize::MAX; n];
            let all = [0].into_iter().chain(order).chain([n - 1]);
            all.enumerate().for_each(|(i, node)| number[node] = i);
            let mut cell: Vec<Connection> = self
                .cell
                .iter()
                .filter(|c| number[c.from] != usize::MAX && number[c.to] != usize::MAX)
                .map(|c| Connection::new(number[c.from], number[c.to], c.operation))
                .collect();
            if cell.iter().any(|c| c.from >= c.to) {
                continue;
            }
            cell.sort_by_key(|c| (c.to, c.from, c.operation));
            if best.as_ref().is_none_or(|b| cell < *b) {
                best = Some(cell);
            }
        }
        self.cell = best.unwrap_or_default();
        true
    }
}

/// All orders of some numbers.
fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for (i, first) in of.iter().enumerate() {
        let rest: Vec<usize> = of[..i].iter().chain(&of[i + 1..]).copied().collect();
        all.extend(permutations(&rest).into_iter().map(|rest| [&[*first], &rest[..]].concat()));
    }
    all
}

impl Architecture {
    /// These stages.
    #[must_use]
    pub fn new(stages: Vec<Stage>) -> Architecture {
        Architecture { stages }
    }

    /// A short text that isomorphic architectures share: `16 relu 2×(0-1 conv3, 1-2 skip)`.
    pub fn key(&self) -> String {
        let mut key = String::new();
        for (i, stage) in self.stages.iter().enumerate() {
            let (norm, next) = (if stage.norm { " norm" } else { "" }, if i > 0 { " | " } else { "" });
            _ = write!(key, "{next}{} {}{norm}", stage.width, stage.activation.name());
            if stage.cells > 0 {
                let cell = stage.cell.iter().map(|c| format!("{}-{} {}", c.from, c.to, c.operation.name()));
                _ = write!(key, " {}×({})", stage.cells, cell.collect::<Vec<_>>().join(", "));
            }
        }
        key
    }

    /// Its layers for rows of shape `row`, with what comes before each stage, without a head.
    pub(super) fn layers(&self, row: &[usize], stems: &[(usize, bool)]) -> Vec<Layer> {
        let spatial = row.len() > 1;
        let mut layers = Vec::new();
        for (stage, (stride, pools)) in self.stages.iter().zip(stems) {
            if *pools {
                layers.push(Layer::AvgPool(AvgPool::new(2)));
            }
            layers.push(match spatial {
                true => Layer::Conv(Conv { stride: (*stride).into(), ..Conv::new(stage.width, 3) }),
                false => Layer::Dense(Dense::new(stage.width)),
            });
            layers.extend(stage.behind());
            layers.extend((0..stage.cells).map(|_| stage.cell_layer()));
        }
        layers
    }
}
