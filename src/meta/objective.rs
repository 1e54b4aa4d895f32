//! What is minimised: the query loss as training sees it through adaptation, then further terms (`meta/terms`), one after another.

use serde::{Deserialize, Serialize};

use super::terms::{self, TermInput};
use crate::adapt::{Adaptation, InnerLoop};
use crate::graph::op::{Binary, Func};
use crate::graph::{Graph, Value};
use crate::hyper::{Condition, HyperSpec};
use crate::net::{Net, ParamLayout, SupportRows, Weights};
use crate::rng::Rng;
use crate::spec::count;
use crate::task::{Batch, Loss, Rows, loss};

/// How the outer loop sees the inner one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Through {
    /// Not at all: the weights are trained as they are generated, and adapt afterwards.
    None,
    /// The inner gradients count as constant (FOMAML: Finn et al. 2017; Nichol et al. 2018).
    First,
    /// Exactly (MAML: Finn et al. 2017).
    Second,
    /// Generated weights are drawn to where the steps lead (Reptile: Nichol et al. 2018).
    Reptile,
}

/// A hypernetwork with its inner learning and its objective.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MetaSpec {
    /// The hypernetwork.
    pub hyper: HyperSpec,
    /// How the networks that it writes go on learning.
    pub adaptation: Adaptation,
    /// How training sees that.
    pub through: Through,
    /// Steps of adaptation in training.
    pub steps: usize,
    /// Share of training in which the losses after all steps count (MAML++: Antoniou et al. 2019): their weights go linearly
    /// from equal shares to the last step alone.
    pub per_step: f64,
    /// λ: share of the main network's own loss, `J = λ L_main(θ) + (1 - λ) L_meta(θ, φ)`. θ is the head's bias, which every
    /// task's weights are a correction to.
    pub joint_lambda: f64,
    /// Parameters that are not trained, by name or the first parts of it (`trunk`, `encoder.0`).
    pub freeze: Vec<String>,
    /// λ of `λ · mean_t ‖w_t‖²` on the generated weights.
    pub weight_penalty: f64,
    /// λ of `-λ · ln(10⁻⁶ + mean_t ‖w_t - w̄‖² / P)`: generated weights of different tasks are held apart.
    pub diversity: f64,
}

impl From<HyperSpec> for MetaSpec {
    /// Weights that are generated and used as they are.
    fn from(hyper: HyperSpec) -> MetaSpec {
        MetaSpec {
            hyper,
            adaptation: Adaptation::fine_tuning(0.01, 10.0),
            through: Through::None,
            steps: 1,
            per_step: 0.0,
            joint_lambda: 0.0,
            freeze: vec![],
            weight_penalty: 0.0,
            diversity: 0.0,
        }
    }
}

/// An objective in a graph.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Objective {
    /// What the gradient is taken of.
    pub minimise: Value,
    /// What is recorded: the query loss.
    pub shown: Value,
    /// Share of query rows whose class is right, of classes.
    pub accuracy: Option<Value>,
}

impl MetaSpec {
    /// All that is meta-learned.
    pub fn layout(&self) -> ParamLayout {
        self.adaptation.layout(&self.hyper)
    }

    /// Initial parameters; `base` are the target weights that every task starts with.
    pub fn init(&self, rng: &mut Rng, base: &[f32]) -> Vec<f32> {
        let mut w = self.hyper.init(rng, base);
        w.extend(self.adaptation.learned(&self.hyper).init(rng));
        w
    }

    /// Whether a term of the objective is no mean over tasks, so that a batch cannot be split.
    pub(super) fn couples_tasks(&self) -> bool {
        terms::ALL.iter().any(|term| term.is_asked(self) && term.couples_tasks())
    }

    /// Whether training reads the weights of the losses after each step.
    pub fn reads_step_weights(&self) -> bool {
        self.per_step > 0.0 && self.steps > 1
    }

    /// Weights of the losses after each inner step, when `done` of training is done (0 to 1).
    pub fn step_weights(&self, done: f64) -> Vec<f32> {
        let k = self.steps as f64;
        let last = (done / self.per_step).min(1.0);
        let each = (1.0 - last) / k;
        let mut weights = vec![each as f32; self.steps];
        weights[self.steps - 1] = (each + last) as f32;
        weights
    }

    /// The objective on a batch of episodes; `step_weights` `[steps]` where the losses after all steps count.
    pub fn objective(
        &self,
        g: &mut Graph,
        params: Weights<'_>,
        e: &Batch,
        kind: Loss,
        step_weights: Option<Value>,
    ) -> Objective {
        let noise = e.noise.map(|noise| {
            let [t, draws, width] = g.shape(noise)[..] else { panic!("noise is [T, M, width]") };
            g.reshape(noise, &[t * draws, width])
        });
        // From here on a task is one of the networks that are drawn for it.
        let of_tasks = e;
        let e = &e.repeated(g, self.hyper.condition.draws());
        // What is refined reads the support of each of its networks; else that of the task is read once.
        let support = if self.hyper.rounds > 0 { e.support } else { of_tasks.support };
        let condition = Condition { support: Some(support), task: e.task, descriptor: e.descriptor, noise };
        let t = g.shape(e.xq)[0];
        let read = self.hyper.condition(g, params, &condition);
        let plain = self.through == Through::None && !terms::ALL.iter().any(|term| term.is_asked(self));
        if plain && let Some(y) = self.hyper.predict_by_factors(g, params, read.as_ref(), e.xq) {
            return Objective::of_draws(g, kind, y, [e, of_tasks]);
        }
        // One row for all tasks where that is all there is, and the tasks' own part is their last layer.
        let weights = match read {
            None if self.adaptation.fast.shares_weights() || self.through == Through::None => {
                self.hyper.shared_weights(g, params)
            }
            _ => {
                let weights = self.hyper.generate(g, params, read, t);
                self.hyper.refine(g, params, &condition, kind, weights)
            }
        };
        let z = read.map(|read| read.condition);
        let Objective { mut minimise, shown, accuracy } = match self.through {
            Through::None => {
                let layout = self.hyper.target.layout();
                let y = g.scope("target", |g| {
                    let weights = Weights { flat: weights, layout: &layout };
                    self.hyper.target.apply_by(g, weights, support_of(e), e.xq)
                });
                Objective::of_draws(g, kind, y, [e, of_tasks])
            }
            Through::Reptile => self.reptile(g, params, e, kind, (weights, z)),
            _ => self.adapted(g, params, [e, of_tasks], kind, (weights, z), step_weights),
        };
        let input = TermInput { params, weights, batch: of_tasks, kind };
        for term in terms::ALL.iter().filter(|term| term.is_asked(self)) {
            minimise = term.add(g, self, &input, minimise);
        }
        Objective { minimise, shown, accuracy }
    }

    fn inner(&self, kind: Loss) -> InnerLoop<'_> {
        InnerLoop { hyper: &self.hyper, adaptation: &self.adaptation, kind }
    }

    /// The query loss after adaptation, differentiated through it; by the episodes of networks and of tasks.
    fn adapted(
        &self,
        g: &mut Graph,
        params: Weights<'_>,
        [e, of_tasks]: [&Batch; 2],
        kind: Loss,
        (weights, z): (Value, Option<Value>),
        step_weights: Option<Value>,
    ) -> Objective {
        let inner = self.inner(kind);
        let problem = inner.problem(g, Some(params), weights, z, &e.support);
        let xq = inner.inputs(g, &problem, e.xq);
        let first_order = self.through == Through::First;
        let mut more = vec![xq, e.yq];
        more.extend(e.query_rows);
        let after = |g: &mut Graph, problem: &crate::adapt::InnerProblem, fast: Value, more: &[Value]| {
            let y = inner.predict(g, problem, fast, more[0]);
            loss(g, kind, y, more[1], more.get(2).copied())
        };
        let each = step_weights.map(|_| &after as &dyn Fn(&mut Graph, &_, Value, &[Value]) -> Value);
        let (fast, losses) =
            g.scope("inner", |g| inner.learn(g, &problem, self.steps, first_order, each, &more));
        let y = g.scope("target", |g| inner.predict(g, &problem, fast, xq));
        let plain = Objective::of_draws(g, kind, y, [e, of_tasks]);
        let minimise = match (losses, step_weights) {
            (Some(losses), Some(weights)) => {
                let weighted = g.mul(losses, weights);
                let sum = g.sum_to(weighted, &[]);
                let t = g.shape(e.xq)[0];
                g.scale(sum, 1.0 / t as f64)
            }
            _ => match inner.variance(g, &problem, xq) {
                Some(v) => g.scope("density", |g| negative_log_density(g, y, v, e)),
                None => plain.minimise,
            },
        };
        Objective { minimise, ..plain }
    }

    /// `½ mean_t ‖w_t - w_t'‖²`, w' where the steps lead on all rows of a task, held constant: its gradient is the mean of
    /// `w_t - w_t'`.
    fn reptile(
        &self,
        g: &mut Graph,
        params: Weights<'_>,
        e: &Batch,
        kind: Loss,
        (weights, z): (Value, Option<Value>),
    ) -> Objective {
        let inner = self.inner(kind);
        let start = g.stop_gradient(weights);
        let rows = all_rows(g, e);
        let problem = inner.problem(g, Some(params), start, z, &rows);
        let (fast, _) = g.scope("inner", |g| inner.learn(g, &problem, self.steps, true, None, &[]));
        let y = g.scope("target", |g| inner.predict(g, &problem, fast, e.xq));
        let plain = Objective::of(g, kind, y, e);
        let goal = g.stop_gradient(fast);
        let d = g.sub(weights, goal);
        let square = g.mul(d, d);
        let sum = g.sum_to(square, &[]);
        let t = g.shape(e.xq)[0];
        Objective { minimise: g.scale(sum, 0.5 / t as f64), ..plain }
    }
}

impl Objective {
    /// The mean query loss over tasks of a prediction.
    pub(super) fn of(g: &mut Graph, kind: Loss, prediction: Value, e: &Batch) -> Objective {
        let value = g.scope("loss", |g| {
            let each = loss(g, kind, prediction, e.yq, e.query_rows);
            g.mean(each)
        });
        let accuracy = kind.has_classes().then(|| accuracy(g, prediction, e));
        Objective { minimise: value, shown: value, accuracy }
    }
}

/// Share of query rows whose own class has the largest logit, by the weights of the rows.
fn accuracy(g: &mut Graph, logits: Value, e: &Batch) -> Value {
    g.scope("accuracy", |g| {
        let [t, q, c] = g.shape(logits)[..] else { panic!("logits are [T, q, c]") };
        let own = g.mul(logits, e.yq);
        let own = g.sum_to(own, &[t, q, 1]);
        let beaten = g.zip(Binary::GreaterEq, own, logits);
        let beaten = g.sum_to(beaten, &[t, q, 1]);
        let all = g.constant(c as f64);
        let right = g.zip(Binary::Equal, beaten, all);
        let right = g.reshape(right, &[t, q]);
        mean_over_queries(g, right, e)
    })
}

/// Mean over tasks of what each query row has `[T, q]`, by the weights of the rows.
fn mean_over_queries(g: &mut Graph, each: Value, e: &Batch) -> Value {
    let [t, q] = g.shape(each)[..] else { panic!("a value a query row is [T, q]") };
    let weighted = match e.query_rows {
        Some(rows) => g.mul(each, rows),
        None => g.scale(each, 1.0 / q as f64),
    };
    let sum = g.sum_to(weighted, &[]);
    g.scale(sum, 1.0 / t as f64)
}

/// `mean ½ ((y - μ)² / v + ln v)` over the query rows, predictions μ `[T, q, o]`, variances v `[T, q]`.
fn negative_log_density(g: &mut Graph, mean: Value, v: Value, e: &Batch) -> Value {
    let [t, q, o] = g.shape(mean)[..] else { panic!("a prediction is [T, q, o]") };
    let d = g.sub(e.yq, mean);
    let square = g.mul(d, d);
    let square = g.sum_to(square, &[t, q, 1]);
    let square = g.reshape(square, &[t, q]);
    let square = g.scale(square, 1.0 / o as f64);
    let ratio = g.div(square, v);
    let log = g.map(Func::Log, v);
    let each = g.add(ratio, log);
    let mean = mean_over_queries(g, each, e);
    g.scale(mean, 0.5)
}

/// Support and query rows as one set (they may be the same rows). They count by their weights, each set as a whole by its share of
/// the rows.
fn all_rows(g: &mut Graph, e: &Batch) -> Rows {
    if e.support.x == e.xq {
        return e.support;
    }
    let x = g.concat(&[e.support.x, e.xq], 1);
    let y = g.concat(&[e.support.y, e.yq], 1);
    let [t, n, _] = g.shape(x)[..] else { panic!("inputs are [T, n, i]") };
    let q = g.shape(e.xq)[1];
    let query = e.query_rows.unwrap_or_else(|| {
        let each = g.constant(1.0 / q as f64);
        g.expand(each, &[t, q])
    });
    let share = q as f64 / n as f64;
    let (support, query) = (g.scale(e.support.rows, 1.0 - share), g.scale(query, share));
    let rows = g.concat(&[support, query], 1);
    Rows { x, y, rows, count: e.support.count }
}

/// The support as networks read it that normalise by it.
fn support_of(e: &Batch) -> SupportRows {
    SupportRows { x: e.support.x, weights: e.support.rows }
}

/// Loss of one network on all rows of all tasks.
pub(super) fn pooled(g: &mut Graph, net: &Net, params: Weights<'_>, e: &Batch, kind: Loss) -> Value {
    g.scope("pooled", |g| {
        let Rows { x, y, rows, .. } = all_rows(g, e);
        let prediction = net.apply_behind(g, params, support_of(e), x);
        let each = loss(g, kind, prediction, y, Some(rows));
        debug_assert_eq!(count(g.shape(each)), g.shape(x)[0]);
        g.mean(each)
    })
}
