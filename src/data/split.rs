//! Which groups train, choose (validation) and judge (test): drawn from a seed, or read from a file so that
//! methods can be compared on the same split and the same support rows.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::csv::Group;
use super::table::{count, listed, shown};
use crate::error::{Error, Result, nearest};
use crate::rng::Rng;

/// Train, validation and test, as ascending indices into the groups it was made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Groups to learn from; the encoder is fitted on these and on the validation groups.
    pub train: Vec<usize>,
    /// Groups to choose settings by.
    pub validation: Vec<usize>,
    /// Groups to judge by, once.
    pub test: Vec<usize>,
    /// For each test group its draws, each a list of different row numbers inside the group (0-based): with `k`
    /// shots the first `k` of a draw are the support and all the group's other rows the query. Empty when no file
    /// gave them.
    pub draws: Vec<Vec<Vec<usize>>>,
}

/// One seed's part of a split file.
#[derive(Deserialize)]
struct Listed {
    train: Vec<String>,
    test: BTreeMap<String, Vec<Vec<usize>>>,
}

impl Split {
    /// Shuffles `groups` (their number) by `seed`: about 60 % train, 20 % validation, 20 % test, at least one each.
    /// `None` for fewer than three groups.
    pub fn draw(groups: usize, seed: u64) -> Option<Split> {
        if groups < 3 {
            return None;
        }
        let order = shuffled((0..groups).collect(), seed);
        let fifth = fifth(groups);
        let (test, rest) = order.split_at(fifth);
        let (validation, train) = rest.split_at(fifth);
        Some(Split {
            train: sorted(train.to_vec()),
            validation: sorted(validation.to_vec()),
            test: sorted(test.to_vec()),
            draws: Vec::new(),
        })
    }

    /// What each of several models trains on and chooses by: the groups to learn from and to choose by in `members` folds, each chosen by
    /// once. With one member, or too few groups, as they are.
    pub fn folds(&self, members: usize, seed: u64) -> Vec<(Vec<usize>, Vec<usize>)> {
        let all: Vec<usize> = self.train.iter().chain(&self.validation).copied().collect();
        let members = members.min(all.len() / 2);
        if members <= 1 {
            return vec![(self.train.clone(), self.validation.clone())];
        }
        let order: Vec<usize> =
            Rng::new(seed, 0xf01d).choose(all.len(), all.len()).into_iter().map(|i| all[i]).collect();
        (0..members)
            .map(|m| {
                let (mut train, mut validation) = (vec![], vec![]);
                for (i, &g) in order.iter().enumerate() {
                    if i % members == m { validation.push(g) } else { train.push(g) }
                }
                (train, validation)
            })
            .collect()
    }

    /// The split that the file at `path` lists for `seed`:
    /// `{"seed": {"train": [group, …], "test": {group: [[row, …] a draw, …]}}}`.
    /// Groups not listed belong to no part. A fifth of the listed training groups, drawn by `seed`, is held out for
    /// validation.
    ///
    /// `groups` are all groups of the data; those of them with at most `shots` rows are left out. That, and draws with
    /// fewer than `shots` rows, is noted.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Data`] naming seed and group where it does not fit the
    /// data, or leaves fewer than three training groups or no test group.
    pub(super) fn read(
        path: &Path,
        seed: u64,
        groups: &[Group],
        shots: usize,
        notes: &mut Vec<String>,
    ) -> Result<Split> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let mut seeds: BTreeMap<String, Listed> = serde_json::from_slice(&bytes).map_err(|e| {
            let form = r#"{"seed": {"train": [group, …], "test": {group: [[row, …], …]}}}"#;
            Error::data(path, "", format!("not a split file, {form}: {e}"))
        })?;
        let Some(part) = seeds.remove(&seed.to_string()) else {
            let known: Vec<&String> = seeds.keys().collect();
            return Err(Error::data(
                path,
                "",
                format!("no split for seed {seed}: the file has {}", listed(&known)),
            ));
        };

        let index: HashMap<&str, usize> =
            groups.iter().enumerate().map(|(i, g)| (g.name.as_str(), i)).collect();
        let at = |name: &str| format!(", seed {seed}, group '{}'", shown(name));
        let mut used = vec![false; groups.len()];
        let mut skipped = 0;
        // The group's index, or `None` where it is too small to be used.
        let mut take = |name: &str| -> Result<Option<usize>> {
            let Some(&i) = index.get(name) else {
                let hint = match nearest(name, index.keys().copied().filter(|k| k.len() <= 100)) {
                    Some(near) => format!("did you mean '{}'?", shown(near)),
                    None => "list only groups that the data have".into(),
                };
                return Err(Error::data(path, at(name), format!("the data have no such group: {hint}")));
            };
            if std::mem::replace(&mut used[i], true) {
                return Err(Error::data(
                    path,
                    at(name),
                    "listed twice: a group either trains or judges, once",
                ));
            }
            // One row to learn from and one to be judged on; a smaller group teaches nothing.
            let small = groups[i].rows.len() < 2;
            skipped += usize::from(small);
            Ok((!small).then_some(i))
        };

        let mut train = Vec::new();
        for name in &part.train {
            train.extend(take(name)?);
        }
        let (mut test, mut short) = (Vec::new(), 0);
        for (name, draws) in part.test {
            let Some(i) = take(&name)? else { continue };
            check_draws(&draws, groups[i].rows.len())
                .map_err(|problem| Error::data(path, at(&name), problem))?;
            short += draws.iter().filter(|draw| draw.len() < shots).count();
            test.push((i, draws));
        }
        if skipped > 0 {
            notes.push(format!(
                "{} of the split left out: with fewer than 2 rows there is nothing to be judged on",
                count(skipped, "group"),
            ));
        }
        if short > 0 {
            notes.push(format!(
                "{} of the split have fewer than the {shots} rows asked for",
                count(short, "draw")
            ));
        }
        if train.len() < 3 || test.is_empty() {
            let message = format!(
                "{} and {} with more than {}: at least 3 and 1 are needed; use fewer shots or another split",
                count(train.len(), "training group"),
                count(test.len(), "test group"),
                count(shots, "row"),
            );
            return Err(Error::data(path, format!(", seed {seed}"), message));
        }
        test.sort();
        let (test, draws) = test.into_iter().unzip();
        let order = shuffled(sorted(train), seed);
        let (validation, train) = order.split_at(fifth(order.len()));
        Ok(Split { train: sorted(train.to_vec()), validation: sorted(validation.to_vec()), test, draws })
    }
}

fn check_draws(draws: &[Vec<usize>], rows: usize) -> Result<(), String> {
    if draws.is_empty() {
        return Err("no draw: give at least one list of support rows".into());
    }
    for (d, draw) in draws.iter().enumerate() {
        if draw.is_empty() {
            return Err(format!("draw {d} is empty: it must list the support rows"));
        }
        let mut seen = vec![false; rows];
        for &row in draw {
            match seen.get_mut(row) {
                None => {
                    let message = format!(
                        "draw {d} lists row {row}, but the group has {}, counted from 0",
                        count(rows, "row")
                    );
                    return Err(message);
                }
                Some(true) => return Err(format!("draw {d} lists row {row} twice")),
                Some(seen) => *seen = true,
            }
        }
    }
    Ok(())
}

/// The nearest whole number to a fifth, at least 1.
fn fifth(n: usize) -> usize {
    ((n + 2) / 5).max(1)
}

fn sorted(mut v: Vec<usize>) -> Vec<usize> {
    v.sort_unstable();
    v
}

/// Fisher–Yates on splitmix64 (Steele, Lea, Flood 2014): the same order for the same seed on every machine, and no
/// tie to the random numbers of training, so that changing those never changes who is judged.
fn shuffled(mut v: Vec<usize>, seed: u64) -> Vec<usize> {
    let mut state = seed;
    for i in (1..v.len()).rev() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // The high half of a 128-bit product: uniform in 0..=i up to one part in 2⁶⁴ / i.
        let j = ((u128::from(z) * (i as u128 + 1)) >> 64) as usize;
        v.swap(i, j);
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_are_permutations_and_spread() {
        let mut first = [0; 4];
        for seed in 0..4000 {
            let order = shuffled((0..4).collect(), seed);
            assert_eq!(sorted(order.clone()), [0, 1, 2, 3]);
            first[order[0]] += 1;
        }
        // Binomial(4000, 1/4): five standard deviations are 137.
        assert!(first.iter().all(|n| (863..1137).contains(n)), "{first:?}");
    }

    #[test]
    fn fifths() {
        assert_eq!([1, 2, 3, 7, 8, 40].map(fifth), [1, 1, 1, 1, 2, 8]);
    }
}
