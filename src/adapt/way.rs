//! The way from what is known of tasks to their networks as one graph: weights are generated, a fraction of their correction to the pooled network is kept, and steps of adaptation
//! are taken. An [`Adapter`](super::Adapter) goes the same way in plans, which serve any number of steps.

use super::{Adaptation, Gate, InnerLoop, InnerProblem, Member, closed_form};
use crate::graph::{Graph, Value};
use crate::hyper::{Condition, HyperSpec};
use crate::net::{SupportRows, Weights};
use crate::task::{Likelihood, Loss, Rows};

/// The way to a prediction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    /// The hypernetwork.
    pub hyper: &'a HyperSpec,
    /// How networks go on learning.
    pub adaptation: &'a Adaptation,
    /// What is minimised.
    pub kind: Loss,
    /// Fraction of the generated correction to the pooled network that is kept.
    pub fraction: f64,
    /// What outputs are multiplied by.
    pub sharpness: f32,
    /// Steps of adaptation.
    pub steps: usize,
}

/// A member in a graph.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberValues {
    /// Its parameters.
    pub params: Value,
    /// Its pooled network `[1, P]`, where [`Way::reads_pooled`] or a gate does.
    pub pooled: Option<Value>,
    /// What its closed form multiplies outputs by ([`Way::scale`]).
    pub scale: f32,
}

impl<'a> Way<'a> {
    /// Whether it begins with the pooled network.
    pub(crate) fn reads_pooled(self) -> bool {
        self.fraction != 1.0
    }

    /// What the closed form of a member multiplies outputs of classes by.
    pub(crate) fn scale(self, member: &Member) -> f32 {
        match self.adaptation.rule.is_closed_form() && self.kind.has_classes() {
            true => closed_form::logit_scale(&member.hyper, &self.adaptation.layout(self.hyper)),
            false => 1.0,
        }
    }

    pub(super) fn inner(self) -> InnerLoop<'a> {
        InnerLoop { hyper: self.hyper, adaptation: self.adaptation, kind: self.kind }
    }

    /// Tasks as they begin to learn: `flat` are all parameters, `pooled` `[1, P]` the weights of the pooled network.
    pub(super) fn problem(
        self,
        g: &mut Graph,
        flat: Value,
        pooled: impl FnOnce(&mut Graph) -> Value,
        condition: &Condition,
        support: &Rows,
    ) -> InnerProblem {
        let (hyper, t) = (self.hyper, g.shape(support.x)[0]);
        let layout = self.adaptation.layout(hyper);
        let params = Weights { flat, layout: &layout };
        let read = hyper.condition(g, params, condition);
        let weights = hyper.generate(g, params, read, t);
        let mut weights = hyper.refine(g, params, condition, self.kind, weights);
        if self.reads_pooled() {
            let pooled = pooled(g);
            let correction = g.sub(weights, pooled);
            let part = g.scale(correction, self.fraction);
            weights = g.add(part, pooled);
        }
        self.inner().problem(g, Some(params), weights, read.map(|r| r.condition), support)
    }

    /// What of tasks has learned.
    pub(super) fn learned(self, g: &mut Graph, problem: &InnerProblem) -> Value {
        match self.steps {
            0 => self.inner().start(g, problem),
            steps => self.inner().learn(g, problem, steps, false, None, &[]).0,
        }
    }

    /// The networks of tasks as [`Model::adapt`](crate::meta::model::Model::adapt) gives them, `[T, P]` each, and their shares `[T, 1]`: that which learned, or
    /// with a gate the pooled, the generated and that which learned.
    pub(crate) fn networks(
        self,
        g: &mut Graph,
        member: MemberValues,
        condition: &Condition,
        support: &Rows,
        gate: Option<(&Gate, &Likelihood)>,
    ) -> Vec<(Value, Option<Value>)> {
        let inner = self.inner();
        let problem = self.problem(g, member.params, |_| there(member.pooled), condition, support);
        let network = |g: &mut Graph, fast: Value, problem: &InnerProblem| {
            let weights = self.adaptation.fast.state().folded(g, &inner, problem, fast);
            let weights = self.settled(g, weights, support);
            let weights = self.sharpened(g, weights, member.scale * self.sharpness);
            self.hyper.target.without_context().settled().compress_all(g, weights)
        };
        let learned = self.learned(g, &problem);
        let learned = network(g, learned, &problem);
        let Some((gate, likelihood)) = gate else { return vec![(learned, None)] };
        let start = inner.start(g, &problem);
        let generated = network(g, start, &problem);
        let target = &self.hyper.target;
        let (t, layout) = (g.shape(support.x)[0], target.layout());
        let rows = SupportRows { x: support.x, weights: support.rows };
        let own = g.expand(there(member.pooled), &[t, layout.len()]);
        let own = Weights { flat: own, layout: &layout };
        let said = target.apply_by(g, own, rows, support.x);
        let Some(evidence) = inner.evidence(g, &problem) else { return vec![(learned, None)] };
        let shares = gate.shares_of(g, likelihood, said, support, evidence);
        let plain = target.folded(g, own, None);
        let plain = self.settled(g, plain, support);
        let plain = self.sharpened(g, plain, self.sharpness);
        let plain = target.without_context().settled().compress_all(g, plain);
        let all = [plain, generated, learned].into_iter().enumerate();
        all.map(|(i, network)| (network, Some(g.slice(shares, 1, i, 1)))).collect()
    }

    /// Networks without context parameters that do without the support.
    fn settled(self, g: &mut Graph, flat: Value, support: &Rows) -> Value {
        let net = self.hyper.target.without_context();
        match net.reads_support() {
            true => {
                let rows = SupportRows { x: support.x, weights: support.rows };
                net.settle(g, Weights { flat, layout: &net.layout() }, rows)
            }
            false => flat,
        }
    }

    /// Their heads, where there are any, multiplied.
    fn sharpened(self, g: &mut Graph, weights: Value, by: f32) -> Value {
        let net = self.hyper.target.without_context().settled();
        let Some(range) = net.head().map(|head| head.range).filter(|_| by != 1.0) else { return weights };
        let len = g.shape(weights)[1];
        let body = g.slice(weights, 1, 0, range.start);
        let head = g.slice(weights, 1, range.start, len - range.start);
        let head = g.scale(head, f64::from(by));
        g.concat(&[body, head], 1)
    }
}

/// A pooled network that is read.
fn there(pooled: Option<Value>) -> Value {
    pooled.unwrap_or_else(|| panic!("a correction to the pooled network, or a gate, reads it"))
}
