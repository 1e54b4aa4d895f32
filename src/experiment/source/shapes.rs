//! Signed-distance fields of random shapes.

use std::sync::Arc;

use super::{Source, TEST_SEED, TasksPicture, VALIDATION_SEED, VALIDATION_TASKS, check_memory, min_shots};
use crate::data::format::Format;
use crate::data::shapes::{SCALE, Shapes};
use crate::error::Result;
use crate::experiment::config::{AdaptConfig, Config, EvalConfig, ModelConfig, TrainConfig};
use crate::spec::Activation;
use crate::task::{Likelihood, Task, TaskFamily};

/// Query points of a held-out shape.
const FIELD_POINTS: usize = 256;
/// Shapes that are drawn, and points of each along a side.
const SHOWN: usize = 6;
const SHOWN_SIZE: usize = 64;

/// Shapes to train on, with so many held-out ones.
#[derive(Clone, Copy, Debug)]
struct Fields {
    family: Shapes,
    tasks: usize,
}

pub(super) fn defaults(base: Config) -> Config {
    Config {
        train: TrainConfig {
            steps: 5_000,
            learning_rate: 2e-3,
            final_rate_fraction: 0.01,
            clip: 1.0,
            min_shots: 16,
            ..base.train
        },
        model: ModelConfig {
            target: vec![32, 32],
            activation: Activation::Sin,
            omega: 10.0,
            encoder: vec![128, 128],
            trunk: vec![128],
            hyper_activation: Activation::Silu,
            ..base.model
        },
        adapt: AdaptConfig { rate: 0.2, clip: 1.0, steps: vec![0, 1, 10, 100, 500], ..base.adapt },
        eval: EvalConfig { shots: 64, query: 64, tasks: 200, sweep: vec![16, 32, 64] },
        ..base
    }
}

pub(super) fn validate(_: &Config) -> Result<()> {
    Ok(())
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let e = &config.eval;
    let family = Shapes { shots: e.shots, min_shots: min_shots(config), query: e.query, seed: config.seed };
    Ok(Arc::new(Fields { family, tasks: e.tasks.max(1) }))
}

impl Source for Fields {
    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        Arc::new(self.family)
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        let seed = self.family.seed ^ VALIDATION_SEED;
        Shapes::held_out(seed, VALIDATION_TASKS, self.family.shots, FIELD_POINTS)
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        Shapes::held_out(self.family.seed ^ TEST_SEED, self.tasks, shots, FIELD_POINTS)
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::values(1)
    }

    fn format(&self) -> Format {
        Format::plain(&["x", "y"], &["distance"])
    }

    fn encoder_scale(&self) -> f64 {
        SCALE
    }

    fn check_held_out(&self, shots: usize) -> Result<()> {
        check_memory(self.tasks, shots + FIELD_POINTS, shots, &self.family.shape())
    }

    fn picture(&self) -> TasksPicture {
        let field = |i| Shapes::field(self.family.seed ^ TEST_SEED, i, self.family.shots, SHOWN_SIZE);
        TasksPicture::Fields { tasks: (0..SHOWN).map(field).collect(), size: SHOWN_SIZE }
    }
}
