//! What a launch costs the host, without a driver: `cargo bench --bench record` records a training step on wgpu's noop
//! backend, which takes every call and does nothing, and submits it: step by step, and ten steps at a time, as a discrete
//! GPU gets them (a submit is some 4 ms of work). What a submit costs is shared by its launches. Medians of 15 runs.

use std::time::Instant;

use hyperloom::experiment::config::{Config, TaskKind};
use hyperloom::experiment::settings;
use hyperloom::experiment::setup::Setup;
use hyperloom::meta::outer::{Learner, training_plan};
use hyperloom::plan::Plan;
use hyperloom::run::gpu::{Gpu, GpuRunner, wgpu};
use hyperloom::run::median;
use hyperloom::task::WINDOW;

fn noop() -> Gpu {
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = wgpu::Backends::NOOP;
    desc.flags = wgpu::InstanceFlags::empty();
    desc.backend_options.noop.enable = true;
    let instance = wgpu::Instance::new(desc);
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("a noop adapter");
    let limits = adapter.limits();
    let desc = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&desc)).expect("a noop device");
    Gpu::from_device(device, queue, false)
}

/// Seconds of `steps` steps, so many of them a submit.
fn time(runner: &mut GpuRunner, steps: usize, together: usize) -> f64 {
    let mut seconds = Vec::new();
    for _ in 0..15 {
        let start = Instant::now();
        for _ in 0..steps / together {
            let mut encoder = runner.gpu().device().create_command_encoder(&Default::default());
            (0..together).for_each(|_| runner.record(&mut encoder));
            runner.gpu().queue().submit([encoder.finish()]);
        }
        runner.gpu().device().poll(wgpu::PollType::wait_indefinitely()).expect("nothing is under way");
        seconds.push(start.elapsed().as_secs_f64());
    }
    median(seconds)
}

fn report(gpu: &Gpu, name: &str, plan: &Plan) {
    let mut runner = GpuRunner::prepare(gpu, plan).expect("the plan is sound");
    let launches = plan.launches.len();
    for together in [1, 10] {
        let each = 1e6 * time(&mut runner, WINDOW, together) / (WINDOW * launches) as f64;
        println!(
            "{name:<24} {launches:>4} launches a step, {together:>2} steps a submit: {each:.3} us a launch"
        );
    }
}

fn main() {
    let gpu = noop();
    let config = Config::of(TaskKind::Sine);
    let setup = Setup::load(&config).expect("sine needs no data");
    let (family, learner) = (setup.source().family(0), Learner::Hyper(setup.meta().into()));
    let caps = gpu.caps(WINDOW);
    for (name, caps) in [("sine", caps), ("sine, without regions", caps.without_regions())] {
        let plan = training_plan(family.as_ref(), &learner, &settings(&config, 0, true), caps);
        report(&gpu, name, &plan.expect("the plan fits"));
    }
}
