//! Workloads of recurrent networks over sequences: the networks, their inputs and the graph.

use super::workload::{Builder, kernels, learn};
use super::{numbers, word};
use crate::graph::Value;
use crate::net::{Cell, Layer, LogSoftmax, Net, OneHot, ParamLayout, Recurrent, Weights};
use crate::spec::count;
use crate::task::{Loss, loss};

/// Elements of a sequence, and numbers of each.
const LENGTH: usize = 32;
const CHANNELS: usize = 16;
const UNITS: usize = 32;
/// Sequences of a task.
const ROWS: usize = 8;
/// Steps of `gru-adapt` and of `lstm-maml2`, and how long each is.
pub(super) const GRU_STEPS: usize = 5;
pub(super) const LSTM_STEPS: usize = 2;
const RATE: f64 = 0.01;

/// A recurrent layer, and a number for every element.
fn net(cell: Cell) -> Net {
    Net::rows([LENGTH, CHANNELS]).recurrent(Recurrent::new(cell, UNITS)).dense(1)
}

/// Nominal operations of a forward pass over a task's sequences: products only.
pub(super) fn flops(parts: usize) -> f64 {
    (2 * LENGTH * ROWS * ((CHANNELS + UNITS) * parts * UNITS + UNITS)) as f64
}

/// Weights of `t` tasks, `[t, P]`, from streams 30 and on.
fn weights(layout: &ParamLayout, t: usize) -> Vec<f32> {
    kernels(layout, t, 30, |_, inputs| (1.0 / inputs as f64).sqrt())
}

/// A language model over characters: `charlm`.
const SYMBOLS: usize = 65;
const LM_UNITS: usize = 128;
const LM_LENGTH: usize = 100;
const LM_ROWS: usize = 32;

/// Nominal operations of a forward pass of `charlm`: products only, none of them with what has a single 1.
pub(super) fn lm_flops() -> f64 {
    (2 * LM_ROWS * LM_LENGTH * LM_UNITS * (4 * LM_UNITS + SYMBOLS)) as f64
}

impl Builder {
    /// A step of Adam of a language model, an LSTM over characters, on a batch of sequences of a text.
    pub(super) fn language_model(&mut self) {
        let net = Net::rows([LM_LENGTH]).with(Layer::OneHot(OneHot::new(SYMBOLS)));
        let net = net.recurrent(Recurrent::new(Cell::Lstm, LM_UNITS)).dense(SYMBOLS);
        let net = net.with(Layer::LogSoftmax(LogSoftmax::on()));
        let layout = net.layout();
        let p = layout.len();
        let mut state = vec![0.0; 3 * p];
        let scale = (1.0 / LM_UNITS as f64).sqrt() as f32;
        for (stream, param) in (40..).zip(layout.params.iter().filter(|param| param.shape.len() == 2)) {
            state[param.range()].copy_from_slice(&numbers(stream, scale, count(&param.shape)));
        }
        let text: Vec<usize> =
            (0..LM_ROWS * (LM_LENGTH + 1)).map(|i| word(51, i as u32) as usize % SYMBOLS).collect();
        let sequences = || text.chunks(LM_LENGTH + 1);
        let x = sequences().flat_map(|s| &s[..LM_LENGTH]).map(|c| *c as f32).collect();
        let mut y = vec![0.0; LM_ROWS * LM_LENGTH * SYMBOLS];
        for (hot, c) in y.chunks_exact_mut(SYMBOLS).zip(sequences().flat_map(|s| &s[1..])) {
            hot[*c] = 1.0;
        }
        let x = self.data("x", &[1, LM_ROWS, LM_LENGTH], x);
        let y = self.data("y", &[1, LM_ROWS, LM_LENGTH * SYMBOLS], y);
        self.train(state, p, |g, flat| {
            let prediction = net.apply(g, Weights { flat, layout: &layout }, x);
            let each = loss(g, Loss::Symbols, prediction, y, None);
            g.mean(each)
        });
    }

    /// Sequences of `t` tasks, and the sine of what the means of their elements add up to.
    fn sequences(&mut self, name: &str, stream: u32, t: usize) -> (Value, Value) {
        let x = numbers(stream, 1.0, t * ROWS * LENGTH * CHANNELS);
        let sums = |sequence: &[f32]| {
            let means = sequence.chunks(CHANNELS).map(|c| c.iter().sum::<f32>() / CHANNELS as f32);
            let sums = means.scan(0.0, |sum, mean| {
                *sum += mean;
                Some(sum.sin())
            });
            sums.collect::<Vec<f32>>()
        };
        let y = x.chunks(LENGTH * CHANNELS).flat_map(sums).collect();
        let x = self.data(&format!("x{name}"), &[t, ROWS, LENGTH * CHANNELS], x);
        (x, self.data(&format!("y{name}"), &[t, ROWS, LENGTH], y))
    }

    /// Weights of `t` networks after some steps on eight sequences each.
    pub(super) fn adapt_sequences(&mut self, t: usize) {
        let net = net(Cell::Gru);
        let layout = net.layout();
        let w0 = self.data("w0", &[t, layout.len()], weights(&layout, t));
        let (x, y) = self.sequences("s", 33, t);
        let w = learn(&mut self.g, (&net, Loss::Mse), (GRU_STEPS, RATE), w0, [x, y]);
        self.g.output("result", w);
    }

    /// The mean loss on other sequences after two steps from weights that all tasks share, and its gradient by these.
    pub(super) fn maml_sequences(&mut self, t: usize) {
        let net = net(Cell::Lstm);
        let layout = net.layout();
        let shared = self.data("w0", &[1, layout.len()], weights(&layout, 1));
        let ((xs, ys), (xq, yq)) = (self.sequences("s", 33, t), self.sequences("q", 34, t));
        let g = &mut self.g;
        let w = g.expand(shared, &[t, layout.len()]);
        let w = learn(g, (&net, Loss::Mse), (LSTM_STEPS, RATE), w, [xs, ys]);
        let prediction = net.apply(g, Weights { flat: w, layout: &layout }, xq);
        let each = loss(g, Loss::Mse, prediction, yq, None);
        let mean = g.mean(each);
        let grad = g.grad(mean, &[shared])[0];
        g.output("loss", each);
        g.output("gradient", grad);
    }
}
