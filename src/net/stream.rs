//! Sequences that go on where others ended: the states of recurrent layers in and out.
//!
//! ```
//! use hyperloom::net::{Cell, Net, Recurrent};
//!
//! let net = Net::rows([100, 3]).recurrent(Recurrent::new(Cell::Lstm, 8)).dense(2);
//! assert_eq!(net.states(), [8, 8]);
//! assert_eq!(net.of_one_element()?.input(), [1, 3]);
//! let mut both = Recurrent::new(Cell::Gru, 8);
//! both.bidirectional = true;
//! assert!(Net::rows([100, 3]).recurrent(both).of_one_element().is_err());
//! # Ok::<(), String>(())
//! ```

use super::layer::{Kind, Layer};
use super::network::Beside;
use super::{Embed, LogSoftmax, Net, Tied, Weights};
use crate::graph::{Graph, Value};

/// Numbers of an embedded symbol, where nothing is said.
const EMBEDDED: usize = 64;

impl Net {
    /// Widths of the states of its recurrent layers, in their order; of an LSTM what it gives and its cell.
    pub fn states(&self) -> Vec<usize> {
        states(&self.layers)
    }

    /// A language model over sequences of so many symbols: these layers, behind an [`Embed`] of 64 numbers where they do not begin with
    /// one or with a [`OneHot`](super::OneHot) (whose number of symbols may be left open, 0), and where a `head` is asked for a dense
    /// layer and the logarithms of the probabilities of what follows each symbol.
    #[must_use]
    pub fn language_model(length: usize, symbols: usize, layers: &[Layer], head: bool) -> Net {
        let mut layers = layers.to_vec();
        match layers.first_mut() {
            Some(Layer::Embed(embed)) if embed.symbols == 0 => embed.symbols = symbols,
            Some(Layer::Embed(_) | Layer::OneHot(_)) => {}
            _ => layers.insert(0, Layer::Embed(Embed::new(EMBEDDED, symbols))),
        }
        let tied = matches!(layers.first(), Some(Layer::Embed(Embed { tied: true, .. })));
        let net = Net::rows([length]).with_all(layers);
        let last =
            if tied { net.clone().with(Layer::Tied(Tied::new(symbols))) } else { net.clone().dense(symbols) };
        if head { last.with(Layer::LogSoftmax(LogSoftmax::on())) } else { net }
    }

    /// Symbols that the first layer knows, where it is one of symbols.
    pub fn symbols(&self) -> Option<usize> {
        match self.layers.first() {
            Some(Layer::Embed(embed)) => Some(embed.symbols),
            Some(Layer::OneHot(one_hot)) => Some(one_hot.symbols),
            _ => None,
        }
    }

    /// Whether elements of a sequence look at one another in some layer.
    pub(crate) fn has_attention(&self) -> bool {
        has_attention(&self.layers)
    }

    /// Refuses a net that says of an element of a sequence what depends on later ones, as no language model may.
    ///
    /// # Errors
    /// Which layer looks at later elements.
    pub fn check_causal(&self) -> Result<(), String> {
        match first_not(&self.layers, |kind| kind.is_causal()) {
            Some((i, layer)) => {
                let why = "looks at what follows, and is asked to predict it: attention with causal = true, convolutions with padding = \
                           \"causal\" and a stride of 1, and recurrent cells of one direction that give all states do not";
                Err(layer.refused(i, why))
            }
            None => Ok(()),
        }
    }

    /// The same net over sequences of another length. It has the same parameters.
    ///
    /// # Errors
    /// Which layer looks at other elements than those before, and by more than states.
    pub fn of_length(&self, length: usize) -> Result<Net, String> {
        let mut other = self.of_one_element()?;
        other.input[0] = length;
        Ok(other)
    }

    /// The same net over the beginnings of its sequences, of each of which it says what it does of the whole. It has the same parameters.
    ///
    /// # Errors
    /// Which layer looks at later elements, or has weights of its own for each place.
    pub fn shortened(&self, length: usize) -> Result<Net, String> {
        self.check_causal()?;
        let mut other = self.clone();
        other.input[0] = length;
        other.check()?;
        match other.layout() == self.layout() {
            true => Ok(other),
            false => Err("its weights belong to places of a sequence of this length".into()),
        }
    }

    /// The same net over single elements of sequences, to be gone on with from element to element ([`Net::apply_from`]). It has the same
    /// parameters.
    ///
    /// # Errors
    /// Which layer looks at other elements than those before, and by more than states.
    pub fn of_one_element(&self) -> Result<Net, String> {
        let mut one = self.clone();
        one.input[0] = 1;
        if let Some((i, layer)) = first_not(&self.layers, |kind| kind.is_of_elements()) {
            return Err(layer.refused(i, "looks at other elements of a sequence than the one it is at"));
        }
        one.check()?;
        Ok(one)
    }

    /// Sequences that go on where others ended: rows `[.., inputs]` beside the states `[.., width]` that recurrent layers begin with, as
    /// many as [`Net::states`] says. Gives predictions, and the states after the last element.
    ///
    /// # Panics
    /// Where there are more or fewer states.
    #[track_caller]
    pub fn apply_from(
        &self,
        g: &mut Graph,
        weights: Weights<'_>,
        states: &[Value],
        x: Value,
    ) -> (Value, Vec<Value>) {
        let widths = self.states();
        assert_eq!(states.len(), widths.len(), "states: the net has {} ({widths:?})", widths.len());
        self.run_from(g, weights, "", Some(states), None, x)
    }

    /// Sequences some of which are shorter than others: rows `[.., inputs]`, and `[.., length]` with a 1 where there is an element, 0 behind
    /// the end of a sequence. States stay as they were at the end, and nobody looks at what is not there.
    #[track_caller]
    pub fn apply_ragged(&self, g: &mut Graph, weights: Weights<'_>, there: Value, x: Value) -> Value {
        self.run_from(g, weights, "", None, Some(there), x).0
    }

    /// The same for a net whose parameters are called `prefix.0.weight`, … in the layout.
    #[track_caller]
    pub(crate) fn apply_named_ragged(
        &self,
        g: &mut Graph,
        weights: Weights<'_>,
        prefix: &str,
        there: Value,
        x: Value,
    ) -> Value {
        self.run_from(g, weights, prefix, None, Some(there), x).0
    }

    #[track_caller]
    fn run_from(
        &self,
        g: &mut Graph,
        weights: Weights<'_>,
        prefix: &str,
        states: Option<&[Value]>,
        there: Option<Value>,
        x: Value,
    ) -> (Value, Vec<Value>) {
        let widths = self.states();
        let mut f = self.forward(g, weights, prefix, x, Beside::default());
        f.starts = states.map(|states| states.iter().copied().collect());
        f.there = there;
        let rows = self.rows_of(g, x, &f);
        let y = f.list(g, &self.layers, rows);
        let lead = g.shape(x)[..g.shape(x).len() - 1].to_vec();
        let y = g.reshape(y, &[&lead[..], &[self.outputs()]].concat());
        let shaped = |(v, width): (&Value, usize)| g.reshape(*v, &[&lead[..], &[width]].concat());
        (y, f.ends.iter().zip(widths).map(shaped).collect())
    }
}

/// Widths of the states of recurrent layers, branches included.
fn states(layers: &[Layer]) -> Vec<usize> {
    let own = |layer: &Layer| match layer.branches() {
        none if none.is_empty() => layer.kind().states(),
        branches => branches.into_iter().flat_map(|b| states(b)).collect(),
    };
    layers.iter().flat_map(own).collect()
}

/// Whether one of these layers is attention over a sequence, branches included.
fn has_attention(layers: &[Layer]) -> bool {
    let one = |layer: &Layer| {
        matches!(layer, Layer::Attention(_)) || layer.branches().into_iter().any(|b| has_attention(b))
    };
    layers.iter().any(one)
}

/// The first layer that is not so, branches included.
fn first_not(layers: &[Layer], so: fn(&dyn Kind) -> bool) -> Option<(usize, &Layer)> {
    let inside = |layer: &Layer| layer.branches().into_iter().any(|b| first_not(b, so).is_some());
    layers.iter().enumerate().find(|(_, layer)| !so(layer.kind()) || inside(layer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Cell, Conv, OneHot, Padding, Recurrent, preset};
    use crate::plan::{Caps, lower};
    use crate::rng::Rng;
    use crate::run::Device;

    /// What a net says of 12 symbols.
    fn said(net: &Net, symbols: &[f32]) -> Result<Vec<f32>, crate::error::Error> {
        let layout = net.layout();
        let weights = layout.init(&mut Rng::new(3, 0));
        let mut g = Graph::new();
        let flat = g.data("w", &[layout.len()]);
        let x = g.data("x", &[1, symbols.len()]);
        let y = net.apply(&mut g, Weights { flat, layout: &layout }, x);
        g.output("y", y);
        let mut s = Device::Cpu.prepare(lower(&g, Caps::cpu(1))?)?;
        s.write("w", &weights)?;
        s.write("x", symbols)?;
        s.run(1)?;
        s.read("y")
    }

    /// Nothing that a causal net says of a symbol changes with those behind it; what is not causal is known as such.
    #[test]
    fn causal_nets_do_not_look_ahead() -> Result<(), crate::error::Error> {
        let conv = |padding| Layer::Conv(Conv { padding, ..Conv::new(6, 3) });
        let both = Recurrent { bidirectional: true, ..Recurrent::new(Cell::Gru, 4) };
        let mut nets: Vec<(Vec<Layer>, bool)> = ["rnn-5", "gru-5", "lstm-5", "transformer-8"]
            .map(|name| (preset(name).expect("a net"), true))
            .into();
        nets.push((vec![Layer::OneHot(OneHot::new(7)), conv(Padding::Causal)], true));
        nets.push((vec![conv(Padding::Same)], false));
        nets.push((vec![Layer::Recurrent(both)], false));
        nets.push((vec![Layer::Attention(crate::net::Attention::new(4))], false));
        for (layers, causal) in nets {
            let net = Net::language_model(12, 7, &layers, true);
            net.check().expect("it fits");
            assert_eq!(net.check_causal().is_ok(), causal, "{layers:?}");
            let text: Vec<f32> = (0..12).map(|i| (i * i % 7) as f32).collect();
            let mut other = text.clone();
            other[8..].iter_mut().for_each(|s| *s = 6.0 - *s);
            let (a, b) = (said(&net, &text)?, said(&net, &other)?);
            assert_eq!(a[..8 * 7] == b[..8 * 7], causal, "{layers:?}");
            assert!(a[8 * 7..] != b[8 * 7..]);
        }
        Ok(())
    }
}
