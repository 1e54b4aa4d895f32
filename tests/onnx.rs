//! Networks as ONNX files, checked by onnx and run by onnxruntime. Both are Python's: `sh scripts/onnx.sh` installs them and runs these tests.

#[path = "support/exported.rs"]
mod exported;

use std::path::Path;
use std::process::Command;

use exported::{Case, ROWS, cases};
use serde_json::{Value, json};

/// Runs each file of the folder on what lies beside it: outputs by the files' names.
fn run_by_onnxruntime(folder: &Path) -> Value {
    let python = std::env::var("HYPERLOOM_PYTHON").expect("HYPERLOOM_PYTHON: run scripts/onnx.sh");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/run_onnx.py");
    let done = Command::new(python).arg(script).arg(folder).output().expect("Python runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn numbers(of: &Value) -> Vec<f32> {
    of.as_array().expect("numbers").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

#[test]
#[ignore = "needs Python with onnx and onnxruntime: sh scripts/onnx.sh"]
fn networks_say_what_the_cpu_path_says() {
    let (dir, cases) = (tempfile::tempdir().expect("a folder"), cases());
    for case in &cases {
        let Case { name, program, x, .. } = case;
        let file = program.onnx(&[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        std::fs::write(dir.path().join(format!("{name}.onnx")), file).expect("a file");
        let inputs = json!({ "x": x, "rows": ROWS });
        std::fs::write(dir.path().join(format!("{name}.json")), inputs.to_string()).expect("a file");
    }
    let said = run_by_onnxruntime(dir.path());
    for case in &cases {
        case.compare("onnxruntime", &numbers(&said[&case.name]["y"]));
    }
}
