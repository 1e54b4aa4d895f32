//! Task regions on the device: inner learning with its gradient, launch by launch and in all tiers of workgroup
//! memory, against the bounds of the reference.

use hyperloom::check::lockstep::lockstep;
use hyperloom::graph::Graph;
use hyperloom::graph::op::Binary;
use hyperloom::kernel::Buffer;
use hyperloom::plan::{Caps, Plan, Port, SlotId, lower};
use hyperloom::region::{Allocation, GroupCaps, GroupLayout, Region, RegionCaps, Stage};
use hyperloom::rng::Rng;
use hyperloom::run::gpu::{Gpu, GpuRunner};
use hyperloom::spec::Activation;
use hyperloom::task::Loss;

use super::gpu;
use super::runner::plain_device;
use super::support::learning::{Shape, learning, many_rows as many_rows_of_tasks, recurrent};
use super::support::own_blocks::{own_blocks, own_kernels};
use super::support::{Feed, data, numbers, prepared};

fn caps(gpu: &Gpu, bytes: usize) -> Caps {
    let caps = gpu.caps(1);
    let regions = caps.regions.expect("a GPU has regions");
    // As many passes as on a GPU.
    let group = regions.group.map(|g| GroupCaps { bytes: g.bytes.min(bytes), passes: 64, ..g });
    Caps {
        regions: Some(RegionCaps { group, fast_memory: regions.fast_memory.min(bytes), ..regions }),
        ..caps
    }
}

fn spilled(plan: &Plan) -> bool {
    plan.launches.iter().any(|l| l.scratch().is_some())
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
                assert!(plan.launches.iter().any(|l| l.region().is_some()), "{s:?}");
                spills += usize::from(spilled(&plan));
                let mut cpu = prepared::<f32>(&plan, &feed);
                let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
                assert!(report.divergence.is_none(), "seed {seed}, {s:?}: {report:?}");
            }
        }
        assert!(spills > 1, "only {spills} plans put something aside");
    }
}

/// Rows some at a time, with some over and without.
#[test]
fn many_rows() {
    let Some(gpu) = gpu(false) else { return };
    for (rows, kind, widths) in [
        (64, Loss::Mse, [2, 16, 16, 1]),
        (53, Loss::CrossEntropy, [3, 16, 16, 4]),
        (90, Loss::Mse, [2, 15, 16, 2]),
    ] {
        let (g, feed) = many_rows_of_tasks(3, rows, &widths, kind, 5);
        // What a task needs for all its rows is more than it may take.
        let caps = caps(&gpu, 8 << 10);
        let regions = caps.regions.map(|r| RegionCaps { bytes: 10 << 10, ..r });
        let plan = lower(&g, Caps { regions, ..caps }).expect("the plan fits");
        let looped = |r: &Region| r.stages.iter().any(|s| matches!(s, Stage::Loop { .. }));
        assert!(plan.launches.iter().any(|l| l.region().is_some_and(looped)), "{plan}");
        let mut cpu = prepared::<f32>(&plan, &feed);
        let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
        assert!(report.divergence.is_none(), "{rows} rows: {report:?}");
    }
}

/// The same in a loop: steps of learning, each in loops over rows, and their way back.
#[test]
fn many_rows_in_a_loop() {
    let Some(gpu) = gpu(false) else { return };
    // A driver takes half a minute to compile this: one of them.
    let s = Shape {
        tasks: 3,
        rows: 173,
        query: 3,
        steps: 2,
        momentum: false,
        clipped: false,
        first_order: false,
        kind: Loss::Mse,
        activation: Activation::Tanh,
        widths: [2, 16, 1],
    };
    let (g, feed) = learning(s, 3, true);
    let caps = caps(&gpu, 8 << 10);
    let limited = |bytes: usize| {
        let regions = caps.regions.map(|r| RegionCaps { bytes, ..r });
        lower(&g, Caps { regions, ..caps }).expect("the plan fits")
    };
    // What a task needs for all its rows is more than it may take.
    let whole = limited(1 << 20).launches.into_iter().find_map(|l| l.region().map(Region::held));
    let plan = limited(4 * whole.expect("a region") - 1);
    let deep = |r: &Region| r.blocks().iter().any(|p| p.times[1] > 1);
    assert!(plan.launches.iter().any(|l| l.region().is_some_and(deep)), "{plan}");
    let mut cpu = prepared::<f32>(&plan, &feed);
    let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
    assert!(report.divergence.is_none(), "{report:?}");
}

/// Products of values that lie in vectors and of values that do not, of all edges, transposed or not, and what is made of
/// them element by element and in sums.
#[test]
fn products_of_all_shapes() {
    let Some(gpu) = gpu(false) else { return };
    let sizes = [1, 2, 4, 5, 8, 10, 12];
    for seed in 0..4 {
        let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(seed, 17));
        let t = 3;
        let contents = numbers(&mut rng, &[t, 160], -1.0, 1.0);
        let x = data(&mut g, &mut feed, "x", contents);
        let mut results = Vec::new();
        for _ in 0..6 {
            let [m, k, n] = [0; 3].map(|_| sizes[rng.below(sizes.len())]);
            let [ta, tb] = [0; 2].map(|_| rng.below(2) == 0);
            // Matrices from anywhere in the row: copied, or read where they are.
            let mut matrix = |g: &mut Graph, [rows, columns]: [usize; 2], transposed: bool| {
                let start = [0, 3, 8][rng.below(3)];
                let part = g.slice(x, 1, start, rows * columns);
                let shape = if transposed { [t, columns, rows] } else { [t, rows, columns] };
                let part = g.reshape(part, &shape);
                if rng.below(4) == 0 { part } else { g.act(Activation::Sigmoid, part) }
            };
            let a = matrix(&mut g, [m, k], ta);
            let b = matrix(&mut g, [k, n], tb);
            let bias = matrix(&mut g, [1, n], false);
            let y = g.matmul_t(a, ta, b, tb);
            let y = g.add(y, bias);
            let y = if m % 2 == 0 { g.act(Activation::Tanh, y) } else { y };
            // A sum of columns, of rows, and of all; a column over rows.
            let [columns, rows, all] = [[t, 1, n], [t, m, 1], [t, 1, 1]].map(|s| g.sum_to(y, &s));
            let scaled = g.mul(y, rows);
            let less = g.sub(scaled, columns);
            let last = g.zip(Binary::Max, less, all);
            results.push(g.reshape(last, &[t, m * n]));
        }
        let all = g.concat(&results, 1);
        g.output("all", all);
        let plan = lower(&g, caps(&gpu, 32 << 10)).expect("the plan fits");
        let regions = plan.launches.iter().filter_map(|l| l.region().and_then(|r| r.layout.as_ref()));
        let vectors = |l: &&GroupLayout| {
            l.allocations.iter().filter(|h| matches!(h, Allocation::Vectors(_))).count() >= 6
        };
        assert!(regions.filter(vectors).count() > 0, "{plan}");
        let mut cpu = prepared::<f32>(&plan, &feed);
        let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
        assert!(report.divergence.is_none(), "seed {seed}: {report:?}\n{plan}");
    }
}

/// Kernels with texts of their own, in much memory and in little.
#[test]
fn convolutions_solves_gathers_and_draws() {
    for (seed, bytes) in [(0, 32 << 10), (1, 32 << 10), (2, 512), (3, 4 << 10)] {
        let Some(gpu) = gpu(seed % 2 == 0) else { return };
        let (g, feed) = own_blocks([5, 3, 4, 9][seed as usize], seed);
        let plan = lower(&g, caps(&gpu, bytes)).expect("the plan fits");
        let [outside, inside] = own_kernels(&plan);
        assert!(outside == 0 && inside >= 12, "seed {seed}: {outside} outside\n{plan}");
        let mut cpu = prepared::<f32>(&plan, &feed);
        let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
        assert!(report.divergence.is_none(), "seed {seed}: {report:?}\n{plan}");
    }
}

/// More tasks than one axis of workgroups holds, several in a workgroup.
#[test]
fn many_tiny_tasks() {
    let Some(gpu) = gpu(false) else { return };
    let tasks = 70_001;
    let mut g = Graph::new();
    let x = g.data("x", &[tasks, 1, 2]);
    let w = g.data("w", &[tasks, 2, 1]);
    let y = g.matmul(x, w);
    let y = g.act(Activation::Tanh, y);
    let y = g.mul(y, y);
    g.output("y", y);
    let caps = gpu.caps(1);
    let plan = lower(&g, caps).expect("the plan fits");
    let region = plan.launches.iter().find_map(|l| l.region());
    let layout = region.and_then(|r| r.layout.clone()).expect("a region");
    assert!(layout.tasks_per_group > 1, "{layout:?}");
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

/// WebGPU's default limits let a launch bind 8 buffers: slots share them, and every region stays what it is.
#[test]
fn default_limits_keep_every_region() {
    let Some(gpu) = gpu(true) else { return };
    let (device, queue) = plain_device(&gpu);
    let own = Gpu::from_device(device, queue, true);
    let mut shared = 0;
    for seed in 0..3 {
        let s = Shape::random(seed);
        let (g, feed) = learning(s, seed, true);
        // The same workgroups, all the buffers that the device has.
        let few = own.caps(1);
        let most = |r: RegionCaps| GroupCaps { operands: 64, ..r.group.expect("workgroups") };
        let regions = few.regions.map(|r| RegionCaps { group: Some(most(r)), ..r });
        let [alone, together] =
            [Caps { regions, ..few }, few].map(|caps| lower(&g, caps).expect("the plan fits"));
        let shapes = |plan: &Plan| plan.launches.iter().map(|l| l.shader()).collect::<Vec<_>>();
        assert_eq!(shapes(&alone), shapes(&together), "seed {seed}, {s:?}");
        for r in together.launches.iter().filter_map(|l| l.region()) {
            let bindings = &r.layout.as_ref().expect("for a GPU").bindings;
            assert!(bindings.iter().all(|(number, _)| *number < 8), "{bindings:?}");
        }
        shared += together.shared_buffers.len();
        let results = |gpu: &Gpu, plan: &Plan| {
            let mut runner = GpuRunner::prepare(gpu, plan).expect("prepared");
            let cpu = prepared::<f32>(plan, &feed);
            for i in 0..plan.slots.len() {
                runner.write(SlotId(i), 0, &words(cpu.slot(SlotId(i)))).expect("the slot is as long");
            }
            runner.run(1).expect("it runs");
            let mut read = |port: &Port| {
                let slot = port.arg.slot;
                (port.name.clone(), runner.read(slot, 0..plan.slots[slot.0].len).expect("read"))
            };
            plan.outputs.iter().map(&mut read).collect::<Vec<_>>()
        };
        let want = results(&gpu, &alone);
        assert!(!want.is_empty());
        assert!(results(&own, &together) == want, "seed {seed}, {s:?}: other results");
    }
    assert!(shared > 0, "no plan had slots share a buffer");
}

fn words(slot: &Buffer<f32>) -> Vec<u32> {
    match slot {
        Buffer::F(x) => x.iter().map(|x| x.to_bits()).collect(),
        Buffer::U(x) => x.clone(),
    }
}

/// A scan over time in a scan over steps of learning, and their way back: loops in loops.
#[test]
fn scans_in_scans() {
    let Some(gpu) = gpu(false) else { return };
    let (g, feed) = recurrent(5, 6, 2, 4, true);
    let plan = lower(&g, caps(&gpu, 16 << 10)).expect("the plan fits");
    let deep = |r: &Region| r.blocks().iter().any(|p| p.times[1] > 1);
    assert!(plan.launches.iter().any(|l| l.region().is_some_and(deep)), "{plan}");
    let mut cpu = prepared::<f32>(&plan, &feed);
    let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
    assert!(report.divergence.is_none(), "{report:?}");
}
