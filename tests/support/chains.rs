//! A graph whose launches go element by element, but for sums.

use hyperloom::graph::Graph;
use hyperloom::net::{Net, Weights};
use hyperloom::plan::Plan;
use hyperloom::rng::Rng;

use super::{Feed, data, numbers};

/// Pictures of `t` tasks that are normalised, rectified and pooled, with the gradient of a sum of squares by the pictures
/// and the weights. Pieces of gradients take turns in one buffer; what lies in the middle of a chain is an output.
pub(crate) fn pictures(t: usize, [h, w, c]: [usize; 3]) -> (Graph, Feed) {
    let (mut g, mut feed, mut rng) = (Graph::new(), Feed::default(), Rng::new(3, h as u64));
    let net = Net::image([h, w, c]).batch_norm().relu().max_pool(2);
    let layout = net.layout();
    let flat = data(&mut g, &mut feed, "weights", numbers(&mut rng, &[t, layout.len()], -1.0, 1.0));
    let x = data(&mut g, &mut feed, "x", numbers(&mut rng, &[t, 3, h * w * c], -1.0, 1.0));
    let scaled = g.affine(x, 2.0, -0.25);
    g.output("scaled", scaled);
    let bent = g.map(hyperloom::graph::op::Func::Exp, scaled);
    let y = net.apply(&mut g, Weights { flat, layout: &layout }, bent);
    let squares = g.mul(y, y);
    let loss = g.sum_to(squares, &[]);
    let [by_weights, by_pictures] = g.grad(loss, &[flat, x])[..] else { panic!("two gradients") };
    for (name, v) in [("loss", loss), ("by weights", by_weights), ("by pictures", by_pictures)] {
        g.output(name, v);
    }
    (g, feed)
}

/// Chains of a plan.
pub(crate) fn chains(plan: &Plan) -> usize {
    plan.launches.iter().filter(|l| l.name() == "chain").count()
}
