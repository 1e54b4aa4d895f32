//! Programs of other languages, compiled and run.

use std::process::Command;

/// What a command printed, which has to end well.
pub(crate) fn ran(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

/// Numbers as a list in a source, each with what a language wants behind it.
pub(crate) fn listed(x: &[f32], end: &str) -> String {
    x.iter().map(|v| format!("{v:e}{end}")).collect::<Vec<_>>().join(", ")
}

/// The numbers that a program printed.
pub(crate) fn numbers(printed: &str) -> Vec<f32> {
    printed.split_whitespace().map(|v| v.parse().unwrap_or_else(|e| panic!("{v}: {e}"))).collect()
}
