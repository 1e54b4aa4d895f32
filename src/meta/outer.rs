//! The outer loop: one training step is one plan, replayed over windows of steps.

use std::ops::Range;

use super::model::layout_to_freeze;
use super::objective::{MetaSpec, Objective, pooled};
use crate::error::{Error, Result};
use crate::graph::op::Dist;
use crate::graph::{Graph, Value};
use crate::net::{Net, ParamLayout, Weights};
use crate::optim::{Optimiser, Schedule};
use crate::plan::{Caps, KEEP, Plan, lower};
use crate::run::{Device, Session};
use crate::task::TaskFamily;

/// What is trained.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Learner {
    /// A hypernetwork: the weights of every task are written from its condition.
    Hyper(Box<MetaSpec>),
    /// One plain network for all tasks, on support and query rows alike: what there would be without
    /// hypernetworks.
    Pooled(Net),
}

impl Learner {
    /// What its flat parameters hold.
    pub fn layout(&self) -> ParamLayout {
        match self {
            Learner::Hyper(h) => h.layout(),
            Learner::Pooled(d) => d.layout(),
        }
    }

    /// Its parameters in segments, each with whether it is frozen.
    fn segments(&self) -> Vec<(Range<usize>, bool)> {
        match self {
            Learner::Hyper(h) => layout_to_freeze(h.layout(), &h.hyper, &h.freeze).segments(&h.freeze),
            Learner::Pooled(d) => d.layout().segments(&[]),
        }
    }

    /// Number of parameters that are trained.
    pub fn trained(&self) -> usize {
        self.segments().iter().filter(|s| !s.1).map(|s| s.0.len()).sum()
    }

    /// How far weights of different tasks lie apart is not a sum over tasks.
    pub(super) fn couples_tasks(&self) -> bool {
        matches!(self, Learner::Hyper(spec) if spec.couples_tasks())
    }

    /// The trainer's state that a run starts with, `[rows, P]`, and the parameters that are frozen.
    pub(super) fn start(&self, rows: usize, params: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut state, frozen) = self.split(params);
        state.resize(rows * state.len(), 0.0);
        (state, frozen)
    }

    /// All parameters, flat, from a trainer's state of `rows` rows and those that are frozen.
    pub(super) fn joined(&self, rows: usize, state: &[f32], frozen: &[f32]) -> Vec<f32> {
        let (mut trained, mut frozen) = (&state[..state.len() / rows], frozen);
        let mut all = Vec::with_capacity(trained.len() + frozen.len());
        for (range, is_frozen) in self.segments() {
            let from = if is_frozen { &mut frozen } else { &mut trained };
            let (now, rest) = from.split_at(range.len());
            all.extend(now);
            *from = rest;
        }
        all
    }

    /// Parameters that are trained, and those that are frozen.
    fn split(&self, params: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut trained, mut frozen) = (vec![], vec![]);
        for (range, is_frozen) in self.segments() {
            if is_frozen { &mut frozen } else { &mut trained }.extend(&params[range]);
        }
        (trained, frozen)
    }
}

/// Settings of the outer loop.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct OuterSettings {
    /// Tasks a step.
    pub tasks: usize,
    /// Learning rate of each step.
    pub schedule: Schedule,
    /// Optimiser.
    pub optimiser: Optimiser,
    /// Largest global norm of the gradient.
    pub clip: f64,
    /// Seed of everything drawn while training.
    pub seed: u64,
}

impl OuterSettings {
    /// So many tasks a step by this schedule, with the default optimiser, gradients clipped to a norm of 10, and seed 0.
    #[must_use]
    pub fn new(tasks: usize, schedule: Schedule) -> OuterSettings {
        OuterSettings { tasks, schedule, optimiser: Optimiser::default(), clip: 10.0, seed: 0 }
    }
}

/// What a step left in the ring of records.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepRecord {
    /// Number of the step, from 0.
    pub step: u64,
    /// Objective before the step.
    pub loss: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of the step.
    pub rate: f64,
    /// Share of query rows whose class was right; NaN where values are predicted.
    pub accuracy: f64,
}

impl StepRecord {
    /// Whether the step was taken: a loss or gradient that is not finite is refused.
    pub fn accepted(&self) -> bool {
        self.loss.is_finite() && self.grad_norm.is_finite()
    }

    /// Counts steps in a row that were refused.
    ///
    /// # Errors
    /// [`Error::Diverged`] after too many.
    pub(super) fn judge(&self, refused: &mut u64) -> Result<()> {
        *refused = if self.accepted() { 0 } else { *refused + 1 };
        if !self.accepted() {
            log::warn!(
                "step {}: loss {} and gradient norm {}: the step is refused, the weights stay",
                self.step,
                self.loss,
                self.grad_norm
            );
        }
        if *refused >= MAX_REFUSED_STEPS {
            return Err(Error::Diverged(format!(
                "{MAX_REFUSED_STEPS} steps in a row up to step {} gave a loss or gradient that is not finite; \
                 the last good weights are kept. A lower learning rate or a stronger clip would help",
                self.step
            )));
        }
        Ok(())
    }
}

/// Steps in a row that may be refused before training gives up.
const MAX_REFUSED_STEPS: u64 = 25;

/// A training run in progress.
pub struct Trainer<'f> {
    family: &'f dyn TaskFamily,
    learner: Learner,
    settings: OuterSettings,
    session: Session,
    /// Parameters that are not trained.
    frozen: Vec<f32>,
    step: u64,
    refused: u64,
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("learner", &self.learner)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

/// Parts that a batch is split into at most: a plan grows with each, and what has not shrunk enough by then (the
/// episodes themselves, which are not split) would not shrink enough later.
const MAX_PARTS: usize = 256;

impl<'f> Trainer<'f> {
    /// Plans and allocates a run that starts from `params` (flat, as [`Learner::layout`]).
    ///
    /// # Errors
    /// [`Error::Memory`] with numbers where the plan does not fit the device.
    pub fn new(
        device: &Device,
        family: &'f dyn TaskFamily,
        learner: Learner,
        settings: OuterSettings,
        params: &[f32],
    ) -> Result<Trainer<'f>> {
        let window = family.window(settings.tasks);
        Trainer::lowered_for(device.caps(window), device, family, learner, settings, params)
    }

    /// The same by a plan that is lowered for `caps`, of another device perhaps.
    fn lowered_for(
        caps: Caps,
        device: &Device,
        family: &'f dyn TaskFamily,
        learner: Learner,
        settings: OuterSettings,
        params: &[f32],
    ) -> Result<Trainer<'f>> {
        let plan = training_plan(family, &learner, &settings, caps)?;
        let mut session = device.prepare(plan)?;
        family.upload(&mut session)?;
        let (state, frozen) = learner.start(settings.optimiser.rows(), params);
        session.write("learner", &state)?;
        if !frozen.is_empty() {
            session.write("frozen", &frozen)?;
        }
        Ok(Trainer { family, learner, settings, session, frozen, step: 0, refused: 0 })
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The plan of one step.
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }

    /// What is trained.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// Parameters that are trained and their optimiser moments, `[rows, P]`.
    pub fn state(&mut self) -> Result<Vec<f32>> {
        self.session.read("learner")
    }

    /// Present parameters, flat.
    pub fn params(&mut self) -> Result<Vec<f32>> {
        let state = self.state()?;
        Ok(self.learner.joined(self.settings.optimiser.rows(), &state, &self.frozen))
    }

    /// Parameters that are not trained.
    pub fn frozen(&self) -> &[f32] {
        &self.frozen
    }

    /// Goes on from a stored state after `step` steps, with the parameters that are not trained.
    pub fn restore(&mut self, state: &[f32], frozen: &[f32], step: u64) -> Result<()> {
        self.session.write("learner", state)?;
        if !frozen.is_empty() {
            self.session.write("frozen", frozen)?;
        }
        self.frozen = frozen.to_vec();
        self.step = step;
        Ok(())
    }

    /// Stages the step inputs of up to `most` further steps (a window at most); their number.
    fn stage(&mut self, most: u64) -> Result<usize> {
        let left = self.settings.schedule.steps.saturating_sub(self.step);
        let window = self.family.window(self.settings.tasks);
        let n = most.min(left).min(window as u64) as usize;
        for row in 0..n {
            let step = self.step + row as u64;
            let rate = self.settings.schedule.rate(step);
            self.session.set_step(row, "control", &self.settings.optimiser.control(step, rate))?;
            stage(
                &mut self.session,
                row,
                step,
                (self.family, &self.learner, &self.settings),
                0..self.settings.tasks,
            )?;
        }
        Ok(n)
    }

    /// Runs `steps` steps from the present state launch by launch on the CPU and on `gpu`, both by the GPU's plan and
    /// from the same buffers ([`crate::check::lockstep`]). The trainer's own state stays as it is.
    ///
    /// # Errors
    /// Those of the GPU, and [`Error::Memory`] where its plan does not fit.
    #[cfg(feature = "gpu")]
    pub fn lockstep(
        &mut self,
        gpu: &crate::run::gpu::Gpu,
        steps: usize,
    ) -> Result<crate::check::lockstep::LockstepReport> {
        let (state, params) = (self.state()?, self.params()?);
        let caps = gpu.caps(self.family.window(self.settings.tasks));
        let (learner, settings) = (self.learner.clone(), self.settings);
        let mut twin = Trainer::lowered_for(caps, &Device::Cpu, self.family, learner, settings, &params)?;
        twin.restore(&state, &self.frozen, self.step)?;
        let n = twin.stage(steps as u64)?;
        let plan = twin.session.plan().clone();
        match twin.session.cpu_runner(n)? {
            Some(cpu) => crate::check::lockstep::lockstep(gpu, &plan, cpu, n),
            None => Err(Error::Device("lockstep starts from the CPU path's buffers".into())),
        }
    }

    /// Seconds of each launch of a step: the median over `steps` further steps (a window at most), which are taken.
    ///
    /// # Errors
    /// Those of [`Session::time_launches`].
    pub fn time_launches(&mut self, steps: u64) -> Result<Option<Vec<f64>>> {
        let n = self.stage(steps)?;
        self.step += n as u64;
        self.session.time_launches(n)
    }

    /// Runs up to `most` further steps (a window at most) and returns their records.
    ///
    /// # Errors
    /// [`Error::Diverged`] when many steps in a row gave a loss or gradient that is not finite; the state
    /// is then still the last good one.
    pub fn advance(&mut self, most: u64) -> Result<Vec<StepRecord>> {
        let n = self.stage(most)?;
        let records = self.session.run(n)?;
        let records: Vec<StepRecord> = records
            .iter()
            .enumerate()
            .map(|(i, r)| {
                let step = self.step + i as u64;
                StepRecord {
                    step,
                    loss: r[0] as f64,
                    grad_norm: r[1] as f64,
                    rate: self.settings.schedule.rate(step),
                    accuracy: r.get(2).map_or(f64::NAN, |a| *a as f64),
                }
            })
            .collect();
        self.step += n as u64;
        records.iter().try_for_each(|r| r.judge(&mut self.refused))?;
        Ok(records)
    }
}

/// Stages what the tasks of these numbers read in step `step`, in row `row` of the window: all but the optimiser's control.
pub(super) fn stage(
    session: &mut Session,
    row: usize,
    step: u64,
    (family, learner, settings): (&dyn TaskFamily, &Learner, &OuterSettings),
    tasks: Range<usize>,
) -> Result<()> {
    session.set_step_u32(row, "key", &[fold(settings.seed), step as u32])?;
    if let Learner::Hyper(spec) = learner
        && spec.reads_step_weights()
    {
        let done = step as f64 / settings.schedule.steps as f64;
        session.set_step(row, "step_weights", &spec.step_weights(done))?;
    }
    family.stage(session, row, step, tasks)
}

/// A 64-bit seed in the 32 bits of a plan's key.
fn fold(seed: u64) -> u32 {
    (seed ^ (seed >> 32)) as u32
}

/// One training step as a plan. Where the whole batch does not fit, it is split over tasks into 2, 4, …
/// parts that run one after another in the same slots, their gradients added.
///
/// # Errors
/// [`Error::Memory`] with the numbers of the smallest part where even that does not fit.
pub fn training_plan(
    family: &dyn TaskFamily,
    learner: &Learner,
    settings: &OuterSettings,
    caps: Caps,
) -> Result<Plan> {
    let (plan, parts) = split_plan(family, learner, settings, caps)?;
    if parts > 1 {
        log::info!("the batch of {} tasks is split into {parts} parts to fit the device", settings.tasks);
    }
    Ok(plan)
}

/// Whether there is a [`training_plan`].
///
/// # Errors
/// Those of [`training_plan`].
pub(crate) fn training_fits(
    family: &dyn TaskFamily,
    learner: &Learner,
    settings: &OuterSettings,
    caps: Caps,
) -> Result<()> {
    split_plan(family, learner, settings, caps).map(|_| ())
}

/// A training plan and the number of its parts.
fn split_plan(
    family: &dyn TaskFamily,
    learner: &Learner,
    settings: &OuterSettings,
    caps: Caps,
) -> Result<(Plan, usize)> {
    let most = if learner.couples_tasks() { 1 } else { settings.tasks };
    in_parts(most, caps, |parts| training_graph(family, learner, settings, parts))
}

/// The plan of a graph in as few parts as fit, and their number, which is at most `most`.
pub(super) fn in_parts(most: usize, caps: Caps, graph: impl Fn(usize) -> Graph) -> Result<(Plan, usize)> {
    let most = most.min(MAX_PARTS);
    let mut parts = 1;
    loop {
        match lower(&graph(parts), caps) {
            Err(Error::Memory(_)) if parts < most => parts = (2 * parts).min(most),
            done => return done.map(|plan| (plan, parts)),
        }
    }
}

/// One training step as a graph: episodes, objective, gradient, optimiser; the batch in `parts` parts.
pub fn training_graph(
    family: &dyn TaskFamily,
    learner: &Learner,
    settings: &OuterSettings,
    parts: usize,
) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    g.keep(KEEP);
    let key = g.step_u32("key", &[2]);
    let control = g.step("control", &[3]);
    let state = g.state("learner", &[settings.optimiser.rows(), learner.trained()]);
    let found = Share::of(g, (family, learner, settings), 0..settings.tasks, parts, (state, key));
    let norm = settings.optimiser.step(g, state, found.gradient, control, settings.clip);
    g.record("loss", found.loss);
    g.record("grad_norm", norm);
    if let Some(right) = found.accuracy {
        g.record("accuracy", right);
    }
    graph
}

/// Stream of the noise that networks are drawn by.
const NOISE: u32 = 0x6e01;

/// What some tasks of a batch contribute to a step.
pub(super) struct Share {
    /// To the gradient, `[P]`.
    pub(super) gradient: Value,
    /// To what is recorded.
    pub(super) loss: Value,
    pub(super) accuracy: Option<Value>,
}

impl Share {
    /// The share of the tasks of these numbers, in `parts` parts, by the trainer's state and the step's key.
    pub(super) fn of(
        g: &mut Graph,
        (family, learner, settings): (&dyn TaskFamily, &Learner, &OuterSettings),
        tasks: Range<usize>,
        parts: usize,
        (state, key): (Value, Value),
    ) -> Share {
        let layout = learner.layout();
        let trained = g.slice(state, 0, 0, 1);
        let trained = g.reshape(trained, &[learner.trained()]);
        let flat = all_params(g, learner, trained);
        let params = Weights { flat, layout: &layout };
        let n = tasks.len();
        let first = tasks.start;
        let mut episode = family.episodes(g, tasks, key);
        if let Learner::Hyper(spec) = learner
            && let Some(noise) = spec.hyper.condition.noise
        {
            episode.noise =
                Some(g.random_from(first, Dist::Normal, key, NOISE, &[n, noise.draws, noise.width]));
        }
        let kind = family.shape().loss;
        let step_weights = match learner {
            Learner::Hyper(spec) if spec.reads_step_weights() => Some(g.step("step_weights", &[spec.steps])),
            _ => None,
        };
        // A part's backward pass stands before the next part's forward pass: its slots are free again by then.
        let (mut total, mut grads, mut right) = (None, None, None);
        let add = |g: &mut Graph, sum: Option<Value>, v: Value| Some(sum.map_or(v, |s| g.add(s, v)));
        for part in 0..parts {
            if part > 0 {
                g.next_phase();
            }
            let (start, end) = (part * n / parts, (part + 1) * n / parts);
            let e = episode.part(g, start, end - start);
            let Objective { minimise, shown, accuracy } = match learner {
                Learner::Hyper(spec) => spec.objective(g, params, &e, kind, step_weights),
                Learner::Pooled(spec) => {
                    let value = pooled(g, spec, params, &e, kind);
                    Objective { minimise: value, shown: value, accuracy: None }
                }
            };
            let share = (end - start) as f64 / settings.tasks as f64;
            let (minimise, shown) = (g.scale(minimise, share), g.scale(shown, share));
            let grad = g.grad(minimise, &[trained])[0];
            total = add(g, total, shown);
            if let Some(accuracy) = accuracy {
                let accuracy = g.scale(accuracy, share);
                right = add(g, right, accuracy);
            }
            grads = add(g, grads, grad);
        }
        let (Some(loss), Some(gradient)) = (total, grads) else { panic!("a batch has a part at least") };
        Share { gradient, loss, accuracy: right }
    }
}

/// All parameters, from those that are trained and those that are frozen.
fn all_params(g: &mut Graph, learner: &Learner, trained: Value) -> Value {
    let segments = learner.segments();
    let most = learner.layout().len() - g.shape(trained)[0];
    if most == 0 {
        return trained;
    }
    let frozen = g.data("frozen", &[most]);
    let mut at = [0, 0];
    let parts: Vec<Value> = segments
        .into_iter()
        .map(|(range, is_frozen)| {
            let from = if is_frozen { frozen } else { trained };
            let start = at[usize::from(is_frozen)];
            at[usize::from(is_frozen)] += range.len();
            g.slice(from, 0, start, range.len())
        })
        .collect();
    g.concat(&parts, 0)
}
