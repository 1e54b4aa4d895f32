//! WGSL: one entry point, a row of inputs an invocation.

use super::Program;
use super::functions::Native;
use super::language::{Array, Language, digits};
use crate::error::{Error, Result};

/// WGSL.
#[derive(Clone, Copy, Debug)]
pub struct Wgsl;

/// Rows of a workgroup.
pub const ROWS_OF_A_WORKGROUP: usize = 64;

/// Repetitions of an innermost loop that a compiler may write out.
const MOST_WRITTEN_OUT: usize = 16;

impl Language for Wgsl {
    fn file(&self, program: &Program) -> Result<String> {
        let name = &program.name;
        if program.learner.is_some() {
            return Err(Error::Shape(
                "a shader says what one network says: write a network of `adapt` out as one, and the whole model as C, Rust or ONNX".into(),
            ));
        }
        let (functions, shared, workspace) = program.written(self)?;
        let [(_, written)] = &functions[..] else {
            return Err(Error::Shape("a shader has one entry point".into()));
        };
        let about: String = program.about.iter().map(|line| format!("// {line}\n")).collect();
        let tables =
            shared.tables.iter().map(|(table, values)| self.table(&format!("{name}_{table}"), values));
        let tables: String = tables.collect();
        let (inputs, outputs, workspace) = (program.inputs, program.outputs, workspace.max(1));
        Ok(format!(
            "{about}\n// Rows of inputs [rows, {inputs}], what is said of each [rows, {outputs}], the weights [{}], room for what is in between\n\
             // [rows, {workspace}], and the number of rows, which are dispatched {ROWS_OF_A_WORKGROUP} a workgroup.\n\
             @group(0) @binding(0) var<storage, read> {name}_x: array<f32>;\n\
             @group(0) @binding(1) var<storage, read_write> {name}_y: array<f32>;\n\
             @group(0) @binding(2) var<storage, read> {name}_w: array<f32>;\n\
             @group(0) @binding(3) var<storage, read_write> {name}_s: array<f32>;\n\
             @group(0) @binding(4) var<uniform> {name}_rows: u32;\n\n{}{}\
             @compute @workgroup_size({ROWS_OF_A_WORKGROUP})\nfn {name}_predict(@builtin(global_invocation_id) id: vec3<u32>) {{\n    \
             let row = id.x;\n    if (row >= {name}_rows) {{\n        return;\n    }}\n    let none = {name}_rows >> 31u;\n    let x0 = row * {inputs}u;\n    let y0 = row * {outputs}u;\n    \
             let s0 = row * {workspace}u;\n{}}}\n",
            program.weights.len(),
            tables,
            shared.definitions.text(),
            written.body,
        ))
    }

    fn loop_over(&self, variable: &str, n: usize, innermost: bool) -> String {
        // Compilers write out loops whose bounds they know, and those around them, and take minutes: of others they do not know that `none` is 0.
        let bound = if innermost && n <= MOST_WRITTEN_OUT { format!("{n}u") } else { format!("{n}u + none") };
        format!("for (var {variable} = 0u; {variable} < {bound}; {variable}++) {{")
    }

    fn loop_between(&self, variable: &str, from: &str, to: &str) -> String {
        format!("for (var {variable} = u32({from}); {variable} < {to}; {variable}++) {{")
    }

    fn number(&self, x: f64) -> String {
        digits(x as f32)
    }

    fn element(&self, prefix: &str, array: Array<'_>, index: &str) -> String {
        match array {
            Array::Parameter(name) => format!("{prefix}_{name}[{name}0 + {index}]"),
            Array::Count(name) => format!("f32({prefix}_{name})"),
            Array::Table(name) => format!("{prefix}_{name}[{index}]"),
            Array::Weights => format!("{prefix}_w[{index}]"),
            Array::Workspace => format!("{prefix}_s[s0 + {index}]"),
        }
    }

    fn variable(&self, name: &str, value: &str) -> String {
        format!("var {name} = {value};")
    }

    fn function(&self, name: &str, parameters: &[&str], value: &str) -> String {
        let parameters: Vec<String> = parameters.iter().map(|p| format!("{p}: f32")).collect();
        format!("fn {name}({}) -> f32 {{\n    return {value};\n}}\n", parameters.join(", "))
    }

    fn native(&self, function: Native, a: &[String]) -> String {
        match function {
            Native::Exp => format!("exp({})", a[0]),
            Native::Log => format!("log({})", a[0]),
            Native::Sqrt => format!("sqrt({})", a[0]),
            Native::Sin => format!("sin({})", a[0]),
            Native::Cos => format!("cos({})", a[0]),
            // Beyond 9 it is 1 in f32, and some devices overflow.
            Native::Tanh => format!("tanh(clamp({}, -9.0, 9.0))", a[0]),
            Native::Abs => format!("abs({})", a[0]),
            Native::Floor => format!("floor({})", a[0]),
            Native::Round => format!("round({})", a[0]),
            Native::Larger => format!("max({}, {})", a[0], a[1]),
            Native::Less => format!("select(0.0, 1.0, {} < {})", a[0], a[1]),
            Native::Equal => format!("select(0.0, 1.0, {} == {})", a[0], a[1]),
            Native::Choose => format!("select({2}, {1}, {0} != 0.0)", a[0], a[1], a[2]),
            Native::IsFinite => {
                format!("select(0.0, 1.0, (bitcast<u32>({}) & 0x7f800000u) != 0x7f800000u)", a[0])
            }
        }
    }

    fn table(&self, name: &str, values: &[f32]) -> String {
        let all: Vec<String> = values.iter().map(|v| digits(*v)).collect();
        format!("const {name} = array<f32, {}>({});\n", values.len(), all.join(", "))
    }
}
