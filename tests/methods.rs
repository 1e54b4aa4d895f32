//! Every way of adaptation, as it stands in a training step: exact derivatives (against differences in f64), the same numbers
//! with and without task regions, and the closed form against its textbook formula.

mod support;
#[path = "support/ways.rs"]
mod ways;

use hyperloom::Device;
use hyperloom::adapt::{Fast, InnerLoop, Rule};
use hyperloom::experiment::config::{Config, Method, TaskKind};
use hyperloom::graph::{Graph, Value};
use hyperloom::hyper::{self, Noise};
use hyperloom::meta::influence::ByGradient;
use hyperloom::meta::objective::{MetaSpec, Through};
use hyperloom::net::Weights;
use hyperloom::plan::{Caps, KEEP, lower};
use hyperloom::rng::Rng;
use hyperloom::task::{Loss, Rows, Task};
use rayon::prelude::*;
use support::differences::{STEP, check_derivatives_by};
use support::interpret::Array;
use support::{Feed, close, data, run_plan, with_regions, words};
use ways::{QUERY, SUPPORT, episodes, model_and_task, spec, ways};

/// The objective of one way, its parameters, and what feeds it.
fn objective(meta: &MetaSpec, kind: Loss, t: usize) -> (Graph, Feed, Value, Value) {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(7, 1));
    g.keep(KEEP);
    let layout = meta.layout();
    let base: Vec<f32> = meta.hyper.target.layout().init(&mut rng);
    let mut params: Vec<f64> = meta.init(&mut rng, &base).into_iter().map(f64::from).collect();
    // The head writes nothing at first: something, so that what it reads matters.
    let head = layout.get("head.weight").map_or(0..0, |p| p.range());
    params[head].iter_mut().for_each(|w| *w = 0.3 * rng.normal());
    let flat = data(&mut g, &mut feed, "params", Array { shape: vec![layout.len()], data: params });
    let e = episodes(&mut g, &mut feed, &mut rng, meta, kind, t);
    let step_weights = meta.reads_step_weights().then(|| {
        let weights = meta.step_weights(0.2).into_iter().map(f64::from).collect();
        data(&mut g, &mut feed, "step weights", Array { shape: vec![meta.steps], data: weights })
    });
    let params = Weights { flat, layout: &layout };
    let o = meta.objective(&mut g, params, &e, kind, step_weights);
    (g, feed, o.minimise, flat)
}

#[test]
fn gradients_through_adaptation_are_exact() {
    ways().into_par_iter().for_each(|(name, meta, kind)| {
        let adam = meta.adaptation.rule == Rule::Adam;
        if adam && (kind == Loss::CrossEntropy || !meta.hyper.is_shared()) {
            // Its steps are all but the sign of a gradient, which only large gradients leave alone under differences.
            return;
        }
        let (g, mut feed, loss, params) = objective(&meta, kind, 2);
        if adam {
            let targets = feed.inputs.iter_mut().filter(|(name, _)| name.starts_with("y "));
            targets.flat_map(|(_, y)| &mut y.data).for_each(|y| *y *= 100.0);
        }
        // Norms of a few numbers that lie close together bend within thousandths, as do distances of networks that hardly differ.
        let bends = name.contains("normed: true") || name.starts_with("noise");
        let near = if bends { 1e-5 } else { STEP };
        check_derivatives_by(near, &name, &g, &feed, loss, &[("params", params)], 1);
    });
}

/// First order is not the derivative of anything; it is the gradient after adaptation, taken where adaptation started.
#[test]
fn first_order_is_the_gradient_at_the_adapted_weights() {
    let mut meta = spec(false, Loss::Mse, 0);
    meta.through = Through::First;
    let (mut g, feed, loss, params) = objective(&meta, Loss::Mse, 2);
    let first = g.grad(loss, &[params])[0];
    g.output("first", first);
    // Adapted by hand: two steps, then the plain gradient of the query loss.
    let layout = meta.layout();
    let (mut h, mut other, mut rng) = (Graph::new(), Feed::default(), Rng::new(7, 1));
    let _: Vec<f32> = meta.hyper.target.layout().init(&mut rng);
    let flat = data(&mut h, &mut other, "params", feed.inputs["params"].clone());
    let _ = meta.init(&mut rng, &vec![0.0; meta.hyper.target.layout().len()]);
    let e = episodes(&mut h, &mut other, &mut rng, &meta, Loss::Mse, 2);
    other.inputs.clone_from(&feed.inputs);
    let inner = InnerLoop { hyper: &meta.hyper, adaptation: &meta.adaptation, kind: Loss::Mse };
    let weights = meta.hyper.generate(&mut h, Weights { flat, layout: &layout }, None, 2);
    let problem = inner.problem(&mut h, None, weights, None, &e.support);
    let mut fast = weights;
    for _ in 0..meta.steps {
        fast = inner.step(&mut h, &problem, &[fast], false)[0];
    }
    let y = inner.predict(&mut h, &problem, fast, e.xq);
    let each = hyperloom::task::loss(&mut h, Loss::Mse, y, e.yq, None);
    let query = h.mean(each);
    let grad = h.grad(query, &[fast])[0];
    let grad = h.sum_to(grad, &[1, layout.len()]);
    h.output("first", grad);
    let (a, b) = (run_plan::<f64>(&g, &feed), run_plan::<f64>(&h, &other));
    assert!(close(&a.values["first"], &b.values["first"], 1e-12));
}

#[test]
fn regions_change_nothing() {
    for (name, meta, kind) in ways() {
        let (mut g, feed, loss, params) = objective(&meta, kind, 16);
        let gradient = g.grad(loss, &[params])[0];
        g.output("loss", loss);
        g.output("gradient", gradient);
        let plain = run_plan::<f64>(&g, &feed);
        let regions = support::run_lowered::<f64>(&with_regions(&g, &feed), &feed);
        for what in ["loss", "gradient"] {
            let (a, b) = (&plain.values[what], &regions.values[what]);
            assert!(close(a, b, 1e-11), "{name}: {what}");
        }
    }
}

/// Reptile moves weights by the mean of where the steps led on all rows of a task: `w - w'`.
#[test]
fn reptile_moves_towards_the_adapted_weights() {
    let mut meta = spec(false, Loss::Mse, 0);
    meta.through = Through::Reptile;
    let (mut g, feed, loss, params) = objective(&meta, Loss::Mse, 2);
    let gradient = g.grad(loss, &[params])[0];
    g.output("gradient", gradient);
    let found = run_plan::<f64>(&g, &feed).values["gradient"].clone();
    // By hand: descent on the loss over support and query rows, each set by its share of them, clipped.
    let layout = meta.hyper.target.layout();
    let (t, n) = (2, SUPPORT + QUERY);
    let (mut h, mut other) = (Graph::new(), Feed::default());
    let joined = |name: &str| {
        let (a, b) = (&feed.inputs[&format!("{name} support")], &feed.inputs[&format!("{name} query")]);
        let w = a.shape[2];
        let rows = (0..t)
            .flat_map(|k| [&a.data[k * SUPPORT * w..][..SUPPORT * w], &b.data[k * QUERY * w..][..QUERY * w]]);
        Array { shape: vec![t, n, w], data: rows.flatten().copied().collect() }
    };
    let (x, y) = (data(&mut h, &mut other, "x", joined("x")), data(&mut h, &mut other, "y", joined("y")));
    let rows = (0..t)
        .flat_map(|k| {
            let support = feed.inputs["rows"].data[k * SUPPORT..][..SUPPORT]
                .iter()
                .map(|w| w * SUPPORT as f64 / n as f64);
            support.chain([1.0 / n as f64; QUERY]).collect::<Vec<f64>>()
        })
        .collect();
    let rows = data(&mut h, &mut other, "rows", Array { shape: vec![t, n], data: rows });
    let start: Vec<f64> = feed.inputs["params"].data.repeat(t);
    let start = data(&mut h, &mut other, "w", Array { shape: vec![t, layout.len()], data: start });
    let mut w = start;
    for _ in 0..meta.steps {
        let y_hat = meta.hyper.target.apply(&mut h, Weights { flat: w, layout: &layout }, x);
        let each = hyperloom::task::loss(&mut h, Loss::Mse, y_hat, y, Some(rows));
        let total = h.sum_to(each, &[]);
        let grad = h.grad(total, &[w])[0];
        let step = h.scale(grad, meta.adaptation.rate);
        w = h.sub(w, step);
    }
    let d = h.sub(start, w);
    let d = h.sum_to(d, &[1, layout.len()]);
    let mean = h.scale(d, 1.0 / t as f64);
    h.output("gradient", mean);
    let want = run_plan::<f64>(&h, &other).values["gradient"].clone();
    assert!(want.iter().any(|v| v.abs() > 1e-3) && close(&found, &want, 1e-10), "{found:?} {want:?}");
}

/// The posterior by the primal formula, in the size of the features, which the kernel never uses.
#[test]
fn the_closed_form_is_bayesian_linear_regression() {
    let mut meta = spec(false, Loss::Mse, 0);
    (meta.adaptation.rule, meta.adaptation.fast, meta.steps) = (Rule::Ridge, Fast::Head, 1);
    let (target, layout) = (meta.hyper.target.clone(), meta.layout());
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(4, 4));
    let base: Vec<f32> = target.layout().init(&mut rng);
    let params: Vec<f64> = meta.init(&mut rng, &base).into_iter().map(f64::from).collect();
    let flat = data(&mut g, &mut feed, "params", Array { shape: vec![layout.len()], data: params.clone() });
    let t = 2;
    let e = episodes(&mut g, &mut feed, &mut rng, &meta, Loss::Mse, t);
    let inner = InnerLoop { hyper: &meta.hyper, adaptation: &meta.adaptation, kind: Loss::Mse };
    let p = Weights { flat, layout: &layout };
    let weights = p.get(&mut g, "head.bias");
    let problem = inner.problem(&mut g, Some(p), weights, None, &e.support);
    let start = inner.start(&mut g, &problem);
    let solved = inner.step(&mut g, &problem, &[start], false)[0];
    let xq = inner.inputs(&mut g, &problem, e.xq);
    let variance = inner.variance(&mut g, &problem, xq).expect("values");
    let evidence = inner.evidence(&mut g, &problem).expect("closed form");
    let phi = inner.inputs(&mut g, &problem, e.support.x);
    for (name, v) in [
        ("phi", phi),
        ("xq", xq),
        ("start", start),
        ("solved", solved),
        ("variance", variance),
        ("evidence", evidence),
    ] {
        g.output(name, v);
    }
    let found = run_plan::<f64>(&g, &feed).values;
    let f = target.expect_head().features + 1;
    let learned = |name: &str| &params[layout.get(name).expect("a parameter").range()];
    let prior: Vec<f64> = learned("adapt.log_variance").iter().map(|v| (10.0 * v).exp()).collect();
    let noise0 = (10.0 * learned("adapt.log_noise")[0]).exp() + 1e-6;
    for task in 0..t {
        let n = SUPPORT - task % 2;
        let with_one = |from: &[f64]| from.iter().copied().chain([1.0]).collect::<Vec<f64>>();
        let rows: Vec<Vec<f64>> =
            (0..n).map(|r| with_one(&found["phi"][(task * SUPPORT + r) * (f - 1)..][..f - 1])).collect();
        let w0 = &found["start"][task * f..][..f];
        let y = &feed.inputs["y support"].data[task * SUPPORT..][..n];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let r: Vec<f64> = rows.iter().zip(y).map(|(phi, y)| y - dot(phi, w0)).collect();
        let trace: f64 = rows.iter().flat_map(|p| p.iter().zip(&prior).map(|(p, s)| p * p * s)).sum();
        let noise = noise0 + 1e-6 * trace;
        // A = S⁻¹ + ΦᵀΦ/σ²; the mean moves by A⁻¹ Φᵀ r / σ².
        let a: Vec<f64> = (0..f * f)
            .map(|at| {
                let (i, j) = (at / f, at % f);
                let gram: f64 = rows.iter().map(|p| p[i] * p[j]).sum();
                gram / noise + if i == j { 1.0 / prior[i] } else { 0.0 }
            })
            .collect();
        let b: Vec<f64> =
            (0..f).map(|i| rows.iter().zip(&r).map(|(p, r)| p[i] * r).sum::<f64>() / noise).collect();
        let (change, log_a) = support::interpret::eliminate(f, &a, &b);
        let want: Vec<f64> = w0.iter().zip(&change).map(|(w, c)| w + c).collect();
        let got = &found["solved"][task * f..][..f];
        assert!(close(got, &want, 1e-9), "{got:?} {want:?}");
        for q in 0..QUERY {
            let phi = with_one(&found["xq"][(task * QUERY + q) * (f - 1)..][..f - 1]);
            let (solved, _) = support::interpret::eliminate(f, &a, &phi);
            let want = noise0 + dot(&phi, &solved);
            let got = found["variance"][task * QUERY + q];
            assert!((got - want).abs() < 1e-8 * want, "{got} {want}");
        }
        // |K| = σ²ⁿ |S| |A|, and rᵀ K⁻¹ r = (rᵀr - rᵀΦ change)/σ².
        let log_k = n as f64 * noise.ln() + prior.iter().map(|s| s.ln()).sum::<f64>() + log_a;
        let through: f64 = rows.iter().zip(&r).map(|(p, r)| r * dot(p, &change)).sum();
        let square = (dot(&r, &r) - through) / noise;
        let want = -0.5 * (square + log_k + n as f64 * std::f64::consts::TAU.ln());
        let got = found["evidence"][2 * task + 1];
        assert!((got - want).abs() < 1e-8 * want.abs(), "{got} {want}");
        let want = -0.5 * (dot(&r, &r) / noise + n as f64 * (noise.ln() + std::f64::consts::TAU.ln()));
        let got = found["evidence"][2 * task];
        assert!((got - want).abs() < 1e-8 * want.abs(), "{got} {want}");
    }
}

/// Distances to class means, worked out by hand, give the same shares of classes; a class that the support lacks has the mean of all rows.
#[test]
fn prototypes_are_class_means() {
    let mut meta = spec(false, Loss::CrossEntropy, 0);
    (meta.adaptation.rule, meta.adaptation.fast, meta.steps) = (Rule::Prototypes, Fast::Head, 1);
    let layout = meta.layout();
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(4, 4));
    let base: Vec<f32> = meta.hyper.target.layout().init(&mut rng);
    let mut params: Vec<f64> = meta.init(&mut rng, &base).into_iter().map(f64::from).collect();
    params[layout.get("adapt.log_scale").expect("a scale").offset] = 0.05;
    let flat = data(&mut g, &mut feed, "params", Array { shape: vec![layout.len()], data: params });
    let t = 2;
    let e = episodes(&mut g, &mut feed, &mut rng, &meta, Loss::CrossEntropy, t);
    // The second task has rows of the first two classes alone.
    let labels = &mut feed.inputs.get_mut("y support").expect("labels").data;
    labels[SUPPORT * 3..].copy_from_slice(&[1., 0., 0., 0., 1., 0., 0., 1., 0., 1., 0., 0.]);
    let inner = InnerLoop { hyper: &meta.hyper, adaptation: &meta.adaptation, kind: Loss::CrossEntropy };
    let p = Weights { flat, layout: &layout };
    let weights = p.get(&mut g, "head.bias");
    let problem = inner.problem(&mut g, Some(p), weights, None, &e.support);
    let start = inner.start(&mut g, &problem);
    let solved = inner.step(&mut g, &problem, &[start], false)[0];
    let xq = inner.inputs(&mut g, &problem, e.xq);
    let logits = inner.predict(&mut g, &problem, solved, xq);
    let phi = inner.inputs(&mut g, &problem, e.support.x);
    for (name, v) in [("phi", phi), ("xq", xq), ("logits", logits)] {
        g.output(name, v);
    }
    let found = run_plan::<f64>(&g, &feed).values;
    let f = meta.hyper.target.expect_head().features;
    for task in 0..t {
        let n = SUPPORT - task % 2;
        let row = |r: usize| &found["phi"][(task * SUPPORT + r) * f..][..f];
        let label = |r: usize, c: usize| feed.inputs["y support"].data[(task * SUPPORT + r) * 3 + c];
        let mean = |rows: Vec<usize>| -> Vec<f64> {
            (0..f).map(|k| rows.iter().map(|r| row(*r)[k]).sum::<f64>() / rows.len() as f64).collect()
        };
        let means = [0, 1, 2].map(|c| {
            let of: Vec<usize> = (0..n).filter(|r| label(*r, c) == 1.0).collect();
            assert_eq!(of.is_empty(), task == 1 && c == 2);
            mean(if of.is_empty() { (0..n).collect() } else { of })
        });
        for q in 0..QUERY {
            let x = &found["xq"][(task * QUERY + q) * f..][..f];
            let distance = |c: &Vec<f64>| x.iter().zip(c).map(|(x, c)| (x - c).powi(2)).sum::<f64>();
            let want = means.each_ref().map(|c| -0.5f64.exp() * distance(c));
            let got = &found["logits"][(task * QUERY + q) * 3..][..3];
            // Logits up to what is the same for all classes.
            for c in 1..3 {
                let (got, want) = (got[c] - got[0], want[c] - want[0]);
                assert!((got - want).abs() < 1e-9 * want.abs().max(1.0), "{task} {q} {c}: {got}, {want}");
            }
        }
    }
}

/// A scan of second order keeps what it carries of every step: the plan says so before anything is allocated.
#[test]
fn memory_of_the_second_order_path_is_known() {
    let bytes = |steps: usize| {
        let mut config = Config::with_method(TaskKind::Sine, Method::Maml);
        config.adapt.train_steps = steps;
        let setup = hyperloom::experiment::setup::Setup::load(&config).expect("sine");
        let settings = hyperloom::experiment::settings(&config, 0, true);
        let learner = hyperloom::meta::outer::Learner::Hyper(setup.meta().into());
        let graph =
            hyperloom::meta::outer::training_graph(setup.source().family(0).as_ref(), &learner, &settings, 1);
        lower(&graph, Caps::cpu(1)).expect("it fits").bytes()
    };
    // More steps than a region keeps.
    let (a, b, c) = (bytes(700), bytes(750), bytes(800));
    assert_eq!(b - a, c - b, "the same for every fifty steps");
    // 25 tasks with 1,761 weights each.
    let carried = 50 * 25 * 1761 * 4;
    assert!((carried..2 * carried).contains(&(b - a)), "{} for {carried} that are carried", b - a);
}

/// The objective of three networks of each task, worked out by hand from what each says; query rows that do not count change nothing.
#[test]
fn networks_of_a_task_are_judged_together() {
    let (t, m, q) = (2, 3, QUERY);
    for kind in [Loss::Mse, Loss::CrossEntropy] {
        let mut meta = spec(true, kind, 0);
        (meta.through, meta.hyper.condition.noise) = (Through::None, Some(Noise::new(2, m)));
        let o = meta.hyper.target.outputs();
        // The first task has a query row less.
        let weights = |task: usize, row: usize| match (task, row) {
            (0, 2) => 0.0,
            (0, _) => 0.5,
            _ => 1.0 / q as f64,
        };
        let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(7, 1));
        let layout = meta.layout();
        let base: Vec<f32> = meta.hyper.target.layout().init(&mut rng);
        let mut params: Vec<f64> = meta.init(&mut rng, &base).into_iter().map(f64::from).collect();
        let head = layout.get("head.weight").expect("a head").range();
        params[head].iter_mut().for_each(|w| *w = rng.normal());
        let flat = data(&mut g, &mut feed, "params", Array { shape: vec![layout.len()], data: params });
        let mut e = episodes(&mut g, &mut feed, &mut rng, &meta, kind, t);
        let rows = (0..t * q).map(|at| weights(at / q, at % q)).collect();
        e.query_rows = Some(data(&mut g, &mut feed, "query rows", Array { shape: vec![t, q], data: rows }));
        let params = Weights { flat, layout: &layout };
        let found = meta.objective(&mut g, params, &e, kind, None);
        g.output("minimise", found.minimise);
        g.output("shown", found.shown);
        // What each network says: a batch of as many tasks, each with a draw of its own.
        let whole = |v: Value, g: &mut Graph| {
            let shape = g.shape(v).to_vec();
            let parts: Vec<Value> =
                (0..t).flat_map(|task| vec![task; m]).map(|task| g.slice(v, 0, task, 1)).collect();
            assert_eq!(shape[0], t);
            g.concat(&parts, 0)
        };
        let [x, y, rows, count, xq] =
            [e.support.x, e.support.y, e.support.rows, e.support.count, e.xq].map(|v| whole(v, &mut g));
        let numbers: Vec<u32> = vec![2; t * m];
        let task = words(&mut g, &mut feed, "tasks", &[t * m], &numbers);
        let noise = g.reshape(e.noise.expect("noise"), &[t * m, 2]);
        let known = hyper::Condition {
            support: Some(Rows::new(x, y, rows, count)),
            task: Some(task),
            descriptor: None,
            noise: Some(noise),
        };
        let read = meta.hyper.condition(&mut g, params, &known);
        let networks = meta.hyper.generate(&mut g, params, read, t * m);
        let of = meta.hyper.target.layout();
        let said = meta.hyper.target.apply(&mut g, Weights { flat: networks, layout: &of }, xq);
        g.output("said", said);
        let values = run_plan::<f64>(&g, &feed).values;
        let y = |task: usize, network: usize, row: usize| -> &[f64] {
            &values["said"][((task * m + network) * q + row) * o..][..o]
        };
        let target = |task: usize, row: usize| &feed.inputs["y query"].data[(task * q + row) * o..][..o];
        let (mut minimise, mut shown) = (0.0, 0.0);
        for task in 0..t {
            let distance = |a: &dyn Fn(usize) -> Vec<f64>, b: &dyn Fn(usize) -> Vec<f64>| -> f64 {
                let square =
                    |row: usize| a(row).iter().zip(b(row)).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                (0..q).map(|row| weights(task, row) * square(row) / o as f64).sum::<f64>().sqrt()
            };
            let network = |k: usize| move |row: usize| y(task, k, row).to_vec();
            if kind == Loss::Mse {
                let truth = |row: usize| target(task, row).to_vec();
                let off: f64 = (0..m).map(|k| distance(&network(k), &truth)).sum::<f64>() / m as f64;
                let pairs = (0..m).flat_map(|a| (0..a).map(move |b| (a, b)));
                let apart: f64 = pairs.map(|(a, b)| distance(&network(a), &network(b))).sum();
                minimise += off - 0.5 * apart / 3.0;
                let mean = |row: usize| -> Vec<f64> {
                    (0..o).map(|i| (0..m).map(|k| y(task, k, row)[i]).sum::<f64>() / m as f64).collect()
                };
                shown += distance(&mean, &truth).powi(2);
            } else {
                let share = |k: usize, row: usize| {
                    let sum: f64 = y(task, k, row).iter().map(|v| v.exp()).sum();
                    let own = y(task, k, row).iter().zip(target(task, row)).map(|(v, t)| v * t).sum::<f64>();
                    own.exp() / sum
                };
                let there: Vec<usize> = (0..q).filter(|row| weights(task, *row) > 0.0).collect();
                let product = |k: usize| there.iter().map(|row| share(k, *row)).product::<f64>();
                let together = (0..m).map(product).sum::<f64>() / m as f64;
                minimise -= together.ln() / there.len() as f64;
                let mixed = |row: usize| (0..m).map(|k| share(k, row)).sum::<f64>() / m as f64;
                shown -= there.iter().map(|row| mixed(*row).ln()).sum::<f64>() / there.len() as f64;
            }
        }
        for (name, want) in [("minimise", minimise / t as f64), ("shown", shown / t as f64)] {
            let got = values[name][0];
            // A little is added to each square before its root is taken.
            assert!((got - want).abs() < 1e-6 * want.abs(), "{kind:?}, {name}: {got}, by hand {want}");
        }
    }
}

/// What leaving out one row of many changes is what the gradient says, of every way of adaptation.
#[test]
fn influence_by_gradient_is_that_of_leaving_rows_out() {
    let (mut said, mut nothing, mut wrong_ways) = (0, 0, vec![]);
    for (name, meta, kind) in ways() {
        // The sign of a gradient, and steps that are cut, have corners; norms of a few numbers that lie close together bend sharply.
        if name.starts_with("adam") || name.starts_with("clipped") || name.contains("normed: true") {
            continue;
        }
        let (model, task) = model_and_task(&meta, kind, 120);
        let steps = if meta.through == Through::None { 0 } else { meta.steps };
        let found = model.influence(&Device::Cpu, &task, Some(steps)).expect("it fits");
        let moved = match &found.gradient {
            ByGradient::Said(moved) => moved,
            ByGradient::Loss(_) => panic!("{name}: few outputs"),
            ByGradient::Nothing(_) => {
                nothing += 1;
                continue;
            }
        };
        said += 1;
        let as_said = |y: &[f32]| model.likelihood.said(y);
        let with = as_said(&found.values);
        let (mut wrong, mut size) = (0.0, 0.0);
        for (y, moved) in found.without.iter().zip(moved) {
            for ((y, with), moved) in as_said(y).iter().zip(&with).zip(moved) {
                wrong += (y - with - moved).powi(2);
                size += (y - with).powi(2);
            }
        }
        let share = f64::sqrt(wrong / size);
        // Where nothing of the support is read yet, nothing moves by either.
        let by_gradient: f64 = moved.iter().flatten().map(|m| m * m).sum();
        let unmoved = size < 1e-9 && by_gradient < 1e-9;
        if !(unmoved || share < 0.2) {
            wrong_ways.push(format!("{name}: {share:.3} of {size:.2e}"));
        }
    }
    assert!(wrong_ways.is_empty(), "{}", wrong_ways.join("\n"));
    assert!(said > 80 && nothing > 4, "{said} ways, {nothing} without a gradient");
}

/// The ends of the way between two tasks are their own networks.
#[test]
fn ways_between_tasks_begin_and_end_with_their_networks() {
    let (mut by_conditions, mut by_weights) = (0, 0);
    for (name, meta, kind) in ways() {
        let [(model, a), (_, b)] = [7, 5].map(|n| model_and_task(&meta, kind, n));
        let adapted =
            |task: &Task, steps: usize| model.adapt(&Device::Cpu, task, Some(steps)).expect("it adapts");
        let found = model.between_weights(&Device::Cpu, [&a, &b], &[0.0, 0.5, 1.0], 1).expect("networks");
        assert_eq!(
            [&found[0].members, &found[2].members],
            [&adapted(&a, 1).members, &adapted(&b, 1).members],
            "{name}"
        );
        assert_ne!(found[1].members, found[0].members, "{name}");
        by_weights += 1;
        let found = model.between_conditions(&Device::Cpu, [&a, &b], &[0.0, 0.25, 1.0]).expect("networks");
        let Some(found) = found else { continue };
        for (network, task) in [(&found[0], &a), (&found[2], &b)] {
            for (x, y) in network.members[0].iter().zip(&adapted(task, 0).members[0]) {
                assert!((x - y).abs() < 1e-5, "{name}: {x} and {y}");
            }
        }
        by_conditions += 1;
    }
    assert!(by_conditions > 40 && by_weights > 90, "{by_conditions} of {by_weights}");
}

#[test]
fn tasks_that_adapt_together_become_what_each_becomes_alone() {
    for (name, meta, kind) in ways() {
        let (model, task) = model_and_task(&meta, kind, SUPPORT);
        let mixes = model.spec.target.mixes_rows();
        // Support sets of different lengths, where the network does not mix their rows.
        let other = |n: usize| if mixes { task.clone() } else { model_and_task(&meta, kind, n).1 };
        let tasks: Vec<Task> = (1..=11).map(other).collect();
        for steps in [None, Some(3)] {
            let together = model.adapt_many(&Device::Cpu, &tasks, steps).unwrap();
            assert_eq!(together.len(), tasks.len());
            for (task, network) in tasks.iter().zip(&together) {
                let alone = model.adapt(&Device::Cpu, task, steps).unwrap();
                assert_eq!(network.shares, alone.shares, "{name}");
                for (a, b) in network.members.iter().zip(&alone.members) {
                    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    let most = b.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                    // A few rows that a network normalises by may have next to no variance.
                    let bound = if model.spec.target.reads_support() { 1e-4 } else { 1e-5 };
                    assert!(apart <= bound * most, "{name}: {apart} of {most}");
                }
            }
        }
    }
}
