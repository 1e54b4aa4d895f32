//! Workloads of convolutional networks over pictures: the networks, their inputs and the graph.

use super::numbers;
use super::workload::Builder;
use crate::net::{Layer, Net, ParamLayout, Weights};
use crate::spec::count;
use crate::task::{Loss, loss};

/// Height and width of a picture.
const SIZE: usize = 32;
/// Pictures of a task.
const PICTURES: usize = 32;
const CLASSES: usize = 10;
/// Of a kernel of 3 x 3.
const TAPS: usize = 9;

/// What `conv` is of: three layers without pools, the last of 64 channels.
pub(super) fn plain() -> Net {
    Net::image([SIZE, SIZE, 3]).conv(32, 3).relu().conv(32, 3).relu().conv(64, 3).relu()
}

/// What `conv-train` is of: four times convolution, batch norm, relu, pool; then the classes.
pub(super) fn classifier() -> Net {
    let block = |net: Net| net.conv(32, 3).batch_norm().relu().max_pool(2);
    block(block(block(block(Net::image([SIZE, SIZE, 3]))))).flatten().dense(CLASSES)
}

/// Nominal operations of a forward pass over a task's pictures: products only.
pub(super) fn flops(net: &Net) -> f64 {
    let (mut size, mut channels, mut work) = (SIZE, 3, 0);
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
    2.0 * (PICTURES * work) as f64
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

impl Builder {
    /// Losses of the tasks, `[t]` (mean cross entropy of classes, mean square of what has none), and their gradients `[t, P]` where
    /// those are wanted.
    pub(super) fn pictures(&mut self, net: &Net, t: usize, gradient: bool) {
        let layout = net.layout();
        let w = self.data("w0", &[t, layout.len()], weights(&layout, t));
        let x = self.random("x", &[t, PICTURES, SIZE * SIZE * 3], 22, 1.0);
        let has_classes = net.outputs() == CLASSES;
        let outputs = [t, PICTURES, net.outputs()];
        let y = has_classes.then(|| {
            let labels = (0..t * PICTURES).flat_map(|row| {
                let label = row % PICTURES % CLASSES;
                (0..CLASSES).map(move |c| f32::from(u8::from(c == label)))
            });
            let labels = labels.collect();
            self.data("y", &outputs, labels)
        });
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
