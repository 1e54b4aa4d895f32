//! Task regions: the same graphs with regions, launch by launch, and by the interpreter; scans and their gradients
//! against loops written out by hand; the golden files.

mod support;

use std::path::Path;

use hyperloom::check::bounds::NMSE_LIMIT;
use hyperloom::check::golden::{LIMIT_F32, LIMIT_F64, check_golden, run_f64_for, run_on_for};
use hyperloom::graph::op::Dist;
use hyperloom::graph::{Graph, Role, Value};
use hyperloom::kernel::Bounded;
use hyperloom::net::{Net, Weights};
use hyperloom::plan::{Caps, KEEP, Launch, Plan, lower};
use hyperloom::region::chunks::Step;
use hyperloom::region::{GroupCaps, RegionCaps, Stage};
use hyperloom::rng::Rng;
use hyperloom::run::Device;
use hyperloom::spec::{Activation, DType};
use hyperloom::task::Loss;
use support::interpret::Array;
use support::learning::{Shape, learning, many_rows, recurrent};
use support::own_blocks::{own_blocks, own_kernels};
use support::random_graph::random_graph;
use support::{
    Feed, Results, caps, close, data, numbers, run_interpreted, run_lowered, run_plan, with_regions,
};

/// Regions with the tasks' products in them; brief launches may make others.
fn regions(plan: &Plan) -> usize {
    plan.launches.iter().filter(|l| l.region().is_some_and(|r| r.has_products())).count()
}

fn same(what: &str, got: &Results<f64>, want: &Results<f64>) {
    for (name, values) in &got.values {
        assert!(
            close(values, &want.values[name], 1e-9),
            "{what}: {name} is\n{values:?}, not\n{:?}",
            want.values[name]
        );
    }
    for (got, want) in got.records.iter().zip(&want.records) {
        assert!(close(got, want, 1e-9), "{what}: records are {got:?}, not {want:?}");
    }
}

/// Every element of an f32 run lies within the bound that the same plan has in error-bounded numbers; the share of
/// bounds that say something.
fn bounded(what: &str, plan: &Plan, feed: &Feed) -> f64 {
    let bounds = run_lowered::<Bounded>(plan, feed);
    let got = run_lowered::<f32>(plan, feed);
    let (mut of_use, mut all) = (0, 0);
    for (name, values) in &bounds.values {
        for (i, (b, x)) in values.iter().zip(&got.values[name]).enumerate() {
            assert!(b.admits(*x), "{what}: {name}[{i}] is {x}, not {b:?}");
            of_use += usize::from(b.e < 1e-2 * b.v.abs().max(1.0));
            all += 1;
        }
    }
    f64::from(of_use as u32) / f64::from(all.max(1) as u32)
}

#[test]
fn random_graphs() {
    let mut found = 0;
    for seed in 0..400 {
        let r = random_graph(seed);
        let plan = with_regions(&r.graph, &r.feed);
        found += regions(&plan);
        if regions(&plan) > 0 {
            let what = format!("seed {seed}");
            same(&what, &run_lowered(&plan, &r.feed), &run_interpreted(&r.graph, &r.feed));
            bounded(&what, &plan, &r.feed);
        }
    }
    assert!(found > 100, "only {found} regions in 400 graphs");
}

/// Networks of different shapes whose results stand side by side in one output have nothing to do with one another: a region each.
#[test]
fn different_networks_are_regions_of_their_own() {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(3, 1));
    let x = data(&mut g, &mut feed, "x", numbers(&mut rng, &[1, 5, 2], -1.0, 1.0));
    let results = [3, 4, 6].map(|width| {
        let net = Net::mlp(&[2, width, 1], Activation::Tanh);
        let layout = net.layout();
        let weights = numbers(&mut rng, &[8, layout.len()], -1.0, 1.0);
        let flat = data(&mut g, &mut feed, &format!("{width} units"), weights);
        let rows = g.expand(x, &[8, 5, 2]);
        let y = net.apply(&mut g, Weights { flat, layout: &layout }, rows);
        g.reshape(y, &[8, 5])
    });
    let all = g.concat(&results, 0);
    g.output("all", all);
    let plan = with_regions(&g, &feed);
    assert_eq!((plan.launches.len(), regions(&plan)), (3, 3), "{plan}");
    let (got, want) = (run_lowered::<f64>(&plan, &feed), run_interpreted(&g, &feed));
    assert!(close(&got.values["all"], &want.values["all"], 1e-12), "{plan}");
}

/// Kernels with texts of their own, of all shapes: none is left outside of regions, and none computes anything else there.
#[test]
fn convolutions_solves_gathers_and_draws() {
    for seed in 0..40 {
        let (g, feed) = own_blocks([2, 5, 16, 19][seed as usize % 4], seed);
        let plan = with_regions(&g, &feed);
        let [outside, inside] = own_kernels(&plan);
        assert!(outside == 0 && inside >= 12, "seed {seed}: {outside} outside\n{plan}");
        let what = format!("seed {seed}");
        same(&what, &run_lowered(&plan, &feed), &run_interpreted(&g, &feed));
        bounded(&what, &plan, &feed);
    }
}

#[test]
fn learning_and_its_gradient() {
    let (mut one, mut of_use) = (0, 0.0);
    for seed in 0..60 {
        let s = Shape::random(seed);
        let what = format!("seed {seed}, {s:?}");
        let (by_hand, feed) = learning(s, seed, false);
        let (g, _) = learning(s, seed, true);
        let want = run_interpreted(&by_hand, &feed);
        same(&what, &run_plan(&g, &feed), &want);
        let plan = with_regions(&g, &feed);
        assert!(regions(&plan) > 0, "{what}: no region\n{plan}");
        one += usize::from(regions(&plan) == 1);
        same(&what, &run_lowered(&plan, &feed), &want);
        of_use += bounded(&what, &plan, &feed) / 60.0;
    }
    assert!(one >= 50, "forward and backward pass are one region in {one} of 60");
    assert!(of_use > 0.8, "only {of_use} of the bounds are of use");
}

#[test]
fn what_a_region_is_too_large_for_is_written_out() {
    let (g, feed) = learning(Shape { tasks: 8, steps: 3, ..Shape::random(1) }, 1, true);
    let plan = lower(
        &g,
        Caps {
            regions: Some(RegionCaps { least_tasks: 2, bytes: 64, fast_memory: 64, group: None }),
            ..caps(&feed)
        },
    );
    let plan = plan.expect("the plan fits");
    assert_eq!(regions(&plan), 0);
    same("written out", &run_lowered(&plan, &feed), &run_plan(&g, &feed));
}

/// Rows that do not fit at once go some at a time, whatever their number.
/// What to lower for: workgroups that bind so many buffers and do so many passes.
fn for_groups(operands: usize, passes: usize) -> Caps {
    let group = GroupCaps { bytes: 16 << 10, threads: 256, operands, passes, loop_passes: 4 * passes };
    let regions = RegionCaps { least_tasks: 2, bytes: 256 << 10, fast_memory: 16 << 10, group: Some(group) };
    Caps { regions: Some(regions), ..caps(&Feed::default()) }
}

/// Steps of learning written out one after another: too long for one shader.
#[test]
fn what_is_too_long_for_a_region_becomes_several() {
    let mut more = 0;
    for seed in 0..20 {
        let s = Shape::random(seed);
        let (g, feed) = learning(s, seed, false);
        let [all, plan] = [256, 24].map(|p| lower(&g, for_groups(64, p)).expect("the plan fits"));
        let passes = |plan: &Plan| -> Vec<usize> {
            let found = plan.launches.iter().filter_map(|l| l.region().and_then(|r| r.layout.as_ref()));
            found.map(|l| l.passes()).collect()
        };
        assert!(passes(&plan).iter().all(|p| *p <= 24), "{:?}", passes(&plan));
        more += usize::from(regions(&plan) > regions(&all));
        let what = format!("seed {seed}, {s:?}");
        same(&what, &run_lowered(&plan, &feed), &run_interpreted(&g, &feed));
    }
    assert!(more > 10, "only {more} plans with more regions");
}

/// A device that binds few buffers: slots share them, and where that does not go far enough, launches stay by themselves.
#[test]
fn few_buffers_are_shared_or_the_region_is_left_out() {
    let few = |operands| for_groups(operands, 256);
    let (mut shared, mut left_out) = (0, 0);
    for seed in 0..20 {
        let s = Shape::random(seed);
        let (g, feed) = learning(s, seed, true);
        let all = lower(&g, few(64)).expect("the plan fits");
        for operands in [8, 4, 1] {
            let plan = lower(&g, few(operands)).expect("the plan fits");
            for r in plan.launches.iter().filter_map(|l| l.region()) {
                let bindings = &r.layout.as_ref().expect("for a GPU").bindings;
                assert!(bindings.iter().all(|(number, _)| *number < operands), "{operands}: {bindings:?}");
            }
            shared += plan.shared_buffers.len();
            if regions(&plan) < regions(&all) {
                assert!(plan.notes.iter().any(|n| n.contains("buffers")), "{:?}", plan.notes);
                left_out += 1;
            }
            let what = format!("seed {seed}, {operands} buffers, {s:?}");
            same(&what, &run_lowered(&plan, &feed), &run_interpreted(&g, &feed));
            // Eight is what every device has.
            assert!(operands < 8 || regions(&plan) == regions(&all), "{what}: {:?}", plan.notes);
        }
    }
    assert!(shared > 0 && left_out > 0, "{shared} buffers shared, {left_out} plans with fewer regions");
}

#[test]
fn many_rows_go_some_at_a_time() {
    let region = |plan: &Plan| {
        let found =
            plan.launches.iter().filter_map(|l| l.region().and_then(|r| r.has_products().then(|| r.clone())));
        found.collect::<Vec<_>>()
    };
    for (seed, rows) in [24, 37, 50, 64, 100, 131].into_iter().enumerate() {
        for (kind, widths) in [
            (Loss::Mse, vec![2, 8, 8, 1]),
            (Loss::CrossEntropy, vec![3, 12, 12, 3]),
            (Loss::Mse, vec![1, 16, 1]),
        ] {
            let what = format!("{rows} rows, {widths:?}");
            let (g, feed) = many_rows(3, rows, &widths, kind, seed as u64);
            let whole = region(&with_regions(&g, &feed));
            let [whole] = &whole[..] else { panic!("{what}: not one region") };
            let bytes = 3 * whole.peak();
            let regions = RegionCaps { least_tasks: 2, bytes, fast_memory: bytes / 2, group: None };
            let plan = lower(&g, Caps { regions: Some(regions), ..caps(&feed) }).expect("the plan fits");
            let found = region(&plan);
            let [by_rows] = &found[..] else { panic!("{what}: not one region by rows\n{plan}") };
            let loops = by_rows.stages.iter().filter(|s| matches!(s, Stage::Loop { .. })).count();
            assert!(loops == 1 && by_rows.peak() <= regions.bytes / 4, "{what}: {plan}");
            same(&what, &run_lowered(&plan, &feed), &run_interpreted(&g, &feed));
            bounded(&what, &plan, &feed);
        }
    }
}

/// The same around a loop: the rows of what follows inner learning, and of its gradient.
#[test]
fn many_rows_around_a_loop() {
    let mut found = 0;
    for seed in 0..30 {
        let s = Shape { query: 45, ..Shape::random(seed) };
        let (g, feed) = learning(s, seed, true);
        for kib in [2, 4, 8, 16] {
            let regions = RegionCaps { least_tasks: 2, bytes: kib << 10, fast_memory: kib << 9, group: None };
            let plan = lower(&g, Caps { regions: Some(regions), ..caps(&feed) }).expect("the plan fits");
            let part = |l: &Launch| {
                l.region().is_some_and(|r| r.locals.iter().any(|l| l.label.contains(" rows of ")))
            };
            if plan.launches.iter().any(part) {
                found += 1;
                same(&format!("seed {seed}, {s:?}"), &run_lowered(&plan, &feed), &run_plan(&g, &feed));
            }
        }
    }
    assert!(found > 10, "only {found} regions");
}

/// Rows of the steps of inner learning and of their way back: loops in loops, in regions alone and beside others.
#[test]
fn many_rows_in_a_loop() {
    let mut smaller = 0;
    for seed in 0..30 {
        let random = Shape::random(seed);
        let [inputs, _, outputs] = random.widths;
        let s = Shape { tasks: 3, rows: 150 + seed as usize, widths: [inputs, 24, outputs], ..random };
        let (g, feed) = learning(s, seed, true);
        let what = format!("seed {seed}, {s:?}");
        let peak = |plan: &Plan| {
            let peaks = plan
                .launches
                .iter()
                .filter_map(|l| l.region().and_then(|r| r.has_products().then(|| r.peak())));
            peaks.max()
        };
        let whole = peak(&with_regions(&g, &feed)).expect("a region");
        let regions = RegionCaps { least_tasks: 2, bytes: 1 << 20, fast_memory: whole, group: None };
        let plan = lower(&g, Caps { regions: Some(regions), ..caps(&feed) }).expect("the plan fits");
        let region = plan
            .launches
            .iter()
            .filter_map(Launch::region)
            .find(|r| r.blocks().iter().any(|p| p.times[1] > 1));
        assert!(region.is_some(), "{what}: no loop in a loop\n{plan}");
        smaller += usize::from(peak(&plan) < Some(whole));
        same(&what, &run_lowered(&plan, &feed), &run_plan(&g, &feed));
        bounded(&what, &plan, &feed);
    }
    // Where what is kept for the way back is most of it, little is gained.
    assert!(smaller >= 25, "only {smaller} of 30 need less room");
}

/// A gradient of a gradient of a scan.
/// A scan over time in a scan over steps, and their way back: loops in loops of one region.
#[test]
fn scans_in_scans_are_loops_in_loops() {
    for (tasks, time, steps, hidden) in [(3, 5, 2, 4), (17, 4, 3, 5), (2, 1, 1, 3)] {
        let ((by_hand, feed), (g, _)) =
            (recurrent(tasks, time, steps, hidden, false), recurrent(tasks, time, steps, hidden, true));
        let want = run_interpreted(&by_hand, &feed);
        let what = format!("{tasks} tasks, {steps} steps over {time}");
        same(&what, &run_plan(&g, &feed), &want);
        for plan in [with_regions(&g, &feed), lower(&g, for_groups(8, 256)).expect("the plan fits")] {
            let deep = |l: &Launch| l.region().is_some_and(|r| r.blocks().iter().any(|p| p.times[1] > 1));
            assert!(time == 1 || plan.launches.iter().any(deep), "{plan}");
            assert_eq!(regions(&plan), 1, "{plan}");
            same(&what, &run_lowered(&plan, &feed), &want);
            bounded(&what, &plan, &feed);
        }
    }
}

/// Repetitions draw numbers of their own, in scans of scans, too, and the way back knows them.
#[test]
fn repetitions_draw_numbers_of_their_own() {
    let (mut g, mut feed) = (Graph::new(), Feed::default());
    g.keep(KEEP);
    let (t, n) = (3, 4);
    let x = data(&mut g, &mut feed, "x", numbers(&mut Rng::new(1, 1), &[t, n], 1.0, 2.0));
    let key = g.input("key", Role::Data, &[2], DType::U32);
    feed.inputs.insert("key".into(), Array { shape: vec![2], data: vec![11.0, 3.0] });
    let zero = g.constant(0.0);
    let sum = g.expand(zero, &[t, n]);
    let draw = |g: &mut Graph, sum: Value, x: Value, key: Value| {
        let mask = g.random(Dist::Uniform, key, 5, &[t, n]);
        let part = g.mul(mask, x);
        (g.add(sum, part), mask)
    };
    let (sums, masks) = g.scan(3, &[sum], &[x, key], &[], |g, a| {
        let (sum, mask) = draw(g, a.carried[0], a.constants[0], a.constants[1]);
        let (inner, masks) = g.scan(2, &[sum], a.constants, &[], |g, a| {
            let (sum, mask) = draw(g, a.carried[0], a.constants[0], a.constants[1]);
            (vec![sum], vec![mask])
        });
        (vec![inner[0]], vec![mask, masks[0]])
    });
    let total = g.sum_to(sums[0], &[]);
    let d = g.grad(total, &[x])[0];
    g.output("d", d);
    g.output("outer", masks[0]);
    g.output("inner", masks[1]);
    let got: Results<f64> = run_lowered(&with_regions(&g, &feed), &feed);
    let (outer, inner) = (&got.values["outer"], &got.values["inner"]);
    let mut all: Vec<u64> = outer.iter().chain(inner).map(|x| x.to_bits()).collect();
    assert_eq!(all.len(), t * n * (3 + 3 * 2));
    all.sort_unstable();
    all.dedup();
    assert!(all.len() > t * n * 9 - 3, "only {} different numbers", all.len());
    // The derivative is the sum of the masks: [t, 3, n] and [t, 3, 2, n].
    for task in 0..t {
        for i in 0..n {
            let of = |list: &[f64], repetitions: usize| -> f64 {
                (0..repetitions).map(|r| list[(task * repetitions + r) * n + i]).sum()
            };
            let want = of(outer, 3) + of(inner, 6);
            assert!((got.values["d"][task * n + i] - want).abs() < 1e-6, "task {task}, {i}");
        }
    }
}

#[test]
fn the_gradient_of_a_scan_has_a_gradient() {
    let build = |scan: bool| {
        let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(4, 4));
        g.keep(KEEP);
        let x = data(&mut g, &mut feed, "x", numbers(&mut rng, &[3, 2], -1.0, 1.0));
        let a = data(&mut g, &mut feed, "a", numbers(&mut rng, &[3, 2], -1.0, 1.0));
        let step = |g: &mut Graph, x: Value, a: Value| {
            let y = g.mul(x, a);
            let y = g.act(Activation::Tanh, y);
            let xx = g.mul(x, x);
            g.sub(y, xx)
        };
        let y = if scan {
            let (y, _) =
                g.scan(3, &[x], &[a], &[], |g, s| (vec![step(g, s.carried[0], s.constants[0])], vec![]));
            y[0]
        } else {
            (0..3).fold(x, |x, _| step(&mut g, x, a))
        };
        let y2 = g.mul(y, y);
        let sum = g.sum_to(y2, &[]);
        let first = g.grad(sum, &[x, a]);
        let square = g.mul(first[0], first[1]);
        let sum = g.sum_to(square, &[]);
        let second = g.grad(sum, &[x, a]);
        g.output("dx", second[0]);
        g.output("da", second[1]);
        (g, feed)
    };
    let ((by_hand, feed), (g, _)) = (build(false), build(true));
    let want = run_interpreted(&by_hand, &feed);
    same("written out", &run_plan(&g, &feed), &want);
    same("with regions", &run_lowered(&with_regions(&g, &feed), &feed), &want);
}

#[test]
fn golden_files() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let regions = Some(RegionCaps { least_tasks: 2, bytes: 1 << 20, fast_memory: 1 << 20, group: None });
    let caps = |steps: usize| Caps { regions, ..Caps::cpu(steps) };
    let f64s = check_golden(&directory, &mut |job| run_f64_for(caps(job.steps.len()), job)).expect("files");
    let f32s = check_golden(&directory, &mut |job| run_on_for(&Device::Cpu, caps(job.steps.len()), job))
        .expect("files");
    for (reports, limit) in [(f64s, LIMIT_F64), (f32s, LIMIT_F32)] {
        for r in reports {
            assert!(r.error <= limit, "{r}");
        }
    }
}

/// What a scan keeps for the way back costs memory and saves work; results stay as they are, to the bit.
#[test]
fn what_a_scan_keeps_changes_no_result() {
    let built = |keep: usize| {
        let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(4, 5));
        g.keep(keep);
        let x = data(&mut g, &mut feed, "x", numbers(&mut rng, &[16, 1, 8], -1.0, 1.0));
        let w = data(&mut g, &mut feed, "w", numbers(&mut rng, &[16, 8, 8], -1.0, 1.0));
        let (y, _) = g.scan(3, &[x], &[w], &[], |g, s| {
            let y = g.matmul(s.carried[0], s.constants[0]);
            (vec![g.act(Activation::Tanh, y)], vec![])
        });
        let sum = g.sum_to(y[0], &[]);
        for (name, d) in ["dx", "dw"].iter().zip(g.grad(sum, &[x, w])) {
            g.output(name, d);
        }
        let plan = lower(&g, Caps::cpu(1).without_regions()).expect("it fits");
        let flops = plan.launches.iter().map(|l| l.work().flops).sum::<f64>();
        (run_lowered::<f32>(&plan, &feed).values, flops)
    };
    let ((some, more_work), (all, less_work)) = (built(0), built(KEEP));
    assert_eq!(some, all);
    assert!(less_work < more_work, "{less_work} and {more_work}");
}

/// Losses and gradients of convolutional networks whose pictures are too many for a cache.
fn pictures(net: &Net, tasks: usize, rows: usize, seed: u64) -> (Graph, Feed) {
    let (mut g, mut rng, mut feed) = (Graph::new(), Rng::new(seed, 0), Feed::default());
    let layout = net.layout();
    let w = data(&mut g, &mut feed, "w", numbers(&mut rng, &[tasks, layout.len()], -0.5, 0.5));
    let x = data(&mut g, &mut feed, "x", numbers(&mut rng, &[tasks, rows, net.inputs()], -1.0, 1.0));
    let y = net.apply(&mut g, Weights { flat: w, layout: &layout }, x);
    let square = g.mul(y, y);
    let each = g.sum_to(square, &[tasks, 1, 1]);
    let sum = g.sum_to(each, &[]);
    let gradients = g.grad(sum, &[w, x]);
    g.output("each", each);
    g.output("by weights", gradients[0]);
    g.output("by pictures", gradients[1]);
    (g, feed)
}

/// Chunks of tasks, each from its first launch to its last, with what lies between convolutions in sweeps.
#[test]
fn chunks_of_tasks() {
    let image = || Net::image([32, 32, 1]);
    // Channels that fill registers and such that do not; sums over pictures, over all of a row, over groups of channels.
    let nets = [
        image().conv(16, 2).batch_norm().relu().max_pool(2).conv(3, [2, 1]).tanh(),
        image().conv(10, [1, 2]).group_norm(2).sin().avg_pool([2, 1]).flatten().dense(3),
        image().conv(9, 1).layer_norm().tanh().residual(|b| b.conv(9, 1).sin()).conv(2, 1),
    ];
    // Tasks with many pictures are chunks of their own, others share some (or are regions, where their channels are few).
    let cases = [(0, 8, 4, 8), (0, 32, 1, 2), (1, 8, 4, 8), (2, 8, 4, 8)];
    for (i, tasks, rows, expected) in cases {
        let (g, feed) = pictures(&nets[i], tasks, rows, i as u64);
        let plan = with_regions(&g, &feed);
        let chunks = plan.launches.iter().find_map(|l| l.chunks()).unwrap_or_else(|| panic!("{i}: {plan}"));
        assert_eq!(chunks.region.tasks, expected);
        assert!(chunks.steps().iter().any(|s| matches!(s, Step::Sweep(s) if s.turns > 1)), "{i}: {plan}");
        let exact = run_lowered::<f64>(&plan, &feed);
        same(&format!("chunks, {i}"), &exact, &run_interpreted(&g, &feed));
        // Behind norms and maxima bounds say nothing, since rounding could turn comparisons over: there the mean error does.
        if i > 0 {
            bounded(&format!("chunks, {i}"), &plan, &feed);
        }
        for (name, got) in &run_lowered::<f32>(&plan, &feed).values {
            let square = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
            let want = &exact.values[name];
            let apart = square(&mut got.iter().zip(want).map(|(a, b)| f64::from(*a) - b));
            let nmse = apart / square(&mut want.iter().copied());
            assert!(nmse <= NMSE_LIMIT, "{i}: {name} has a mean error of {nmse:.1e}");
        }
    }
}
