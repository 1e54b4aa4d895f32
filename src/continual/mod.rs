//! Continual learning: one network learns tasks that come one after another, and is judged on all of them.
//!
//! A [`Sequence`] holds the tasks. A [`Learner`] goes through them by one [`Method`]: a hypernetwork that reads a learned embedding of the task
//! and writes the weights of its network, held to what it wrote for earlier ones (von Oswald et al. 2020, "Continual learning with
//! hypernetworks"), or a network for all tasks, trained as the field does to compare: as it is, held near weights that mattered, with rows of
//! earlier tasks, with all rows, or one for each task.
//!
//! ```
//! use hyperloom::Device;
//! use hyperloom::continual::{Learner, Learning, Method, Networks, Scenario, polynomials};
//! use hyperloom::net::Net;
//! use hyperloom::spec::Activation::Sigmoid;
//!
//! let tasks = polynomials(2, 0);
//! let body = Net::rows([1]).dense(10).activation(Sigmoid).dense(10).activation(Sigmoid);
//! let networks = Networks::new(&body, Scenario::Task, &tasks, 2, &[10, 10]);
//! let mut learning = Learning::new(Method::Hypernetwork);
//! learning.steps = 200;
//! let mut learner = Learner::new(&Device::Cpu, &tasks, networks, learning, 0)?;
//! while learner.left() > 0 {
//!     learner.advance(50)?;
//! }
//! // How wrong it is about each task after the first, and after the second.
//! assert_eq!(learner.matrix().len(), 2);
//! # Ok::<(), hyperloom::Error>(())
//! ```

mod classifier;
mod importance;
mod judge;
mod learner;
mod method;
mod networks;
mod outcome;
mod polynomials;
mod regulariser;
mod sequence;
mod step;

pub use classifier::TaskClassifier;
pub use importance::squared_gradients;
pub use learner::{Learned, Learner, LearnerState};
pub use method::{Inference, Learning, Method, Scenario};
pub use networks::Networks;
pub use outcome::Outcome;
pub use polynomials::polynomials;
pub use regulariser::output_regulariser;
pub use sequence::{Sequence, SequenceTask, TaskRows};
