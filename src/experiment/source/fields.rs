//! Pictures as fields: each is a task, a function from a place to a colour that a small network learns.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::images::{check_shape, image_options, overlap};
use super::{
    Source, TEST_SEED, TaskKind, TasksPicture, VALIDATION_SEED, VALIDATION_TASKS, check_memory, settings_of,
};
use crate::data::fields::PictureFields;
use crate::data::format::Format;
use crate::data::images::{ImageOptions, ImageSet};
use crate::error::{Error, Result};
use crate::experiment::config::{AdaptConfig, Config, EvalConfig, InitScheme, ModelConfig, TrainConfig};
use crate::net::Sizes;
use crate::rng::Rng;
use crate::spec::Activation;
use crate::task::{Likelihood, Metric, Task, TaskFamily};

/// Pictures that are drawn.
const SHOWN: usize = 8;

/// Pictures to fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FieldsConfig {
    /// Pictures to train on and choose by: a folder of PNG or JPEG files at any depth, one such file, an IDX file, or files in
    /// CIFAR-10's binary layout.
    pub train: PathBuf,
    /// Pictures to be judged on (not given: a fifth of them).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Pixels of each picture that a training step looks at.
    pub points: usize,
    /// Pixels along both sides, or `[height, width]`, that all pictures are brought to (not given: all must have one size).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Sizes>,
    /// Whether pictures have three channels or one (not given: three where any has).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<bool>,
}

impl Default for FieldsConfig {
    fn default() -> FieldsConfig {
        FieldsConfig { train: PathBuf::new(), test: None, points: 256, size: None, colour: None }
    }
}

/// Pictures for each use; none has two.
#[derive(Clone, Debug)]
struct Fields {
    train: PictureFields,
    validation: PictureFields,
    test: PictureFields,
    tasks: usize,
    place: PathBuf,
}

pub(super) fn defaults(base: Config) -> Config {
    Config {
        train: TrainConfig {
            steps: 10_000,
            tasks: 32,
            learning_rate: 5e-3,
            clip: 1.0,
            pooled_steps: 200,
            ..base.train
        },
        model: ModelConfig {
            target: vec![64, 64, 64],
            activation: Activation::Sin,
            init: InitScheme::He,
            omega: 10.0,
            encoder: vec![128, 128],
            trunk: vec![128],
            hyper_activation: Activation::Silu,
            ..base.model
        },
        adapt: AdaptConfig { rate: 0.1, clip: 10.0, steps: vec![0, 1, 3, 10], ..base.adapt },
        eval: EvalConfig { shots: 100_000, query: 1, tasks: 200, sweep: vec![100, 100_000] },
        fields: Some(FieldsConfig::default()),
        ..base
    }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let Some(f) = settings_of(config, TaskKind::Fields, &config.fields, "--images")? else { return Ok(()) };
    if f.train.as_os_str().is_empty() {
        return fail("fields.train", "is missing: give --images FILE, or a folder".into());
    }
    if !(1..=1 << 20).contains(&f.points) {
        return fail(
            "fields.points",
            format!("{} is out of range: it must lie from 1 to {}", f.points, 1 << 20),
        );
    }
    image_options("fields.size", f.size, f.colour).map(|_| ())
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let f = config.fields.clone().unwrap_or_default();
    let options = image_options("fields.size", f.size, f.colour)?;
    let set = Arc::new(ImageSet::unsorted(&f.train, options)?);
    let all = numbered(&set);
    let order = Rng::new(config.seed, 0xf1e1).choose(all.len(), all.len());
    let (judged, test_set) = match &f.test {
        Some(path) if overlap(&f.train, path) => {
            return Err(Error::data(
                path,
                "",
                "is what is trained on: pictures to be judged on must be others",
            ));
        }
        Some(path) => {
            let options = ImageOptions { colour: Some(set.shape[2] == 3), ..options };
            let other = ImageSet::unsorted(path, options)?;
            check_shape("fields", path, other.shape, set.shape)?;
            (0, Some(Arc::new(other)))
        }
        None => (all.len() / 5, None),
    };
    let chosen = (all.len() / 10).clamp(1, VALIDATION_TASKS);
    if all.len() < judged + chosen + 1 || (f.test.is_none() && judged == 0) {
        let message = format!(
            "holds {} pictures: 7 at least are needed, to train, to choose and to judge (or 2, and others by --test-images)",
            all.len()
        );
        return Err(Error::data(&f.train, "", message));
    }
    let pick = |range: std::ops::Range<usize>| order[range].iter().map(|i| all[*i]).collect::<Vec<_>>();
    let points = f.points.min(set.shape[0] * set.shape[1]);
    let fields =
        |set: &Arc<ImageSet>, among| PictureFields { set: set.clone(), among, points, seed: config.seed };
    let test = match &test_set {
        Some(other) => {
            let all = numbered(other);
            let order = Rng::new(config.seed, 0xf1e2).choose(all.len(), all.len());
            fields(other, order.iter().map(|i| all[*i]).collect())
        }
        None => fields(&set, pick(0..judged)),
    };
    let found = Fields {
        validation: fields(&set, pick(judged..judged + chosen)),
        train: fields(&set, pick(judged + chosen..all.len())),
        test,
        tasks: config.eval.tasks.max(1),
        place: f.test.as_ref().unwrap_or(&f.train).clone(),
    };
    Ok(Arc::new(found))
}

/// Class and number of each picture.
fn numbered(set: &ImageSet) -> Vec<(usize, usize)> {
    set.images.iter().enumerate().flat_map(|(class, of)| (0..of.len()).map(move |k| (class, k))).collect()
}

impl Source for Fields {
    fn settle(&self, config: &mut Config) {
        // There are no more pixels.
        let ([h, w, _], e) = (self.test.set.shape, &mut config.eval);
        e.shots = e.shots.min(h * w);
        e.sweep.iter_mut().for_each(|n| *n = (*n).min(h * w));
        e.sweep.dedup();
    }

    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        Arc::new(self.train.clone())
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        self.validation.held_out(VALIDATION_TASKS, usize::MAX, VALIDATION_SEED)
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        self.test.held_out(self.tasks, shots, TEST_SEED)
    }

    fn known(&self) -> Vec<Task> {
        self.train
            .held_out(VALIDATION_TASKS, usize::MAX, VALIDATION_SEED)
            .into_iter()
            .chain(self.validation(0))
            .collect()
    }

    fn likelihood(&self) -> Likelihood {
        // Channels are -1 to 1, and pictures are judged from 0 to 1.
        Likelihood { metric: Metric::Psnr, unit: 0.5, ..Likelihood::values(self.train.set.shape[2]) }
    }

    fn format(&self) -> Format {
        Format::Fields { shape: self.train.set.shape }
    }

    fn check_held_out(&self, shots: usize) -> Result<()> {
        let [h, w, _] = self.train.set.shape;
        check_memory(self.tasks, h * w + shots.min(h * w), shots, &self.train.shape())
    }

    fn place(&self) -> String {
        format!(" of {}", self.place.display())
    }

    fn picture(&self) -> TasksPicture {
        let tasks = self.test.held_out(SHOWN, usize::MAX, TEST_SEED);
        TasksPicture::Pictures { tasks, shape: self.test.set.shape }
    }

    fn picture_shape(&self) -> Option<[usize; 3]> {
        Some(self.test.set.shape)
    }
}
