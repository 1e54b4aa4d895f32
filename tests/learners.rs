//! Whole models written out in C and Rust make of support rows the networks that the CPU path makes of them, by every way of adaptation.

#[path = "support/exported_models.rs"]
mod exported_models;
#[path = "support/outside.rs"]
mod outside;
mod support;
#[path = "support/ways.rs"]
mod ways;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use exported_models::{ModelCase, ROWS, THERE, model_cases};
use hyperloom::export::{C, Language, Rust};
use outside::{listed, numbers, ran};

fn write(folder: &Path, cases: &[ModelCase], language: &dyn Language, ending: &str) {
    for case in cases {
        let text = case.program.text(language).unwrap_or_else(|e| panic!("{}: {e}", case.way));
        std::fs::write(folder.join(format!("{}.{ending}", case.name)), text).expect("a file");
    }
}

/// Compares what a program printed, a number a line, one case after another.
fn compare(cases: &[ModelCase], printed: &str) {
    let numbers = numbers(printed);
    let (mut rest, mut faults) = (&numbers[..], vec![]);
    for case in cases {
        let (mine, others) = rest.split_at(case.want.len().min(rest.len()));
        faults.extend(case.fault(mine));
        rest = others;
    }
    assert!(faults.is_empty() && rest.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn c_learns_what_the_cpu_path_learns() {
    let (dir, cases) = (tempfile::tempdir().expect("a folder"), model_cases());
    write(dir.path(), &cases, &C, "h");
    let mut main = String::from("#include <stdio.h>\n");
    cases.iter().for_each(|c| writeln!(main, "#include \"{}.h\"", c.name).unwrap());
    main += "int main(void) {\n";
    for case in &cases {
        let (name, upper) = (&case.name, case.name.to_uppercase());
        writeln!(
            main,
            "{{ static const float xs[] = {{{}}}, ys[] = {{{}}}, x[] = {{{}}};\n\
             static float s[{upper}_WORKSPACE], network[{upper}_NETWORK]; float y[{upper}_OUTPUTS];\n\
             {name}_adapt(xs, ys, {THERE}, network, s);\n\
             for (int r = 0; r < {ROWS}; r++) {{ {name}_predict(network, x + r * {upper}_INPUTS, y, s);\n\
             for (int i = 0; i < {upper}_OUTPUTS; i++) printf(\"%.9g\\n\", (double)y[i]); }}\n\
             for (int bad = 0; bad <= {upper}_SHOTS + 1; bad += {upper}_SHOTS + 1) {{ {name}_adapt(xs, ys, bad, network, s);\n\
             {name}_predict(network, x, y, s); if (y[0] == y[0]) printf(\"{name} learns from %d rows\\n\", bad); }} }}",
            listed(&case.support_x, "f"),
            listed(&case.support_y, "f"),
            listed(&case.x, "f"),
        )
        .unwrap();
    }
    main += "return 0;\n}\n";
    std::fs::write(dir.path().join("main.c"), &main).expect("a file");
    let strict =
        ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O0", "-ffp-contract=off", "-o", "run", "main.c", "-lm"];
    ran(Command::new("cc").current_dir(&dir).args(strict));
    compare(&cases, &ran(&mut Command::new(dir.path().join("run"))));
}

/// Some of them: functions are the same in both languages.
#[test]
fn rust_learns_what_the_cpu_path_learns() {
    let dir = tempfile::tempdir().expect("a folder");
    let cases: Vec<ModelCase> = model_cases().into_iter().step_by(5).collect();
    write(dir.path(), &cases, &Rust, "rs");
    let mut main = String::new();
    cases.iter().for_each(|c| writeln!(main, "mod {};", c.name).unwrap());
    main += "fn main() {\n";
    for case in &cases {
        let name = &case.name;
        writeln!(
            main,
            "{{ use {name}::*; let (mut network, mut y, mut s) = ([0.0; NETWORK], [0.0; OUTPUTS], [0.0; WORKSPACE]);\n\
             adapt(&[{}], &[{}], {THERE}, &mut network, &mut s);\n\
             for row in [{}].chunks(INPUTS) {{ predict(&network, row, &mut y, &mut s); y.iter().for_each(|v| println!(\"{{v:e}}\")); }} }}",
            listed(&case.support_x, ""),
            listed(&case.support_y, ""),
            listed(&case.x, ""),
        )
        .unwrap();
    }
    main += "}\n";
    std::fs::write(dir.path().join("main.rs"), main).expect("a file");
    let flags = ["--edition", "2021", "-D", "warnings", "-o", "run", "main.rs"];
    ran(Command::new("rustc").current_dir(&dir).args(flags));
    compare(&cases, &ran(&mut Command::new(dir.path().join("run"))));
}
