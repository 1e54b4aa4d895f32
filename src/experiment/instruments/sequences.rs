//! What goes on in networks over sequences: gates that hardly ever move, how far back training reaches, and what attention looks at.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::net::{Net, WatchedSequences};
use crate::run::cpu::CpuRunner;
use crate::task::Likelihood;

/// Below and above these a gate hardly moves with what it reads (Karpathy, Johnson and Fei-Fei 2015, "Visualizing and understanding recurrent
/// networks").
const CLOSED: f64 = 0.1;
const OPEN: f64 = 0.9;

/// How often a gate of a recurrent layer is nearly shut or fully open, over tasks, rows, elements and units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateSaturation {
    /// The layer.
    pub layer: String,
    /// The gate, as the layer's formulas call it.
    pub gate: String,
    /// Share of its values below .1.
    pub closed: f64,
    /// Share of its values above .9.
    pub open: f64,
}

/// How much the elements of a sequence look at one another in one layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attended {
    /// The layer.
    pub layer: String,
    /// Elements of the sequence.
    pub length: usize,
    /// A row for each element that looks, a column for each that is looked at, `[length, length]`: means over heads.
    pub weights: Vec<f64>,
}

/// What of a graph shows sequences, and what was seen so far.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    /// Layers, gates, and over how many elements.
    gates: Vec<(String, &'static str, usize)>,
    /// Layers with attention, and over how many elements.
    attention: Vec<(String, usize)>,
    /// Elements of the sequence whose gradient is known; 0: it is not.
    length: usize,
    /// Numbers that each element asks about, and how many do.
    asked: [usize; 2],
    /// For each gate: values below, above, and all.
    counts: Vec<[usize; 3]>,
    /// For each element the sum of squares of its gradient over rows, and the number of these.
    squares: Vec<f64>,
    rows: usize,
}

impl Sequences {
    /// Adds what shows sequences to the graph of a net that says y of rows x, `[1, n, ..]`.
    pub(super) fn add(
        g: &mut Graph,
        net: &Net,
        likelihood: &Likelihood,
        (x, y): (Value, Value),
        watched: &WatchedSequences,
    ) -> Sequences {
        let mut found = Sequences::default();
        for (i, (layer, gate, value)) in watched.gates.iter().enumerate() {
            g.output(&format!("gate {i}"), *value);
            found.gates.push((layer.clone(), gate, g.shape(*value)[1]));
        }
        for (i, (layer, weights)) in watched.attention.iter().enumerate() {
            g.output(&format!("attention {i}"), *weights);
            found.attention.push((layer.clone(), g.shape(*weights)[4]));
        }
        found.counts = vec![[0; 3]; found.gates.len()];
        let n = g.shape(x)[1];
        let width = if likelihood.kinds > 0 { likelihood.kinds } else { likelihood.outputs.max(1) };
        found.asked = [width, net.outputs() / width];
        // Of symbols there is no derivative, of the vectors that stand for them there is.
        let elements = match (watched.symbols, net.input()) {
            (None, &[length, _]) => Some((x, length)),
            (Some(vectors), &[length]) => Some((vectors, length)),
            _ => None,
        };
        let elements = elements.filter(|_| net.outputs().is_multiple_of(width));
        let Some((read, length)) = elements else { return found };
        let [width, many] = found.asked;
        let targets = g.data("targets", &[1, n, many, width]);
        let said = g.reshape(y, &[1, n, many, width]);
        let loss = if likelihood.has_classes() || likelihood.kinds > 0 {
            let said = g.log_softmax(said);
            let said = g.mul(said, targets);
            g.scale(said, -1.0)
        } else {
            let off = g.sub(said, targets);
            let square = g.mul(off, off);
            g.scale(square, 0.5)
        };
        let loss = g.sum_axes(loss, &[0, 1, 2, 3]);
        let loss = g.reshape(loss, &[]);
        let gradient = g.grad(loss, &[read])[0];
        g.output("gradient", gradient);
        found.length = length;
        found.squares = vec![0.0; length];
        found
    }

    /// What is asked of the last element of each row that anything is asked of, nothing of the others: targets of the rows, and of rows
    /// that are not there.
    fn last_targets(&self, targets: &[f32], rows: usize) -> Vec<f64> {
        let [width, many] = self.asked;
        let mut all = vec![0.0; rows * many * width];
        for (from, to) in targets.chunks(many * width).zip(all.chunks_mut(many * width)) {
            let last = from.chunks(width).rposition(|t| t.iter().any(|v| *v != 0.0)).unwrap_or(0);
            let last = if many == 1 { 0 } else { last };
            let place = last * width..(last + 1) * width;
            to[place.clone()].iter_mut().zip(&from[place]).for_each(|(to, v)| *to = f64::from(*v));
        }
        all
    }

    /// Writes what is asked of rows, where gradients are looked at.
    pub(super) fn ask(&self, runner: &mut CpuRunner<f64>, targets: &[f32], rows: usize) -> Result<()> {
        match self.length {
            0 => Ok(()),
            _ => runner.write("targets", &self.last_targets(targets, rows)),
        }
    }

    /// Takes in what a run shows of its first `there` rows, of so many.
    pub(super) fn look(&mut self, runner: &CpuRunner<f64>, there: usize, rows: usize) -> Result<()> {
        for (i, (counts, (.., length))) in self.counts.iter_mut().zip(&self.gates).enumerate() {
            let values = runner.read(&format!("gate {i}"))?;
            // [1, length, rows, units]
            let units = values.len() / (rows * length);
            for of_element in values.chunks(rows * units) {
                for v in &of_element[..there * units] {
                    counts[0] += usize::from(*v < CLOSED);
                    counts[1] += usize::from(*v > OPEN);
                    counts[2] += 1;
                }
            }
        }
        if self.length > 0 {
            let values = runner.read("gradient")?;
            let each = values.len() / (rows * self.length);
            let elements = values.chunks(each).take(there * self.length).enumerate();
            for (i, of_element) in elements {
                self.squares[i % self.length] += of_element.iter().map(|v| v * v).sum::<f64>();
            }
            self.rows += there;
        }
        Ok(())
    }

    /// How much the elements of the first row looked at one another in the last run.
    pub(super) fn attended(&self, runner: &CpuRunner<f64>, rows: usize) -> Result<Vec<Attended>> {
        let one = |(i, (layer, length)): (usize, &(String, usize))| {
            // [1, rows, heads, length, length]
            let values = runner.read(&format!("attention {i}"))?;
            let first = &values[..values.len() / rows];
            let heads = first.len() / (length * length);
            let mut weights = vec![0.0; length * length];
            for head in first.chunks(length * length) {
                weights.iter_mut().zip(head).for_each(|(sum, w)| *sum += w / heads as f64);
            }
            Ok(Attended { layer: layer.clone(), length: *length, weights })
        };
        self.attention.iter().enumerate().map(one).collect()
    }

    /// Whether there is attention to be drawn.
    pub(super) fn has_attention(&self) -> bool {
        !self.attention.is_empty()
    }

    /// How gates are.
    pub(super) fn gates(&self) -> Vec<GateSaturation> {
        let share = |n: usize, all: usize| n as f64 / all.max(1) as f64;
        let one =
            |((layer, gate, _), [closed, open, all]): (&(String, &str, usize), &[usize; 3])| GateSaturation {
                layer: layer.clone(),
                gate: gate.to_string(),
                closed: share(*closed, *all),
                open: share(*open, *all),
            };
        self.gates.iter().zip(&self.counts).map(one).collect()
    }

    /// Of each element the size of the gradient, its root mean square over rows.
    pub(super) fn gradient(&self) -> Vec<f64> {
        let rows = self.rows.max(1) as f64;
        self.squares.iter().map(|sum| (sum / rows).sqrt()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Networks;
    use crate::adapt::Adaptation;
    use crate::error::Result;
    use crate::hyper::HyperSpec;
    use crate::meta::model::Model;
    use crate::net::{Cell, HyperLstm, Layer, Net, Recurrent};
    use crate::rng::Rng;
    use crate::task::{Likelihood, Task};

    fn drawn(rng: &mut Rng, n: usize) -> Vec<f32> {
        (0..n).map(|_| rng.normal() as f32).collect()
    }

    /// Gradients by elements are those that differences say, of one output and of one for each element, of which the last is asked about.
    #[test]
    fn gradients_are_those_of_differences() -> Result<()> {
        let gru = Net::rows([5, 2]).with(Layer::Recurrent(Recurrent::last(Cell::Gru, 3))).dense(1);
        let hyper = Net::rows([5, 2]).with(Layer::HyperLstm(HyperLstm::new(3))).dense(4);
        for (net, likelihood) in [(gru, Likelihood::values(1)), (hyper, Likelihood::symbols(5, 4))] {
            let mut rng = Rng::new(1, 0);
            let weights = net.layout().init(&mut rng);
            let x = drawn(&mut rng, 3 * 10);
            let (symbols, width) = (likelihood.kinds > 0, net.outputs());
            let mut y = drawn(&mut rng, 3 * width);
            if symbols {
                y = vec![0.0; 3 * width];
                // Of the second row nothing is asked after the third element.
                [19, 20 + 10, 40 + 16].into_iter().for_each(|at| y[at] = 1.0);
            }
            let task = Task::from_support(vec![], vec![]).with_query(x.clone(), y.clone());
            let spec = HyperSpec::shared(net);
            let model = Model::new(spec, likelihood, Adaptation::fine_tuning(0.01, 1.0), weights.clone())?;
            let mut networks = Networks::prepare(&model, &[task])?;
            networks.watch(&weights, &x, &y)?;
            let found = networks.sequences.gradient();
            assert!(networks.sequences.gates().iter().all(|gate| gate.closed + gate.open < 0.5));

            let mut loss = |x: &[f32]| -> Result<Vec<f64>> {
                let (.., said) = networks.run(&weights, x)?;
                let rows = said.chunks(width).zip(y.chunks(width));
                let of = |(said, y): (&[f64], &[f32])| match symbols {
                    false => 0.5 * (said[0] - f64::from(y[0])).powi(2),
                    true => {
                        let at = y.iter().position(|v| *v == 1.0).expect("something is asked");
                        let said_there = &said[at / 4 * 4..][..4];
                        said_there.iter().map(|v| v.exp()).sum::<f64>().ln() - said[at]
                    }
                };
                Ok(rows.map(of).collect())
            };
            for (element, found) in found.iter().enumerate() {
                let mut squares = 0.0;
                for i in 0..3 * 2 {
                    let (row, at) = (i / 2, i / 2 * 10 + element * 2 + i % 2);
                    let mut moved = |by: f32| -> Result<f64> {
                        let mut x = x.clone();
                        x[at] += by;
                        Ok(loss(&x)?[row])
                    };
                    squares += ((moved(0.0078125)? - moved(-0.0078125)?) / 0.015625).powi(2);
                }
                let differences = (squares / 3.0).sqrt();
                assert!(
                    (found - differences).abs() < 1e-3 * differences + 1e-6,
                    "{element}: {found} {differences}"
                );
            }
        }
        Ok(())
    }
}
