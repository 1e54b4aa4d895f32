//! Workloads of heads: a training step of generators that write 784-128-10 classifiers for tasks with a descriptor each, all weights at once, in factors of low rank, or in chunks.

use super::numbers;
use super::workload::{Builder, Workload, task_loss};
use crate::hyper::{Chunked, Condition, ConditionSpec, Generator, HyperSpec, LowRank};
use crate::net::{Net, Weights};
use crate::spec::{Activation, count};
use crate::task::{Loss, loss};

/// Numbers of a descriptor, width of the trunk, rows of a task.
const DESCRIPTOR: usize = 16;
const TRUNK: usize = 64;
const ROWS: usize = 16;

fn hyper(workload: Workload) -> HyperSpec {
    let condition = ConditionSpec { descriptor: DESCRIPTOR, ..ConditionSpec::default() };
    let target = Net::mlp(&[784, 128, 10], Activation::Relu);
    let mut hyper = HyperSpec::new(condition, vec![TRUNK], Activation::Relu, target);
    match workload {
        Workload::HeadLowRank => hyper.generator = Generator::LowRank(LowRank { rank: 4, scale: 4.0 }),
        Workload::HeadChunked => {
            hyper.generator = Generator::Chunked(Chunked { chunk: 1024, embedding: 16, base: false });
        }
        _ => {}
    }
    hyper
}

/// Nominal operations of a forward pass of a task: products only.
pub(super) fn flops(workload: Workload) -> f64 {
    let target = [(784, 128), (128, 10)];
    let weights: usize = target.iter().map(|(i, o)| i * o + o).sum();
    let head = match workload {
        Workload::HeadLowRank => {
            target.iter().map(|(i, o)| 4 * (TRUNK * (i + o) + i * o)).sum::<usize>() + TRUNK * DESCRIPTOR
        }
        Workload::HeadChunked => weights.div_ceil(1024) * TRUNK * (DESCRIPTOR + 16) + TRUNK * weights,
        _ => TRUNK * (DESCRIPTOR + weights),
    };
    2.0 * (head + target.iter().map(|(i, o)| ROWS * i * o).sum::<usize>()) as f64
}

impl Builder {
    /// A step of Adam of a generator, on the loss of what it writes for `t` tasks.
    pub(super) fn train_head(&mut self, workload: Workload, t: usize) {
        let hyper = hyper(workload);
        let layout = hyper.layout();
        let n = layout.len();
        let mut state = vec![0.0; 3 * n];
        for (stream, param) in (70..).zip(&layout.params) {
            let scale = match &param.shape[..] {
                [inputs, _] => (1.0 / *inputs as f64).sqrt() as f32,
                _ => 0.01,
            };
            state[param.range()].copy_from_slice(&numbers(stream, scale, count(&param.shape)));
        }
        let z = self.data("z", &[t, DESCRIPTOR], numbers(60, 1.0, t * DESCRIPTOR));
        let x = self.data("x", &[t, ROWS, 784], numbers(61, 1.0, t * ROWS * 784));
        let class = |i: usize| (0..10).map(move |c| f32::from(u8::from(i % 10 == c)));
        let y = self.data("y", &[t, ROWS, 10], (0..t * ROWS).flat_map(class).collect());
        self.train(state, n, |g, flat| {
            let params = Weights { flat, layout: &layout };
            let available = Condition { support: None, task: None, descriptor: Some(z), noise: None };
            let read = hyper.condition(g, params, &available);
            let each = match hyper.predict_by_factors(g, params, read.as_ref(), x) {
                Some(said) => loss(g, Loss::CrossEntropy, said, y, None),
                None => {
                    let w = hyper.generate(g, params, read, t);
                    task_loss(g, &hyper.target, Loss::CrossEntropy, w, x, y)
                }
            };
            g.mean(each)
        });
    }
}
