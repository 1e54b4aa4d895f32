//! Networks written out as C, Rust and WGSL compute what the CPU path computes, over layers of every kind.

#[path = "support/exported.rs"]
mod exported;
#[path = "support/outside.rs"]
mod outside;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use exported::{Case, NETS, ROWS, cases};
use hyperloom::export::{C, Language, Rust, program_of_network};
use hyperloom::net::{Layer, Net};
use hyperloom::task::Likelihood;
use outside::{listed, numbers, ran};

/// Every kind of layer that says something of a row by itself stands in some net.
#[test]
fn the_nets_have_layers_of_every_kind() {
    for name in Layer::NAMES {
        // Others' rows, the task's context, codes that are drawn and programs' own layers: refused, or none of a finished network's.
        let elsewhere = ["batch_norm", "context", "variational", "tied_head", "own"].contains(name);
        let quoted = format!("\"{name}\"");
        assert!(elsewhere || NETS.iter().any(|n| n.2.contains(&quoted)), "no net has a layer '{name}'");
    }
}

/// Compares what a program printed, a number a line, rows of one case after another.
fn compare(what: &str, cases: &[Case], printed: &str) {
    let numbers = numbers(printed);
    let mut rest = &numbers[..];
    for case in cases {
        let (mine, others) = rest.split_at(case.want.len().min(rest.len()));
        case.compare(what, mine);
        rest = others;
    }
    assert!(rest.is_empty(), "{what} says no more");
}

fn write(folder: &Path, cases: &[Case], language: &dyn Language, ending: &str) {
    for case in cases {
        let text = case.program.text(language).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        std::fs::write(folder.join(format!("{}.{ending}", case.name)), text).expect("a file");
    }
}

/// With every compiler of C that is there: gcc or cc at least.
#[test]
fn c_says_what_the_cpu_path_says() {
    let (dir, cases) = (tempfile::tempdir().expect("a folder"), cases());
    write(dir.path(), &cases, &C, "h");
    let mut main = String::from("#include <stdio.h>\n");
    cases.iter().for_each(|c| writeln!(main, "#include \"{}.h\"", c.name).unwrap());
    main += "int main(void) {\n";
    for case in &cases {
        let (name, upper) = (&case.name, case.name.to_uppercase());
        writeln!(
            main,
            "{{ static const float x[] = {{{}}}; float y[{upper}_OUTPUTS]; static float s[{upper}_WORKSPACE];\n\
             for (int r = 0; r < {ROWS}; r++) {{ {name}_predict(x + r * {upper}_INPUTS, y, s);\n\
             for (int i = 0; i < {upper}_OUTPUTS; i++) printf(\"%.9g\\n\", (double)y[i]); }} }}",
            listed(&case.x, "f"),
        )
        .unwrap();
    }
    main += "return 0;\n}\n";
    std::fs::write(dir.path().join("main.c"), &main).expect("a file");
    // What C reads C++ reads, too.
    std::fs::write(dir.path().join("main.cpp"), &main).expect("a file");
    let there = |name: &str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    let mut tried = 0;
    for (compiler, standard, file) in [
        ("gcc", "-std=c99", "main.c"),
        ("clang", "-std=c99", "main.c"),
        ("cc", "-std=c99", "main.c"),
        ("g++", "-std=c++11", "main.cpp"),
    ] {
        if !there(compiler) {
            continue;
        }
        let strict = ["-Wall", "-Wextra", "-Werror", "-O2", "-ffp-contract=off", "-o", "run", file, "-lm"];
        ran(Command::new(compiler).current_dir(&dir).arg(standard).args(strict));
        compare(compiler, &cases, &ran(&mut Command::new(dir.path().join("run"))));
        tried += 1;
    }
    assert!(tried > 0, "a C compiler is needed: install gcc");
}

#[test]
fn rust_says_what_the_cpu_path_says() {
    let (dir, cases) = (tempfile::tempdir().expect("a folder"), cases());
    write(dir.path(), &cases, &Rust, "rs");
    let mut main = String::new();
    cases.iter().for_each(|c| writeln!(main, "mod {};", c.name).unwrap());
    main += "fn main() {\n";
    for case in &cases {
        let name = &case.name;
        writeln!(
            main,
            "{{ let x: &[f32] = &[{}]; let mut y = [0.0; {name}::OUTPUTS]; let mut s = [0.0; {name}::WORKSPACE];\n\
             for row in x.chunks({name}::INPUTS) {{ {name}::predict(row, &mut y, &mut s); y.iter().for_each(|v| println!(\"{{v:e}}\")); }} }}",
            listed(&case.x, ""),
        )
        .unwrap();
    }
    main += "}\n";
    std::fs::write(dir.path().join("main.rs"), main).expect("a file");
    let flags = ["--edition", "2021", "-D", "warnings", "-O", "-o", "run", "main.rs"];
    ran(Command::new("rustc").current_dir(&dir).args(flags));
    compare("rustc", &cases, &ran(&mut Command::new(dir.path().join("run"))));
}

#[test]
fn what_cannot_be_written_out_is_refused() {
    let refused = |name: &str, net: Net| {
        let weights = vec![0.0; net.layout().len()];
        let likelihood = Likelihood::values(net.outputs());
        program_of_network(name, &net, &likelihood, &[weights], &[1.0]).map(|_| ()).unwrap_err().to_string()
    };
    let names = refused("my-net", Net::rows([2]).dense(1));
    assert!(names.contains("my-net") && names.contains("letters"), "{names}");
    let mixes = refused("net", Net::rows([2]).dense(3).batch_norm_of_support().dense(1));
    assert!(mixes.contains("batch_norm"), "{mixes}");
}
