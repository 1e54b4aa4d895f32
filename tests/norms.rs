//! Batch normalisation by the statistics of a task's support. (`tests/gpu/norms.rs` asks a GPU the same; derivatives are in
//! `tests/methods.rs`.)

mod support;

use hyperloom::Device;
use hyperloom::graph::Graph;
use hyperloom::kernel::Bounded;
use hyperloom::net::{Net, SupportRows, Weights};
use hyperloom::rng::Rng;
use support::interpret::Array;
use support::{Feed, data, norms, numbers, run_interpreted, run_plan};

fn both(test: fn(&Device)) {
    [Device::Cpu, Device::CpuByLaunch].iter().for_each(test);
}

#[test]
fn a_query_row_alone_is_as_among_others() {
    both(norms::a_query_row_alone_is_as_among_others);
}

#[test]
fn networks_do_without_the_support() {
    both(norms::networks_do_without_the_support);
}

const T: usize = 2;
const N: usize = 4;

/// Weights of a row of the support: the last one of the second task does not count.
fn weight(task: usize, row: usize) -> f64 {
    match (task, row) {
        (0, _) => 0.25,
        (_, 3) => 0.0,
        _ => [0.5, 0.125, 0.375][row],
    }
}

/// A net over rows of a task, by its support and, settled, without.
fn by_support_and_settled(net: &Net, row: usize) -> (Graph, Feed) {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(1, 8));
    let layout = net.layout();
    let flat = data(&mut g, &mut feed, "weights", numbers(&mut rng, &[T, layout.len()], -1.0, 1.0));
    let x = data(&mut g, &mut feed, "support", numbers(&mut rng, &[T, N, row], 0.5, 2.0));
    let xq = data(&mut g, &mut feed, "query", numbers(&mut rng, &[T, 3, row], -1.0, 1.0));
    let weights = (0..T * N).map(|i| weight(i / N, i % N)).collect();
    let weights = data(&mut g, &mut feed, "rows", Array { shape: vec![T, N], data: weights });
    let support = SupportRows { x, weights };
    let of = |flat| Weights { flat, layout: &layout };
    let (y, ys) = (net.apply_by(&mut g, of(flat), support, xq), net.apply_by(&mut g, of(flat), support, x));
    let settled = net.settle(&mut g, of(flat), support);
    let alone = net.settled().apply(&mut g, of(settled), xq);
    for (name, v) in [("query", y), ("support", ys), ("settled", alone)] {
        g.output(name, v);
    }
    (g, feed)
}

/// Mean and variance by hand.
#[test]
fn rows_are_normalised_by_the_weighted_support() {
    let (g, feed) = by_support_and_settled(&Net::rows([2]).batch_norm_of_support(), 2);
    let found = run_interpreted(&g, &feed);
    let (s, w) = (&feed.inputs["support"].data, &feed.inputs["weights"].data);
    for (rows, n) in [("query", 3), ("support", N)] {
        for t in 0..T {
            for c in 0..2 {
                let at = |r: usize| s[(t * N + r) * 2 + c];
                let mean: f64 = (0..N).map(|r| weight(t, r) * at(r)).sum();
                let variance: f64 = (0..N).map(|r| weight(t, r) * (at(r) - mean).powi(2)).sum();
                let (gain, shift) = (w[t * 4 + c], w[t * 4 + 2 + c]);
                for r in 0..n {
                    let x = feed.inputs[rows].data[(t * n + r) * 2 + c];
                    let want = (x - mean) / (variance + 1e-5).sqrt() * gain + shift;
                    let got = found.values[rows][(t * n + r) * 2 + c];
                    assert!(
                        (got - want).abs() < 1e-12 * want.abs().max(1.0),
                        "{rows} {t} {r} {c}: {got}, {want}"
                    );
                }
            }
        }
    }
}

/// Rows whose mean is large beside their spread, and rows that are all alike: f32 loses what the inputs' own rounding takes, and
/// nothing is divided by a variance below zero.
#[test]
fn far_from_zero() {
    let net = Net::rows([48]).layer_norm();
    let layout = net.layout();
    for (mean, spread, most) in [(1e3, 1.0, 1e-3), (-3e4, 0.5, 3e-2), (1e9, 0.0, 0.1), (7e10, 0.0, 0.1)] {
        let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(1, 2));
        let flat = Array { shape: vec![2, layout.len()], data: [[1.0; 48], [0.0; 48]].concat().repeat(2) };
        let flat = data(&mut g, &mut feed, "weights", flat);
        // As f32 holds them: the same numbers in both.
        let mut x = numbers(&mut rng, &[2, 5, 48], mean - spread, mean + spread);
        x.data.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        let x = data(&mut g, &mut feed, "x", x);
        let y = net.apply(&mut g, Weights { flat, layout: &layout }, x);
        g.output("y", y);
        let (want, got) = (run_plan::<f64>(&g, &feed), run_plan::<f32>(&g, &feed));
        for (got, want) in got.values["y"].iter().zip(&want.values["y"]) {
            assert!((f64::from(*got) - want).abs() < most, "around {mean}: {got}, {want}");
        }
    }
}

/// Folded into gains and shifts the statistics say the same: in f32 both lie within their bounds about one value.
#[test]
fn settled_networks_say_the_same() {
    let dense = Net::rows([2]).dense(4).batch_norm_of_support().tanh();
    let dense = dense
        .residual(|b| b.dense(4).batch_norm_of_support())
        .parallel([|a| a.batch_norm_of_support(), |b| b]);
    let pictures = Net::image([3, 3, 1]).conv(2, 2).batch_norm_of_support().relu().flatten().dense(2);
    for (net, row) in [(dense.dense(1), 2), (pictures, 9)] {
        assert!(net.reads_support() && !net.mixes_rows() && net.settled().layout() == net.layout());
        let (g, feed) = by_support_and_settled(&net, row);
        let (f32s, bounds) = (run_plan::<f32>(&g, &feed), run_plan::<Bounded>(&g, &feed));
        let each = |name: &str| f32s.values[name].clone().into_iter().zip(bounds.values[name].clone());
        for ((a, of_a), (b, of_b)) in each("query").zip(each("settled")) {
            assert!((of_a.v - of_b.v).abs() <= 1e-10 * of_a.v.abs().max(1.0), "{of_a:?}, {of_b:?}");
            assert!(
                f64::from(a - b).abs() <= of_a.e + of_b.e && of_b.e < 0.01,
                "{a} and {b}: {of_a:?}, {of_b:?}"
            );
        }
    }
}

#[test]
#[should_panic(expected = "needs the support")]
fn without_a_support_it_is_refused() {
    let net = Net::rows([2]).batch_norm_of_support();
    let mut g = Graph::new();
    let (flat, x) = (g.data("weights", &[1, 4]), g.data("x", &[1, 3, 2]));
    net.apply(&mut g, Weights { flat, layout: &net.layout() }, x);
}

/// Rows of a single task that shares nothing are worked on like tasks; the values and gradients are those of the row of weights a task.
#[test]
fn rows_of_a_single_task() {
    let n = 6;
    let net = Net::image([5, 6, 2])
        .conv(3, 3)
        .batch_norm_of_support()
        .relu()
        .residual(|b| b.conv(3, [1, 3]).batch_norm_of_support())
        .max_pool(2)
        .conv(4, 2)
        .global_pool()
        .dense(3);
    let (layout, mut rng) = (net.layout(), Rng::new(11, 0));
    let p = layout.len();
    let values = (numbers(&mut rng, &[p], -0.7, 0.7), numbers(&mut rng, &[1, n, 60], -1.0, 1.0));
    let (goal, rows) = (numbers(&mut rng, &[1, n, 3], -1.0, 1.0), vec![1.0 / n as f64; n]);
    let found = [false, true].map(|own| {
        let (mut g, mut feed) = (Graph::new(), Feed::default());
        let flat = data(&mut g, &mut feed, "w", values.0.clone());
        let x = data(&mut g, &mut feed, "x", values.1.clone());
        let goal = data(&mut g, &mut feed, "goal", goal.clone());
        let weights = data(&mut g, &mut feed, "rows", Array { shape: vec![1, n], data: rows.clone() });
        let all = if own { g.reshape(flat, &[1, p]) } else { flat };
        let support = SupportRows { x, weights };
        let y = net.apply_by(&mut g, Weights { flat: all, layout: &layout }, support, x);
        let settled = net.settle(&mut g, Weights { flat: all, layout: &layout }, support);
        let apart = g.sub(y, goal);
        let square = g.mul(apart, apart);
        let loss = g.sum_to(square, &[]);
        let gradient = g.grad(loss, &[flat])[0];
        g.output("y", y);
        g.output("settled", settled);
        g.output("gradient", gradient);
        let exact = run_interpreted(&g, &feed);
        let fast = run_plan::<f32>(&g, &feed);
        for name in ["y", "settled", "gradient"] {
            let largest = exact.values[name].iter().fold(0.0f64, |a, b| a.max(b.abs()));
            let apart =
                exact.values[name].iter().zip(&fast.values[name]).map(|(a, b)| (a - f64::from(*b)).abs());
            assert!(apart.fold(0.0, f64::max) < 1e-5 * largest, "{name}, a row a task: {own}");
        }
        exact
    });
    for name in ["y", "settled", "gradient"] {
        let [shared, own] = found.each_ref().map(|f| &f.values[name]);
        let apart = shared.iter().zip(own).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(shared.len() == own.len() && apart < 1e-12, "{name}: {apart}");
    }
}
