//! How good a policy is: whole episodes, or trials, in worlds that it was not trained in.

use super::config::{Learner, PolicyConfig};
use super::report::PolicyTest;
use crate::error::{Error, Result};
use crate::policy::{Behaviour, Policy, Setting, Worlds};
use crate::run::Device;

/// Numbers of a context, and contexts, that a report lists at most.
const LISTED: [usize; 2] = [16, 256];

/// Who is judged.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) config: &'a PolicyConfig,
    pub(super) device: &'a Device,
    pub(super) policy: &'a Policy,
    pub(super) params: &'a [f32],
}

impl Judged<'_> {
    /// What it gets in these worlds, and the mean return of the likeliest actions in each of them.
    pub(super) fn test(&self, test: &Worlds, seed: u64) -> Result<(PolicyTest, Vec<f64>)> {
        let (c, learning) = (self.config, self.config.learning());
        let setting = Setting { worlds: test, policy: self.policy, learning: &learning };
        let play = |how| setting.episodes(self.device, self.params, how, seed);
        let random = play(Behaviour::Random)?;
        let mut adapted = vec![];
        let [drawn, greedy] = match c.learner {
            Learner::Maml => {
                let mut all = setting.adapted(self.device, self.params, c.test.updates, seed)?;
                adapted.extend(all.iter().map(|[drawn, greedy]| [greedy.mean(), drawn.mean()]));
                all.pop().unwrap_or_else(|| [random.clone(), random.clone()])
            }
            _ => [play(Behaviour::Drawn)?, play(Behaviour::Greedy)?],
        };
        if greedy.returns.iter().chain(&drawn.returns).any(|r| !r.is_finite()) {
            return Err(Error::Diverged("a return of the policy is not finite: it is not judged".into()));
        }
        let by_task = greedy.by_task();
        let trial = setting.trial();
        let oracle = |task: usize| -> Option<f64> {
            trial.iter().map(|steps| test.environment.oracle(test.numbers_of(task), *steps)).sum()
        };
        let oracle: Option<f64> = (0..test.tasks).map(oracle).sum();
        let known: Vec<&[f32]> = (0..test.tasks).map(|task| test.numbers_of(task)).collect();
        let rules = match c.learner {
            Learner::Rl2 => test.environment.rules(&known, &trial, seed),
            _ => vec![],
        };
        let found = PolicyTest {
            return_mean: greedy.mean(),
            return_std: greedy.deviation(),
            episodes: greedy.returns.len(),
            length: greedy.lengths.iter().map(|l| f64::from(*l)).sum::<f64>()
                / greedy.lengths.len().max(1) as f64,
            terminated: greedy.terminated,
            drawn: drawn.mean(),
            random: random.mean(),
            oracle: oracle.map(|sum| sum / test.tasks as f64),
            rules: rules.into_iter().map(|(name, mean)| (name.to_string(), mean)).collect(),
            by_episode: if trial.len() > 1 { greedy.by_episode.clone() } else { vec![] },
            by_update: adapted,
            contexts: if test.differ() { test.tasks } else { 1 },
            tasks: contexts(test, &by_task),
        };
        Ok((found, by_task))
    }
}

/// Contexts by name, each with its mean return, where they differ.
fn contexts(worlds: &Worlds, returns: &[f64]) -> Vec<(Vec<(String, f32)>, f64)> {
    if !(1..=LISTED[0]).contains(&worlds.varied.len()) || worlds.tasks > LISTED[1] {
        return vec![];
    }
    let columns: Vec<usize> = worlds.varied.iter().map(|v| v.column).collect();
    let of = |task: usize| {
        let all = worlds.context_of(task);
        columns.iter().map(|c| (all[*c].0.to_string(), all[*c].1)).collect()
    };
    returns.iter().enumerate().map(|(task, mean)| (of(task), *mean)).collect()
}
