//! What is minimised where noise makes M networks of a task: what they say together, so that they differ where the support leaves it open and nowhere else.
//!
//! Of values it is the energy score (Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and estimation", equation 22) of the M functions
//! on all query rows of a task at once, without bias for any M:
//!
//! ```text
//! mean_m ‖f_m - y‖ - ½ mean_{m ≠ m'} ‖f_m - f_m'‖        ‖·‖: root of the mean square over query rows and outputs
//! ```
//!
//! It is least where the functions are distributed as those of all tasks with such a support, and needs no noise of a known size. Of classes it is the
//! likelihood of all query rows under the mixture of the networks (Foong et al. 2020, "Meta-learning stationary stochastic process prediction with
//! convolutional neural processes", equation 8): `-ln (mean_m Π_rows p_m) / rows`.

use super::objective::Objective;
use crate::graph::expr::Expr;
use crate::graph::{Graph, Value};
use crate::task::{Batch, Loss, loss};

/// Added to mean squares before the root is taken: functions that are the same have no distance that would have a direction.
const EPSILON: f64 = 1e-8;

impl Objective {
    /// The objective of predictions `[T · M, q, o]` by M networks of each task, by the episodes as they are repeated for each network and as they were. What is
    /// shown is that of their mixture.
    pub(super) fn of_draws(
        g: &mut Graph,
        kind: Loss,
        prediction: Value,
        [of_networks, of_tasks]: [&Batch; 2],
    ) -> Objective {
        let draws = g.shape(of_networks.xq)[0] / g.shape(of_tasks.xq)[0];
        if draws == 1 {
            return Objective::of(g, kind, prediction, of_tasks);
        }
        g.scope("draws", |g| match kind.has_classes() {
            true => classes(g, kind, prediction, [of_networks, of_tasks], draws),
            false => values(g, kind, prediction, of_tasks, draws),
        })
    }
}

/// The energy score, and the loss of the mean.
fn values(g: &mut Graph, kind: Loss, prediction: Value, e: &Batch, draws: usize) -> Objective {
    let [networks, q, o] = g.shape(prediction)[..] else { panic!("a prediction is [T · M, q, o]") };
    let t = networks / draws;
    let x = g.expr();
    let each = x.of(prediction).reshape(&[t, draws, q, o]);
    let mean = (each.sum(1) / draws as f64).reshape(&[t, q, o]).value();
    // A row counts by the root of its weight on both sides: so the squares of differences are weighed.
    let weigh = |v: Expr<'_>| match e.query_rows {
        Some(rows) => (v * (x.of(rows) / o as f64).sqrt().reshape(&[t, 1, q, 1])).value(),
        None => v.scale((1.0 / (q * o) as f64).sqrt()).value(),
    };
    let said = x.of(weigh(each)).reshape(&[t, draws, q * o]);
    let target = x.of(weigh(x.of(e.yq).reshape(&[t, 1, q, o]))).reshape(&[t, 1, q * o]);
    let off = distance(said - target).mean();
    let [one, other] = [[t, draws, 1, q * o], [t, 1, draws, q * o]].map(|shape| said.reshape(&shape));
    // Of all pairs: a network and itself are none, and have only what is added under the root.
    let all = distance(one - other).total() - networks as f64 * EPSILON.sqrt();
    let apart = all / (networks * (draws - 1)) as f64;
    let minimise = (off - apart / 2.0).value();
    Objective { minimise, ..Objective::of(g, kind, mean, e) }
}

/// Root of the sum of squares along the last axis.
fn distance(v: Expr<'_>) -> Expr<'_> {
    ((v * v).sum(v.shape().len() - 1) + EPSILON).sqrt()
}

/// The mixture's likelihood of all query rows, and its loss on each.
fn classes(
    g: &mut Graph,
    kind: Loss,
    prediction: Value,
    [e, of_tasks]: [&Batch; 2],
    draws: usize,
) -> Objective {
    let [networks, q, c] = g.shape(prediction)[..] else { panic!("logits are [T · M, q, c]") };
    let t = networks / draws;
    let logs = g.log_softmax(prediction);
    let x = g.expr();
    let logs = x.of(logs).reshape(&[t, draws, q * c]).permute(&[0, 2, 1]).value();
    let mixed = log_mean_exp(g, logs);
    let mixed = g.reshape(mixed, &[t, q, c]);
    let each = loss(g, kind, prediction, e.yq, e.query_rows);
    let x = g.expr();
    // How many rows there are: the weights are one over that, or 0.
    let rows = match of_tasks.query_rows {
        Some(rows) => x.of(rows).choose(x.constant(1.0), x.constant(0.0)).sum(1),
        None => x.constant(q as f64).expand(&[t, 1]),
    };
    let density = -(x.of(each).reshape(&[t, draws]) * rows);
    let (rows, density) = (rows.value(), density.reshape(&[t, 1, draws]).value());
    let together = log_mean_exp(g, density);
    let x = g.expr();
    let minimise = -(x.of(together) / x.of(rows)).mean();
    let minimise = minimise.value();
    Objective { minimise, ..Objective::of(g, kind, mixed, of_tasks) }
}

/// `ln mean exp` along the last axis of `[a, b, M]`: `[a, b]`.
fn log_mean_exp(g: &mut Graph, v: Value) -> Value {
    let [a, b, m] = g.shape(v)[..] else { panic!("three axes") };
    let shares = g.log_softmax(v);
    let x = g.expr();
    // Each is its share times the sum of all.
    let sum = x.of(v) - x.of(shares);
    (sum.column(0).reshape(&[a, b]) - (m as f64).ln()).value()
}
