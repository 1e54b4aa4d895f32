//! Roll-outs: many agents in many worlds for some steps, as one loop.

use super::action::Distribution;
use super::environment::{Environment, Moment};
use crate::graph::expr::Expr;
use crate::graph::op::Dist;
use crate::graph::{Graph, Value};
use crate::net::{Net, ParamLayout, Weights};

/// Streams of random numbers.
const START: u32 = 0x70;
const STEP: u32 = 0x71;
const ACT: u32 = 0x72;

/// How actions are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// Drawn from the policy.
    Drawn,
    /// The policy's likeliest.
    Greedy,
    /// Evenly from all that there are, whatever the policy says.
    Random,
}

/// Who acts, and where: g networks, each in r worlds of its own.
#[derive(Clone, Copy, Debug)]
pub struct Agents<'a> {
    /// The worlds.
    pub environment: &'a dyn Environment,
    /// The policy's network; it reads an observation, and the descriptor behind it where it is wide enough.
    pub actor: &'a Net,
    /// Its parameters.
    pub layout: &'a ParamLayout,
    /// Steps after which an episode is cut off.
    pub horizon: usize,
}

/// Values that a roll-out reads.
#[derive(Clone, Copy, Debug)]
pub struct RollInputs {
    /// Weights of the policies `[g, P]`.
    pub weights: Value,
    /// Logarithms of standard deviations, `[g, 1, n]`, of continuous actions.
    pub deviation: Option<Value>,
    /// Contexts `[g, r, context]`.
    pub context: Value,
    /// What policies are told of the contexts, `[g, r, d]`, where anything.
    pub descriptor: Option<Value>,
    /// Key of random numbers, u32 `[2]`.
    pub key: Value,
}

/// Where agents are: what goes on from one roll-out to the next.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// States `[g, r, state]`.
    pub state: Value,
    /// Steps since the start of the episode, `[g, r, 1]`.
    pub clock: Value,
    /// Rewards since then, `[g, r, 1]`.
    pub gained: Value,
}

impl Place {
    /// All three.
    pub(super) fn values(self) -> [Value; 3] {
        [self.state, self.clock, self.gained]
    }
}

/// What `n` steps gave, each `[g, n, r, ..]`.
#[derive(Clone, Copy, Debug)]
pub struct Rolled {
    /// What the policy read.
    pub read: Value,
    /// What it did, as it was drawn.
    pub action: Value,
    /// Logarithm of how probable that was.
    pub log_probability: Value,
    /// What it got.
    pub reward: Value,
    /// What it would have read next, had no new episode begun.
    pub next: Value,
    /// 1 where the episode ended by itself.
    pub terminated: Value,
    /// 1 where it ended, by itself or by the time limit.
    pub ended: Value,
    /// At an end the return of the episode, else 0.
    pub finished: Value,
    /// At an end its number of steps, else 0.
    pub length: Value,
}

impl Agents<'_> {
    /// What a policy reads of states.
    fn read<'g>(&self, state: Expr<'g>, context: Expr<'g>, descriptor: Option<Expr<'g>>) -> Expr<'g> {
        let seen = self.environment.observe(state, context);
        match descriptor {
            Some(told) if self.actor.inputs() > self.environment.widths().observation => {
                Expr::columns(&[seen, told])
            }
            _ => seen,
        }
    }

    /// `n` steps from where the agents are: where they are then, and what happened. Where an episode ends, the next begins.
    #[track_caller]
    pub fn roll(
        &self,
        g: &mut Graph,
        n: usize,
        inputs: RollInputs,
        from: Place,
        how: Behaviour,
    ) -> (Place, Rolled) {
        let space = self.environment.action();
        let noise = self.environment.widths().noise;
        let [groups, worlds] = [g.shape(from.state)[0], g.shape(from.state)[1]];
        let mut constants = vec![inputs.weights, inputs.context, inputs.key];
        constants.extend(inputs.deviation);
        constants.extend(inputs.descriptor);
        let carried = [from.state, from.clock, from.gained];
        let (last, given) = g.scan(n, &carried, &constants, &[], |g, args| {
            let (weights, context, key) = (args.constants[0], args.constants[1], args.constants[2]);
            let mut more = args.constants[3..].iter().copied();
            let deviation = inputs.deviation.and_then(|_| more.next());
            let descriptor = inputs.descriptor.and_then(|_| more.next());
            let mut uniform =
                |stream, many: usize| g.random(Dist::Uniform, key, stream, &[groups, worlds, many]);
            let (for_start, for_step) = (uniform(START, noise), uniform(STEP, noise));
            let for_act = uniform(ACT, Distribution::noise(&space));
            let e = g.expr();
            let (state, context) = (e.of(args.carried[0]), e.of(context));
            let (clock, gained) = (e.of(args.carried[1]), e.of(args.carried[2]));
            let told = descriptor.map(|d| e.of(d));
            let read = self.read(state, context, told);
            let outputs = e.build(|g| {
                let weights = Weights { flat: weights, layout: self.layout };
                self.actor.apply(g, weights, read.value())
            });
            let said = Distribution::new(&space, outputs, deviation.map(|d| e.of(d)));
            let action = match how {
                Behaviour::Drawn => said.draw(e.of(for_act)),
                Behaviour::Greedy => said.mode(),
                Behaviour::Random => Distribution::any(&space, e.of(for_act)),
            };
            let log_probability = said.log_probability(action);
            let done = self.environment.step(Moment {
                state,
                action: Distribution::scaled(&space, action),
                context,
                noise: e.of(for_step),
            });
            let (clock, gained) = (clock + 1.0, gained + done.reward);
            let cut = clock.at_least(self.horizon as f64);
            let ended = done.terminated.larger(cut);
            let next = self.read(done.state, context, told);
            let start = self.environment.start(context, e.of(for_start));
            let going = 1.0 - ended;
            let on = [ended.choose(start, done.state), clock * going, gained * going].map(Expr::value);
            let given = [
                read,
                action,
                log_probability,
                done.reward,
                next,
                done.terminated,
                ended,
                gained * ended,
                clock * ended,
            ];
            (on.to_vec(), given.map(Expr::value).to_vec())
        });
        let place = Place { state: last[0], clock: last[1], gained: last[2] };
        let rolled = Rolled {
            read: given[0],
            action: given[1],
            log_probability: given[2],
            reward: given[3],
            next: given[4],
            terminated: given[5],
            ended: given[6],
            finished: given[7],
            length: given[8],
        };
        (place, rolled)
    }

    /// New episodes in all worlds.
    pub fn begin(&self, g: &mut Graph, context: Value, key: Value) -> Place {
        let [groups, worlds] = [g.shape(context)[0], g.shape(context)[1]];
        let noise =
            g.random(Dist::Uniform, key, START ^ 0x100, &[groups, worlds, self.environment.widths().noise]);
        let e = g.expr();
        let state = self.environment.start(e.of(context), e.of(noise));
        let zero = (state.column(0) * 0.0).value();
        Place { state: state.value(), clock: zero, gained: zero }
    }

    /// One whole episode in every world: returns and numbers of steps, `[g, r, 1]`.
    #[track_caller]
    pub fn episodes(&self, g: &mut Graph, inputs: RollInputs, how: Behaviour) -> [Value; 2] {
        let from = self.begin(g, inputs.context, inputs.key);
        let (_, rolled) = self.roll(g, self.horizon, inputs, from, how);
        let shape = g.shape(rolled.ended).to_vec();
        let (n, row) = (shape[1], [shape[0], shape[2], 1]);
        let zero = g.constant(0.0);
        let zero = g.expand(zero, &row);
        // The first end of each world counts.
        let rows = [rolled.ended, rolled.finished, rolled.length];
        let (last, _) = g.scan(n, &[zero, zero, zero], &[], &rows, |g, args| {
            let e = g.expr();
            let [over, gained, steps] = [0, 1, 2].map(|i| e.of(args.carried[i]));
            let [ended, finished, length] = [0, 1, 2].map(|i| e.of(args.rows[i]));
            let first = ended * (1.0 - over);
            let next = [over.larger(ended), gained + finished * first, steps + length * first];
            (next.map(Expr::value).to_vec(), vec![])
        });
        [last[1], last[2]]
    }
}
