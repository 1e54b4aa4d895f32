//! `hyperloom export` from outside.

use super::*;

/// A run over lines, a task's network of it, and one row.
fn adapted() -> Place {
    let place = Place::with([
        ("settings.toml", SETTINGS),
        ("lines.csv", lines_csv().as_str()),
        ("known.csv", "x,mood,height\n0,calm,1100\n1,wild,1110\n-1,calm,1090\n"),
        ("asked.csv", "x,mood\n0.5,calm\n2,wild\n"),
    ]);
    place.ok(&[&train(&LINES, "run")[..], &["--method", "fine-tune"]].concat());
    place.ok(&["adapt", "run", "--support", "known.csv", "--out", "net.safetensors"]);
    place
}

/// What C says is what `predict` says, from a file and its description alone.
#[test]
fn a_task_goes_out_as_c_and_says_the_same() {
    let place = adapted();
    let words = place.ok(&["export", "net.safetensors", "--out", "line.h"]);
    assert!(words.contains("line.h, line.json: A network of") && words.contains("2 networks"), "{words}");
    let facts = place.json("line.json");
    assert_eq!((&facts["function"], &facts["outputs"]), (&"line_predict".into(), &1.into()), "{facts}");
    // A row by its columns: x in its units, and a 1 for the level.
    let columns_of = facts["columns"].to_string();
    assert!(columns_of.contains("mood") && columns_of.contains("calm"), "{columns_of}");
    let (_, format) =
        hyperloom::experiment::run_folder::load_network(&place.path("net.safetensors")).unwrap();
    let table = hyperloom::data::Table::read(place.path("asked.csv")).unwrap();
    let x = format.inputs(&table).unwrap();
    assert_eq!(x.len(), 2 * facts["inputs"].as_u64().unwrap() as usize);
    let list: Vec<String> = x.iter().map(|v| format!("{v:e}f")).collect();
    let main = format!(
        "#include <stdio.h>\n#include \"line.h\"\nint main(void) {{\n static const float x[] = {{{}}};\n static float s[LINE_WORKSPACE];\n \
         for (int r = 0; r < 2; r++) {{ float y[LINE_OUTPUTS]; line_predict(x + r * LINE_INPUTS, y, s); printf(\"%.9g\\n\", (double)y[0]); }}\n return 0;\n}}\n",
        list.join(", ")
    );
    place.write("main.c", main);
    let flags = ["-std=c99", "-Wall", "-Werror", "-o", "line", "main.c", "-lm"];
    let compiled = Command::new("cc").current_dir(place.0.path()).args(flags).status();
    assert!(compiled.expect("a C compiler: install gcc").success());
    let out = Command::new(place.path("line")).output().unwrap().stdout;
    place.ok(&["predict", "net.safetensors", "--query", "asked.csv", "--out", "said.csv"]);
    let said = columns(&place.read("said.csv"));
    let (mean, std) = format.target_scale();
    for (printed, want) in String::from_utf8(out).unwrap().lines().zip(&said["prediction"]) {
        let (got, want): (f64, f64) = (mean + std * printed.parse::<f64>().unwrap(), want.parse().unwrap());
        assert!((got - want).abs() < 1e-4 * want.abs(), "{got} by C, {want} by the network");
    }
}

#[test]
fn other_languages_and_what_is_refused() {
    let place = adapted();
    place.ok(&["export", "net.safetensors", "--out", "line.rs"]);
    assert!(place.read("line.rs").contains("pub fn predict"));
    place.ok(&["export", "net.safetensors", "--to", "wgsl", "--name", "tiny", "--out", "shader.txt"]);
    let (text, facts) = (place.read("shader.txt"), place.json("shader.json"));
    assert!(text.contains("fn tiny_predict") && facts["weights"] == "shader.bin", "{facts}");
    let weights = fs::metadata(place.path("shader.bin")).unwrap().len();
    assert_eq!(4 * facts["bindings"][2]["numbers"].as_u64().unwrap(), weights);
    let words = place.ok(&["export", "net.safetensors", "--out", "rows.onnx"]);
    assert!(words.contains("rows.onnx, rows.json: A network of"), "{words}");
    let (file, facts) = (fs::read(place.path("rows.onnx")).unwrap(), place.json("rows.json"));
    assert_eq!(facts["tensors"], serde_json::json!({ "x": ["rows", facts["inputs"]], "y": ["rows", 1] }));
    // The facts stand in the file as they stand beside it.
    let facts = facts.to_string().into_bytes();
    assert!(file.windows(facts.len()).any(|part| part == facts), "no facts");
    let refused = |more: &[&str], parts: &[&str]| place.refused(&[&["export"], more].concat(), parts);
    refused(&["net.safetensors", "--out", "line.rs"], &["line.rs", "exists"]);
    refused(&["net.safetensors", "--out", "line.txt"], &["--out", ".h, .rs, .wgsl or .onnx", "--to"]);
    refused(&["net.safetensors", "--out", "my-line.h"], &["--name", "my-line", "letters"]);
    refused(&["run", "--out", "run.h"], &["run", "hyperloom adapt"]);
    refused(&["none.safetensors", "--out", "none.h"], &["none.safetensors"]);
}
