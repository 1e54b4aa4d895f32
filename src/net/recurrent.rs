//! Recurrent cells over the elements of a sequence `[length, channels]`: what a cell gives for an element it reads, as its state, with
//! the next one. Formulas and the order of gates are those of PyTorch's `RNN`, `GRU` and `LSTM`, but for one bias where two would
//! only be added up:
//!
//! - `rnn`: `h' = tanh(x W + h U + b)`
//! - `gru` (Cho et al. 2014): r, z, n parts of the last axis, s the logistic function: `r, z = s(x W + b + h U + d)`,
//!   `n = tanh(x W + b + r (h U + d))`, `h' = (1 - z) n + z h`
//! - `lstm` (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000): i, f, g, o parts of `x W + h U + b`:
//!   `c' = s(f) c + s(i) tanh g`, `h' = s(o) tanh c'`
//!
//! The products with W of all elements are one product; the rest is a scan ([`Graph::scan`]), which stays a loop inside of a task region.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::layout::Init;
use crate::graph::{Graph, Value};
use crate::spec::{Activation, Shape};

/// What a state is made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Cell {
    /// A plain recurrent cell with tanh.
    Rnn,
    /// A gated recurrent unit.
    Gru,
    /// Long short-term memory.
    Lstm,
}

impl Cell {
    /// Parts of the last axis of its weights, each as wide as the state.
    fn parts(self) -> usize {
        match self {
            Cell::Rnn => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    /// Values that are carried from element to element, what is given first.
    fn carried(self) -> usize {
        if self == Cell::Lstm { 2 } else { 1 }
    }

    /// The next state by what the element adds, `[T, n, parts · h]`, the state times U (with its bias), and what is carried.
    fn next(self, g: &mut Graph, x: Value, u: Value, state: &[Value], units: usize) -> Vec<Value> {
        let part = |g: &mut Graph, v: Value, i: usize, n: usize| {
            let axis = g.shape(v).len() - 1;
            g.slice(v, axis, i * units, n * units)
        };
        match self {
            Cell::Rnn => {
                let sum = g.add(u, x);
                vec![g.act(Activation::Tanh, sum)]
            }
            Cell::Gru => {
                let (x_rz, u_rz) = (part(g, x, 0, 2), part(g, u, 0, 2));
                let sum = g.add(u_rz, x_rz);
                let rz = g.act(Activation::Sigmoid, sum);
                let (r, z) = (part(g, rz, 0, 1), part(g, rz, 1, 1));
                let (x_n, u_n) = (part(g, x, 2, 1), part(g, u, 2, 1));
                let reset = g.mul(r, u_n);
                let sum = g.add(reset, x_n);
                let n = g.act(Activation::Tanh, sum);
                // n + z (h - n)
                let d = g.sub(state[0], n);
                let d = g.mul(z, d);
                vec![g.add(n, d)]
            }
            Cell::Lstm => {
                let sum = g.add(u, x);
                let i_f = part(g, sum, 0, 2);
                let i_f = g.act(Activation::Sigmoid, i_f);
                let (i, f) = (part(g, i_f, 0, 1), part(g, i_f, 1, 1));
                let new = part(g, sum, 2, 1);
                let new = g.act(Activation::Tanh, new);
                let o = part(g, sum, 3, 1);
                let o = g.act(Activation::Sigmoid, o);
                let kept = g.mul(f, state[1]);
                let added = g.mul(i, new);
                let c = g.add(kept, added);
                let y = g.act(Activation::Tanh, c);
                vec![g.mul(o, y), c]
            }
        }
    }
}

/// A recurrent layer. Several behind one another are a stacked network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Recurrent {
    /// The cell.
    #[serde(rename = "recurrent")]
    pub cell: Cell,
    /// Width of the state.
    pub units: usize,
    /// Whether the state after the last element is all that is given, `[units]`, or the states after every element, `[length, units]`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// Whether a second cell goes from the last element to the first; what it gives stands behind the first one's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bidirectional: bool,
}

impl Recurrent {
    /// So many units of that kind, which give their states after every element.
    #[must_use]
    pub fn new(cell: Cell, units: usize) -> Recurrent {
        Recurrent { cell, units, last: false, bidirectional: false }
    }

    /// The same, which give the state after the last element alone.
    #[must_use]
    pub fn last(cell: Cell, units: usize) -> Recurrent {
        Recurrent { last: true, ..Recurrent::new(cell, units) }
    }

    /// Cells: two where it is bidirectional.
    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// One direction over x `[b, n, length, channels]`: all states `[b, n, length, units]`, or the last, `[b, n, units]`.
    fn run(&self, g: &mut Graph, x: Value, name: &str, reverse: bool, f: &mut Forward<'_>) -> Value {
        let &[b, n, length, channels] = g.shape(x) else { panic!("sequences have four axes") };
        let (units, width) = (self.units, self.cell.parts() * self.units);
        let own = f.weights.per_task(g);
        let bias = |g: &mut Graph, what: &str| {
            let v = f.weights.get(g, &format!("{name}.{what}"));
            if own { g.reshape(v, &[b, 1, width]) } else { v }
        };
        let w = f.weights.get(g, &format!("{name}.weight"));
        let elements = g.reshape(x, &[b, n * length, channels]);
        let read = g.matmul(elements, w);
        let added = bias(g, "bias");
        let read = g.add(read, added);
        let read = g.reshape(read, &[b, n, length, width]);
        let read = g.permute(read, &[0, 2, 1, 3]);
        let u = f.weights.get(g, &format!("{name}.recurrent"));
        let mut constants = vec![u];
        if self.cell == Cell::Gru {
            constants.push(bias(g, "recurrent_bias"));
        }
        let carried: Vec<Value> = (0..self.cell.carried()).map(|_| f.state(g, &[b, n, units])).collect();
        // Behind the end of a short sequence nothing changes.
        let there = f.there(g, &[b, n, length, 1]).map(|there| g.permute(there, &[0, 2, 1, 3]));
        let rows: Vec<Value> = [Some(read), there].into_iter().flatten().collect();
        let (ends, states) = g.scan_in(reverse, length, &carried, &constants, &rows, |g, args| {
            let mut by_state = g.matmul(args.carried[0], args.constants[0]);
            if let Some(&d) = args.constants.get(1) {
                by_state = g.add(by_state, d);
            }
            let mut next = self.cell.next(g, args.rows[0], by_state, args.carried, units);
            if let Some(&there) = args.rows.get(1) {
                for (next, state) in next.iter_mut().zip(args.carried) {
                    *next = g.select(there, *next, *state);
                }
            }
            let given = if self.last { vec![] } else { vec![next[0]] };
            (next, given)
        });
        f.ends.extend(&ends);
        match states.first() {
            Some(&states) => g.permute(states, &[0, 2, 1, 3]),
            None => ends[0],
        }
    }
}

impl Kind for Recurrent {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let &[length, _] = row else {
            return Err(format!("a recurrent layer reads sequences [length, channels], not rows {row:?}"));
        };
        if !(1..=65_536).contains(&self.units) {
            return Err(format!("{} units: 1 to 65536 are possible", self.units));
        }
        let width = self.units * self.directions();
        Ok(if self.last { vec![width] } else { vec![length, width] })
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let &[_, channels] = row else { return };
        let (units, width) = (self.units, self.cell.parts() * self.units);
        // As PyTorch draws them, all alike.
        let init = Init::Uniform(1.0 / (units as f64).sqrt());
        for _ in 0..self.directions() {
            let (name, role) = (to.layer(), to.role);
            let mut put = |what: &str, shape: &[usize]| {
                to.layout.push(format!("{name}.{what}"), shape, init).role = role;
            };
            put("weight", &[channels, width]);
            put("recurrent", &[units, width]);
            put("bias", &[width]);
            if self.cell == Cell::Gru {
                put("recurrent_bias", &[width]);
            }
        }
    }

    fn is_of_elements(&self) -> bool {
        !self.bidirectional && !self.last
    }

    fn states(&self) -> Vec<usize> {
        vec![self.units; self.cell.carried() * self.directions()]
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let shape = g.shape(x).to_vec();
        let (lead, &[length, channels]) = (&shape[..f.lead], &shape[f.lead..]) else {
            panic!("a recurrent layer reads sequences, not {shape:?}")
        };
        // Where tasks share the weights, each sequence is worked on like a task.
        let rows = match lead {
            &[n] => [n, 1],
            &[t, n, ..] => [t, n],
            [] => panic!("rows lie along an axis"),
        };
        let x = g.reshape(x, &[rows[0], rows[1], length, channels]);
        let mut given = Vec::new();
        for direction in 0..self.directions() {
            let name = f.layer();
            given.push(g.scope(name.clone(), |g| self.run(g, x, &name, direction == 1, f)));
        }
        let y = g.concat(&given, g.shape(given[0]).len() - 1);
        let y = g.reshape(y, &[lead, &self.output(&[length, channels]).unwrap_or_default()].concat());
        f.gave(y)
    }
}
