//! C99: a header with static functions and constants.

use super::Program;
use super::emit::Parameter;
use super::functions::Native;
use super::language::{Array, Language, digits, lines_of};
use crate::error::Result;

/// C99, also read by C++.
#[derive(Clone, Copy, Debug)]
pub struct C;

impl Language for C {
    fn file(&self, program: &Program) -> Result<String> {
        let (name, upper) = (&program.name, program.name.to_uppercase());
        let (functions, shared, workspace) = program.written(self)?;
        let about: String = program.about.iter().map(|line| format!(" * {line}\n")).collect();
        let sizes = program.sizes(workspace.max(1));
        let sizes = sizes.iter().map(|(size, n, what)| format!("/* {what} */\n#define {upper}_{size} {n}\n"));
        let tables =
            shared.tables.iter().map(|(table, values)| self.table(&format!("{name}_{table}"), values));
        let weights = match program.weights.is_empty() {
            true => String::new(),
            false => self.table(&format!("{name}_weights"), &program.weights),
        };
        let functions = functions.iter().map(|(function, written)| {
            let parameter = |p: &Parameter| match p {
                p if p.is_count() => format!("int {}", p.name),
                p => format!("{}float *{}", if p.written { "" } else { "const " }, p.name),
            };
            let parameters = function.parameters();
            let typed: Vec<String> = parameters.iter().map(parameter).collect();
            // Some networks need not look at all that they are given.
            let read = parameters.iter().filter(|p| !p.written).map(|p| format!("    (void){};\n", p.name));
            let weights = match function.reads_weights() {
                true => format!("    const float *w = {name}_weights;\n"),
                false => String::new(),
            };
            format!(
                "/* {} s: workspace, of each thread its own. */\n\
                 static inline void {name}_{}({}, float *s) {{\n{weights}{}    (void)s;\n{}}}\n\n",
                function.about,
                function.name,
                typed.join(", "),
                read.collect::<String>(),
                written.body
            )
        });
        Ok(format!(
            "/*\n{about} */\n#ifndef {upper}_H\n#define {upper}_H\n\n#include <math.h>\n\n{}\n{}{weights}\n{}\n{}#endif\n",
            sizes.collect::<String>(),
            tables.collect::<String>(),
            shared.definitions.text(),
            functions.collect::<String>(),
        ))
    }

    fn loop_over(&self, variable: &str, n: usize, _: bool) -> String {
        format!("for (int {variable} = 0; {variable} < {n}; {variable}++) {{")
    }

    fn loop_between(&self, variable: &str, from: &str, to: &str) -> String {
        format!("for (int {variable} = {from}; {variable} < {to}; {variable}++) {{")
    }

    fn number(&self, x: f64) -> String {
        format!("{}f", digits(x as f32))
    }

    fn element(&self, prefix: &str, array: Array<'_>, index: &str) -> String {
        match array {
            Array::Parameter(name) => format!("{name}[{index}]"),
            Array::Count(name) => format!("(float){name}"),
            Array::Table(name) => format!("{prefix}_{name}[{index}]"),
            Array::Weights => format!("w[{index}]"),
            Array::Workspace => format!("s[{index}]"),
        }
    }

    fn variable(&self, name: &str, value: &str) -> String {
        format!("float {name} = {value};")
    }

    fn function(&self, name: &str, parameters: &[&str], value: &str) -> String {
        let parameters: Vec<String> = parameters.iter().map(|p| format!("float {p}")).collect();
        format!("static inline float {name}({}) {{ return {value}; }}", parameters.join(", "))
    }

    fn native(&self, function: Native, a: &[String]) -> String {
        match function {
            Native::Exp => format!("expf({})", a[0]),
            Native::Log => format!("logf({})", a[0]),
            Native::Sqrt => format!("sqrtf({})", a[0]),
            Native::Sin => format!("sinf({})", a[0]),
            Native::Cos => format!("cosf({})", a[0]),
            Native::Tanh => format!("tanhf({})", a[0]),
            Native::Abs => format!("fabsf({})", a[0]),
            Native::Floor => format!("floorf({})", a[0]),
            Native::Round => format!("nearbyintf({})", a[0]),
            Native::Larger => format!("({0} != {0} || {0} >= {1}) ? {0} : {1}", a[0], a[1]),
            Native::Less => format!("{} < {} ? 1.0f : 0.0f", a[0], a[1]),
            Native::Equal => format!("{} == {} ? 1.0f : 0.0f", a[0], a[1]),
            Native::Choose => format!("{} != 0.0f ? {} : {}", a[0], a[1], a[2]),
            Native::IsFinite => format!("isfinite({}) ? 1.0f : 0.0f", a[0]),
        }
    }

    fn table(&self, name: &str, values: &[f32]) -> String {
        let lines = lines_of(values, |v| self.number(f64::from(v)));
        format!("static const float {name}[{}] = {{\n{lines}}};\n", values.len())
    }
}
