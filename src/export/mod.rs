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
mod equations;
mod functions;
mod index;
mod language;
mod model;
mod nests;
mod onnx;
mod rust;
mod statements;
mod torch;
mod wgsl;

pub use crate::meta::whole::most_support_rows;
pub use c::C;
pub use emit::Function;
pub use language::Language;
pub use model::program_of_model;
pub use onnx::OnnxFile;
pub use rust::Rust;
pub use torch::{StateDict, TorchNet, TorchParam, torch_of};
pub use wgsl::{ROWS_OF_A_WORKGROUP, Wgsl};

use std::collections::BTreeMap;

use self::emit::{Shared, Written};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::meta::model::Network;
use crate::meta::whole::{Share, check_rows, said};
use crate::net::Net;
use crate::task::Likelihood;

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
    /// Weights that its functions read.
    pub weights: Vec<f32>,
    /// What stands at the top of the file, a line each.
    pub about: Vec<String>,
    /// The function that predicts a row.
    pub predict: Function,
    /// The function that makes networks, of a whole model.
    pub learner: Option<Learner>,
    /// Whether an ONNX file holds weights that are whole numbers of eight bits times scales as such ([`OnnxFile::eight_bits`]).
    pub eight_bits: bool,
    /// All that is done to so many rows at once.
    of_rows: [Graph; 2],
}

/// The part of a program that makes networks of support rows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Learner {
    /// Support rows at most.
    pub shots: usize,
    /// Numbers of a task's descriptor.
    pub descriptor: usize,
    /// Numbers of what it makes: the weights of networks one after another, and their shares where the support decides these.
    pub network: usize,
    /// The function that does it.
    pub adapt: Function,
    /// What these networks say of so many rows at once.
    predict_rows: [Graph; 2],
}

impl Program {
    /// The program in a language.
    ///
    /// # Errors
    /// [`Error::Shape`] naming an operation that has no counterpart there.
    pub fn text(&self, language: &dyn Language) -> Result<String> {
        language.file(self)
    }

    /// The program as an ONNX file: rows `x [rows, ..]`, shaped as the network reads them, to what is said of them `y [rows, outputs]`. Of a whole model its inputs are `support_x`,
    /// `support_y` and `shots`, too, and the `network` that they make is an output. It holds facts by their names beside what the program says about itself.
    ///
    /// # Errors
    /// Those of [`Program::text`].
    pub fn onnx(&self, facts: &[(&str, String)]) -> Result<Vec<u8>> {
        self.onnx_of(facts, self.of_rows.each_ref())
    }

    /// A whole model as two ONNX files: from support rows to a `network`, and from a `network` and rows `x` to `y`. `None` where the program is of a network.
    ///
    /// # Errors
    /// Those of [`Program::text`].
    pub fn onnx_apart(&self, facts: &[(&str, String)]) -> Result<Option<[Vec<u8>; 2]>> {
        let Some(learner) = &self.learner else { return Ok(None) };
        let adapt = &learner.adapt.graph;
        let parts = [[adapt, adapt], learner.predict_rows.each_ref()];
        let [adapt, predict] = parts.map(|graphs| self.onnx_of(facts, graphs));
        Ok(Some([adapt?, predict?]))
    }

    fn onnx_of(&self, facts: &[(&str, String)], graphs: [&Graph; 2]) -> Result<Vec<u8>> {
        let numbers = [("weights".into(), self.weights.clone())].into();
        let indices = self.learner.as_ref().map_or_else(BTreeMap::new, |l| l.adapt.indices.clone());
        let (about, eight_bits) = (self.about.join("\n"), self.eight_bits);
        let file = OnnxFile { about, facts, numbers, indices, eight_bits, ..OnnxFile::new(&self.name) };
        onnx::file(&file, graphs)
    }

    /// Its functions as text, what they share, and numbers of the workspace.
    fn written(&self, language: &dyn Language) -> Result<(Vec<(&Function, Written)>, Shared, usize)> {
        let mut shared = Shared::default();
        let functions = self.learner.iter().map(|l| &l.adapt).chain([&self.predict]);
        let functions = functions
            .map(|f| Ok((f, f.write(language, &self.name, &mut shared)?)))
            .collect::<Result<Vec<_>>>()?;
        let workspace = functions.iter().map(|(_, written)| written.workspace).max().unwrap_or(0);
        if workspace > MOST_WORKSPACE {
            return Err(Error::Memory(format!(
                "the workspace of '{}' would be {workspace} numbers, and {MOST_WORKSPACE} at most are possible: fewer support rows or steps need less",
                self.name
            )));
        }
        Ok((functions, shared, workspace))
    }

    /// Sizes of arrays by their names, and what they are.
    fn sizes(&self, workspace: usize) -> Vec<(&'static str, usize, &'static str)> {
        let mut all = vec![
            ("INPUTS", self.inputs, "Numbers of a row."),
            ("OUTPUTS", self.outputs, "Numbers that are said of a row."),
            ("WORKSPACE", workspace, "Numbers of the workspace."),
        ];
        if let Some(learner) = &self.learner {
            all.push(("SHOTS", learner.shots, "Support rows that there is room for."));
            all.push(("NETWORK", learner.network, "Numbers of a network."));
            if learner.descriptor > 0 {
                all.push(("DESCRIPTOR", learner.descriptor, "Numbers of a descriptor."));
            }
        }
        all
    }

    /// Numbers of the workspace.
    ///
    /// # Errors
    /// Those of [`Program::text`].
    pub fn workspace(&self) -> Result<usize> {
        Ok(self.written(&C)?.2)
    }
}

/// Numbers of a workspace at most: 1 GiB, and every index is an `int`.
const MOST_WORKSPACE: usize = 1 << 28;

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
    check_rows(net)?;
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
        predict: Function::new("predict", "y: what the network says of a row x.", of_rows(1)),
        learner: None,
        eight_bits: false,
        of_rows: onnx::ROWS.map(of_rows),
    })
}

/// The same of a network as it stands: what its weights were made goes into an ONNX file as it is.
///
/// # Errors
/// Those of [`program_of_network`].
pub fn program_of(name: &str, network: &Network) -> Result<Program> {
    let Network { spec, likelihood, members, shares, compression, .. } = network;
    let program = program_of_network(name, spec, likelihood, members, shares)?;
    Ok(Program { eight_bits: compression.is_of_eight_bits(), ..program })
}

/// What so many members say together of `x [rows, ..]`: `y [rows, outputs]`.
fn graph_of_network(
    net: &Net,
    likelihood: &Likelihood,
    members: usize,
    shares: &[f64],
    rows: usize,
) -> Graph {
    let p = net.layout().len();
    let mut graph = Graph::new();
    let g = &mut graph;
    let all = g.data("weights", &[members * p]);
    let member = |(k, share): (usize, &f64)| {
        let flat = g.slice(all, 0, k * p, p);
        (g.reshape(flat, &[1, p]), Share::Known(*share))
    };
    let networks: Vec<_> = shares.iter().take(members).enumerate().map(member).collect();
    let y = said(g, net, likelihood, &networks, None, rows);
    g.output("y", y);
    graph
}
