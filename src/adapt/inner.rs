//! Inner learning as graph: how a task's network goes on learning from its support rows. One function a step, the same
//! inside a training step (a scan, differentiated through) and where a trained model adapts (a plan, replayed).
//!
//! What changes is the task's *fast* state: all weights, the last layer (ANIL: Raghu et al. 2020), context parameters (CAVIA:
//! Zintgraf et al. 2019), or the task's embedding. What it learns by is a gradient step with a fixed or a learned rate (MAML:
//! Finn et al. 2017; Meta-SGD: Li et al. 2017), or for the last layer the exact solution ([`super::closed_form`]).

use serde::{Deserialize, Serialize};

use super::closed_form;
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::hyper::HyperSpec;
use crate::net::{Init, ParamLayout, Weights};
use crate::optim::clip_factor;
use crate::spec::count;
use crate::task::{Loss, Rows, loss};

/// What a step of adaptation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Gradient descent: `s ← s - α g`.
    Sgd,
    /// Descent with momentum .9: `v ← .9 v + g; s ← s - α v`.
    Momentum,
    /// Adam (Kingma and Ba 2015), ε inside the root so that the step can be differentiated where a gradient is 0.
    Adam,
    /// The last layer in closed form: Bayesian linear regression around the generated one.
    Ridge,
}

/// What adaptation changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fast {
    /// All weights of the target.
    All,
    /// Its last layer.
    Head,
    /// Its context parameters.
    Context,
    /// The task's embedding, which the hypernetwork reads.
    Embedding,
}

/// Step sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// Decay of the momentum, and Adam's β₁.
const MOMENTUM: f64 = 0.9;
const BETA2: f64 = 0.999;
/// Adam's ε.
const EPS: f64 = 1e-6;

impl Adaptation {
    /// Clipped gradient descent on all weights.
    pub fn fine_tuning(rate: f64, clip: f64) -> Adaptation {
        Adaptation { rule: Rule::Sgd, fast: Fast::All, rates: Rates::Fixed, rate, clip }
    }

    /// Whether `hyper` has what is adapted.
    pub fn fits(&self, hyper: &HyperSpec) -> bool {
        let there = match self.fast {
            Fast::All => true,
            Fast::Head => hyper.target.head().is_some(),
            Fast::Context => hyper.target.context_width() > 0,
            Fast::Embedding => hyper.condition.embedding.is_some(),
        };
        let sizes = self.rate.is_finite() && self.clip.is_finite() && self.clip > 0.0;
        there && sizes && (self.rule != Rule::Ridge || self.fast == Fast::Head)
    }

    /// Parameters that are learned for adaptation, beside those of the hypernetwork.
    pub(crate) fn learned(&self, hyper: &HyperSpec) -> ParamLayout {
        let mut layout = ParamLayout::default();
        if self.rule == Rule::Ridge {
            layout.extend("adapt", &closed_form::layout(&hyper.target.expect_head()));
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
        let sizes: Vec<usize> = hyper.target.layout().params.iter().map(|p| count(&p.shape)).collect();
        match self.fast {
            Fast::All => sizes,
            Fast::Head => sizes[sizes.len() - 2..].to_vec(),
            Fast::Context => vec![hyper.target.context_width()],
            Fast::Embedding => vec![hyper.condition.embedding.as_ref().map_or(0, |e| e.width)],
        }
    }

    /// `S`: the width of a task's fast state.
    pub fn width(&self, hyper: &HyperSpec) -> usize {
        self.tensors(hyper).iter().sum()
    }

    /// What a task carries from step to step beside its fast state: name, width, and the value it starts with.
    pub fn moments(&self, hyper: &HyperSpec) -> Vec<(&'static str, usize, f32)> {
        let s = self.width(hyper);
        match self.rule {
            Rule::Sgd | Rule::Ridge => vec![],
            Rule::Momentum => vec![("velocity", s, 0.0)],
            Rule::Adam => vec![("first moment", s, 0.0), ("second moment", s, 0.0), ("powers", 2, 1.0)],
        }
    }

    /// Fast state that a task starts with, from its weights `[P]` and its embedding.
    pub fn start(&self, hyper: &HyperSpec, weights: &[f32], embedding: &[f32]) -> Vec<f32> {
        match self.fast {
            Fast::All => weights.to_vec(),
            Fast::Head => weights[weights.len() - self.width(hyper)..].to_vec(),
            Fast::Context => vec![0.0; hyper.target.context_width()],
            Fast::Embedding => embedding.to_vec(),
        }
    }

    /// Whether a step or a prediction reads the learned parameters.
    pub fn reads_params(&self) -> bool {
        self.rates != Rates::Fixed || self.fast == Fast::Embedding || self.rule == Rule::Ridge
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
    t: usize,
    /// Weights that tasks start with, `[T, P]`, or one row `[P]` for all where only the last layer is adapted.
    weights: Value,
    /// What the fast state reads of the support: inputs, or features where only the last layer is adapted.
    x: Value,
    y: Value,
    rows: Value,
    /// Learned step sizes `[T, S]`.
    rates: Option<Value>,
    /// What the hypernetwork read, and its parameters, where the embedding is adapted.
    reads: Option<(Value, Value)>,
    /// What the closed form knows beforehand.
    prior: Option<closed_form::Prior>,
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
        let weights = match self.adaptation.fast {
            Fast::Head => weights,
            _ => {
                let p = g.shape(weights).last().copied().unwrap_or(0);
                g.expand(weights, &[t, p])
            }
        };
        let reads = (self.adaptation.fast == Fast::Embedding)
            .then(|| (z.unwrap_or_else(|| panic!("an embedding is read")), learned("an embedding").flat));
        let prior = (self.adaptation.rule == Rule::Ridge).then(|| {
            closed_form::Prior::read(g, learned("the closed form"), t, &self.hyper.target.expect_head())
        });
        let rates = (self.adaptation.rates != Rates::Fixed && prior.is_none())
            .then(|| self.rates(g, learned("a learned rate"), t));
        let x = self.inputs(g, weights, support.x);
        InnerProblem { t, weights, x, y: support.y, rows: support.rows, rates, reads, prior }
    }

    /// What the fast state reads of rows `[T, n, i]`.
    pub fn inputs(&self, g: &mut Graph, weights: Value, x: Value) -> Value {
        if self.adaptation.fast != Fast::Head {
            return x;
        }
        let (target, layout) = (&self.hyper.target, self.hyper.target.layout());
        g.scope("features", |g| target.features(g, Weights { flat: weights, layout: &layout }, x))
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
        let s = self.adaptation.width(self.hyper);
        match (self.adaptation.fast, problem.reads) {
            (Fast::All, _) => problem.weights,
            (Fast::Head, _) => {
                let shape = g.shape(problem.weights).to_vec();
                let axis = shape.len() - 1;
                let head = g.slice(problem.weights, axis, shape[axis] - s, s);
                g.expand(head, &[problem.t, s])
            }
            (Fast::Embedding, Some((z, _))) => g.slice(z, 1, self.hyper.condition.embedding_range().start, s),
            _ => {
                let zero = g.constant(0.0);
                g.expand(zero, &[problem.t, s])
            }
        }
    }

    /// Predictions `[T, n, o]` by a fast state on rows as [`InnerLoop::inputs`] gives them.
    pub fn predict(&self, g: &mut Graph, problem: &InnerProblem, fast: Value, x: Value) -> Value {
        let (target, layout) = (&self.hyper.target, self.hyper.target.layout());
        match (self.adaptation.fast, problem.reads) {
            (Fast::All, _) => target.apply(g, Weights { flat: fast, layout: &layout }, x),
            (Fast::Head, _) => {
                let y = target.apply_head(g, fast, x);
                match problem.prior {
                    Some(prior) => prior.output(g, self.kind, y),
                    None => y,
                }
            }
            (Fast::Embedding, Some(_)) => {
                let w = self.generated(g, problem, fast);
                target.apply(g, Weights { flat: w, layout: &layout }, x)
            }
            _ => target.apply_in_context(g, Weights { flat: problem.weights, layout: &layout }, x, fast),
        }
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
        self.hyper.generate(g, Weights { flat: params, layout: &all }, Some(z), problem.t)
    }

    /// Predictive variance `[T, q]` of rows as [`InnerLoop::inputs`] gives them, where the rule knows one of values.
    pub fn variance(&self, g: &mut Graph, problem: &InnerProblem, xq: Value) -> Option<Value> {
        let prior = problem.prior.filter(|_| self.kind == Loss::Mse)?;
        let seen = self.seen(g, problem);
        Some(g.scope("variance", |g| prior.variance(g, &self.hyper.target.expect_head(), seen, xq)))
    }

    /// The support as the closed form reads it.
    fn seen(&self, g: &mut Graph, problem: &InnerProblem) -> closed_form::SupportFeatures {
        closed_form::SupportFeatures {
            before: self.start(g, problem),
            x: problem.x,
            y: problem.y,
            rows: problem.rows,
        }
    }

    /// Log density of the support `[T, 2]`: of the generated network, and of what adaptation may reach, where the rule knows it.
    pub fn evidence(&self, g: &mut Graph, problem: &InnerProblem) -> Option<Value> {
        let prior = problem.prior?;
        let seen = self.seen(g, problem);
        let (plain, marginal) = prior.evidence(g, &self.hyper.target.expect_head(), seen);
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
        if let Some(prior) = &problem.prior {
            let seen = self.seen(g, problem);
            return vec![prior.solve(g, &self.hyper.target.expect_head(), seen)];
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
        match a.rule {
            Rule::Sgd | Rule::Ridge => {
                // A fixed rate goes into the factor: one number a task instead of S.
                let step = match problem.rates {
                    Some(rates) => {
                        let clipped = g.mul(grad, factor);
                        g.mul(clipped, rates)
                    }
                    None => {
                        let rate = g.scale(factor, a.rate);
                        g.mul(grad, rate)
                    }
                };
                vec![g.sub(fast, step)]
            }
            Rule::Momentum => {
                let grad = g.mul(grad, factor);
                let kept = g.scale(state[1], MOMENTUM);
                let velocity = g.add(kept, grad);
                vec![self.apply(g, problem, fast, velocity), velocity]
            }
            Rule::Adam => {
                let grad = g.mul(grad, factor);
                let mix = |g: &mut Graph, old: Value, new: Value, beta: f64| {
                    let (old, new) = (g.scale(old, beta), g.scale(new, 1.0 - beta));
                    g.add(old, new)
                };
                let first = mix(g, state[1], grad, MOMENTUM);
                let square = g.mul(grad, grad);
                let second = mix(g, state[2], square, BETA2);
                let column = |g: &mut Graph, i: usize, beta: f64| {
                    let power = g.slice(state[3], 1, i, 1);
                    g.scale(power, beta)
                };
                let (power1, power2) = (column(g, 0, MOMENTUM), column(g, 1, BETA2));
                let corrected = |g: &mut Graph, v: Value, power: Value| {
                    let rest = g.affine(power, -1.0, 1.0);
                    g.div(v, rest)
                };
                let m = corrected(g, first, power1);
                let v = corrected(g, second, power2);
                let v = g.affine(v, 1.0, EPS * EPS);
                let r = g.map(Func::Rsqrt, v);
                let direction = g.mul(m, r);
                let powers = g.concat(&[power1, power2], 1);
                vec![self.apply(g, problem, fast, direction), first, second, powers]
            }
        }
    }

    /// `fast - α · direction`
    fn apply(&self, g: &mut Graph, problem: &InnerProblem, fast: Value, direction: Value) -> Value {
        let step = match problem.rates {
            Some(rates) => g.mul(direction, rates),
            None => g.scale(direction, self.adaptation.rate),
        };
        g.sub(fast, step)
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
        if self.adaptation.rule == Rule::Ridge {
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
    /// Weights that tasks start with.
    pub fn weights(&self) -> Value {
        self.weights
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
        InnerProblem { t: self.t, weights, x, y, rows, rates, reads, prior: None }
    }
}
