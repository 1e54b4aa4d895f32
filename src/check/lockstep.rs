//! A plan launch by launch on both runners: each launch starts from the same buffers (the CPU's), and what
//! the GPU writes is compared with the error-bounded reference. The first launch that diverges is named.

use super::bounds::{CaseReport, compare_launch};
use crate::error::Result;
use crate::kernel::Buffer;
use crate::plan::{Plan, SlotId};
use crate::run::cpu::CpuRunner;
use crate::run::gpu::{Gpu, GpuRunner};

/// What a lockstep run found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LockstepReport {
    /// Launches compared.
    pub launches: usize,
    /// Elements compared.
    pub elements: usize,
    /// Largest error in units of its bound.
    pub worst: f64,
    /// Step, number and report of the first launch that diverges.
    pub divergence: Option<(usize, usize, CaseReport)>,
}

fn words(buffer: &Buffer<f32>) -> Vec<u32> {
    match buffer {
        Buffer::F(x) => bytemuck::cast_slice(x).to_vec(),
        Buffer::U(x) => x.clone(),
    }
}

/// Runs `steps` steps of `plan` on both, from the contents of `cpu`, and stops at the first divergence.
/// The CPU's results are compared too.
///
/// # Errors
/// Those of the GPU.
pub fn lockstep(gpu: &Gpu, plan: &Plan, cpu: &mut CpuRunner<f32>, steps: usize) -> Result<LockstepReport> {
    let mut runner = GpuRunner::prepare(gpu, plan)?;
    let mut report = LockstepReport { launches: 0, elements: 0, worst: 0.0, divergence: None };
    for step in 0..steps {
        for (i, launch) in plan.launches.iter().enumerate() {
            // Slots that the launch touches, as the CPU has them; the others stay empty.
            let mut before = vec![vec![]; plan.slots.len()];
            for arg in launch.reads.iter().chain(&launch.writes) {
                if before[arg.slot.0].is_empty() {
                    before[arg.slot.0] = words(cpu.slot(arg.slot));
                    runner.write(arg.slot, 0, &before[arg.slot.0])?;
                }
            }
            cpu.launch(i..i + 1);
            runner.launch(i..i + 1)?;
            let (mut on_cpu, mut on_gpu) = (vec![vec![]; plan.slots.len()], vec![vec![]; plan.slots.len()]);
            for arg in &launch.writes {
                let SlotId(s) = arg.slot;
                on_cpu[s] = words(cpu.slot(arg.slot));
                on_gpu[s] = runner.read(arg.slot, 0..plan.slots[s].len)?;
            }
            for (name, after) in [("cpu", on_cpu), ("gpu", on_gpu)] {
                let mut found = compare_launch(plan, launch, &before, &after);
                report.elements += found.elements;
                report.worst = report.worst.max(found.worst);
                // Cancellation makes a relative mean error meaningless here: the bounds decide.
                found.nmse = None;
                if !found.passed() {
                    found.case = format!("{} on the {name}", found.case);
                    report.divergence = Some((step, i, found));
                    return Ok(report);
                }
            }
            report.launches += 1;
        }
    }
    Ok(report)
}
