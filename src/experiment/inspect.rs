//! What a file or a folder of ours holds, said without using it.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::run_folder::Position;
use super::{continual, policies};
use crate::checkpoint::{Checkpoint, Tensor, TensorData, read_safetensors};
use crate::data::Table;
use crate::error::{Error, Result};
use crate::report::events::EVENTS;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inspected {
    /// In a few words.
    pub what: String,
    /// Bytes of the file, or of the folder's files.
    pub bytes: u64,
    /// What else it says, by name.
    pub facts: Map<String, Value>,
    /// Its tensors, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<InspectedTensor>,
    /// Of a folder its files and what they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<(String, String)>,
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct InspectedTensor {
    /// Its name.
    pub name: String,
    /// Type of its numbers, as safetensors names it.
    pub dtype: String,
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// Root of the mean square of its finite numbers.
    pub rms: f64,
    /// The largest of them by size.
    pub largest: f64,
    /// Numbers that are NaN or infinite.
    pub not_finite: usize,
}

/// Looks at a run folder or a file in one.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Checkpoint`] and [`Error::Data`] where it is damaged, [`Error::Config`] where it is no file of ours.
pub fn inspect(path: &Path) -> Result<Inspected> {
    let about = fs::metadata(path).map_err(Error::io("read", path))?;
    if about.is_dir() {
        return folder(path);
    }
    let Some(kind) = kind(path) else {
        let message = "is no file that is looked into: those end in .safetensors, .json, .toml, .csv, .svg or as exports do";
        return Err(Error::config(path.display().to_string(), message));
    };
    let mut found = match kind {
        Kind::Tensors => tensors(path)?,
        Kind::Json => json_file(path)?,
        Kind::Toml => toml_file(path)?,
        Kind::Table => table(path)?,
        Kind::Picture => plain("a picture"),
        Kind::Events => plain("numbers of training for TensorBoard"),
        Kind::Program => plain("a program that was exported"),
    };
    found.bytes = about.len();
    Ok(found)
}

/// Files of settings that a run folder has one of.
const SETTINGS: [&str; 4] = [policies::SETTINGS, continual::SETTINGS, "search.toml", "config.toml"];

/// What a file is by its name; of a program by its beginning, too.
enum Kind {
    Tensors,
    Json,
    Toml,
    Table,
    Picture,
    Events,
    Program,
}

fn kind(path: &Path) -> Option<Kind> {
    let ours = || fs::read(path).is_ok_and(|bytes| bytes.windows(9).take(4096).any(|w| w == b"hyperloom"));
    Some(match ending(path).as_str() {
        "safetensors" => Kind::Tensors,
        "json" => Kind::Json,
        "toml" => Kind::Toml,
        "csv" => Kind::Table,
        "svg" => Kind::Picture,
        "h" | "rs" | "wgsl" | "onnx" if ours() => Kind::Program,
        _ if name(path) == EVENTS => Kind::Events,
        _ => return None,
    })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn plain(what: &str) -> Inspected {
    Inspected { what: what.into(), bytes: 0, facts: Map::new(), tensors: vec![], files: vec![] }
}

fn folder(path: &Path) -> Result<Inspected> {
    let has = |name: &str| path.join(name).is_file();
    let (what, settings) = if has(policies::SETTINGS) {
        ("the run of a policy", policies::SETTINGS)
    } else if has(continual::SETTINGS) {
        ("a run over tasks one after another", continual::SETTINGS)
    } else if has("search.toml") {
        ("an architecture search", "search.toml")
    } else if has("config.toml") {
        ("a run", "config.toml")
    } else if has("sweep.toml") {
        ("a sweep of runs", "sweep.toml")
    } else {
        ("a folder", "")
    };
    let mut found = plain(what);
    if settings.is_empty() {
        list(path, &mut found)?;
        // One that holds nothing of ours is another program's.
        return match found.files.iter().any(|(_, what)| what != UNKNOWN) {
            true => Ok(found),
            false => Err(Error::config(path.display().to_string(), "holds no run and no file of one")),
        };
    }
    found.facts.insert("finished".into(), has("report.json").into());
    let main = path.join("checkpoint.safetensors");
    let of = if main.is_file() { main } else { path.join(settings) };
    found.facts.extend(inspect(&of)?.facts);
    list(path, &mut found)?;
    Ok(found)
}

/// What a folder's file is that is none of ours.
const UNKNOWN: &str = "another file";

/// Adds the files of a folder, and what they are.
fn list(path: &Path, found: &mut Inspected) -> Result<()> {
    let mut all: Vec<_> = fs::read_dir(path).map_err(Error::io("read", path))?.flatten().collect();
    all.sort_by_key(fs::DirEntry::file_name);
    for entry in all {
        let file = entry.path();
        found.bytes += entry.metadata().map_or(0, |m| m.len());
        let what = match (file.is_dir(), kind(&file)) {
            (true, _) if SETTINGS.iter().any(|name| file.join(name).is_file()) => "a run".into(),
            (true, _) => "a folder".into(),
            (false, None) => UNKNOWN.into(),
            // What is damaged is said, and the others are looked at all the same.
            (false, Some(_)) => inspect(&file).map_or_else(|e| e.to_string(), |f| f.what),
        };
        found.files.push((name(&file), what));
    }
    Ok(())
}

fn tensors(path: &Path) -> Result<Inspected> {
    let raw = read_safetensors(path)?;
    let ours = raw.metadata.get("format").is_some_and(|f| f.starts_with("hyperloom"));
    // Proves that nothing was changed.
    let Checkpoint { tensors, metadata } = if ours { Checkpoint::load(path)? } else { raw };
    let has = |key: &str| metadata.contains_key(key);
    let what = match ours {
        false => "tensors of another program",
        true if has("position") => "the checkpoint of a run",
        true if has("network") => "the network of a task",
        true if has("picture") => "the code of a picture",
        true if has("continual") => "the checkpoint of a run over tasks one after another",
        true if has("candidates") => "the checkpoint of an architecture search",
        true if has("iteration") => "the checkpoint of a policy",
        true if has("model") => "a model",
        true => "tensors",
    };
    let mut found = plain(what);
    for (key, text) in &metadata {
        match key.as_str() {
            "config" => found.facts.extend(settings(text)),
            "position" => found.facts.extend(position(text)),
            "format_of_files" => found.facts.extend(files_of(text)),
            // What tells their data from other.
            "rows" => {
                found.facts.insert("digest of rows".into(), text.as_str().into());
            }
            "model" | "network" => found.facts.extend(networks(text)),
            _ => {
                let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
                found.facts.insert(key.clone(), value);
            }
        }
    }
    found.tensors = tensors.iter().map(|(name, tensor)| looked_at(name, tensor)).collect();
    Ok(found)
}

fn looked_at(name: &str, tensor: &Tensor) -> InspectedTensor {
    let numbers: Box<dyn Iterator<Item = f64>> = match &tensor.data {
        TensorData::F32(v) => Box::new(v.iter().map(|x| f64::from(*x))),
        TensorData::U32(v) => Box::new(v.iter().map(|x| f64::from(*x))),
        TensorData::F64(v) => Box::new(v.iter().copied()),
        TensorData::I64(v) => Box::new(v.iter().map(|x| *x as f64)),
        TensorData::F16(v) => Box::new(v.iter().map(|x| x.to_f64())),
        TensorData::I8(v) => Box::new(v.iter().map(|x| f64::from(*x))),
        TensorData::U8(v) => Box::new(v.iter().map(|x| f64::from(*x))),
    };
    let (mut count, mut squares, mut largest, mut not_finite) = (0, 0.0, 0.0f64, 0);
    for x in numbers {
        if !x.is_finite() {
            not_finite += 1;
            continue;
        }
        (count, squares) = (count + 1, squares + x * x);
        if x.abs() > largest.abs() {
            largest = x;
        }
    }
    InspectedTensor {
        name: name.into(),
        dtype: tensor.data.dtype().into(),
        shape: tensor.shape.clone(),
        rms: (squares / f64::from(count.max(1))).sqrt(),
        largest,
        not_finite,
    }
}

/// What settings say first: the task and the way of adaptation.
fn settings(text: &str) -> Vec<(String, Value)> {
    let Ok(table) = text.parse::<toml::Table>() else { return vec![] };
    let at = |path: &[&str]| -> Option<Value> {
        let mut value = table.get(path[0])?;
        for key in &path[1..] {
            value = value.get(key)?;
        }
        serde_json::to_value(value).ok()
    };
    let wanted: [(&str, &[&str]); 8] = [
        ("task", &["task"]),
        ("environment", &["environment"]),
        ("learner", &["learner"]),
        ("data", &["csv", "file"]),
        ("method", &["adapt", "method"]),
        ("training steps", &["train", "steps"]),
        ("frames", &["frames"]),
        ("seed", &["seed"]),
    ];
    wanted.iter().filter_map(|(name, path)| Some((name.to_string(), at(path)?))).collect()
}

fn position(text: &str) -> Vec<(String, Value)> {
    let Ok(p) = serde_json::from_str::<Position>(text) else { return vec![] };
    let mut facts = vec![("trained".to_string(), Value::from(p.trained))];
    if !p.trained {
        let stage = if p.hyper { "hypernetwork" } else { "pooled network" };
        facts.push(("at".into(), format!("step {} of {stage} {}", p.step, p.member + 1).into()));
    }
    facts
}

/// What a model or a network says of itself, as far as it is a number or a word.
fn networks(text: &str) -> Vec<(String, Value)> {
    let Ok(about) = serde_json::from_str::<Value>(text) else { return vec![] };
    let wanted = [
        ("metric", "/likelihood/metric"),
        ("outputs", "/likelihood/outputs"),
        ("members", "/members"),
        ("chosen steps", "/choice/steps"),
        ("draws", "/draws"),
        ("numbers of networks", "/spec/target/compression/numbers"),
        ("share of them that is 0", "/spec/target/compression/prune"),
        ("scales of what layers read", "/spec/target/input_scales"),
        ("scales of what layers read", "/spec/input_scales"),
        ("numbers in this file", "/stored/numbers"),
        ("numbers in this file", "/compression/numbers"),
        ("share of them that is 0", "/compression/prune"),
    ];
    let fact = |(name, at): &(&str, &str)| Some((name.to_string(), about.pointer(at)?.clone()));
    let mut facts: Vec<_> = wanted.iter().filter_map(fact).collect();
    let shares = about.pointer("/shares").and_then(Value::as_array).map(Vec::len);
    facts.extend(shares.map(|n| ("networks".to_string(), n.into())));
    facts
}

/// The kind of files that are read.
fn files_of(text: &str) -> Option<(String, Value)> {
    let value: Value = serde_json::from_str(text).ok()?;
    let kind = value.as_object()?.keys().next()?.to_lowercase();
    Some(("reads".into(), kind.into()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io("read", path))
}

fn json_file(path: &Path) -> Result<Inspected> {
    let value: Value =
        serde_json::from_str(&read(path)?).map_err(|e| Error::data(path, "", format!("is no JSON: {e}")))?;
    let has = |key: &str| value.get(key).is_some();
    let mut found = plain(if has("held_out") || has("test") || (has("task") && has("seconds")) {
        "the report of a run"
    } else if has("continual") {
        "the report of a run over tasks one after another"
    } else if has("configurations") {
        "the report of a sweep"
    } else if has("hypernetwork") && has("largest_loss") {
        "what compression of a run cost"
    } else if has("environment") {
        "the report of a policy"
    } else if has("outputs_are") {
        "what an exported program has to be told"
    } else {
        "JSON"
    });
    // Numbers and texts of the top.
    let facts = value.as_object().into_iter().flatten().filter(|(_, v)| !v.is_object() && !v.is_array());
    found.facts.extend(facts.map(|(k, v)| (k.clone(), v.clone())));
    if let Some(held_out) = value.get("held_out") {
        let facts = ["metric", "chosen", "tasks", "shots"].iter().filter_map(|k| Some((k, held_out.get(k)?)));
        found.facts.extend(facts.map(|(k, v)| (format!("held out {k}"), v.clone())));
    }
    Ok(found)
}

fn toml_file(path: &Path) -> Result<Inspected> {
    let text = read(path)?;
    text.parse::<toml::Table>().map_err(|e| Error::data(path, "", format!("is no TOML: {}", e.message())))?;
    let mut found = plain("settings");
    found.facts = settings(&text).into_iter().collect();
    Ok(found)
}

fn table(path: &Path) -> Result<Inspected> {
    let table = Table::read(path)?;
    let mut found = plain(if name(path) == "metrics.csv" { "numbers of training" } else { "a table" });
    found.facts.insert("rows".into(), table.rows().into());
    found.facts.insert("columns".into(), table.columns().to_vec().into());
    if let (true, Some(last)) = (name(path) == "metrics.csv", table.rows().checked_sub(1)) {
        let cells =
            (0..table.columns().len()).map(|c| format!("{} {}", table.columns()[c], table.cell(last, c)));
        found.facts.insert("last row".into(), cells.collect::<Vec<_>>().join(", ").into());
    }
    Ok(found)
}
