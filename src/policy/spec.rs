//! A policy: an actor, a critic, and where their weights come from.

use super::environment::ActionSpace;
use super::worlds::Worlds;
use crate::graph::{Graph, Value};
use crate::hyper::{Condition, ConditionSpec, HyperSpec};
use crate::net::{Net, ParamLayout, Weights};
use crate::rng::Rng;
use crate::spec::Activation;

/// Where the weights of the actor come from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PolicyWeights {
    /// All tasks share them.
    Shared,
    /// Each task has its own, and its own critic: many agents that learn side by side.
    Own,
    /// A hypernetwork writes them, from what differs between the tasks; the critic is shared, and is told of it.
    Generated(Box<HyperSpec>),
}

/// A policy.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// What acts: of an observation the logits of actions, or their means.
    pub actor: Net,
    /// What is expected of an observation, and of what the policy is told.
    pub critic: Net,
    /// Whether actions have standard deviations, and how many.
    pub deviations: usize,
    /// Numbers that the critic is told of a context, and the actor where it is wide enough.
    pub told: usize,
    /// Where weights come from.
    pub weights: PolicyWeights,
}

/// Logarithm of the standard deviation of actions at first, in halves of their ranges.
const DEVIATION: f32 = -0.5;
/// What the last layer of an actor is multiplied by at first: it begins without a preference (Andrychowicz et al. 2021).
const QUIET: f32 = 0.01;

/// The values of a policy's parts in a graph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    /// `[P]`, or `[g, P]`.
    pub(super) actor: Value,
    /// `[g, 1, n]`, or `[1, 1, n]`
    pub(super) deviation: Option<Value>,
    /// `[P]`, or `[g, P]`.
    pub(super) critic: Value,
}

impl Policy {
    fn new(worlds: &Worlds, hidden: &[usize], [actor, critic]: [usize; 2], weights: PolicyWeights) -> Policy {
        let (widths, space) = (worlds.environment.widths(), worlds.environment.action());
        let net = |told: usize, outputs: usize| {
            let widths = [&[widths.observation + told], hidden, &[outputs]].concat();
            Net::mlp(&widths, Activation::Tanh)
        };
        let deviations = match &space {
            ActionSpace::Discrete(_) => 0,
            ActionSpace::Continuous(ranges) => ranges.len(),
        };
        Policy {
            actor: net(actor, space.width()),
            critic: net(critic, 1),
            deviations,
            told: actor.max(critic),
            weights,
        }
    }

    /// One network for all worlds, dense with these hidden widths, that is told so many numbers of the context (0, or all that differ).
    #[must_use]
    pub fn shared(worlds: &Worlds, hidden: &[usize], told: usize) -> Policy {
        Policy::new(worlds, hidden, [told, told], PolicyWeights::Shared)
    }

    /// A network for each task.
    #[must_use]
    pub fn own(worlds: &Worlds, hidden: &[usize]) -> Policy {
        Policy::new(worlds, hidden, [0, 0], PolicyWeights::Own)
    }

    /// Networks that a hypernetwork writes, with a trunk of these widths that reads what differs between worlds.
    #[must_use]
    pub fn generated(worlds: &Worlds, hidden: &[usize], trunk: Vec<usize>) -> Policy {
        let told = worlds.descriptor();
        let mut policy = Policy::new(worlds, hidden, [0, told], PolicyWeights::Shared);
        let condition = ConditionSpec { descriptor: told, ..ConditionSpec::default() };
        let hyper = HyperSpec::new(condition, trunk, Activation::Tanh, policy.actor.clone());
        policy.weights = PolicyWeights::Generated(Box::new(hyper));
        policy
    }

    /// The two first axes of a roll-out: tasks and worlds of each; where all share one network, every world counts as a task, for it is worked on
    /// like one.
    pub(super) fn axes(&self, worlds: &Worlds) -> [usize; 2] {
        match self.weights {
            PolicyWeights::Shared => [worlds.tasks * worlds.each, 1],
            _ => [worlds.tasks, worlds.each],
        }
    }

    /// How many networks there are.
    pub(super) fn networks(&self, worlds: &Worlds) -> usize {
        if self.weights == PolicyWeights::Shared { 1 } else { worlds.tasks }
    }

    /// Whether the tasks learn apart from one another.
    pub(super) fn apart(&self) -> bool {
        self.weights == PolicyWeights::Own
    }

    /// Parameters: of the actor or what writes it, of deviations, of the critic; of networks that learn apart those of one.
    pub fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::default();
        match &self.weights {
            PolicyWeights::Generated(hyper) => layout.extend("hyper", &hyper.layout()),
            _ => layout.extend("actor", &self.actor.layout()),
        }
        if self.deviations > 0 {
            layout.push("deviation", &[self.deviations], crate::net::Init::Constant(f64::from(DEVIATION)));
        }
        layout.extend("critic", &self.critic.layout());
        layout
    }

    /// Lengths of the three parts.
    fn lengths(&self) -> [usize; 3] {
        let actor = match &self.weights {
            PolicyWeights::Generated(hyper) => hyper.layout().len(),
            _ => self.actor.layout().len(),
        };
        [actor, self.deviations, self.critic.layout().len()]
    }

    /// Initial parameters of a policy for so many tasks.
    pub fn init(&self, tasks: usize, seed: u64) -> Vec<f32> {
        let networks = if self.apart() { tasks } else { 1 };
        (0..networks as u64).flat_map(|i| self.init_one(&mut Rng::new(seed, 0x9011c7 ^ i << 24))).collect()
    }

    fn init_one(&self, rng: &mut Rng) -> Vec<f32> {
        let mut actor = self.actor.layout().init(rng);
        if let Some(head) = self.actor.head() {
            actor[head.range].iter_mut().for_each(|w| *w *= QUIET);
        }
        let mut all = match &self.weights {
            PolicyWeights::Generated(hyper) => hyper.init(rng, &actor),
            _ => actor,
        };
        all.extend(vec![DEVIATION; self.deviations]);
        all.extend(self.critic.layout().init(rng));
        all
    }

    /// The parts of parameters `[N]`, or `[g, N]` of networks that learn apart; `descriptor` `[g, r, d]` is what differs.
    pub(super) fn parts(&self, g: &mut Graph, params: Value, descriptor: Option<Value>) -> Drawn {
        let (axis, [actor, deviations, critic]) = (g.shape(params).len() - 1, self.lengths());
        let groups = if axis == 0 { 1 } else { g.shape(params)[0] };
        let first = g.slice(params, axis, 0, actor);
        let deviation = (deviations > 0).then(|| {
            let deviation = g.slice(params, axis, actor, deviations);
            g.reshape(deviation, &[groups, 1, deviations])
        });
        let critic = g.slice(params, axis, actor + deviations, critic);
        let actor = match &self.weights {
            PolicyWeights::Generated(hyper) => {
                let descriptor = descriptor.expect("what is generated is told of what differs");
                let [tasks, _, width] = g.shape(descriptor)[..] else { panic!("descriptors are [g, r, d]") };
                let one = g.slice(descriptor, 1, 0, 1);
                let one = g.reshape(one, &[tasks, width]);
                let layout = hyper.layout();
                let weights = Weights { flat: first, layout: &layout };
                let known = Condition { support: None, task: None, descriptor: Some(one) };
                let read = hyper.condition(g, weights, &known);
                hyper.generate(g, weights, read, tasks)
            }
            _ => first,
        };
        Drawn { actor, deviation, critic }
    }
}
