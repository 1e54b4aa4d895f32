//! Runs each ONNX file of a folder on the inputs in the JSON file beside it, and prints all outputs as JSON.

use std::error::Error;
use std::path::Path;

use serde_json::{Map, Value};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{Factoid, GenericFactoid};

fn numbers(of: &Value) -> Vec<f32> {
    of.as_array().into_iter().flatten().filter_map(Value::as_f64).map(|v| v as f32).collect()
}

/// The outputs of a file, by their names.
fn said(path: &Path) -> Result<Value, Box<dyn Error>> {
    let given: Value = serde_json::from_str(&std::fs::read_to_string(path.with_extension("json"))?)?;
    let rows = given["rows"].as_u64().ok_or("no rows")? as usize;
    let mut model = tract_onnx::onnx().model_for_path(path)?;
    let mut feed = tvec![];
    for i in 0..model.input_outlets()?.len() {
        let name = model.node(model.input_outlets()?[i].node).name.clone();
        // An axis of unknown length is that of the rows.
        let length = |axis: &GenericFactoid<TDim>| match axis.concretize().map(|n| n.to_i64()) {
            Some(Ok(n)) => n as usize,
            _ => rows,
        };
        let shape: Vec<usize> = model.input_fact(i)?.shape.dims().map(length).collect();
        model.set_input_fact(i, f32::fact(&shape).into())?;
        feed.push(Tensor::from_shape(&shape, &numbers(&given[&name]))?.into());
    }
    let names: Vec<String> = model
        .output_outlets()?
        .iter()
        .map(|o| model.node(o.node).name.rsplit('/').next().unwrap_or_default().into())
        .collect();
    // Not optimised: some loops with slices in them stop its optimiser.
    let outputs = model.into_typed()?.into_runnable()?.run(feed)?;
    let mut all = Map::new();
    for (name, y) in names.into_iter().zip(outputs) {
        let values: Vec<f64> = y.to_array_view::<f32>()?.iter().map(|v| f64::from(*v)).collect();
        all.insert(name, values.into());
    }
    Ok(all.into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder?")?;
    let mut all = Map::new();
    let mut failed = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "onnx") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match said(&path) {
                Ok(outputs) => drop(all.insert(name, outputs)),
                Err(e) => {
                    eprintln!("{name}: {e:?}");
                    failed += 1;
                }
            }
        }
    }
    println!("{}", Value::from(all));
    match failed {
        0 => Ok(()),
        n => Err(format!("{n} files could not be run").into()),
    }
}
