//! Tasks that come one after another, and their rows.

use std::sync::Arc;

use crate::data::labelled::Labelled;
use crate::rng::Rng;
use crate::spec::{Shape, count};
use crate::task::Loss;

/// Some rows of a table, as a task sees them.
#[derive(Clone, Debug)]
pub struct TaskRows {
    /// The table.
    rows: Arc<Labelled>,
    /// Numbers of its rows.
    among: Vec<usize>,
    /// The first of the classes that the task tells apart.
    first_class: usize,
    /// Which input stands at each place, where the task has an order of its own.
    order: Option<Arc<Vec<usize>>>,
}

impl TaskRows {
    /// Rows of these numbers, whose classes (where they have any) are numbered from `first_class` on.
    pub fn new(rows: Arc<Labelled>, among: Vec<usize>, first_class: usize) -> TaskRows {
        TaskRows { rows, among, first_class, order: None }
    }

    /// The same with the inputs in another order: which one stands at each place.
    #[must_use]
    pub fn in_order(mut self, order: Arc<Vec<usize>>) -> TaskRows {
        assert_eq!(order.len(), count(&self.rows.row), "an order of the inputs of a row");
        self.order = Some(order);
        self
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.among.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.among.is_empty()
    }

    /// Appends the inputs of the row at place `at`.
    pub fn put(&self, at: usize, to: &mut Vec<f32>) {
        let x = self.rows.inputs(&[self.among[at]]);
        match &self.order {
            None => to.extend(x),
            Some(order) => to.extend(order.iter().map(|place| x[*place])),
        }
    }

    /// The class of the row at place `at`, among those of the task; `None` where rows have values.
    pub fn class(&self, at: usize) -> Option<usize> {
        let label = self.rows.labels.get(self.among[at])?;
        Some(*label as usize - self.first_class)
    }

    /// The value of the row at place `at`, where rows have values.
    pub(super) fn value(&self, at: usize) -> f32 {
        self.rows.value_of(self.among[at])
    }

    /// So many of the rows, drawn.
    pub(super) fn drawn(&self, most: usize, seed: u64, stream: u64) -> Vec<usize> {
        Rng::new(seed, stream).choose(self.len(), most.min(self.len()))
    }
}

/// A task of a sequence.
#[derive(Clone, Debug)]
pub struct SequenceTask {
    /// What it is called.
    pub name: String,
    /// Rows to learn from.
    pub train: TaskRows,
    /// Rows to be judged on.
    pub test: TaskRows,
}

/// Tasks in the order in which they are learned. All have rows of one shape and as many outputs.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The tasks.
    pub tasks: Vec<SequenceTask>,
    /// Shape of a row.
    pub row: Shape,
    /// Outputs of a task: its classes, or 1.
    pub outputs: usize,
    /// What is minimised: the cross entropy of classes, or the squared error of values.
    pub loss: Loss,
}

impl Sequence {
    /// Tasks that tell so many classes apart; with 0 they predict a value.
    ///
    /// # Panics
    /// Without a task, or where rows of different shapes meet.
    #[track_caller]
    pub fn new(tasks: Vec<SequenceTask>, classes: usize) -> Sequence {
        let row = tasks.first().expect("a sequence has a task").train.rows.row.clone();
        let fits = |rows: &TaskRows| rows.rows.row == row && !rows.is_empty();
        assert!(
            tasks.iter().all(|t| fits(&t.train) && fits(&t.test)),
            "tasks have rows of one shape {row:?}"
        );
        let loss = if classes == 0 { Loss::Mse } else { Loss::CrossEntropy };
        Sequence { tasks, row, outputs: classes.max(1), loss }
    }

    /// A number that stands for all rows of all tasks: other data have another, but by chance.
    pub fn digest(&self) -> u64 {
        let mut sum = 0xcbf2_9ce4_8422_2325u64;
        let mut add =
            |word: u32| sum = (sum ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        let mut x = vec![];
        for rows in self.tasks.iter().flat_map(|t| [&t.train, &t.test]) {
            add(rows.len() as u32);
            for at in 0..rows.len() {
                x.clear();
                rows.put(at, &mut x);
                x.iter().for_each(|v| add(v.to_bits()));
                match rows.class(at) {
                    Some(class) => add(class as u32),
                    None => add(rows.value(at).to_bits()),
                }
            }
        }
        sum
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none; never.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Numbers of a row.
    pub fn inputs(&self) -> usize {
        count(&self.row)
    }

    /// Whether tasks have classes.
    pub fn has_classes(&self) -> bool {
        self.loss == Loss::CrossEntropy
    }
}
