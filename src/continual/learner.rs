//! Learning: through the tasks, one after another, by one method.

use std::ops::Range;

use super::classifier::TaskClassifier;
use super::importance::{SIDE_BY_SIDE, squared_gradients};
use super::judge::Asking;
use super::method::{Inference, Learning, Method, Scenario};
use super::networks::Networks;
use super::outcome::Outcome;
use super::sequence::Sequence;
use super::step::{BEFORE, IMPORTANCE, LAST, PATH, PULL, STATE, WRITTEN, hyper_step, shared_step};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::net::Net;
use crate::optim::Schedule;
use crate::plan::{Plan, lower};
use crate::rng::Rng;
use crate::run::{Device, Session};
use crate::task::window_of;

/// Steps in a row that may be refused before learning gives up.
const MAX_REFUSED: u64 = 25;
/// Streams of random numbers.
const BATCH: u64 = 0xba7c;
const PAST: u64 = 0x9a57;
const STORED: u64 = 0x570e;
const LABELS: u64 = 0x1abe;

/// What the last steps found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Learned {
    /// The task that was learned.
    pub task: usize,
    /// Steps of it.
    pub step: u64,
    /// Loss on the last batch.
    pub loss: f64,
    /// Norm of its gradient.
    pub norm: f64,
    /// How far what is written for earlier tasks is from what was, squared, of a hypernetwork.
    pub apart: f64,
}

/// All that learning goes on from.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LearnerState {
    /// By names: parameters and moments, and what the method keeps.
    pub values: Vec<(String, Vec<f32>)>,
    /// The task, and its steps.
    pub task: usize,
    /// Steps of it.
    pub step: u64,
    /// How good it was on each task at first.
    pub first: Vec<f64>,
    /// How good it was on each task behind each.
    pub matrix: Vec<Vec<f64>>,
    /// Test rows whose task was found behind the last, and of how many.
    pub found: [usize; 2],
    /// Rows that the classifier of tasks saw.
    pub classified: usize,
}

impl LearnerState {
    fn value(&self, name: &str) -> Result<Vec<f32>> {
        let found = self.values.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.clone()).ok_or_else(|| Error::Shape(format!("the state has no '{name}'")))
    }
}

/// What a method keeps of earlier tasks.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Importances of weights, and these times the weights that are to be kept.
    importance: Vec<f32>,
    pull: Vec<f32>,
    /// Parameters when the present task began.
    before: Vec<f32>,
    /// Weights of the tasks up to now, one after another: what was written for them, or their own networks.
    pub(super) networks: Vec<f32>,
}

/// A learner on its way through a sequence of tasks.
pub struct Learner<'s> {
    device: Device,
    pub(super) sequence: &'s Sequence,
    pub(super) networks: Networks,
    pub(super) learning: Learning,
    pub(super) seed: u64,
    /// The present task's steps; none before the first is begun, and behind the last.
    session: Option<Session>,
    pub(super) asking: Asking,
    /// Parameters between two tasks.
    pub(super) params: Vec<f32>,
    pub(super) kept: Kept,
    pub(super) classifier: Option<TaskClassifier>,
    classified: usize,
    task: usize,
    step: u64,
    refused: u64,
    first: Vec<f64>,
    matrix: Vec<Vec<f64>>,
    found: [usize; 2],
}

impl std::fmt::Debug for Learner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learner").field("task", &self.task).field("step", &self.step).finish_non_exhaustive()
    }
}

impl<'s> Learner<'s> {
    /// A learner that knows no task.
    ///
    /// # Errors
    /// Networks and settings that do not fit, and what the device refuses.
    pub fn new(
        device: &Device,
        sequence: &'s Sequence,
        networks: Networks,
        learning: Learning,
        seed: u64,
    ) -> Result<Learner<'s>> {
        let fail = |key: &str, message: &str| Err(Error::config(key, message));
        if let Err(message) = networks.hyper.check() {
            return fail("generator", &message);
        }
        if networks.target().mixes_rows() || networks.target().reads_support() {
            return fail(
                "net",
                "a batch norm would mix what different tasks normalise by: layer_norm and group_norm look at one row",
            );
        }
        if networks.scenario == Scenario::Class && !sequence.has_classes() {
            return fail(
                "scenario",
                "class is for tasks with classes, and these predict values: task or domain",
            );
        }
        let needs = learning.method.has_own() && networks.scenario != Scenario::Task;
        if needs && !sequence.has_classes() && learning.inference == Inference::Entropy {
            return fail(
                "inference",
                "values have no probabilities to be certain of: inference = \"classifier\"",
            );
        }
        let params = networks.start(learning.method, seed);
        let asking = Asking::new(device, sequence, &networks, learning.method)?;
        let many = networks.layout(learning.method).len();
        let kept = match learning.method.weighs() {
            true => Kept { importance: vec![0.0; many], pull: vec![0.0; many], ..Kept::default() },
            false => Kept::default(),
        };
        let classifier = (needs && learning.inference == Inference::Classifier)
            .then(|| TaskClassifier::new(sequence.inputs()));
        let mut learner = Learner {
            device: device.clone(),
            sequence,
            networks,
            learning,
            seed,
            session: None,
            asking,
            params,
            kept,
            classifier,
            classified: 0,
            task: 0,
            step: 0,
            refused: 0,
            first: vec![],
            matrix: vec![],
            found: [0; 2],
        };
        learner.begin()?;
        Ok(learner)
    }

    /// What is learned.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// The tasks that it learned, and the steps of the present one.
    pub fn at(&self) -> (usize, u64) {
        (self.task, self.step)
    }

    /// Steps that are left, of all tasks.
    pub fn left(&self) -> u64 {
        let tasks = (self.sequence.len() - self.task) as u64;
        tasks * self.learning.steps - self.step
    }

    /// The plan of a step of the present task; none behind the last.
    pub fn plan(&self) -> Option<&Plan> {
        self.session.as_ref().map(Session::plan)
    }

    /// How good it was on each task behind each that it learned: the share of rows whose class was right, or the mean squared error.
    pub fn matrix(&self) -> &[Vec<f64>] {
        &self.matrix
    }

    /// Rows of a batch.
    fn rows(&self) -> usize {
        self.learning.batch * if self.learning.method == Method::Replay { 2 } else { 1 }
    }

    /// Steps between two visits of the host at most.
    fn window(&self) -> usize {
        let outputs = self.networks.net(self.learning.method).outputs();
        window_of(self.rows() * (self.sequence.inputs() + 2 * outputs))
    }

    /// Tasks that the regulariser looks at in a step.
    fn past(&self) -> usize {
        match self.learning.past {
            0 => self.task,
            most => most.min(self.task),
        }
    }

    /// Begins the present task.
    fn begin(&mut self) -> Result<()> {
        if self.task == self.sequence.len() {
            self.session = None;
            return Ok(());
        }
        let l = &self.learning;
        if l.method == Method::Separate && self.task > 0 {
            self.params = self.networks.start(l.method, self.seed ^ (self.task as u64) << 40);
        }
        let graph = self.graph();
        let mut session = self.device.prepare(lower(&graph, self.device.caps(self.window()))?)?;
        let mut state = self.params.clone();
        state.resize(l.optimiser.rows() * self.params.len(), 0.0);
        session.write(STATE, &state)?;
        self.kept.before.clone_from(&self.params);
        if l.method == Method::Si {
            session.write(PATH, &vec![0.0; self.params.len()])?;
            // The first step has none before it.
            session.write(LAST, &vec![0.0; 2 * self.params.len()])?;
        }
        self.session = Some(session);
        self.write_kept()
    }

    /// A step of the present task.
    fn graph(&self) -> Graph {
        let (n, s, l) = (&self.networks, self.sequence, &self.learning);
        match l.method {
            Method::Hypernetwork => hyper_step(n, s, l, (self.rows(), self.past())),
            _ => shared_step(n, s, l, self.rows()),
        }
    }

    /// Tells the plan what is kept.
    fn write_kept(&mut self) -> Result<()> {
        let (l, past) = (self.learning, self.past());
        let (p, tasks) = (self.networks.target().layout().len(), self.networks.tasks);
        let Some(session) = &mut self.session else { return Ok(()) };
        if l.method.weighs() {
            session.write(IMPORTANCE, &self.kept.importance)?;
            session.write(PULL, &self.kept.pull)?;
            // Of the squares of synaptic intelligence the gradient has a factor 2.
            let weight = if l.method == Method::Ewc { l.ewc } else { 2.0 * l.si };
            session.write("weight", &[weight as f32])?;
        }
        if l.method == Method::Hypernetwork && past > 0 {
            session.write("weight", &[l.beta as f32])?;
            match l.stored {
                true => {
                    let mut all = self.kept.networks.clone();
                    all.resize(tasks * p, 0.0);
                    session.write(WRITTEN, &all)?;
                }
                false => session.write(BEFORE, &self.kept.before)?,
            }
        }
        Ok(())
    }

    /// The rows of a batch: each with its task.
    fn batch(&self, step: u64) -> Vec<(usize, usize)> {
        let l = &self.learning;
        let mut rng = Rng::new(self.seed, BATCH ^ (self.task as u64) << 48 ^ step << 16);
        let mut drawn = |task: usize, among: Option<&[usize]>| {
            let n = among.map_or(self.sequence.tasks[task].train.len(), <[usize]>::len);
            let at = rng.below(n);
            (task, among.map_or(at, |a| a[at]))
        };
        match l.method {
            Method::Joint => {
                let ends: Vec<usize> = (0..=self.task)
                    .scan(0, |sum, t| {
                        *sum += self.sequence.tasks[t].train.len();
                        Some(*sum)
                    })
                    .collect();
                let all = ends[self.task];
                let place = |at: usize| {
                    let task = ends.partition_point(|end| *end <= at);
                    (task, at - if task == 0 { 0 } else { ends[task - 1] })
                };
                (0..l.batch).map(|_| place(rng.below(all))).collect()
            }
            Method::Replay => {
                let stored: Vec<Vec<usize>> = (0..self.task).map(|t| self.stored(t)).collect();
                let mut turn = Rng::new(self.seed, STORED ^ (self.task as u64) << 48 ^ step << 16);
                let of = |i: usize, turn: &mut Rng| match i < l.batch || self.task == 0 {
                    true => self.task,
                    false => turn.below(self.task),
                };
                (0..2 * l.batch)
                    .map(|i| {
                        let task = of(i, &mut turn);
                        drawn(task, stored.get(task).map(Vec::as_slice))
                    })
                    .collect()
            }
            _ => (0..l.batch).map(|_| drawn(self.task, None)).collect(),
        }
    }

    /// The rows of a task that replay stores.
    fn stored(&self, task: usize) -> Vec<usize> {
        self.sequence.tasks[task].train.drawn(self.learning.memory, self.seed, STORED ^ (task as u64) << 32)
    }

    /// Stages up to `most` further steps of the present task (a window at most); their number.
    fn stage(&mut self, most: u64) -> Result<usize> {
        let l = self.learning;
        let window = self.window();
        let many = most.min(l.steps - self.step).min(window as u64) as usize;
        let schedule = Schedule::new(l.rate, l.steps);
        for row in 0..many {
            let step = self.step + row as u64;
            let batch = self.batch(step);
            let past: Vec<u32> = match self.past() {
                n if n == self.task => (0..n as u32).collect(),
                n => {
                    let mut rng = Rng::new(self.seed, PAST ^ (self.task as u64) << 48 ^ step << 16);
                    rng.choose(self.task, n).into_iter().map(|t| t as u32).collect()
                }
            };
            let (mut x, mut y, mut mask) = (vec![], vec![], vec![]);
            for (task, at) in batch {
                self.sequence.tasks[task].train.put(at, &mut x);
                self.put_target(task, at, &mut y, &mut mask);
            }
            let task = self.task as u32;
            let Some(session) = &mut self.session else { return Ok(0) };
            session.set_step(row, "control", &l.optimiser.control(step, schedule.rate(step)))?;
            session.set_step(row, "x", &x)?;
            session.set_step(row, "y", &y)?;
            match l.method {
                Method::Hypernetwork => {
                    session.set_step_u32(row, "task", &[task])?;
                    if !past.is_empty() {
                        session.set_step_u32(row, "past", &past)?;
                    }
                }
                _ => session.set_step(row, "mask", &mask)?,
            }
        }
        Ok(many)
    }

    /// Appends what the outputs of a training row are to be, and which of them count.
    fn put_target(&self, task: usize, at: usize, y: &mut Vec<f32>, mask: &mut Vec<f32>) {
        let (method, rows) = (self.learning.method, &self.sequence.tasks[task].train);
        let (own, all) =
            (self.networks.outputs_of(method, task), self.networks.allowed(method, task, self.task));
        let (first, width) = (y.len(), self.networks.net(method).outputs());
        y.resize(first + width, 0.0);
        match rows.class(at) {
            Some(class) => y[first + own.start + class] = 1.0,
            None => y[first + own.start] = rows.value(at),
        }
        mask.extend((0..width).map(|i| f32::from(all.contains(&i))));
    }

    /// Learns for up to `most` further steps of the present task (a window at most). Behind the last step of a task it is judged on all.
    ///
    /// # Errors
    /// What the device refuses, and [`Error::Diverged`] when steps were refused again and again, because a loss or gradient was not finite.
    pub fn advance(&mut self, most: u64) -> Result<Learned> {
        if self.first.is_empty() {
            self.first = self.judged(None)?.0;
        }
        let many = self.stage(most)?;
        let Some(session) = &mut self.session else {
            return Err(Error::Shape("all tasks are learned".into()));
        };
        let records = session.run(many)?;
        let apart_of = |r: &[f32]| r.get(2).map_or(f64::NAN, |v| f64::from(*v));
        for (i, r) in records.iter().enumerate() {
            let finite = r[0].is_finite() && r[1].is_finite();
            self.refused = if finite { 0 } else { self.refused + 1 };
            if self.refused >= MAX_REFUSED {
                return Err(Error::Diverged(format!(
                    "{MAX_REFUSED} steps in a row up to step {} of task {} gave a loss or gradient that is not finite; the last good weights \
                     are kept. A lower learning rate would help",
                    self.step + i as u64,
                    self.task + 1
                )));
            }
        }
        self.step += many as u64;
        let last = records.last().map_or(&[f32::NAN; 3][..], Vec::as_slice);
        let learned = Learned {
            task: self.task,
            step: self.step,
            loss: f64::from(last[0]),
            norm: f64::from(last[1]),
            apart: apart_of(last),
        };
        if self.step == self.learning.steps {
            self.end_task()?;
        }
        Ok(learned)
    }

    /// Present parameters.
    fn present(&mut self) -> Result<Vec<f32>> {
        match &mut self.session {
            Some(session) => Ok(session.read(STATE)?[..self.params.len()].to_vec()),
            None => Ok(self.params.clone()),
        }
    }

    /// Keeps what the method needs of the present task, judges, and begins the next.
    fn end_task(&mut self) -> Result<()> {
        self.params = self.present()?;
        match self.learning.method {
            Method::Ewc => self.weigh_by_likelihood()?,
            Method::Si => self.weigh_by_path()?,
            Method::Separate => self.kept.networks.extend(&self.params),
            Method::Hypernetwork if self.learning.stored => {
                let own = self.asking.written(&self.params, self.task)?;
                self.kept.networks.extend(own);
            }
            _ => {}
        }
        if let Some(classifier) = &mut self.classifier {
            classifier.learn(&self.device, self.sequence, self.task, self.seed)?;
            self.classified = classifier.rows_seen();
        }
        let (row, found) = self.judged(Some(self.task))?;
        self.matrix.push(row);
        self.found = found;
        self.task += 1;
        self.step = 0;
        self.begin()
    }

    /// Importances of elastic weight consolidation: squares of gradients of the likelihood of labels that the network itself would draw.
    fn weigh_by_likelihood(&mut self) -> Result<()> {
        let (method, net) = (self.learning.method, self.networks.net(self.learning.method).clone());
        let rows = &self.sequence.tasks[self.task].train;
        let among = rows.drawn(self.learning.fisher_rows, self.seed, LABELS ^ (self.task as u64) << 32);
        let said = self.asking.said(&self.params, rows, &among)?;
        let width = net.outputs();
        let mut session =
            self.device.prepare(lower(&squared_gradients(&net, self.sequence), self.device.caps(1))?)?;
        session.write("weights", &self.params)?;
        let mut rng = Rng::new(self.seed, LABELS ^ (self.task as u64) << 32 ^ 1);
        let mut sum = vec![0.0f64; self.params.len()];
        let allowed = self.networks.allowed(method, self.task, self.task);
        for (part, at) in among.chunks(SIDE_BY_SIDE).enumerate() {
            let (mut x, mut y, mut mask) = (vec![], vec![], vec![]);
            for (i, at) in at.iter().enumerate() {
                rows.put(*at, &mut x);
                let outputs = &said[(part * SIDE_BY_SIDE + i) * width..][..width];
                let first = y.len();
                y.extend(vec![0.0f32; width]);
                match self.sequence.has_classes() {
                    true => y[first + drawn_class(outputs, &allowed, &mut rng)] = 1.0,
                    // A value away from what is said by one deviation: of the squared error the gradient's square is 4 times that of the likelihood.
                    false => y[first..].iter_mut().zip(outputs).for_each(|(y, o)| *y = o + 0.5),
                }
                mask.extend((0..width).map(|i| f32::from(allowed.contains(&i))));
            }
            let mut there = vec![1.0; at.len()];
            x.resize(SIDE_BY_SIDE * self.sequence.inputs(), 0.0);
            y.resize(SIDE_BY_SIDE * width, 0.0);
            mask.resize(SIDE_BY_SIDE * width, 0.0);
            there.resize(SIDE_BY_SIDE, 0.0);
            for (name, values) in [("x", &x), ("y", &y), ("mask", &mask), ("there", &there)] {
                session.write(name, values)?;
            }
            session.run(1)?;
            let squares = session.read("squares")?;
            sum.iter_mut().zip(squares).for_each(|(s, v)| *s += f64::from(v));
        }
        for (i, s) in sum.into_iter().enumerate() {
            let importance = (s / among.len() as f64) as f32;
            self.kept.importance[i] += importance;
            self.kept.pull[i] += importance * self.params[i];
        }
        Ok(())
    }

    /// Importances of synaptic intelligence: what each weight brought, over how far it went.
    fn weigh_by_path(&mut self) -> Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let (path, last) = (session.read(PATH)?, session.read(LAST)?);
        let (then, led) = last.split_at(path.len());
        let damping = self.learning.damping as f32;
        for (i, brought) in path.into_iter().enumerate() {
            let brought = brought + led[i] * (then[i] - self.params[i]);
            let moved = self.params[i] - self.kept.before[i];
            self.kept.importance[i] += brought.max(0.0) / (moved * moved + damping);
            self.kept.pull[i] = self.kept.importance[i] * self.params[i];
        }
        Ok(())
    }

    /// The weights of a task's network, flat; of a task that was not learned those that it would start with.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn weights(&mut self, task: usize) -> Result<Vec<f32>> {
        self.params = self.present()?;
        self.weights_of(task)
    }

    /// The network that rows of a task are given to, its weights, and which of its outputs are the task's.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn network(&mut self, task: usize) -> Result<(Net, Vec<f32>, Range<usize>)> {
        let method = self.learning.method;
        let weights = self.weights(task)?;
        Ok((self.networks.net(method).clone(), weights, self.networks.outputs_of(method, task)))
    }

    /// What came of it, as far as it went.
    pub fn outcome(&self, seconds: f64) -> Outcome {
        let (l, n) = (&self.learning, &self.networks);
        let errors = !self.sequence.has_classes();
        let mut outcome = Outcome::of(l.method.name(), &self.first, self.matrix.clone(), errors);
        let many = n.layout(l.method).len();
        let tasks = self.sequence.len();
        outcome.parameters = if l.method == Method::Separate { tasks * many } else { many };
        let inputs = 4 * (self.sequence.inputs() + 1);
        let rows = match l.method {
            Method::Replay => {
                l.memory.min(self.sequence.tasks.iter().map(|t| t.train.len()).max().unwrap_or(0))
            }
            Method::Joint => self.sequence.tasks.iter().map(|t| t.train.len()).sum::<usize>() / tasks,
            _ => 0,
        };
        let groups = if errors { 1 } else { n.outputs };
        let written =
            if l.method == Method::Hypernetwork && l.stored { 4 * n.target().layout().len() } else { 0 };
        let classifier = self.classifier.as_ref();
        // Importances and what they pull to lie beside each parameter.
        let copies = if l.method.weighs() { 3 } else { 1 };
        outcome.bytes_per_task = copies * n.bytes_of_a_task(l.method)
            + rows * inputs
            + written
            + classifier.map_or(0, |c| c.bytes_of_a_task(groups));
        let weighed = if l.method.weighs() { 2 * many } else { 0 };
        outcome.bytes = 4 * (outcome.parameters + weighed)
            + tasks * (rows * inputs + written)
            + classifier.map_or(0, |c| 4 * self.sequence.inputs().pow(2) + tasks * c.bytes_of_a_task(groups));
        outcome.task_found = (self.found[1] > 0).then(|| self.found[0] as f64 / self.found[1] as f64);
        outcome.seconds = seconds;
        outcome
    }

    /// All that it goes on from.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn state(&mut self) -> Result<LearnerState> {
        let mut values = vec![];
        if let Some(session) = &mut self.session {
            values.push((STATE.to_string(), session.read(STATE)?));
            if self.learning.method == Method::Si {
                values.push((PATH.into(), session.read(PATH)?));
                values.push((LAST.into(), session.read(LAST)?));
            }
        }
        values.push(("params".into(), self.params.clone()));
        let k = &self.kept;
        for (name, kept) in
            [(IMPORTANCE, &k.importance), (PULL, &k.pull), (BEFORE, &k.before), ("networks", &k.networks)]
        {
            values.push((name.into(), kept.clone()));
        }
        values.extend(self.classifier.iter().flat_map(TaskClassifier::values));
        Ok(LearnerState {
            values,
            task: self.task,
            step: self.step,
            first: self.first.clone(),
            matrix: self.matrix.clone(),
            found: self.found,
            classified: self.classified,
        })
    }

    /// Runs `steps` steps of the present task launch by launch on the CPU and on `gpu`, both by the GPU's plan and from the same buffers; learning stays where
    /// it is.
    ///
    /// # Errors
    /// Those of the GPU.
    #[cfg(feature = "gpu")]
    pub fn lockstep(
        &mut self,
        gpu: &crate::run::gpu::Gpu,
        steps: usize,
    ) -> Result<crate::check::lockstep::LockstepReport> {
        let state = self.state()?;
        let (sequence, networks) = (self.sequence, self.networks.clone());
        let mut twin = Learner::new(&Device::Cpu, sequence, networks, self.learning, self.seed)?;
        twin.restore(&state)?;
        let plan = lower(&self.graph(), gpu.caps(self.window()))?;
        twin.session = Some(Device::Cpu.prepare(plan.clone())?);
        twin.write_state(&state)?;
        let many = twin.stage(steps as u64)?;
        let runner = twin.session.as_mut().map(|s| s.cpu_runner(many)).transpose()?.flatten();
        match runner {
            Some(cpu) => crate::check::lockstep::lockstep(gpu, &plan, cpu, many),
            None => Err(Error::Device("lockstep starts from the CPU path's buffers".into())),
        }
    }

    /// Goes on from there.
    ///
    /// # Errors
    /// A state of another learner, and what the device refuses.
    pub fn restore(&mut self, state: &LearnerState) -> Result<()> {
        let values = |name: &str| state.value(name);
        let known = self.sequence.len();
        if state.task > known || state.matrix.len() != state.task || state.step >= self.learning.steps.max(1)
        {
            return Err(Error::Shape(format!("the state is of another sequence than these {known} tasks")));
        }
        (self.task, self.step, self.refused) = (state.task, state.step, 0);
        (self.first, self.matrix, self.found) = (state.first.clone(), state.matrix.clone(), state.found);
        self.params = values("params")?;
        self.kept = Kept {
            importance: values(IMPORTANCE)?,
            pull: values(PULL)?,
            before: vec![],
            networks: values("networks")?,
        };
        self.classified = state.classified;
        if let Some(classifier) = &mut self.classifier {
            let stored =
                [values("classifier.means")?, values("classifier.tasks")?, values("classifier.scatter")?];
            classifier.restore(&self.device, stored, state.classified)?;
        }
        self.begin()?;
        self.write_state(state)
    }

    /// Tells the plan of the present task where it stood.
    fn write_state(&mut self, state: &LearnerState) -> Result<()> {
        let values = |name: &str| state.value(name);
        if self.session.is_some() {
            self.kept.before = values(BEFORE)?;
            self.write_kept()?;
        }
        if let Some(session) = &mut self.session {
            session.write(STATE, &values(STATE)?)?;
            if self.learning.method == Method::Si {
                session.write(PATH, &values(PATH)?)?;
                session.write(LAST, &values(LAST)?)?;
            }
        }
        Ok(())
    }
}

/// A class that is drawn by what a network says of the allowed ones.
fn drawn_class(outputs: &[f32], allowed: &Range<usize>, rng: &mut Rng) -> usize {
    let p = probabilities(&outputs[allowed.clone()]);
    let mut left = rng.uniform();
    let drawn = p.iter().position(|p| {
        left -= p;
        left < 0.0
    });
    allowed.start + drawn.unwrap_or(p.len() - 1)
}

/// Probabilities of logits.
pub(super) fn probabilities(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let e: Vec<f64> = logits.iter().map(|l| f64::from(l - most).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|v| v / sum).collect()
}
