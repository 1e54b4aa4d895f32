//! Spaces of architectures: what may stand at each stage, and how large a network may be.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::architecture::{Architecture, Connection, MAX_NODES, Operation, Stage};
use super::limits::{Cost, Limits};
use crate::error::{Error, Result, nearest};
use crate::graph::Graph;
use crate::net::{Dense, GlobalPool, Layer, Net, Weights};
use crate::plan::{Caps, lower};
use crate::rng::Rng;
use crate::spec::Activation;

/// How often something else is drawn, where what was drawn is no network or meets no limit.
const TRIES: usize = 2_000;
/// Stages, widths and the like that a space may list.
const MOST: usize = 32;

/// What may stand at a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StageSpace {
    /// Channels.
    pub widths: Vec<usize>,
    /// Functions behind each node's sum.
    #[serde(default = "relu")]
    pub activations: Vec<Activation>,
    /// Whether sums are normalised.
    #[serde(default = "plain")]
    pub norms: Vec<bool>,
    /// How many cells; 0 is no cell.
    #[serde(default = "no_cells")]
    pub cells: Vec<usize>,
    /// Nodes of a cell, its input among them.
    #[serde(default = "two")]
    pub nodes: usize,
    /// What connections may do; `none` lets them be absent.
    #[serde(default)]
    pub operations: Vec<Choice>,
    /// The stride of the layer in front, over series and pictures.
    #[serde(default = "one")]
    pub stride: usize,
    /// Whether series or pictures are halved in front of the stage, by the mean of two neighbours along each axis.
    #[serde(default)]
    pub halved: bool,
}

fn relu() -> Vec<Activation> {
    vec![Activation::Relu]
}

fn plain() -> Vec<bool> {
    vec![false]
}

fn no_cells() -> Vec<usize> {
    vec![0]
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

/// What may stand between two nodes: an operation, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice(pub Option<Operation>);

impl Serialize for Choice {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_str(self.0.map_or("none", Operation::name))
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Choice, D::Error> {
        match String::deserialize(from)?.as_str() {
            "none" => Ok(Choice(None)),
            name => Operation::of_name(name).map(|o| Choice(Some(o))).map_err(serde::de::Error::custom),
        }
    }
}

/// A space of architectures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Space {
    /// The stages.
    pub stages: Vec<StageSpace>,
    /// Whether rows of any shape are read as numbers, one after another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flat: bool,
    /// How many of the stages, from the first on, an architecture may have; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depths: Vec<usize>,
    /// What a network may cost.
    #[serde(default)]
    pub limits: Limits,
}

impl StageSpace {
    /// A stage without cells, of one of these widths.
    fn of_widths(widths: &[usize], activations: &[Activation]) -> StageSpace {
        StageSpace {
            widths: widths.to_vec(),
            activations: activations.to_vec(),
            norms: plain(),
            cells: no_cells(),
            nodes: two(),
            operations: vec![],
            stride: 1,
            halved: false,
        }
    }

    pub(super) fn has_cells(&self) -> bool {
        self.cells.iter().any(|n| *n > 0)
    }

    /// Pairs of nodes that may be connected, in the order of connections.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        (1..self.nodes).flat_map(|to| (0..to).map(move |from| (from, to)))
    }

    fn sample(&self, rng: &mut Rng) -> Stage {
        let mut stage = Stage::new(*pick(&self.widths, rng), *pick(&self.activations, rng));
        stage.norm = *pick(&self.norms, rng);
        let cells = *pick(&self.cells, rng);
        if cells == 0 {
            return stage;
        }
        for _ in 0..TRIES {
            stage.cells = cells;
            let chosen = self.pairs().filter_map(|(from, to)| {
                pick(&self.operations, rng).0.map(|operation| Connection::new(from, to, operation))
            });
            stage.cell = chosen.collect();
            let complete = stage.nodes() == self.nodes;
            if complete && stage.normalise() {
                return stage;
            }
        }
        // Nearly all choices are 'none': the plainest cell that there is.
        let operation = self.operations.iter().find_map(|c| c.0).unwrap_or(Operation::Skip);
        stage.cell = vec![Connection::new(0, 1, operation)];
        stage
    }

    /// Changes one choice; `false`: nothing leads through the cell any more.
    fn mutate(&self, stage: &mut Stage, rng: &mut Rng) -> bool {
        let mut kinds = Vec::new();
        kinds.extend((self.widths.len() > 1).then_some(0));
        kinds.extend((self.activations.len() > 1).then_some(1));
        kinds.extend((self.norms.len() > 1).then_some(2));
        kinds.extend((self.cells.len() > 1).then_some(3));
        // A cell has many choices of its own.
        kinds.extend(self.pairs().filter(|_| stage.cells > 0 && self.operations.len() > 1).map(|_| 4));
        if kinds.is_empty() {
            return false;
        }
        match *pick(&kinds, rng) {
            0 => stage.width = *pick(&self.widths, rng),
            1 => stage.activation = *pick(&self.activations, rng),
            2 => stage.norm = *pick(&self.norms, rng),
            3 => {
                let cells = *pick(&self.cells, rng);
                if stage.cells == 0 && cells > 0 {
                    stage.cell = StageSpace { cells: vec![cells], ..self.clone() }.sample(rng).cell;
                }
                stage.cells = cells;
            }
            _ => {
                let pairs: Vec<(usize, usize)> = self.pairs().collect();
                let (from, to) = *pick(&pairs, rng);
                self.spread(stage);
                stage.cell.retain(|c| (c.from, c.to) != (from, to));
                stage.cell.extend(
                    pick(&self.operations, rng).0.map(|operation| Connection::new(from, to, operation)),
                );
                if !stage.cell.iter().any(|c| c.to + 1 == self.nodes) {
                    return false;
                }
            }
        }
        stage.normalise()
    }

    /// Numbers a cell's nodes as one of `nodes` nodes: what was left out lies before the last.
    pub(super) fn spread(&self, stage: &mut Stage) {
        let last = stage.nodes() - 1;
        for c in &mut stage.cell {
            if c.to == last {
                c.to = self.nodes - 1;
            }
        }
    }

    fn check(&self, axes: usize) -> std::result::Result<(), String> {
        let listed = [
            ("widths", self.widths.len()),
            ("activations", self.activations.len()),
            ("norms", self.norms.len()),
            ("cells", self.cells.len()),
        ];
        for (name, n) in listed {
            if !(1..=MOST).contains(&n) {
                return Err(format!("{name}: {n} choices, and 1 to {MOST} are possible"));
            }
        }
        fn twice<T: PartialEq>(of: &[T]) -> Option<&T> {
            of.iter().enumerate().find(|(i, one)| of[..*i].contains(one)).map(|(_, one)| one)
        }
        let stands = |list: &str, what: String| Err(format!("{list}: {what} stands there twice"));
        if let Some(w) = twice(&self.widths) {
            return stands("widths", w.to_string());
        }
        if let Some(a) = twice(&self.activations) {
            return stands("activations", format!("'{}'", a.name()));
        }
        if let Some(n) = twice(&self.norms) {
            return stands("norms", n.to_string());
        }
        if let Some(c) = twice(&self.cells) {
            return stands("cells", c.to_string());
        }
        if let Some(o) = twice(&self.operations) {
            return stands("operations", format!("'{}'", o.0.map_or("none", Operation::name)));
        }
        if let Some(w) = self.widths.iter().find(|w| !(1..=4096).contains(*w)) {
            return Err(format!("widths: {w} is out of range: 1 to 4096 are possible"));
        }
        if let Some(c) = self.cells.iter().find(|c| **c > 16) {
            return Err(format!("cells: {c} is out of range: 0 to 16 are possible"));
        }
        if !(1..=16).contains(&self.stride) {
            return Err(format!("stride: {} is out of range: 1 to 16 are possible", self.stride));
        }
        if axes == 1 && (self.stride > 1 || self.halved) {
            return Err("stride and halved are for series and pictures, and rows are numbers".into());
        }
        if !self.has_cells() {
            return match self.operations.is_empty() {
                true => Ok(()),
                false => {
                    Err("operations are given, and there is no cell: cells = [1, 2] says how many".into())
                }
            };
        }
        if !(2..=MAX_NODES).contains(&self.nodes) {
            return Err(format!("nodes: {} is out of range: 2 to {MAX_NODES} are possible", self.nodes));
        }
        if !self.operations.iter().any(|o| o.0.is_some()) {
            return Err("operations: none leads through a cell; name at least one".into());
        }
        if self.operations.len() > MOST {
            return Err(format!("operations: {} of them, and {MOST} are possible", self.operations.len()));
        }
        let what = ["", "numbers", "series", "pictures"][axes];
        if let Some(o) = self.operations.iter().filter_map(|o| o.0).find(|o| !o.takes(axes)) {
            return Err(format!("operations: '{}' is not for rows that are {what}", o.name()));
        }
        if self.operations.contains(&Choice(Some(Operation::Attention)))
            && let Some(w) = self.widths.iter().find(|w| !w.is_multiple_of(4))
        {
            return Err(format!("widths: attention has four heads, which do not part {w} channels evenly"));
        }
        Ok(())
    }

    fn contains(&self, stage: &Stage) -> std::result::Result<(), String> {
        let not = |what: &str| Err(format!("{what} is not among the choices"));
        if !self.widths.contains(&stage.width) {
            return not(&format!("width {}", stage.width));
        }
        if !self.activations.contains(&stage.activation) {
            return not(&format!("'{}'", stage.activation.name()));
        }
        if !self.norms.contains(&stage.norm) || !self.cells.contains(&stage.cells) {
            return not("norm, or the number of cells,");
        }
        if stage.nodes() > self.nodes {
            return Err(format!("{} nodes in a cell, and {} are the most", stage.nodes(), self.nodes));
        }
        let given = |o| self.operations.contains(&Choice(Some(o)));
        match stage.cell.iter().find(|c| !given(c.operation)) {
            Some(c) => not(&format!("'{}'", c.operation.name())),
            None => Ok(()),
        }
    }
}

fn pick<'a, T>(of: &'a [T], rng: &mut Rng) -> &'a T {
    &of[rng.below(of.len())]
}

impl Space {
    /// Names of the spaces that are built in.
    pub const PRESETS: [&str; 4] = ["mlp", "cell-1d", "cell-2d", "rnn"];

    /// A space that has a name.
    ///
    /// | name | rows | what it holds |
    /// |---|---|---|
    /// | `mlp` | any, as numbers | one to four dense layers of 8 to 64 units, each with relu, tanh, gelu or sine |
    /// | `cell-1d` | series | one to three cells of four nodes with convolutions of 1, 3 and 5, channel by channel or not, pools and skips; 8, 16 or 24 channels; relu, tanh or sine; with or without norms |
    /// | `cell-2d` | pictures | three stages of one or two cells with convolutions, pools and skips, norms and relu, 8 to 96 channels, halved between them |
    /// | `rnn` | series | one or two cells of three nodes with GRU, LSTM, attention, convolutions of 3 and skips, 16 or 32 channels |
    ///
    /// # Errors
    /// The names there are, and which is nearest.
    pub fn preset(name: &str) -> std::result::Result<Space, String> {
        use Activation::{Gelu, Relu, Sin, Tanh};
        use Operation::{Attention, Conv, Depthwise, Gru, Lstm, Pool, Skip};
        let of = |operations: &[Operation]| -> Vec<Choice> {
            [Choice(None)].into_iter().chain(operations.iter().map(|o| Choice(Some(*o)))).collect()
        };
        let convolutions = of(&[Skip, Conv(1), Conv(3), Conv(5), Pool]);
        let (stages, depths) = match name {
            "mlp" => {
                let stage = StageSpace::of_widths(&[8, 16, 32, 64], &[Relu, Tanh, Gelu, Sin]);
                (vec![stage; 4], vec![1, 2, 3, 4])
            }
            "cell-1d" => {
                let stage = StageSpace {
                    norms: vec![false, true],
                    cells: vec![1, 2, 3],
                    nodes: 4,
                    operations: of(&[Skip, Conv(1), Conv(3), Conv(5), Depthwise(5), Pool]),
                    stride: 2,
                    ..StageSpace::of_widths(&[8, 16, 24], &[Relu, Tanh, Sin])
                };
                (vec![stage], vec![])
            }
            "cell-2d" => {
                let stage = |widths: &[usize], halved| StageSpace {
                    cells: vec![1, 2],
                    nodes: 4,
                    operations: convolutions.clone(),
                    norms: vec![true],
                    halved,
                    ..StageSpace::of_widths(widths, &[Relu])
                };
                (
                    vec![stage(&[8, 16, 24], false), stage(&[16, 32, 48], true), stage(&[32, 64, 96], true)],
                    vec![],
                )
            }
            "rnn" => {
                let stage = StageSpace::of_widths(&[16, 32], &[Activation::Identity, Tanh, Relu]);
                let operations = of(&[Skip, Gru, Lstm, Attention, Conv(3)]);
                (vec![StageSpace { cells: vec![1, 2], nodes: 3, operations, ..stage }], vec![])
            }
            _ => {
                let near =
                    nearest(name, Space::PRESETS).map_or(String::new(), |n| format!("; did you mean '{n}'?"));
                let names = Space::PRESETS.join(", ");
                return Err(format!(
                    "'{name}' is no space: there are {names}, or a file that ends in .toml{near}"
                ));
            }
        };
        Ok(Space { stages, flat: name == "mlp", depths, limits: Limits::default() })
    }

    /// The space of a TOML file, or of this name.
    ///
    /// # Errors
    /// What the file has that no space has, or the names there are.
    pub fn read(from: &str) -> Result<Space> {
        if !from.ends_with(".toml") {
            return Space::preset(from).map_err(|e| Error::config("--space", e));
        }
        let path = Path::new(from);
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        toml::from_str(&text).map_err(|e| Error::data(path, "", e.message().to_string()))
    }

    /// Refuses what cannot be searched, for rows of so many axes: of numbers (1), series (2), pictures (3).
    ///
    /// # Errors
    /// Which stage and which list, and what is possible.
    pub fn check(&self, axes: usize) -> std::result::Result<(), String> {
        if !(1..=MOST).contains(&self.stages.len()) {
            return Err(format!("{} stages, and 1 to {MOST} are possible", self.stages.len()));
        }
        self.limits.check()?;
        for (i, stage) in self.stages.iter().enumerate() {
            stage.check(axes).map_err(|e| format!("stage {}: {e}", i + 1))?;
        }
        match self.depths.iter().find(|d| !(1..=self.stages.len()).contains(*d)) {
            Some(d) => Err(format!("depths: {d}, and there are {} stages", self.stages.len())),
            None => Ok(()),
        }
    }

    /// How many choices there are in all. Some of them are the same network.
    pub fn size(&self) -> f64 {
        let of = |s: &StageSpace| {
            let cells: f64 =
                s.cells
                    .iter()
                    .map(|n| {
                        if *n == 0 { 1.0 } else { (s.operations.len() as f64).powi(s.pairs().count() as i32) }
                    })
                    .sum();
            (s.widths.len() * s.activations.len() * s.norms.len()) as f64 * cells
        };
        let up_to = |d: &usize| self.stages[..*d].iter().map(of).product::<f64>();
        self.depths_or_all().iter().map(up_to).sum()
    }

    pub(super) fn depths_or_all(&self) -> Vec<usize> {
        if self.depths.is_empty() { vec![self.stages.len()] } else { self.depths.clone() }
    }

    /// An architecture at random: each choice on its own, all with the same probability.
    pub fn sample(&self, rng: &mut Rng) -> Architecture {
        let depth = *pick(&self.depths_or_all(), rng);
        Architecture::new(self.stages[..depth].iter().map(|s| s.sample(rng)).collect())
    }

    /// Another architecture that differs in one choice. Where there is only one, it is that.
    pub fn mutated(&self, from: &Architecture, rng: &mut Rng) -> Architecture {
        let depths = self.depths_or_all();
        for _ in 0..TRIES {
            let mut other = from.clone();
            let at = rng.below(other.stages.len() + usize::from(depths.len() > 1));
            if at < other.stages.len() {
                if !self.stages[at].mutate(&mut other.stages[at], rng) {
                    continue;
                }
            } else {
                let depth = *pick(&depths, rng);
                other.stages.truncate(depth);
                for i in other.stages.len()..depth {
                    other.stages.push(self.stages[i].sample(rng));
                }
            }
            if other.key() != from.key() {
                return other;
            }
        }
        from.clone()
    }

    /// An architecture whose stages, and whose choices at a stage, are each of one or the other parent.
    pub fn crossed(&self, a: &Architecture, b: &Architecture, rng: &mut Rng) -> Architecture {
        let depth = if rng.below(2) == 0 { a } else { b }.stages.len();
        let stages = (0..depth).filter_map(|i| {
            // Where one is deeper than the other, its stages are taken whole.
            let of = |rng: &mut Rng| {
                let (first, second) = if rng.below(2) == 0 { (a, b) } else { (b, a) };
                first.stages.get(i).or(second.stages.get(i))
            };
            let mut stage = of(rng)?.clone();
            (stage.width, stage.activation, stage.norm) =
                (of(rng)?.width, of(rng)?.activation, of(rng)?.norm);
            let cells = of(rng)?.cells;
            if stage.cells > 0 && cells > 0 {
                stage.cells = cells;
            }
            Some(stage)
        });
        Architecture::new(stages.collect())
    }

    /// Whether an architecture is one of this space.
    ///
    /// # Errors
    /// What it has that the space lacks.
    pub fn contains(&self, architecture: &Architecture) -> std::result::Result<(), String> {
        let depth = architecture.stages.len();
        if !self.depths_or_all().contains(&depth) {
            return Err(format!("{depth} stages are not among the choices"));
        }
        for (i, (space, stage)) in self.stages.iter().zip(&architecture.stages).enumerate() {
            space.contains(stage).map_err(|e| format!("stage {}: {e}", i + 1))?;
        }
        Ok(())
    }

    /// An architecture as a network, from rows of this shape to so many outputs.
    ///
    /// # Errors
    /// Why it does not fit these rows.
    pub fn net(
        &self,
        architecture: &Architecture,
        row: &[usize],
        outputs: usize,
    ) -> std::result::Result<Net, String> {
        let stems: Vec<(usize, bool)> = self.stages.iter().map(|s| (s.stride, s.halved)).collect();
        let mut net = Net::rows(row.to_vec()).with_all(architecture.layers(row, &stems));
        if row.len() > 1 {
            net = net.with(Layer::GlobalPool(GlobalPool::on()));
        }
        let net = net.with(Layer::Dense(Dense::new(outputs)));
        net.check().map(|()| net)
    }

    /// What a network costs.
    ///
    /// # Errors
    /// [`Error::Memory`] where not one row fits.
    pub fn cost(net: &Net) -> Result<Cost> {
        let layout = net.layout();
        let mut g = Graph::new();
        let weights = g.data("weights", &[1, layout.len()]);
        let x = g.data("x", &[1, 1, net.inputs()]);
        let y = net.apply(&mut g, Weights { flat: weights, layout: &layout }, x);
        g.output("y", y);
        let plan = lower(&g, Caps::cpu(1))?;
        let total = plan.cost().total;
        Ok(Cost {
            parameters: layout.len() as u64,
            operations: total.flops as u64,
            bytes: plan.bytes(),
            traffic: total.bytes as u64,
        })
    }

    /// Architectures that fit the rows, keep the limits and differ from each other and from those in `known` (by their keys), drawn by `draw`; fewer
    /// where no more are found.
    ///
    /// # Errors
    /// Where not one fits, or keeps the limits: the smallest that was drawn.
    pub fn distinct(
        &self,
        many: usize,
        (row, outputs): (&[usize], usize),
        known: &mut std::collections::BTreeSet<String>,
        mut draw: impl FnMut() -> Architecture,
    ) -> Result<Vec<Architecture>> {
        let mut all = Vec::new();
        let (mut smallest, mut unfit): (Option<(Cost, String)>, Option<String>) = (None, None);
        let (mut missed, mut kept) = (0, 0);
        while all.len() < many && missed < TRIES.max(20 * many) {
            let one = draw();
            if known.contains(&one.key()) {
                missed += 1;
                continue;
            }
            let net = match self.net(&one, row, outputs) {
                Ok(net) => net,
                Err(e) => {
                    unfit.get_or_insert_with(|| format!("{}: {e}", one.key()));
                    missed += 1;
                    continue;
                }
            };
            if self.limits.any() {
                let cost = Space::cost(&net)?;
                if self.limits.broken(&cost).is_some() {
                    let less = |s: &(Cost, String)| cost.parameters < s.0.parameters;
                    if smallest.as_ref().is_none_or(less) {
                        smallest = Some((cost, one.key()));
                    }
                    missed += 1;
                    continue;
                }
            }
            kept += 1;
            known.insert(one.key());
            all.push(one);
        }
        if let (0, true, Some((cost, key))) = (kept, known.is_empty(), smallest)
            && let Some((name, has, may)) = self.limits.broken(&cost)
        {
            return Err(Error::config(
                "limits",
                format!(
                    "no architecture of the space keeps them: the smallest that was drawn, {key}, has {has} {name}, and {may} may be"
                ),
            ));
        }
        match unfit {
            Some(why) if kept == 0 && known.is_empty() => {
                let message = format!("no architecture that was drawn fits rows {row:?}; {why}");
                Err(Error::config("--space", message))
            }
            _ => Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn cell(of: &[(usize, usize, Operation)]) -> Architecture {
        let mut stage = Stage::new(8, Activation::Relu);
        stage.cells = 1;
        stage.cell = of.iter().map(|(a, b, o)| Connection::new(*a, *b, *o)).collect();
        assert!(stage.normalise());
        Architecture::new(vec![stage])
    }

    #[test]
    fn isomorphic_cells_are_one() {
        use Operation::{Conv, Pool, Skip};
        let a = cell(&[(0, 1, Conv(3)), (0, 2, Pool), (1, 3, Skip), (2, 3, Conv(1))]);
        let b = cell(&[(0, 2, Conv(3)), (0, 1, Pool), (2, 3, Skip), (1, 3, Conv(1))]);
        assert_eq!(a.key(), b.key());
        // What leads nowhere, and what nothing leads to, is no part of it.
        let c = cell(&[(0, 1, Conv(3)), (0, 2, Pool), (1, 3, Skip)]);
        assert_eq!(c.key(), cell(&[(0, 1, Conv(3)), (1, 2, Skip)]).key());
        let d = cell(&[(1, 3, Conv(3)), (0, 3, Pool)]);
        assert_eq!(d.key(), cell(&[(0, 1, Pool)]).key());
        let mut nothing = Stage::new(8, Activation::Relu);
        (nothing.cells, nothing.cell) = (1, vec![Connection::new(1, 2, Skip)]);
        assert!(!nothing.normalise());
    }

    #[test]
    fn all_that_is_drawn_is_of_the_space_and_is_a_network() {
        for (name, row) in
            [("mlp", vec![7]), ("cell-1d", vec![40, 1]), ("cell-2d", vec![16, 16, 3]), ("rnn", vec![12, 2])]
        {
            let space = Space::preset(name).expect("it is there");
            space.check(row.len()).expect("it fits");
            let mut rng = Rng::new(5, 7);
            let mut before: Option<Architecture> = None;
            for _ in 0..60 {
                let one = space.sample(&mut rng);
                let other = space.mutated(&one, &mut rng);
                assert_ne!(one.key(), other.key());
                let crossed = before.as_ref().map(|b| space.crossed(&one, b, &mut rng));
                for a in [&one, &other].into_iter().chain(&crossed) {
                    assert_eq!(space.contains(a), Ok(()), "{}", a.key());
                    let net = space.net(a, &row, 3).unwrap_or_else(|e| panic!("{}: {e}", a.key()));
                    let file = toml::to_string(&net).expect("it is written");
                    assert_eq!(toml::from_str::<Net>(&file).expect("it is read"), net);
                    let json = serde_json::to_string(a).expect("it is written");
                    assert_eq!(serde_json::from_str::<Architecture>(&json).expect("it is read"), *a);
                }
                before = Some(other);
            }
        }
    }

    #[test]
    fn costs_and_limits() {
        let mut space = Space::preset("mlp").expect("it is there");
        let stage = |width| Stage::new(width, Activation::Relu);
        let net = space.net(&Architecture::new(vec![stage(8), stage(16)]), &[5], 3).expect("it fits");
        let cost = Space::cost(&net).expect("it fits");
        assert_eq!(cost.parameters, 5 * 8 + 8 + 8 * 16 + 16 + 16 * 3 + 3);
        let products = 2 * (5 * 8 + 8 * 16 + 16 * 3);
        assert!((products..products + 100).contains(&cost.operations), "{cost:?}");
        space.limits.parameters = Some(200);
        let mut rng = Rng::new(1, 1);
        let mut known = BTreeSet::new();
        let drawn =
            space.distinct(10, (&[5], 3), &mut known, || space.sample(&mut rng)).expect("there are some");
        assert!(!drawn.is_empty() && known.len() == drawn.len());
        for a in &drawn {
            assert!(space.net(a, &[5], 3).expect("it fits").layout().len() <= 200);
        }
        // Where some are known, none more is no fault.
        let more = |space: &Space, known: &mut BTreeSet<String>| {
            space.distinct(1, (&[5], 3), known, || space.sample(&mut Rng::new(2, 2)))
        };
        // A forward pass of 64 units on a slow device.
        space.limits = Limits { microseconds: Some(1_000), gflops: 0.001, ..Limits::default() };
        let mut known = BTreeSet::new();
        let quick = space.distinct(10, (&[5], 3), &mut known, || space.sample(&mut rng));
        for a in quick.expect("there are some") {
            let cost = Space::cost(&space.net(&a, &[5], 3).expect("it fits")).expect("it fits");
            assert!(cost.operations <= 1_000 && cost.traffic > 0, "{cost:?}");
        }
        space.limits = Limits { parameters: Some(10), ..Limits::default() };
        assert_eq!(more(&space, &mut known).expect("some are known"), []);
        let refused = more(&space, &mut BTreeSet::new()).expect_err("none").to_string();
        assert!(refused.contains("parameters, and 10 may be"), "{refused}");
    }

    #[test]
    fn spaces_that_cannot_be_are_refused() {
        let read = |text: &str| toml::from_str::<Space>(text).map_err(|e| e.message().to_string());
        let said = |text: &str, axes| read(text).and_then(|s| s.check(axes)).expect_err(text);
        assert!(said("stages = []", 1).contains("0 stages"));
        assert!(said("[[stages]]\nwidths = []", 1).contains("stage 1: widths: 0 choices"));
        assert!(said("[[stages]]\nwidths = [8]\ncells = [1]", 2).contains("none leads through a cell"));
        assert!(
            said("[[stages]]\nwidths = [8]\ncells = [1]\noperations = ['none']", 2).contains("none leads")
        );
        assert!(
            said("[[stages]]\nwidths = [8]\ncells = [1]\noperations = ['conv4']", 2).contains("did you mean")
        );
        assert!(
            said("[[stages]]\nwidths = [8]\ncells = [1]\noperations = ['gru']", 3)
                .contains("not for rows that are pictures")
        );
        assert!(
            said("[[stages]]\nwidths = [6]\ncells = [1]\noperations = ['attention']", 2)
                .contains("four heads")
        );
        assert!(said("[[stages]]\nwidths = [8]\n[limits]\nparams = 3", 1).contains("params"));
        assert!(said("[[stages]]\nwidths = [8]\n[limits]\ngflops = 0.0", 1).contains("gflops: 0 is out"));
        assert!(said("[[stages]]\nwidths = [8, 16, 8]", 1).contains("widths: 8 stands there twice"));
        assert!(said("depths = [3]\n[[stages]]\nwidths = [8]", 1).contains("there are 1 stages"));
        assert!(Space::preset("cell").expect_err("no name").contains("cell-1d"));
    }
}
