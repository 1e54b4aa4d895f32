//! Timing: medians of single calls, each of them done when the clock stops.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Workload;
use crate::error::Result;
use crate::experiment::config::{Config, TaskKind};
use crate::experiment::starting_trainer;
use crate::plan::Plan;
use crate::run::{Device, median};
use crate::task::WINDOW;

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name of the workload.
    pub workload: String,
    /// Tasks, or the size that stands for them.
    pub tasks: usize,
    /// Device, as `cpu` or the adapter's name.
    pub device: String,
    /// `region`, or `launches`: every launch by itself.
    pub path: String,
    /// Median milliseconds of a call.
    pub ms: f64,
    /// Nominal operations a second, in 10⁹.
    pub gflops: f64,
    /// Bytes of all slots, as the plan says before anything is allocated.
    pub bytes: u64,
    /// By how much preparing and calling made the process grow, on the CPU path and where the system tells: slots, and what the
    /// runner takes beside them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_bytes: Option<u64>,
    /// Launches of a call.
    pub launches: usize,
    /// Numbers that every implementation must agree on.
    pub check: Vec<f64>,
}

/// Measures the default training run of the sine family: a step of it, over windows of steps as training runs them.
///
/// # Errors
/// Those of the device.
pub fn measure_sine(device: &Device) -> Result<Row> {
    let mut config = Config::of(TaskKind::Sine);
    config.train.steps = 100_000;
    starting_trainer(&config, device, |trainer| {
        trainer.advance(WINDOW as u64)?;
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < 10 || (start.elapsed().as_secs_f64() < 3.0 && times.len() < 400) {
            let window = Instant::now();
            let done = trainer.advance(WINDOW as u64)?;
            times.push(window.elapsed().as_secs_f64() / done.len() as f64);
        }
        let median = median(times);
        let plan = trainer.plan();
        Ok(Row {
            workload: "sine".into(),
            tasks: config.train.tasks,
            device: device.name(),
            path: path(plan),
            ms: 1e3 * median,
            gflops: plan.cost().total.flops / median / 1e9,
            bytes: plan.bytes(),
            measured_bytes: None,
            launches: plan.launches.len(),
            check: vec![],
        })
    })
}

/// Bytes of main memory that the process has, on Linux.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(1024 * line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?)
}

fn path(plan: &Plan) -> String {
    let region = plan.launches.iter().any(|l| l.region().is_some_and(|r| r.has_products()));
    let chunks = plan.launches.iter().any(|l| l.chunks().is_some());
    match (region, chunks) {
        (true, _) => "region",
        (false, true) => "chunks",
        (false, false) => "launches",
    }
    .into()
}

/// Calls before the clock starts.
const WARM: usize = 3;

/// Measures a workload: at least 10 calls and a second, at most 60 calls or 20 seconds.
///
/// # Errors
/// Those of [`Workload::prepare`].
pub fn measure(workload: Workload, tasks: usize, device: &Device) -> Result<Row> {
    let before = resident();
    let mut prepared = workload.prepare(tasks, device)?;
    let check = prepared.check()?;
    for _ in 0..WARM {
        prepared.call()?;
    }
    let grown = before.zip(resident()).map(|(before, now)| now.saturating_sub(before));
    let (mut times, start) = (Vec::new(), Instant::now());
    let enough =
        |n: usize, t: Duration| n >= 60 || (n >= 10 && t.as_secs() >= 1) || (n >= 3 && t.as_secs() >= 20);
    while !enough(times.len(), start.elapsed()) {
        let call = Instant::now();
        prepared.call()?;
        times.push(call.elapsed().as_secs_f64());
    }
    let median = median(times);
    let plan = prepared.plan();
    Ok(Row {
        workload: workload.name().into(),
        tasks,
        device: device.name(),
        path: path(plan),
        ms: 1e3 * median,
        gflops: workload.flops(tasks) / median / 1e9,
        bytes: plan.bytes(),
        measured_bytes: grown.filter(|_| matches!(device, Device::Cpu)),
        launches: plan.launches.len(),
        check,
    })
}
