//! Adaptation: how the network of a task goes on learning from its support rows.
//!
//! ```
//! use hyperloom::adapt::{Adaptation, Adapter, Fast, Member, StartFrom};
//! use hyperloom::hyper::HyperSpec;
//! use hyperloom::net::Net;
//! use hyperloom::rng::Rng;
//! use hyperloom::spec::Activation::Tanh;
//! use hyperloom::task::{Likelihood, Loss, Task};
//! use hyperloom::Device;
//!
//! // One network that all tasks start with, whose last layer adapts to each by gradient descent.
//! let hyper = HyperSpec::shared(Net::mlp(&[1, 16, 1], Tanh));
//! let mut adaptation = Adaptation::fine_tuning(0.1, 10.0);
//! adaptation.fast = Fast::Head;
//! let weights = hyper.target.layout().init(&mut Rng::new(0, 0));
//! let member = Member { pooled: weights.clone(), hyper: weights };
//! let (x, y) = (vec![-1.0, 0.0, 1.0], vec![-0.5, 0.0, 0.5]);
//! let tasks = [Task::from_support(x.clone(), y.clone()).with_query(x, y)];
//! let mut adapter = Adapter::new(&Device::Cpu, &hyper, Loss::Mse, adaptation, &tasks)?;
//! let found = adapter.predict(&member, StartFrom::Generated(1.0), &tasks, &[0, 100])?;
//! let error = |at: usize| Likelihood::values(1).score(&tasks, &found[at].predictions);
//! assert!(error(1) < 0.1 * error(0));
//! # Ok::<(), hyperloom::Error>(())
//! ```

mod adapter;
pub mod closed_form;
mod drift;
mod fast;
mod gate;
mod influence;
mod inner;
mod pool;
mod rule;
mod way;

pub use adapter::{Adapter, Generated, Member, StartFrom, TaskPredictions};
pub(crate) use adapter::{Forward, without_context};
pub use drift::ChangeDetector;
pub use fast::Fast;
pub use gate::{Candidates, Gate};
pub(crate) use influence::{Asked, row_gradients};
pub use inner::{Adaptation, InnerLoop, InnerProblem, Rates};
pub(crate) use pool::{Lease, Pool};
pub use rule::Rule;
pub(crate) use way::{MemberValues, Way};
