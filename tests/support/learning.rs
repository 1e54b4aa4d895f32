//! Graphs of inner learning: what task regions are for.

use hyperloom::graph::{Graph, Value};
use hyperloom::net::{Net, Weights};
use hyperloom::optim::clip_factor;
use hyperloom::plan::KEEP;
use hyperloom::rng::Rng;
use hyperloom::spec::Activation;
use hyperloom::task::{Loss, loss};

use super::interpret::Array;
use super::{Feed, data, numbers};

/// Inner learning of random networks: how many repetitions, which loss, what is carried and given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) tasks: usize,
    pub(crate) rows: usize,
    pub(crate) query: usize,
    pub(crate) steps: usize,
    pub(crate) momentum: bool,
    pub(crate) clipped: bool,
    pub(crate) first_order: bool,
    pub(crate) kind: Loss,
    pub(crate) activation: Activation,
    pub(crate) widths: [usize; 3],
}

impl Shape {
    pub(crate) fn random(seed: u64) -> Shape {
        let mut rng = Rng::new(seed, 3);
        let classes = rng.below(2) == 0;
        let (tasks, rows) = ([2, 3, 8, 16, 17, 33][rng.below(6)], 1 + rng.below(7));
        Shape {
            tasks,
            rows,
            query: rows,
            steps: 1 + rng.below(4),
            momentum: rng.below(2) == 0,
            clipped: rng.below(2) == 0,
            first_order: rng.below(4) == 0,
            kind: if classes { Loss::CrossEntropy } else { Loss::Mse },
            activation: Activation::ALL[rng.below(Activation::ALL.len())],
            widths: [1 + rng.below(4), 1 + rng.below(9), 1 + rng.below(3) + usize::from(classes)],
        }
    }
}

/// Learning of every task from shared initial weights, as a scan or written out; the query loss, its
/// gradient with respect to weights and step size, the losses on the way.
pub(crate) fn learning(s: Shape, seed: u64, scan: bool) -> (Graph, Feed) {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(seed, 9));
    g.keep(KEEP);
    let target = Net::mlp(&s.widths, s.activation);
    let layout = target.layout();
    let [inputs, _, outputs] = s.widths;
    let (t, n, p) = (s.tasks, s.rows, layout.len());
    let mut input = |g: &mut Graph, name: &str, shape: &[usize]| {
        let contents = numbers(&mut rng, shape, -1.0, 1.0);
        data(g, &mut feed, name, contents)
    };
    let start = input(&mut g, "start", &[p]);
    let [xs, xq] = [("xs", n), ("xq", s.query)].map(|(name, n)| input(&mut g, name, &[t, n, inputs]));
    let [ys, yq] = [("ys", n), ("yq", s.query)].map(|(name, n)| input(&mut g, name, &[t, n, outputs]));
    let weights = input(&mut g, "rows", &[t, s.steps, n]);
    // Losses of rows are summed: many of them would have learning diverge.
    let step_size = 0.125 * (8.0 / n as f64).min(1.0);
    let rate = data(&mut g, &mut feed, "rate", Array { shape: vec![t, 1], data: vec![step_size; t] });
    let each = |g: &mut Graph, w: Value, x: Value, y: Value, rows: Option<Value>| {
        let prediction = target.apply(g, Weights { flat: w, layout: &layout }, x);
        loss(g, s.kind, prediction, y, rows)
    };
    // One step: weights, velocity and rate to new weights, velocity and the loss before it.
    let step = |g: &mut Graph, w: Value, v: Value, [x, y, rate]: [Value; 3], rows: Value| {
        let losses = each(g, w, x, y, Some(rows));
        let sum = g.sum_to(losses, &[]);
        let mut d = g.grad(sum, &[w])[0];
        if s.first_order {
            d = g.stop_gradient(d);
        }
        if s.clipped {
            let square = g.mul(d, d);
            let norm2 = g.sum_to(square, &[t, 1]);
            let factor = clip_factor(g, norm2, 0.7);
            d = g.mul(d, factor);
        }
        if s.momentum {
            let kept = g.scale(v, 0.5);
            d = g.add(kept, d);
        }
        let change = g.mul(d, rate);
        (g.sub(w, change), d, losses)
    };
    let w0 = g.expand(start, &[t, p]);
    let zero = g.constant(0.0);
    let v0 = g.expand(zero, &[t, p]);
    let (w, history) = if scan {
        let (finals, given) = g.scan(s.steps, &[w0, v0], &[xs, ys, rate], &[weights], |g, a| {
            let [w, v] = a.carried[..] else { panic!("two values are carried") };
            let constants = [a.constants[0], a.constants[1], a.constants[2]];
            let (w, v, l) = step(g, w, v, constants, a.rows[0]);
            (vec![w, v], vec![l])
        });
        (finals[0], given[0])
    } else {
        let (mut w, mut v, mut losses) = (w0, v0, vec![]);
        for k in 0..s.steps {
            let row = g.slice(weights, 1, k, 1);
            let row = g.reshape(row, &[t, n]);
            let l;
            (w, v, l) = step(&mut g, w, v, [xs, ys, rate], row);
            losses.push(g.reshape(l, &[t, 1]));
        }
        let history = g.concat(&losses, 1);
        (w, history)
    };
    let query = each(&mut g, w, xq, yq, None);
    let query = g.mean(query);
    // Losses on the way count, too: gradients come into the scan through its rows.
    let way = g.mul(history, history);
    let way = g.sum_to(way, &[]);
    let way = g.scale(way, 0.01);
    let objective = g.add(query, way);
    let grads = g.grad(objective, &[start, rate, weights, xs]);
    for (name, v) in ["d start", "d rate", "d rows", "d xs"].iter().zip(grads) {
        g.output(name, v);
    }
    g.output("objective", objective);
    g.output("adapted", w);
    g.output("history", history);
    (g, feed)
}

/// A network of each task's own on many rows: the loss of each, and the gradient with respect to weights and rows.
pub(crate) fn many_rows(tasks: usize, rows: usize, widths: &[usize], kind: Loss, seed: u64) -> (Graph, Feed) {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(seed, 21));
    g.keep(KEEP);
    let target = Net::mlp(widths, Activation::Tanh);
    let layout = target.layout();
    let [inputs, outputs] = [widths[0], widths[widths.len() - 1]];
    let shapes = [
        ("w", vec![tasks, layout.len()]),
        ("x", vec![tasks, rows, inputs]),
        ("y", vec![tasks, rows, outputs]),
    ];
    let [w, x, y] = shapes.map(|(name, shape)| {
        let contents = numbers(&mut rng, &shape, -1.0, 1.0);
        data(&mut g, &mut feed, name, contents)
    });
    let prediction = target.apply(&mut g, Weights { flat: w, layout: &layout }, x);
    let losses = loss(&mut g, kind, prediction, y, None);
    let sum = g.sum_to(losses, &[]);
    let grads = g.grad(sum, &[w, x]);
    g.output("losses", losses);
    g.output("dw", grads[0]);
    g.output("dx", grads[1]);
    (g, feed)
}

/// Networks of each task's own that go over a series, learning: a scan over time in a scan over steps, or written out. The
/// query loss, its gradient with respect to the shared initial weights and the series.
pub(crate) fn recurrent(tasks: usize, time: usize, steps: usize, hidden: usize, scan: bool) -> (Graph, Feed) {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(7, 31));
    g.keep(KEEP);
    let (t, l, n, i, h) = (tasks, time, 3, 2, hidden);
    let p = i * h + h * h + h;
    let mut input = |g: &mut Graph, name: &str, shape: &[usize]| {
        let contents = numbers(&mut rng, shape, -0.6, 0.6);
        data(g, &mut feed, name, contents)
    };
    let start = input(&mut g, "start", &[p]);
    let [xs, xq] = ["xs", "xq"].map(|name| input(&mut g, name, &[t, l, n, i]));
    let [ys, yq] = ["ys", "yq"].map(|name| input(&mut g, name, &[t, n, 1]));
    let repeat = |g: &mut Graph,
                  n: usize,
                  first: Value,
                  constants: &[Value],
                  rows: &[Value],
                  body: &dyn Fn(&mut Graph, Value, &[Value], &[Value]) -> Value| {
        if scan {
            let (last, _) = g.scan(n, &[first], constants, rows, |g, a| {
                (vec![body(g, a.carried[0], a.constants, a.rows)], vec![])
            });
            return last[0];
        }
        (0..n).fold(first, |value, k| {
            let row = |g: &mut Graph, stack: Value| {
                let mut shape = g.shape(stack).to_vec();
                shape.remove(1);
                let one = g.slice(stack, 1, k, 1);
                g.reshape(one, &shape)
            };
            let rows: Vec<Value> = rows.iter().map(|r| row(g, *r)).collect();
            body(g, value, constants, &rows)
        })
    };
    let cost = |g: &mut Graph, w: Value, x: Value, y: Value| {
        let part = |g: &mut Graph, from: usize, rows: usize, columns: usize| {
            let part = g.slice(w, 1, from, rows * columns);
            g.reshape(part, &[t, rows, columns])
        };
        let (wx, wh, wo) = (part(g, 0, i, h), part(g, i * h, h, h), part(g, i * h + h * h, h, 1));
        let zero = g.constant(0.0);
        let before = g.expand(zero, &[t, n, h]);
        let after = repeat(g, l, before, &[wx, wh], &[x], &|g, state, weights, rows| {
            let new = g.matmul(rows[0], weights[0]);
            let old = g.matmul(state, weights[1]);
            let sum = g.add(new, old);
            g.act(Activation::Tanh, sum)
        });
        let prediction = g.matmul(after, wo);
        let error = g.sub(prediction, y);
        let square = g.mul(error, error);
        g.sum_to(square, &[])
    };
    let w0 = g.expand(start, &[t, p]);
    let w = repeat(&mut g, steps, w0, &[xs, ys], &[], &|g, w, constants, _| {
        let loss = cost(g, w, constants[0], constants[1]);
        let d = g.grad(loss, &[w])[0];
        let change = g.scale(d, 0.1);
        g.sub(w, change)
    });
    let objective = cost(&mut g, w, xq, yq);
    let grads = g.grad(objective, &[start, xs]);
    g.output("objective", objective);
    g.output("adapted", w);
    g.output("d start", grads[0]);
    g.output("d xs", grads[1]);
    (g, feed)
}
