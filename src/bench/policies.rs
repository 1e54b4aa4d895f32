//! Workloads of policies: many networks that act, and learn from what they get.

use super::numbers;
use super::workload::{Builder, kernels};
use crate::graph::expr::Expr;
use crate::graph::op::Binary;
use crate::graph::{Graph, Role, Value};
use crate::net::{Net, ParamLayout, Weights};
use crate::optim::{Optimiser, adam_step, clip_factor};
use crate::policy::environment::CartPole;
use crate::policy::{ActionSpace, Distribution, Environment, Moment, Objective, Rewards, Steps, advantages};
use crate::spec::{Activation, DType};

/// Steps of `rl-rollout`, and the one after which states are compared.
const ROLL: usize = 200;
const COMPARED: usize = 4;
/// Worlds of an agent of `ppo-step`, steps in each, and what it learns by.
const WORLDS: usize = 64;
const STEPS: usize = 128;
const EPOCHS: usize = 4;
const MINIBATCHES: usize = 4;
const GAMMA: f64 = 0.99;
const LAMBDA: f64 = 0.95;
const RATE: f64 = 2.5e-4;
const CLIP: f64 = 0.5;

/// In which order `ppo-step` learns from its steps: every row once an epoch.
pub(super) fn order() -> Vec<u32> {
    let rows = WORLDS * STEPS;
    (0..EPOCHS).flat_map(|e| (0..rows).map(move |i| ((i * (4099 + 2 * e) + e) % rows) as u32)).collect()
}

fn actor() -> Net {
    Net::mlp(&[4, 64, 64, 2], Activation::Tanh)
}

fn critic() -> Net {
    Net::mlp(&[4, 64, 64, 1], Activation::Tanh)
}

/// Nominal operations: products only.
pub(super) fn roll_flops() -> f64 {
    (ROLL * 2 * (4 * 64 + 64 * 64 + 128)) as f64
}

pub(super) fn ppo_flops() -> f64 {
    (WORLDS * STEPS * 2 * (2 * (256 + 4096) + 192) * (1 + 3 * EPOCHS)) as f64
}

/// Weights of `t` networks of three dense layers, from stream `first` and on.
fn weights(layout: &ParamLayout, first: u32, t: usize) -> Vec<f32> {
    kernels(layout, t, first, |layer, _| if layer == 0 { 0.8 } else { 0.2 })
}

/// Physics `[t, context]`: each number but the last two within a factor of 1.5 of the usual.
fn physics(t: usize) -> Vec<f32> {
    let usual: Vec<f32> = CartPole {}.context().iter().map(|c| c.usual as f32).collect();
    let drawn = numbers(110, 0.4, t * 6);
    drawn
        .chunks(6)
        .flat_map(|own| {
            let varied = usual.iter().zip(own).take(5).map(|(usual, x)| usual * x.exp());
            varied.chain([0.02, 1.0]).collect::<Vec<f32>>()
        })
        .collect()
}

/// The larger of two logits as a pair, one-hot; the first where they are equal.
fn larger(logits: Expr<'_>) -> Expr<'_> {
    let right = logits.column(0).zip(Binary::Less, logits.column(1));
    Expr::columns(&[1.0 - right, right])
}

impl Builder {
    /// `t` networks, each in a world of its own; a fall leads back to where it began.
    pub(super) fn roll_out(&mut self, t: usize) {
        let net = actor();
        let layout = net.layout();
        let w = self.data("weights", &[t, layout.len()], weights(&layout, 111, t));
        let start = self.random("start", &[t, 1, 4], 114, 0.05);
        let context = self.data("context", &[t, 1, 7], physics(t));
        let g = &mut self.g;
        let (zero, shape) = (g.constant(0.0), [t, 1, 1]);
        let none = g.expand(zero, &shape);
        let (last, given) = g.scan(ROLL, &[start, none], &[w, start, context], &[], |g, args| {
            let (flat, start, context) = (args.constants[0], args.constants[1], args.constants[2]);
            let state = args.carried[0];
            let logits = net.apply(g, Weights { flat, layout: &layout }, state);
            let e = g.expr();
            let (state, context, falls) = (e.of(state), e.of(context), e.of(args.carried[1]));
            let action = larger(e.of(logits));
            let done = CartPole {}.step(Moment { state, action, context, noise: state });
            let next = done.terminated.choose(e.of(start), done.state).value();
            (vec![next, (falls + done.terminated).value()], vec![done.state.value()])
        });
        let states = g.slice(given[0], 1, COMPARED, 1);
        g.output("result", states);
        g.output("falls", last[1]);
    }

    /// An iteration of PPO of `t` agents, each with networks and physics of its own.
    pub(super) fn ppo(&mut self, t: usize) {
        let (actor, critic) = (actor(), critic());
        let (of_actor, of_critic) = (actor.layout(), critic.layout());
        let p = of_actor.len();
        let own = [weights(&of_actor, 111, t), weights(&of_critic, 121, t)];
        let joined = own[0].chunks(p).zip(own[1].chunks(of_critic.len())).flat_map(|(a, c)| [a, c].concat());
        let n = p + of_critic.len();
        let w = self.data("w0", &[t, n], joined.collect());
        let start = self.random("start", &[t, WORLDS, 4], 125, 0.05);
        let context = self.data("context", &[t, 1, 7], physics(t));
        // Gumbel noise, as the peers have it: a step, then an agent.
        let noise = numbers(124, 1.0, STEPS * t * WORLDS * 2);
        let gumbel = |x: f32| -(-((x + 1.0) / 2.0).clamp(1e-6, 1.0 - 1e-6).ln()).ln();
        let by_agent = (0..t).flat_map(|a| {
            let noise = &noise;
            let row = WORLDS * 2;
            (0..STEPS).flat_map(move |s| noise[(s * t + a) * row..][..row].iter().map(move |x| gumbel(*x)))
        });
        let noise = self.data("noise", &[t, STEPS, WORLDS, 2], by_agent.collect());
        let rows = WORLDS * STEPS;
        let g = &mut self.g;
        let parts = |g: &mut Graph, w: Value| (g.slice(w, 1, 0, p), g.slice(w, 1, p, of_critic.len()));
        let (flat, _) = parts(g, w);
        let rolled = g.scan(STEPS, &[start], &[flat, start, context], &[noise], |g, args| {
            let (flat, start, context) = (args.constants[0], args.constants[1], args.constants[2]);
            let outputs = actor.apply(g, Weights { flat, layout: &of_actor }, args.carried[0]);
            let e = g.expr();
            let (state, context) = (e.of(args.carried[0]), e.of(context));
            let space = ActionSpace::Discrete(2);
            let said = Distribution::new(&space, e.of(outputs), None);
            let action = larger(e.of(outputs) + e.of(args.rows[0]));
            let done = CartPole {}.step(Moment { state, action, context, noise: state });
            let next = done.terminated.choose(e.of(start), done.state);
            let given = [state, action, said.log_probability(action), done.terminated].map(|x| x.value());
            (vec![next.value()], given.to_vec())
        });
        let (last, given) = rolled;
        // All states, the one behind the last step, too.
        let end = g.reshape(last[0], &[t, 1, WORLDS, 4]);
        let states = g.concat(&[given[0], end], 1);
        let states = g.reshape(states, &[t, rows + WORLDS, 4]);
        let (_, flat) = parts(g, w);
        let values = critic.apply(g, Weights { flat, layout: &of_critic }, states);
        let values = g.reshape(values, &[t, STEPS + 1, WORLDS, 1]);
        let (value, next) = (g.slice(values, 1, 0, STEPS), g.slice(values, 1, 1, STEPS));
        let one = g.constant(1.0);
        let reward = g.expand(one, &[t, STEPS, WORLDS, 1]);
        let of = Rewards { reward, value, next, terminated: given[3], ended: given[3] };
        let advantage = advantages(g, of, GAMMA, LAMBDA);
        let target = g.add(advantage, value);
        let columns: Vec<Value> = [given[0], given[1], given[2], advantage, value, target]
            .into_iter()
            .map(|v| {
                let wide = g.shape(v)[3];
                g.reshape(v, &[t, rows, wide])
            })
            .collect();
        let table = g.concat(&columns, 2);
        let table = g.permute(table, &[1, 0, 2]);
        let table = g.stop_gradient(table);
        let optimiser = Optimiser::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-5, decay: 0.0 };
        let zero = g.expand(one, &[t, n]);
        let zero = g.scale(zero, 0.0);
        let mut learner = [w, zero, zero];
        let mut losses = vec![];
        let many = rows / MINIBATCHES;
        let order = g.input("order", Role::Data, &[EPOCHS * rows], DType::U32);
        for update in 0..EPOCHS * MINIBATCHES {
            let picked = g.slice(order, 0, update * many, many);
            let batch = g.gather(table, picked);
            let batch = g.permute(batch, &[1, 0, 2]);
            let (a, c) = parts(g, learner[0]);
            let seen = g.slice(batch, 2, 0, 4);
            let outputs = actor.apply(g, Weights { flat: a, layout: &of_actor }, seen);
            let expected = critic.apply(g, Weights { flat: c, layout: &of_critic }, seen);
            let e = g.expr();
            let batch = e.of(batch);
            let space = ActionSpace::Discrete(2);
            let said = Distribution::new(&space, e.of(outputs), None);
            let steps = Steps {
                action: batch.slice(2, 4, 2),
                log_probability: batch.column(6),
                advantage: batch.column(7),
                value: batch.column(8),
                target: batch.column(9),
            };
            let loss = Objective::default().of(&said, e.of(expected), steps).all;
            losses.push((loss.total() / t as f64).value());
            let sum = loss.total().value();
            let gradient = g.grad(sum, &[learner[0]])[0];
            let square = g.mul(gradient, gradient);
            let norm2 = g.sum_to(square, &[t, 1]);
            let factor = clip_factor(g, norm2, CLIP);
            let clipped = g.mul(gradient, factor);
            let control: Vec<f64> =
                optimiser.control(update as u64, RATE).iter().map(|x| f64::from(*x)).collect();
            let control = g.constants(&[3], &control);
            learner = adam_step(g, &optimiser, learner, clipped, control);
        }
        let ends = [losses[0], losses[losses.len() - 1]].map(|v| g.reshape(v, &[1]));
        let both = g.concat(&ends, 0);
        g.output("first_and_last", both);
        let falls = g.sum_to(given[3], &[]);
        let falls = g.scale(falls, 1.0 / t as f64);
        g.output("falls", falls);
        g.output("result", learner[0]);
    }
}
