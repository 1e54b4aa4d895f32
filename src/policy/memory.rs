//! Memory: what an agent carries from step to step, and from episode to episode of a trial, so that it finds out what world it is in and acts
//! by that (RL², Duan et al. 2016; Wang et al. 2016).

use super::worlds::Worlds;
use crate::graph::{Graph, Value};
use crate::net::{Cell, Net, Recurrent, Weights};

/// A memory: recurrent layers that read, at every step, what is seen, the action before, what it gave, and whether an episode ended with it.
///
/// A trial is one or more episodes in one world. The memory is kept from episode to episode, and empty at the start of the next trial.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Memory {
    /// The layers, over one step.
    pub encoder: Net,
    /// Steps after which each episode of a trial is cut off, in their order.
    pub trial: Vec<usize>,
}

impl Memory {
    /// So many units of a cell, for trials of episodes of so many steps.
    #[must_use]
    pub fn new(worlds: &Worlds, cell: Cell, units: usize, trial: Vec<usize>) -> Memory {
        let reads = worlds.environment.widths().observation + Memory::before(worlds);
        Memory { encoder: Net::rows([1, reads]).recurrent(Recurrent::new(cell, units)), trial }
    }

    /// Numbers of what was before: the action, what it gave, and whether the episode ended.
    pub(super) fn before(worlds: &Worlds) -> usize {
        worlds.environment.action().width() + 2
    }

    /// Numbers that a policy reads of it.
    pub fn width(&self) -> usize {
        self.encoder.outputs()
    }

    /// What is remembered after a step `[.., reads]`, and the states that are carried on.
    pub(super) fn next(
        &self,
        g: &mut Graph,
        flat: Value,
        states: &[Value],
        read: Value,
    ) -> (Value, Vec<Value>) {
        self.encoder.apply_from(g, Weights { flat, layout: &self.encoder.layout() }, states, read)
    }

    /// What is remembered at each of `n` steps `[g, n, r, reads]`, from an empty memory, which is empty again behind each step that ended a trial
    /// (`over`, `[g, n, r, 1]`): `[g, n, r, width]`.
    pub(super) fn over(&self, g: &mut Graph, flat: Value, read: Value, over: Value) -> Value {
        let &[groups, n, worlds, _] = g.shape(read) else { panic!("steps have four axes") };
        let zero = g.constant(0.0);
        let widths = self.encoder.states();
        let empty: Vec<Value> = widths.iter().map(|w| g.expand(zero, &[groups, worlds, *w])).collect();
        let (_, given) = g.scan(n, &empty, &[flat], &[read, over], |g, args| {
            let (said, next) = self.next(g, args.constants[0], args.carried, args.rows[0]);
            let kept = next.into_iter().map(|v| kept(g, v, args.rows[1])).collect();
            (kept, vec![said])
        });
        given[0]
    }
}

/// 0 where a trial is over.
pub(super) fn kept(g: &mut Graph, v: Value, over: Value) -> Value {
    let e = g.expr();
    let over: crate::graph::expr::Expr<'_> = e.of(over);
    (e.of(v) * (1.0 - over)).value()
}
