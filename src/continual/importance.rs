//! How much a network's likelihood hangs on each weight: the diagonal of the Fisher information.

use super::sequence::Sequence;
use super::step::shared_loss;
use crate::graph::Graph;
use crate::net::Net;

/// Rows whose gradients are taken side by side.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// Squares of the gradients of the loss by the weights, summed over rows, each of which has a gradient of its own: from `weights` `[P]` and rows `x` with `y`
/// and `mask` the sum `squares` `[P]`. With labels drawn from what the network says it is the diagonal of the Fisher information, times the rows.
pub fn squared_gradients(net: &Net, sequence: &Sequence) -> Graph {
    let mut graph = Graph::new();
    let g = &mut graph;
    let p = net.layout().len();
    let n = SIDE_BY_SIDE;
    let flat = g.data("weights", &[p]);
    let x = g.data("x", &[n, sequence.inputs()]);
    let [y, mask] = ["y", "mask"].map(|name| g.data(name, &[n, net.outputs()]));
    // A row beyond the last has no outputs that count, and no gradient.
    let there = g.data("there", &[n]);
    let mut sum = None;
    for row in 0..n {
        let of = [x, y, mask].map(|v| g.slice(v, 0, row, 1));
        let loss = shared_loss(g, net, sequence.loss, flat, of);
        let gradient = g.grad(loss, &[flat])[0];
        let square = g.mul(gradient, gradient);
        let there = g.slice(there, 0, row, 1);
        let square = g.mul(square, there);
        sum = Some(sum.map_or(square, |s| g.add(s, square)));
    }
    g.output("squares", sum.expect("there is a row"));
    graph
}
