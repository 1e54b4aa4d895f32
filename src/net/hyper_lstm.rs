//! An LSTM whose weights change as it reads (Ha, Dai and Le 2016, "HyperNetworks", appendix A.2): a small LSTM, the hyper cell, reads the
//! same elements and what the large one gave, and writes at each element how the rows of the large one's weights are scaled, and what is
//! added to them.
//!
//! Gates i, f, g, o; hyper cell `(e, d) = LSTM([h, x] hyper_weight + e hyper_recurrent + hyper_bias, d)`; of this element's e (as the authors' code
//! has it) `z_h = e scale_h + scale_h_bias`, `z_x = e scale_x + scale_x_bias`, `z_b = e shift_of`, each in four parts of `embedding` numbers; gate y:
//! `a_y = (z_h,y by_h,y) ⊙ (h recurrent)_y + (z_x,y by_x,y) ⊙ (x weight)_y + z_b,y by_b,y + bias_y`; the rest is that of an LSTM.
//!
//! What leads from e to the scales of the gates is linear, and the same at all elements: its two weights are multiplied before the scan.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::layout::Init;
use super::recurrent::{Next, Norm, Way, go, lstm, read, sequences, vector};
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// An LSTM that a smaller one changes as both read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HyperLstm {
    /// Width of the state.
    #[serde(rename = "hyper_lstm")]
    pub units: usize,
    /// Width of the hyper cell's state.
    #[serde(default = "hyper_units")]
    pub hyper: usize,
    /// Numbers that say how the weights of a gate are changed.
    #[serde(default = "embedding")]
    pub embedding: usize,
    /// Whether the sums of each gate, and the cells, are normalised, those of the hyper cell, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub norm: bool,
    /// Whether the state after the last element is all that is given, `[units]`, or the states after every element, `[length, units]`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

fn hyper_units() -> usize {
    16
}

fn embedding() -> usize {
    4
}

/// Gates of an LSTM.
const GATES: usize = 4;
/// What the gates of the hyper cell are called, in the order of an LSTM's.
const HYPER_GATES: [&str; 3] = ["hyper i", "hyper f", "hyper o"];
/// How far what the hyper cell says of a gate, and what that does to its rows, is drawn from what leaves an LSTM as it is.
const SAID: f64 = 0.1;
const SMALL: f64 = 0.05;

impl HyperLstm {
    /// So many units, a hyper cell of 16 and four numbers for each gate.
    #[must_use]
    pub fn new(units: usize) -> HyperLstm {
        HyperLstm { units, hyper: hyper_units(), embedding: embedding(), norm: false, last: false }
    }

    /// `[.., rows, 4 units]`: the parameter `first [rows, 4 embedding]` (or, of one row, a bias) gate by gate times `second [4, embedding, units]`.
    fn both(&self, g: &mut Graph, f: &Forward<'_>, rows: usize, name: &str, parts: (&str, &str)) -> Value {
        let (first, second) = parts;
        let first = f.weights.get(g, &format!("{name}.{first}"));
        let second = f.weights.get(g, &format!("{name}.{second}"));
        let tasks = if f.weights.per_task(g) { vec![g.shape(first)[0]] } else { vec![] };
        let first = g.reshape(first, &[&tasks[..], &[rows, GATES, self.embedding]].concat());
        let order: &[usize] = if tasks.is_empty() { &[1, 0, 2] } else { &[0, 2, 1, 3] };
        let first = g.permute(first, order);
        let both = g.matmul(first, second);
        let both = g.permute(both, order);
        g.reshape(both, &[&tasks[..], &[rows, GATES * self.units]].concat())
    }
}

impl Kind for HyperLstm {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let &[length, _] = row else {
            return Err(format!("a recurrent layer reads sequences [length, channels], not rows {row:?}"));
        };
        let sizes = [("units", self.units), ("hyper", self.hyper), ("embedding", self.embedding)];
        if let Some((what, n)) = sizes.iter().find(|(_, n)| !(1..=65_536).contains(n)) {
            return Err(format!("{what} = {n}: 1 to 65536 are possible"));
        }
        if self.norm && (self.units == 1 || self.hyper == 1) {
            return Err("the norm of one unit is always 0".into());
        }
        Ok(if self.last { vec![self.units] } else { vec![length, self.units] })
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let &[_, channels] = row else { return };
        let (name, role) = (to.layer(), to.role);
        let (h, hyper, z) = (self.units, self.hyper, self.embedding);
        let [large, small] = [h, hyper].map(|units| Init::Uniform(1.0 / (units as f64).sqrt()));
        let mut put = |what: &str, shape: &[usize], init: Init| {
            to.layout.push(format!("{name}.{what}"), shape, init).role = role;
        };
        put("weight", &[channels, GATES * h], large);
        put("recurrent", &[h, GATES * h], large);
        put("hyper_weight", &[h + channels, GATES * hyper], small);
        put("hyper_recurrent", &[hyper, GATES * hyper], small);
        put("hyper_bias", &[GATES * hyper], small);
        // Scales are about 1 at first.
        let (said, drawn, ones) = (Init::Uniform(SAID), Init::Uniform(SMALL), Init::Constant(1.0));
        put("scale_h", &[hyper, GATES * z], said);
        put("scale_h_bias", &[GATES * z], ones);
        put("scale_x", &[hyper, GATES * z], said);
        put("scale_x_bias", &[GATES * z], ones);
        put("shift_of", &[hyper, GATES * z], said);
        let share = Init::Around(1.0 / z as f64, SMALL);
        put("by_h", &[GATES, z, h], share);
        put("by_x", &[GATES, z, h], share);
        put("by_b", &[GATES, z, h], drawn);
        put("bias", &[GATES * h], Init::Constant(0.0));
        if self.norm {
            Norm::params(&name, "", h, to);
            Norm::params(&name, "hyper_", hyper, to);
        }
    }

    fn is_of_elements(&self) -> bool {
        !self.last
    }

    fn states(&self) -> Vec<usize> {
        vec![self.units, self.units, self.hyper, self.hyper]
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let shape = g.shape(x).to_vec();
        let (lead, row) = shape.split_at(f.lead);
        let y = g.scope(name.clone(), |g| {
            let x = sequences(g, x, f);
            let &[b, n, length, channels] = g.shape(x) else { panic!("sequences have four axes") };
            let (h, wide) = (self.units, GATES * self.units);
            let get = |g: &mut Graph, what: &str| f.weights.get(g, &format!("{name}.{what}"));
            let weight = get(g, "weight");
            let hyper_weight = get(g, "hyper_weight");
            let axis = g.shape(hyper_weight).len() - 2;
            let by_h = g.slice(hyper_weight, axis, 0, h);
            let by_x = g.slice(hyper_weight, axis, h, channels);
            let hyper_bias = vector(g, f, &format!("{name}.hyper_bias"), b);
            let rows = [read(g, x, weight, None), read(g, x, by_x, Some(hyper_bias))];
            // From e to the scales of what comes from h and from x, and to what is added.
            let parts = [("scale_h", "by_h"), ("scale_x", "by_x"), ("shift_of", "by_b")];
            let parts = parts.map(|part| self.both(g, f, self.hyper, &name, part));
            let axis = g.shape(parts[0]).len() - 1;
            let change = g.concat(&parts, axis);
            let mut starts = [("scale_h_bias", "by_h"), ("scale_x_bias", "by_x")]
                .map(|part| self.both(g, f, 1, &name, part))
                .to_vec();
            let bias = vector(g, f, &format!("{name}.bias"), b);
            let like = g.shape(starts[0]).to_vec();
            starts.push(g.reshape(bias, &like));
            let start = g.concat(&starts, axis);
            let mut constants = vec![get(g, "recurrent"), by_h, get(g, "hyper_recurrent"), change, start];
            if self.norm {
                constants.extend(Norm::values(g, &name, "", f, b));
                constants.extend(Norm::values(g, &name, "hyper_", f, b));
            }
            let way = Way { rows: [b, n, length], reverse: false, last: self.last };
            go(g, f, way, &self.states(), &constants, &rows, |g, args| {
                let &[state, cell, e, d] = args.carried else { panic!("a HyperLSTM carries four values") };
                let &[recurrent, by_h, hyper_recurrent, change, start, ref norms @ ..] = args.constants
                else {
                    panic!("a HyperLSTM has five weights")
                };
                let norm = |i: usize| self.norm.then(|| Norm::of(&norms[4 * i..4 * i + 4]));
                let sum = g.matmul(state, by_h);
                let sum = g.add(sum, args.rows[1]);
                let own = g.matmul(e, hyper_recurrent);
                let sum = g.add(sum, own);
                let small = lstm(g, sum, d, norm(1));
                let changes = g.matmul(small.states[0], change);
                let changes = g.add(changes, start);
                let [scale_h, scale_x, added] = [0, 1, 2].map(|i| g.slice(changes, 2, i * wide, wide));
                let by_state = g.matmul(state, recurrent);
                let by_state = g.mul(scale_h, by_state);
                let by_element = g.mul(scale_x, args.rows[0]);
                let sums = g.add(by_state, by_element);
                let sums = g.add(sums, added);
                let large = lstm(g, sums, cell, norm(0));
                let small_gates =
                    HYPER_GATES.into_iter().zip(&small.gates).map(|(name, (_, gate))| (name, *gate));
                Next {
                    states: [large.states, small.states].concat(),
                    gates: large.gates.into_iter().chain(small_gates).collect(),
                }
            })
        });
        let y = g.reshape(y, &[lead, &self.output(row).unwrap_or_default()].concat());
        f.gave(y)
    }
}
