//! Networks as source code of other languages: one file that depends on nothing and allocates nothing, with the weights in it, for programs that cannot or
//! will not link this library.
//!
//! A graph becomes functions of plain loops over literal sizes ([`Function`]), a statement a value that has to stand somewhere; whatever layers a network has, its graph
//! is made of the same few operations. A [`Language`] says how a loop, an array and a number are written: C99 ([`C`]), Rust ([`Rust`]) and WGSL ([`Wgsl`]). The same graph goes
//! out as the nodes of an ONNX file ([`Program::onnx`]), for any number of rows.
//!
//! ```
//! use hyperloom::export::{C, program_of_network};
//! use hyperloom::net::Net;
//! use hyperloom::rng::Rng;
//! use hyperloom::spec::Activation::Tanh;
//! use hyperloom::task::Likelihood;
//!
//! let net = Net::mlp(&[2, 8, 1], Tanh);
//! let weights = net.layout().init(&mut Rng::new(0, 0));
//! let program = program_of_network("tiny", &net, &Likelihood::values(1), &[weights], &[1.0])?;
//! let header = program.text(&C)?;
//! assert!(header.contains("static inline void tiny_predict(const float *x, float *y, float *s)"));
//! # Ok::<(), hyperloom::Error>(())
//! ```

mod c;
mod emit;
mod functions;
mod index;
mod language;
mod nests;
mod onnx;
mod rust;
mod wgsl;

pub use c::C;
pub use emit::Function;
pub use language::Language;
pub use onnx::OnnxFile;
pub use rust::Rust;
pub use wgsl::{ROWS_OF_A_WORKGROUP, Wgsl};

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::net::{Net, Weights};
use crate::task::{Likelihood, Loss};

/// Functions with the constants that they read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Program {
    /// What all names begin with.
    pub name: String,
    /// Numbers of a row of inputs.
    pub inputs: usize,
    /// Numbers that are said of a row.
    pub outputs: usize,
    /// Weights, one network after another.
    pub weights: Vec<f32>,
    /// What stands at the top of the file, a line each.
    pub about: Vec<String>,
    /// The function that predicts a row.
    pub predict: Function,
}

impl Program {
    /// The program in a language.
    ///
    /// # Errors
    /// [`Error::Shape`] naming an operation that has no counterpart there.
    pub fn text(&self, language: &dyn Language) -> Result<String> {
        language.file(self)
    }

    /// The program as an ONNX file: rows `x [rows, ..]`, shaped as the network reads them, to what is said of them `y [rows, outputs]`. It holds facts by their names beside what the
    /// program says about itself.
    ///
    /// # Errors
    /// Those of [`Program::text`].
    pub fn onnx(&self, facts: &[(&str, String)]) -> Result<Vec<u8>> {
        let numbers = [("weights".into(), self.weights.clone())].into();
        let file = OnnxFile { about: self.about.join("\n"), facts, numbers, ..OnnxFile::new(&self.name) };
        onnx::file(&file, self.predict.of_rows.each_ref())
    }

    /// Numbers of the workspace.
    ///
    /// # Errors
    /// Those of [`Program::text`].
    pub fn workspace(&self) -> Result<usize> {
        Ok(self.predict.write(&C, &self.name)?.workspace)
    }
}

/// Refuses what cannot begin the name of a function.
///
/// # Errors
/// What would be right.
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match letters && name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => Ok(()),
        false => Err(format!(
            "'{name}' is no name of a function: letters, digits and underscores are, and a letter first"
        )),
    }
}

/// What a network of members with these shares says of a row, as [`Network::predict`](crate::meta::model::Network::predict) gives it.
///
/// # Errors
/// [`Error::Shape`] where the network reads more than one row at a time, or the name is none in C.
pub fn program_of_network(
    name: &str,
    net: &Net,
    likelihood: &Likelihood,
    members: &[Vec<f32>],
    shares: &[f64],
) -> Result<Program> {
    check_name(name).map_err(Error::Shape)?;
    if net.mixes_rows() || net.reads_support() {
        return Err(Error::Shape(
            "what the network says of a row depends on other rows (batch_norm): a network that `adapt` wrote, with batch_norm = \"support\", has settled that".into(),
        ));
    }
    if members.is_empty() {
        return Err(Error::Shape("a network without weights says nothing".into()));
    }
    let of_rows = |rows: usize| graph_of_network(net, likelihood, members.len(), shares, rows);
    Ok(Program {
        name: name.into(),
        inputs: net.inputs(),
        outputs: net.outputs(),
        weights: members.concat(),
        about: vec![],
        predict: Function::new("predict", of_rows(1), onnx::ROWS.map(of_rows)),
    })
}

/// What so many members say together of `x [rows, ..]`: `y [rows, outputs]`.
fn graph_of_network(
    net: &Net,
    likelihood: &Likelihood,
    members: usize,
    shares: &[f64],
    rows: usize,
) -> Graph {
    let (layout, p) = (net.layout(), net.layout().len());
    let mut graph = Graph::new();
    let g = &mut graph;
    let x = g.data("x", &[&[rows], net.input()].concat());
    let x = g.reshape(x, &[1, rows, net.inputs()]);
    let all = g.data("weights", &[members * p]);
    let (kind, alone) = (likelihood.loss, members == 1);
    let mut each = vec![];
    for k in 0..members {
        let flat = g.slice(all, 0, k * p, p);
        let flat = g.reshape(flat, &[1, p]);
        let y = net.apply(g, Weights { flat, layout: &layout }, x);
        let e = g.expr();
        each.push(match kind {
            Loss::CrossEntropy if alone => e.build(|g| g.log_softmax(y)).value(),
            Loss::CrossEntropy => e.build(|g| g.log_softmax(y)).exp().value(),
            Loss::Symbols if !alone => e.of(y).exp().value(),
            _ => y,
        });
    }
    let e = g.expr();
    let parts = each.iter().zip(shares).map(|(y, share)| e.of(*y).scale(*share));
    let said = parts.reduce(|sum, part| sum + part).map_or(x, |sum| sum.value());
    let said = match kind {
        Loss::CrossEntropy | Loss::Symbols if !alone => {
            let e = g.expr();
            e.of(said).larger(e.constant(LEAST)).ln().value()
        }
        _ => said,
    };
    let said = g.reshape(said, &[rows, net.outputs()]);
    g.output("y", said);
    graph
}

/// The least probability that has a logarithm.
const LEAST: f64 = 1e-30;
