//! Workloads of convolutional networks over pictures: the networks, their inputs and the graph.

use super::numbers;
use super::workload::{Builder, descend, learn};
use crate::graph::Value;
use crate::net::{Layer, Net, ParamLayout, Weights};
use crate::spec::count;
use crate::task::{Loss, loss};

/// Height and width of a picture.
const SIZE: usize = 32;
/// Pictures of a task.
pub(super) const PICTURES: usize = 32;
const CLASSES: usize = 10;
/// The same of few-shot tasks: one picture of each class to learn from, three to be judged by.
const FEW_SIZE: usize = 28;
const FEW_CLASSES: usize = 5;
pub(super) const SUPPORT: usize = FEW_CLASSES;
pub(super) const QUERY: usize = 3 * FEW_CLASSES;
/// Steps of `conv-adapt`, and how long each is.
pub(super) const STEPS: usize = 5;
const RATE: f64 = 0.01;
/// Of a kernel of 3 x 3.
const TAPS: usize = 9;

/// What `conv` is of: three layers without pools, the last of 64 channels.
pub(super) fn plain() -> Net {
    Net::image([SIZE, SIZE, 3]).conv(32, 3).relu().conv(32, 3).relu().conv(64, 3).relu()
}

/// What `conv-train` and `conv-batch` are of: four times convolution, batch norm, relu, pool; then the classes.
pub(super) fn classifier() -> Net {
    let block = |net: Net| net.conv(32, 3).batch_norm().relu().max_pool(2);
    block(block(block(block(Net::image([SIZE, SIZE, 3]))))).flatten().dense(CLASSES)
}

/// What `conv-adapt` and `conv-maml2` are of: the same over small grey pictures of few classes.
pub(super) fn few_shot() -> Net {
    let block = |net: Net| net.conv(32, 3).batch_norm().relu().max_pool(2);
    block(block(block(block(Net::image([FEW_SIZE, FEW_SIZE, 1]))))).flatten().dense(FEW_CLASSES)
}

/// Nominal operations of a forward pass over so many pictures: products only.
pub(super) fn flops(net: &Net, pictures: usize) -> f64 {
    let (mut size, mut channels, mut work) = (net.input()[0], net.input()[2], 0);
    for layer in net.layers() {
        match layer {
            Layer::Conv(c) => {
                work += size * size * TAPS * channels * c.channels;
                channels = c.channels;
            }
            Layer::MaxPool(_) => size /= 2,
            Layer::Dense(d) => work += size * size * channels * d.outputs,
            _ => {}
        }
    }
    2.0 * (pictures * work) as f64
}

/// Weights of `t` tasks, `[t, P]`: kernels from streams 10 and on, the last layer's from 15, each of a scale that keeps the size of
/// what goes through; gains are 1, biases and shifts 0.
fn weights(layout: &ParamLayout, t: usize) -> Vec<f32> {
    let p = layout.len();
    let mut all = vec![0.0; t * p];
    let mut layer = 0;
    for param in &layout.params {
        let len = count(&param.shape);
        let values = match (param.shape.len(), param.fans()) {
            (4, Some((inputs, _))) => {
                layer += 1;
                numbers(9 + layer, (6.0 / inputs as f64).sqrt() as f32, t * len)
            }
            (2, Some((inputs, _))) => numbers(15, (3.0 / inputs as f64).sqrt() as f32, t * len),
            _ if param.name.ends_with("gain") => vec![1.0; t * len],
            _ => continue,
        };
        for (own, values) in all.chunks_exact_mut(p).zip(values.chunks_exact(len)) {
            own[param.range()].copy_from_slice(values);
        }
    }
    all
}

/// One-hot classes of `n` pictures of each of `t` tasks, in turn.
fn labels(t: usize, n: usize, classes: usize) -> Vec<f32> {
    let rows = (0..t * n).map(|row| row % n % classes);
    rows.flat_map(|label| (0..classes).map(move |c| f32::from(u8::from(c == label)))).collect()
}

impl Builder {
    /// Few-shot pictures of `t` tasks with their classes.
    fn few(&mut self, name: &str, stream: u32, t: usize, n: usize) -> (Value, Value) {
        let x = self.random(&format!("x{name}"), &[t, n, FEW_SIZE * FEW_SIZE], stream, 1.0);
        let y = self.data(&format!("y{name}"), &[t, n, FEW_CLASSES], labels(t, n, FEW_CLASSES));
        (x, y)
    }

    /// Weights of `t` networks after some steps on five pictures each.
    pub(super) fn adapt_pictures(&mut self, t: usize) {
        let net = few_shot();
        let layout = net.layout();
        let w0 = self.data("w0", &[t, layout.len()], weights(&layout, t));
        let (x, y) = self.few("s", 20, t, SUPPORT);
        let w = learn(&mut self.g, (&net, Loss::CrossEntropy), (STEPS, RATE), w0, [x, y]);
        self.g.output("result", w);
    }

    /// The mean loss on query pictures after one step from weights that all tasks share, and its gradient by these.
    pub(super) fn maml_pictures(&mut self, t: usize) {
        let net = few_shot();
        let layout = net.layout();
        let shared = self.data("w0", &[1, layout.len()], weights(&layout, 1));
        let ((xs, ys), (xq, yq)) = (self.few("s", 20, t, SUPPORT), self.few("q", 21, t, QUERY));
        let g = &mut self.g;
        let w = g.expand(shared, &[t, layout.len()]);
        let w = descend(g, (&net, Loss::CrossEntropy), RATE, w, [xs, ys]);
        let prediction = net.apply(g, Weights { flat: w, layout: &layout }, xq);
        let each = loss(g, Loss::CrossEntropy, prediction, yq, None);
        let mean = g.mean(each);
        let grad = g.grad(mean, &[shared])[0];
        g.output("loss", each);
        g.output("gradient", grad);
    }

    /// The loss of one network on a batch of so many pictures, `[1]`, and its gradient `[P]`, as training on one task has them.
    pub(super) fn batch(&mut self, net: &Net, pictures: usize) {
        let layout = net.layout();
        let w = self.data("w0", &[layout.len()], weights(&layout, 1));
        let x = self.random("x", &[1, pictures, SIZE * SIZE * 3], 22, 1.0);
        let y = self.data("y", &[1, pictures, CLASSES], labels(1, pictures, CLASSES));
        let g = &mut self.g;
        let prediction = net.apply(g, Weights { flat: w, layout: &layout }, x);
        let each = loss(g, Loss::CrossEntropy, prediction, y, None);
        g.output("loss", each);
        let sum = g.sum_to(each, &[]);
        let grad = g.grad(sum, &[w])[0];
        g.output("gradient", grad);
    }

    /// Losses of the tasks, `[t]` (mean cross entropy of classes, mean square of what has none), and their gradients `[t, P]` where
    /// those are wanted.
    pub(super) fn pictures(&mut self, net: &Net, t: usize, gradient: bool) {
        let layout = net.layout();
        let w = self.data("w0", &[t, layout.len()], weights(&layout, t));
        let x = self.random("x", &[t, PICTURES, SIZE * SIZE * 3], 22, 1.0);
        let has_classes = net.outputs() == CLASSES;
        let outputs = [t, PICTURES, net.outputs()];
        let y = has_classes.then(|| self.data("y", &outputs, labels(t, PICTURES, CLASSES)));
        let g = &mut self.g;
        let prediction = net.apply(g, Weights { flat: w, layout: &layout }, x);
        let each = match y {
            Some(y) => loss(g, Loss::CrossEntropy, prediction, y, None),
            None => {
                let square = g.mul(prediction, prediction);
                let sum = g.sum_to(square, &[t, 1, 1]);
                let sum = g.reshape(sum, &[t]);
                g.scale(sum, 1.0 / (outputs[1] * outputs[2]) as f64)
            }
        };
        g.output("loss", each);
        if gradient {
            let sum = g.sum_to(each, &[]);
            let grad = g.grad(sum, &[w])[0];
            g.output("gradient", grad);
        }
    }
}
