//! What to look at next, by what was found so far.

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use super::policy::{Policy, drawn};
use super::space::Space;
use super::surrogate::{Surrogate, looks};
use crate::error::{Error, Result};
use crate::rng::Rng;

/// Candidates among which evolution chooses: the latest (Real et al. 2019).
const ALIVE: usize = 64;
/// Candidates of a tournament.
const TOURNAMENT: usize = 8;
/// Share of children that have two parents.
const CROSSED: f64 = 0.25;
/// Draws in vain before the next best is taken as a parent, too.
const PATIENCE: usize = 20;
/// Architectures among which a surrogate chooses, for each that is chosen, and at least.
const POOL: usize = 16;
const LEAST_POOL: usize = 256;
/// Share of them that are changes to the best so far; the rest are drawn at random.
const CHANGED: f64 = 0.5;
/// What is worse counts as much for a surrogate.
const LEAST: f64 = -1.0;
/// How many of the best are changed.
const LEADING: usize = 8;

/// How candidates are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ChoiceRule {
    /// Each at random.
    Random,
    /// Changes to the best one.
    Greedy,
    /// Changes to one that is drawn by a softmax of what was found.
    Probability,
    /// Changes to, or children of, winners of small tournaments among the latest (Real et al. 2019).
    #[default]
    Evolution,
    /// Those of a large pool with the highest upper confidence bounds, by a [`Surrogate`] fitted to what was found (Bayesian optimisation;
    /// Srinivas et al. 2010, White et al. 2021).
    Surrogate,
    /// By a policy that REINFORCE learns from what was found (Zoph and Le 2017).
    Reinforce,
    /// By shares that gradients learn ([`super::ChoiceGradient`]).
    Gradient,
}

/// What was found of an architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Candidate {
    /// The architecture.
    pub architecture: Architecture,
    /// Its predicted accuracy.
    pub predicted: f64,
}

impl Candidate {
    /// What was found of an architecture.
    #[must_use]
    pub fn new(architecture: Architecture, predicted: f64) -> Candidate {
        Candidate { architecture, predicted }
    }
}

impl ChoiceRule {
    /// All of them by their names.
    pub const NAMES: [&str; 7] =
        ["random", "greedy", "probability", "evolution", "surrogate", "reinforce", "gradient"];

    /// So many architectures more, none of them in `known`, by the candidates so far; fewer where the space has no more. With no candidates
    /// all are drawn at random.
    ///
    /// # Errors
    /// Those of [`Space::distinct`]; and [`ChoiceRule::Gradient`], whose proposals are those of [`super::ChoiceGradient::propose`].
    pub fn propose(
        self,
        (space, row, outputs): (&Space, &[usize], usize),
        known: &mut BTreeSet<String>,
        candidates: &[Candidate],
        many: usize,
        temperature: f64,
        rng: &mut Rng,
    ) -> Result<Vec<Architecture>> {
        if self == ChoiceRule::Gradient {
            return Err(Error::config("choice", "'gradient' needs the shares that a ChoiceGradient learns"));
        }
        if let (ChoiceRule::Surrogate, Some(fitted)) = (self, fitted((space, row, outputs), candidates)?) {
            return by_bound((space, row, outputs), &fitted, known, candidates, many, rng);
        }
        let predicted: Vec<f64> = candidates.iter().map(|c| c.predicted).collect();
        let order = best_first(&predicted);
        let mut draws = 0;
        let mut policy = None;
        space.distinct(many, (row, outputs), known, || {
            draws += 1;
            if candidates.is_empty() {
                return space.sample(rng);
            }
            let of = |i: usize| &candidates[i].architecture;
            match self {
                ChoiceRule::Reinforce => {
                    let policy = policy.get_or_insert_with(|| Policy::reinforced(space, candidates));
                    policy.sample(space, rng)
                }
                ChoiceRule::Random | ChoiceRule::Surrogate | ChoiceRule::Gradient => space.sample(rng),
                ChoiceRule::Greedy => {
                    let parents = (1 + draws / PATIENCE).min(order.len());
                    space.mutated(of(order[rng.below(parents)]), rng)
                }
                ChoiceRule::Probability => {
                    let best = candidates[order[0]].predicted;
                    let shares: Vec<f64> =
                        candidates.iter().map(|c| ((c.predicted - best) / temperature).exp()).collect();
                    space.mutated(of(drawn(&shares, rng)), rng)
                }
                ChoiceRule::Evolution => {
                    let first = candidates.len().saturating_sub(ALIVE);
                    let mut winner = || {
                        let drawn = (0..TOURNAMENT).map(|_| first + rng.below(candidates.len() - first));
                        drawn.max_by(|a, b| {
                            candidates[*a].predicted.total_cmp(&candidates[*b].predicted).then(b.cmp(a))
                        })
                    };
                    let [a, b] = [winner(), winner()].map(|w| of(w.unwrap_or(first)));
                    match rng.uniform() < CROSSED {
                        true => {
                            let child = space.crossed(a, b, rng);
                            space.mutated(&child, rng)
                        }
                        false => space.mutated(a, rng),
                    }
                }
            }
        })
    }
}

/// What architectures of a space over rows of one shape look like in numbers.
pub(crate) fn all_looks<'a>(
    (space, row, outputs): (&Space, &[usize], usize),
    all: impl Iterator<Item = &'a Architecture>,
) -> Result<Vec<Vec<f64>>> {
    let all: Vec<&Architecture> = all.collect();
    let one = |a: &&Architecture| {
        let net = space.net(a, row, outputs).map_err(|e| Error::config(a.key(), e))?;
        Ok(looks(space, a, &Space::cost(&net)?))
    };
    all.par_iter().map(one).collect()
}

/// A surrogate of what was found; `None` where that is too little.
pub(crate) fn fitted(
    place: (&Space, &[usize], usize),
    candidates: &[Candidate],
) -> Result<Option<Surrogate>> {
    let looks = all_looks(place, candidates.iter().map(|c| &c.architecture))?;
    Ok(fitted_to(&looks, candidates.iter().map(|c| c.predicted)))
}

/// What is said of a candidate in the end, by what was measured of it and what its likes say: what it reached by chance is told from what is
/// better, and what it has by itself from what its likes have. In tables the best by both was as good as the best that there is, where that by
/// its likes alone was not.
pub(crate) fn settled(measured: f64, predicted: f64) -> f64 {
    (measured + predicted) / 2.0
}

/// The same of architectures that look so, and have these scores.
pub(super) fn fitted_to(looks: &[Vec<f64>], scores: impl Iterator<Item = f64>) -> Option<Surrogate> {
    // How bad what is of no use is would be most of what there is to tell.
    Surrogate::fit(looks, &scores.map(|score| score.max(LEAST)).collect::<Vec<f64>>())
}

/// The architectures of a pool, none of them known, with the highest upper confidence bounds.
fn by_bound(
    place: (&Space, &[usize], usize),
    fitted: &Surrogate,
    known: &mut BTreeSet<String>,
    candidates: &[Candidate],
    many: usize,
    rng: &mut Rng,
) -> Result<Vec<Architecture>> {
    let (space, row, outputs) = place;
    let mut order = best_first(&candidates.iter().map(|c| c.predicted).collect::<Vec<f64>>());
    order.truncate(LEADING);
    let pool =
        space.distinct(LEAST_POOL.max(POOL * many), (row, outputs), &mut known.clone(), || {
            match rng.uniform() < CHANGED {
                true => space.mutated(&candidates[order[rng.below(order.len())]].architecture, rng),
                false => space.sample(rng),
            }
        })?;
    let bounds: Vec<f64> = all_looks(place, pool.iter())?.iter().map(|looks| fitted.bound(looks)).collect();
    let chosen = best_first(&bounds).into_iter().take(many).map(|i| pool[i].clone());
    let chosen: Vec<Architecture> = chosen.collect();
    known.extend(chosen.iter().map(Architecture::key));
    Ok(chosen)
}

/// Places of values, the largest first; of equal ones the first.
pub(crate) fn best_first(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    order
}

/// Ranks, equal values sharing the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut i = 0;
    while i < order.len() {
        let same = order[i..].iter().take_while(|j| values[**j] == values[order[i]]).count();
        for j in &order[i..i + same] {
            ranks[*j] = i as f64 + (same - 1) as f64 / 2.0;
        }
        i += same;
    }
    ranks
}

/// Spearman's rank correlation of two lists; `None` where one of them has fewer than three values, or all alike.
///
/// ```
/// use hyperloom::search::rank_correlation;
///
/// assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[10.0, 20.0, 90.0]), Some(1.0));
/// assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]), None);
/// ```
pub fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len().min(b.len());
    if n < 3 {
        return None;
    }
    let (a, b) = (ranks(&a[..n]), ranks(&b[..n]));
    let mean = (n as f64 - 1.0) / 2.0;
    let sum = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let scale = (sum(&a, &a) * sum(&b, &b)).sqrt();
    (scale > 0.0).then(|| sum(&a, &b) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wider is better, and so are convolutions of 5.
    fn worth(a: &Architecture) -> f64 {
        let s = &a.stages[0];
        let five = s.cell.iter().filter(|c| c.operation.name() == "conv5").count();
        s.width as f64 / 32.0 + five as f64 + s.cells as f64 / 3.0
    }

    #[test]
    fn rules_that_learn_find_more_than_chance() {
        let space = Space::preset("cell-1d").expect("it is there");
        let best = |rule: ChoiceRule, seed| {
            let (mut known, mut all) = (BTreeSet::new(), Vec::<Candidate>::new());
            for round in 0..10 {
                let mut rng = Rng::new(seed, round);
                let place = (&space, &[40, 1][..], 10);
                let more = rule.propose(place, &mut known, &all, 16, 0.1, &mut rng).expect("there are some");
                assert_eq!(more.len(), 16);
                all.extend(more.into_iter().map(|a| Candidate { predicted: worth(&a), architecture: a }));
            }
            assert_eq!(known.len(), 160);
            all.iter().map(|c| c.predicted).fold(0.0, f64::max)
        };
        let mean = |rule| (0..5).map(|seed| best(rule, seed)).sum::<f64>() / 5.0;
        let chance = mean(ChoiceRule::Random);
        for rule in [
            ChoiceRule::Greedy,
            ChoiceRule::Probability,
            ChoiceRule::Evolution,
            ChoiceRule::Surrogate,
            ChoiceRule::Reinforce,
        ] {
            assert!(mean(rule) > chance + 0.5, "{rule:?}: {} beside {chance}", mean(rule));
        }
        assert_eq!(best(ChoiceRule::Evolution, 3), best(ChoiceRule::Evolution, 3));
    }

    #[test]
    fn ranks_with_ties() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        let r = rank_correlation(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]).expect("they differ");
        assert!((r - 0.8).abs() < 1e-12);
    }

    #[test]
    fn small_spaces_are_exhausted() {
        let space: Space = toml::from_str("[[stages]]\nwidths = [4, 8, 16]").expect("a space");
        let mut known = BTreeSet::new();
        let mut rng = Rng::new(0, 0);
        let all = ChoiceRule::Random.propose((&space, &[3], 2), &mut known, &[], 32, 1.0, &mut rng);
        assert_eq!(all.expect("there are some").len(), 3);
    }
}
