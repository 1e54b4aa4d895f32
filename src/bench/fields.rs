//! The workload of fields: networks of sines that each learn a picture of their own.

use super::workload::{Builder, kernels};
use crate::graph::op::Func;
use crate::net::{Net, Weights};
use crate::task::{Loss, loss};

/// Height and width of a picture.
const SIZE: usize = 32;
pub(super) const PIXELS: usize = SIZE * SIZE;
const CHANNELS: usize = 3;
const OMEGA: f64 = 30.0;
/// Steps of Adam, and its constants.
pub(super) const STEPS: usize = 10;
const RATE: f64 = 1e-4;
const BETAS: [f64; 2] = [0.9, 0.999];
const EPS: f64 = 1e-8;

/// What is learned: three layers of sines (Sitzmann et al. 2020).
pub(super) fn siren() -> Net {
    let layer = |net: Net, _| net.dense(64).scale(OMEGA).sin();
    (0..3).fold(Net::rows([2]), layer).dense(CHANNELS)
}

/// Pictures `[t, pixels, channels]`: waves whose lengths differ by the channel, moved from task to task.
fn pictures(places: &[f32], t: usize) -> Vec<f32> {
    let value = |t: usize, place: &[f32], c: usize| {
        let (t, c) = (t as f64, (c + 1) as f64);
        let [x, y] = [place[0], place[1]].map(f64::from);
        ((3.0 * c * x + 0.1 * t).sin() * (2.0 * c * y + 0.05 * t).cos()) as f32
    };
    (0..t)
        .flat_map(|t| places.chunks(2).flat_map(move |p| (0..CHANNELS).map(move |c| value(t, p, c))))
        .collect()
}

impl Builder {
    /// The losses of `t` networks before each of ten steps of Adam on all pixels of a picture.
    pub(super) fn fields(&mut self, t: usize) {
        let net = siren();
        let layout = net.layout();
        let p = layout.len();
        let start =
            kernels(
                &layout,
                t,
                130,
                |layer, inputs| {
                    if layer == 0 { 0.5 } else { (6.0 / inputs as f64).sqrt() / OMEGA }
                },
            );
        // From side to side, corners included.
        let at = |i: usize| (2.0 * i as f64 / (SIZE - 1) as f64 - 1.0) as f32;
        let places: Vec<f32> = (0..PIXELS).flat_map(|i| [at(i % SIZE), at(i / SIZE)]).collect();
        let y = self.data("y", &[t, PIXELS, CHANNELS], pictures(&places, t));
        let x = self.data("x", &[1, PIXELS, 2], places);
        let w = self.data("w0", &[t, p], start);
        let g = &mut self.g;
        let x = g.expand(x, &[t, PIXELS, 2]);
        let (none, one) = (g.constant(0.0), g.constant(1.0));
        let (none, powers) = (g.expand(none, &[t, p]), g.expand(one, &[t, 2]));
        let (_, losses) = g.scan(STEPS, &[w, none, none, powers], &[x, y], &[], |g, args| {
            let [w, first, second, powers] = args.carried[..] else { panic!("four values are carried") };
            let prediction = net.apply(g, Weights { flat: w, layout: &layout }, args.constants[0]);
            let each = loss(g, Loss::Mse, prediction, args.constants[1], None);
            let sum = g.sum_to(each, &[]);
            let grad = g.grad(sum, &[w])[0];
            let square = g.mul(grad, grad);
            let mut moments = Vec::new();
            let mut rest = Vec::new();
            for (i, (old, new)) in [(first, grad), (second, square)].into_iter().enumerate() {
                let (old, new) = (g.scale(old, BETAS[i]), g.scale(new, 1.0 - BETAS[i]));
                moments.push(g.add(old, new));
                let power = g.slice(powers, 1, i, 1);
                rest.push(g.scale(power, BETAS[i]));
            }
            let powers = g.concat(&rest, 1);
            let [m, v] = [0, 1].map(|i| {
                let left = g.affine(rest[i], -1.0, 1.0);
                g.div(moments[i], left)
            });
            let root = g.map(Func::Sqrt, v);
            let root = g.affine(root, 1.0, EPS);
            let step = g.div(m, root);
            let step = g.scale(step, RATE);
            (vec![g.sub(w, step), moments[0], moments[1], powers], vec![each])
        });
        self.g.output("losses", losses[0]);
    }
}
