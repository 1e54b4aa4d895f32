#![doc = include_str!("../README.md")]

pub mod bench;
pub mod check;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod error;
pub mod files;
pub mod graph;
pub mod hyper;
pub mod kernel;
pub mod meta;
pub mod nn;
pub mod optim;
pub mod plan;
pub mod region;
pub mod report;
pub mod rng;
pub mod run;
pub mod run_folder;
pub mod spec;
pub mod view;

pub use config::{Config, TaskKind};
pub use error::{Error, Result};
pub use meta::episode::Task;
pub use meta::experiment::{Experiment, Observer, Outcome, Progress, Report, Silent};
pub use meta::model::{Model, Network};
pub use run::{Device, Session};
pub use run_folder::RunFolder;

/// What an application moves between threads.
const _: () = {
    const fn send<T: Send>() {}
    send::<Device>();
    send::<Experiment<'_>>();
    send::<Model>();
    send::<Network>();
    send::<Session>();
    send::<meta::adapt::Adapter>();
    send::<meta::outer::Trainer<'_>>();
};
