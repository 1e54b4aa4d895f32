//! Training cut at "gradients ready": several trainers share a batch, each with tasks of its own, and whoever runs them adds up
//! their gradients between the two halves of a step. How the gradients travel (threads, MPI, sockets) is no matter of this
//! library.

use std::ops::Range;

use super::outer::{Learner, OuterSettings, Share, StepRecord, in_parts, stage};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::{KEEP, lower};
use crate::run::{Device, Session, Store};
use crate::task::TaskFamily;

/// What the tasks of a shard contribute to a step. The shares of all shards of a batch add up to what the batch gives.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GradientShare {
    /// To the gradient by the parameters that are trained, `[P]`.
    pub gradient: Vec<f32>,
    /// To the objective before the step.
    pub loss: f64,
    /// To the share of query rows whose class was right, of classes.
    pub accuracy: Option<f64>,
}

impl GradientShare {
    /// Adds the share of another shard. Sums in f32 depend on their order in the last bits: trainers that are to stay alike
    /// must all be given the same sum.
    ///
    /// # Panics
    /// Where the two are not gradients by as many parameters.
    pub fn add(&mut self, other: &GradientShare) {
        assert_eq!(self.gradient.len(), other.gradient.len(), "gradients by the same parameters are added");
        self.gradient.iter_mut().zip(&other.gradient).for_each(|(sum, g)| *sum += g);
        self.loss += other.loss;
        self.accuracy = self.accuracy.zip(other.accuracy).map(|(a, b)| a + b);
    }
}

/// One of several trainers that share a batch.
///
/// It trains the tasks of these numbers in a batch of [`OuterSettings::tasks`]. They are the tasks that a [`Trainer`] of the
/// whole batch would train under these numbers: what a task gets depends on the seed, the step and its number alone. Every
/// trainer holds all parameters and takes the same step.
///
/// ```
/// use hyperloom::Device;
/// use hyperloom::data::sine::Sine;
/// use hyperloom::hyper::HyperSpec;
/// use hyperloom::meta::objective::MetaSpec;
/// use hyperloom::meta::outer::{Learner, OuterSettings};
/// use hyperloom::meta::shard::ShardTrainer;
/// use hyperloom::net::Net;
/// use hyperloom::optim::Schedule;
/// use hyperloom::rng::Rng;
/// use hyperloom::spec::Activation::Tanh;
///
/// let family = Sine { shots: 10, min_shots: 10, query: 10, seed: 0 };
/// let spec = MetaSpec::from(HyperSpec::shared(Net::mlp(&[1, 16, 1], Tanh)));
/// let params = spec.hyper.target.layout().init(&mut Rng::new(0, 0));
/// let learner = Learner::Hyper(Box::new(spec));
/// // Eight tasks a step: the first five here, the others in another process, perhaps.
/// let settings = OuterSettings::new(8, Schedule::new(1e-2, 100));
/// let shard = |tasks| ShardTrainer::new(&Device::Cpu, &family, learner.clone(), settings, tasks, &params);
/// let (mut here, mut there) = (shard(0..5)?, shard(5..8)?);
/// for _ in 0..3 {
///     let mut sum = here.gradient()?;
///     sum.add(&there.gradient()?);
///     assert_eq!(here.update(&sum)?.grad_norm, there.update(&sum)?.grad_norm);
/// }
/// assert_eq!(here.params()?, there.params()?);
/// # Ok::<(), hyperloom::Error>(())
/// ```
///
/// [`Trainer`]: super::outer::Trainer
pub struct ShardTrainer<'f> {
    family: &'f dyn TaskFamily,
    learner: Learner,
    settings: OuterSettings,
    tasks: Range<usize>,
    /// `learner`, the trainer's state, and `gradient`.
    store: Store,
    halves: [Session; 2],
    /// Parameters that are not trained.
    frozen: Vec<f32>,
    step: u64,
    refused: u64,
}

impl std::fmt::Debug for ShardTrainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardTrainer")
            .field("learner", &self.learner)
            .field("tasks", &self.tasks)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl<'f> ShardTrainer<'f> {
    /// Plans and allocates a run on the tasks of these numbers that starts from `params` (flat, as [`Learner::layout`]).
    ///
    /// # Errors
    /// [`Error::Shape`] for tasks that are not in the batch, and for an objective that is no sum over tasks;
    /// [`Error::Memory`] with numbers where the plans do not fit the device.
    pub fn new(
        device: &Device,
        family: &'f dyn TaskFamily,
        learner: Learner,
        settings: OuterSettings,
        tasks: Range<usize>,
        params: &[f32],
    ) -> Result<ShardTrainer<'f>> {
        let all = 0..settings.tasks;
        if tasks.is_empty() || tasks.end > all.end {
            return Err(Error::Shape(format!("tasks {tasks:?} are no part of a batch of {}", all.end)));
        }
        if learner.couples_tasks() && tasks != all {
            return Err(Error::Shape(
                "an objective that holds the weights of different tasks apart (`diversity`) is no sum over tasks: it needs \
                 the whole batch in one trainer"
                    .into(),
            ));
        }
        let caps = device.caps(1);
        let most = if learner.couples_tasks() { 1 } else { tasks.len() };
        let (gradient, _) =
            in_parts(most, caps, |parts| gradient_graph(family, &learner, &settings, tasks.clone(), parts))?;
        let update = lower(&update_graph(&learner, &settings), caps)?;
        let store = device.store();
        let mut halves = [store.prepare(gradient)?, store.prepare(update)?];
        family.upload(&mut halves[0])?;
        let (state, frozen) = learner.start(settings.optimiser.rows(), params);
        let mut trainer = ShardTrainer {
            family,
            learner,
            settings,
            tasks,
            store,
            halves,
            frozen: vec![],
            step: 0,
            refused: 0,
        };
        trainer.restore(&state, &frozen, 0)?;
        Ok(trainer)
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Numbers of its tasks.
    pub fn tasks(&self) -> Range<usize> {
        self.tasks.clone()
    }

    /// What is trained.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// Parameters that are trained and their optimiser moments, `[rows, P]`.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn state(&mut self) -> Result<Vec<f32>> {
        self.store.read("learner")
    }

    /// Present parameters, flat.
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    pub fn params(&mut self) -> Result<Vec<f32>> {
        let state = self.state()?;
        Ok(self.learner.joined(self.settings.optimiser.rows(), &state, &self.frozen))
    }

    /// Goes on from a stored state after `step` steps, with the parameters that are not trained.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are more numbers or fewer.
    pub fn restore(&mut self, state: &[f32], frozen: &[f32], step: u64) -> Result<()> {
        self.store.write("learner", state)?;
        if !frozen.is_empty() {
            self.halves[0].write("frozen", frozen)?;
        }
        (self.frozen, self.step) = (frozen.to_vec(), step);
        Ok(())
    }

    /// The first half of a step: the share of its tasks. Nothing changes; asked again, it says the same.
    ///
    /// # Errors
    /// [`Error::Shape`] after the last step of the schedule; [`Error::Device`] where the device fails.
    pub fn gradient(&mut self) -> Result<GradientShare> {
        if self.step >= self.settings.schedule.steps {
            return Err(Error::Shape(format!("all {} steps of the schedule are done", self.step)));
        }
        let session = &mut self.halves[0];
        let about = (self.family, &self.learner, &self.settings);
        stage(session, 0, self.step, about, self.tasks.clone())?;
        session.run(1)?;
        let accuracy = match session.has_output("accuracy") {
            true => Some(f64::from(session.read("accuracy")?[0])),
            false => None,
        };
        Ok(GradientShare {
            gradient: self.store.read("gradient")?,
            loss: f64::from(session.read("loss")?[0]),
            accuracy,
        })
    }

    /// The second half: the optimiser's step by the gradient of the whole batch, the sum of all shares.
    ///
    /// # Errors
    /// [`Error::Shape`] where the gradient is none by these parameters; [`Error::Diverged`] when many steps in a row gave a
    /// loss or gradient that is not finite (the state is then still the last good one).
    pub fn update(&mut self, sum: &GradientShare) -> Result<StepRecord> {
        let rate = self.settings.schedule.rate(self.step);
        let update = &mut self.halves[1];
        self.store.write("gradient", &sum.gradient)?;
        update.set_step(0, "control", &self.settings.optimiser.control(self.step, rate))?;
        update.run(1)?;
        let grad_norm = f64::from(update.read("grad_norm")?[0]);
        let record = StepRecord {
            step: self.step,
            loss: sum.loss,
            grad_norm,
            rate,
            accuracy: sum.accuracy.unwrap_or(f64::NAN),
        };
        self.step += 1;
        record.judge(&mut self.refused)?;
        Ok(record)
    }
}

/// The first half of a training step, for the tasks of these numbers in a batch of `settings.tasks`, in `parts` parts: their
/// share of the gradient, `gradient [P]`, of the `loss` and, of classes, of the `accuracy`. The trainer's state is `learner`,
/// and only read. It and the gradient may lie in a store.
pub fn gradient_graph(
    family: &dyn TaskFamily,
    learner: &Learner,
    settings: &OuterSettings,
    tasks: Range<usize>,
    parts: usize,
) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    g.keep(KEEP);
    let key = g.step_u32("key", &[2]);
    let state = g.data("learner", &[settings.optimiser.rows(), learner.trained()]);
    let share = Share::of(g, (family, learner, settings), tasks, parts, (state, key));
    g.output("gradient", share.gradient);
    g.output("loss", share.loss);
    if let Some(right) = share.accuracy {
        g.output("accuracy", right);
    }
    g.stored("learner");
    g.stored("gradient");
    graph
}

/// The second half of a training step: the optimiser's, by the `gradient [P]` of the whole batch. `grad_norm` is its norm
/// before clipping.
pub fn update_graph(learner: &Learner, settings: &OuterSettings) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let control = g.step("control", &[3]);
    let p = learner.trained();
    let (state, gradient) = (g.state("learner", &[settings.optimiser.rows(), p]), g.data("gradient", &[p]));
    let norm = settings.optimiser.step(g, state, gradient, control, settings.clip);
    g.output("grad_norm", norm);
    g.stored("learner");
    g.stored("gradient");
    graph
}
