#![doc = include_str!("../README.md")]
#![doc = include_str!("../book/application.md")]
#![cfg_attr(
    not(feature = "experiment"),
    allow(dead_code, unused_imports, reason = "some of it is for whole runs only")
)]

pub mod adapt;
#[cfg(feature = "experiment")]
pub mod bench;
pub mod check;
pub mod checkpoint;
#[cfg(feature = "experiment")]
pub mod continual;
#[cfg(feature = "experiment")]
pub mod data;
pub mod error;
#[cfg(feature = "experiment")]
pub mod experiment;
pub mod export;
pub mod files;
pub mod graph;
pub mod hyper;
pub mod kernel;
pub mod meta;
pub mod net;
pub mod optim;
pub mod plan;
pub mod policy;
pub(crate) mod protobuf;
pub mod region;
#[cfg(feature = "experiment")]
pub mod report;
pub mod rng;
pub mod run;
#[cfg(feature = "experiment")]
pub mod search;
pub mod spec;
pub mod task;
pub mod view;

pub use error::{Error, Result};
#[cfg(feature = "experiment")]
pub use experiment::config::{Config, TaskKind};
#[cfg(feature = "experiment")]
pub use experiment::run_folder::RunFolder;
#[cfg(feature = "experiment")]
pub use experiment::{Experiment, Observer, Progress, Report, RunStatus, Silent};
pub use meta::model::{Model, Network, Prediction};
pub use meta::prepared::{Prepared, PreparedSizes};
pub use run::{Device, Session, Store};
pub use task::Task;

/// What an application moves between threads.
const _: () = {
    const fn send<T: Send>() {}
    send::<Device>();
    #[cfg(feature = "experiment")]
    send::<Experiment<'_>>();
    send::<Model>();
    send::<Network>();
    send::<Prepared>();
    send::<Session>();
    send::<Store>();
    send::<adapt::Adapter>();
    send::<meta::outer::Trainer<'_>>();
};
