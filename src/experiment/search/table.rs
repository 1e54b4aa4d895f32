//! The truth about a space: architectures that were all trained, and how well scores that cost less tell which are good.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Search;
use crate::error::{Error, Result};
use crate::experiment::Observer;
use crate::rng::Rng;
use crate::search::{
    Architecture, ChoiceRule, Length, Population, Replay, Space, best_first, rank_correlation, scores,
};
use rayon::prelude::*;

/// Random numbers of the architectures of a table.
const TABLE: u64 = 0x7ab1;
/// Share of a table's trainings that a search within it may have.
const SHARE: f64 = 0.05;
/// Searches within a table, and candidates of a round of theirs.
const SEARCHES: u64 = 40;
const REPLAYED_ROUND: usize = 12;
const LEAST_REPLAYED: usize = 8;

/// How well scores tell which architectures of a table are good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Truth {
    /// Architectures of the table; of a surrogate those that the search did not try itself.
    pub architectures: usize,
    /// Those that it did, and that are left out.
    #[serde(default)]
    pub tried: usize,
    /// Spearman's rank correlation of each score with the true accuracy: `predicted`, `parameters`, `operations`, `grad_norm`, `synflow`,
    /// `jacob_cov`; `surrogate` is fitted to a twentieth of the table, and judged by the rest (the mean of forty).
    pub correlations: IndexMap<String, f64>,
    /// The largest true accuracy of the table.
    pub best: f64,
    /// The true accuracy of the one that was predicted to be the best, and of the best of the five that were.
    pub chosen: [f64; 2],
    /// Seconds of predicting them all.
    pub seconds: f64,
    /// Searches within the table that train a twentieth as much as it did.
    #[serde(default)]
    pub searches: Vec<Searched>,
}

/// What a way of choosing finds within a table, ten times with other seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Searched {
    /// How candidates are chosen; what is proposed is taken for the nearest of the table.
    pub choice: String,
    /// The true accuracy of what is found: the mean.
    pub found: f64,
    /// How much less that is than the best of the table.
    pub regret: f64,
    /// The lowest of the ten.
    pub lowest: f64,
}

/// A table of the truth about a space: architectures drawn at random, each trained from scratch with several seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableRow {
    /// The architecture.
    pub architecture: Architecture,
    /// Its weights.
    pub parameters: u64,
    /// Operations of a forward pass of one row.
    pub operations: u64,
    /// Accuracy on validation rows after training, for each seed.
    pub validation: Vec<f64>,
    /// Accuracy on test rows.
    pub test: Vec<f64>,
}

impl TableRow {
    /// The mean accuracy on test rows.
    pub fn accuracy(&self) -> f64 {
        self.test.iter().sum::<f64>() / self.test.len().max(1) as f64
    }
}

/// Reads a table that [`Search::tabulate`] wrote.
///
/// # Errors
/// Which line is none of such a table.
pub fn read_table(path: &Path) -> Result<Vec<TableRow>> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    if text.trim().is_empty() {
        return Err(Error::data(path, "", "is empty: a table has a line for each architecture"));
    }
    let lines = text.lines().enumerate().map(|(i, line)| {
        let at = || format!(", line {}", i + 1);
        let row: TableRow = serde_json::from_str(line).map_err(|_| {
            Error::data(path, at(), "is no line of a table, or cut off: take it out to go on")
        })?;
        match row.test.is_empty() || row.test.iter().chain(&row.validation).any(|a| !(-1e9..=1.0).contains(a))
        {
            true => Err(Error::data(
                path,
                at(),
                "holds no accuracies from 0 to 1 (of values R², which is 1 at most)",
            )),
            false => Ok(row),
        }
    });
    lines.collect()
}

impl Search<'_> {
    /// Trains so many architectures of the space, drawn at random, with `seeds` seeds each, and writes `table.jsonl`. Goes on where it stopped.
    /// `None`: stopped.
    ///
    /// # Errors
    /// What the device refuses, and what cannot be written.
    pub fn tabulate(&mut self, many: usize, observer: &mut dyn Observer) -> Result<Option<Vec<TableRow>>> {
        let path = self.folder.file("table.jsonl");
        let mut rows = if path.is_file() { read_table(&path)? } else { vec![] };
        let mut known = BTreeSet::new();
        let mut rng = Rng::new(self.config.seed, TABLE);
        let all = self
            .space
            .distinct(many, (&self.row, self.outputs()), &mut known, || self.space.sample(&mut rng))?;
        if let Some((i, _)) = rows.iter().zip(&all).enumerate().find(|(_, (r, a))| r.architecture != **a) {
            return Err(Error::data(
                &path,
                format!(", line {}", i + 1),
                "is of another search: the seed or the space differs",
            ));
        }
        let steps = self.config.train.steps;
        for some in all[rows.len().min(all.len())..].chunks(self.config.round) {
            let phase = format!("{} of {} trained", rows.len(), all.len());
            let mut members = Vec::new();
            for a in some {
                members.extend(self.seeded(a, None)?);
            }
            let mut population = Population::new(members, self.config.train)?;
            if !self.trained(&mut population, steps, &phase, observer)? {
                return Ok(None);
            }
            let validation = population.score(self.device, self.validation_rows())?;
            let test = population.score(self.device, self.test_rows())?;
            for (i, a) in some.iter().enumerate() {
                let cost = Space::cost(&self.net(a)?)?;
                let of = |all: &[f64]| all[i * self.config.seeds..][..self.config.seeds].to_vec();
                rows.push(TableRow {
                    architecture: a.clone(),
                    parameters: cost.parameters,
                    operations: cost.operations,
                    validation: of(&validation),
                    test: of(&test),
                });
            }
            let lines = rows.iter().map(|r| serde_json::to_string(r).map(|l| l + "\n"));
            let text: String =
                lines.collect::<serde_json::Result<_>>().map_err(|e| Error::Shape(e.to_string()))?;
            self.folder.write("table.jsonl", &text)?;
        }
        Ok(Some(rows))
    }

    /// The table's architectures by which predictions are judged: what a surrogate was fitted to is no test of it.
    pub(super) fn untried(&self) -> Vec<&TableRow> {
        let tried: BTreeSet<String> = match self.config.choice {
            ChoiceRule::Surrogate => self.candidates.iter().map(|c| c.architecture.key()).collect(),
            _ => BTreeSet::new(),
        };
        self.table.iter().filter(|r| !tried.contains(&r.architecture.key())).collect()
    }

    /// How well architectures of the table are predicted, beside scores that cost nothing; `None`: stopped.
    pub(super) fn judge_by(&self, table: &[&TableRow], observer: &mut dyn Observer) -> Result<Option<Truth>> {
        let all: Vec<Architecture> = table.iter().map(|r| r.architecture.clone()).collect();
        let begun = Instant::now();
        let predicted = match self.by_surrogate(&all)? {
            Some(predicted) => predicted,
            None => match self.predict(&all, observer)? {
                Some(predicted) => predicted,
                None => return Ok(None),
            },
        };
        let seconds = begun.elapsed().as_secs_f64();
        let place = self.place();
        let costless = scores(self.device, place, self.train_rows(), &all, self.config.seed)?;
        let truth: Vec<f64> = table.iter().map(|r| r.accuracy()).collect();
        let column = |of: &dyn Fn(usize) -> f64| (0..all.len()).map(of).collect::<Vec<f64>>();
        let columns = [
            ("predicted", predicted.clone()),
            ("parameters", column(&|i| table[i].parameters as f64)),
            ("operations", column(&|i| table[i].operations as f64)),
            ("grad_norm", column(&|i| costless[i].grad_norm)),
            ("synflow", column(&|i| costless[i].synflow)),
            ("jacob_cov", column(&|i| costless[i].jacob_cov)),
        ];
        let correlations = columns
            .into_iter()
            .filter_map(|(name, values)| Some((name.to_string(), rank_correlation(&values, &truth)?)));
        let order = best_first(&predicted);
        let best =
            |of: &mut dyn Iterator<Item = usize>| of.map(|i| truth[i]).fold(f64::NEG_INFINITY, f64::max);
        let replay = Replay::new(place, &all, table.iter().map(|r| &r.validation[..]).collect())?;
        let searches = self.replayed(&replay, table, &truth)?;
        let mut correlations: IndexMap<String, f64> = correlations.collect();
        // A surrogate of a twentieth of the table, of all others.
        let many = (all.len() as f64 * SHARE) as usize;
        let of = |seed| {
            let (rest, predicted) = replay.predicted(many, seed)?;
            rank_correlation(&predicted, &rest.iter().map(|i| truth[*i]).collect::<Vec<f64>>())
        };
        if let Some(each) = (0..SEARCHES).into_par_iter().map(of).collect::<Option<Vec<f64>>>() {
            correlations.insert("surrogate".into(), each.iter().sum::<f64>() / SEARCHES as f64);
        }
        Ok(Some(Truth {
            architectures: all.len(),
            tried: self.table.len() - all.len(),
            correlations,
            best: best(&mut (0..all.len())),
            chosen: [best(&mut order.iter().copied().take(1)), best(&mut order.iter().copied().take(5))],
            seconds,
            searches,
        }))
    }

    /// What searches within a table find that train a twentieth as much as it did: each candidate once, and the best with all seeds.
    fn replayed(&self, replay: &Replay<'_>, table: &[&TableRow], truth: &[f64]) -> Result<Vec<Searched>> {
        let seeds = table.iter().map(|r| r.validation.len()).max().unwrap_or(1);
        let trainings = (table.len() as f64 * seeds as f64 * SHARE) as usize;
        let best = self.config.best.min(trainings / (2 * seeds)).max(1);
        let candidates = trainings.saturating_sub(best * seeds);
        if candidates < LEAST_REPLAYED {
            log::warn!(
                "a twentieth of the table is {trainings} trainings: too few for searches within it to differ; {} architectures would do",
                ((LEAST_REPLAYED + 2 * seeds) as f64 / (SHARE * seeds as f64)).ceil()
            );
            return Ok(vec![]);
        }
        // Rules differ from the second round on.
        let length = Length { candidates, round: REPLAYED_ROUND.min(candidates / 4), best };
        let most = truth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let of = |rule: ChoiceRule, name: &str| -> Result<Searched> {
            let found = (0..SEARCHES)
                .into_par_iter()
                .map(|seed| Ok(truth[replay.found(rule, length, self.config.temperature, seed)?]))
                .collect::<Result<Vec<f64>>>()?;
            let mean = found.iter().sum::<f64>() / SEARCHES as f64;
            Ok(Searched {
                choice: name.to_string(),
                found: mean,
                regret: most - mean,
                lowest: found.iter().copied().fold(f64::INFINITY, f64::min),
            })
        };
        [
            (ChoiceRule::Random, "random"),
            (ChoiceRule::Greedy, "greedy"),
            (ChoiceRule::Evolution, "evolution"),
            (ChoiceRule::Reinforce, "reinforce"),
            (ChoiceRule::Surrogate, "surrogate"),
        ]
        .into_iter()
        .map(|(rule, name)| of(rule, name))
        .collect()
    }
}
