//! The evidence gate: for each task its pooled, its generated and its adapted network are weighed by how probable they make
//! the task's own support (Bayesian model averaging: Hoeting et al. 1999), so that a task that needs no adaptation is left
//! alone. Of the adapted network this is the marginal likelihood, which does not grow just because the network was fitted.
//!
//! ```text
//! share of model m on task t  =  softmax_m (a_m + τ · e_m,t)        a = 0 of the adapted network
//! ```
//!
//! with e the log evidence ([`super::closed_form`]); the prior a and the temperature τ are fitted on validation tasks, since
//! the evidence of a misspecified model is too sure of itself (Grünwald and van Ommen 2017).

use serde::{Deserialize, Serialize};

use crate::graph::expr::Expr;
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::task::{Likelihood, Rows, Task};

/// How the three networks of a task are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// a of the pooled and of the generated network: prior log odds of leaving a task alone.
    pub prior: f64,
    /// τ
    pub temperature: f64,
    /// Mean squared error of the pooled network on validation tasks: its noise.
    pub noise: f64,
}

/// What one member says about some tasks, a row a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// Predictions `[q · o]` of the pooled, the generated and the adapted network.
    pub predictions: [Vec<Vec<f32>>; 3],
    /// Predictive variances of the adapted network, `[q]`.
    pub variance: Vec<Vec<f32>>,
    /// How far several adapted networks of a task disagree ([`super::TaskPredictions::disagreement`]).
    pub disagreement: Vec<Vec<f32>>,
    /// Log evidence of the generated and of the adapted network.
    pub evidence: Vec<[f64; 2]>,
    /// The pooled network on the support: its cost ([`Likelihood::cost`]), and number of values.
    pub pooled: Vec<(f64, f64)>,
}

impl Candidates {
    /// Multiplies all predictions.
    pub(crate) fn sharpen(&mut self, factor: f32) {
        self.predictions.iter_mut().flatten().flatten().for_each(|v| *v *= factor);
    }
}

/// a that are tried; a model with the first has no share.
const PRIORS: [f64; 9] = [-1e9, -6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0];
/// τ that are tried.
const TEMPERATURES: [f64; 5] = [0.0, 0.03, 0.1, 0.3, 1.0];

impl Gate {
    /// Shares of the pooled, the generated and the adapted network of task `t`.
    pub fn shares(&self, likelihood: &Likelihood, c: &Candidates, t: usize) -> [f64; 3] {
        let (sum, n) = c.pooled[t];
        let pooled = likelihood.log_density(sum, n, self.noise);
        let [generated, adapted] = c.evidence[t];
        let score = [
            self.prior + self.temperature * pooled,
            self.prior + self.temperature * generated,
            self.temperature * adapted,
        ];
        // A network that fails on its support has no share.
        let score = score.map(|s| if s.is_nan() { f64::NEG_INFINITY } else { s });
        let most = score.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if most == f64::NEG_INFINITY {
            return [0.0, 0.0, 1.0];
        }
        let e = score.map(|s| (s - most).exp());
        let sum: f64 = e.iter().sum();
        e.map(|e| e / sum)
    }

    /// [`Gate::shares`] in a graph, `[T, 3]`: by what the pooled network says of the support rows `[T, n, o]`, and by the log evidence `[T, 2]` of the generated and of the adapted network.
    pub(super) fn shares_of(
        &self,
        g: &mut Graph,
        likelihood: &Likelihood,
        said: Value,
        support: &Rows,
        evidence: Value,
    ) -> Value {
        let density = likelihood.log_density_of(g, said, support, self.noise);
        let e = g.expr();
        let three = Expr::columns(&[e.of(density), e.of(evidence)]).scale(self.temperature);
        let score = three + e.build(|g| g.constants(&[1, 3], &[self.prior, self.prior, 0.0]));
        // A network that fails on its support has no share, and where all do the adapted one has all of it.
        let least = e.build(|g| g.constants(&[1, 3], &[-1e30, -1e30, -1e29]));
        let known = score.map(Func::IsFinite);
        let score = known.choose(score, least);
        e.build(|g| g.log_softmax(score.value())).exp().value()
    }

    /// Predictions of each task by its three networks together.
    pub fn mixed(&self, likelihood: &Likelihood, c: &Candidates) -> Vec<Vec<f32>> {
        (0..c.evidence.len())
            .map(|t| {
                let three: Vec<&[f32]> = c.predictions.iter().map(|p| &p[t][..]).collect();
                likelihood.mixture(&three, &self.shares(likelihood, c, t))
            })
            .collect()
    }

    /// The gate that does best on validation tasks, each of which is seen by one of `members`.
    pub fn fit(likelihood: &Likelihood, members: &[(Vec<Task>, Candidates)]) -> Gate {
        let all = || members.iter().flat_map(|(tasks, c)| tasks.iter().zip(&c.predictions[0]));
        let (sum, n) = all().fold((0.0, 0.0), |(sum, n), (task, y)| {
            let square = task.yq.iter().zip(y).map(|(t, p)| ((t - p) as f64).powi(2)).sum::<f64>();
            (sum + square, n + task.yq.len() as f64)
        });
        let noise = if sum > 0.0 { sum / n } else { 1.0 };
        let cost = |gate: &Gate| -> f64 {
            members
                .iter()
                .flat_map(|(tasks, c)| tasks.iter().zip(gate.mixed(likelihood, c)))
                .map(|(task, y)| likelihood.cost(&task.yq, &y))
                .sum()
        };
        // From the adapted network alone on: of equals the first is kept.
        let mut best = (f64::INFINITY, Gate { prior: PRIORS[0], temperature: 0.0, noise });
        for temperature in TEMPERATURES {
            for prior in PRIORS {
                let gate = Gate { prior, temperature, noise };
                let c = cost(&gate);
                if c < best.0 {
                    best = (c, gate);
                }
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two kinds of tasks: one that the pooled network fits, one that only adaptation fits. The gate tells them apart.
    #[test]
    fn a_task_that_needs_no_adaptation_is_left_alone() {
        let likelihood = Likelihood::values(1);
        let mut tasks = Vec::new();
        let mut c = Candidates::default();
        for i in 0..40 {
            let apart = i % 2 == 1;
            let y = if apart { 3.0 } else { 0.0 };
            tasks.push(Task { yq: vec![y; 4], ..Task::from_support(vec![0.0; 5], vec![y; 5]) });
            c.predictions[0].push(vec![0.1; 4]);
            c.predictions[1].push(vec![1.5; 4]);
            c.predictions[2].push(vec![if apart { 2.9 } else { 1.0 }; 4]);
            c.evidence.push([-30.0, if apart { -5.0 } else { -9.0 }]);
            c.pooled.push((5.0 * (y as f64 - 0.1).powi(2), 5.0));
        }
        let members = [(tasks, c)];
        let gate = Gate::fit(&likelihood, &members);
        let (tasks, c) = &members[0];
        assert!(gate.shares(&likelihood, c, 0)[0] > 0.9, "{gate:?}: {:?}", gate.shares(&likelihood, c, 0));
        assert!(gate.shares(&likelihood, c, 1)[2] > 0.9, "{gate:?}: {:?}", gate.shares(&likelihood, c, 1));
        assert!(likelihood.score(tasks, &gate.mixed(&likelihood, c)) < 0.05);
    }
}
