//! A step of training as a graph.

use super::method::{Learning, Method};
use super::networks::Networks;
use super::regulariser::output_regulariser;
use super::sequence::Sequence;
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::hyper::Condition;
use crate::net::{Net, Weights};
use crate::optim::adam_step;
use crate::task::{Loss, loss};

/// What a logit is that may not be chosen.
const NEVER: f64 = -1e9;

/// Names of what a step reads and leaves.
pub(super) const STATE: &str = "learner";
pub(super) const IMPORTANCE: &str = "importance";
pub(super) const PULL: &str = "pull";
pub(super) const PATH: &str = "path";
pub(super) const LAST: &str = "last";
pub(super) const BEFORE: &str = "before";
pub(super) const WRITTEN: &str = "written";

/// Loss of the outputs `[n, K]` of a shared network: only those that `mask` allows count.
fn masked_loss(g: &mut Graph, kind: Loss, outputs: Value, y: Value, mask: Value) -> Value {
    let shape = g.shape(outputs).to_vec();
    let each = match kind.has_classes() {
        true => {
            let never = g.constant(NEVER);
            let never = g.expand(never, &shape);
            let logits = g.select(mask, outputs, never);
            g.cross_entropy(logits, y)
        }
        false => {
            let wrong = g.sub(outputs, y);
            let wrong = g.mul(wrong, mask);
            let square = g.mul(wrong, wrong);
            let last = shape.len() - 1;
            g.sum_axes(square, &[last])
        }
    };
    g.mean(each)
}

/// Loss of rows by a network with these weights.
pub(super) fn shared_loss(
    g: &mut Graph,
    net: &Net,
    kind: Loss,
    flat: Value,
    [x, y, mask]: [Value; 3],
) -> Value {
    let layout = net.layout();
    let outputs = g.scope("network", |g| net.apply(g, Weights { flat, layout: &layout }, x));
    masked_loss(g, kind, outputs, y, mask)
}

/// A step of a network that tasks share, on a batch of `rows` rows.
pub(super) fn shared_step(networks: &Networks, sequence: &Sequence, l: &Learning, rows: usize) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let net = networks.net(l.method);
    let (p, outputs) = (net.layout().len(), net.outputs());
    let control = g.step("control", &[3]);
    let x = g.step("x", &[rows, sequence.inputs()]);
    let [y, mask] = ["y", "mask"].map(|name| g.step(name, &[rows, outputs]));
    let state = g.state(STATE, &[l.optimiser.rows(), p]);
    let flat = g.slice(state, 0, 0, 1);
    let flat = g.reshape(flat, &[p]);
    let minimise = shared_loss(g, net, sequence.loss, flat, [x, y, mask]);
    let own = g.grad(minimise, &[flat])[0];
    let mut gradient = own;
    if l.method.weighs() {
        // λ/2 Σ_k Ω_k (θ - θ_k)², of which the gradient is λ (Σ Ω_k θ - Σ Ω_k θ_k).
        let [importance, pull] = [IMPORTANCE, PULL].map(|name| g.data(name, &[p]));
        let weight = g.data("weight", &[1]);
        let pulled = g.mul(importance, flat);
        let pulled = g.sub(pulled, pull);
        let pulled = g.mul(pulled, weight);
        gradient = g.add(own, pulled);
    }
    if l.method == Method::Si {
        // ω = Σ -g · Δθ over the steps of a task (Zenke et al. 2017, equation 3). What a step did to the weights is seen in the next one, where the gradient
        // that led to it lies beside the weights before.
        let [path, last] = [(PATH, 1), (LAST, 2)].map(|(name, rows)| g.state(name, &[rows, p]));
        let [then, led] = [0, 1].map(|i| g.slice(last, 0, i, 1));
        let [flat, own] = [flat, own].map(|v| g.reshape(v, &[1, p]));
        let moved = g.sub(then, flat);
        let brought = g.mul(led, moved);
        let sum = g.add(path, brought);
        // A gradient that is not finite moves nothing.
        let square = g.mul(own, own);
        let square = g.sum_to(square, &[1, 1]);
        let finite = g.map(Func::IsFinite, square);
        let zero = g.constant(0.0);
        let finite = g.expand(finite, &[1, p]);
        let own = g.select(finite, own, zero);
        let next = g.concat(&[flat, own], 0);
        g.update(path, sum);
        g.update(last, next);
    }
    let norm = l.optimiser.step(g, state, gradient, control, l.clip);
    g.record("loss", minimise);
    g.record("norm", norm);
    graph
}

/// The weights `[T, P]` that a hypernetwork writes for tasks of these numbers, u32 `[T]`.
pub(super) fn written(g: &mut Graph, networks: &Networks, flat: Value, tasks: Value) -> Value {
    let hyper = &networks.hyper;
    let layout = hyper.layout();
    let params = Weights { flat, layout: &layout };
    let many = g.shape(tasks)[0];
    let available = Condition { support: None, task: Some(tasks), descriptor: None, noise: None };
    let read = hyper.condition(g, params, &available);
    hyper.generate(g, params, read, many)
}

/// A step of a hypernetwork, on a batch of `rows` rows of one task and what was written for `past` earlier ones.
pub(super) fn hyper_step(
    networks: &Networks,
    sequence: &Sequence,
    l: &Learning,
    (rows, past): (usize, usize),
) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let layout = networks.hyper.layout();
    let (h, target) = (layout.len(), networks.target());
    let control = g.step("control", &[3]);
    let x = g.step("x", &[1, rows, sequence.inputs()]);
    let y = g.step("y", &[1, rows, networks.outputs]);
    let task = g.step_u32("task", &[1]);
    let state = g.state(STATE, &[l.optimiser.rows(), h]);
    let row = |g: &mut Graph, i: usize| {
        let row = g.slice(state, 0, i, 1);
        g.reshape(row, &[h])
    };
    let flat = row(g, 0);
    let minimise = g.scope("present", |g| {
        let own = written(g, networks, flat, task);
        let layout = target.layout();
        let said = target.apply(g, Weights { flat: own, layout: &layout }, x);
        let each = loss(g, sequence.loss, said, y, None);
        g.mean(each)
    });
    let own = g.grad(minimise, &[flat])[0];
    let mut gradient = own;
    if past > 0 {
        let held = g.scope("past", |g| {
            let numbers = g.step_u32("past", &[past]);
            let then = match l.stored {
                true => {
                    let all = g.data(WRITTEN, &[networks.tasks, target.layout().len()]);
                    g.gather(all, numbers)
                }
                false => {
                    let before = g.data(BEFORE, &[h]);
                    written(g, networks, before, numbers)
                }
            };
            let from = match l.look_ahead {
                true => {
                    let rest = [row(g, 1), row(g, 2)];
                    let [after, _, _] = adam_step(g, &l.optimiser, [flat, rest[0], rest[1]], own, control);
                    let moved = g.sub(after, flat);
                    let moved = g.stop_gradient(moved);
                    g.add(flat, moved)
                }
                false => flat,
            };
            // Embeddings of earlier tasks stay what they are.
            let parts: Vec<Value> = (layout.segments(&["embedding".into()]).into_iter())
                .map(|(range, is_embedding)| {
                    let of = if is_embedding { g.stop_gradient(flat) } else { from };
                    g.slice(of, 0, range.start, range.len())
                })
                .collect();
            let held = g.concat(&parts, 0);
            let now = written(g, networks, held, numbers);
            let apart = output_regulariser(g, now, then);
            let weight = g.data("weight", &[1]);
            let weight = g.reshape(weight, &[]);
            g.mul(apart, weight)
        });
        let back = g.grad(held, &[flat])[0];
        gradient = g.add(own, back);
    }
    let norm = l.optimiser.step(g, state, gradient, control, l.clip);
    g.record("loss", minimise);
    g.record("norm", norm);
    graph
}
