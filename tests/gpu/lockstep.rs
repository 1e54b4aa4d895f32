//! Plans of random graphs on the device, launch by launch: each within the bounds that follow from what the
//! launches before it left.

use hyperloom::check::bounds::compare_launch;
use hyperloom::graph::Graph;
use hyperloom::kernel::Buffer;
use hyperloom::plan::{SlotId, lower};
use hyperloom::run::gpu::{Gpu, GpuRunner};

use super::gpu;
use super::support::random_graph::random_graph;
use super::support::{Feed, long_sums, prepared};

fn every_launch(gpu: &Gpu, what: &str, graph: &Graph, feed: &Feed) {
    let plan = lower(graph, gpu.caps(feed.steps.len().max(1))).expect("the plan fits");
    // The inputs as the CPU would have them.
    let cpu = prepared::<f32>(&plan, feed);
    let mut runner = GpuRunner::prepare(gpu, &plan).expect("the plan is sound");
    for i in 0..plan.slots.len() {
        let words = match cpu.slot(SlotId(i)) {
            Buffer::F(x) => x.iter().map(|x| x.to_bits()).collect(),
            Buffer::U(x) => x.clone(),
        };
        runner.write(SlotId(i), 0, &words).expect("the slot is as long");
    }
    for (k, launch) in plan.launches.iter().enumerate() {
        let touched = |i: usize| launch.reads.iter().chain(&launch.writes).any(|a| a.slot.0 == i);
        let contents = |runner: &mut GpuRunner| -> Vec<Vec<u32>> {
            let words = |i: usize| match touched(i) {
                true => runner.read(SlotId(i), 0..plan.slots[i].len).expect("the slot is there"),
                false => vec![],
            };
            (0..plan.slots.len()).map(words).collect()
        };
        let before = contents(&mut runner);
        runner.launch(k..k + 1).expect("it runs");
        let report = compare_launch(&plan, launch, &before, &contents(&mut runner));
        assert!(report.failure.is_none(), "{what}, launch {k}: {report}");
    }
}

#[test]
fn every_launch_of_random_plans() {
    let Some(gpu) = gpu(true) else { return };
    for seed in 0..25 {
        let r = random_graph(seed);
        every_launch(&gpu, &format!("seed {seed}"), &r.graph, &r.feed);
    }
}

#[test]
fn every_launch_of_sums_in_parts() {
    let Some(gpu) = gpu(true) else { return };
    let (graph, feed) = long_sums();
    every_launch(&gpu, "long sums", &graph, &feed);
}
