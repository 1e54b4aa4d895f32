//! Rust: a module without dependencies.

use super::Program;
use super::emit::Parameter;
use super::functions::Native;
use super::language::{Array, Language, digits, lines_of};
use crate::error::Result;

/// Rust.
#[derive(Clone, Copy, Debug)]
pub struct Rust;

impl Language for Rust {
    fn file(&self, program: &Program) -> Result<String> {
        let (functions, shared, workspace) = program.written(self)?;
        let about: String = program.about.iter().map(|line| format!("//! {line}\n")).collect();
        let sizes = program.sizes(workspace);
        let sizes =
            sizes.iter().map(|(size, n, what)| format!("/// {what}\npub const {size}: usize = {n};\n"));
        let tables = shared.tables.iter().map(|(name, values)| self.table(name, values));
        let weights = match program.weights.is_empty() {
            true => String::new(),
            false => {
                let table = self.table("WEIGHTS", &program.weights).replacen("static", "pub static", 1);
                format!("/// The weights.\n{table}")
            }
        };
        let functions = functions.iter().map(|(function, written)| {
            let parameters = function.parameters();
            let typed = |p: &Parameter| match p {
                p if p.is_count() => format!("{}: usize", p.name),
                p => format!("{}: &{}[f32]", p.name, if p.written { "mut " } else { "" }),
            };
            let bound = |p: &Parameter| match p {
                p if p.is_count() => String::new(),
                p => format!("    let {0} = &{1}{0}[..{2}];\n", p.name, if p.written { "mut " } else { "" }, p.len),
            };
            let weights = if function.reads_weights() { "    let w = &WEIGHTS;\n" } else { "" };
            format!(
                "/// {}\n///\n/// # Panics\n/// Where an array is shorter than its constant.\n\
                 pub fn {}({}, workspace: &mut [f32]) {{\n{}    let s = &mut workspace[..WORKSPACE];\n{weights}{}}}\n\n",
                function.about,
                function.name,
                parameters.iter().map(typed).collect::<Vec<_>>().join(", "),
                parameters.iter().map(bound).collect::<String>(),
                written.body
            )
        });
        Ok(format!(
            "{about}#![allow(dead_code, unused_mut, unused_parens, unused_variables, non_upper_case_globals, clippy::all)]\n\n\
             {}\n{weights}{}\n{}\n{}",
            sizes.collect::<String>(),
            tables.collect::<String>(),
            shared.definitions.text(),
            functions.collect::<String>().trim_end().to_string() + "\n",
        ))
    }

    fn loop_over(&self, variable: &str, n: usize, _: bool) -> String {
        format!("for {variable} in 0..{n}usize {{")
    }

    fn loop_between(&self, variable: &str, from: &str, to: &str) -> String {
        format!("for {variable} in {from}..{to} {{")
    }

    fn number(&self, x: f64) -> String {
        format!("{}_f32", digits(x as f32))
    }

    fn element(&self, _: &str, array: Array<'_>, index: &str) -> String {
        match array {
            Array::Parameter(name) | Array::Table(name) => format!("{name}[{index}]"),
            Array::Count(name) => format!("({name} as f32)"),
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
            Native::Round => format!("{}.round_ties_even()", a[0]),
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
