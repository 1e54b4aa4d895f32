//! Choices by gradient (DARTS, Liu et al. 2019): the largest network with a mixture of all choices instead of one. Its weights learn on rows
//! to train on, the shares of the choices on rows to choose by, in turn.
//!
//! As all that stands between two nodes is one convolution ([`Masked`]), a mixture costs no more than the largest of its choices.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use super::masked::Masked;
use super::policy::Policy;
use super::population::RowsOf;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::net::choice_shares;
use crate::optim::{Optimiser, Schedule};
use crate::plan::lower;
use crate::rng::Rng;
use crate::run::{Device, Session};
use crate::task::{Loss, loss};

/// Logits of choices that a decision does not have.
const ABSENT: f64 = -1e9;
/// Constants of the optimiser of the logits (Liu et al. 2019, section 3.1).
const LOGITS: Optimiser = Optimiser::AdamW { beta1: 0.5, beta2: 0.999, eps: 1e-8, decay: 1e-3 };
/// Steps that are staged at once.
const WINDOW: usize = 8;
/// Random numbers of the first weights, of rows, and of samples.
const START: u64 = 0x6ad1;
const ROWS: u64 = 0x6ad2;
const NOISE: u64 = 0x6ad3;

/// What stands for a choice while it is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Sampling {
    /// The mixture of all choices by their shares (DARTS, Liu et al. 2019).
    #[default]
    Mixture,
    /// One choice, sampled; its gradient is that of a mixture (Gumbel softmax, straight through; Dong and Yang 2019).
    Gumbel,
}

/// How choices are learned by gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GradientSettings {
    /// Steps.
    pub steps: u64,
    /// Rows of a step, of each kind.
    pub batch: usize,
    /// 1: the shares learn on the weights as they are. 2: on the weights after one more step of gradient descent, through which the
    /// gradient is exact.
    pub order: usize,
    /// What stands for a choice.
    pub sampling: Sampling,
    /// Of `gumbel`: architectures of a step.
    pub samples: usize,
    /// Of the softmax of the shares.
    pub temperature: f64,
    /// Peak learning rate of the weights.
    pub rate: f64,
    /// Learning rate of the logits.
    pub logits_rate: f64,
    /// Weight decay of the weights.
    pub decay: f64,
    /// Largest norm of either gradient.
    pub clip: f64,
}

impl Default for GradientSettings {
    fn default() -> GradientSettings {
        GradientSettings {
            steps: 1_000,
            batch: 64,
            order: 2,
            sampling: Sampling::Mixture,
            samples: 4,
            temperature: 1.0,
            rate: 0.005,
            logits_rate: 0.02,
            decay: 0.01,
            clip: 1.0,
        }
    }
}

/// Weights of the largest network of a space, and logits of its choices.
#[derive(Clone, Debug)]
pub struct ChoiceGradient {
    masked: Masked,
    settings: GradientSettings,
    /// Choices of each decision, and how many the largest decision has.
    counts: Vec<usize>,
    most: usize,
    /// Weights and moments, `[3, P]`.
    weights: Vec<f32>,
    /// Logits and moments, `[3, decisions · most]`.
    logits: Vec<f32>,
    step: u64,
    seed: u64,
}

/// Rows of a graph: inputs `[1, batch, inputs]` and targets `[1, batch, outputs]`.
type Batch = (Value, Value);

impl ChoiceGradient {
    /// All choices with the same share, before the first step.
    pub fn new(masked: Masked, settings: GradientSettings, seed: u64) -> ChoiceGradient {
        let counts: Vec<usize> = masked.space().decisions().into_iter().map(|(_, n)| n).collect();
        let most = counts.iter().copied().max().unwrap_or(1);
        let start = masked.layout().init(&mut Rng::new(seed, START));
        let weights = [&start[..], &vec![0.0; 2 * start.len()]].concat();
        let logits = vec![0.0; 3 * counts.len() * most];
        ChoiceGradient { masked, settings, counts, most, weights, logits, step: 0, seed }
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Weights and moments `[3, P]`, logits and moments `[3, D]`, as a checkpoint has them.
    pub fn state(&self) -> [&[f32]; 2] {
        [&self.weights, &self.logits]
    }

    /// Goes on from a checkpoint of the same search.
    ///
    /// # Errors
    /// Where it is another one's.
    pub fn restore(
        &mut self,
        [weights, logits]: [Vec<f32>; 2],
        step: u64,
    ) -> std::result::Result<(), String> {
        if weights.len() != self.weights.len() || logits.len() != self.logits.len() {
            return Err(format!(
                "{} weights and {} logits with their moments, and the space has {} and {}",
                weights.len(),
                logits.len(),
                self.weights.len(),
                self.logits.len()
            ));
        }
        (self.weights, self.logits, self.step) = (weights, logits, step);
        Ok(())
    }

    /// So many architectures more, none of them in `known`, drawn by the shares that were learned; fewer where no more are found.
    ///
    /// # Errors
    /// Those of [`super::Space::distinct`].
    pub fn propose(
        &self,
        known: &mut BTreeSet<String>,
        many: usize,
        rng: &mut Rng,
    ) -> Result<Vec<Architecture>> {
        let policy = self.policy();
        let place = (self.masked.row(), self.masked.outputs());
        let space = self.masked.space();
        space.distinct(many, place, known, || policy.sample(space, rng))
    }

    fn policy(&self) -> Policy {
        let of = self.counts.iter().zip(self.logits.chunks(self.most));
        Policy { logits: of.map(|(n, l)| l[..*n].iter().map(|v| f64::from(*v)).collect()).collect() }
    }

    /// Learns by so many steps more, or as many as its schedule has left; `watch` is told the step and the loss on rows to choose by, and
    /// says whether to stop.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn train(
        &mut self,
        device: &Device,
        train: RowsOf<'_>,
        choose: RowsOf<'_>,
        steps: u64,
        mut watch: impl FnMut(u64, f32) -> bool,
    ) -> Result<()> {
        let s = self.settings;
        let end = (self.step + steps).min(s.steps);
        let batches = [train, choose].map(|(_, rows)| s.batch.min(rows.len()));
        let mut session = self.session(device, batches, train.0.loss())?;
        session.write("weights", &self.weights)?;
        session.write("logits", &self.logits)?;
        for (name, values) in self.inputs() {
            session.write(name, &values)?;
        }
        let optimiser = Optimiser::adamw(s.decay);
        let schedule = Schedule { warmup: s.steps / 20, ..Schedule::new(s.rate, s.steps) };
        while self.step < end {
            let many = WINDOW.min((end - self.step) as usize);
            for row in 0..many {
                let at = self.step + row as u64;
                let mut rng = Rng::new(self.seed, ROWS ^ at << 16);
                for (((data, rows), b), [x, y]) in
                    [train, choose].into_iter().zip(batches).zip([["x", "y"], ["chosen_x", "chosen_y"]])
                {
                    let drawn: Vec<usize> = rng.choose(rows.len(), b).into_iter().map(|i| rows[i]).collect();
                    session.set_step(row, x, &data.moved(&drawn, &mut rng))?;
                    session.set_step(row, y, &data.targets(&drawn))?;
                }
                if s.sampling == Sampling::Gumbel {
                    let mut rng = Rng::new(self.seed, NOISE ^ at << 16);
                    let many = s.samples * self.counts.len() * self.most;
                    let gumbel = |_| -(-rng.uniform().max(f64::MIN_POSITIVE).ln()).ln() as f32;
                    session.set_step(row, "noise", &(0..many).map(gumbel).collect::<Vec<f32>>())?;
                }
                session.set_step(row, "control", &optimiser.control(at, schedule.rate(at)))?;
                session.set_step(row, "logits_control", &LOGITS.control(at, s.logits_rate))?;
            }
            let records = session.run(many)?;
            self.step += many as u64;
            if watch(self.step, records.last().map_or(f32::NAN, |r| r[0])) {
                break;
            }
        }
        (self.weights, self.logits) = (session.read("weights")?, session.read("logits")?);
        Ok(())
    }

    /// A step: the shares learn, then the weights.
    fn session(&self, device: &Device, batches: [usize; 2], what: Loss) -> Result<Session> {
        let s = self.settings;
        let mut g = Graph::new();
        let weights = g.state("weights", &[3, self.masked.layout().len()]);
        let logits = g.state("logits", &[3, self.counts.len() * self.most]);
        let control = g.step("control", &[3]);
        let logits_control = g.step("logits_control", &[3]);
        let (w, a) = (g.slice(weights, 0, 0, 1), g.slice(logits, 0, 0, 1));
        let rate = g.slice(control, 0, 0, 1);
        let [chosen, trained] = self.losses(&mut g, [w, a, rate], (what, batches), true);
        let flat = |g: &mut Graph, loss: Value, by: Value| {
            let gradient = g.grad(loss, &[by])[0];
            let len = g.shape(gradient)[1];
            g.reshape(gradient, &[len])
        };
        let (by_logits, by_weights) = (flat(&mut g, chosen, a), flat(&mut g, trained, w));
        LOGITS.step(&mut g, logits, by_logits, logits_control, s.clip);
        Optimiser::adamw(s.decay).step(&mut g, weights, by_weights, control, s.clip);
        g.record("loss", chosen);
        device.prepare(lower(&g, device.caps(WINDOW))?)
    }

    /// The mean loss on rows to choose by, of second order behind a step of gradient descent on rows to train on; and that on rows
    /// to train on. By weights `[1, P]`, logits `[1, decisions · most]` and the rate `[1]` of that step. Inputs of the graph are `x`, `y` and
    /// `chosen_x`, `chosen_y`, `[1, batch, ..]`, of `gumbel` `noise`, with each step or beforehand, and those of [`Self::inputs`].
    pub fn losses(
        &self,
        g: &mut Graph,
        [w, a, rate]: [Value; 3],
        (what, [b, chosen]): (Loss, [usize; 2]),
        steps: bool,
    ) -> [Value; 2] {
        let s = self.settings;
        let (d, k) = (self.counts.len(), self.most);
        let says = g.data("says", &[d * k, self.masked.choices()]);
        let absent = g.data("absent", &[1, d, k]);
        let input = |g: &mut Graph, name: &str, shape: &[usize]| match steps {
            true => g.step(name, shape),
            false => g.data(name, shape),
        };
        let (inputs, outputs) = (self.masked.inputs(), self.masked.outputs());
        let train = (input(g, "x", &[1, b, inputs]), input(g, "y", &[1, b, outputs]));
        let choose =
            (input(g, "chosen_x", &[1, chosen, inputs]), input(g, "chosen_y", &[1, chosen, outputs]));
        let logits = g.reshape(a, &[1, d, k]);
        let mut logits = g.add(logits, absent);
        let mut noise = None;
        if s.sampling == Sampling::Gumbel {
            noise = Some(input(g, "noise", &[s.samples, d, k]));
            logits = g.expand(logits, &[s.samples, d, k]);
        }
        let shares = choice_shares(g, logits, noise, s.temperature, noise.is_some());
        let t = g.shape(shares)[0];
        let shares = g.reshape(shares, &[t, d * k]);
        let part = g.matmul(shares, says);
        let trained = self.loss(g, what, [w, part], train);
        let chosen = match s.order {
            1 => self.loss(g, what, [w, part], choose),
            _ => {
                let gradient = g.grad(trained, &[w])[0];
                let step = g.mul(gradient, rate);
                let ahead = g.sub(w, step);
                self.loss(g, what, [ahead, part], choose)
            }
        };
        [chosen, trained]
    }

    /// The mean loss of parts `[T, ..]` of the largest network with the same weights `[1, P]`.
    fn loss(&self, g: &mut Graph, what: Loss, [w, part]: [Value; 2], (x, y): Batch) -> Value {
        let t = g.shape(part)[0];
        let spread = |g: &mut Graph, v: Value| {
            let shape = [&[t], &g.shape(v)[1..]].concat();
            g.expand(v, &shape)
        };
        let [w, x, y] = [w, x, y].map(|v| spread(g, v));
        let prediction = self.masked.mixed(g, w, part, x);
        let each = loss(g, what, prediction, y, None);
        g.mean(each)
    }

    /// What is the same in each step: what each choice makes of a part, `says [decisions · most, ..]`, and where there is no choice,
    /// `absent [decisions, most]`.
    pub fn inputs(&self) -> [(&'static str, Vec<f32>); 2] {
        let width = self.masked.choices();
        let mut says = vec![0.0; self.counts.len() * self.most * width];
        let mut absent = vec![ABSENT as f32; self.counts.len() * self.most];
        for (i, (decision, n)) in self.masked.space().decisions().into_iter().enumerate() {
            for at in i * self.most..i * self.most + n {
                let row = &mut says[at * width..][..width];
                let choice = at - i * self.most;
                self.masked.says(decision, choice).into_iter().for_each(|(to, value)| row[to] += value);
                absent[at] = 0.0;
            }
        }
        [("says", says), ("absent", absent)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::Space;
    use super::*;
    use crate::data::labelled::Labelled;

    /// Rows whose class hangs on places that are three apart: a convolution of 7 is chosen.
    #[test]
    fn what_helps_is_chosen() {
        let text = "[[stages]]\nwidths = [6]\nactivations = ['tanh']\ncells = [1]\nnodes = 2\noperations = ['none', 'conv1', 'conv7']";
        let space: Space = toml::from_str(text).expect("it is a space");
        let mut rng = Rng::new(1, 5);
        let n = 96;
        let (mut x, mut labels) = (Vec::new(), Vec::new());
        for i in 0..n {
            // Two pulses of the same or of opposite signs, three places apart.
            let (class, sign) = (i % 2, if rng.below(2) == 0 { 1.0 } else { -1.0 });
            let at = 1 + rng.below(3);
            let mut row = [0.0f32; 8];
            row[at] = sign;
            row[at + 3] = if class == 0 { sign } else { -sign };
            x.extend(row);
            labels.push(class as u32);
        }
        let rows = Labelled::of_numbers(vec![8, 1], vec!["same".into(), "other".into()], x, labels);
        let (train, choose): (Vec<usize>, Vec<usize>) = (0..n).partition(|i| i % 4 < 2);
        for sampling in [Sampling::Mixture, Sampling::Gumbel] {
            let masked = Masked::new(&space, &[8, 1], 2).expect("it is a network");
            let settings = GradientSettings {
                steps: 300,
                batch: 32,
                sampling,
                rate: 0.02,
                logits_rate: 0.05,
                ..GradientSettings::default()
            };
            let mut of = ChoiceGradient::new(masked, settings, 2);
            of.train(&Device::Cpu, (&rows, &train), (&rows, &choose), 300, |_, _| false).expect("it runs");
            let policy = of.policy();
            let operation = policy.logits.last().expect("there is one");
            assert!(
                operation[2] > operation[1].max(operation[0]) + 0.2,
                "{sampling:?}: {operation:?} of none, conv1, conv7"
            );
        }
    }
}
