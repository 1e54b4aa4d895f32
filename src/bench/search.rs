//! The workloads of architecture search: different dense networks on the same rows, as they are and in training.

use std::collections::BTreeMap;

use super::numbers;
use super::workload::{Builder, learn};
use crate::graph::Value;
use crate::net::{Net, Weights};
use crate::spec::Activation;
use crate::task::Loss;

const INPUTS: usize = 8;
/// Rows of all networks: as they are, and in training.
const ROWS: usize = 256;
const TRAINING_ROWS: usize = 64;
/// Steps of descent in training, and how long they are.
const STEPS: usize = 10;
const RATE: f64 = 0.05;
/// The widest network, and the deepest.
const WIDEST: usize = 64;
const DEEPEST: usize = 4;
const ACTIVATIONS: [Activation; 4] = [Activation::Tanh, Activation::Relu, Activation::Gelu, Activation::Sin];

/// Depth, width and activation of a network, by its number.
fn shape(n: usize) -> (usize, usize, usize) {
    (1 + n % 4, [8, 16, 32, 64][n / 4 % 4], n / 16 % 4)
}

/// Nominal operations of `t` networks: products only.
pub(super) fn flops(t: usize, training: bool) -> f64 {
    let (rows, passes) = if training { (TRAINING_ROWS, 3 * STEPS + 1) } else { (ROWS, 1) };
    let one = |(depth, w, _)| 2 * passes * rows * (INPUTS * w + (depth - 1) * w * w + w);
    (0..t).map(|n| one(shape(n)) as f64).sum()
}

impl Builder {
    /// What `t` networks say of the same rows, `[t, rows]`, in the order of their shapes: those of one shape share a product. In training:
    /// after steps of descent of each on targets of its own.
    pub(super) fn different_networks(&mut self, t: usize, training: bool) {
        let many_rows = if training { TRAINING_ROWS } else { ROWS };
        let whole = |stream: u32, scale: f64, each: usize| numbers(stream, scale as f32, t * each);
        let (w, h) = (WIDEST, DEEPEST - 1);
        // As the other tools have them: of the widest network's numbers those that are there.
        let (w0, b0) = (whole(100, 0.6, INPUTS * w), whole(102, 0.1, w));
        let (wh, bh) = (whole(101, 1.0, h * w * w), whole(103, 0.1, h * w));
        let (wo, bo) = (whole(104, 0.3, w), whole(105, 0.1, 1));
        let x = self.random("x", &[1, many_rows, INPUTS], 106, 1.0);
        let targets = self::numbers(107, 1.0, t * many_rows);
        let mut shapes: BTreeMap<(usize, usize, usize), Vec<usize>> = BTreeMap::new();
        (0..t).for_each(|n| shapes.entry(shape(n)).or_default().push(n));
        let mut results: Vec<Value> = Vec::new();
        for ((depth, width, activation), numbers) in shapes {
            let mut net = Net::rows([INPUTS]);
            for _ in 0..depth {
                net = net.dense(width).activation(ACTIVATIONS[activation]);
            }
            let net = net.dense(1);
            let layout = net.layout();
            let mut flat = Vec::with_capacity(numbers.len() * layout.len());
            for n in &numbers {
                for i in 0..INPUTS {
                    flat.extend(&w0[(n * INPUTS + i) * w..][..width]);
                }
                flat.extend(&b0[n * w..][..width]);
                for l in 0..depth - 1 {
                    let scale = (3.0 / width as f32).sqrt();
                    for i in 0..width {
                        flat.extend(wh[((n * h + l) * w + i) * w..][..width].iter().map(|v| v * scale));
                    }
                    flat.extend(&bh[(n * h + l) * w..][..width]);
                }
                flat.extend(&wo[n * w..][..width]);
                flat.push(bo[*n]);
            }
            let many = numbers.len();
            let name = format!("{depth} x {width} {}", ACTIVATIONS[activation].name());
            let flat = self.data(&name, &[many, layout.len()], flat);
            let rows = self.g.expand(x, &[many, many_rows, INPUTS]);
            let flat = if training {
                let own = |n: &usize| targets[n * many_rows..][..many_rows].iter().copied();
                let own = numbers.iter().flat_map(own).collect();
                let y = self.data(&format!("targets of {name}"), &[many, many_rows, 1], own);
                learn(&mut self.g, (&net, Loss::Mse), (STEPS, RATE), flat, [rows, y])
            } else {
                flat
            };
            let y = net.apply(&mut self.g, Weights { flat, layout: &layout }, rows);
            results.push(self.g.reshape(y, &[many, many_rows]));
        }
        let all = self.g.concat(&results, 0);
        self.g.output("result", all);
    }
}
