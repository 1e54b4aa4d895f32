//! Who watches a run, and how it ended.

use super::report::Report;
use super::run_folder::Position;

/// Where a run is, for a progress bar.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// What is being done.
    pub phase: &'a str,
    /// Steps done of this phase.
    pub step: u64,
    /// Steps of this phase.
    pub steps: u64,
    /// Mean loss of the last steps.
    pub loss: f64,
    /// Tasks a second; of a source that is one task rows a second.
    pub tasks_per_second: f64,
    /// What that counts: `tasks` or `rows`.
    pub unit: &'static str,
}

impl Progress<'_> {
    /// A phase that has no steps.
    pub(super) fn of(phase: &str) -> Progress<'_> {
        Progress { phase, step: 0, steps: 0, loss: f64::NAN, tasks_per_second: 0.0, unit: "tasks" }
    }
}

/// Who watches a run.
pub trait Observer {
    /// Called several times a second.
    fn progress(&mut self, _: &Progress<'_>) {}
    /// Whether to stop, with a good checkpoint.
    fn stop(&self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Silent;
impl Observer for Silent {}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStatus {
    /// Trained and judged.
    Finished(Box<Report>),
    /// Stopped by the observer at this step; the checkpoint goes on from here.
    Stopped(Position),
}
