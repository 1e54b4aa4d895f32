//! Derivatives by differences: the gradient that the graph computes against central differences of its
//! loss, both in f64, and the same for the loss's derivatives along a fixed direction.

use hyperloom::graph::op::Op;
use hyperloom::graph::{Graph, Value};
use hyperloom::rng::Rng;
use hyperloom::spec::count;

use super::random_graph::Random;
use super::{Feed, numbers, run_plan};

/// Checks derivatives of `loss` up to `order` (1 to 3) with respect to the data inputs `wrt`.
///
/// Order 2 takes the loss `⟨∇L, v⟩` with a fixed v, order 3 that loss's own.
pub(crate) fn check_derivatives(
    name: &str,
    g: &Graph,
    feed: &Feed,
    loss: Value,
    wrt: &[(&str, Value)],
    order: usize,
) {
    check_derivatives_by(STEP, name, g, feed, loss, wrt, order);
}

/// How far apart a loss is looked at.
pub(crate) const STEP: f64 = 5e-4;

/// The same of a loss that bends so sharply that it has to be looked at closer by.
pub(crate) fn check_derivatives_by(
    h: f64,
    name: &str,
    g: &Graph,
    feed: &Feed,
    loss: Value,
    wrt: &[(&str, Value)],
    order: usize,
) {
    let (mut g, mut feed) = (g.clone(), feed.clone());
    let mut rng = Rng::new(99, 3);
    let values: Vec<Value> = wrt.iter().map(|w| w.1).collect();
    let mut loss = loss;
    for k in 1..=order {
        let gradients = g.grad(loss, &values);
        compare(h, &format!("{name}, order {k}"), &g, &feed, loss, wrt, &gradients);
        let mut next = g.constant(0.0);
        for ((input, _), gradient) in wrt.iter().zip(&gradients) {
            let shape = g.shape(*gradient).to_vec();
            let direction = format!("direction {k} of {input}");
            let v = g.data(&direction, &shape);
            feed.inputs.insert(direction, numbers(&mut rng, &shape, -1.0, 1.0));
            let d = g.mul(*gradient, v);
            let d = g.sum_to(d, &[]);
            next = g.add(next, d);
        }
        loss = next;
    }
}

/// Each gradient against differences of the loss at distances of h, element by element.
fn compare(
    h: f64,
    name: &str,
    g: &Graph,
    feed: &Feed,
    loss: Value,
    wrt: &[(&str, Value)],
    gradients: &[Value],
) {
    let mut values = g.clone();
    values.output("loss", loss);
    let at = |feed: &Feed| run_plan::<f64>(&values, feed).values["loss"][0];
    let mut derivatives = g.clone();
    for ((input, _), gradient) in wrt.iter().zip(gradients) {
        derivatives.output(&format!("d {input}"), *gradient);
    }
    let got = run_plan::<f64>(&derivatives, feed);
    for (input, v) in wrt {
        let got = &got.values[&format!("d {input}")];
        assert_eq!(got.len(), count(g.shape(*v)), "{name}: {input}");
        let mut want = Vec::new();
        for i in 0..got.len() {
            let mut moved = feed.clone();
            let mut loss_at = |step: f64| {
                if let Some(x) = moved.inputs.get_mut(*input) {
                    x.data[i] = feed.inputs[*input].data[i] + step;
                }
                at(&moved)
            };
            // Central differences of fourth order (the error is h⁴/30 of the fifth derivative).
            let near = loss_at(h) - loss_at(-h);
            let far = loss_at(2.0 * h) - loss_at(-2.0 * h);
            want.push((8.0 * near - far) / (12.0 * h));
        }
        assert!(
            super::close(got, &want, 1e-7),
            "{name}: the gradient with respect to {input} is\n{got:?}, differences give\n{want:?}"
        );
    }
}

/// Compares along one direction; false where the loss has a kink nearby, or differences mean another thing.
pub(crate) fn slope_agrees(seed: u64, r: &Random) -> bool {
    let (mut g, feed, inputs) = (r.graph.clone(), &r.feed, &r.data);
    let Some((_, loss)) = g.records().iter().find(|r| r.0 == "loss").cloned() else { return false };
    // Differences see through what gradients hold constant.
    if inputs.is_empty() || g.nodes().iter().any(|n| n.op == Op::StopGradient) {
        return false;
    }
    let mut rng = Rng::new(seed, 4);
    let values: Vec<Value> = inputs.iter().map(|i| i.1).collect();
    let gradients = g.grad(loss, &values);
    let mut slope = g.constant(0.0);
    let mut directions = Vec::new();
    for ((name, v), gradient) in inputs.iter().zip(&gradients) {
        let d = numbers(&mut rng, g.shape(*v), -1.0, 1.0);
        let along = g.data(&format!("{name} direction"), &d.shape);
        directions.push((name.clone(), d));
        let m = g.mul(*gradient, along);
        let m = g.sum_to(m, &[]);
        slope = g.add(slope, m);
    }
    g.record("slope", slope);
    let mut feed = feed.clone();
    feed.steps.truncate(1);
    for (name, d) in &directions {
        feed.inputs.insert(format!("{name} direction"), d.clone());
    }
    let at = |h: f64| {
        let mut moved = feed.clone();
        for (name, d) in &directions {
            let x = moved.inputs.get_mut(name).expect("an input");
            x.data.iter_mut().zip(&d.data).for_each(|(x, d)| *x += h * d);
        }
        run_plan::<f64>(&g, &moved).records[0].clone()
    };
    let column = |name: &str| g.records().iter().position(|r| r.0 == name).expect("a record");
    let (loss_at, slope) = (|h: f64| at(h)[column("loss")], at(0.0)[column("slope")]);
    let difference =
        |h: f64| (8.0 * (loss_at(h) - loss_at(-h)) - (loss_at(2.0 * h) - loss_at(-2.0 * h))) / (12.0 * h);
    let (coarse, fine) = (difference(2e-4), difference(1e-4));
    // Where two step sizes disagree there is a kink or a jump.
    if (coarse - fine).abs() > 1e-7 * (1.0 + fine.abs()) {
        return false;
    }
    assert!(
        (slope - fine).abs() < 1e-6 * (1.0 + fine.abs()),
        "seed {seed}: slope {slope}, differences {fine}"
    );
    true
}
