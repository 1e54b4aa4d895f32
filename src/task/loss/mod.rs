//! Losses: what is minimised on the rows of a task. A loss is one file here and one row of the table, which also says what outputs
//! that minimise it mean ([`Outputs`]).

mod cross_entropy;
mod elbo;
mod mse;
mod symbols;

use serde::{Deserialize, Serialize};

use super::outputs::{Classes, Outputs, Pixels, Symbols, Values};
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::spec::Activation;

/// One row a loss: its variant, its name in files, its graph, what its outputs mean.
macro_rules! table {
    ($($(#[$doc:meta])* $variant:ident $name:literal $loss:path, $outputs:expr;)*) => {
        /// What a network is asked to minimise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Loss { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Loss {
            /// What outputs that minimise it mean.
            pub(super) fn outputs(self) -> &'static dyn Outputs {
                match self { $(Loss::$variant => $outputs,)* }
            }
        }

        /// Loss of each task, `[T]`: prediction and target `[T, n, o]`, row weights `[T, n]` that sum to one over
        /// n (`None`: all rows alike).
        #[track_caller]
        pub fn loss(g: &mut Graph, kind: Loss, prediction: Value, target: Value, rows: Option<Value>) -> Value {
            match kind { $(Loss::$variant => $loss(g, prediction, target, rows),)* }
        }
    };
}

table! {
    /// Mean squared error of `[.., o]` outputs, averaged over them.
    Mse "mse" mse::loss, &Values;
    /// Cross entropy of `[.., c]` logits with probabilities or one-hot classes.
    CrossEntropy "crossentropy" cross_entropy::loss, &Classes;
    /// Negative evidence lower bound of a variational autoencoder, in bits a dimension: `[.., D + 1]` outputs are D logits and the
    /// divergence of the code in nats; targets are 0 or 1, and a last 0.
    Elbo "elbo" elbo::loss, &Pixels;
    /// Negative log-likelihood of sequences of symbols: `[.., length · symbols]` outputs are logarithms of probabilities, targets have a
    /// 1 for what stands at each place.
    Symbols "symbols" symbols::loss, &Symbols;
}

impl Loss {
    /// Whether outputs are logits of classes.
    pub fn has_classes(self) -> bool {
        self.outputs().are_classes()
    }

    /// Whether outputs are values, with noise that is normal.
    pub fn has_values(self) -> bool {
        self.outputs().are_values()
    }

    /// What several networks of these shares say together ([`Likelihood::mixture`](super::Likelihood::mixture)) of rows `[n · o]`.
    pub(crate) fn mixture(self, networks: &[&[f32]], shares: &[f64], o: usize) -> Vec<f32> {
        let (outputs, mut mean) = (self.outputs(), vec![0.0; networks.first().map_or(0, |y| y.len())]);
        for (y, share) in networks.iter().zip(shares).filter(|(_, share)| **share > 0.0) {
            mean.iter_mut().zip(outputs.mean(y, o)).for_each(|(m, v)| *m += share * v);
        }
        mean.into_iter().map(|m| outputs.of_mean(m)).collect()
    }

    /// How far several networks disagree on each row `[n · o]`, `[n]`: the variance of values, its mean over outputs; of classes what knowing the network
    /// would say of the class, in nats (the mutual information of both: Depeweg et al. 2018, "Decomposition of uncertainty in Bayesian deep learning").
    pub(crate) fn disagreement(self, networks: &[Vec<f32>], o: usize) -> Vec<f32> {
        let said: Vec<Vec<f64>> = networks.iter().map(|y| self.outputs().mean(y, o)).collect();
        let (m, numbers) = (said.len() as f64, said.first().map_or(0, Vec::len));
        let of = |i: usize| {
            let (each, mean) = (|| said.iter().map(|y| y[i]), said.iter().map(|y| y[i]).sum::<f64>() / m);
            if self.has_values() {
                return each().map(|v| (v - mean).powi(2)).sum::<f64>() / ((m - 1.0).max(1.0) * o as f64);
            }
            let entropy = |p: f64| if p == 0.0 { 0.0 } else { -p * p.ln() };
            entropy(mean) - each().map(entropy).sum::<f64>() / m
        };
        let each: Vec<f64> = (0..numbers).map(of).collect();
        // Rounding may bring what is 0 below it.
        let row = |row: &[f64]| row.iter().sum::<f64>();
        each.chunks(o).map(row).map(|v| if v < 0.0 { 0.0 } else { v as f32 }).collect()
    }

    /// The same of the networks of several members, by what those of each say together `[n · o]` and how far they disagree `[n]`; of each there are so many.
    pub(crate) fn disagreement_of_all(
        self,
        members: &[(&[f32], &[f32])],
        networks: usize,
        o: usize,
    ) -> Vec<f32> {
        let means: Vec<Vec<f32>> = members.iter().map(|m| m.0.to_vec()).collect();
        let (n, each) = (members.len() as f64, networks as f64);
        let between = self.disagreement(&means, o);
        let within = |row: usize| members.iter().map(|m| f64::from(m.1[row])).sum::<f64>();
        let all = |(row, between): (usize, &f32)| match self.has_values() {
            // Squares within members and between them, over one less than there are networks.
            true => {
                let squares = (each - 1.0) * within(row) + each * (n - 1.0) * f64::from(*between);
                (squares / (n * each - 1.0)) as f32
            }
            // What knowing the member says of the class, and what knowing its network says then.
            false => (f64::from(*between) + within(row) / n) as f32,
        };
        between.iter().enumerate().map(all).collect()
    }
}

impl Loss {
    /// What a prediction `[T, n, o]` got wrong of a target: of values the target less the prediction, of classes, symbols and pixels less their
    /// probabilities.
    #[track_caller]
    pub fn errors(self, g: &mut Graph, prediction: Value, target: Value) -> Value {
        let said = match self {
            Loss::Mse => prediction,
            Loss::CrossEntropy => {
                let logs = g.log_softmax(prediction);
                g.map(Func::Exp, logs)
            }
            Loss::Symbols => g.map(Func::Exp, prediction),
            Loss::Elbo => {
                let [t, n, o] = sizes(g, prediction);
                let pixels = g.slice(prediction, 2, 0, o - 1);
                let pixels = g.act(Activation::Sigmoid, pixels);
                let zero = g.constant(0.0);
                let divergence = g.expand(zero, &[t, n, 1]);
                g.concat(&[pixels, divergence], 2)
            }
        };
        g.sub(target, said)
    }
}

/// Sizes of a prediction: tasks, rows, outputs.
#[track_caller]
fn sizes(g: &Graph, prediction: Value) -> [usize; 3] {
    let [t, n, o] = g.shape(prediction)[..] else { panic!("a prediction is [T, n, o]") };
    [t, n, o]
}
