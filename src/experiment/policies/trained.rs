//! A trained policy, read from its run.

use std::path::Path;

use super::config::{Learner, PolicyConfig, PolicySource};
use super::{SETTINGS, STATE};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::policy::{Policy, Varied, Worlds};

/// The settings of a run, and what was learned.
#[derive(Debug)]
pub(super) struct Trained {
    pub(super) config: PolicyConfig,
    checkpoint: Checkpoint,
}

impl Trained {
    /// Of a run, which is read alone.
    pub(super) fn read(run: &Path) -> Result<Trained> {
        let config = PolicyConfig::read(run)?;
        let file = run.join(STATE);
        if !file.is_file() {
            let message = "holds no trained policy yet: go on with hyperloom train --resume";
            return Err(Error::checkpoint(run, message));
        }
        let checkpoint = saved(&file, &config)?;
        if !run.join("report.json").is_file() {
            log::warn!("{}: training has not come to its end; this is the policy so far", run.display());
        }
        Ok(Trained { config, checkpoint })
    }

    /// The worlds that it was trained in; none where it met new ones in every iteration.
    fn trained_in(&self) -> Result<Option<Worlds>> {
        let c = &self.config;
        let fixed = !matches!(c.learner, Learner::Rl2 | Learner::Maml | Learner::Es);
        fixed.then(|| c.worlds([c.tasks, 1], c.seed)).transpose()
    }

    /// Whether it was trained in one of these contexts. Who meets new worlds in every iteration was in none, but by chance.
    pub(super) fn knows(&self, worlds: &Worlds) -> Result<bool> {
        let Some(own) = self.trained_in()? else { return Ok(false) };
        let known = |task: usize| (0..own.tasks).any(|i| own.numbers_of(i) == worlds.numbers_of(task));
        Ok(worlds.differ() && (0..worlds.tasks).any(known))
    }

    /// The context of one of the worlds that it was trained in.
    pub(super) fn context_of(&self, number: usize) -> Result<Vec<f64>> {
        let fail = |message: String| Err(Error::config("--world", message));
        let Some(own) = self.trained_in()? else {
            return fail("is for runs that were trained in the same worlds all along: this one met new ones all the time; --context says of a world what it is".into());
        };
        if number >= own.tasks {
            return fail(format!("is {number}: the run has worlds 0 to {}", own.tasks - 1));
        }
        Ok(own.numbers_of(number).iter().map(|x| f64::from(*x)).collect())
    }

    /// Its parameters.
    pub(super) fn params(&self, policy: &Policy) -> Result<Vec<f32>> {
        let networks = if self.config.weights == PolicySource::Own { self.config.tasks } else { 1 };
        Ok(self.checkpoint.f32("weights", &[networks * policy.layout().len()])?.to_vec())
    }

    /// Numbers or ranges of contexts for it, as `length=0.7` or `length=0.5..0.9`; it is said where they leave those that it was trained in.
    pub(super) fn given(&self, context: &str) -> Result<Vec<Varied>> {
        let found = crate::policy::environment(&self.config.environment, "environment")?;
        // Networks of the tasks' own know no other context than theirs.
        if !context.is_empty() && self.config.weights == PolicySource::Own {
            let message = "a run whose tasks have networks of their own says of no other context what to do in it; eval says what they get in theirs, and rollout --world N what they do there";
            return Err(Error::config("--context", message));
        }
        let trained = Worlds::varied(&*found, &self.config.context, "context")?;
        let given = Worlds::parse(&*found, context, "--context")?;
        for g in &given {
            let name = &found.context()[g.column].name;
            let trained = trained.iter().find(|v| v.column == g.column).map(|v| v.range);
            let within = |[low, high]: [f64; 2]| low <= g.range[0] && g.range[1] <= high;
            if let Some([low, high]) = trained.filter(|range| !within(*range)) {
                let is = match g.range {
                    [a, b] if a == b => format!("{a}"),
                    [a, b] => format!("{a}..{b}"),
                };
                log::warn!("{name} {is} is outside of {low}..{high}, where the policy was trained");
            }
        }
        Ok(given)
    }
}

/// What was saved of a run with these settings; where it is computed may differ.
pub(super) fn saved(path: &Path, config: &PolicyConfig) -> Result<Checkpoint> {
    let c = Checkpoint::load(path)?;
    let then =
        c.metadata.get("config").ok_or_else(|| Error::checkpoint(path, "says no config of a policy"))?;
    let then = PolicyConfig::parse(then, STATE, &[])?;
    if (PolicyConfig { device: then.device.clone(), ..config.clone() }) != then {
        return Err(Error::config(
            path.with_file_name(SETTINGS).display().to_string(),
            format!(
                "has other settings than {STATE} was made with: put back those that the run was begun with (or its own {STATE}), or start another run"
            ),
        ));
    }
    Ok(c)
}
