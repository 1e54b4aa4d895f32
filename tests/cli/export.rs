//! `hyperloom export` from outside.

use hyperloom::data::format::Format;

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
    let main = format!(
        "#include <stdio.h>\n#include \"line.h\"\nint main(void) {{\n static const float x[] = {{{}}};\n static float s[LINE_WORKSPACE];\n \
         for (int r = 0; r < 2; r++) {{ float y[LINE_OUTPUTS]; line_predict(x + r * LINE_INPUTS, y, s); printf(\"%.9g\\n\", (double)y[0]); }}\n return 0;\n}}\n",
        listed(&x)
    );
    place.write("main.c", main);
    place.ok(&["predict", "net.safetensors", "--query", "asked.csv", "--out", "said.csv"]);
    compare_with_c(&place, &format);
}

/// What `main.c` prints are the predictions in `said.csv`.
fn compare_with_c(place: &Place, format: &Format) {
    let flags = ["-std=c99", "-Wall", "-Werror", "-o", "main", "main.c", "-lm"];
    let compiled = Command::new("cc").current_dir(place.0.path()).args(flags).status();
    assert!(compiled.expect("a C compiler: install gcc").success());
    let printed = String::from_utf8(Command::new(place.path("main")).output().unwrap().stdout).unwrap();
    let said = columns(&place.read("said.csv"));
    let (mean, std) = format.target_scale();
    assert_eq!(printed.lines().count(), said["prediction"].len());
    for (printed, want) in printed.lines().zip(&said["prediction"]) {
        let (got, want): (f64, f64) = (mean + std * printed.parse::<f64>().unwrap(), want.parse().unwrap());
        assert!((got - want).abs() < 1e-4 * want.abs(), "{got} by C, {want} by the network");
    }
}

fn listed(numbers: &[f32]) -> String {
    numbers.iter().map(|v| format!("{v:e}f")).collect::<Vec<_>>().join(", ")
}

/// A whole model learns a task in C as `predict` has it learn it.
#[test]
fn a_model_goes_out_as_c_and_learns_the_same() {
    let place = plant(&LINES_RUN);
    place.write("known.csv", "x,mood,height\n0,calm,1100\n1,wild,1110\n");
    place.write("asked.csv", "x,mood\n0.5,calm\n2,wild\n");
    let words = place.ok(&["export", "run", "--out", "whole.h"]);
    assert!(
        words.contains("whole.h, whole.json: A model of 2 members") && words.contains("3 support rows"),
        "{words}"
    );
    let facts = place.json("whole.json");
    let size = |key: &str| facts[key].as_u64().unwrap() as usize;
    assert_eq!((&facts["function_of_support"], size("support_rows")), (&"whole_adapt".into(), 3), "{facts}");
    let (model, format) = hyperloom::RunFolder::open(&place.path("run")).unwrap().model().unwrap();
    let table = |name: &str| hyperloom::data::Table::read(place.path(name)).unwrap();
    let task = hyperloom::experiment::files::support_of_table(&model, &format, &table("known.csv")).unwrap();
    let asked = format.inputs(&table("asked.csv")).unwrap();
    // Room for three rows, of which two are there.
    let padded =
        |rows: &[f32], width: usize| [rows, &vec![0.0; size("support_rows") * width - rows.len()]].concat();
    let main = format!(
        "#include <stdio.h>\n#include \"whole.h\"\nint main(void) {{\n static const float xs[] = {{{}}}, ys[] = {{{}}}, x[] = {{{}}};\n \
         static float s[WHOLE_WORKSPACE], network[WHOLE_NETWORK]; float y[WHOLE_OUTPUTS];\n whole_adapt(xs, ys, 2, network, s);\n \
         for (int r = 0; r < 2; r++) {{ whole_predict(network, x + r * WHOLE_INPUTS, y, s); printf(\"%.9g\\n\", (double)y[0]); }}\n return 0;\n}}\n",
        listed(&padded(&task.xs, size("inputs"))),
        listed(&padded(&task.ys, 1)),
        listed(&asked)
    );
    place.write("main.c", main);
    place.ok(&["predict", "run", "--support", "known.csv", "--query", "asked.csv", "--out", "said.csv"]);
    compare_with_c(&place, &format);
}

#[test]
fn a_model_goes_out_in_other_ways() {
    let place = plant(&LINES_RUN);
    place.ok(&["export", "run", "--out", "whole.rs", "--steps", "2", "--support-rows", "7"]);
    let text = place.read("whole.rs");
    assert!(text.contains("pub fn adapt(") && text.contains("pub const SHOTS: usize = 7;"), "no learning");
    let facts = place.json("whole.json");
    assert_eq!((&facts["steps"], &facts["support_rows"]), (&2.into(), &7.into()), "{facts}");
    place.ok(&["export", "run", "--out", "all.onnx"]);
    let tensors = place.json("all.json")["tensors"].clone();
    assert_eq!(
        (&tensors["support_y"], &tensors["shots"]),
        (&serde_json::json!([3, 1]), &serde_json::json!([1]))
    );
    let words = place.ok(&["export", "run", "--apart", "--out", "two.onnx"]);
    assert!(words.contains("two_adapt.onnx, two_predict.onnx, two.json"), "{words}");
    assert!(place.path("two_predict.onnx").is_file() && !place.path("two.onnx").exists());
    let refused = |more: &[&str], parts: &[&str]| place.refused(&[&["export", "run"], more].concat(), parts);
    refused(&["--apart", "--out", "two.onnx"], &["two_adapt.onnx", "exists"]);
    refused(&["--apart", "--out", "two.h"], &["--apart", "ONNX"]);
    refused(&["--out", "shaded.wgsl"], &["shader", "C, Rust or ONNX"]);
    for rows in ["0", "18446744073709551615"] {
        refused(&["--out", "none.h", "--support-rows", rows], &["--support-rows", rows, "1 to 10000"]);
    }
    refused(&["--out", "none.json", "--to", "c"], &["--out", "none.json", "beside"]);
    refused(&["--out", "none.h", "--steps", "1000000"], &["--steps", "1000000"]);
    for file in ["none.h", "none.json", "shaded.wgsl"] {
        assert!(!place.path(file).exists(), "{file} was written");
    }
    place.ok(&["adapt", "run", "--support", "lines.csv", "--out", "net.safetensors"]);
    for (flag, parts) in [
        (&["--steps", "1"][..], "--steps"),
        (&["--support-rows", "3"], "--support-rows"),
        (&["--apart"], "--apart"),
    ] {
        let all = [&["export", "net.safetensors", "--out", "net.onnx"], flag].concat();
        place.refused(&all, &[parts, "models"]);
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
    refused(&["net.safetensors", "--out", "line.txt"], &["--out", ".h, .rs, .wgsl, .onnx or .py", "--to"]);
    refused(&["net.safetensors", "--out", "my-line.h"], &["--name", "my-line", "letters"]);
    refused(&["nowhere", "--out", "run.h"], &["nowhere", "hyperloom train"]);
    refused(&[".", "--out", "run.h"], &["one by one", "net.safetensors"]);
    refused(&["none.safetensors", "--out", "none.h"], &["none.safetensors"]);
}
