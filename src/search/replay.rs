//! Searches within a table of trained architectures: what a rule would have found, without training anything (as on NAS-Bench, Ying et al.
//! 2019, Dong and Yang 2020).

use std::collections::BTreeSet;

use super::architecture::Architecture;
use super::choice::{Candidate, ChoiceRule, all_looks, best_first, fitted_to, settled};
use super::space::Space;
use super::surrogate::Surrogate;
use crate::error::Result;
use crate::rng::Rng;

/// Random numbers of a replayed search.
const REPLAY: u64 = 0x4e91;

/// Architectures with the scores by which a search chooses, one for each seed that they were trained with.
pub(crate) struct Replay<'t> {
    place: (&'t Space, &'t [usize], usize),
    architectures: &'t [Architecture],
    scores: Vec<&'t [f64]>,
    looks: Vec<Vec<f64>>,
    choices: Vec<Vec<Option<usize>>>,
}

/// How long replayed searches are.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    /// Candidates that are trained once.
    pub(crate) candidates: usize,
    /// Candidates of a round.
    pub(crate) round: usize,
    /// The best of them that are trained with all seeds.
    pub(crate) best: usize,
}

impl<'t> Replay<'t> {
    pub(crate) fn new(
        place: (&'t Space, &'t [usize], usize),
        architectures: &'t [Architecture],
        scores: Vec<&'t [f64]>,
    ) -> Result<Replay<'t>> {
        let looks = all_looks(place, architectures.iter())?;
        let choices = architectures.iter().map(|a| place.0.choices_of(a)).collect();
        Ok(Replay { place, architectures, scores, looks, choices })
    }

    /// The place of what a search finds: candidates by the rule, one training each; of the best few, trained with all seeds, the best.
    pub(crate) fn found(
        &self,
        rule: ChoiceRule,
        length: Length,
        temperature: f64,
        seed: u64,
    ) -> Result<usize> {
        let mut rng = Rng::new(seed, REPLAY);
        let one = |i: usize| self.scores[i][seed as usize % self.scores[i].len()];
        let mut tried: Vec<usize> = Vec::new();
        let most = length.candidates.min(self.architectures.len());
        while tried.len() < most {
            let many = length.round.min(most - tried.len());
            let left: Vec<usize> = (0..self.architectures.len()).filter(|i| !tried.contains(i)).collect();
            let values: Vec<f64> = tried.iter().map(|i| one(*i)).collect();
            let fitted = (rule == ChoiceRule::Surrogate).then(|| self.fitted(&tried, &values)).flatten();
            let chosen: Vec<usize> = if let Some(fitted) = fitted {
                let bounds: Vec<f64> = left.iter().map(|i| fitted.bound(&self.looks[*i])).collect();
                best_first(&bounds).into_iter().take(many).map(|i| left[i]).collect()
            } else if tried.is_empty() || matches!(rule, ChoiceRule::Random | ChoiceRule::Surrogate) {
                rng.choose(left.len(), many).into_iter().map(|i| left[i]).collect()
            } else {
                self.nearest(rule, (&tried, &values), left, many, temperature, &mut rng)?
            };
            tried.extend(chosen);
        }
        let values: Vec<f64> = tried.iter().map(|i| one(*i)).collect();
        let by = match (rule == ChoiceRule::Surrogate).then(|| self.fitted(&tried, &values)).flatten() {
            Some(fitted) => {
                let both = |(i, v): (&usize, &f64)| settled(*v, fitted.predict(&self.looks[*i]).0);
                tried.iter().zip(&values).map(both).collect()
            }
            None => values,
        };
        let best = best_first(&by).into_iter().take(length.best).map(|i| tried[i]);
        let mean = |i: &usize| self.scores[*i].iter().sum::<f64>() / self.scores[*i].len() as f64;
        Ok(best.max_by(|a, b| mean(a).total_cmp(&mean(b)).then(b.cmp(a))).unwrap_or(0))
    }

    /// What a surrogate that is fitted to so many of them, drawn at random, predicts of all others: their places, and its predictions.
    pub(crate) fn predicted(&self, many: usize, seed: u64) -> Option<(Vec<usize>, Vec<f64>)> {
        let known = Rng::new(seed, REPLAY).choose(self.architectures.len(), many);
        let values: Vec<f64> =
            known.iter().map(|i| self.scores[*i][seed as usize % self.scores[*i].len()]).collect();
        let fitted = self.fitted(&known, &values)?;
        let rest: Vec<usize> = (0..self.architectures.len()).filter(|i| !known.contains(i)).collect();
        let values = rest.iter().map(|i| fitted.predict(&self.looks[*i]).0).collect();
        Some((rest, values))
    }

    fn fitted(&self, known: &[usize], values: &[f64]) -> Option<Surrogate> {
        let looks: Vec<Vec<f64>> = known.iter().map(|i| self.looks[*i].clone()).collect();
        fitted_to(&looks, values.iter().copied())
    }

    /// What a rule proposes in the whole space is taken for the one of the table that differs from it in the fewest choices.
    fn nearest(
        &self,
        rule: ChoiceRule,
        (tried, values): (&[usize], &[f64]),
        mut left: Vec<usize>,
        many: usize,
        temperature: f64,
        rng: &mut Rng,
    ) -> Result<Vec<usize>> {
        let candidates: Vec<Candidate> = tried
            .iter()
            .zip(values)
            .map(|(i, v)| Candidate::new(self.architectures[*i].clone(), *v))
            .collect();
        let mut known: BTreeSet<String> = candidates.iter().map(|c| c.architecture.key()).collect();
        let proposed = rule.propose(self.place, &mut known, &candidates, many, temperature, rng)?;
        let mut chosen = Vec::new();
        for one in &proposed {
            let own = self.place.0.choices_of(one);
            let apart = |i: &usize| self.choices[*i].iter().zip(&own).filter(|(a, b)| a != b).count();
            let Some(at) = (0..left.len()).min_by_key(|at| apart(&left[*at])) else { break };
            chosen.push(left.swap_remove(at));
        }
        // Where the space has no more to propose, what is left is drawn.
        while chosen.len() < many && !left.is_empty() {
            chosen.push(left.swap_remove(rng.below(left.len())));
        }
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wider and deeper is better, and what is drawn beside it is small.
    #[test]
    fn rules_that_learn_find_what_is_best_sooner() {
        let space = Space::preset("cell-1d").expect("it is there");
        let mut rng = Rng::new(3, 3);
        let mut known = BTreeSet::new();
        let place = (&space, &[20, 1][..], 4);
        let all = space.distinct(150, (place.1, place.2), &mut known, || space.sample(&mut rng));
        let all = all.expect("there are some");
        let worth = |a: &Architecture| {
            let s = &a.stages[0];
            let five = s.cell.iter().filter(|c| c.operation.name() == "conv5").count();
            s.width as f64 / 24.0 + five as f64 + s.cells as f64 / 2.0
        };
        let scores: Vec<Vec<f64>> =
            all.iter().map(|a| (0..3).map(|_| worth(a) + 0.05 * rng.normal()).collect()).collect();
        let replay = Replay::new(place, &all, scores.iter().map(Vec::as_slice).collect()).expect("they fit");
        let best = all.iter().map(worth).fold(0.0, f64::max);
        let regret = |rule, candidates| {
            let length = Length { candidates, round: 6, best: 3 };
            let of = |seed| best - worth(&all[replay.found(rule, length, 0.1, seed).expect("it is found")]);
            (0..10).map(of).sum::<f64>() / 10.0
        };
        let surrogate = regret(ChoiceRule::Surrogate, 24);
        assert!(surrogate < 0.2 * regret(ChoiceRule::Random, 24), "{surrogate}");
        for rule in [ChoiceRule::Greedy, ChoiceRule::Evolution, ChoiceRule::Reinforce] {
            let (found, chance) = (regret(rule, 48), regret(ChoiceRule::Random, 48));
            assert!(found < chance, "{rule:?}: {found} and {chance}");
            assert_eq!(found, regret(rule, 48));
        }
        let (rest, predicted) = replay.predicted(30, 0).expect("it is fitted");
        let truth: Vec<f64> = rest.iter().map(|i| worth(&all[*i])).collect();
        assert!(super::super::rank_correlation(&predicted, &truth).expect("they differ") > 0.8);
    }
}
