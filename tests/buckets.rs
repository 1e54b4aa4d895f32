//! Numbers of rows and tasks go into buckets: few plans serve all sizes, and padding does not count. (`tests/gpu/buckets.rs`
//! asks a GPU the same.)

mod support;

use hyperloom::adapt::{Adapter, InnerLoop};
use hyperloom::graph::Graph;
use hyperloom::hyper::Condition;
use hyperloom::kernel::Bounded;
use hyperloom::meta::objective::MetaSpec;
use hyperloom::net::{Net, Weights};
use hyperloom::task::{Loss, Rows};
use hyperloom::{Device, Error, Task};
use support::interpret::Array;
use support::{Feed, buckets, data, run_plan};

#[test]
fn sizes_of_a_bucket_prepare_once() {
    [Device::Cpu, Device::CpuByLaunch].iter().for_each(buckets::sizes_of_a_bucket_prepare_once);
}

#[test]
fn a_task_does_not_feel_those_beside_it() {
    [Device::Cpu, Device::CpuByLaunch].iter().for_each(buckets::a_task_does_not_feel_those_beside_it);
}

/// Adaptation and prediction of three tasks whose rows are padded to `n` support and `q` query rows; padding may be `counted`.
fn padded(meta: &MetaSpec, tasks: &[Task], n: usize, q: usize, counted: bool) -> (Graph, Feed) {
    let (mut graph, mut feed) = (Graph::new(), Feed::default());
    let g = &mut graph;
    let array = |shape: [usize; 3], rows: &dyn Fn(&Task) -> &[f32]| {
        let mut data = Vec::new();
        for (i, t) in tasks.iter().enumerate() {
            data.extend(rows(t).iter().map(|v| f64::from(*v)));
            data.resize((i + 1) * shape[1] * shape[2], 0.0);
        }
        Array { shape: shape.to_vec(), data }
    };
    let t = tasks.len();
    let shots: Vec<usize> = tasks.iter().map(|t| if counted { n } else { t.shots(1) }).collect();
    let weights =
        shots.iter().flat_map(|k| (0..n).map(move |i| if i < *k { f64::from(1.0 / *k as f32) } else { 0.0 }));
    let rows = Array { shape: vec![t, n], data: weights.collect() };
    let count = Array { shape: vec![t, 1], data: shots.iter().map(|k| *k as f64).collect() };
    let support = Rows::new(
        data(g, &mut feed, "xs", array([t, n, 2], &|t| &t.xs)),
        data(g, &mut feed, "ys", array([t, n, 1], &|t| &t.ys)),
        data(g, &mut feed, "rows", rows),
        data(g, &mut feed, "count", count),
    );
    let xq = data(g, &mut feed, "xq", array([t, q, 2], &|t| &t.xq));
    let params: Vec<f64> = buckets::params(meta).into_iter().map(f64::from).collect();
    let flat = data(g, &mut feed, "params", Array { shape: vec![params.len()], data: params });
    let layout = meta.layout();
    let params = Weights { flat, layout: &layout };
    let read = meta.hyper.condition(
        g,
        params,
        &Condition { support: Some(support), task: None, descriptor: None, noise: None },
    );
    let weights = meta.hyper.generate(g, params, read, t);
    let inner = InnerLoop { hyper: &meta.hyper, adaptation: &meta.adaptation, kind: Loss::Mse };
    let problem = inner.problem(g, Some(params), weights, read.map(|read| read.condition), &support);
    let x = inner.inputs(g, &problem, xq);
    let (fast, _) = inner.learn(g, &problem, meta.steps, false, None, &[]);
    let y = inner.predict(g, &problem, fast, x);
    g.output("prediction", y);
    if meta.adaptation.rule.is_closed_form() {
        let v = inner.variance(g, &problem, x).expect("values have one");
        g.output("variance", v);
        let e = inner.evidence(g, &problem).expect("the closed form has one");
        g.output("evidence", e);
    }
    (graph, feed)
}

/// What padding changes is the order of sums: results with and without lie within the bounds on how far f32 may be from the
/// exact result, which is the same for both.
#[test]
fn padding_changes_results_by_rounding_alone() {
    for (name, meta) in buckets::ways() {
        for rows in [5, 6, 7] {
            let tasks: Vec<Task> = (0..3).map(|t| buckets::task(t, rows, 3)).collect();
            let run = |n: usize, q: usize, counted: bool| {
                let (g, feed) = padded(&meta, &tasks, n, q, counted);
                (run_plan::<f32>(&g, &feed), run_plan::<Bounded>(&g, &feed))
            };
            let ((exact, near), (bucket, near_bucket)) = (run(rows, 3, false), run(8, 4, false));
            let (wrong, _) = run(8, 4, true);
            for (what, found) in &exact.values {
                // Query rows beyond the third are padding.
                let (width, padded) = if what == "evidence" { (2, 2) } else { (3, 4) };
                let mut told_apart = false;
                for (i, a) in found.iter().enumerate() {
                    let at = i / width * padded + i % width;
                    let (of_a, of_b) = (near.values[what][i], near_bucket.values[what][at]);
                    // Both bounds are about one value.
                    assert!(
                        (of_a.v - of_b.v).abs() <= 1e-10 * of_a.v.abs().max(1.0),
                        "{name}, {what}: {of_a:?}, {of_b:?}"
                    );
                    let far = |from: f32| (f64::from(*a) - f64::from(from)).abs();
                    let b = bucket.values[what][at];
                    assert!(
                        far(b) <= of_a.e + of_b.e,
                        "{name}, {what} {i} of {rows} rows: {a} and {b}, {of_a:?}"
                    );
                    told_apart |= far(wrong.values[what][at]) > of_a.e + of_b.e;
                }
                assert!(told_apart, "{name}, {what}: the bounds would let padding count");
            }
        }
    }
}

/// Tasks that the plans have no room for are refused, and so is another number of rows where rows are normalised by.
#[test]
fn tasks_that_are_too_large_are_refused() {
    let (_, meta) = buckets::ways().remove(2);
    let params = buckets::params(&meta);
    let member = hyperloom::adapt::Member { pooled: params.clone(), hyper: params };
    let start = hyperloom::adapt::StartFrom::Generated(1.0);
    let prepared = |net: Option<Net>, tasks: &[Task]| {
        let mut hyper = meta.hyper.clone();
        if let Some(net) = net {
            hyper.target = net;
        }
        Adapter::new(&Device::Cpu, &hyper, Loss::Mse, meta.adaptation, tasks).expect("prepared")
    };
    let refused = |adapter: &mut Adapter, task: Task| {
        let e = adapter.predict(&member, start, &[task.with_name("large")], &[0]).expect_err("too large");
        assert!(matches!(e, Error::Shape(_)) && e.to_string().contains("'large'"), "{e}");
    };
    let mut adapter = prepared(None, &[buckets::task(0, 5, 3)]);
    adapter.predict(&member, start, &[buckets::task(0, 8, 4)], &[0]).expect("of the same buckets");
    refused(&mut adapter, buckets::task(0, 9, 3));
    refused(&mut adapter, buckets::task(0, 5, 5));
    let mut adapter =
        prepared(Some(Net::rows([2]).dense(3).batch_norm().dense(1)), &[buckets::task(0, 5, 3)]);
    refused(&mut adapter, buckets::task(0, 6, 3));
}
