//! The golden files on the device, in f32.

use std::path::Path;

use hyperloom::check::golden::{Job, LIMIT_F32, Outcome, check_golden};
use hyperloom::error::Result;
use hyperloom::plan::{Arg, Plan, lower};
use hyperloom::run::gpu::{Gpu, GpuRunner};
use hyperloom::view::for_each;

use super::{bits, floats, gpu};

fn narrow(x: &[f64]) -> Vec<u32> {
    bits(&x.iter().map(|v| *v as f32).collect::<Vec<f32>>())
}

fn read(runner: &mut GpuRunner, plan: &Plan, arg: &Arg) -> Result<Vec<f64>> {
    let all = floats(&runner.read(arg.slot, 0..plan.slots[arg.slot.0].len)?);
    let mut out = Vec::new();
    for_each([&arg.view], |[i]| out.push(all[i] as f64));
    Ok(out)
}

fn run(gpu: &Gpu, job: &Job) -> Result<Outcome> {
    let plan = lower(&job.graph, gpu.caps(job.steps.len()))?;
    let mut r = GpuRunner::prepare(gpu, &plan)?;
    for (name, values) in &job.inputs {
        let at = plan.input(name).expect("an input of the job").arg;
        r.write(at.slot, at.view.offset, &narrow(values))?;
    }
    for (row, inputs) in job.steps.iter().enumerate() {
        for (name, values) in inputs {
            let at = plan.step(name).expect("a step input of the job").arg;
            let width = plan.slots[at.slot.0].len / plan.window;
            r.write(at.slot, row * width + at.view.offset, &narrow(values))?;
        }
    }
    r.run(job.steps.len())?;
    let mut outcome = Outcome::default();
    for name in &job.read {
        let port = plan.output(name).or(plan.input(name)).expect("a value of the job");
        outcome.values.push(read(&mut r, &plan, &port.arg)?);
    }
    if let Some(ring) = plan.ring {
        let records = floats(&r.read(ring, 0..plan.slots[ring.0].len)?);
        let rows = records.chunks(plan.records.len());
        outcome.records = rows.map(|row| row.iter().map(|x| *x as f64).collect()).collect();
    }
    Ok(outcome)
}

fn within(folder: &str, tensors: usize) {
    let Some(gpu) = gpu(true) else { return };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let reports = check_golden(&directory, &mut |job| run(&gpu, job)).expect("the files are there");
    assert!(reports.len() > tensors);
    let bad: Vec<String> = reports.iter().filter(|r| !r.passes_f32()).map(|r| r.to_string()).collect();
    assert!(bad.is_empty(), "beyond {LIMIT_F32:e} of the largest magnitude:\n{}", bad.join("\n"));
}

#[test]
fn known_answers() {
    within("tests/golden", 40);
}

#[test]
fn known_answers_of_layers() {
    within("tests/golden/layers", 300);
}
