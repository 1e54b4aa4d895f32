//! A space as a list of decisions, each with its choices: what policies over architectures, and searches by gradient, are about.

use super::architecture::{Architecture, Connection, Stage};
use super::space::Space;

/// What is decided. Stages and pairs of nodes are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// How many stages there are.
    Depth,
    /// Channels of a stage.
    Width(usize),
    /// The function behind each of its sums.
    Activation(usize),
    /// Whether its sums are normalised.
    Norm(usize),
    /// How many cells it has.
    Cells(usize),
    /// What stands between two nodes of its cell: the stage, and the pair.
    Operation(usize, usize),
}

impl Space {
    /// All decisions with their numbers of choices, in a fixed order.
    pub(super) fn decisions(&self) -> Vec<(Decision, usize)> {
        let mut all = vec![(Decision::Depth, self.depths_or_all().len())];
        for (i, s) in self.stages.iter().enumerate() {
            all.extend([
                (Decision::Width(i), s.widths.len()),
                (Decision::Activation(i), s.activations.len()),
                (Decision::Norm(i), s.norms.len()),
                (Decision::Cells(i), s.cells.len()),
            ]);
            let pairs = if s.has_cells() { s.pairs().count() } else { 0 };
            all.extend((0..pairs).map(|pair| (Decision::Operation(i, pair), s.operations.len())));
        }
        all
    }

    /// The architecture of these choices, one for each decision; `None`: nothing leads through one of its cells.
    pub(super) fn decided(&self, choices: &[usize]) -> Option<Architecture> {
        let decisions = self.decisions();
        let of = |d: Decision| decisions.iter().position(|(other, _)| *other == d).map_or(0, |i| choices[i]);
        let depth = self.depths_or_all()[of(Decision::Depth)];
        let stages = self.stages[..depth].iter().enumerate().map(|(i, s)| {
            let mut stage =
                Stage::new(s.widths[of(Decision::Width(i))], s.activations[of(Decision::Activation(i))]);
            stage.norm = s.norms[of(Decision::Norm(i))];
            stage.cells = s.cells[of(Decision::Cells(i))];
            if stage.cells > 0 {
                let connections = s.pairs().enumerate().filter_map(|(pair, (from, to))| {
                    let operation = s.operations[of(Decision::Operation(i, pair))].0?;
                    Some(Connection::new(from, to, operation))
                });
                stage.cell = connections.collect();
                let leads = stage.nodes() == s.nodes && stage.normalise();
                leads.then_some(stage)
            } else {
                Some(stage)
            }
        });
        Some(Architecture::new(stages.collect::<Option<Vec<Stage>>>()?))
    }

    /// The choices that are an architecture of the space; `None` where a decision makes no difference to it.
    pub(super) fn choices_of(&self, architecture: &Architecture) -> Vec<Option<usize>> {
        let depths = self.depths_or_all();
        let spread: Vec<Stage> = (self.stages.iter().zip(&architecture.stages))
            .map(|(s, stage)| {
                let mut stage = stage.clone();
                s.spread(&mut stage);
                stage
            })
            .collect();
        fn place<T: PartialEq>(of: &[T], own: &T) -> Option<usize> {
            of.iter().position(|one| one == own)
        }
        let one = |(decision, _): (Decision, usize)| match decision {
            Decision::Depth => place(&depths, &architecture.stages.len()),
            Decision::Width(i) => place(&self.stages[i].widths, &spread.get(i)?.width),
            Decision::Activation(i) => place(&self.stages[i].activations, &spread.get(i)?.activation),
            Decision::Norm(i) => place(&self.stages[i].norms, &spread.get(i)?.norm),
            Decision::Cells(i) => place(&self.stages[i].cells, &spread.get(i)?.cells),
            Decision::Operation(i, pair) => {
                let stage = spread.get(i).filter(|s| s.cells > 0)?;
                let (from, to) = self.stages[i].pairs().nth(pair)?;
                let own = stage.cell.iter().find(|c| (c.from, c.to) == (from, to)).map(|c| c.operation);
                self.stages[i].operations.iter().position(|o| o.0 == own)
            }
        };
        self.decisions().into_iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn choices_are_the_architecture() {
        for name in Space::PRESETS {
            let space = Space::preset(name).expect("it is there");
            let mut rng = Rng::new(8, 1);
            let decisions = space.decisions();
            for _ in 0..40 {
                let one = space.sample(&mut rng);
                let choices = space.choices_of(&one);
                // What makes no difference is decided anyhow.
                let all: Vec<usize> = choices
                    .iter()
                    .zip(&decisions)
                    .map(|(c, (_, n))| c.unwrap_or_else(|| rng.below(*n)))
                    .collect();
                // A later stage that is not there may be one through which nothing leads.
                if let Some(again) = space.decided(&all) {
                    assert_eq!(again.key(), one.key(), "{name}");
                }
                assert!(choices.iter().zip(&decisions).all(|(c, (_, n))| c.is_none_or(|c| c < *n)));
                assert!(choices[0].is_some(), "{name}: {}", one.key());
            }
        }
    }
}
