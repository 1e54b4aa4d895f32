//! A workload of a generator that looks at every support row: `attention-hyper`.

use super::numbers;
use super::workload::{Builder, task_loss};
use crate::hyper::{Condition, ConditionSpec, Generator, HyperSpec, SetEncoder, Transformer};
use crate::net::{Net, Weights};
use crate::spec::{Activation, count};
use crate::task::{Loss, Rows};

/// Rows of a task's support, and of its query.
const ROWS: usize = 25;
const WIDTH: usize = 64;
const BLOCKS: usize = 2;
const HIDDEN: usize = 256;

fn hyper() -> HyperSpec {
    let support = SetEncoder::new(2, vec![], 1.0);
    let condition = ConditionSpec { support: Some(support), ..ConditionSpec::default() };
    let target = Net::mlp(&[1, 40, 40, 1], Activation::Tanh);
    let mut hyper = HyperSpec::new(condition, vec![], Activation::Identity, target);
    let sizes = Transformer { width: WIDTH, heads: 4, blocks: BLOCKS, hidden: HIDDEN, tile: 4096 };
    hyper.generator = Generator::Transformer(sizes);
    hyper
}

/// Nominal operations of a forward pass of a task: products only.
pub(super) fn flops() -> f64 {
    let layers = [(1, 40), (40, 40), (40, 1)];
    let tokens = ROWS + layers.len();
    let block = tokens * (4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN) + 2 * tokens * tokens * WIDTH;
    let written: usize = layers.iter().map(|(i, o)| WIDTH * (i * o + o) + ROWS * i * o).sum();
    2.0 * (ROWS * 2 * WIDTH + BLOCKS * block + written) as f64
}

impl Builder {
    /// A step of Adam of the generator, on the loss of what it writes for `t` tasks.
    pub(super) fn train_transformer(&mut self, t: usize) {
        let hyper = hyper();
        let layout = hyper.layout();
        let n = layout.len();
        let mut state = vec![0.0; 3 * n];
        let mut stream = 60;
        for param in &layout.params {
            let own = &mut state[param.range()];
            match (param.name.as_str(), &param.shape[..]) {
                ("head.bias", _) => own.copy_from_slice(&numbers(59, 0.3, own.len())),
                (name, shape @ &[inputs, _]) => {
                    let scale = match name {
                        "tokens" => 1.0,
                        _ if name.starts_with("head") => 0.02,
                        _ => (1.0 / inputs as f64).sqrt(),
                    };
                    own.copy_from_slice(&numbers(stream, scale as f32, count(shape)));
                    stream += 1;
                }
                (name, _) if name.ends_with("gain") => own.fill(1.0),
                _ => {}
            }
        }
        let ((xs, ys), (xq, yq)) = (self.waves("s", 6, t, ROWS, 1), self.waves("q", 7, t, ROWS, 1));
        self.train(state, n, |g, flat| {
            let params = Weights { flat, layout: &layout };
            let support = Rows::alike(g, xs, ys);
            let available = Condition { support: Some(support), task: None, descriptor: None, noise: None };
            let read = hyper.condition(g, params, &available);
            let w = hyper.generate(g, params, read, t);
            let each = task_loss(g, &hyper.target, Loss::Mse, w, xq, yq);
            g.mean(each)
        });
    }
}
