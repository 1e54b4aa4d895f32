//! Generators that a hypernetwork writes, against a discriminator (Goodfellow et al. 2014): `cargo run --release --example generated_gan`
//!
//! A task is a ring of points in the plane, of a centre and a radius of its own. The hypernetwork reads 16 of its points and writes a
//! network from noise to points; a discriminator that all tasks share reads the same 16 and tells points of the ring from written ones.
use hyperloom::adapt::Adaptation;
use hyperloom::graph::{Graph, Value};
use hyperloom::hyper::{Condition, ConditionSpec, HyperSpec, SetEncoder};
use hyperloom::net::{Net, Weights};
use hyperloom::optim::Optimiser;
use hyperloom::plan::{KEEP, lower};
use hyperloom::rng::Rng;
use hyperloom::spec::Activation::{Silu, Softplus};
use hyperloom::task::{Likelihood, Rows};
use hyperloom::{Device, Model, Result, Task};

const TASKS: usize = 32;
const KNOWN: usize = 16;
const POINTS: usize = 64;
const NOISE: usize = 2;
/// Numbers that the discriminator reads of the known points.
const SAID: usize = 64;
/// Steps between two visits of the host.
const WINDOW: usize = 20;
const RATE: f64 = 1e-3;

/// Points `[n, 2]` of a ring.
fn ring(rng: &mut Rng, n: usize) -> Vec<f32> {
    let (cx, cy, radius) = (rng.range(-1.0, 1.0), rng.range(-1.0, 1.0), rng.range(0.3, 1.0));
    let mut point = || {
        let (angle, r) = (rng.range(0.0, std::f64::consts::TAU), radius + 0.02 * rng.normal());
        [(cx + r * angle.cos()) as f32, (cy + r * angle.sin()) as f32]
    };
    (0..n).flat_map(|_| point()).collect()
}

fn noise(rng: &mut Rng, n: usize) -> Vec<f32> {
    (0..n * NOISE).map(|_| rng.normal() as f32).collect()
}

/// A network from noise to points, written from the mean of what is read of each known point.
fn hyper() -> HyperSpec {
    // An example is a row of noise, which for known points is 0, and the point.
    let support = SetEncoder::new(NOISE + 2, vec![64, 64], 1.0);
    let condition = ConditionSpec { support: Some(support), ..ConditionSpec::default() };
    HyperSpec::new(condition, vec![64], Silu, Net::rows([NOISE]).dense(32).tanh().dense(32).tanh().dense(2))
}

/// Reads a point beside what is said of the known ones, by the encoder; its logit says how likely it is one of the ring.
fn discriminator() -> [Net; 2] {
    let encoder = Net::rows([2]).dense(128).activation(Silu).dense(SAID);
    let judge = Net::rows([2 + SAID]).dense(128).activation(Silu).dense(128).activation(Silu).dense(1);
    [encoder, judge]
}

/// `mean ln(1 + e^(sign · logit))` of points `[T, n, 2]`.
fn surprise(g: &mut Graph, params: Weights<'_>, known: Value, points: Value, sign: f64) -> Value {
    let [encoder, judge] = discriminator();
    let each = encoder.apply_named(g, params, "encoder", known);
    let sum = g.sum_to(each, &[TASKS, 1, SAID]);
    let said = g.scale(sum, 1.0 / KNOWN as f64);
    let said = g.expand(said, &[TASKS, POINTS, SAID]);
    let rows = g.concat(&[points, said], 2);
    let logits = judge.apply_named(g, params, "judge", rows);
    let signed = g.scale(logits, sign);
    let each = g.act(Softplus, signed);
    g.mean(each)
}

/// Trains for so many steps, and gives the model that writes generators.
pub(crate) fn train(device: &Device, steps: u64) -> Result<Model> {
    // Less momentum than usual, as two that learn against one another need (Radford et al. 2016).
    let optimiser = Optimiser::AdamW { beta1: 0.5, beta2: 0.999, eps: 1e-8, decay: 0.0 };
    let hyper = hyper();
    let [encoder, judge] = discriminator();
    let mut layout = encoder.layout_he(Silu);
    layout.params.iter_mut().for_each(|p| p.name = format!("encoder.{}", p.name));
    layout.extend("judge", &judge.layout_he(Silu));
    let mut graph = Graph::new();
    let g = &mut graph;
    g.keep(KEEP);
    let known = g.step("known", &[TASKS, KNOWN, 2]);
    let points = g.step("points", &[TASKS, POINTS, 2]);
    let noises = g.step("noise", &[TASKS, POINTS, NOISE]);
    let control = g.step("control", &[3]);
    let written_by = hyper.layout();
    let learner = |g: &mut Graph, name: &str, len: usize| {
        let state = g.state(name, &[optimiser.rows(), len]);
        let flat = g.slice(state, 0, 0, 1);
        (state, g.reshape(flat, &[len]))
    };
    let (writer, writer_flat) = learner(g, "writer", written_by.len());
    let (judging, judging_flat) = learner(g, "judge", layout.len());
    let params = Weights { flat: writer_flat, layout: &written_by };
    let zero = g.constant(0.0);
    let zero = g.expand(zero, &[TASKS, KNOWN, NOISE]);
    let support = Rows::alike(g, zero, known);
    let read = hyper.condition(
        g,
        params,
        &Condition { support: Some(support), task: None, descriptor: None, noise: None },
    );
    let weights = hyper.generate(g, params, read, TASKS);
    let drawn = hyper.target.apply(g, Weights { flat: weights, layout: &hyper.target.layout() }, noises);
    let judge = Weights { flat: judging_flat, layout: &layout };
    // The discriminator wants high logits of points and low ones of what is written, and of points of another ring (Reed et al. 2016),
    // else it would not look at the known ones; the hypernetwork wants high ones of what it writes.
    let others = [g.slice(points, 0, 1, TASKS - 1), g.slice(points, 0, 0, 1)];
    let others = g.concat(&others, 0);
    let (real, fake) = (surprise(g, judge, known, points, -1.0), surprise(g, judge, known, drawn, 1.0));
    let other = surprise(g, judge, known, others, 1.0);
    let wrong = g.add(fake, other);
    let wrong = g.scale(wrong, 0.5);
    let told = g.add(real, wrong);
    let fooled = surprise(g, judge, known, drawn, -1.0);
    for (state, flat, loss) in [(judging, judging_flat, told), (writer, writer_flat, fooled)] {
        let gradient = g.grad(loss, &[flat])[0];
        optimiser.step(g, state, gradient, control, 1.0);
    }
    g.record("discriminator", told);
    g.record("generator", fooled);
    let mut session = device.prepare(lower(&graph, device.caps(WINDOW))?)?;
    let mut rng = Rng::new(0, 1);
    let base = hyper.target.layout().init(&mut rng);
    for (name, start) in [("writer", hyper.init(&mut rng, &base)), ("judge", layout.init(&mut rng))] {
        let mut state = start;
        state.resize(state.len() * optimiser.rows(), 0.0);
        session.write(name, &state)?;
    }
    for window in 0..steps.div_ceil(WINDOW as u64) {
        for row in 0..WINDOW {
            let step = window * WINDOW as u64 + row as u64;
            let (mut seen, mut others) = (vec![], vec![]);
            for _ in 0..TASKS {
                let all = ring(&mut rng, KNOWN + POINTS);
                seen.extend(&all[..2 * KNOWN]);
                others.extend(&all[2 * KNOWN..]);
            }
            session.set_step(row, "known", &seen)?;
            session.set_step(row, "points", &others)?;
            session.set_step(row, "noise", &noise(&mut rng, TASKS * POINTS))?;
            session.set_step(row, "control", &optimiser.control(step, RATE))?;
        }
        session.run(WINDOW)?;
    }
    let params = session.read("writer")?[..written_by.len()].to_vec();
    Model::new(hyper, Likelihood::values(2), Adaptation::fine_tuning(0.01, 1.0), params)
}

/// Distance of two distributions by points of each (energy distance: Székely and Rizzo 2013); 0 where they are one.
fn energy(a: &[f32], b: &[f32]) -> f64 {
    let mean = |a: &[f32], b: &[f32]| {
        let pairs = a.chunks(2).flat_map(|p| b.chunks(2).map(move |q| (p[0] - q[0]).hypot(p[1] - q[1])));
        pairs.map(f64::from).sum::<f64>() / (a.len() * b.len() / 4) as f64
    };
    2.0 * mean(a, b) - mean(a, a) - mean(b, b)
}

/// The mean distance between rings that were never seen and what is written for them; and between two rings.
pub(crate) fn judged(device: &Device, model: &Model) -> Result<[f64; 2]> {
    let (mut rng, rings, n) = (Rng::new(1, 2), 50, 200);
    let mut sums = [0.0; 2];
    for _ in 0..rings {
        let (all, other) = (ring(&mut rng, KNOWN + n), ring(&mut rng, n));
        let (known, rest) = all.split_at(2 * KNOWN);
        let support = Task::from_support(vec![0.0; KNOWN * NOISE], known.to_vec());
        let drawn = model.adapt(device, &support, Some(0))?.predict(device, &noise(&mut rng, n))?;
        sums[0] += energy(rest, &drawn) / f64::from(rings);
        sums[1] += energy(rest, &other) / f64::from(rings);
    }
    Ok(sums)
}

fn main() -> Result<()> {
    let device = Device::choose("auto")?.0;
    for steps in [0, 1_000, 4_000] {
        let [written, other] = judged(&device, &train(&device, steps)?)?;
        println!(
            "{steps} steps: distance of unseen rings to what is written {written:.3}, to another ring {other:.3}"
        );
    }
    Ok(())
}
