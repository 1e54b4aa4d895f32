//! A policy: an actor, a critic, and where their weights come from.

use super::action::Distribution;
use super::adaptation::Adaptation;
use super::environment::ActionSpace;
use super::evolution::Evolution;
use super::memory::Memory;
use super::worlds::Worlds;
use crate::graph::expr::Expr;
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
    /// A hypernetwork writes them, from what differs between the tasks, of which the shared critic is told, too; or anew at every step from what is
    /// remembered (Beck et al. 2023), where there is a memory.
    Generated(Box<HyperSpec>),
    /// All tasks begin with the same, and each goes on by steps of its own from what it meets; there is no critic, but a baseline that is fitted.
    Adapted(Adaptation),
    /// All tasks share one, which evolves; there is no critic.
    Evolved(Evolution),
}

/// A policy.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// What acts: of an observation the logits of actions, or their means.
    pub actor: Net,
    /// What is expected of an observation, and of what the policy is told.
    pub critic: Net,
    /// What writes the critic's weights from what differs between the tasks, where they are not shared.
    pub critic_weights: Option<Box<HyperSpec>>,
    /// Whether actions have standard deviations, and how many.
    pub deviations: usize,
    /// Whether continuous actions are tanh of what is drawn ([`Distribution::squashed`](super::Distribution::squashed)).
    pub squashed: bool,
    /// Numbers that the critic is told of a context, and the actor where it is wide enough.
    pub told: usize,
    /// Where weights come from.
    pub weights: PolicyWeights,
    /// What is carried from step to step; actors that all share, and the critic, read it beside the observation.
    pub memory: Option<Memory>,
    /// What is inferred of the context from what is remembered, where anything is (Humplik et al. 2019).
    pub inference: Option<Net>,
}

/// Logarithm of the standard deviation of actions at first, in halves of their ranges.
const DEVIATION: f32 = -0.5;
/// What the last layer of an actor is multiplied by at first: it begins without a preference (Andrychowicz et al. 2021).
const QUIET: f32 = 0.01;
/// Channels of the convolutions that read a picture.
const CHANNELS: [usize; 2] = [16, 16];

/// The values of a policy's parts in a graph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    /// `[P]`, or `[g, P]`; of weights that are written from what is remembered those of what writes them.
    pub(super) actor: Value,
    /// `[g, 1, n]`, or `[1, 1, n]`
    pub(super) deviation: Option<Value>,
    /// `[P]`, or `[g, P]`, where there is one.
    pub(super) critic: Option<Value>,
    /// Of the memory, `[P]`.
    pub(super) memory: Option<Value>,
    /// Of what infers the context, `[P]`.
    pub(super) inference: Option<Value>,
}

impl Policy {
    fn new(worlds: &Worlds, hidden: &[usize], [actor, critic]: [usize; 2], weights: PolicyWeights) -> Policy {
        let (widths, space) = (worlds.environment.widths(), worlds.environment.action());
        let net = |told: usize, outputs: usize| match worlds.environment.picture() {
            Some(shape) if told == 0 => {
                let seen = CHANNELS.iter().fold(Net::image(shape), |net, n| net.conv(*n, 3).relu());
                let dense = |net: Net, n: &usize| net.dense(*n).activation(Activation::Tanh);
                hidden.iter().fold(seen.flatten(), dense).dense(outputs)
            }
            _ => {
                let widths = [&[widths.observation + told], hidden, &[outputs]].concat();
                Net::mlp(&widths, Activation::Tanh)
            }
        };
        let deviations = match &space {
            ActionSpace::Continuous(ranges) => ranges.len(),
            _ => 0,
        };
        Policy {
            actor: net(actor, space.width()),
            critic: net(critic, 1),
            critic_weights: None,
            deviations,
            squashed: false,
            told: actor.max(critic),
            weights,
            memory: None,
            inference: None,
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

    /// The same with critics that a hypernetwork of their own writes, with a trunk of these widths; they see what the actors see.
    ///
    /// # Panics
    /// Where actors are not generated from what differs between worlds.
    #[must_use]
    pub fn with_generated_critic(mut self, worlds: &Worlds, hidden: &[usize], trunk: Vec<usize>) -> Policy {
        let generated = matches!(self.weights, PolicyWeights::Generated(_)) && self.memory.is_none();
        assert!(generated, "critics are generated beside actors");
        self.critic = Policy::new(worlds, hidden, [0, 0], PolicyWeights::Shared).critic;
        let condition = ConditionSpec { descriptor: self.told, ..ConditionSpec::default() };
        let hyper = HyperSpec::new(condition, trunk, Activation::Tanh, self.critic.clone());
        self.critic_weights = Some(Box::new(hyper));
        self
    }

    /// One network for all worlds, dense with these hidden widths, that reads what is remembered beside what it sees; the critic reads it, too.
    #[must_use]
    pub fn remembering(worlds: &Worlds, hidden: &[usize], memory: Memory) -> Policy {
        let width = memory.width();
        let mut policy = Policy::new(worlds, hidden, [width, width], PolicyWeights::Shared);
        (policy.told, policy.memory) = (0, Some(memory));
        policy
    }

    /// Networks that a hypernetwork writes at every step from what is remembered, with a trunk of these widths; the critic reads it.
    #[must_use]
    pub fn generated_by_memory(
        worlds: &Worlds,
        hidden: &[usize],
        trunk: Vec<usize>,
        memory: Memory,
    ) -> Policy {
        let condition = ConditionSpec { descriptor: memory.width(), ..ConditionSpec::default() };
        let actor = Policy::new(worlds, hidden, [0, 0], PolicyWeights::Shared).actor;
        let hyper = HyperSpec::new(condition, trunk, Activation::Tanh, actor.clone());
        let mut policy = Policy::remembering(worlds, hidden, memory);
        (policy.actor, policy.weights) = (actor, PolicyWeights::Generated(Box::new(hyper)));
        policy
    }

    /// The same with a memory that is to infer what differs between worlds, and a critic that is told of it: both are asked while it is trained alone.
    ///
    /// # Panics
    /// Where there is no memory.
    #[must_use]
    pub fn inferring(mut self, worlds: &Worlds, hidden: &[usize]) -> Policy {
        let memory = self.memory.as_ref().expect("what infers remembers");
        let width = memory.width();
        let says = memory.belief.map_or(width, |belief| belief.width);
        self.told = worlds.descriptor();
        self.critic = Policy::new(worlds, hidden, [0, width + self.told], PolicyWeights::Shared).critic;
        self.inference = Some(Net::rows([says]).dense(self.told));
        self
    }

    /// A network, dense with these hidden widths, that every task begins with and adapts.
    #[must_use]
    pub fn adapted(worlds: &Worlds, hidden: &[usize], adaptation: Adaptation) -> Policy {
        Policy::new(worlds, hidden, [0, 0], PolicyWeights::Adapted(adaptation))
    }

    /// A network, dense with these hidden widths, that evolves.
    #[must_use]
    pub fn evolved(worlds: &Worlds, hidden: &[usize], evolution: Evolution) -> Policy {
        Policy::new(worlds, hidden, [0, 0], PolicyWeights::Evolved(evolution))
    }

    /// Whether minibatches are drawn of a roll-out.
    pub(super) fn has_minibatches(&self) -> bool {
        !matches!(self.weights, PolicyWeights::Adapted(_) | PolicyWeights::Evolved(_))
    }

    /// The critic, of those that have one.
    fn own_critic(&self) -> Option<&Net> {
        self.has_minibatches().then_some(&self.critic)
    }

    /// Whether it is trained in worlds that are drawn anew for every iteration, from the start of an episode.
    pub(super) fn meets_new_worlds(&self) -> bool {
        self.memory.is_some() || !self.has_minibatches()
    }

    /// Roll-outs of an iteration one after another, each with a key of its own, and of how many members each is.
    pub(super) fn roll_outs(&self) -> [u64; 2] {
        match self.weights {
            PolicyWeights::Adapted(adaptation) => [adaptation.updates as u64 + 1, 1],
            PolicyWeights::Evolved(evolution) => [1, evolution.members as u64],
            _ => [1, 1],
        }
    }

    /// The two first axes of a roll-out: tasks and worlds of each; where all share one network, every world counts as a task, for it is worked on
    /// like one.
    pub(super) fn axes(&self, worlds: &Worlds) -> [usize; 2] {
        if self.networks(worlds) == 1 { [worlds.tasks * worlds.each, 1] } else { [worlds.tasks, worlds.each] }
    }

    /// How many networks there are; those that are written from what is remembered are one that writes them.
    pub(super) fn networks(&self, worlds: &Worlds) -> usize {
        let shared = matches!(self.weights, PolicyWeights::Shared | PolicyWeights::Evolved(_));
        let one = shared || self.memory.is_some();
        if one { 1 } else { worlds.tasks }
    }

    /// Whether the tasks learn apart from one another.
    pub(super) fn apart(&self) -> bool {
        self.weights == PolicyWeights::Own
    }

    /// The parts of its parameters by name, in their order; those that it does not have are empty.
    fn layouts(&self) -> [(&'static str, ParamLayout); 5] {
        let of = |net: Option<&Net>| net.map(Net::layout).unwrap_or_default();
        let actor = match &self.weights {
            PolicyWeights::Generated(hyper) => ("hyper", hyper.layout()),
            _ => ("actor", self.actor.layout()),
        };
        let mut deviation = ParamLayout::default();
        if self.deviations > 0 {
            deviation.push("ln", &[self.deviations], crate::net::Init::Constant(f64::from(DEVIATION)));
        }
        let memory = self.memory.as_ref().map(Memory::layout).unwrap_or_default();
        let critic = match &self.critic_weights {
            Some(hyper) => hyper.layout(),
            None => of(self.own_critic()),
        };
        [
            actor,
            ("deviation", deviation),
            ("critic", critic),
            ("memory", memory),
            ("inference", of(self.inference.as_ref())),
        ]
    }

    /// Parameters: of the actor or what writes it, of deviations, of the critic, of the memory and what it infers; of networks that learn apart those of
    /// one.
    pub fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::default();
        for (name, part) in self.layouts() {
            layout.extend(name, &part);
        }
        layout
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
        for (name, part) in self.layouts().into_iter().skip(1) {
            match &self.memory {
                Some(memory) if name == "memory" => all.extend(memory.init(rng)),
                _ if name == "critic" && self.critic_weights.is_some() => {
                    let critic = self.critic.layout().init(rng);
                    all.extend(self.critic_weights.iter().flat_map(|hyper| hyper.init(rng, &critic)));
                }
                _ => all.extend(part.init(rng)),
            }
        }
        all
    }

    /// The parts of parameters `[N]`, or `[g, N]` of networks that learn apart; `descriptor` `[g, r, d]` is what differs.
    pub(super) fn parts(&self, g: &mut Graph, params: Value, descriptor: Option<Value>) -> Drawn {
        let axis = g.shape(params).len() - 1;
        let groups = if axis == 0 { 1 } else { g.shape(params)[0] };
        let mut start = 0;
        let parts = self.layouts().map(|(_, part)| {
            let length = part.len();
            start += length;
            (length > 0).then(|| g.slice(params, axis, start - length, length))
        });
        let [Some(first), deviation, critic, memory, inference] = parts else {
            panic!("actors have parameters")
        };
        let deviation = deviation.map(|v| g.reshape(v, &[groups, 1, self.deviations]));
        let by_task = |g: &mut Graph, hyper: &HyperSpec, flat: Value| {
            let descriptor = descriptor.expect("what is generated is told of what differs");
            let [tasks, _, width] = g.shape(descriptor)[..] else { panic!("descriptors are [g, r, d]") };
            let one = g.slice(descriptor, 1, 0, 1);
            let one = g.reshape(one, &[tasks, width]);
            written(g, hyper, flat, one)
        };
        let actor = match &self.weights {
            PolicyWeights::Generated(hyper) if memory.is_none() => by_task(g, hyper, first),
            _ => first,
        };
        let critic = match (&self.critic_weights, critic) {
            (Some(hyper), Some(flat)) => Some(by_task(g, hyper, flat)),
            _ => critic,
        };
        Drawn { actor, deviation, critic, memory, inference }
    }

    /// What the actor says, `[a, b, n]`, of what is read of a moment `[a, b, ..]` and remembered `[a, b, m]`.
    pub(super) fn said(&self, g: &mut Graph, actor: Value, read: Value, remembered: Option<Value>) -> Value {
        let layout = self.actor.layout();
        match (&self.weights, remembered) {
            (PolicyWeights::Generated(hyper), Some(remembered)) => {
                let &[a, b, width] = g.shape(remembered) else { panic!("memories are [a, b, m]") };
                let rows = g.reshape(remembered, &[a * b, width]);
                let flat = written(g, hyper, actor, rows);
                let read = g.reshape(read, &[a * b, 1, self.actor.inputs()]);
                let said = self.actor.apply(g, Weights { flat, layout: &layout }, read);
                g.reshape(said, &[a, b, self.actor.outputs()])
            }
            (_, remembered) => {
                let read: Vec<Value> = [Some(read), remembered].into_iter().flatten().collect();
                let read = g.concat(&read, g.shape(read[0]).len() - 1);
                self.actor.apply(g, Weights { flat: actor, layout: &layout }, read)
            }
        }
    }

    /// The distribution of actions that the actor's outputs say, with the logarithms of standard deviations of continuous ones.
    pub(super) fn distribution<'g, 's>(
        &self,
        space: &'s ActionSpace,
        outputs: Expr<'g>,
        deviation: Option<Expr<'g>>,
    ) -> Distribution<'g, 's> {
        Distribution::new(space, outputs, deviation).squashed(self.squashed)
    }

    /// What is expected, `[.., 1]`, of what is read of a moment, of what is remembered, and of what the critic is told beside.
    pub(super) fn expected(&self, g: &mut Graph, drawn: Drawn, read: [Option<Value>; 3]) -> Value {
        let critic = drawn.critic.expect("what is expected is a critic's");
        let read: Vec<Value> = read.into_iter().flatten().collect();
        let axis = g.shape(read[0]).len() - 1;
        let read = g.concat(&read, axis);
        self.critic.apply(g, Weights { flat: critic, layout: &self.critic.layout() }, read)
    }
}

/// Weights that a hypernetwork with parameters `flat` writes from descriptions `[tasks, d]`: `[tasks, P]`.
fn written(g: &mut Graph, hyper: &HyperSpec, flat: Value, of: Value) -> Value {
    let tasks = g.shape(of)[0];
    let weights = Weights { flat, layout: &hyper.layout() };
    let known = Condition { support: None, task: None, descriptor: Some(of), noise: None };
    let read = hyper.condition(g, weights, &known);
    hyper.generate(g, weights, read, tasks)
}
