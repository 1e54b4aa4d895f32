//! Tasks that a program brings itself: drawn by a function, from a list, or any family with its held-out tasks.

use std::fmt;
use std::sync::Arc;

use super::{Source, TEST_SEED, VALIDATION_SEED, VALIDATION_TASKS, min_shots};
use crate::data::format::Format;
use crate::data::staged::{Maker, Staged};
use crate::error::{Error, Result};
use crate::experiment::config::Config;
use crate::rng::Rng;
use crate::spec::Shape;
use crate::task::{Likelihood, Task, TaskFamily, TaskShape};

pub(super) fn defaults(base: Config) -> Config {
    base
}

pub(super) fn validate(_: &Config) -> Result<()> {
    Ok(())
}

pub(super) fn open(_: &Config) -> Result<Arc<dyn Source>> {
    Err(Error::config(
        "task",
        "'own' is for tasks that a program brings itself (Experiment::on): name sine, shapes, csv or images",
    ))
}

/// Tasks of a program's own, to be opened for a configuration ([`OwnTasks::open`]).
///
/// ```
/// use hyperloom::experiment::source::OwnTasks;
///
/// // Lines through the origin: a task is a slope.
/// let lines = OwnTasks::drawn([1], 1, |rng, rows| {
///     let slope = rng.range(-1.0, 1.0);
///     let x: Vec<f32> = (0..rows).map(|_| rng.range(-1.0, 1.0) as f32).collect();
///     let y = x.iter().map(|x| slope as f32 * x).collect();
///     (x, y)
/// });
/// # let _ = lines;
/// ```
#[derive(Clone, Debug)]
pub struct OwnTasks {
    row: Shape,
    likelihood: Likelihood,
    maker: Maker,
}

impl OwnTasks {
    /// Tasks that a function draws: it draws a task and so many of its rows, inputs `[n, i]` and targets `[n, o]`. Rows have the
    /// shape `row`; training, validation and test tasks are drawn from streams of their own.
    pub fn drawn(
        row: impl Into<Shape>,
        outputs: usize,
        draw: impl Fn(&mut Rng, usize) -> (Vec<f32>, Vec<f32>) + Send + Sync + 'static,
    ) -> OwnTasks {
        let likelihood = Likelihood::values(outputs);
        OwnTasks { row: row.into(), likelihood, maker: Maker::Draw(Arc::new(draw)) }
    }

    /// A list of tasks: a seventh of them is validated by, a seventh is judged on, both by the seed. The rows of a task (support and
    /// query alike) are shuffled and dealt anew in every episode.
    pub fn list(row: impl Into<Shape>, outputs: usize, tasks: Vec<Task>) -> OwnTasks {
        let likelihood = Likelihood::values(outputs);
        OwnTasks { row: row.into(), likelihood, maker: Maker::List(Arc::new(tasks)) }
    }

    /// Targets are classes, one-hot.
    #[must_use]
    pub fn classes(mut self) -> OwnTasks {
        self.likelihood = Likelihood::classes(self.likelihood.outputs);
        self
    }

    /// The source that a configuration asks for: `eval.shots`, `eval.query`, `eval.tasks`, `train.min_shots`, `seed`.
    ///
    /// # Errors
    /// [`Error::Shape`] where the arrays of a task do not fit, [`Error::Config`] where there are too few tasks.
    pub fn open(&self, config: &Config) -> Result<Arc<dyn Source>> {
        let e = &config.eval;
        let descriptor = match &self.maker {
            Maker::List(tasks) => tasks.first().map_or(0, |t| t.descriptor.len()),
            Maker::Draw(_) => 0,
        };
        let shape = TaskShape {
            support: e.shots,
            query: e.query,
            row: self.row.clone(),
            outputs: self.likelihood.outputs,
            descriptor,
            known: 0,
            loss: self.likelihood.loss,
        };
        let family =
            Staged { maker: self.maker.clone(), shape, min_shots: min_shots(config), seed: config.seed };
        family.check()?;
        let mut open = Open { family, likelihood: self.likelihood, count: e.tasks.max(1), lists: None };
        if let Maker::List(tasks) = &self.maker {
            let held_out = tasks.len() / 7;
            if held_out == 0 {
                let message =
                    format!("{} tasks: at least 7 are needed, to train, to choose and to judge", tasks.len());
                return Err(Error::config("tasks", message));
            }
            let order = Rng::new(config.seed, 0x11_57).choose(tasks.len(), tasks.len());
            let pick = |part: &[usize]| part.iter().map(|i| tasks[*i].clone()).collect::<Vec<Task>>();
            let (validation, rest) = order.split_at(held_out);
            let (test, train) = rest.split_at(held_out);
            open.family.maker = Maker::List(Arc::new(pick(train)));
            open.lists = Some([pick(validation), pick(test)]);
        }
        Ok(Arc::new(open))
    }
}

/// Tasks of a program's own, opened.
#[derive(Clone, Debug)]
struct Open {
    family: Staged,
    likelihood: Likelihood,
    /// Test tasks of a function.
    count: usize,
    /// Validation and test tasks of a list.
    lists: Option<[Vec<Task>; 2]>,
}

/// Query rows of held-out tasks.
const QUERY_ROWS: usize = 100;

impl Open {
    /// Held-out tasks: those of a list, or `count` drawn ones.
    fn held_out(&self, which: usize, count: usize, shots: usize, stream: u64) -> Vec<Task> {
        let rng = |i: usize| Rng::new(self.family.seed ^ stream, 0xd0e5_0000_0000_0000 ^ i as u64);
        match &self.lists {
            Some(lists) => {
                let deal = |(i, task)| self.family.dealt(task, &mut rng(i), shots, usize::MAX);
                lists[which].iter().enumerate().map(deal).collect()
            }
            None => {
                let task = |i: usize| Task {
                    name: format!("task {i}"),
                    ..self.family.task(&mut rng(i), shots, QUERY_ROWS)
                };
                (0..count).map(task).collect()
            }
        }
    }
}

impl Source for Open {
    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        Arc::new(self.family.clone())
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        self.held_out(0, VALIDATION_TASKS, self.family.shape.support, VALIDATION_SEED)
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        self.held_out(1, self.count, shots, TEST_SEED)
    }

    fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    fn format(&self) -> Format {
        let names = |what: &str, n: usize| match n {
            1 => vec![what.to_string()],
            n => (0..n).map(|i| format!("{what}{i}")).collect(),
        };
        Format::Plain {
            inputs: names("x", self.family.shape.inputs()),
            outputs: names("y", self.family.shape.outputs),
        }
    }
}

/// A family of one's own with its held-out tasks.
#[derive(Clone)]
pub struct OwnFamily {
    family: Arc<dyn TaskFamily>,
    held_out: Arc<HeldOutTasks>,
    likelihood: Likelihood,
    shots: usize,
}

/// Held-out tasks by a seed, with so many support rows each.
type HeldOutTasks = dyn Fn(u64, usize) -> Vec<Task> + Send + Sync;

impl fmt::Debug for OwnFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnFamily").field("shape", &self.family.shape()).finish_non_exhaustive()
    }
}

impl OwnFamily {
    /// A family whose episodes are drawn as it likes (in the graph, say), and a function that makes held-out tasks of it: by a seed, with
    /// so many support rows each. Tasks of different seeds must differ.
    pub fn source(
        family: impl TaskFamily + 'static,
        likelihood: Likelihood,
        held_out: impl Fn(u64, usize) -> Vec<Task> + Send + Sync + 'static,
    ) -> Arc<dyn Source> {
        let shots = family.shape().support;
        Arc::new(OwnFamily { family: Arc::new(family), held_out: Arc::new(held_out), likelihood, shots })
    }
}

impl Source for OwnFamily {
    fn family(&self, _: usize) -> Arc<dyn TaskFamily> {
        self.family.clone()
    }

    fn validation(&self, _: usize) -> Vec<Task> {
        (self.held_out)(VALIDATION_SEED, self.shots)
    }

    fn test(&self, shots: usize) -> Vec<Task> {
        (self.held_out)(TEST_SEED, shots)
    }

    fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    fn format(&self) -> Format {
        let shape = self.family.shape();
        let names = |what: &str, n: usize| (0..n).map(|i| format!("{what}{i}")).collect();
        Format::Plain { inputs: names("x", shape.inputs()), outputs: names("y", shape.outputs) }
    }
}
