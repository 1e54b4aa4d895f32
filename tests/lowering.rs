//! The lowering against an interpreter: random graphs of every op, their plans run in f64 (equal), in f32
//! (within bounds that the plan itself propagates); and graphs that were once lowered wrongly.

mod support;

use std::collections::BTreeSet;

use hyperloom::check::bounds::compare_launch;
use hyperloom::graph::Graph;
use hyperloom::graph::conv::Conv;
use hyperloom::kernel::{Bounded, Buffer, FILL};
use hyperloom::plan::{Caps, Launch, Plan, SlotId, lower};
use hyperloom::region::{GroupCaps, RegionCaps};
use hyperloom::rng::Rng;
use hyperloom::run::cpu::CpuRunner;
use hyperloom::spec::Activation;
use support::chains::{chains, pictures};
use support::random_graph::random_graph;
use support::{Feed, close, data, long_sums, numbers, prepared, run_interpreted, run_lowered, run_plan};

/// Runs a graph as a plan and by the interpreter.
fn agree(what: &str, g: &Graph, feed: &Feed) {
    let want = run_interpreted(g, feed);
    let got = run_plan::<f64>(g, feed);
    // A state that nothing uses is not in the plan.
    assert!(g.outputs().iter().all(|(name, _)| got.values.contains_key(name)), "{what}");
    for (name, values) in &got.values {
        let want = &want.values[name];
        assert!(close(values, want, 1e-9), "{what}: {name} is\n{values:?}, not\n{want:?}\n{g:?}");
    }
    for (row, (got, want)) in got.records.iter().zip(&want.records).enumerate() {
        assert!(close(got, want, 1e-9), "{what}: records of step {row} are {got:?}, not {want:?}");
    }
}

#[test]
fn random_graphs_in_f64() {
    for seed in 0..400 {
        let r = random_graph(seed);
        agree(&format!("seed {seed}"), &r.graph, &r.feed);
    }
}

#[test]
fn random_graphs_in_f32() {
    let (mut finite, mut all) = (0, 0);
    for seed in 0..250 {
        let r = random_graph(seed);
        let bounds = run_plan::<Bounded>(&r.graph, &r.feed);
        let got = run_plan::<f32>(&r.graph, &r.feed);
        for (name, values) in &bounds.values {
            for (i, (b, x)) in values.iter().zip(&got.values[name]).enumerate() {
                assert!(b.admits(*x), "seed {seed}: {name}[{i}] is {x}, not {b:?}");
                finite += usize::from(b.e < 1e-2 * b.v.abs().max(1.0));
                all += 1;
            }
        }
    }
    // Bounds that grew beyond use say nothing.
    assert!(finite * 10 > all * 9, "only {finite} of {all} bounds are of use");
}

#[test]
fn two_products_are_summed() {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(1, 1));
    let [a, b, c] = [("a", [3, 4]), ("b", [4, 5]), ("c", [4, 5])]
        .map(|(name, shape)| data(&mut g, &mut feed, name, numbers(&mut rng, &shape, -1.0, 1.0)));
    let (ab, ac) = (g.matmul(a, b), g.matmul(a, c));
    let y = g.add(ab, ac);
    g.output("y", y);
    agree("two products", &g, &feed);
}

#[test]
fn long_sums_in_parts() {
    let (g, feed) = long_sums();
    let want = run_interpreted(&g, &feed);
    let lengths = [1, FILL].map(|fill| {
        let plan = lower(&g, Caps { fill, ..Caps::cpu(1) }).expect("the plan fits");
        let got = run_lowered::<f64>(&plan, &feed);
        for (name, values) in &got.values {
            assert!(close(values, &want.values[name], 1e-9), "{name} filling {fill}\n{plan}");
        }
        plan.launches.len()
    });
    // Six products and eight sums are cut; the ninth and tenth are short.
    assert!(lengths[1] > 2 * lengths[0], "{lengths:?}");
}

/// The gradient of a convolution by its kernels is a sum over all pictures: a device with many threads gets parts of it.
#[test]
fn gradients_by_kernels_in_parts() {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(5, 5));
    let mut new = |g: &mut Graph, name: &str, shape: &[usize]| {
        data(g, &mut feed, name, numbers(&mut rng, shape, -0.5, 0.5))
    };
    let shared = new(&mut g, "shared", &[1, 8, 16, 16, 2]);
    for (name, tasks, pictures, groups) in
        [("even", 3, 8, 1), ("groups", 2, 12, 2), ("one", 1, 9, 1), ("prime", 2, 7, 1)]
    {
        let x = new(&mut g, &format!("{name} x"), &[tasks, pictures, 16, 16, 2]);
        let y = new(&mut g, &format!("{name} y"), &[tasks, pictures, 16, 16, 4]);
        let conv = Conv { groups, ..Conv::square(3, 1).same([16, 16]) };
        let k = g.conv_kernels(conv, x, y);
        g.output(name, k);
        if name == "even" {
            // Every task sees the same pictures: they do not lie one after another.
            let x = g.expand(shared, &[tasks, pictures, 16, 16, 2]);
            let k = g.conv_kernels(conv, x, y);
            g.output("shared", k);
        }
    }
    let want = run_interpreted(&g, &feed);
    let lengths = [1, FILL].map(|fill| {
        let plan = lower(&g, Caps { fill, regions: None, ..Caps::cpu(1) }).expect("the plan fits");
        let got = run_lowered::<f64>(&plan, &feed);
        for (name, values) in &got.values {
            assert!(close(values, &want.values[name], 1e-9), "{name} filling {fill}\n{plan}");
        }
        plan.launches.len()
    });
    assert_eq!(lengths, [5, 8], "three of five are cut, and their parts added");
}

/// Launches over the same elements are one on a GPU, as far as it binds buffers enough.
#[test]
fn launches_over_the_same_elements_are_chains() {
    let (g, feed) = pictures(2, [6, 5, 3]);
    let want = run_interpreted(&g, &feed);
    let launches = [None, Some(8), Some(3)].map(|operands| {
        let group = operands.map(|operands| GroupCaps {
            bytes: 16 << 10,
            threads: 256,
            operands,
            passes: 64,
            loop_passes: 64,
        });
        let regions = Caps::cpu(1).regions.filter(|_| group.is_some());
        let caps = Caps { regions: regions.map(|r| RegionCaps { group, ..r }), ..Caps::cpu(1) };
        let plan = lower(&g, caps).expect("the plan fits");
        let got = run_lowered::<f64>(&plan, &feed);
        for (name, values) in &got.values {
            assert!(close(values, &want.values[name], 1e-9), "{name} with {operands:?} buffers\n{plan}");
        }
        let bound =
            |l: &Launch| l.reads.iter().chain(&l.writes).map(|a| a.slot).collect::<BTreeSet<_>>().len();
        let most = operands.unwrap_or(4);
        assert!(plan.launches.iter().all(|l| l.name() != "chain" || bound(l) <= most), "{plan}");
        (plan.launches.len(), chains(&plan))
    });
    let [(apart, none), (together, many), (bounded, some)] = launches;
    assert!(none == 0 && many >= 5 && some >= 1, "{launches:?}");
    assert!(together < bounded && bounded < apart, "{launches:?}");
}

/// How a product is computed belongs to the launch, by the device that it is planned for; the kernel is the same.
#[test]
fn a_launch_carries_how_its_product_is_computed() {
    let mut g = Graph::new();
    let (a, b) = (g.data("a", &[512, 100]), g.data("b", &[100, 512]));
    let y = g.matmul(a, b);
    g.output("y", y);
    let [small, large] = [2, FILL].map(|fill| {
        let plan = lower(&g, Caps { fill, ..Caps::cpu(1) }).expect("the plan fits");
        plan.launches[0].clone()
    });
    assert_eq!(small.program, large.program);
    assert_eq!((small.shader(), large.shader()), ("matmul_large", "matmul"));
    assert!(small.dispatch().groups != large.dispatch().groups);
    assert_eq!(small.for_device(FILL), large);
}

/// Runs a plan launch by launch, each from what the launches before it left, and holds every result to its bound.
fn in_lockstep(what: &str, plan: &Plan, feed: &Feed) {
    let mut runner = prepared::<f32>(plan, feed);
    let words = |runner: &CpuRunner<f32>, i: usize| match runner.slot(SlotId(i)) {
        Buffer::F(x) => x.iter().map(|x| x.to_bits()).collect::<Vec<u32>>(),
        Buffer::U(x) => x.clone(),
    };
    for (k, launch) in plan.launches.iter().enumerate() {
        let touched = |i: usize| launch.reads.iter().chain(&launch.writes).any(|a| a.slot.0 == i);
        let contents = |runner: &CpuRunner<f32>| -> Vec<Vec<u32>> {
            (0..plan.slots.len()).map(|i| if touched(i) { words(runner, i) } else { vec![] }).collect()
        };
        let before = contents(&runner);
        runner.launch(k..k + 1);
        let report = compare_launch(plan, launch, &before, &contents(&runner));
        assert!(report.failure.is_none(), "{what}, launch {k}: {report}");
    }
}

/// Lockstep: every launch of a plan by itself, from what the launches before it left.
#[test]
fn every_launch_is_within_its_own_bounds() {
    for seed in 0..60 {
        let r = random_graph(seed);
        let plan = lower(&r.graph, Caps::cpu(r.feed.steps.len())).expect("the plan fits");
        in_lockstep(&format!("seed {seed}"), &plan, &r.feed);
    }
}

/// A bias much larger than the sums is added to them, in regions, too: the other way round each term is rounded at its size.
#[test]
fn large_biases_are_added_last() {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(3, 3));
    let mut new = |g: &mut Graph, name: &str, shape: &[usize], scale: f64| {
        data(g, &mut feed, name, numbers(&mut rng, shape, -scale, scale))
    };
    let tasks = 16;
    let (x, w) = (new(&mut g, "x", &[tasks, 10, 30], 0.1), new(&mut g, "w", &[tasks, 30, 12], 0.1));
    let (bias, v) = (new(&mut g, "bias", &[tasks, 1, 12], 40.0), new(&mut g, "v", &[tasks, 12, 5], 0.1));
    let bias = g.expand(bias, &[tasks, 10, 12]);
    let y = g.matmul(x, w);
    let y = g.add(y, bias);
    let y = g.matmul(y, v);
    g.output("y", y);
    let (pictures, k) =
        (new(&mut g, "pictures", &[tasks, 2, 7, 7, 3], 0.1), new(&mut g, "k", &[tasks, 3, 3, 3, 4], 0.1));
    let bias = new(&mut g, "channels", &[tasks, 1, 1, 1, 4], 40.0);
    let bias = g.expand(bias, &[tasks, 2, 7, 7, 4]);
    let z = g.conv(Conv::square(3, 1).same([7, 7]), pictures, k, [7, 7]);
    let z = g.add(z, bias);
    let z = g.act(Activation::Tanh, z);
    g.output("z", z);
    let plan = lower(&g, Caps::cpu(1)).expect("the plan fits");
    assert!(plan.launches.iter().any(|l| l.region().is_some_and(|r| r.has_products())), "{plan}");
    in_lockstep("large biases", &plan, &feed);
}
