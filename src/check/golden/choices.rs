//! Files of choices: modules that count by a softmax of logits, and samples of them whose gradients go straight through.

use super::{File, Job, Named, Outcome};
use crate::error::{Error, Result};
use crate::graph::conv::{Conv, Window};
use crate::graph::{Graph, Value};
use crate::net::{Layer, MaxPool, Net, ParamLayout, Sizes, Weights, choice_shares};
use crate::plan::KEEP;
use crate::spec::{Activation, count};

/// What lies beyond the ends, where the largest is taken.
const BEYOND: f64 = -1e9;

impl File<'_> {
    /// Whether this is a file of choices.
    pub(super) fn is_of_choices(kind: &str) -> bool {
        ["nas_mix", "nas_gumbel"].contains(&kind)
    }

    /// What some choices make of rows, their losses and gradients.
    pub(super) fn choices(&self, kind: &str, run: &mut dyn FnMut(&Job) -> Result<Outcome>) -> Result<Named> {
        match kind {
            "nas_mix" => self.mixed(run),
            _ => self.sampled(run),
        }
    }

    /// A mixture of nothing, convolutions and a pool. All that is linear is one convolution, whose kernel is the mixture.
    fn mixed(&self, run: &mut dyn FnMut(&Job) -> Result<Outcome>) -> Result<Named> {
        let ops: Vec<String> = self.setting("ops")?;
        if ops != ["identity", "conv1", "conv3", "conv5", "maxpool", "zero"] {
            return Err(Error::checkpoint(self.path, format!("{ops:?} are other modules")));
        }
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        job.graph.keep(KEEP);
        let names = ["x", "alpha", "k1", "b1", "k3", "b3", "k5", "b5"];
        let mut inputs = Vec::new();
        for name in names {
            inputs.push(self.data(&mut job, name)?);
        }
        let target = self.data(&mut job, "target")?;
        let g = &mut job.graph;
        let &[x, alpha, k1, b1, k3, b3, k5, b5] = &inputs[..] else { unreachable!("eight names") };
        let &[t, n, h, w, c] = g.shape(x) else {
            return Err(Error::checkpoint(self.path, "x has other axes"));
        };
        let shares = choice_shares(g, alpha, None, 1.0, false);
        let share = |g: &mut Graph, i: usize| {
            let v = g.slice(shares, 1, i, 1);
            g.reshape(v, &[t, 1, 1, 1, 1])
        };
        let mut kernel = {
            let one: Vec<f64> = (0..c * c).map(|i| f64::from(u8::from(i % (c + 1) == 0))).collect();
            let one = g.constants(&[1, 1, 1, c, c], &one);
            let s = share(g, 0);
            let one = g.mul(one, s);
            middle(g, one, 5)
        };
        let mut bias: Option<Value> = None;
        for (i, (k, b)) in [(k1, b1), (k3, b3), (k5, b5)].into_iter().enumerate() {
            let s = share(g, 1 + i);
            let own = g.mul(k, s);
            let own = middle(g, own, 5);
            kernel = g.add(kernel, own);
            let b = g.reshape(b, &[t, 1, 1, 1, c]);
            let b = g.mul(b, s);
            bias = Some(bias.map_or(b, |sum| g.add(sum, b)));
        }
        let windows = [h, w].map(|len| Window::new(5).same(len));
        let y = g.conv(Conv { windows, groups: 1 }, x, kernel, [h, w]);
        let y = bias.map_or(y, |b| g.add(y, b));
        // The largest of nine neighbours; what lies beyond the ends is none.
        let ones = g.constants(&[1, 1, h, w, 1], &vec![1.0; h * w]);
        let around = |g: &mut Graph, v: Value| {
            let v = g.pad(v, 2, 1, h + 2);
            g.pad(v, 3, 1, w + 2)
        };
        let there = around(g, ones);
        let beyond = g.affine(there, -BEYOND, BEYOND);
        let wide = around(g, x);
        let wide = g.add(wide, beyond);
        let mut pool = MaxPool::new(3);
        pool.stride = Some(Sizes::Both(1));
        let pool = Net::rows([h + 2, w + 2, c]).with(Layer::MaxPool(pool));
        let rows = g.reshape(wide, &[t, n, (h + 2) * (w + 2) * c]);
        let none = g.constant(0.0);
        let flat = g.expand(none, &[t, 1]);
        let pooled = pool.apply(g, Weights { flat, layout: &ParamLayout::default() }, rows);
        let pooled = g.reshape(pooled, &[t, n, h, w, c]);
        let s = share(g, 4);
        let pooled = g.mul(pooled, s);
        let y = g.add(y, pooled);
        let (losses, total) = squashed(g, y, target);
        let gradients = g.grad(total, &inputs);
        let mut norm = g.constant(0.0);
        for i in [2, 4, 6] {
            let square = g.mul(gradients[i], gradients[i]);
            let sum = g.sum_to(square, &[]);
            norm = g.add(norm, sum);
        }
        let second = g.grad(norm, &inputs);
        let mut outputs = vec![("y".to_string(), y), ("loss".to_string(), losses)];
        for (name, (first, second)) in names.iter().zip(gradients.into_iter().zip(second)) {
            outputs.extend([(format!("grad_{name}"), first), (format!("gg_{name}"), second)]);
        }
        let outputs: Vec<(&str, Value)> = outputs.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        self.outputs(run, job, &outputs)
    }

    /// Samples of choices, forwards hard and backwards soft; and soft both ways.
    fn sampled(&self, run: &mut dyn FnMut(&Job) -> Result<Outcome>) -> Result<Named> {
        let temperature: f64 = self.setting("tau")?;
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        job.graph.keep(KEEP);
        let [logits, value, noise, target] = [
            self.data(&mut job, "logits")?,
            self.data(&mut job, "value")?,
            self.data(&mut job, "noise")?,
            self.data(&mut job, "target")?,
        ];
        let g = &mut job.graph;
        let &[t, n, k, d] = g.shape(value) else {
            return Err(Error::checkpoint(self.path, "value has other axes"));
        };
        let mut outputs = Vec::new();
        for hard in [true, false] {
            let shares = choice_shares(g, logits, Some(noise), temperature, hard);
            let spread = g.reshape(shares, &[t, 1, k, 1]);
            let each = g.mul(value, spread);
            let y = g.sum_to(each, &[t, n, 1, d]);
            let y = g.reshape(y, &[t, n, d]);
            let (losses, total) = squashed(g, y, target);
            let gradients = g.grad(total, &[logits, value]);
            let names = match hard {
                true => ["hard", "loss", "grad_logits", "grad_value"],
                false => ["soft", "loss_soft", "grad_soft_logits", "grad_soft_value"],
            };
            outputs.extend(names.into_iter().zip([shares, losses, gradients[0], gradients[1]]));
            if hard {
                outputs.push(("y", y));
            }
        }
        self.outputs(run, job, &outputs)
    }
}

/// Kernels `[T, k, k, C, O]` in the middle of larger ones of `of` taps along each axis.
fn middle(g: &mut Graph, kernel: Value, of: usize) -> Value {
    let before = (of - g.shape(kernel)[1]) / 2;
    let kernel = g.pad(kernel, 1, before, of);
    g.pad(kernel, 2, before, of)
}

/// The mean over all but tasks of `(tanh(y) - target)²`, and their sum.
fn squashed(g: &mut Graph, y: Value, target: Value) -> (Value, Value) {
    let shape = g.shape(target).to_vec();
    let each = count(&shape[1..]);
    let y = g.act(Activation::Tanh, y);
    let apart = g.sub(y, target);
    let square = g.mul(apart, apart);
    let square = g.reshape(square, &[shape[0], each]);
    let losses = g.sum_to(square, &[shape[0], 1]);
    let losses = g.scale(losses, 1.0 / each as f64);
    let losses = g.reshape(losses, &[shape[0]]);
    let total = g.sum_to(losses, &[]);
    (losses, total)
}
