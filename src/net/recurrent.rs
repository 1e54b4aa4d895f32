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
use super::layout::{Init, ParamRole};
use super::norm;
use crate::graph::scan::ScanArgs;
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
    fn next(self, g: &mut Graph, x: Value, u: Value, state: &[Value], norm: Option<Norm>) -> Next {
        let units = g.shape(state[0])[2];
        let part = |g: &mut Graph, v: Value, i: usize, n: usize| g.slice(v, 2, i * units, n * units);
        match self {
            Cell::Rnn => {
                let sum = g.add(u, x);
                Next { states: vec![g.act(Activation::Tanh, sum)], gates: vec![] }
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
                Next { states: vec![g.add(n, d)], gates: vec![("r", r), ("z", z)] }
            }
            Cell::Lstm => {
                let sum = g.add(u, x);
                lstm(g, sum, state[1], norm)
            }
        }
    }
}

/// What comes after an element.
#[derive(Debug)]
pub(super) struct Next {
    /// What is carried on, what is given first.
    pub(super) states: Vec<Value>,
    /// Gates by their names, numbers of 0 to 1: how far they let something through.
    pub(super) gates: Vec<(&'static str, Value)>,
}

/// Layer norm inside of an LSTM (Ba et al. 2016; Ha et al. 2016): the sums of each gate, and the cell where it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Norm {
    /// `[.., 4 h]`
    pub(super) gain: Value,
    /// `[.., 4 h]`
    pub(super) shift: Value,
    /// `[.., h]`
    pub(super) cell_gain: Value,
    /// `[.., h]`
    pub(super) cell_shift: Value,
}

impl Norm {
    /// Its parameters, in their order: what they are called, how many times the units they are, and what they start with.
    const PARAMS: [(&str, usize, f64); 4] =
        [("gain", 4, 1.0), ("shift", 4, 0.0), ("cell_gain", 1, 1.0), ("cell_shift", 1, 0.0)];

    /// Puts the parameters of a norm, called `NAME.PREFIXgain` and so on.
    pub(super) fn params(name: &str, prefix: &str, units: usize, to: &mut Params<'_>) {
        for (what, times, start) in Norm::PARAMS {
            let name = format!("{name}.{prefix}{what}");
            to.layout.push(name, &[times * units], Init::Constant(start)).role = ParamRole::Norm;
        }
    }

    /// The parameters as values, to be constants of a scan.
    pub(super) fn values(g: &mut Graph, name: &str, prefix: &str, f: &Forward<'_>, b: usize) -> [Value; 4] {
        Norm::PARAMS.map(|(what, ..)| vector(g, f, &format!("{name}.{prefix}{what}"), b))
    }

    /// Of the constants of a scan.
    pub(super) fn of(constants: &[Value]) -> Norm {
        let &[gain, shift, cell_gain, cell_shift] = constants else { panic!("a norm has four parameters") };
        Norm { gain, shift, cell_gain, cell_shift }
    }

    /// `[b, n, parts · h]` normalised part by part.
    fn normalised(g: &mut Graph, x: Value, parts: usize, gain: Value, shift: Value) -> Value {
        let &[b, n, width] = g.shape(x) else { panic!("states have three axes") };
        let each = g.reshape(x, &[b, n, parts, width / parts]);
        let each = norm::standardised(g, each, &[b, n, parts, 1], None);
        let y = g.reshape(each, &[b, n, width]);
        let y = g.mul(y, gain);
        g.add(y, shift)
    }
}

/// What an LSTM gives after an element, and its cell, by the sums of its gates `[b, n, 4 h]` and the cell before.
pub(super) fn lstm(g: &mut Graph, sums: Value, cell: Value, norm: Option<Norm>) -> Next {
    let units = g.shape(cell)[2];
    let sums = norm.map_or(sums, |norm| Norm::normalised(g, sums, 4, norm.gain, norm.shift));
    let i_f = g.slice(sums, 2, 0, 2 * units);
    let i_f = g.act(Activation::Sigmoid, i_f);
    let (i, f) = (g.slice(i_f, 2, 0, units), g.slice(i_f, 2, units, units));
    let new = g.slice(sums, 2, 2 * units, units);
    let new = g.act(Activation::Tanh, new);
    let o = g.slice(sums, 2, 3 * units, units);
    let o = g.act(Activation::Sigmoid, o);
    let kept = g.mul(f, cell);
    let added = g.mul(i, new);
    let c = g.add(kept, added);
    let seen = norm.map_or(c, |norm| Norm::normalised(g, c, 1, norm.cell_gain, norm.cell_shift));
    let y = g.act(Activation::Tanh, seen);
    Next { states: vec![g.mul(o, y), c], gates: vec![("i", i), ("f", f), ("o", o)] }
}

/// Sequences as layers go over them: `[b, n, length, channels]`. Where tasks share the weights, each is worked on like a task.
pub(super) fn sequences(g: &mut Graph, x: Value, f: &Forward<'_>) -> Value {
    let shape = g.shape(x).to_vec();
    let (lead, &[length, channels]) = (&shape[..f.lead], &shape[f.lead..]) else {
        panic!("a recurrent layer reads sequences, not {shape:?}")
    };
    let rows = match lead {
        &[n] => [n, 1],
        &[t, n, ..] => [t, n],
        [] => panic!("rows lie along an axis"),
    };
    g.reshape(x, &[rows[0], rows[1], length, channels])
}

/// A parameter of one axis, to be added to what leads with an axis b.
pub(super) fn vector(g: &mut Graph, f: &Forward<'_>, name: &str, b: usize) -> Value {
    let v = f.weights.get(g, name);
    match g.shape(v) {
        &[_, width] => g.reshape(v, &[b, 1, width]),
        _ => v,
    }
}

/// The products of all elements with a weight, plus what is `added`: rows of a scan over the elements, `[b, length, n, width]`.
pub(super) fn read(g: &mut Graph, x: Value, weight: Value, added: Option<Value>) -> Value {
    let &[b, n, length, channels] = g.shape(x) else { panic!("sequences have four axes") };
    // By a weight that all share they are one product, which takes the vector along.
    let shared = g.shape(weight).len() == 2;
    let elements = if shared { vec![b * n * length, channels] } else { vec![b, n * length, channels] };
    let elements = g.reshape(x, &elements);
    let read = g.matmul(elements, weight);
    let read = added.map_or(read, |added| g.add(read, added));
    let width = g.shape(read)[g.shape(read).len() - 1];
    let read = g.reshape(read, &[b, n, length, width]);
    g.permute(read, &[0, 2, 1, 3])
}

/// Where a layer goes over the elements of sequences, `[b, n, length, ..]`, and what it gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) rows: [usize; 3],
    pub(super) reverse: bool,
    /// Whether the state after the last element is all that is given.
    pub(super) last: bool,
}

/// Goes over the elements: `next` makes states of these widths of those before, and of rows. Gives the first state after each element, `[b,
/// n, length, width]`, or after the last, `[b, n, width]`.
pub(super) fn go(
    g: &mut Graph,
    f: &mut Forward<'_>,
    way: Way,
    widths: &[usize],
    constants: &[Value],
    rows: &[Value],
    next: impl FnOnce(&mut Graph, &ScanArgs<'_>) -> Next,
) -> Value {
    let [b, n, length] = way.rows;
    let carried: Vec<Value> = widths.iter().map(|width| f.state(g, &[b, n, *width])).collect();
    // Behind the end of a short sequence nothing changes.
    let there = f.there(g, &[b, n, length, 1]).map(|there| g.permute(there, &[0, 2, 1, 3]));
    let all = [rows, there.as_slice()].concat();
    let mut names = vec![];
    let (ends, mut given) = g.scan_in(way.reverse, length, &carried, constants, &all, |g, args| {
        let Next { states: mut next, gates } = next(g, &args);
        if let Some(&there) = args.rows.get(rows.len()) {
            for (next, state) in next.iter_mut().zip(args.carried) {
                *next = g.select(there, *next, *state);
            }
        }
        let mut given = if way.last { vec![] } else { vec![next[0]] };
        if f.watched.is_some() {
            names.extend(gates.iter().map(|(name, _)| *name));
            given.extend(gates.iter().map(|(_, gate)| *gate));
        }
        (next, given)
    });
    f.ends.extend(&ends);
    let gates = given.split_off(given.len() - names.len());
    let layer = f.layer_now();
    if let Some(watched) = &mut f.watched {
        watched.gates.extend(names.into_iter().zip(gates).map(|(gate, v)| (layer.clone(), gate, v)));
    }
    match given.first() {
        Some(&states) => g.permute(states, &[0, 2, 1, 3]),
        None => ends[0],
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
    /// Whether the sums of each gate, and the cell, are normalised (of `lstm`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub norm: bool,
    /// Whether a second cell goes from the last element to the first; what it gives stands behind the first one's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bidirectional: bool,
}

impl Recurrent {
    /// So many units of that kind, which give their states after every element.
    #[must_use]
    pub fn new(cell: Cell, units: usize) -> Recurrent {
        Recurrent { cell, units, last: false, norm: false, bidirectional: false }
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
        let &[b, n, length, _] = g.shape(x) else { panic!("sequences have four axes") };
        let added = (!self.norm).then(|| vector(g, f, &format!("{name}.bias"), b));
        let weight = f.weights.get(g, &format!("{name}.weight"));
        let read = read(g, x, weight, added);
        let mut constants = vec![f.weights.get(g, &format!("{name}.recurrent"))];
        if self.cell == Cell::Gru {
            constants.push(vector(g, f, &format!("{name}.recurrent_bias"), b));
        }
        if self.norm {
            constants.extend(Norm::values(g, name, "", f, b));
        }
        let way = Way { rows: [b, n, length], reverse, last: self.last };
        let widths = vec![self.units; self.cell.carried()];
        go(g, f, way, &widths, &constants, &[read], |g, args| {
            let mut by_state = g.matmul(args.carried[0], args.constants[0]);
            if self.cell == Cell::Gru {
                by_state = g.add(by_state, args.constants[1]);
            }
            let norm = self.norm.then(|| Norm::of(&args.constants[1..]));
            self.cell.next(g, args.rows[0], by_state, args.carried, norm)
        })
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
        if self.norm && self.cell != Cell::Lstm {
            return Err("norm = true is that of recurrent = \"lstm\"".into());
        }
        if self.norm && self.units == 1 {
            return Err("the norm of one unit is always 0".into());
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
            if self.norm {
                Norm::params(&name, "", units, to);
                continue;
            }
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
        let (lead, row) = shape.split_at(f.lead);
        let x = sequences(g, x, f);
        let mut given = Vec::new();
        for direction in 0..self.directions() {
            let name = f.layer();
            given.push(g.scope(name.clone(), |g| self.run(g, x, &name, direction == 1, f)));
        }
        let y = g.concat(&given, g.shape(given[0]).len() - 1);
        let y = g.reshape(y, &[lead, &self.output(row).unwrap_or_default()].concat());
        f.gave(y)
    }
}
