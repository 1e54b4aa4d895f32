//! Tasks: rows to learn from and rows to be judged on; families that make them; what is minimised on them, and what the outputs
//! of a network mean.
//!
//! ```
//! use hyperloom::task::{Likelihood, Task};
//!
//! // Two rows to learn from, one to be judged on.
//! let task = Task::from_support(vec![0.0, 1.0], vec![1.0, 3.0]).with_query(vec![2.0], vec![5.0]);
//! let (tasks, likelihood) = ([task], Likelihood::values(1));
//! assert_eq!(likelihood.support_mean(&tasks), [[2.0]]);
//! assert_eq!(likelihood.score(&tasks, &[vec![4.0]]), 1.0); // the mean squared error of predicting 4
//! ```

mod batch;
mod family;
mod interval;
mod likelihood;
mod loss;
mod outputs;
mod reliability;

pub(crate) use batch::repeated;
pub use batch::{Batch, Rows};
pub(crate) use family::window_of;
pub use family::{TaskFamily, TaskShape, WINDOW};
pub use interval::{Coverage, Intervals, LEVELS};
pub use likelihood::{Likelihood, Metric, SHRINKAGE};
pub use loss::{Loss, loss};
pub use outputs::{argmax, softmax};
pub use reliability::{Reliability, reliability};

/// One task on the host: rows to learn from and rows to be judged on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Task {
    /// Its name, for reports.
    pub name: String,
    /// Support inputs `[n, i]`.
    pub xs: Vec<f32>,
    /// Support targets `[n, o]`.
    pub ys: Vec<f32>,
    /// Query inputs `[q, i]`.
    pub xq: Vec<f32>,
    /// Query targets `[q, o]`.
    pub yq: Vec<f32>,
    /// Descriptor `[d]`.
    pub descriptor: Vec<f32>,
    /// Its number where it is a known task; others count as the first unknown one.
    pub known: Option<usize>,
}

impl Task {
    /// A new task of which only support rows are known: inputs `[n, i]`, targets `[n, o]`.
    #[must_use]
    pub fn from_support(xs: Vec<f32>, ys: Vec<f32>) -> Task {
        Task { name: String::new(), xs, ys, xq: vec![], yq: vec![], descriptor: vec![], known: None }
    }

    /// With rows to be judged on: inputs `[q, i]`, targets `[q, o]` (where these are not known, zeros).
    #[must_use]
    pub fn with_query(self, xq: Vec<f32>, yq: Vec<f32>) -> Task {
        Task { xq, yq, ..self }
    }

    /// With a name, for reports.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Task {
        Task { name: name.into(), ..self }
    }

    /// With a descriptor `[d]`.
    #[must_use]
    pub fn with_descriptor(self, descriptor: Vec<f32>) -> Task {
        Task { descriptor, ..self }
    }

    /// As the known task of this number.
    #[must_use]
    pub fn with_known(self, number: usize) -> Task {
        Task { known: Some(number), ..self }
    }

    /// Number of support rows, given the number of outputs.
    pub fn shots(&self, outputs: usize) -> usize {
        self.ys.len() / outputs
    }

    /// Number of query rows, given the number of outputs.
    pub fn queries(&self, outputs: usize) -> usize {
        self.yq.len() / outputs
    }
}

/// The tasks with their support rows as query: for predictions on the support.
pub fn support_as_query(tasks: &[Task]) -> Vec<Task> {
    tasks.iter().map(|t| Task { xq: t.xs.clone(), yq: t.ys.clone(), ..t.clone() }).collect()
}
