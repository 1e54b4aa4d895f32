//! Choices that can be differentiated.

use crate::graph::op::{Binary, Func};
use crate::graph::{Graph, Value};

/// How much each of some choices counts, by logits `[.., k]`: their softmax at a temperature. With `noise`, minus the logarithms of
/// exponential random numbers, they are a sample of them (Gumbel softmax, Jang et al. 2017). If `hard`, the largest has 1 and all others 0,
/// and gradients are those of the soft shares (straight through).
///
/// ```
/// use hyperloom::graph::Graph;
/// use hyperloom::net::choice_shares;
///
/// let mut g = Graph::new();
/// let logits = g.data("logits", &[2, 3]);
/// let shares = choice_shares(&mut g, logits, None, 1.0, false);
/// assert_eq!(g.shape(shares), [2, 3]);
/// ```
pub fn choice_shares(
    g: &mut Graph,
    logits: Value,
    noise: Option<Value>,
    temperature: f64,
    hard: bool,
) -> Value {
    let logits = noise.map_or(logits, |noise| g.add(logits, noise));
    let logits = g.scale(logits, 1.0 / temperature);
    let shares = g.log_softmax(logits);
    let soft = g.map(Func::Exp, shares);
    if !hard {
        return soft;
    }
    let last = g.shape(soft).len() - 1;
    let choices = g.shape(soft)[last];
    let each: Vec<Value> = (0..choices).map(|i| g.slice(soft, last, i, 1)).collect();
    let most = each.into_iter().reduce(|a, b| g.zip(Binary::Max, a, b)).unwrap_or(soft);
    let one = g.zip(Binary::GreaterEq, soft, most);
    let one = g.stop_gradient(one);
    let constant = g.stop_gradient(soft);
    let moved = g.sub(soft, constant);
    g.add(one, moved)
}
