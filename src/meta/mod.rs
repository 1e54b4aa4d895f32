//! Meta-learning: the objective, the outer loop, and the model that it leaves.
//!
//! ```
//! use hyperloom::data::sine::Sine;
//! use hyperloom::hyper::HyperSpec;
//! use hyperloom::meta::objective::{MetaSpec, Through};
//! use hyperloom::meta::outer::{Learner, OuterSettings, Trainer};
//! use hyperloom::net::Net;
//! use hyperloom::optim::Schedule;
//! use hyperloom::rng::Rng;
//! use hyperloom::spec::Activation::Relu;
//! use hyperloom::task::Likelihood;
//! use hyperloom::{Device, Model, Task};
//!
//! // MAML: one initialisation, trained through three steps of adaptation to second order.
//! let mut meta = MetaSpec::from(HyperSpec::shared(Net::mlp(&[1, 16, 16, 1], Relu)));
//! (meta.through, meta.steps) = (Through::Second, 3);
//! let mut rng = Rng::new(0, 0);
//! let base = meta.hyper.target.layout().init(&mut rng);
//! let params = meta.init(&mut rng, &base);
//! let waves = Sine { shots: 10, min_shots: 10, query: 10, seed: 0 };
//! let settings = OuterSettings::new(8, Schedule::new(1e-3, 20));
//! let learner = Learner::Hyper(Box::new(meta.clone()));
//! let mut trainer = Trainer::new(&Device::Cpu, &waves, learner, settings, &params)?;
//! while trainer.step() < 20 {
//!     trainer.advance(u64::MAX)?;
//! }
//! // What it leaves adapts to a new wave, of which two rows are known.
//! let model = Model::new(meta.hyper, Likelihood::values(1), meta.adaptation, trainer.params()?)?;
//! let network = model.adapt(&Device::Cpu, &Task::from_support(vec![0.0, 1.0], vec![0.0, 0.8]), Some(3))?;
//! assert_eq!(network.predict(&Device::Cpu, &[0.5, 2.0])?.len(), 2);
//! # Ok::<(), hyperloom::Error>(())
//! ```

mod between;
mod draws;
pub mod follow;
pub mod influence;
pub mod model;
pub mod objective;
pub mod outer;
pub mod packed;
pub mod prepared;
pub mod shard;
pub(crate) mod store;
pub mod stream;
mod terms;
pub(crate) mod whole;
