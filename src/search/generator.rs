//! Weights for any architecture of a space: a graph hypernetwork (Zhang et al. 2019; Knyazev et al. 2021, 2023).
//!
//! A token stands for each layer. Tokens look at one another, with a bias for how far apart they are along connections, and each writes its
//! layer's weights in tiles; these are added to weights that all architectures share, and scaled by what each layer reads. It learns on
//! architectures drawn anew at each step.

use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use super::masked::{Masked, own};
use super::population::{RowsOf, Tally, filled};
use super::tokens::{DISTANCES, FEATURES, Tokens, many};
use crate::error::Result;
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::net::{Init, ParamLayout, Weights};
use crate::optim::{Optimiser, Schedule};
use crate::plan::lower;
use crate::rng::Rng;
use crate::run::{Device, Session};
use crate::spec::{Activation, count};
use crate::task::{Loss, loss};

/// Logits of tokens that are not there.
const HIDDEN: f64 = -1e9;
/// Scale of what is written at the start, beside shared weights of 1.
const WRITTEN: f64 = 0.3;
/// Steps that are staged at once.
const WINDOW: usize = 4;
/// Rows of a piece, and architectures of one call, when generated networks are judged.
const PIECE: usize = 250;
const JUDGED: usize = 16;
/// Random numbers of its first weights, of the rows of a step, and of its architectures.
const START: u64 = 0x6e4a;
const ROWS: u64 = 0x6e4b;
const DRAWN: u64 = 0x6e4c;
const MOVED: u64 = 0x6e4d;

/// How tokens read one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Reading {
    /// Attention with a bias by distance (GHN-3, Knyazev et al. 2023).
    #[default]
    Attention,
    /// Not at all: each layer's weights are written from what it is alone, and from the mean of all (as SMASH's encoding, Brock et al. 2018).
    Mean,
}

/// How large a hypernetwork is, and how it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GeneratorSettings {
    /// How tokens read one another.
    pub reading: Reading,
    /// Width of a token.
    pub width: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Blocks of attention.
    pub blocks: usize,
    /// Sides of the tiles that weights are written in.
    pub tile: usize,
    /// Width of what writes a tile.
    pub hidden: usize,
    /// Steps of training.
    pub steps: u64,
    /// Architectures of a step.
    pub architectures: usize,
    /// Rows of a step.
    pub batch: usize,
    /// Peak learning rate.
    pub rate: f64,
    /// Weight decay.
    pub decay: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
}

impl Default for GeneratorSettings {
    fn default() -> GeneratorSettings {
        GeneratorSettings {
            reading: Reading::Attention,
            width: 64,
            heads: 4,
            blocks: 2,
            tile: 16,
            hidden: 64,
            steps: 2_000,
            architectures: 8,
            batch: 64,
            rate: 0.003,
            decay: 0.01,
            clip: 1.0,
        }
    }
}

/// A graph hypernetwork for the networks of a space over one kind of rows.
#[derive(Clone, Debug)]
pub struct GraphHypernetwork {
    masked: Masked,
    settings: GeneratorSettings,
    layout: ParamLayout,
    /// Weights and moments, `[3, P]`.
    state: Vec<f32>,
    step: u64,
    seed: u64,
}

/// What says which architectures they are, as values `[T, ..]`.
#[derive(Clone, Copy)]
struct Read {
    features: Value,
    there: Value,
    distances: Value,
    scales: Value,
    part: Value,
}

/// A group of weights that are written alike.
struct Group {
    name: String,
    /// The tokens that write them.
    tokens: std::ops::Range<usize>,
    taps: usize,
    inputs: usize,
    outputs: usize,
    /// How many biases each has.
    biases: usize,
}

impl GraphHypernetwork {
    /// A hypernetwork before its first step.
    pub fn new(masked: Masked, settings: GeneratorSettings, seed: u64) -> GraphHypernetwork {
        let mut layout = ParamLayout::default();
        // Weights that all architectures share: of scale 1, as what is written is scaled behind.
        for p in &masked.layout().params {
            let start = if p.name.ends_with("weight") { Init::Normal(1.0) } else { p.init };
            layout.push(format!("base.{}", p.name), &p.shape, start);
        }
        let (d, h, tile) = (settings.width, settings.hidden, settings.tile);
        let mut dense = |name: String, [i, o]: [usize; 2], scale: f64| {
            layout.push(format!("{name}.weight"), &[i, o], Init::Normal(scale / (i as f64).sqrt()));
            layout.push(format!("{name}.bias"), &[o], Init::Constant(0.0));
        };
        dense("read".into(), [FEATURES, d], 1.0);
        for b in 0..settings.blocks {
            if settings.reading == Reading::Attention {
                dense(format!("block{b}.query"), [d, d], 1.0);
                dense(format!("block{b}.key"), [d, d], 1.0);
                dense(format!("block{b}.value"), [d, d], 1.0);
                dense(format!("block{b}.distance"), [DISTANCES, settings.heads], 0.1);
            } else {
                dense(format!("block{b}.value"), [d, d], 1.0);
            }
            dense(format!("block{b}.found"), [d, d], 0.5);
            dense(format!("block{b}.up"), [d, 2 * d], 1.0);
            dense(format!("block{b}.down"), [2 * d, d], 0.5);
        }
        for group in groups(&masked) {
            let n = &group.name;
            dense(format!("write.{n}.hidden"), [d, h], 1.4);
            dense(format!("write.{n}.tile"), [h, group.taps * tile * tile], WRITTEN * 1.4);
            dense(format!("write.{n}.biases"), [d, group.biases], 0.01);
        }
        for group in groups(&masked) {
            let tiles = group.inputs.div_ceil(tile) * group.outputs.div_ceil(tile);
            layout.push(format!("write.{}.places", group.name), &[tiles, h], Init::Normal(1.0));
        }
        let weights = layout.init(&mut Rng::new(seed, START));
        let state = [&weights[..], &vec![0.0; 2 * weights.len()]].concat();
        GraphHypernetwork { masked, settings, layout, state, step: 0, seed }
    }

    /// How many numbers it learns.
    pub fn parameters(&self) -> usize {
        self.layout.len()
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Weights and moments, `[3, parameters]`, as a checkpoint has them.
    pub fn state(&self) -> &[f32] {
        &self.state
    }

    /// Goes on from a checkpoint of the same hypernetwork.
    ///
    /// # Errors
    /// Where it is another one's.
    pub fn restore(&mut self, state: Vec<f32>, step: u64) -> std::result::Result<(), String> {
        if state.len() != self.state.len() {
            return Err(format!("{} numbers, and the hypernetwork has {}", state.len(), self.state.len()));
        }
        (self.state, self.step) = (state, step);
        Ok(())
    }

    /// Trains it by so many steps more, or as many as its schedule has left, on architectures that `draw` gives; `watch` is told the step and
    /// its loss, and says whether to stop.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn train(
        &mut self,
        device: &Device,
        (data, rows): RowsOf<'_>,
        steps: u64,
        mut draw: impl FnMut(&mut Rng) -> Architecture,
        mut watch: impl FnMut(u64, f32) -> bool,
    ) -> Result<()> {
        let s = self.settings;
        let end = (self.step + steps).min(s.steps);
        let (t, b) = (s.architectures, s.batch.min(rows.len()));
        let mut session = self.training(device, b, data.loss())?;
        session.write("state", &self.state)?;
        let optimiser = Optimiser::adamw(s.decay);
        let schedule = Schedule { warmup: s.steps / 20, ..Schedule::new(s.rate, s.steps) };
        while self.step < end {
            let many = WINDOW.min((end - self.step) as usize);
            for row in 0..many {
                let at = self.step + row as u64;
                let mut rng = Rng::new(self.seed, DRAWN ^ at << 16);
                let drawn: Vec<Architecture> = (0..t).map(|_| draw(&mut rng)).collect();
                self.stage(&mut session, Some(row), &drawn)?;
                let chosen = Rng::new(self.seed, ROWS ^ at << 16).choose(rows.len(), b);
                let chosen: Vec<usize> = chosen.into_iter().map(|i| rows[i]).collect();
                session.set_step(
                    row,
                    "x",
                    &data.moved(&chosen, &mut Rng::new(self.seed, MOVED ^ at << 16)),
                )?;
                session.set_step(row, "y", &data.targets(&chosen))?;
                session.set_step(row, "control", &optimiser.control(at, schedule.rate(at)))?;
            }
            let records = session.run(many)?;
            self.step += many as u64;
            if watch(self.step, records.last().map_or(f32::NAN, |r| r[0])) {
                break;
            }
        }
        self.state = session.read("state")?;
        Ok(())
    }

    /// How good networks with the weights it writes are, as [`super::Population::score`] has it.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn score(
        &self,
        device: &Device,
        (data, rows): RowsOf<'_>,
        architectures: &[Architecture],
    ) -> Result<Vec<f64>> {
        let (t, n) = (JUDGED.min(architectures.len().max(1)), PIECE.min(rows.len()));
        let mut g = Graph::new();
        let read = self.read(&mut g, t, false);
        let params = g.data("params", &[self.layout.len()]);
        let x = g.data("x", &[1, n, self.masked.inputs()]);
        let x = g.expand(x, &[t, n, self.masked.inputs()]);
        let weights = self.write(&mut g, params, read);
        let y = self.masked.apply(&mut g, weights, read.part, x);
        g.output("y", y);
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        session.write("params", &self.state[..self.layout.len()])?;
        let outputs = self.masked.outputs();
        let mut all = Vec::new();
        for some in architectures.chunks(t) {
            self.stage(&mut session, None, &filled(some, t))?;
            let mut tallies = vec![Tally::default(); some.len()];
            for piece in rows.chunks(n) {
                session.write("x", &data.inputs(&filled(piece, n)))?;
                session.run(1)?;
                let y = session.read("y")?;
                for (tally, y) in tallies.iter_mut().zip(y.chunks(n * outputs)) {
                    tally.add(y, data, piece);
                }
            }
            all.extend(tallies.iter().map(Tally::score));
        }
        Ok(all)
    }

    /// The weights that it writes for networks, each in the order of its own layout ([`super::Space::net`]).
    ///
    /// # Errors
    /// What the device refuses.
    pub fn weights(&self, device: &Device, architectures: &[Architecture]) -> Result<Vec<Vec<f32>>> {
        let t = JUDGED.min(architectures.len().max(1));
        let mut g = Graph::new();
        let read = self.read(&mut g, t, false);
        let params = g.data("params", &[self.layout.len()]);
        let weights = self.write(&mut g, params, read);
        g.output("weights", weights);
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        session.write("params", &self.state[..self.layout.len()])?;
        let mut all = Vec::new();
        for some in architectures.chunks(t) {
            self.stage(&mut session, None, &filled(some, t))?;
            session.run(1)?;
            let weights = session.read("weights")?;
            let p = self.masked.layout().len();
            all.extend(some.iter().zip(weights.chunks(p)).map(|(a, w)| own(w, &self.masked.positions(a))));
        }
        Ok(all)
    }

    /// A training step: the mean loss, and a step of AdamW.
    fn training(&self, device: &Device, batch: usize, what: Loss) -> Result<Session> {
        let mut g = Graph::new();
        let state = g.state("state", &[3, self.layout.len()]);
        let control = g.step("control", &[3]);
        let params = g.slice(state, 0, 0, 1);
        let params = g.reshape(params, &[self.layout.len()]);
        let mean = self.loss(&mut g, params, (what, batch), true);
        let grad = g.grad(mean, &[params])[0];
        Optimiser::adamw(self.settings.decay).step(&mut g, state, grad, control, self.settings.clip);
        g.record("loss", mean);
        device.prepare(lower(&g, device.caps(WINDOW))?)
    }

    /// The mean loss of the networks of `settings.architectures` architectures, with the weights that parameters `[P]` write, on the
    /// same `batch` rows. Inputs of the graph are `x [1, batch, inputs]`, `y [1, batch, outputs]`, and those of [`Self::inputs`]; with each
    /// step, or beforehand.
    pub fn loss(&self, g: &mut Graph, params: Value, (what, batch): (Loss, usize), steps: bool) -> Value {
        let t = self.settings.architectures;
        let read = self.read(g, t, steps);
        let [x, y] = [("x", self.masked.inputs()), ("y", self.masked.outputs())].map(|(name, width)| {
            let v = match steps {
                true => g.step(name, &[1, batch, width]),
                false => g.data(name, &[1, batch, width]),
            };
            g.expand(v, &[t, batch, width])
        });
        let weights = self.write(g, params, read);
        let prediction = self.masked.apply(g, weights, read.part, x);
        let each = loss(g, what, prediction, y, None);
        g.mean(each)
    }

    /// What is read of `t` architectures, with each step or beforehand.
    fn read(&self, g: &mut Graph, t: usize, steps: bool) -> Read {
        let n = many(&self.masked);
        let mut input = |name: &str, shape: &[usize]| match steps {
            true => g.step(name, shape),
            false => g.data(name, shape),
        };
        Read {
            features: input("features", &[t, n, FEATURES]),
            there: input("there", &[t, n]),
            distances: input("distances", &[t, n, n, DISTANCES]),
            scales: input("scales", &[t, n]),
            part: input("part", &[t, self.masked.choices()]),
        }
    }

    /// What it reads of architectures, by the names of the graph's inputs: `features [T, N, ..]`, `there [T, N]`, `distances [T, N, N, ..]`,
    /// `scales [T, N]` and `part [T, ..]`.
    pub fn inputs(&self, architectures: &[Architecture]) -> [(&'static str, Vec<f32>); 5] {
        let tokens: Vec<Tokens> = architectures.iter().map(|a| Tokens::of(&self.masked, a)).collect();
        let of = |part: fn(&Tokens) -> &Vec<f32>| tokens.iter().flat_map(part).copied().collect::<Vec<f32>>();
        [
            ("features", of(|t| &t.features)),
            ("there", of(|t| &t.there)),
            ("distances", of(|t| &t.distances)),
            ("scales", of(|t| &t.scales)),
            ("part", architectures.iter().flat_map(|a| self.masked.part(a)).collect()),
        ]
    }

    fn stage(&self, session: &mut Session, row: Option<usize>, all: &[Architecture]) -> Result<()> {
        for (name, values) in self.inputs(all) {
            match row {
                Some(row) => session.set_step(row, name, &values)?,
                None if session.has_input(name) => session.write(name, &values)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Weights `[T, P]` of the largest network for each of `T` architectures.
    fn write(&self, g: &mut Graph, params: Value, read: Read) -> Value {
        let s = self.settings;
        let p = Weights { flat: params, layout: &self.layout };
        let &[t, n, _] = g.shape(read.features) else { panic!("features are [T, N, ..]") };
        let d = s.width;
        let features = g.reshape(read.features, &[t * n, FEATURES]);
        let mut z = p.linear(g, "read", features);
        for b in 0..s.blocks {
            let name = |what: &str| format!("block{b}.{what}");
            z = g.scope(name(""), |g| {
                let normed = normed(g, z);
                let found = match s.reading {
                    Reading::Attention => self.attend(g, p, &name, normed, read),
                    Reading::Mean => {
                        let v = p.linear(g, &name("value"), normed);
                        let v = g.reshape(v, &[t, n, d]);
                        let there = g.reshape(read.there, &[t, n, 1]);
                        let v = g.mul(v, there);
                        let sum = g.sum_to(v, &[t, 1, d]);
                        let many = g.sum_to(there, &[t, 1, 1]);
                        let mean = g.div(sum, many);
                        let all = g.expand(mean, &[t, n, d]);
                        g.reshape(all, &[t * n, d])
                    }
                };
                let found = p.linear(g, &name("found"), found);
                let z = g.add(z, found);
                let up = self::normed(g, z);
                let up = p.linear(g, &name("up"), up);
                let up = g.act(Activation::Gelu, up);
                let down = p.linear(g, &name("down"), up);
                g.add(z, down)
            });
        }
        let z = normed(g, z);
        let z = g.reshape(z, &[t, n, d]);
        let mut pieces = Vec::new();
        for group in groups(&self.masked) {
            let piece = g.scope(format!("write.{}", group.name), |g| self.written(g, p, &group, z, read));
            pieces.extend(piece);
        }
        // In the order of the layout: what is written for each parameter, or what all share.
        let parts: Vec<Value> = self
            .masked
            .layout()
            .params
            .iter()
            .map(|param| {
                let len = count(&param.shape);
                let base = p.get(g, &format!("base.{}", param.name));
                let base = g.reshape(base, &[1, len]);
                match pieces.iter().find(|(name, _, _)| *name == param.name) {
                    Some((_, written, scale)) => {
                        let tokens = g.shape(*scale)[1];
                        let base = g.reshape(base, &[1, tokens, len / tokens]);
                        let all = g.add(*written, base);
                        let all = g.mul(all, *scale);
                        g.reshape(all, &[t, len])
                    }
                    None => g.expand(base, &[t, len]),
                }
            })
            .collect();
        g.concat(&parts, 1)
    }

    /// What tokens `[T · N, d]` find at one another.
    fn attend(
        &self,
        g: &mut Graph,
        p: Weights<'_>,
        name: &dyn Fn(&str) -> String,
        x: Value,
        read: Read,
    ) -> Value {
        let &[t, n] = g.shape(read.there) else { panic!("tokens are [T, N]") };
        let (d, heads) = (self.settings.width, self.settings.heads);
        let [q, k, v] = ["query", "key", "value"].map(|what| {
            let y = p.linear(g, &name(what), x);
            let y = g.reshape(y, &[t, n, heads, d / heads]);
            g.permute(y, &[0, 2, 1, 3])
        });
        let q = g.scale(q, 1.0 / ((d / heads) as f64).sqrt());
        let logits = g.matmul_t(q, false, k, true);
        let distances = g.reshape(read.distances, &[t * n * n, DISTANCES]);
        let bias = p.linear(g, &name("distance"), distances);
        let bias = g.reshape(bias, &[t, n, n, heads]);
        let bias = g.permute(bias, &[0, 3, 1, 2]);
        let logits = g.add(logits, bias);
        let there = g.reshape(read.there, &[t, 1, 1, n]);
        let hidden = g.constant(HIDDEN);
        let logits = g.select(there, logits, hidden);
        let logs = g.log_softmax(logits);
        let shares = g.map(Func::Exp, logs);
        let found = g.matmul(shares, v);
        let found = g.permute(found, &[0, 2, 1, 3]);
        g.reshape(found, &[t * n, d])
    }

    /// The weights and biases of a group: their parameters, what is written `[T, k, ..]`, and the scale of each token `[T, k, 1]`.
    fn written(
        &self,
        g: &mut Graph,
        p: Weights<'_>,
        group: &Group,
        z: Value,
        read: Read,
    ) -> [(String, Value, Value); 2] {
        let &[t, _, d] = g.shape(z) else { panic!("tokens are [T, N, d]") };
        let (k, h, n) = (group.tokens.len(), self.settings.hidden, &group.name);
        let tile = self.settings.tile;
        let (rows, columns) = (group.inputs.div_ceil(tile), group.outputs.div_ceil(tile));
        let z = g.slice(z, 1, group.tokens.start, k);
        let z = g.reshape(z, &[t * k, d]);
        let hidden = p.linear(g, &format!("write.{n}.hidden"), z);
        let hidden = g.reshape(hidden, &[t * k, 1, h]);
        let places = p.get(g, &format!("write.{n}.places"));
        let places = g.reshape(places, &[1, rows * columns, h]);
        let hidden = g.add(hidden, places);
        let hidden = g.act(Activation::Gelu, hidden);
        let hidden = g.reshape(hidden, &[t * k * rows * columns, h]);
        let tiles = p.linear(g, &format!("write.{n}.tile"), hidden);
        let tiles = g.reshape(tiles, &[t * k, rows, columns, group.taps, tile, tile]);
        let whole = g.permute(tiles, &[0, 3, 1, 4, 2, 5]);
        let whole = g.reshape(whole, &[t * k, group.taps, rows * tile, columns * tile]);
        let whole = g.slice(whole, 2, 0, group.inputs);
        let whole = g.slice(whole, 3, 0, group.outputs);
        let whole = g.reshape(whole, &[t, k, group.taps * group.inputs * group.outputs]);
        let scale = g.slice(read.scales, 1, group.tokens.start, k);
        let scale = g.reshape(scale, &[t, k, 1]);
        let biases = p.linear(g, &format!("write.{n}.biases"), z);
        let biases = g.reshape(biases, &[t, k, group.biases]);
        let one = g.constant(1.0);
        let one = g.expand(one, &[t, k, 1]);
        [(format!("{n}.weight"), whole, scale), (format!("{n}.bias"), biases, one)]
    }
}

/// Tokens `[rows, d]` with mean 0 and variance 1.
fn normed(g: &mut Graph, x: Value) -> Value {
    let rows = g.shape(x)[0];
    crate::net::standardised(g, x, &[rows, 1], None)
}

/// What is written, in the order of the tokens.
fn groups(masked: &Masked) -> Vec<Group> {
    let mut all = Vec::new();
    let mut at = 0;
    let mut push = |name: String, many: usize| {
        let shape =
            masked.layout().get(&format!("{name}.weight")).map(|p| p.shape.clone()).unwrap_or_default();
        let [.., inputs, outputs] = shape[..] else { return };
        let taps = count(&shape) / inputs / outputs / many;
        all.push(Group { name, tokens: at..at + many, taps, inputs, outputs, biases: outputs });
        at += many;
    };
    for s in masked.stages() {
        push(format!("{}.stem", s.name()), 1);
        if s.cells() > 0 {
            push(format!("{}.cells", s.name()), s.cells() * s.pairs().len());
        }
    }
    push("head".into(), 1);
    all
}
