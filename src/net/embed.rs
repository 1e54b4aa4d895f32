//! Numbers of symbols as vectors: rows `[length]` of whole numbers from 0 on, which name characters, bytes or words, to rows
//! `[length, width]`. A number that is no symbol's, as -1, gives zeros.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::layout::Init;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// Symbols that a layer knows, at most.
const MAX_SYMBOLS: usize = 65_536;

/// The shape of a row of symbols, or what is wrong with it.
fn check(row: &[usize], symbols: usize, width: usize) -> Result<Shape, String> {
    let &[length] = row else {
        return Err(format!("symbols lie in rows of one axis, [length], not {row:?}"));
    };
    if symbols == 0 {
        return Err(
            "symbols = N says how many there are: it may be left out of a language model alone".into()
        );
    }
    if !(2..=MAX_SYMBOLS).contains(&symbols) || !(1..=65_536).contains(&width) {
        return Err(format!(
            "{symbols} symbols as vectors of {width} numbers: 2 to {MAX_SYMBOLS}, and 1 to 65536, are possible"
        ));
    }
    Ok(vec![length, width])
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

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, _: &mut Forward<'_>) -> Value {
        g.one_hot(x, self.symbols)
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
    /// Symbols; 0: as many as a text has.
    #[serde(default)]
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

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let y = g.scope(name.clone(), |g| {
            let hot = g.one_hot(x, self.symbols);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Layer, Net, Weights};
    use crate::plan::{Caps, lower};
    use crate::run::Device;

    /// Rows of the table that numbers name, of a table that all share and of one a task; zeros for what is no symbol.
    #[test]
    fn symbols_are_rows_of_the_table() -> Result<(), crate::error::Error> {
        let net = Net::rows([3]).with(Layer::Embed(Embed::new(2, 4)));
        net.check().expect("it fits");
        let layout = net.layout();
        let ids = [3.0, 0.0, 3.0, 1.0, -1.0, 4.0];
        for tasks in [None, Some(2)] {
            let mut g = Graph::new();
            let x = g.data("x", &[2, 1, 3]);
            let shape = tasks.map_or(vec![8], |t| vec![t, 8]);
            let flat = g.data("w", &shape);
            let y = net.apply(&mut g, Weights { flat, layout: &layout }, x);
            g.output("y", y);
            let mut s = Device::Cpu.prepare(lower(&g, Caps::cpu(1))?)?;
            let w: Vec<f32> = (0..8 * tasks.unwrap_or(1)).map(|i| i as f32 + 1.0).collect();
            s.write("w", &w)?;
            s.write("x", &ids)?;
            s.run(1)?;
            let table = |task: usize, id: f32| match id {
                0.0..4.0 => [0, 1].map(|c| w[tasks.map_or(0, |_| 8 * task) + 2 * id as usize + c]),
                _ => [0.0; 2],
            };
            let want: Vec<f32> = (0..6).flat_map(|i| table(i / 3, ids[i])).collect();
            assert_eq!(s.read("y")?, want);
        }
        Ok(())
    }

    #[test]
    fn what_is_no_sequence_of_symbols_is_refused() {
        let said = |net: Net| net.check().expect_err("it does not fit");
        let one_hot = |symbols| Layer::OneHot(OneHot::new(symbols));
        assert!(said(Net::rows([3, 2]).with(one_hot(4))).contains("rows of one axis, [length], not [3, 2]"));
        assert!(said(Net::rows([3]).with(one_hot(1))).contains("2 to 65536"));
        assert!(said(Net::rows([3]).with(Layer::Embed(Embed::new(0, 4)))).contains("1 to 65536"));
    }
}
