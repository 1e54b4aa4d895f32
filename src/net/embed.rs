//! Numbers of symbols as vectors: rows `[length]` of whole numbers from 0 on, which name characters, bytes or words, to rows
//! `[length, width]`. A number that is no symbol's, as -1, gives zeros.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Layer, Params};
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

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let y = g.one_hot(x, self.symbols);
        f.read(y);
        y
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
    /// Whether the head of a language model reads its logits from the same vectors ([`Tied`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tied: bool,
}

impl Embed {
    /// So many numbers for each of so many symbols.
    #[must_use]
    pub fn new(width: usize, symbols: usize) -> Embed {
        Embed { width, symbols, tied: false }
    }
}

impl Kind for Embed {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        check(row, self.symbols, self.width)
    }

    fn params(&self, _: &[usize], to: &mut Params<'_>) {
        let (name, role) = (to.layer(), to.role);
        let shape = [self.symbols, self.width];
        // Logits by the same vectors should be of order one.
        let size = if self.tied { 1.0 / (self.width as f64).sqrt() } else { 1.0 };
        to.layout.push(format!("{name}.weight"), &shape, Init::Normal(size)).role = role;
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
            f.read(y);
            g.reshape(y, &[before, &[rows, length, self.width]].concat())
        });
        f.gave(y)
    }
}

/// Logits of symbols by the vectors of the [`Embed`] that the net begins with: `x Wᵀ + bias`, bias `[symbols]` (Press and Wolf 2017, "Using the
/// output embedding to improve language models").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tied {
    /// Symbols.
    #[serde(rename = "tied_head")]
    pub symbols: usize,
}

impl Tied {
    /// Of so many symbols.
    #[must_use]
    pub fn new(symbols: usize) -> Tied {
        Tied { symbols }
    }

    /// Refuses a net that does not begin with vectors as wide as what stands before this layer, of shape `row`.
    pub(super) fn check(&self, first: Option<&Layer>, row: &[usize]) -> Result<(), String> {
        match (first, row) {
            (Some(Layer::Embed(embed)), [.., width])
                if embed.symbols == self.symbols && embed.width == *width =>
            {
                Ok(())
            }
            (Some(Layer::Embed(embed)), _) => Err(format!(
                "{} logits by the vectors of embed = {} with {} symbols, from rows {row:?}: a layer that gives {} channels has to stand before \
                 the head",
                self.symbols, embed.width, embed.symbols, embed.width
            )),
            _ => Err("the net does not begin with embed, whose vectors it would share".into()),
        }
    }
}

impl Kind for Tied {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        match row {
            [length, _] => Ok(vec![*length, self.symbols]),
            _ => Err(format!("reads sequences [length, channels], not rows {row:?}")),
        }
    }

    fn params(&self, _: &[usize], to: &mut Params<'_>) {
        let name = to.layer();
        to.layout.push(format!("{name}.bias"), &[self.symbols], Init::Constant(0.0)).role = to.role;
    }

    fn is_of_elements(&self) -> bool {
        true
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let shape = g.shape(x).to_vec();
        let y = g.scope(name.clone(), |g| {
            let &[.., rows, length, width] = &shape[..] else { panic!("sequences have two axes") };
            let before = &shape[..shape.len() - 3];
            let x = g.reshape(x, &[before, &[rows * length, width]].concat());
            let table = f.weights.get(g, &format!("{}0.weight", f.prefix));
            let y = g.matmul_t(x, false, table, true);
            let bias = f.weights.get(g, &format!("{name}.bias"));
            let bias = match g.shape(bias) {
                &[t, symbols] => g.reshape(bias, &[t, 1, symbols]),
                _ => bias,
            };
            let y = g.add(y, bias);
            g.reshape(y, &[before, &[rows, length, self.symbols]].concat())
        });
        f.gave(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Net, Weights};
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

    /// The head of a language model reads the vectors of its beginning, and has a bias of its own.
    #[test]
    fn a_tied_head_shares_the_table() -> Result<(), crate::error::Error> {
        let layers = [Layer::Embed(Embed { tied: true, ..Embed::new(2, 0) })];
        let net = Net::language_model(3, 4, &layers, true);
        net.check().expect("it fits");
        assert_eq!(net.layout().len(), 4 * 2 + 4);
        let narrow = net.clone();
        let wide =
            Net::language_model(3, 4, &[layers[0].clone(), Layer::Dense(crate::net::Dense::new(3))], true);
        assert!(wide.check().expect_err("it does not fit").contains("2 channels"), "{:?}", wide.check());
        let layout = narrow.layout();
        let table = [1.0, 2.0, -1.0, 0.5, 0.0, 1.0, 2.0, -2.0];
        let bias = [0.1, 0.2, 0.3, 0.4];
        let mut g = Graph::new();
        let flat = g.data("w", &[12]);
        let x = g.data("x", &[1, 3]);
        let y = narrow.apply(&mut g, Weights { flat, layout: &layout }, x);
        g.output("y", y);
        let mut s = Device::Cpu.prepare(lower(&g, Caps::cpu(1))?)?;
        s.write("w", &[&table[..], &bias].concat())?;
        s.write("x", &[2.0, 0.0, 3.0])?;
        s.run(1)?;
        for (said, id) in s.read("y")?.chunks(4).zip([2, 0, 3]) {
            let logits: Vec<f32> = (0..4)
                .map(|k| table[2 * id] * table[2 * k] + table[2 * id + 1] * table[2 * k + 1] + bias[k])
                .collect();
            let sum: f32 = logits.iter().map(|l| l.exp()).sum::<f32>().ln();
            assert!(
                said.iter().zip(&logits).all(|(y, l)| (y - (l - sum)).abs() < 1e-5),
                "{said:?} {logits:?}"
            );
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
