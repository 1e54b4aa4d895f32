//! Inner learning as graph: how a task's network goes on learning from its support rows. One function a step, the same
//! inside a training step (a scan, differentiated through) and where a trained model adapts (a plan, replayed).
//!
//! What changes is the task's *fast* state: all weights, the last layer (ANIL: Raghu et al. 2020), context parameters (CAVIA:
//! Zintgraf et al. 2019), or the task's embedding. What it learns by is a gradient step with a fixed or a learned rate (MAML:
//! Finn et al. 2017; Meta-SGD: Li et al. 2017), or for the last layer the exact solution ([`super::closed_form`]).

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::rule::{Descent, Known};
use super::{Fast, Rule, closed_form};
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{Init, ParamLayout, SupportRows, Weights};
use crate::optim::clip_factor;
use crate::task::{Loss, Rows, loss};

/// Step sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Rates {
    /// As configured.
    Fixed,
    /// One a parameter tensor, learned.
    Layer,
    /// One a weight, learned.
    Weight,
}

/// How a task's network goes on learning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Adaptation {
    /// What a step does.
    pub rule: Rule,
    /// What it changes.
    #[serde(alias = "of")]
    pub fast: Fast,
    /// Whether step sizes are learned.
    pub rates: Rates,
    /// Step size (where it is learned: its start).
    pub rate: f64,
    /// Largest norm of a task's gradient.
    pub clip: f64,
}

impl Adaptation {
    /// Clipped gradient descent on all weights. Another rule, and what else adapts, are assigned.
    #[must_use]
    pub fn fine_tuning(rate: f64, clip: f64) -> Adaptation {
        Adaptation { rule: Rule::Sgd, fast: Fast::All, rates: Rates::Fixed, rate, clip }
    }

    /// Whether `hyper` has what is adapted.
    pub fn fits(&self, hyper: &HyperSpec) -> bool {
        let there = self.fast.state().is_in(hyper);
        let sizes = self.rate.is_finite() && self.clip.is_finite() && self.clip > 0.0;
        there && sizes && (!self.rule.is_closed_form() || self.fast == Fast::Head)
    }

    /// Parameters that are learned for adaptation, beside those of the hypernetwork.
    pub(crate) fn learned(&self, hyper: &HyperSpec) -> ParamLayout {
        let mut layout = ParamLayout::default();
        if let Some(rule) = self.rule.solution() {
            layout.extend("adapt", &rule.layout(&hyper.target.expect_head()));
            return layout;
        }
        let tensors = self.tensors(hyper);
        match self.rates {
            Rates::Fixed => {}
            Rates::Layer => {
                layout.push("adapt.rate", &[tensors.len()], Init::Constant(self.rate));
            }
            Rates::Weight => {
                layout.push("adapt.rate", &[self.width(hyper)], Init::Constant(self.rate));
            }
        }
        layout
    }

    /// All that is meta-learned: the hypernetwork's parameters, then `adapt.*`.
    pub fn layout(&self, hyper: &HyperSpec) -> ParamLayout {
        let mut layout = hyper.layout();
        for p in self.learned(hyper).params {
            layout.push(p.name, &p.shape, p.init);
        }
        layout
    }

    /// Sizes of the tensors that are adapted.
    fn tensors(&self, hyper: &HyperSpec) -> Vec<usize> {
        self.fast.state().tensors(hyper)
    }

    /// `S`: the width of a task's fast state.
    pub fn width(&self, hyper: &HyperSpec) -> usize {
        self.tensors(hyper).iter().sum()
    }

    /// A task's network: weights `[P]` of a target without context parameters, from those that it started with and its fast state.
    pub(crate) fn network(&self, hyper: &HyperSpec, weights: &[f32], fast: &[f32]) -> Vec<f32> {
        self.fast.state().network(hyper, weights, fast)
    }

    /// Multiplies the head of a network by what the closed form of classes, regressed as one-hot targets, multiplies its outputs by to be logits; of other rules nothing.
    pub(crate) fn sharpen_head(&self, hyper: &HyperSpec, kind: Loss, params: &[f32], network: &mut [f32]) {
        if self.rule.is_closed_form() && kind.has_classes() {
            let scale = closed_form::logit_scale(params, &self.layout(hyper));
            let start = network.len() - self.width(hyper);
            network[start..].iter_mut().for_each(|v| *v *= scale);
        }
    }

    /// What a task carries from step to step beside its fast state: name, width, and the value it starts with.
    pub fn moments(&self, hyper: &HyperSpec) -> Vec<(&'static str, usize, f32)> {
        self.rule.descent().map_or(vec![], |rule| rule.moments(self.width(hyper)))
    }

    /// Whether a step or a prediction reads the learned parameters.
    pub fn reads_params(&self) -> bool {
        self.rates != Rates::Fixed || self.fast.state().rewrites() || self.rule.is_closed_form()
    }
}

/// The inner learning of a batch of tasks.
#[derive(Clone, Copy, Debug)]
pub struct InnerLoop<'a> {
    /// The hypernetwork, and the target.
    pub hyper: &'a HyperSpec,
    /// How is learned.
    pub adaptation: &'a Adaptation,
    /// What is minimised.
    pub kind: Loss,
}

/// What stays the same from step to step.
#[derive(Clone, Debug)]
pub struct InnerProblem {
    /// Number of tasks.
    pub(super) t: usize,
    /// Weights that tasks start with, `[T, P]`, or one row `[P]` for all where only the last layer is adapted.
    pub(super) weights: Value,
    /// Inputs of the support.
    given: Value,
    /// What the fast state reads of the support: inputs, or features where only the last layer is adapted.
    pub(super) x: Value,
    pub(super) y: Value,
    pub(super) rows: Value,
    /// Learned step sizes `[T, S]`.
    pub(super) rates: Option<Value>,
    /// What the hypernetwork read, and its parameters, where the embedding is adapted.
    pub(super) reads: Option<(Value, Value)>,
    /// What a rule that solves knows beforehand.
    pub(super) known: Option<Rc<dyn Known>>,
    /// How often each row counts for a rule that solves, where it is not once.
    times: Option<Value>,
}

impl InnerLoop<'_> {
    /// What the steps on `support` need: `params` are all learned parameters, `weights` `[T, P]` (or `[P]`) those that the
    /// tasks start with, `z` what the hypernetwork read of them.
    pub fn problem(
        &self,
        g: &mut Graph,
        params: Option<Weights<'_>>,
        weights: Value,
        z: Option<Value>,
        support: &Rows,
    ) -> InnerProblem {
        let t = g.shape(support.x)[0];
        let learned = |what: &str| params.unwrap_or_else(|| panic!("{what} needs the learned parameters"));
        let weights = if self.adaptation.fast.shares_weights() {
            weights
        } else {
            let p = g.shape(weights).last().copied().unwrap_or(0);
            g.expand(weights, &[t, p])
        };
        let reads = self
            .adaptation
            .fast
            .state()
            .rewrites()
            .then(|| (z.unwrap_or_else(|| panic!("an embedding is read")), learned("an embedding").flat));
        let known = self
            .adaptation
            .rule
            .solution()
            .map(|rule| rule.known(g, learned("the closed form"), t, &self.hyper.target.expect_head()));
        let rates = (self.adaptation.rates != Rates::Fixed && known.is_none())
            .then(|| self.rates(g, learned("a learned rate"), t));
        let given = support.x;
        let rows = SupportRows { x: given, weights: support.rows };
        let x = self.adaptation.fast.state().inputs(g, self, weights, rows, given);
        InnerProblem {
            t,
            weights,
            given,
            x,
            y: support.y,
            rows: support.rows,
            rates,
            reads,
            known,
            times: None,
        }
    }

    /// What the fast state reads of rows `[T, n, i]` of the problem's tasks.
    pub fn inputs(&self, g: &mut Graph, problem: &InnerProblem, x: Value) -> Value {
        let support = SupportRows { x: problem.given, weights: problem.rows };
        self.adaptation.fast.state().inputs(g, self, problem.weights, support, x)
    }

    /// Learned step sizes, one a fast value of every task.
    fn rates(&self, g: &mut Graph, params: Weights<'_>, t: usize) -> Value {
        let rate = params.get(g, "adapt.rate");
        let tensors = self.adaptation.tensors(self.hyper);
        let each = match self.adaptation.rates {
            Rates::Layer => {
                let parts: Vec<Value> = tensors
                    .iter()
                    .enumerate()
                    .map(|(i, &len)| {
                        let one = g.slice(rate, 0, i, 1);
                        g.expand(one, &[len])
                    })
                    .collect();
                g.concat(&parts, 0)
            }
            _ => rate,
        };
        let s = g.shape(each)[0];
        g.expand(each, &[t, s])
    }

    /// The fast state of every task `[T, S]` as it starts.
    pub fn start(&self, g: &mut Graph, problem: &InnerProblem) -> Value {
        self.adaptation.fast.state().start(g, self, problem)
    }

    /// Predictions `[T, n, o]` by a fast state on rows as [`InnerLoop::inputs`] gives them.
    pub fn predict(&self, g: &mut Graph, problem: &InnerProblem, fast: Value, x: Value) -> Value {
        self.adaptation.fast.state().predict(g, self, problem, fast, x)
    }

    /// Weights `[T, P]` that the hypernetwork writes for a fast state that is an embedding.
    pub fn generated(&self, g: &mut Graph, problem: &InnerProblem, fast: Value) -> Value {
        let Some((z, params)) = problem.reads else { return problem.weights };
        let (all, range) = (self.adaptation.layout(self.hyper), self.hyper.condition.embedding_range());
        let e = g.shape(z)[1];
        let mut parts = Vec::new();
        if range.start > 0 {
            parts.push(g.slice(z, 1, 0, range.start));
        }
        parts.push(fast);
        if range.end < e {
            parts.push(g.slice(z, 1, range.end, e - range.end));
        }
        let z = g.concat(&parts, 1);
        self.hyper.generate(g, Weights { flat: params, layout: &all }, Some(Read::of(z)), problem.t)
    }

    /// Predictive variance `[T, q]` of rows as [`InnerLoop::inputs`] gives them, where the rule knows one of values.
    pub fn variance(&self, g: &mut Graph, problem: &InnerProblem, xq: Value) -> Option<Value> {
        let known = problem.known.as_ref().filter(|_| !self.kind.has_classes())?;
        let seen = self.seen(g, problem);
        g.scope("variance", |g| known.variance(g, &self.hyper.target.expect_head(), seen, xq))
    }

    /// The support as the closed form reads it.
    fn seen(&self, g: &mut Graph, problem: &InnerProblem) -> closed_form::SupportFeatures {
        closed_form::SupportFeatures {
            before: self.start(g, problem),
            x: problem.x,
            y: problem.y,
            rows: problem.rows,
            times: problem.times,
        }
    }

    /// Log density of the support `[T, 2]`: of the generated network, and of what adaptation may reach, where the rule knows it.
    pub fn evidence(&self, g: &mut Graph, problem: &InnerProblem) -> Option<Value> {
        let known = problem.known.as_ref()?;
        let seen = self.seen(g, problem);
        let (plain, marginal) = known.evidence(g, &self.hyper.target.expect_head(), seen)?;
        let both = [plain, marginal].map(|v| g.reshape(v, &[problem.t, 1]));
        Some(g.concat(&both, 1))
    }

    /// One step of every task: the fast state, then what is carried beside it ([`Adaptation::moments`]). With `first_order`
    /// the gradient is held constant (FOMAML: Finn et al. 2017, section 5.2).
    pub fn step(
        &self,
        g: &mut Graph,
        problem: &InnerProblem,
        state: &[Value],
        first_order: bool,
    ) -> Vec<Value> {
        let (a, fast) = (self.adaptation, state[0]);
        if let Some(known) = &problem.known {
            let seen = self.seen(g, problem);
            return vec![known.solve(g, &self.hyper.target.expect_head(), seen)];
        }
        let prediction = self.predict(g, problem, fast, problem.x);
        let each = loss(g, self.kind, prediction, problem.y, Some(problem.rows));
        let total = g.sum_to(each, &[]);
        let mut grad = g.grad(total, &[fast])[0];
        if first_order {
            grad = g.stop_gradient(grad);
        }
        let square = g.mul(grad, grad);
        let norm2 = g.sum_to(square, &[problem.t, 1]);
        let factor = clip_factor(g, norm2, a.clip);
        let descent = Descent { grad, factor, rates: problem.rates, rate: a.rate };
        match a.rule.descent() {
            Some(rule) => rule.step(g, &descent, state),
            None => panic!("a rule that solves needs what it knows"),
        }
    }

    /// `steps` steps as a scan, and what `each` makes of the fast state after every one of them, stacked `[T, steps, ..]`.
    pub fn learn(
        &self,
        g: &mut Graph,
        problem: &InnerProblem,
        steps: usize,
        first_order: bool,
        each: Option<&dyn Fn(&mut Graph, &InnerProblem, Value, &[Value]) -> Value>,
        more: &[Value],
    ) -> (Value, Option<Value>) {
        let fast = self.start(g, problem);
        if self.adaptation.rule.is_closed_form() {
            return (self.step(g, problem, &[fast], first_order)[0], None);
        }
        let mut carried = vec![fast];
        for (_, width, value) in self.adaptation.moments(self.hyper) {
            let start = g.constant(value as f64);
            carried.push(g.expand(start, &[problem.t, width]));
        }
        let mut constants = problem.values();
        constants.extend(more);
        let (last, rows) = g.scan(steps, &carried, &constants, &[], |g, args| {
            let (mine, more) = args.constants.split_at(args.constants.len() - more.len());
            let inside = problem.with(mine);
            let next = self.step(g, &inside, args.carried, first_order);
            let row = each.map(|f| f(g, &inside, next[0], more));
            (next, row.into_iter().collect())
        });
        (last[0], rows.first().copied())
    }
}

impl InnerProblem {
    /// The same where rows count so often, `[T, n]`, for a rule that solves. Others know rows by their weights alone.
    #[must_use]
    pub(super) fn counted(self, times: Value) -> InnerProblem {
        InnerProblem { times: Some(times), ..self }
    }

    /// Weights that tasks start with.
    pub fn weights(&self) -> Value {
        self.weights
    }

    /// The support as networks read it that adapt as a whole.
    pub(super) fn support(&self) -> SupportRows {
        SupportRows { x: self.x, weights: self.rows }
    }

    /// The values, to be handed into a scan.
    fn values(&self) -> Vec<Value> {
        let mut all = vec![self.weights, self.x, self.y, self.rows];
        all.extend(self.rates);
        if let Some((z, params)) = self.reads {
            all.extend([z, params]);
        }
        all
    }

    /// The same with these values in their order.
    fn with(&self, values: &[Value]) -> InnerProblem {
        let mut rest = values[4..].iter().copied();
        let rates = self.rates.and_then(|_| rest.next());
        let reads = self.reads.and_then(|_| rest.next().zip(rest.next()));
        let [weights, x, y, rows] = values[..4] else { panic!("there are four at least") };
        // Inside of a scan nobody asks what else the state reads of rows.
        InnerProblem { t: self.t, weights, given: x, x, y, rows, rates, reads, known: None, times: None }
    }
}
