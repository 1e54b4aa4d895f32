//! Classes of pictures whose pixels are 0 or 1: a task is one of them, and its network writes pictures of the class from codes.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::images::{Files, image_options};
use super::{
    Source, TEST_SEED, TaskKind, TasksPicture, VALIDATION_SEED, VALIDATION_TASKS, check_memory, settings_of,
};
use crate::data::format::Format;
use crate::data::one_class::OneClass;
use crate::error::{Error, Result};
use crate::experiment::config::{AdaptConfig, Config, EvalConfig, ModelConfig, TrainConfig};
use crate::net::{Layer, Sizes, Variational};
use crate::spec::{Activation, count};
use crate::task::{Likelihood, Task, TaskFamily};

/// Classes that are drawn.
const SHOWN: usize = 6;

/// Pictures to be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DecodersConfig {
    /// Pictures to train on and choose by: an IDX file, a folder of PNG or JPEG files with a folder for each class, or a file in
    /// CIFAR-10's binary layout. A pixel is 1 from the middle level on.
    pub train: PathBuf,
    /// The IDX file of their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_labels: Option<PathBuf>,
    /// Pictures of other classes, to be judged on (not given: a fifth of the classes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The IDX file of their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<PathBuf>,
    /// Numbers of a code.
    pub code: usize,
    /// Whether pictures are turned by quarters, all of a task alike, and moved a little, in training: not for what has an upper side.
    pub moves: bool,
    /// Pixels along both sides, or `[height, width]`, that all pictures are brought to (not given: all must have one size).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Sizes>,
    /// Whether pictures have three channels or one (not given: three where any has).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<bool>,
}

impl Default for DecodersConfig {
    fn default() -> DecodersConfig {
        DecodersConfig {
            train: PathBuf::new(),
            train_labels: None,
            test: None,
            test_labels: None,
            code: 16,
            moves: true,
            size: None,
            colour: None,
        }
    }
}

/// Classes for each use; none has two.
#[derive(Clone, Debug)]
struct Decoders {
    train: OneClass,
    validation: OneClass,
    test: OneClass,
    /// Held-out tasks at most.
    tasks: usize,
    /// Where the pictures to be judged on are.
    place: PathBuf,
}

pub(super) fn defaults(base: Config) -> Config {
    Config {
        train: TrainConfig {
            steps: 5_000,
            tasks: 16,
            learning_rate: 3e-3,
            clip: 1.0,
            pooled_steps: 5_000,
            pooled_rate: 3e-3,
            ..base.train
        },
        model: ModelConfig {
            head: false,
            writes: vec!["code".into(), "decoder".into()],
            encoder: vec![512, 256],
            trunk: vec![256],
            hyper_activation: Activation::Silu,
            ..base.model
        },
        adapt: AdaptConfig { rate: 0.1, clip: 1.0, steps: vec![0, 1, 5, 20], ..base.adapt },
        eval: EvalConfig { shots: 5, query: 10, tasks: 600, sweep: vec![1, 5, 10] },
        decoders: Some(DecodersConfig::default()),
        ..base
    }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let Some(d) = settings_of(config, TaskKind::Decoders, &config.decoders, "--images")? else {
        return Ok(());
    };
    if d.train.as_os_str().is_empty() {
        return fail("decoders.train", "is missing: give --images FILE, or a folder".into());
    }
    if d.test.is_none() && d.test_labels.is_some() {
        return fail("decoders.test_labels", "go with decoders.test: give --test-images".into());
    }
    if !(1..=1024).contains(&d.code) {
        return fail("decoders.code", format!("{} is out of range: it must lie from 1 to 1024", d.code));
    }
    if config.model.head {
        return fail("model.head", "the decoder writes the pixels: model.head = false".into());
    }
    if let Some(layers) = &config.model.net {
        match &layers[..] {
            [Layer::Variational(v)] if v.code == d.code => {}
            [Layer::Variational(v)] => {
                return fail(
                    "decoders.code",
                    format!(
                        "is {}, and the layer 'variational' has a code of {}: both are the numbers of a code, and have to be the same",
                        d.code, v.code
                    ),
                );
            }
            _ => {
                return fail(
                    "model.net",
                    "is one layer here, with layers of its own: variational = CODE, row = [HEIGHT, WIDTH, CHANNELS], encoder = [...], \
                     decoder = [...]"
                        .into(),
                );
            }
        }
    }
    image_options("decoders.size", d.size, d.colour).map(|_| ())
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let d = config.decoders.clone().unwrap_or_default();
    let files = Files {
        task: "decoders",
        train: &d.train,
        train_labels: d.train_labels.as_deref(),
        test: d.test.as_deref(),
        test_labels: d.test_labels.as_deref(),
        options: image_options("decoders.size", d.size, d.colour)?,
    };
    let parted = files.parted(config.seed, 1)?;
    if let Some([Layer::Variational(v)]) = config.model.net.as_deref()
        && v.row != parted.set.shape
    {
        let message = format!(
            "the layer 'variational' has row = {:?}, and pictures have height, width and channels {:?}: decoders.size and decoders.colour \
             bring them to others",
            v.row, parted.set.shape
        );
        return Err(Error::config("model.net", message));
    }
    let of = |set: &Arc<_>, classes: Vec<usize>| OneClass {
        set: Arc::clone(set),
        classes,
        shots: config.eval.shots,
        query: config.eval.query,
        code: d.code,
        moves: d.moves,
        seed: config.seed,
    };
    let found = Decoders {
        train: of(&parted.set, parted.train),
        validation: of(&parted.set, parted.validation),
        test: of(&parted.test_set, parted.test),
        tasks: config.eval.tasks.max(1),
        place: d.test.as_ref().unwrap_or(&d.train).clone(),
    };
    found.train.check("training")?;
    found.validation.check("choosing")?;
    found.test.check("the tasks that are judged on")?;
    Ok(Arc::new(found))
}

impl Source for Decoders {
    fn settle(&self, config: &mut Config) {
        if config.model.net.is_none() {
            let layer = Variational::of_pictures(self.train.set.shape, self.train.code);
            config.model.net = Some(vec![Layer::Variational(layer)]);
        }
    }

    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        Arc::new(self.train.clone())
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        self.validation.held_out(VALIDATION_TASKS, self.train.shots, VALIDATION_SEED)
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        self.test.held_out(self.tasks, shots, TEST_SEED)
    }

    fn known(&self) -> Vec<Task> {
        self.train
            .held_out(VALIDATION_TASKS, self.train.shots, VALIDATION_SEED)
            .into_iter()
            .chain(self.validation(0))
            .collect()
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::binary(count(&self.train.set.shape))
    }

    fn format(&self) -> Format {
        Format::Decoders { shape: self.train.set.shape, code: self.train.code }
    }

    fn encoder_inputs(&self) -> Option<usize> {
        Some(count(&self.train.set.shape))
    }

    fn check_held_out(&self, shots: usize) -> Result<()> {
        let more = OneClass { shots, ..self.test.clone() };
        more.check("the tasks that are judged on")?;
        check_memory(self.tasks, shots + self.test.query, shots, &self.train.shape())
    }

    fn place(&self) -> String {
        format!(" of {}", self.place.display())
    }

    fn picture(&self) -> TasksPicture {
        let tasks = self.test.held_out(SHOWN, self.test.shots, TEST_SEED);
        TasksPicture::Drawings { tasks, shape: self.test.set.shape }
    }
}
