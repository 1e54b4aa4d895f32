//! Pictures sorted into classes: a task is a few classes that were not seen before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Source, TEST_SEED, TaskKind, TasksPicture, VALIDATION_SEED, VALIDATION_TASKS, check_memory, settings_of,
};
use crate::data::format::Format;
use crate::data::images::{ImageOptions, ImageSet, is_test_records};
use crate::data::ways::Ways;
use crate::error::{Error, Result};
use crate::experiment::config::{AdaptConfig, Config, EvalConfig, ModelConfig, TrainConfig, WeightSource};
use crate::net::Sizes;
use crate::rng::Rng;
use crate::task::{Likelihood, Task, TaskFamily};

/// Pictures sorted into classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ImagesConfig {
    /// Pictures to train on and choose by: an IDX file, a folder of PNG or JPEG files with a folder for each class, or a file in
    /// CIFAR-10's binary layout.
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
    /// Classes of a task; `eval.shots` and `eval.query` count pictures of each.
    pub ways: usize,
    /// Whether a picture turned by a quarter counts as another class, in training.
    pub rotations: bool,
    /// Whether pictures are shifted a little at random, in training.
    pub shifts: bool,
    /// Whether pictures are mirrored at random, in training: not for letters.
    pub flips: bool,
    /// Pixels along both sides, or `[height, width]`, that all pictures are brought to (not given: all must have one size).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Sizes>,
    /// Whether pictures have three channels or one (not given: three where any has).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<bool>,
}

impl ImagesConfig {
    fn options(&self) -> Result<ImageOptions> {
        image_options("images.size", self.size, self.colour)
    }
}

/// How pictures are read by settings, the size called `key`.
///
/// # Errors
/// [`Error::Config`] for sizes beyond any use.
pub(super) fn image_options(key: &str, size: Option<Sizes>, colour: Option<bool>) -> Result<ImageOptions> {
    let size = size.map(|size| match size {
        Sizes::Both(n) => [n, n],
        Sizes::Each(both) => both,
    });
    match size.filter(|s| s.iter().any(|n| !(1..=1024).contains(n))) {
        Some(size) => {
            Err(Error::config(key, format!("{size:?} is out of range: sides must lie from 1 to 1024")))
        }
        None => Ok(ImageOptions { size, colour }),
    }
}

/// Refuses pictures to be judged on of another shape than those to train on; `task` names the settings.
pub(super) fn check_shape(task: &str, path: &Path, found: [usize; 3], needed: [usize; 3]) -> Result<()> {
    if found == needed {
        return Ok(());
    }
    let message = format!(
        "holds pictures of height, width and channels {found:?}, and those to train on have {needed:?}: {task}.size and {task}.colour \
         bring all to one shape"
    );
    Err(Error::data(path, "", message))
}

impl Default for ImagesConfig {
    fn default() -> ImagesConfig {
        ImagesConfig {
            train: PathBuf::new(),
            train_labels: None,
            test: None,
            test_labels: None,
            ways: 5,
            rotations: true,
            shifts: true,
            flips: false,
            size: None,
            colour: None,
        }
    }
}

/// Classes of pictures for each use; no class has two.
#[derive(Clone, Debug)]
struct Pictures {
    train: Ways,
    validation: Ways,
    test: Ways,
    /// Held-out tasks.
    tasks: usize,
    /// Where the pictures to be judged on are.
    place: PathBuf,
}

pub(super) fn defaults(base: Config) -> Config {
    Config {
        train: TrainConfig { steps: 10_000, tasks: 16, clip: 1.0, pooled_steps: 1, ..base.train },
        model: ModelConfig {
            weights: WeightSource::Shared,
            target: vec![256, 128, 64],
            encoder: vec![128, 64],
            ..base.model
        },
        adapt: AdaptConfig { rate: 0.1, steps: vec![0, 1, 5, 20], ..base.adapt },
        eval: EvalConfig { shots: 1, query: 15, tasks: 600, sweep: vec![1, 5] },
        images: Some(ImagesConfig::default()),
        ..base
    }
}

pub(super) fn validate(config: &Config) -> Result<()> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    let Some(i) = settings_of(config, TaskKind::Images, &config.images, "--images")? else { return Ok(()) };
    if i.train.as_os_str().is_empty() {
        return fail("images.train", "is missing: give --images FILE, or a folder".into());
    }
    if i.test.is_none() && i.test_labels.is_some() {
        return fail("images.test_labels", "go with images.test: give --test-images".into());
    }
    i.options()?;
    if !(2..=1000).contains(&i.ways) {
        return fail("images.ways", format!("{} is out of range: it must lie from 2 to 1000", i.ways));
    }
    Ok(())
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn Source>> {
    let i = config.images.clone().unwrap_or_default();
    Ok(Arc::new(pictures(config, &i)?))
}

impl Source for Pictures {
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
            .held_out(VALIDATION_TASKS / 2, self.train.shots, VALIDATION_SEED)
            .into_iter()
            .chain(self.validation(0))
            .collect()
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::classes(self.train.ways)
    }

    fn format(&self) -> Format {
        Format::Pictures {
            shape: self.train.set.shape,
            ways: self.train.ways,
            classes: vec![],
            scales: vec![],
        }
    }

    fn check_held_out(&self, shots: usize) -> Result<()> {
        let more = Ways { shots, ..self.test.clone() };
        more.check("the tasks that are judged on")?;
        let rows = self.test.ways * (shots + self.test.query);
        check_memory(self.tasks, rows, shots, &self.train.shape())
    }

    fn place(&self) -> String {
        format!(" of {}, {} ways", self.place.display(), self.train.ways)
    }

    fn picture(&self) -> TasksPicture {
        TasksPicture::None
    }
}

/// Whether `test` is what is trained on, or lies in its folder. Of a folder in CIFAR-10's layout, files called `test…` are not trained on.
pub(super) fn overlap(train: &Path, test: &Path) -> bool {
    let (Ok(train), Ok(test)) = (train.canonicalize(), test.canonicalize()) else { return false };
    train == test || (train.is_dir() && test.starts_with(&train) && !is_test_records(&test))
}

/// Files of pictures, as settings name them.
pub(super) struct Files<'c> {
    /// The table of settings.
    pub(super) task: &'static str,
    pub(super) train: &'c Path,
    pub(super) train_labels: Option<&'c Path>,
    pub(super) test: Option<&'c Path>,
    pub(super) test_labels: Option<&'c Path>,
    pub(super) options: ImageOptions,
}

/// Classes for each use; no class has two.
pub(super) struct Parted {
    /// Pictures to train on and choose by.
    pub(super) set: Arc<ImageSet>,
    /// Pictures to be judged on, which may be the same.
    pub(super) test_set: Arc<ImageSet>,
    pub(super) train: Vec<usize>,
    pub(super) validation: Vec<usize>,
    pub(super) test: Vec<usize>,
}

impl Files<'_> {
    /// Reads the pictures, and parts their classes: a tenth to choose by, and where no other file is given a fifth to be judged on, each
    /// `least` at least.
    pub(super) fn parted(&self, seed: u64, least: usize) -> Result<Parted> {
        let set = Arc::new(ImageSet::read(self.train, self.train_labels, self.options)?);
        let n = set.classes.len();
        let order = Rng::new(seed, 0xc1a5).choose(n, n);
        let (judged, test_set) = match self.test {
            Some(path) => {
                let other = ImageSet::read(path, self.test_labels, self.options)?;
                check_shape(self.task, path, other.shape, set.shape)?;
                // A folder's classes have names of their own; labels of IDX files count from 0 in each file.
                let named = path.is_dir() && self.train.is_dir();
                let both = set.classes.iter().find(|c| named && other.classes.contains(c));
                if let Some(class) = both {
                    let message = format!(
                        "has the class '{class}', which is one of those to train on: classes to be judged on must be others"
                    );
                    return Err(Error::data(path, "", message));
                }
                if overlap(self.train, path) {
                    return Err(Error::data(
                        path,
                        "",
                        "is what is trained on: classes to be judged on must be others",
                    ));
                }
                (0, Arc::new(other))
            }
            None => ((n / 5).max(least).min(n), set.clone()),
        };
        let chosen = (n / 10).max(least).min(n - judged);
        let (test, rest) = order.split_at(judged);
        let (validation, train) = rest.split_at(chosen);
        let test = match self.test {
            Some(_) => (0..test_set.classes.len()).collect(),
            None => test.to_vec(),
        };
        Ok(Parted { set, test_set, train: train.to_vec(), validation: validation.to_vec(), test })
    }
}

fn pictures(config: &Config, i: &ImagesConfig) -> Result<Pictures> {
    let files = Files {
        task: "images",
        train: &i.train,
        train_labels: i.train_labels.as_deref(),
        test: i.test.as_deref(),
        test_labels: i.test_labels.as_deref(),
        options: i.options()?,
    };
    let parted = files.parted(config.seed, i.ways)?;
    let ways = |set: &Arc<ImageSet>, classes: &[usize]| Ways {
        set: set.clone(),
        classes: classes.to_vec(),
        ways: i.ways,
        shots: config.eval.shots,
        query: config.eval.query,
        rotations: i.rotations,
        shifts: i.shifts,
        flips: i.flips,
        seed: config.seed,
    };
    let found = Pictures {
        train: ways(&parted.set, &parted.train),
        validation: ways(&parted.set, &parted.validation),
        test: ways(&parted.test_set, &parted.test),
        tasks: config.eval.tasks.max(1),
        place: i.test.as_ref().unwrap_or(&i.train).clone(),
    };
    found.train.check("training")?;
    found.validation.check("choosing")?;
    found.test.check("the tasks that are judged on")?;
    Ok(found)
}
