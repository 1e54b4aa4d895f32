//! A whole run in a folder: set up from its configuration, trained in stages, chosen on validation tasks, judged on unseen ones.
//!
//! The only room that knows all the others.
//!
//! ```
//! use hyperloom::{Config, Device, Experiment, Result, RunStatus, Silent};
//!
//! fn main() -> Result<()> {
//!     let mut config = Config::default(); // the sine family
//!     (config.train.steps, config.train.pooled_steps, config.eval.tasks) = (20, 10, 10);
//!     # (config.model.encoder, config.model.trunk, config.adapt.steps) = (vec![8], vec![8], vec![0, 1]);
//!     let folder = std::env::temp_dir().join(format!("hyperloom-doc-{}", std::process::id()));
//!     let mut run = Experiment::open(&config, &Device::Cpu, &folder, false)?;
//!     if let RunStatus::Finished(report) = run.run(&mut Silent)? {
//!         println!("{:?} on unseen tasks", report.held_out.map(|h| h.chosen));
//!     }
//!     assert!(folder.join("report.json").is_file());
//!     # std::fs::remove_dir_all(&folder).map_err(hyperloom::Error::io("remove", &folder))?;
//!     Ok(())
//! }
//! ```

mod base;
mod choose;
mod compress;
pub mod config;
pub mod continual;
pub mod drawings;
pub mod explain;
pub mod field_files;
pub mod files;
pub mod forecasts;
pub mod inspect;
pub mod instruments;
mod judge;
mod observer;
pub mod picture_files;
pub mod pictures;
pub mod policies;
mod report;
pub mod run_folder;
pub mod search;
pub mod setup;
mod single;
pub mod source;
mod stages;
pub mod streams;
pub mod sweep;
pub mod texts;
mod transfer;
pub mod translations;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::adapt::Member;
use crate::error::{Error, Result};
use crate::meta::model::{Choice, Model};
use crate::meta::outer::{Learner, training_fits};
use crate::net::own_layers;
use crate::report::events::EventFile;
use crate::report::metrics::MetricsWriter;
use crate::run::Device;
use base::base_weights;
pub use compress::{CompressOptions, Compressed, Measured};
use config::{Config, Method};
pub use observer::{Observer, Progress, RunStatus, Silent};
pub use report::{Baselines, Difference, HeldOut, PointsAhead, Report, Validation};
use run_folder::{Position, RunFolder};
use setup::Setup;
pub use single::{CurvePoint, Direct, TestReport, Translations};
use source::Source;
pub use stages::{settings, starting_trainer};
use transfer::transfer;

/// A run in a folder.
pub struct Experiment<'a> {
    config: Config,
    setup: Setup,
    device: &'a Device,
    folder: RunFolder,
    position: Position,
    model: Model,
    state: Vec<f32>,
    frozen: Vec<f32>,
    /// The validation curve of a source that is one task.
    curve: Vec<CurvePoint>,
    /// The step of the hypernetwork's training that it pauses at, before its end.
    pause: Option<u64>,
    /// Whether there is to be an event file.
    events: bool,
    started: Instant,
    before: u64,
}

impl std::fmt::Debug for Experiment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Experiment")
            .field("folder", &self.folder)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<'a> Experiment<'a> {
    /// Starts a run in a new folder, or with `resume` goes on in an existing one (afresh where it has no
    /// checkpoint yet), on the source of tasks that the configuration names.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that make no sense or a folder that exists, those of reading
    /// data, and [`Error::Memory`].
    pub fn open(config: &Config, device: &'a Device, path: &Path, resume: bool) -> Result<Experiment<'a>> {
        Experiment::start(None, config, device, path, resume)
    }

    /// The same on a source of tasks that a program brings.
    ///
    /// # Errors
    /// As for [`Experiment::open`].
    pub fn on(
        source: Arc<dyn Source>,
        config: &Config,
        device: &'a Device,
        path: &Path,
        resume: bool,
    ) -> Result<Experiment<'a>> {
        Experiment::start(Some(source), config, device, path, resume)
    }

    fn start(
        source: Option<Arc<dyn Source>>,
        config: &Config,
        device: &'a Device,
        path: &Path,
        resume: bool,
    ) -> Result<Experiment<'a>> {
        let mut config = config.clone();
        let folder = if resume { RunFolder::open(path)? } else { RunFolder::fresh(path)? };
        let folder = folder.with_own(&own_layers(config.model.net.as_deref().unwrap_or_default()));
        let saved = if resume && folder.has_checkpoint() { Some(folder.load()?) } else { None };
        if let Some(s) = &saved {
            if config.adapt.method == Method::Auto {
                config = config.under(s.config.adapt.method)?;
            }
            same_settings(&folder, &config, &s.config)?;
            // The checkpoint has only the names of a program's own layers.
            let net = config.model.net.take();
            config = s.config.clone();
            config.model.net = net;
        }
        config.validate()?;
        let setup = match source {
            Some(source) => Setup::on(source, &config)?,
            None => Setup::load(&config)?,
        };
        config = setup.config().clone();
        for w in setup.source().warnings() {
            log::warn!("{w}");
        }
        setup.check_size()?;
        let model = Model {
            spec: setup.hyper(),
            likelihood: setup.source().likelihood(),
            adaptation: setup.meta().adaptation,
            fine_tuning: setup.fine_tuning(),
            members: vec![Member::default(); setup.source().members()],
            choice: Choice::default(),
            stored: Default::default(),
            ready: Default::default(),
        };
        let (position, model, state, frozen, curve) = match saved {
            Some(s) => {
                let fits = s.model.spec == model.spec
                    && s.model.adaptation == model.adaptation
                    && s.model.fine_tuning == model.fine_tuning
                    && s.model.members.len() == model.members.len()
                    && s.model.likelihood == model.likelihood
                    && s.format.agrees(&setup.source().format());
                if !fits {
                    return Err(Error::checkpoint(
                        folder.path(),
                        "the checkpoint's model is not the one that its configuration and data describe; has the data file changed?",
                    ));
                }
                (s.position, s.model, s.state, s.frozen, s.curve)
            }
            None => (Position::default(), model, vec![], vec![], vec![]),
        };
        // What does not fit is refused before a folder is made or weights are drawn.
        if !position.trained {
            if let (Some(from), true) = (&config.train.from, state.is_empty()) {
                let meta = setup.meta();
                transfer(from, 0, &meta, &mut vec![0.0; meta.layout().len()])?;
            }
            if let (Some(path), true) = (&config.model.base, state.is_empty()) {
                base_weights(path, position.member, &model.spec.target, &setup.source().format())?;
            }
            let family = setup.source().family(position.member);
            let (pooled, hyper) =
                (Learner::Pooled(model.spec.target.clone()), Learner::Hyper(setup.meta().into()));
            for (learner, hyper) in [(pooled, false), (hyper, true)] {
                let settings = settings(&config, position.member, hyper);
                let caps = device.caps(family.window(settings.tasks));
                training_fits(family.as_ref(), &learner, &settings, caps)?;
            }
        }
        folder.ensure()?;
        folder.write("config.toml", &config.to_toml()?)?;
        Ok(Experiment {
            config,
            setup,
            device,
            folder,
            before: position.millis,
            position,
            model,
            state,
            frozen,
            curve,
            pause: None,
            events: false,
            started: Instant::now(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The resolved configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the configuration was set up to.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The model as far as it is trained.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Has [`Experiment::run`] stop at this step of the hypernetwork's training, or at the end of the window of steps that it lies in, as an observer would.
    pub fn pause_at(&mut self, step: Option<u64>) {
        self.pause = step;
    }

    /// Has [`Experiment::run`] write an event file for TensorBoard beside `metrics.csv`; a run that goes on goes on with the one that it has.
    pub fn write_events(&mut self) {
        self.events = true;
    }

    /// Trains what is left to train, then chooses and judges.
    ///
    /// # Errors
    /// [`Error::Diverged`] when training keeps giving NaN (the last good weights are in the checkpoint),
    /// and whatever a device or the file system refuses.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<RunStatus> {
        // Steps of a pooled network are not among the metrics.
        let recorded = self.position.hyper || !self.needs_pooled();
        let metrics_step = self.metrics_base() + if recorded { self.position.step } else { 0 };
        let mut metrics = MetricsWriter::resume(&self.folder.file("metrics.csv"), metrics_step)?;
        if let Some(events) = EventFile::of_run(self.folder.path(), self.events)? {
            metrics = metrics.with_events(events)?;
        }
        for stage in self.stages() {
            if !self.pass(stage, observer, &mut metrics)? {
                return Ok(RunStatus::Stopped(self.position));
            }
        }
        metrics.flush()?;
        let report = self.judge(observer)?;
        self.folder
            .write("report.json", &(serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"))?;
        Ok(RunStatus::Finished(Box::new(report)))
    }
}

/// Refuses to go on with settings that were changed since the checkpoint, which would be lost silently. Device and
/// sweep may differ: nothing that is trained depends on them.
fn same_settings(folder: &RunFolder, now: &Config, then: &Config) -> Result<()> {
    let mut now = now.clone();
    now.device.clone_from(&then.device);
    now.eval.sweep.clone_from(&then.eval.sweep);
    if now == *then {
        return Ok(());
    }
    let (now, then) = (now.to_toml()?, then.to_toml()?);
    let (a, b) = now.lines().zip(then.lines()).find(|(a, b)| a != b).unwrap_or(("more", "less"));
    Err(Error::config(
        folder.file("config.toml").display().to_string(),
        format!("says '{a}', but the checkpoint was made with '{b}': put it back, or start another run"),
    ))
}
