//! Numbers of symbols as vectors: rows `[length]` of whole numbers from 0 on, which name characters, bytes or words, to rows
//! `[length, width]`. A number that is no symbol's, as -1, gives zeros.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::layout::Init;
use crate::graph::op::Binary;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// Symbols that a layer knows, at most.
const MAX_SYMBOLS: usize = 65_536;

/// The shape of a row of symbols, or what is wrong with it.
fn check(row: &[usize], symbols: usize, width: usize) -> Result<Shape, String> {
    let &[length] = row else {
        return Err(format!("symbols lie in rows of one axis, [length], not {row:?}"));
    };
    if !(2..=MAX_SYMBOLS).contains(&symbols) || !(1..=65_536).contains(&width) {
        return Err(format!(
            "{symbols} symbols as vectors of {width} numbers: 2 to {MAX_SYMBOLS}, and 1 to 65536, are possible"
        ));
    }
    Ok(vec![length, width])
}

/// 1 where the last axis is the symbol's number, `[.., symbols]`, 0 elsewhere.
fn one_hot(g: &mut Graph, x: Value, symbols: usize) -> Value {
    let numbers: Vec<f64> = (0..symbols).map(|s| s as f64).collect();
    let numbers = g.constants(&[symbols], &numbers);
    let mut shape = g.shape(x).to_vec();
    shape.push(1);
    let x = g.reshape(x, &shape);
    g.zip(Binary::Equal, x, numbers)
}

/// Each symbol as a vector with a 1 at its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OneHot {
    /// Symbols.
    #[serde(rename = "one_hot")]
    pub symbols: usize,
}

impl OneHot {
    /// Of so many symbols.
    #[must_use]
    pub fn new(symbols: usize) -> OneHot {
        OneHot { symbols }
    }
}

impl Kind for OneHot {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        check(row, self.symbols, self.symbols)
    }

    fn apply(&self, g: &mut Graph, x: Value, _: &mut Forward<'_>) -> Value {
        one_hot(g, x, self.symbols)
    }
}

/// Each symbol as a learned vector: a row of the weight `[symbols, width]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Embed {
    /// Numbers of a vector.
    #[serde(rename = "embed")]
    pub width: usize,
    /// Symbols.
    pub symbols: usize,
}

impl Embed {
    /// So many numbers for each of so many symbols.
    #[must_use]
    pub fn new(width: usize, symbols: usize) -> Embed {
        Embed { width, symbols }
    }
}

impl Kind for Embed {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        check(row, self.symbols, self.width)
    }

    fn params(&self, _: &[usize], to: &mut Params<'_>) {
        let (name, role) = (to.layer(), to.role);
        let shape = [self.symbols, self.width];
        to.layout.push(format!("{name}.weight"), &shape, Init::Normal(1.0)).role = role;
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let y = g.scope(name.clone(), |g| {
            let hot = one_hot(g, x, self.symbols);
            let shape = g.shape(hot).to_vec();
            let &[.., rows, length, symbols] = &shape[..] else { panic!("rows of symbols have two axes") };
            // Those of all rows of a task are one product.
            let before = &shape[..shape.len() - 3];
            let hot = g.reshape(hot, &[before, &[rows * length, symbols]].concat());
            let table = f.weights.get(g, &format!("{name}.weight"));
            let y = g.matmul(hot, table);
            g.reshape(y, &[before, &[rows, length, self.width]].concat())
        });
        f.gave(y)
    }
}
