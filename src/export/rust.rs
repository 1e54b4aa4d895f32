//! Rust: a module without dependencies.

use super::Program;
use super::functions::Native;
use super::language::{Array, Language, digits, lines_of};
use crate::error::Result;

/// Rust.
#[derive(Clone, Copy, Debug)]
pub struct Rust;

impl Language for Rust {
    fn file(&self, program: &Program) -> Result<String> {
        let written = program.predict.write(self, &program.name)?;
        let about: String = program.about.iter().map(|line| format!("//! {line}\n")).collect();
        let tables: String = written.tables.iter().map(|(name, values)| self.table(name, values)).collect();
        Ok(format!(
            "{about}#![allow(dead_code, unused_mut, unused_parens, unused_variables, non_upper_case_globals, clippy::all)]\n\n\
             /// Numbers of a row.\npub const INPUTS: usize = {};\n/// Numbers that are said of a row.\npub const OUTPUTS: usize = {};\n\
             /// Numbers of the workspace.\npub const WORKSPACE: usize = {};\n\n/// The weights, one network after another.\n{}{tables}\n{}\n\
             /// What the network says of a row.\n///\n/// # Panics\n/// Where an array is shorter than its constant.\n\
             pub fn predict(x: &[f32], y: &mut [f32], workspace: &mut [f32]) {{\n    \
             let (x, y, s, w) = (&x[..INPUTS], &mut y[..OUTPUTS], &mut workspace[..WORKSPACE], &WEIGHTS);\n{}}}\n",
            program.inputs,
            program.outputs,
            written.workspace,
            self.table("WEIGHTS", &program.weights).replacen("static", "pub static", 1),
            written.definitions,
            written.body,
        ))
    }

    fn loop_over(&self, variable: &str, n: usize, _: bool) -> String {
        format!("for {variable} in 0..{n}usize {{")
    }

    fn number(&self, x: f64) -> String {
        format!("{}_f32", digits(x as f32))
    }

    fn element(&self, _: &str, array: Array<'_>, index: &str) -> String {
        match array {
            Array::Parameter(name) | Array::Table(name) => format!("{name}[{index}]"),
            Array::Weights => format!("w[{index}]"),
            Array::Workspace => format!("s[{index}]"),
        }
    }

    fn variable(&self, name: &str, value: &str) -> String {
        format!("let mut {name}: f32 = {value};")
    }

    fn function(&self, name: &str, parameters: &[&str], value: &str) -> String {
        let parameters: Vec<String> = parameters.iter().map(|p| format!("{p}: f32")).collect();
        format!("#[inline]\nfn {name}({}) -> f32 {{\n    {value}\n}}", parameters.join(", "))
    }

    fn native(&self, function: Native, a: &[String]) -> String {
        match function {
            Native::Exp => format!("{}.exp()", a[0]),
            Native::Log => format!("{}.ln()", a[0]),
            Native::Sqrt => format!("{}.sqrt()", a[0]),
            Native::Sin => format!("{}.sin()", a[0]),
            Native::Cos => format!("{}.cos()", a[0]),
            Native::Tanh => format!("{}.tanh()", a[0]),
            Native::Abs => format!("{}.abs()", a[0]),
            Native::Floor => format!("{}.floor()", a[0]),
            Native::Larger => format!("if {0}.is_nan() || {0} >= {1} {{ {0} }} else {{ {1} }}", a[0], a[1]),
            Native::Less => format!("if {} < {} {{ 1.0 }} else {{ 0.0 }}", a[0], a[1]),
            Native::Equal => format!("if {} == {} {{ 1.0 }} else {{ 0.0 }}", a[0], a[1]),
            Native::Choose => format!("if {} != 0.0 {{ {} }} else {{ {} }}", a[0], a[1], a[2]),
            Native::IsFinite => format!("if {}.is_finite() {{ 1.0 }} else {{ 0.0 }}", a[0]),
        }
    }

    fn table(&self, name: &str, values: &[f32]) -> String {
        let lines = lines_of(values, digits);
        format!("static {name}: [f32; {}] = [\n{lines}];\n", values.len())
    }
}
