//! What several tests share: an interpreter of graphs, plans run in any number type, random graphs, and
//! derivatives by differences.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod buckets;
pub(crate) mod chains;
pub(crate) mod differences;
pub(crate) mod interpret;
pub(crate) mod learning;
pub(crate) mod norms;
pub(crate) mod own_blocks;
pub(crate) mod random_graph;
pub(crate) mod search;
pub(crate) mod shards;
pub(crate) mod stores;

use std::collections::BTreeMap;

use hyperloom::graph::{Graph, Role};
use hyperloom::kernel::Buffer;
use hyperloom::plan::{Caps, Plan, Port, lower};
use hyperloom::region::RegionCaps;
use hyperloom::rng::Rng;
use hyperloom::run::cpu::{CpuRunner, Number};
use hyperloom::spec::{DType, count};
use hyperloom::view::for_each;
use interpret::{Array, Interpreter};

/// Contents of the inputs: of step inputs one a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feed {
    pub(crate) inputs: BTreeMap<String, Array>,
    pub(crate) steps: Vec<BTreeMap<String, Array>>,
}

/// Outputs and states at the end, by name, and the records of all steps.
#[derive(Debug)]
pub(crate) struct Results<T> {
    pub(crate) values: BTreeMap<String, Vec<T>>,
    pub(crate) records: Vec<Vec<T>>,
}

/// Numbers that f32 holds exactly.
pub(crate) fn numbers(rng: &mut Rng, shape: &[usize], low: f64, high: f64) -> Array {
    Array {
        shape: shape.to_vec(),
        data: (0..count(shape)).map(|_| rng.range(low, high) as f32 as f64).collect(),
    }
}

/// Lowers a graph and runs all steps of the feed.
pub(crate) fn run_plan<T: Number>(g: &Graph, feed: &Feed) -> Results<T> {
    run_lowered(&lower(g, caps(feed).without_regions()).expect("the plan fits"), feed)
}

/// For a plan of all steps of the feed, with task regions wherever there are two tasks.
pub(crate) fn caps(feed: &Feed) -> Caps {
    let regions = Some(RegionCaps { least_tasks: 2, bytes: 1 << 20, fast_memory: 1 << 20, group: None });
    Caps { memory: 1 << 32, regions, ..Caps::cpu(feed.steps.len().max(1)) }
}

/// The plan with task regions.
pub(crate) fn with_regions(g: &Graph, feed: &Feed) -> Plan {
    lower(g, caps(feed)).expect("the plan fits")
}

/// A plan with its inputs written.
pub(crate) fn prepared<T: Number>(plan: &Plan, feed: &Feed) -> CpuRunner<T> {
    let mut r = CpuRunner::<T>::prepare(plan);
    for port in &plan.inputs {
        write(&mut r, port, 0, &feed.inputs[&port.name]);
    }
    for (i, row) in feed.steps.iter().enumerate() {
        for port in &plan.steps {
            let width = plan.slots[port.arg.slot.0].len / plan.window;
            write(&mut r, port, i * width, &row[&port.name]);
        }
    }
    r
}

/// Runs all steps of the feed.
pub(crate) fn run_lowered<T: Number>(plan: &Plan, feed: &Feed) -> Results<T> {
    let mut r = prepared::<T>(plan, feed);
    r.run(feed.steps.len().max(1)).expect("the CPU runs every plan");
    let states =
        plan.inputs.iter().filter(|p| plan.slots[p.arg.slot.0].role == hyperloom::plan::SlotRole::State);
    let values = plan.outputs.iter().chain(states).map(|p| (p.name.clone(), read(&r, p))).collect();
    let records = match plan.ring {
        Some(ring) => match r.slot(ring) {
            Buffer::F(x) => x.chunks(plan.records.len()).map(<[T]>::to_vec).collect(),
            Buffer::U(_) => panic!("records are floats"),
        },
        None => vec![],
    };
    Results { values, records }
}

fn write<T: Number>(r: &mut CpuRunner<T>, port: &Port, base: usize, from: &Array) {
    assert_eq!(from.shape, port.shape, "{}", port.name);
    let at = base + port.arg.view.offset;
    match r.slot_mut(port.arg.slot) {
        Buffer::F(x) => from.data.iter().enumerate().for_each(|(i, v)| x[at + i] = T::of(*v)),
        Buffer::U(x) => from.data.iter().enumerate().for_each(|(i, v)| x[at + i] = *v as u32),
    }
}

fn read<T: Number>(r: &CpuRunner<T>, port: &Port) -> Vec<T> {
    let mut out = Vec::new();
    for_each([&port.arg.view], |[i]| {
        out.push(match r.slot(port.arg.slot) {
            Buffer::F(x) => x[i],
            Buffer::U(x) => T::of(x[i] as f64),
        })
    });
    out
}

/// The same by the interpreter.
pub(crate) fn run_interpreted(g: &Graph, feed: &Feed) -> Results<f64> {
    let mut inputs = feed.inputs.clone();
    let mut results = Results { values: BTreeMap::new(), records: vec![] };
    let rows = if feed.steps.is_empty() { vec![BTreeMap::new()] } else { feed.steps.clone() };
    for row in rows {
        let mut all = inputs.clone();
        all.extend(row);
        let mut i = Interpreter::default();
        let g = &g.unrolled(|_| true, true);
        i.extend(g, &all);
        for (name, v) in g.outputs() {
            results.values.insert(name.clone(), i.values[v.index()].data.clone());
        }
        results.records.push(g.records().iter().map(|(_, v)| i.values[v.index()].data[0]).collect());
        for (state, v) in g.updates() {
            let name = input_name(g, state.index());
            inputs.insert(name, i.values[v.index()].clone());
        }
    }
    for (i, node) in g.nodes().iter().enumerate() {
        if let hyperloom::graph::op::Op::Input(k) = node.op
            && g.inputs()[k].role == Role::State
        {
            let name = input_name(g, i);
            results.values.insert(name.clone(), inputs[&name].data.clone());
        }
    }
    if g.records().is_empty() {
        results.records.clear();
    }
    results
}

fn input_name(g: &Graph, node: usize) -> String {
    match g.nodes()[node].op {
        hyperloom::graph::op::Op::Input(k) => g.inputs()[k].name.clone(),
        _ => panic!("node {node} is no input"),
    }
}

/// Sums that a device with many threads gets in parts: products with all that they take along, alone and as
/// pieces of a concatenation, and plain sums, of lengths that divide evenly and of prime ones.
pub(crate) fn long_sums() -> (Graph, Feed) {
    use hyperloom::spec::Activation::{Relu, Tanh};
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(7, 7));
    let mut new = |g: &mut Graph, name: &str, shape: &[usize]| {
        data(g, &mut feed, name, numbers(&mut rng, shape, -0.1, 0.2))
    };
    let (x, w) = (new(&mut g, "x", &[2003, 6]), new(&mut g, "w", &[2003, 9]));
    let (bias, full) = (new(&mut g, "bias", &[1, 9]), new(&mut g, "full", &[6, 9]));
    let product = g.matmul_t(x, true, w, false);
    g.output("product", product);
    // With a bias alone, with an activation alone, with both, and with a sum that something else reads.
    let x2 = g.scale(x, 0.5);
    let p = g.matmul_t(x2, true, w, false);
    let bias = g.expand(bias, &[6, 9]);
    let biased = g.add(p, bias);
    let w2 = g.scale(w, 0.25);
    let p = g.matmul_t(x, true, w2, false);
    let active = g.act(Tanh, p);
    let p = g.matmul_t(x2, true, w2, false);
    let z = g.add(p, full);
    let both = g.act(Relu, z);
    let x3 = g.scale(x, -0.125);
    let p = g.matmul_t(x3, true, w, false);
    let saved = g.add(p, full);
    let from_saved = g.act(Tanh, saved);
    g.output("saved", saved);
    let pieces = [biased, active, both, from_saved].map(|v| g.reshape(v, &[54]));
    let pieces = g.concat(&pieces, 0);
    g.output("pieces", pieces);
    let (a, b) = (new(&mut g, "a", &[2, 5, 1024]), new(&mut g, "b", &[2, 7, 1024]));
    let batched = g.matmul_t(a, false, b, true);
    g.output("batched", batched);
    for (name, shape, to) in [
        ("one", &[50_021][..], &[1][..]),
        ("columns", &[2003, 40], &[1, 40]),
        ("rows", &[3, 40_000], &[3, 1]),
        ("middle", &[20, 900, 9], &[1, 1, 9]),
        ("short", &[40, 9], &[1, 9]),
    ] {
        let v = new(&mut g, name, shape);
        let sum = g.sum_to(v, to);
        let square = g.mul(v, v);
        let norm = g.sum_to(square, to);
        g.output(&format!("{name} sum"), sum);
        g.output(&format!("{name} norm"), norm);
    }
    (g, feed)
}

/// Whether two lists agree to `relative` of the largest magnitude (at least 10⁻³).
pub(crate) fn close(a: &[f64], b: &[f64], relative: f64) -> bool {
    let scale = b.iter().filter(|x| x.is_finite()).fold(1e-3f64, |m, x| m.max(x.abs()));
    let near = |x: f64, y: f64| x == y || (x - y).abs() <= relative * scale || (x.is_nan() && y.is_nan());
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| near(*x, *y))
}

/// Declares data and its contents at once.
pub(crate) fn data(g: &mut Graph, feed: &mut Feed, name: &str, contents: Array) -> hyperloom::graph::Value {
    let v = g.data(name, &contents.shape);
    feed.inputs.insert(name.into(), contents);
    v
}

/// Declares u32 data and its contents at once.
pub(crate) fn words(
    g: &mut Graph,
    feed: &mut Feed,
    name: &str,
    shape: &[usize],
    contents: &[u32],
) -> hyperloom::graph::Value {
    let v = g.input(name, Role::Data, shape, DType::U32);
    let data = contents.iter().map(|w| *w as f64).collect();
    feed.inputs.insert(name.into(), Array { shape: shape.to_vec(), data });
    v
}
