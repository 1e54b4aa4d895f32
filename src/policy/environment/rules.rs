//! Rules that need no learning, to hold learned policies against: of bandits and of decision processes with unknown tables.

use crate::rng::Rng;

/// Random numbers of rules.
const RULES: u64 = 0x6e1e5;
/// How much of the confidence bound of UCB1 counts, tuned for episodes of about 100 pulls (Auer et al. 2002 have 1).
const BOUND: f64 = 0.2;
/// Levels that indices are told apart by.
const LEVELS: usize = 500;
/// Pulls of an episode that indices are worked out for at most: the work grows with their square.
const INDEXED: usize = 500;

/// A number from a gamma distribution with a shape of 1 or more (Marsaglia and Tsang 2000).
fn gamma(rng: &mut Rng, shape: f64) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - rng.uniform();
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// Gittins indices of arms that paid `won` times and did not `lost` times, up to `pulls` of both, with a flat prior and a discount of 1 − 1/pulls (Gittins
/// 1979), by whether it is better to stop for a known pay; levels between 0 and 1.
#[derive(Debug)]
struct Gittins {
    pulls: usize,
    index: Vec<f32>,
}

impl Gittins {
    fn new(pulls: usize) -> Gittins {
        let discount = 1.0 - 1.0 / pulls.max(2) as f64;
        // Beyond a further half what is pulled next changes a mean, and an index, by less than levels do.
        let depth = pulls + pulls / 2;
        let mut index = vec![1.0f32; (pulls + 1) * (pulls + 1)];
        let mut open = vec![true; index.len()];
        let mut worth = vec![0.0f64; depth + 2];
        for level in 0..LEVELS {
            let known = level as f64 / LEVELS as f64;
            let stop = known / (1.0 - discount);
            // worth[won] of arms pulled `n` times, from the deepest on.
            for (won, worth) in worth.iter_mut().enumerate().take(depth + 1) {
                let chance = (won as f64 + 1.0) / (depth as f64 + 2.0);
                *worth = known.max(chance) / (1.0 - discount);
            }
            for n in (0..depth).rev() {
                for won in 0..=n {
                    let chance = (won as f64 + 1.0) / (n as f64 + 2.0);
                    let pull =
                        chance * (1.0 + discount * worth[won + 1]) + (1.0 - chance) * discount * worth[won];
                    if n <= pulls && pull <= stop {
                        let at = won * (pulls + 1) + (n - won);
                        if std::mem::take(&mut open[at]) {
                            index[at] = known as f32;
                        }
                    }
                    worth[won] = pull.max(stop);
                }
            }
        }
        Gittins { pulls, index }
    }

    fn of(&self, won: u32, lost: u32) -> f64 {
        f64::from(self.index[won as usize * (self.pulls + 1) + lost as usize])
    }
}

/// The arm with the highest score; of equal ones any.
fn best(rng: &mut Rng, scores: &[f64]) -> usize {
    let most = scores.iter().fold(f64::MIN, |m, s| m.max(*s));
    let all: Vec<usize> = (0..scores.len()).filter(|i| scores[*i] == most).collect();
    all[rng.below(all.len())]
}

/// Mean rewards, over contexts (the chances of arms), of an episode of so many pulls.
pub(super) fn bandit(contexts: &[&[f32]], pulls: usize, seed: u64) -> Vec<(&'static str, f64)> {
    let gittins = (pulls <= INDEXED).then(|| Gittins::new(pulls));
    type Score<'s> = &'s dyn Fn(&mut Rng, f64, u32, u32) -> f64;
    let mean = |won: u32, lost: u32| (f64::from(won) + 1.0) / f64::from(won + lost + 2);
    let scores: [(&str, Score<'_>); 4] = [
        ("gittins", &|_, _, won, lost| gittins.as_ref().map_or(0.0, |g| g.of(won, lost))),
        ("thompson", &|rng, _, won, lost| {
            let (a, b) = (gamma(rng, f64::from(won) + 1.0), gamma(rng, f64::from(lost) + 1.0));
            a / (a + b)
        }),
        ("ucb", &|_, t, won, lost| match won + lost {
            0 => 2.0,
            n => f64::from(won) / f64::from(n) + BOUND * (2.0 * t.ln() / f64::from(n)).sqrt(),
        }),
        ("greedy", &|_, _, won, lost| mean(won, lost)),
    ];
    let one = |score: Score<'_>, context: &[f32], rng: &mut Rng| -> f64 {
        let mut counts = vec![[0u32; 2]; context.len()];
        for t in 0..pulls {
            let now: Vec<f64> =
                counts.iter().map(|[won, lost]| score(rng, (t + 1) as f64, *won, *lost)).collect();
            let arm = best(rng, &now);
            let paid = rng.uniform() < f64::from(context[arm]);
            counts[arm][usize::from(!paid)] += 1;
        }
        counts.iter().map(|[won, _]| f64::from(*won)).sum()
    };
    scores
        .iter()
        .filter(|(name, _)| *name != "gittins" || gittins.is_some())
        .map(|(name, score)| {
            let each = contexts
                .iter()
                .enumerate()
                .map(|(i, context)| one(score, context, &mut Rng::new(seed, RULES ^ (i as u64) << 20)));
            (*name, each.sum::<f64>() / contexts.len().max(1) as f64)
        })
        .collect()
}

/// A decision process's table: `[pairs, states]` chances (or weights of them), and mean rewards of pairs.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) states: usize,
    pub(super) chances: Vec<f64>,
    pub(super) rewards: Vec<f64>,
}

impl Table {
    /// Of the numbers of a context.
    pub(super) fn of(context: &[f32], states: usize, pairs: usize) -> Table {
        let (weights, rewards) = context.split_at(pairs * states);
        let chances = weights.chunks(states).flat_map(shares).collect();
        Table { states, chances, rewards: rewards.iter().map(|r| f64::from(*r)).collect() }
    }

    fn actions(&self) -> usize {
        self.rewards.len() / self.states
    }

    /// What states are worth that have so many steps left, and the best action of each, from the first step to the last: by dynamic programming.
    pub(super) fn plan(&self, steps: usize) -> (Vec<f64>, Vec<Vec<usize>>) {
        let mut worth = vec![0.0f64; self.states];
        let mut plans = vec![];
        for _ in 0..steps {
            let of = |pair: usize| {
                let row = &self.chances[pair * self.states..][..self.states];
                self.rewards[pair] + row.iter().zip(&worth).map(|(p, v)| p * v).sum::<f64>()
            };
            let chosen: Vec<(usize, f64)> = (0..self.states)
                .map(|s| {
                    let all = (0..self.actions()).map(|a| (a, of(s * self.actions() + a)));
                    all.fold((0, f64::MIN), |best, next| if next.1 > best.1 { next } else { best })
                })
                .collect();
            worth = chosen.iter().map(|(_, v)| *v).collect();
            plans.push(chosen.into_iter().map(|(a, _)| a).collect());
        }
        plans.reverse();
        (worth, plans)
    }
}

/// Each weight as its share of their sum.
fn shares(weights: &[f32]) -> Vec<f64> {
    let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    weights.iter().map(|w| f64::from(*w) / sum).collect()
}

/// Mean rewards of a trial of episodes of these steps by posterior sampling (PSRL; Strens 2000, Osband et al. 2013), whose prior is what tables are drawn from:
/// each episode follows the best plan of a table drawn from what is known.
pub(super) fn posterior_sampling(tables: &[Table], trial: &[usize], seed: u64) -> f64 {
    let one = |table: &Table, rng: &mut Rng| -> f64 {
        let (states, actions) = (table.states, table.actions());
        let mut counts = vec![1.0f64; table.chances.len()];
        let mut seen = vec![[0.0f64; 2]; table.rewards.len()];
        let mut gained = 0.0;
        for &steps in trial {
            let mut drawn = table.clone();
            for (row, counts) in drawn.chances.chunks_mut(states).zip(counts.chunks(states)) {
                row.iter_mut().zip(counts).for_each(|(p, n)| *p = gamma(rng, *n));
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|p| *p /= sum);
            }
            for (mean, [n, sum]) in drawn.rewards.iter_mut().zip(&seen) {
                *mean = (1.0 + sum) / (1.0 + n) + rng.normal() / (1.0 + n).sqrt();
            }
            let (_, plan) = drawn.plan(steps);
            let mut state = 0;
            for choice in &plan {
                let pair = state * actions + choice[state];
                let reward = table.rewards[pair] + rng.normal();
                gained += reward;
                seen[pair] = [seen[pair][0] + 1.0, seen[pair][1] + reward];
                let mut left = rng.uniform();
                let row = &table.chances[pair * states..][..states];
                let past = |p: &f64| {
                    left -= p;
                    left < 0.0
                };
                state = row.iter().position(past).unwrap_or(states - 1);
                counts[pair * states + state] += 1.0;
            }
        }
        gained
    };
    let each = tables.iter().enumerate();
    let each = each.map(|(i, table)| one(table, &mut Rng::new(seed, RULES ^ (i as u64) << 20)));
    each.sum::<f64>() / tables.len().max(1) as f64
}
