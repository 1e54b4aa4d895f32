//! Roll-outs: many agents in many worlds for some steps, as one loop.

use super::action::Distribution;
use super::environment::{ActionSpace, Environment, Moment};
use super::memory::{LUCK, Memory};
use super::spec::Policy;
use crate::graph::expr::Expr;
use crate::graph::op::Dist;
use crate::graph::{Graph, Value};

/// Streams of random numbers.
const START: u32 = 0x70;
const STEP: u32 = 0x71;
pub(super) const ACT: u32 = 0x72;

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

impl Behaviour {
    /// Actions by random numbers of [`Distribution::draw`], and as they are taken.
    pub(super) fn chosen<'g>(
        self,
        said: &Distribution<'g, '_>,
        space: &ActionSpace,
        noise: Expr<'g>,
    ) -> [Expr<'g>; 2] {
        let action = match self {
            Behaviour::Drawn => said.draw(noise),
            Behaviour::Greedy => said.mode(),
            Behaviour::Random => return [Distribution::any(space, noise); 2],
        };
        [action, said.taken(action)]
    }
}

/// Who acts, and where: g networks, each in r worlds of its own.
#[derive(Clone, Debug)]
pub struct Agents<'a> {
    /// The worlds.
    pub environment: &'a dyn Environment,
    /// The policy; its actor reads an observation, and the descriptor behind it where it is wide enough.
    pub policy: &'a Policy,
    /// Steps after which each episode of a trial is cut off; without a memory a trial is one episode.
    pub trial: Vec<usize>,
}

/// Values that a roll-out reads.
#[derive(Clone, Copy, Debug)]
pub struct RollInputs {
    /// Weights of the policies `[g, P]`, or what all share `[P]`.
    pub weights: Value,
    /// Logarithms of standard deviations, `[g, 1, n]`, of continuous actions.
    pub deviation: Option<Value>,
    /// Weights of the memory `[P]`, where there is one.
    pub memory: Option<Value>,
    /// Contexts `[g, r, context]`.
    pub context: Value,
    /// What policies are told of the contexts, `[g, r, d]`, where anything.
    pub descriptor: Option<Value>,
    /// Key of random numbers, u32 `[2]`.
    pub key: Value,
}

/// Where agents are: what goes on from one roll-out to the next.
#[derive(Clone, Debug)]
pub struct Place {
    /// States `[g, r, state]`.
    pub state: Value,
    /// Steps since the start of the episode, `[g, r, 1]`.
    pub clock: Value,
    /// Rewards since the start of the trial, `[g, r, 1]`.
    pub gained: Value,
    /// What is carried with a memory.
    pub past: Option<Past>,
}

/// What agents with a memory carry.
#[derive(Clone, Debug)]
pub struct Past {
    /// Episodes since the start of the trial, `[g, r, 1]`.
    pub turn: Value,
    /// The action before, what it gave, and whether the episode ended, `[g, r, action + 2]`.
    pub before: Value,
    /// States of the memory, each `[g, r, ..]`.
    pub states: Vec<Value>,
}

impl Place {
    /// All values: three, and with a memory those of [`Past`].
    pub(super) fn values(&self) -> Vec<Value> {
        let mut all = vec![self.state, self.clock, self.gained];
        if let Some(past) = &self.past {
            all.extend([past.turn, past.before]);
            all.extend(&past.states);
        }
        all
    }

    /// Of all values.
    pub(super) fn of(values: &[Value]) -> Place {
        let past = match values[3..] {
            [] => None,
            [turn, before, ref states @ ..] => Some(Past { turn, before, states: states.to_vec() }),
            [_] => panic!("a past is more than one value"),
        };
        Place { state: values[0], clock: values[1], gained: values[2], past }
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
    /// What it would have got on the mean ([`Environment::mean_reward`]).
    pub mean_reward: Value,
    /// What it would have read next, had no new episode begun.
    pub next: Value,
    /// 1 where the episode ended by itself.
    pub terminated: Value,
    /// 1 where it ended, by itself or by the time limit.
    pub ended: Value,
    /// 1 where the trial ended with it.
    pub over: Value,
    /// At the end of a trial its return, else 0.
    pub finished: Value,
    /// At the end of a trial the number of steps of its last episode, else 0.
    pub length: Value,
}

/// A roll-out as long as a trial, and the first trial of each world in it.
#[derive(Clone, Copy, Debug)]
pub struct FirstTrials {
    /// All that happened; behind the end of a trial the next one.
    pub rolled: Rolled,
    /// 1 for the steps of the first trial, 0 behind them, `[g, n, r, 1]`.
    pub there: Value,
    /// Returns of its episodes, `[g, r, episodes]`.
    pub returns: Value,
    /// Their numbers of steps.
    pub lengths: Value,
    /// 1 for those that ended by themselves.
    pub terminated: Value,
}

impl Agents<'_> {
    /// What a policy reads of states.
    fn read<'g>(&self, seen: Expr<'g>, descriptor: Option<Expr<'g>>, before: Option<Expr<'g>>) -> Expr<'g> {
        let wide = self.policy.actor.inputs() > self.environment.widths().observation;
        match (before, descriptor.filter(|_| wide)) {
            (Some(before), _) => Expr::columns(&[seen, before]),
            (None, Some(told)) => Expr::columns(&[seen, told]),
            (None, None) => seen,
        }
    }

    /// Steps of the episode of a trial with this number, from 0.
    fn limit<'g>(&self, turn: Expr<'g>) -> Expr<'g> {
        let steps = self.trial.windows(2).enumerate().filter(|(_, pair)| pair[0] != pair[1]);
        steps.fold(turn * 0.0 + self.trial[0] as f64, |limit, (i, pair)| {
            limit + turn.at_least((i + 1) as f64) * (pair[1] as f64 - pair[0] as f64)
        })
    }

    /// `n` steps from where the agents are: where they are then, and what happened. Where an episode ends, the next begins.
    #[track_caller]
    pub fn roll(
        &self,
        g: &mut Graph,
        n: usize,
        inputs: RollInputs,
        from: &Place,
        how: Behaviour,
    ) -> (Place, Rolled) {
        let (place, rolled, _) = self.witnessed(g, n, inputs, (from, how), false);
        (place, rolled)
    }

    /// The same, and where `witness` is said also the states before the steps and the actions as the environment got them, each `[g, n, r, ..]`.
    #[track_caller]
    pub(super) fn witnessed(
        &self,
        g: &mut Graph,
        n: usize,
        inputs: RollInputs,
        (from, how): (&Place, Behaviour),
        witness: bool,
    ) -> (Place, Rolled, Vec<Value>) {
        let space = self.environment.action();
        let widths = self.environment.widths();
        let [groups, worlds] = [g.shape(from.state)[0], g.shape(from.state)[1]];
        let mut constants = vec![inputs.weights, inputs.context, inputs.key];
        constants.extend(inputs.deviation);
        constants.extend(inputs.descriptor);
        constants.extend(inputs.memory);
        let (last, given) = g.scan(n, &from.values(), &constants, &[], |g, args| {
            let (weights, context, key) = (args.constants[0], args.constants[1], args.constants[2]);
            let mut more = args.constants[3..].iter().copied();
            let deviation = inputs.deviation.and_then(|_| more.next());
            let descriptor = inputs.descriptor.and_then(|_| more.next());
            let memory = inputs.memory.and_then(|_| more.next());
            let mut uniform =
                |stream, many: usize| g.random(Dist::Uniform, key, stream, &[groups, worlds, many]);
            let (for_start, for_step) = (uniform(START, widths.noise), uniform(STEP, widths.noise));
            let for_act = uniform(ACT, Distribution::noise(&space));
            let luck = self.policy.memory.as_ref().map_or(0, Memory::luck);
            let luck = (luck > 0).then(|| g.random(Dist::Normal, key, LUCK, &[groups, worlds, luck]));
            let at = Place::of(args.carried);
            let e = g.expr();
            let [state, clock, gained, context] = [at.state, at.clock, at.gained, context].map(|v| e.of(v));
            let told = descriptor.map(|d| e.of(d));
            let seen = self.environment.observe(state, context);
            let read = self.read(seen, told, at.past.as_ref().map(|past| e.of(past.before)));
            let luck = luck.map(|luck| e.of(luck));
            let read = luck.map_or(read, |luck| Expr::columns(&[read, luck]));
            let mut states = vec![];
            let outputs = e.build(|g| match (&self.policy.memory, memory, &at.past) {
                (Some(own), Some(flat), Some(past)) => {
                    let (remembered, next) = own.next(g, flat, &past.states, read.value());
                    states = next;
                    self.policy.said(g, weights, seen.value(), Some(remembered))
                }
                _ => self.policy.said(g, weights, read.value(), None),
            });
            let said = self.policy.distribution(&space, outputs, deviation.map(|d| e.of(d)));
            let [action, taken] = how.chosen(&said, &space, e.of(for_act));
            let log_probability = said.log_probability(action);
            let moment =
                Moment { state, action: Distribution::scaled(&space, taken), context, noise: e.of(for_step) };
            let done = self.environment.step(moment);
            let (clock, gained) = (clock + 1.0, gained + done.reward);
            let turn = at.past.as_ref().map(|past| e.of(past.turn));
            let cut = match turn {
                Some(turn) => (clock - self.limit(turn)).at_least(0.0),
                None => clock.at_least(self.trial[0] as f64),
            };
            let ended = done.terminated.larger(cut);
            let over = turn.map_or(ended, |turn| ended * turn.at_least(self.trial.len() as f64 - 1.0));
            let start = self.environment.start(context, e.of(for_start));
            let going = 1.0 - over;
            let mut on = vec![ended.choose(start, done.state), clock * (1.0 - ended), gained * going];
            let reward = done.reward * self.environment.reward_scale();
            let before = Expr::columns(&[taken, reward, ended]) * going;
            let before = turn.map(|_| before);
            on.extend(turn.map(|turn| (turn + ended) * going));
            on.extend(before);
            on.extend(states.into_iter().map(|v| e.of(v) * going));
            let next = self.read(self.environment.observe(done.state, context), told, before);
            // Behind the end nothing is drawn.
            let next = luck.map_or(next, |luck| Expr::columns(&[next, luck * 0.0]));
            let given = [
                read,
                action,
                log_probability,
                done.reward,
                next,
                done.terminated,
                ended,
                over,
                gained * over,
                clock * over,
                self.environment.mean_reward(moment, done.reward),
            ];
            let mut given = given.map(Expr::value).to_vec();
            if witness {
                given.extend([moment.state, moment.action].map(Expr::value));
            }
            (on.into_iter().map(Expr::value).collect(), given)
        });
        let rolled = Rolled {
            read: given[0],
            action: given[1],
            log_probability: given[2],
            reward: given[3],
            next: given[4],
            terminated: given[5],
            ended: given[6],
            over: given[7],
            finished: given[8],
            length: given[9],
            mean_reward: given[10],
        };
        (Place::of(&last), rolled, given[11..].to_vec())
    }

    /// The likeliest actions in states `[g, r, state]`, as they are taken, `[g, r, action]`, of policies without a memory.
    pub(super) fn likeliest(&self, g: &mut Graph, states: Value, inputs: RollInputs) -> Value {
        let space = self.environment.action();
        let e = g.expr();
        let told = inputs.descriptor.map(|d| e.of(d));
        let seen = self.environment.observe(e.of(states), e.of(inputs.context));
        let read = self.read(seen, told, None);
        let outputs = e.build(|g| self.policy.said(g, inputs.weights, read.value(), None));
        let said = self.policy.distribution(&space, outputs, inputs.deviation.map(|d| e.of(d)));
        said.taken(said.mode()).value()
    }

    /// New trials in all worlds.
    pub fn begin(&self, g: &mut Graph, context: Value, key: Value) -> Place {
        let [groups, worlds] = [g.shape(context)[0], g.shape(context)[1]];
        let noise =
            g.random(Dist::Uniform, key, START ^ 0x100, &[groups, worlds, self.environment.widths().noise]);
        let e = g.expr();
        let state = self.environment.start(e.of(context), e.of(noise));
        let zero = (state.column(0) * 0.0).value();
        let state = state.value();
        let past = self.policy.memory.as_ref().map(|memory| {
            let mut empty = |width: usize| g.expand(zero, &[groups, worlds, width]);
            let before = empty(self.environment.action().width() + 2);
            Past { turn: zero, before, states: memory.encoder.states().into_iter().map(empty).collect() }
        });
        Place { state, clock: zero, gained: zero, past }
    }

    /// One whole trial in every world.
    #[track_caller]
    pub fn first_trials(&self, g: &mut Graph, inputs: RollInputs, how: Behaviour) -> FirstTrials {
        let from = self.begin(g, inputs.context, inputs.key);
        let (_, rolled) = self.roll(g, self.trial.iter().sum(), inputs, &from, how);
        self.trials_of(g, rolled)
    }

    /// The first trial of each world in what happened.
    pub(super) fn trials_of(&self, g: &mut Graph, rolled: Rolled) -> FirstTrials {
        let &[groups, n, worlds, _] = g.shape(rolled.ended) else { panic!("steps have four axes") };
        let episodes = self.trial.len();
        let zero = g.constant(0.0);
        let mut none = |width: usize| g.expand(zero, &[groups, worlds, width]);
        let start = [none(1), none(1), none(episodes), none(episodes), none(episodes)];
        let rows = [rolled.ended, rolled.over, rolled.reward, rolled.terminated];
        let (last, given) = g.scan(n, &start, &[], &rows, |g, args| {
            let e = g.expr();
            let [over, turn, gained, steps, stopped] = [0, 1, 2, 3, 4].map(|i| e.of(args.carried[i]));
            let [ended, last, reward, terminated] = [0, 1, 2, 3].map(|i| e.of(args.rows[i]));
            let there = 1.0 - over;
            let now: Vec<Expr<'_>> =
                (0..episodes).map(|i| turn.at_least(i as f64) * turn.below(i as f64 + 1.0) * there).collect();
            let now = Expr::columns(&now);
            let next = [
                over.larger(last),
                turn + ended,
                gained + now * reward,
                steps + now,
                stopped + now * terminated,
            ];
            (next.map(Expr::value).to_vec(), vec![there.value()])
        });
        let [returns, lengths, terminated] = [2, 3, 4].map(|i| last[i]);
        FirstTrials { rolled, there: given[0], returns, lengths, terminated }
    }
}
