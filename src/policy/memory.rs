//! Memory: what an agent carries from step to step, and from episode to episode of a trial, so that it finds out what world it is in and acts
//! by that (RL², Duan et al. 2016; Wang et al. 2016).

use super::worlds::Worlds;
use crate::graph::{Graph, Value};
use crate::net::{Cell, Layer, Net, Recurrent, Weights};
use crate::rng::Rng;

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

    /// Initial parameters: gates are open for as long as something may matter, from one step to a whole trial, evenly in the logarithm (Tallec and
    /// Ollivier 2018). As layers begin elsewhere half of a state is forgotten with each step, and nothing is learned of what is long ago.
    pub(super) fn init(&self, rng: &mut Rng) -> Vec<f32> {
        let layout = self.encoder.layout();
        let mut all = layout.init(rng);
        let longest = self.trial.iter().sum::<usize>().max(3) as f64 - 1.0;
        let layers = self.encoder.layers().iter().filter_map(|layer| match layer {
            Layer::Recurrent(layer) => Some(layer),
            _ => None,
        });
        for (layer, bias) in layers.zip(layout.params.iter().filter(|p| p.name.ends_with(".bias"))) {
            let bias = &mut all[bias.range()];
            for i in 0..layer.units {
                let open = rng.range(1.0, longest).ln() as f32;
                match layer.cell {
                    Cell::Gru => bias[layer.units + i] += open,
                    Cell::Lstm => {
                        bias[i] -= open;
                        bias[layer.units + i] += open;
                    }
                    _ => {}
                }
            }
        }
        all
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
