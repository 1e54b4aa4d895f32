//! Graphs of kernels that are blocks of regions by texts of their own: convolutions, Cholesky solves, gathers, draws.

use hyperloom::graph::conv::{Conv, Window};
use hyperloom::graph::op::Dist;
use hyperloom::graph::{Graph, Value};
use hyperloom::kernel::Kernel;
use hyperloom::plan::{Launch, Plan, Program};
use hyperloom::rng::Rng;
use hyperloom::spec::Activation;

use super::{Feed, data, numbers, words};

/// Each task convolves pictures by kernels of its own, adds rows of a table and noise, solves for what is left and takes
/// a cross entropy; the losses, their gradients, and the gradient of the squared gradient by the kernels.
pub(crate) fn own_blocks(tasks: usize, seed: u64) -> (Graph, Feed) {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(seed, 21));
    let [images, h, w] = [1 + rng.below(3), 2 + rng.below(6), 2 + rng.below(6)];
    let groups = 1 + rng.below(2);
    let [c, o] = [groups * (1 + rng.below(3)), groups * (1 + rng.below(5))];
    let mut window = |len: usize| {
        let [size, stride, dilation] = [3, 2, 2].map(|most| 1 + rng.below(most));
        let window = Window { size, stride, dilation, before: 0 };
        match window.valid(len).filter(|_| rng.below(2) == 0) {
            Some(windows) => (window, windows),
            None => (window.same(len), len.div_ceil(stride)),
        }
    };
    let ((along_h, p), (along_w, q)) = (window(h), window(w));
    let conv = Conv { windows: [along_h, along_w], groups };
    let mut input = |g: &mut Graph, name: &str, shape: &[usize]| {
        let contents = numbers(&mut rng, shape, -1.0, 1.0);
        data(g, &mut feed, name, contents)
    };
    let x = input(&mut g, "x", &[tasks, images, h, w, c]);
    let k = input(&mut g, "k", &[tasks, along_h.size, along_w.size, c / groups, o]);
    let bias = input(&mut g, "bias", &[tasks, 1, 1, 1, o]);
    let table = input(&mut g, "table", &[7, o]);
    let mut choice = Rng::new(seed, 22);
    let picks: Vec<u32> = (0..tasks * images).map(|_| choice.below(9) as u32).collect();
    let index = words(&mut g, &mut feed, "index", &[tasks * images], &picks);
    let key = words(&mut g, &mut feed, "key", &[2], &[3, 4]);

    let y = g.conv(conv, x, k, [p, q]);
    let y = g.add(y, bias);
    let y = g.act([Activation::Tanh, Activation::Relu, Activation::Gelu][choice.below(3)], y);
    let back = g.conv_input(conv, y, k, [h, w]);
    let y = g.sum_to(y, &[tasks, images, 1, 1, o]);
    let y = g.reshape(y, &[tasks, images, o]);
    let rows = g.gather(table, index);
    let rows = g.reshape(rows, &[tasks, images, o]);
    let noise = g.random([Dist::Uniform, Dist::Normal][choice.below(2)], key, 5, &[tasks, images, o]);
    let y = g.add(y, rows);
    let y = g.add(y, noise);
    // Of each task: (1 + YᵀY)⁻¹ Yᵀ and ln |1 + YᵀY|.
    let square = g.matmul_t(y, true, y, false);
    let one = g.constant(1.0);
    let one = g.expand(one, &[tasks, 1, 1]);
    let eye = g.diagonal(one, o);
    let a = g.add(square, eye);
    let y_t = g.permute(y, &[0, 2, 1]);
    let solved = g.spd_solve(a, y_t);
    let solved = g.permute(solved, &[0, 2, 1]);
    let logdet = g.spd_logdet(a);
    let labels = g.log_softmax(solved);
    let labels = g.map(hyperloom::graph::op::Func::Exp, labels);
    let labels = g.stop_gradient(labels);
    let entropy = g.cross_entropy(solved, labels);
    let [back, entropy] = [(back, "back"), (entropy, "entropy")].map(|(v, _)| g.sum_to(v, &[]));
    let logdet = g.sum_to(logdet, &[]);
    let loss = [back, logdet].into_iter().fold(entropy, |sum: Value, v| g.add(sum, v));
    let first = g.grad(loss, &[x, k, bias]);
    let norm = g.mul(first[1], first[1]);
    let norm = g.sum_to(norm, &[]);
    let second = g.grad(norm, &[k, x]);
    g.output("loss", loss);
    for (i, v) in first.into_iter().chain(second).enumerate() {
        g.output(&format!("gradient {i}"), v);
    }
    (g, feed)
}

/// Launches of a plan that are such kernels, and blocks of its regions that are.
pub(crate) fn own_kernels(plan: &Plan) -> [usize; 2] {
    let is = |k: &Kernel| {
        let named = ["conv", "gather", "random", "spd_solve", "spd_logdet", "cross_entropy", "log_softmax"];
        usize::from(named.contains(&k.name()))
    };
    let kernel = |l: &Launch| if let Program::Kernel(k) = &l.program { is(k) } else { 0 };
    let launches = plan.launches.iter().map(kernel).sum();
    let regions = plan.launches.iter().filter_map(|l| l.region());
    [launches, regions.flat_map(|r| r.blocks()).map(|p| is(&p.block.kernel)).sum()]
}
