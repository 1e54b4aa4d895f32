//! Runs of policies, judged in the same worlds and put side by side: how good each is, how far seeds are apart, and how fast they learned.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::config::{PolicyConfig, PolicySource};
use super::judge::Judged;
use super::report::PolicyTest;
use super::trained::Trained;
use super::{Row, TEST, rows_of};
use crate::error::{Error, Result};
use crate::report::plot::{Curve, curves};
use crate::run::Device;

/// In which worlds policies are judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyTestOptions {
    /// Numbers or ranges of contexts, as `length=0.5..2` (not given: those that each was trained in).
    pub context: String,
    /// How many contexts (not given: `test.tasks` of the first run).
    pub tasks: Option<usize>,
    /// Episodes in each (not given: `test.episodes` of the first run).
    pub episodes: Option<usize>,
    /// Seed of contexts and of all that is drawn in them.
    pub seed: u64,
}

/// A mean, and where it lies by 95 %, as far as what it was taken from says it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// From where to where, by Student's t distribution; of a single number none.
    pub interval: Option<[f64; 2]>,
}

/// What a run gets.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PolicyRunTest {
    /// Its folder.
    pub run: String,
    /// The seed that it was trained by.
    pub seed: u64,
    /// How it was learned.
    pub learner: String,
    /// Where its weights come from.
    pub weights: String,
    /// Mean return of the likeliest actions, its interval over contexts, or over episodes where there is one context.
    pub returns: Mean,
    /// All that was found.
    pub test: PolicyTest,
}

/// Runs that differ by their seeds alone; each counts as one number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PolicyGroup {
    /// Their folders.
    pub runs: Vec<String>,
    /// Mean return of the likeliest actions.
    pub returns: Mean,
    /// Mean return of drawn ones.
    pub drawn: Mean,
    /// Share of episodes that ended by themselves.
    pub terminated: Mean,
    /// Mean return of each episode of a trial, of policies with a memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_episode: Vec<Mean>,
    /// Mean return of the likeliest actions before adaptation, after its first step, and so on, of policies that adapt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_update: Vec<Mean>,
}

/// Runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComparedPolicies {
    /// The environment of all of them.
    pub environment: String,
    /// Whether what is counted are trials of several episodes.
    pub trials: bool,
    /// How many contexts they were judged in.
    pub contexts: usize,
    /// Episodes, or trials, in all.
    pub episodes: usize,
    /// Mean return of actions at random.
    pub random: f64,
    /// Mean return of who knows the contexts and acts best, where that is worked out.
    pub oracle: Option<f64>,
    /// Each of them.
    pub runs: Vec<PolicyRunTest>,
    /// Those that differ by their seeds alone together.
    pub groups: Vec<PolicyGroup>,
}

/// 97.5 % points of Student's t distribution with 1, 2, … degrees of freedom.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

impl Mean {
    /// Of numbers, at least one.
    pub fn of(numbers: &[f64]) -> Mean {
        let n = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / n;
        let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
        let interval = (numbers.len() > 1).then(|| {
            // Between the last number of the table and the normal distribution's 1.960 it falls as 1 / degrees.
            let degrees = numbers.len() - 1;
            let t = T.get(degrees - 1).copied().unwrap_or(1.960 + 2.46 / degrees as f64);
            let off = t * (squares / (n - 1.0) / n).sqrt();
            [mean - off, mean + off]
        });
        Mean { mean, interval }
    }

    /// Of numbers that can't lie elsewhere.
    fn within(self, [low, high]: [f64; 2]) -> Mean {
        Mean { interval: self.interval.map(|ends| ends.map(|x| x.clamp(low, high))), ..self }
    }

    /// Of many numbers of which mean and standard deviation are known.
    fn spread(mean: f64, deviation: f64, n: usize) -> Mean {
        let off = 1.960 * deviation / (n.max(2) as f64 - 1.0).sqrt();
        Mean { mean, interval: (n > 1).then_some([mean - off, mean + off]) }
    }
}

/// Judges runs of one environment, all in the same contexts as far as they were trained in the same; where the tasks of a run have networks of their
/// own, all are judged in its contexts.
///
/// # Errors
/// Runs of different environments, trials or contexts, and one that stands there twice; what is no context, and what the device refuses.
pub fn compare(device: &Device, runs: &[PathBuf], options: &PolicyTestOptions) -> Result<ComparedPolicies> {
    let all: Vec<Trained> = runs.iter().map(|run| Trained::read(run)).collect::<Result<_>>()?;
    let folder = |run: &Path| std::fs::canonicalize(run).unwrap_or_else(|_| run.to_path_buf());
    let twice = (1..runs.len()).find(|i| runs[..*i].iter().any(|run| folder(run) == folder(&runs[*i])));
    if let Some(i) = twice {
        return Err(Error::checkpoint(&runs[i], "stands there twice: each run counts once"));
    }
    let first = &all.first().ok_or_else(|| Error::config("RUN", "there is no run to judge"))?.config;
    let episodes = options.episodes.unwrap_or(first.test.episodes);
    let own = all.iter().find(|t| t.config.weights == PolicySource::Own);
    let own = own.map(|t| t.config.worlds([t.config.tasks, episodes], t.config.seed)).transpose()?;
    let size = [own.as_ref().map_or(options.tasks.unwrap_or(first.test.tasks), |own| own.tasks), episodes];
    if let Some(own) = own.as_ref().filter(|own| options.tasks.is_some_and(|tasks| tasks != own.tasks)) {
        let message =
            format!("networks of the tasks' own are judged in their own {}: leave it out", own.tasks);
        return Err(Error::config("--tasks", message));
    }
    crate::experiment::config::within(&[
        ("--tasks", size[0], 1, 65_536),
        ("--episodes", size[1], 1, 65_536),
    ])?;
    let mut found = vec![];
    // The contexts that all of them meet.
    let mut met: Option<Vec<f32>> = None;
    for (run, trained) in runs.iter().zip(&all) {
        let config = &trained.config;
        // A trial is of whoever remembers; whoever does not has one episode.
        let what = |c: &PolicyConfig| {
            let episodes = if c.trial.is_empty() { "one".to_string() } else { c.trial.clone() };
            [("environment", c.environment.clone()), ("trial", episodes), ("horizon", c.horizon.to_string())]
        };
        for ((name, own), (_, other)) in what(config).into_iter().zip(what(first)) {
            if own != other {
                let message = format!(
                    "has {name} {own}, and {} {other}: runs of one can be compared",
                    runs[0].display()
                );
                return Err(Error::checkpoint(run, message));
            }
        }
        let given = trained.given(&options.context)?;
        let mut worlds = config.test_worlds(&given, size, options.seed ^ TEST)?;
        if let Some(own) = &own {
            if config.weights != PolicySource::Own {
                if trained.knows(own)? {
                    let message = "was trained in contexts that it would be judged in, those of the tasks' own networks: a run with another seed was not";
                    return Err(Error::checkpoint(run, message));
                }
                worlds.take_contexts(own);
            } else if worlds.contexts() != own.contexts() {
                let message = "has networks for other contexts than the first such run: its contexts and seed are to be the same";
                return Err(Error::checkpoint(run, message));
            }
        }
        if *met.get_or_insert_with(|| worlds.contexts()) != worlds.contexts() {
            let message = format!(
                "would be judged in other contexts than {}, as it was trained in others: --context is to say all that differs, as length=0.5..1",
                runs[0].display()
            );
            return Err(Error::checkpoint(run, message));
        }
        let policy = config.policy(&worlds);
        let params = trained.params(&policy)?;
        let judged = Judged { config, device, policy: &policy, params: &params };
        let (test, by_task) = judged.test(&worlds, options.seed ^ TEST)?;
        // Of one context episodes are what there are many of.
        let returns = match worlds.differ() {
            true => Mean::of(&by_task),
            false => Mean::spread(test.return_mean, test.return_std, test.episodes),
        };
        found.push(PolicyRunTest {
            run: run.display().to_string(),
            seed: config.seed,
            learner: config.learner.name().into(),
            weights: config.weights.name().into(),
            returns,
            test,
        });
    }
    let test = &found[0].test;
    Ok(ComparedPolicies {
        environment: first.environment.clone(),
        trials: !first.trial.is_empty(),
        contexts: test.contexts,
        episodes: test.episodes,
        random: test.random,
        oracle: test.oracle,
        groups: alike(&all).into_iter().map(|group| together(&found, &group)).collect(),
        runs: found,
    })
}

/// Groups of runs whose settings differ by the seed alone, and where they were computed.
fn alike(all: &[Trained]) -> Vec<Vec<usize>> {
    let plain = |t: &Trained| PolicyConfig { seed: 0, device: String::new(), ..t.config.clone() };
    let mut groups: Vec<(PolicyConfig, Vec<usize>)> = vec![];
    for (i, trained) in all.iter().enumerate() {
        let own = plain(trained);
        match groups.iter_mut().find(|(config, _)| *config == own) {
            Some((_, group)) => group.push(i),
            None => groups.push((own, vec![i])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn together(found: &[PolicyRunTest], group: &[usize]) -> PolicyGroup {
    let of = |number: &dyn Fn(&PolicyTest) -> f64| {
        Mean::of(&group.iter().map(|i| number(&found[*i].test)).collect::<Vec<_>>())
    };
    let one = &found[group[0]].test;
    PolicyGroup {
        runs: group.iter().map(|i| found[*i].run.clone()).collect(),
        returns: of(&|t| t.return_mean),
        drawn: of(&|t| t.drawn),
        terminated: of(&|t| t.terminated).within([0.0, 1.0]),
        by_episode: (0..one.by_episode.len()).map(|k| of(&|t| t.by_episode[k])).collect(),
        by_update: (0..one.by_update.len()).map(|k| of(&|t| t.by_update[k][0])).collect(),
    }
}

/// Draws how returns rose while runs were trained, by steps in all worlds and by seconds; of runs that differ by their seeds alone the mean.
///
/// # Errors
/// Runs without rows, and what can't be written.
pub fn learning_curves(runs: &[PathBuf], by_steps: &Path, by_seconds: &Path) -> Result<()> {
    let all: Vec<Trained> = runs.iter().map(|run| Trained::read(run)).collect::<Result<_>>()?;
    let name =
        |i: usize| runs[i].file_name().map_or(runs[i].display().to_string(), |n| n.to_string_lossy().into());
    let mut lines: Vec<(String, Vec<[f64; 3]>)> = vec![];
    for group in alike(&all) {
        let rows = group.iter().map(|i| rows_of(&runs[*i])).collect::<Result<Vec<_>>>()?;
        let steps = rows.iter().map(Vec::len).min().unwrap_or(0);
        let mean = |k: usize, of: &dyn Fn(&Row) -> f64| {
            rows.iter().map(|rows| of(&rows[k])).sum::<f64>() / rows.len() as f64
        };
        // Where no episode ended in one of them there is no mean.
        let points = (0..steps)
            .map(|k| {
                [
                    mean(k, &|r| r.found.frames as f64),
                    mean(k, &|r| r.seconds),
                    mean(k, &|r| r.found.return_mean),
                ]
            })
            .filter(|point| point[2].is_finite())
            .collect();
        let label = match group[..] {
            [one] => name(one),
            _ => format!("{}, mean of {} seeds", name(group[0]), group.len()),
        };
        lines.push((label, points));
    }
    for (path, column, label) in [(by_steps, 0, "steps in all worlds"), (by_seconds, 1, "seconds")] {
        let points: Vec<Vec<(f64, f64)>> =
            lines.iter().map(|(_, points)| points.iter().map(|p| (p[column], p[2])).collect()).collect();
        let drawn: Vec<Curve<'_>> =
            lines.iter().zip(&points).map(|((label, _), points)| Curve { label, points }).collect();
        curves(path, "Returns of episodes of training", label, "return", false, &drawn)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Intervals are those of textbooks, and the table goes on without a jump.
    #[test]
    fn intervals_of_means() {
        let found = Mean::of(&[1.0, 2.0, 3.0]);
        let [low, high] = found.interval.expect("there are several");
        // 2 ± 4.303 · 1 / √3
        assert!(
            (found.mean, (low + 0.484_f64).abs() < 1e-3, (high - 4.484).abs() < 1e-3) == (2.0, true, true)
        );
        assert_eq!(Mean::of(&[7.0]), Mean { mean: 7.0, interval: None });
        let many: Vec<f64> = (0..32).map(|i| f64::from(i % 2)).collect();
        let [low, high] = Mean::of(&many).interval.expect("there are several");
        let t = (high - low) / 2.0 / (0.25 * 32.0 / 31.0 / 32.0f64).sqrt();
        assert!((t - 2.040).abs() < 2e-3, "{t}");
    }
}
