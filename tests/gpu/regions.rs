//! Task regions on the device: inner learning with its gradient, launch by launch and in all tiers of workgroup
//! memory, against the bounds of the reference.

use hyperloom::kernel::Kernel;
use hyperloom::plan::{Caps, GroupCaps, Plan, RegionCaps, lower};
use hyperloom::run::gpu::Gpu;
use hyperloom::run::lockstep::lockstep;

use super::gpu;
use super::support::learning::{Shape, learning};
use super::support::prepared;

fn caps(gpu: &Gpu, bytes: usize) -> Caps {
    let caps = gpu.caps(1);
    let regions = caps.regions.expect("a GPU has regions");
    let group = regions.group.map(|g| GroupCaps { bytes: g.bytes.min(bytes), ..g });
    Caps { regions: Some(RegionCaps { group, ..regions }), ..caps }
}

fn spilled(plan: &Plan) -> bool {
    plan.launches.iter().any(|l| l.kernel.scratch(l).is_some())
}

#[test]
fn inner_learning() {
    for checked in [true, false] {
        let Some(gpu) = gpu(checked) else { return };
        let mut spills = 0;
        // A driver takes some seconds to compile each: a few learners, with checks and without.
        for seed in if checked { 0..2 } else { 2..6 } {
            let s = Shape::random(seed);
            let (g, feed) = learning(s, seed, true);
            // Little memory: most values are put aside.
            for bytes in [16 << 10, 512] {
                let plan = lower(&g, caps(&gpu, bytes)).expect("the plan fits");
                assert!(plan.launches.iter().any(|l| matches!(l.kernel, Kernel::Region(_))), "{s:?}");
                spills += usize::from(spilled(&plan));
                let mut cpu = prepared::<f32>(&plan, &feed);
                let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
                assert!(report.divergence.is_none(), "seed {seed}, {s:?}: {report:?}");
            }
        }
        assert!(spills > 1, "only {spills} plans put something aside");
    }
}

/// More tasks than one axis of workgroups holds, several in a workgroup.
#[test]
fn many_tiny_tasks() {
    let Some(gpu) = gpu(false) else { return };
    let tasks = 70_001;
    let mut g = hyperloom::graph::Graph::new();
    let x = g.data("x", &[tasks, 1, 2]);
    let w = g.data("w", &[tasks, 2, 1]);
    let y = g.matmul(x, w);
    let y = g.act(hyperloom::spec::Activation::Tanh, y);
    let y = g.mul(y, y);
    g.output("y", y);
    let caps = gpu.caps(1);
    let plan = lower(&g, caps).expect("the plan fits");
    let region =
        plan.launches.iter().find_map(|l| if let Kernel::Region(r) = &l.kernel { Some(r) } else { None });
    let layout = region.and_then(|r| r.layout.clone()).expect("a region");
    assert!(layout.together > 1, "{layout:?}");
    let mut runner = hyperloom::run::gpu::GpuRunner::prepare(&gpu, &plan).expect("sound");
    let value = |i: usize| (i % 17) as f32 / 17.0 - 0.5;
    let xs: Vec<u32> = (0..2 * tasks).map(|i| value(i).to_bits()).collect();
    for name in ["x", "w"] {
        runner.write(plan.input(name).expect("input").arg.slot, 0, &xs).expect("written");
    }
    runner.run(1).expect("it runs");
    let out = runner.read(plan.output("y").expect("output").arg.slot, 0..tasks).expect("read");
    for (t, y) in out.iter().enumerate() {
        let want = (value(2 * t).powi(2) + value(2 * t + 1).powi(2)).tanh().powi(2);
        assert!((f32::from_bits(*y) - want).abs() < 1e-6, "task {t}");
    }
}
