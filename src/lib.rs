#![doc = include_str!("../README.md")]

pub mod adapt;
pub mod bench;
pub mod check;
pub mod checkpoint;
pub mod data;
pub mod error;
pub mod experiment;
pub mod files;
pub mod graph;
pub mod hyper;
pub mod kernel;
pub mod meta;
pub mod net;
pub mod optim;
pub mod plan;
pub mod region;
pub mod report;
pub mod rng;
pub mod run;
pub mod spec;
pub mod task;
pub mod view;

pub use error::{Error, Result};
pub use experiment::config::{Config, TaskKind};
pub use experiment::run_folder::RunFolder;
pub use experiment::{Experiment, Observer, Progress, Report, RunStatus, Silent};
pub use meta::model::{Model, Network};
pub use run::{Device, Session};
pub use task::Task;

/// What an application moves between threads.
const _: () = {
    const fn send<T: Send>() {}
    send::<Device>();
    send::<Experiment<'_>>();
    send::<Model>();
    send::<Network>();
    send::<Session>();
    send::<adapt::Adapter>();
    send::<meta::outer::Trainer<'_>>();
};
