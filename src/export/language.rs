//! What differs between languages.

use super::Program;
use super::functions::Native;
use crate::error::Result;

/// How loops, arrays and numbers are written.
pub trait Language {
    /// The file of a program.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) naming an operation that has no counterpart.
    fn file(&self, program: &Program) -> Result<String>;

    /// The head of a loop of `variable` from 0 to `n`, which ends with an opening brace; `innermost`: there is no other in it.
    fn loop_over(&self, variable: &str, n: usize, innermost: bool) -> String;

    /// The head of a loop of `variable` from one bound to before another, of which either may be a variable of loops around it.
    fn loop_between(&self, variable: &str, from: &str, to: &str) -> String;

    /// A number.
    fn number(&self, x: f64) -> String;

    /// Element `index` of an array of the program that `prefix` names.
    fn element(&self, prefix: &str, array: Array<'_>, index: &str) -> String;

    /// A local variable that changes.
    fn variable(&self, name: &str, value: &str) -> String;

    /// A function of f32 parameters that gives one expression.
    fn function(&self, name: &str, parameters: &[&str], value: &str) -> String;

    /// What a function that every language has is made of, of these arguments.
    fn native(&self, function: Native, arguments: &[String]) -> String;

    /// An array of constants.
    fn table(&self, name: &str, values: &[f32]) -> String;
}

/// An array that statements read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Array<'a> {
    /// An input or output of the function.
    Parameter(&'a str),
    /// A whole number that the function is given, as a number.
    Count(&'a str),
    /// The weights.
    Weights,
    /// Constants of the graph.
    Table(&'a str),
    /// Where values stand in between.
    Workspace,
}

/// Numbers that every language reads: as short as they come back the same, with a point or an exponent.
pub(super) fn digits(x: f32) -> String {
    let text = format!("{x:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = if mantissa.contains('.') { mantissa.to_string() } else { format!("{mantissa}.0") };
    match exponent {
        "0" => mantissa,
        _ => format!("{mantissa}e{exponent}"),
    }
}

/// Lines of so many numbers of an array.
pub(super) fn lines_of(values: &[f32], write: impl Fn(f32) -> String) -> String {
    let line = |chunk: &[f32]| chunk.iter().map(|v| write(*v)).collect::<Vec<_>>().join(", ");
    values.chunks(8).map(|chunk| format!("    {},\n", line(chunk))).collect()
}
