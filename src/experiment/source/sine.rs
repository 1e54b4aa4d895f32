//! The sine family.

use std::sync::Arc;

use super::{Source, TEST_SEED, VALIDATION_SEED, VALIDATION_TASKS, check_memory, min_shots};
use crate::data::format::Format;
use crate::data::sine::{QUERY_POINTS, SCALE, Sine};
use crate::error::Result;
use crate::experiment::config::Config;
use crate::task::{Likelihood, Task, TaskFamily};

/// Waves to train on, with so many held-out ones.
#[derive(Clone, Copy, Debug)]
struct Waves {
    family: Sine,
    tasks: usize,
}

pub(super) fn defaults(base: Config) -> Config {
    base
}

pub(super) fn validate(_: &Config) -> Result<()> {
    Ok(())
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let e = &config.eval;
    let family = Sine { shots: e.shots, min_shots: min_shots(config), query: e.query, seed: config.seed };
    Ok(Arc::new(Waves { family, tasks: e.tasks.max(1) }))
}

impl Source for Waves {
    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        Arc::new(self.family)
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        Sine::held_out(self.family.seed ^ VALIDATION_SEED, VALIDATION_TASKS, self.family.shots)
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        Sine::held_out(self.family.seed ^ TEST_SEED, self.tasks, shots)
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::values(1)
    }

    fn format(&self) -> Format {
        Format::plain(&["x"], &["y"])
    }

    fn encoder_scale(&self) -> f64 {
        1.0 / SCALE
    }

    fn check_held_out(&self, shots: usize) -> Result<()> {
        check_memory(self.tasks, shots + QUERY_POINTS, shots, &self.family.shape())
    }
}
