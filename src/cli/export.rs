//! `hyperloom export`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, iter};

use clap::{Args, ValueEnum};
use hyperloom::checkpoint::save_tensors;
use hyperloom::data::format::Format;
use hyperloom::experiment::run_folder::{OWN_NETWORK, RunFolder, Saved, load_network, network_of};
use hyperloom::export::{
    C, Language, Program, ROWS_OF_A_WORKGROUP, Rust, Wgsl, check_name, most_support_rows, program_of,
    program_of_model, torch_of,
};
use hyperloom::files::write_atomically;
use hyperloom::task::Likelihood;
use hyperloom::{Error, Network, Result};
use serde_json::{Value, json};

use super::{check_new, check_steps, say};

/// Arguments of `export`.
#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// A network that `adapt` wrote, or a run folder: of a single task its network goes out, of any other the whole model, which learns
    /// from support rows.
    model: PathBuf,
    /// What is written (not given: by the ending of --out: .h, .rs, .wgsl, .onnx or .py).
    #[arg(long, value_enum)]
    to: Option<To>,
    /// The file. Beside it a JSON file says what its numbers are.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What names in the file begin with (not given: the file's name).
    #[arg(long)]
    name: Option<String>,
    /// Support rows that a model is to have room for (not given: as many as eval.shots makes).
    #[arg(long, value_name = "N")]
    support_rows: Option<usize>,
    /// Steps of adaptation of a model (not given: as many as were chosen on validation tasks).
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// A model as two ONNX files, one that makes networks and one that asks them.
    #[arg(long)]
    apart: bool,
}

/// Languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum To {
    /// A header of C99, which C++ reads, too.
    C,
    /// A Rust module.
    Rust,
    /// A compute shader; its weights are a file of their own.
    Wgsl,
    /// An ONNX file, for runtimes that read this format.
    Onnx,
    /// A PyTorch module as a Python file, and a safetensors file of its parameters beside it.
    Torch,
}

impl To {
    const ALL: [To; 5] = [To::C, To::Rust, To::Wgsl, To::Onnx, To::Torch];

    fn ending(self) -> &'static str {
        match self {
            To::C => "h",
            To::Rust => "rs",
            To::Wgsl => "wgsl",
            To::Onnx => "onnx",
            To::Torch => "py",
        }
    }

    /// The language of source code.
    fn language(self) -> Option<&'static dyn Language> {
        match self {
            To::C => Some(&C),
            To::Rust => Some(&Rust),
            To::Wgsl => Some(&Wgsl),
            To::Onnx | To::Torch => None,
        }
    }
}

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode> {
    let to = match args.to {
        Some(to) => to,
        None => by_ending(&args.out)?,
    };
    let stem = args.out.file_stem().map_or(String::new(), |s| s.to_string_lossy().into_owned());
    let name = args.name.clone().unwrap_or_else(|| stem.clone());
    check_name(&name).map_err(|e| match &args.name {
        Some(_) => Error::config("--name", e),
        None => Error::config("--out", format!("{e}; --name gives another than the file's")),
    })?;
    check_steps(args.steps)?;
    let beside = |ending: &str| args.out.with_file_name(format!("{stem}{ending}"));
    let about = beside(".json");
    // The file of the weights, where there is one.
    let weights = beside(if to == To::Torch { ".safetensors" } else { ".bin" });
    let parts = ["_adapt", "_predict"].map(|part| beside(&format!("{part}.{}", To::Onnx.ending())));
    let files = match (args.apart, to) {
        (true, To::Onnx) => [&parts[..], std::slice::from_ref(&about)].concat(),
        (true, _) => {
            return Err(Error::config(
                "--apart",
                "is for ONNX: in other languages a model is two functions of one file",
            ));
        }
        (false, To::Wgsl | To::Torch) => vec![args.out.clone(), about.clone(), weights.clone()],
        (false, _) => vec![args.out.clone(), about.clone()],
    };
    if [&about, &weights].contains(&&args.out) {
        let message =
            format!("{} is a file that stands beside what is written: name another", args.out.display());
        return Err(Error::config("--out", message));
    }
    files.iter().try_for_each(|file| check_new(file))?;
    if to == To::Torch && name == "torch" {
        return Err(Error::config(
            "--out",
            "a file called torch.py would stand before PyTorch itself: name another",
        ));
    }
    if to == To::Torch {
        return torch(args, &name, [&about, &weights]);
    }
    let (mut program, subject) = subject(args, to, &name)?;
    program.about =
        vec![format!("Written by hyperloom {}.", env!("CARGO_PKG_VERSION")), subject.about.clone()];
    let facts = facts(&subject, &program, to, &weights)?;
    // What stands beside ONNX files stands in them, too.
    let inside = [("hyperloom", facts.to_string())];
    let contents = match to.language() {
        Some(language) => vec![program.text(language)?.into_bytes()],
        None if args.apart => {
            let apart = program.onnx_apart(&inside)?;
            apart
                .map(Vec::from)
                .ok_or_else(|| Error::config("--apart", "is for models: a network only says"))?
        }
        None => vec![program.onnx(&inside)?],
    };
    for (file, bytes) in files.iter().zip(&contents) {
        write_atomically(file, bytes)?;
    }
    if to == To::Wgsl {
        let bytes: Vec<u8> = program.weights.iter().flat_map(|w| w.to_le_bytes()).collect();
        write_atomically(&weights, &bytes)?;
    }
    let facts = serde_json::to_string_pretty(&facts).map_err(|e| Error::config("--out", e.to_string()))?;
    write_atomically(&about, format!("{facts}\n").as_bytes())?;
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    say(format_args!("{}: {}\n", files.join(", "), subject.about));
    Ok(ExitCode::SUCCESS)
}

/// A network as a PyTorch module.
fn torch(args: &ExportArgs, name: &str, [about, weights]: [&Path; 2]) -> Result<ExitCode> {
    let (program, subject) = subject(args, To::Torch, name)?;
    let (network, _) = network_of(&args.model)?;
    let said = [format!("Written by hyperloom {}.", env!("CARGO_PKG_VERSION")), subject.about.clone()];
    let (text, state) = torch_of(&said, &network)?;
    let mut facts = facts(&subject, &program, To::Torch, weights)?;
    facts["parameters"] = state.iter().map(|(name, (shape, _))| (name.clone(), json!(shape))).collect();
    // As PyTorch's own functions mark such files.
    save_tensors(weights, &state, &[("format", "pt")])?;
    write_atomically(&args.out, text.as_bytes())?;
    let facts = serde_json::to_string_pretty(&facts).map_err(|e| Error::config("--out", e.to_string()))?;
    write_atomically(about, format!("{facts}\n").as_bytes())?;
    let files = [&args.out, weights, about].map(|file| file.display().to_string());
    say(format_args!("{}: {}\n", files.join(", "), subject.about));
    Ok(ExitCode::SUCCESS)
}

/// What goes out.
struct Subject {
    /// In one sentence.
    about: String,
    likelihood: Likelihood,
    row: Vec<usize>,
    format: Format,
    /// Steps of adaptation, of a model.
    steps: Option<usize>,
}

/// A network or a model as a program, and what is to be known of it.
fn subject(args: &ExportArgs, to: To, name: &str) -> Result<(Program, Subject)> {
    if !args.model.is_dir() || args.model.join(OWN_NETWORK).is_file() {
        let (network, format) = network_of(&args.model)?;
        let given = [("--support-rows", args.support_rows), ("--steps", args.steps)];
        if let Some((flag, _)) = given.into_iter().find(|(_, value)| value.is_some()) {
            return Err(Error::config(flag, "is for models: a network has learned what it learns"));
        }
        let program = program_of(name, &network)?;
        let Network { spec, likelihood, members, .. } = &network;
        let many = if members.len() > 1 { format!(" in {} networks", members.len()) } else { String::new() };
        let about = format!(
            "A network of {} weights{many}: {}.",
            spec.layout().len(),
            in_and_out(&program, likelihood)
        );
        let row = spec.input().to_vec();
        return Ok((program, Subject { about, likelihood: *likelihood, row, format, steps: None }));
    }
    if matches!(to, To::Wgsl | To::Torch) {
        let what = if to == To::Wgsl { "a shader" } else { "a PyTorch module" };
        return Err(Error::config(
            if args.to.is_some() { "--to" } else { "--out" },
            format!(
                "{what} says what one network says: `hyperloom adapt` writes a network that goes out as one; the whole model goes out as C, Rust or ONNX"
            ),
        ));
    }
    let folder = RunFolder::open(&args.model)?;
    if let (false, Some(network)) = (folder.has_checkpoint(), network_inside(&args.model)) {
        let message = format!(
            "the run holds no model that learns tasks from examples; its networks go out one by one, for example {}",
            network.display()
        );
        return Err(Error::config(args.model.display().to_string(), message));
    }
    let Saved { config, model, format, .. } = folder.finished()?;
    let most = most_support_rows(&model);
    let rows = match (args.support_rows, &format) {
        (Some(rows), _) if !(1..=most).contains(&rows) => {
            let message = format!("{rows} is out of range: there can be room for 1 to {most} support rows");
            return Err(Error::config("--support-rows", message));
        }
        (Some(rows), _) => rows,
        (None, Format::Pictures { ways, .. }) => config.eval.shots * ways,
        (None, Format::Fields { shape }) => config.eval.shots.min(shape[0] * shape[1]),
        (None, _) => config.eval.shots,
    };
    let rows = rows.min(most);
    let program = program_of_model(name, &model, rows, args.steps)?;
    let steps = args.steps.unwrap_or(model.choice.steps);
    let about = format!(
        "A model of {} member{} that makes a network of up to {rows} support rows in {steps} step{}: {}.",
        model.members.len(),
        if model.members.len() == 1 { "" } else { "s" },
        if steps == 1 { "" } else { "s" },
        in_and_out(&program, &model.likelihood)
    );
    let row = model.spec.target.input().to_vec();
    Ok((program, Subject { about, likelihood: model.likelihood, row, format, steps: Some(steps) }))
}

/// A network that a run of another kind left.
fn network_inside(run: &Path) -> Option<PathBuf> {
    let mut all: Vec<PathBuf> = [run.to_path_buf(), run.join("networks")]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    all.sort();
    all.into_iter().find(|file| load_network(file).is_ok())
}

fn in_and_out(program: &Program, likelihood: &Likelihood) -> String {
    format!("{} numbers in, {} out ({})", program.inputs, program.outputs, meaning(likelihood))
}

/// What the file's ending says.
fn by_ending(out: &Path) -> Result<To> {
    let ending = out.extension().map_or(String::new(), |e| e.to_string_lossy().into_owned());
    To::ALL.into_iter().find(|to| to.ending() == ending).ok_or_else(|| {
        let name = out.display();
        let message = format!(
            "'{name}' says nothing of a language: end it in .h, .rs, .wgsl, .onnx or .py, or give --to"
        );
        Error::config("--out", message)
    })
}

/// What the numbers are that a network says.
fn meaning(likelihood: &Likelihood) -> &'static str {
    if likelihood.has_values() {
        "values in the networks' units"
    } else if likelihood.has_classes() {
        "logarithms of the probabilities of classes"
    } else {
        "as the network says them"
    }
}

/// Names of the numbers of a row, where they have any.
fn names(format: &Format) -> Vec<String> {
    match format {
        Format::Encoded(encoder) => encoder.input_names(),
        Format::Plain { inputs, .. } => inputs.clone(),
        _ => vec![],
    }
}

/// What a program has to know that calls it.
fn facts(subject: &Subject, program: &Program, to: To, weights: &Path) -> Result<Value> {
    let json = |e: serde_json::Error| Error::config("--out", e.to_string());
    let (i, o) = (program.inputs, program.outputs);
    let mut facts = json!({
        "name": program.name,
        "inputs": i,
        "outputs": o,
        "outputs_are": meaning(&subject.likelihood),
        "row": subject.row,
        "row_is": names(&subject.format),
        "columns": serde_json::to_value(&subject.format).map_err(json)?,
    });
    if let Some(learner) = &program.learner {
        let targets = match subject.likelihood.has_classes() {
            true => "a 1 for the class of a row, else 0",
            false => "targets in the networks' units",
        };
        facts["support_rows"] = json!(learner.shots);
        facts["support_y_are"] = json!(targets);
        facts["steps"] = json!(subject.steps);
        facts["network"] = json!(learner.network);
        if learner.descriptor > 0 {
            facts["descriptor"] = json!(learner.descriptor);
        }
    }
    if to == To::Onnx {
        let shape = |first: Value, row: &[usize]| -> Value {
            iter::once(first).chain(row.iter().map(|n| json!(n))).collect()
        };
        let mut tensors = json!({ "x": shape(json!("rows"), &subject.row), "y": shape(json!("rows"), &[o]) });
        if let Some(learner) = &program.learner {
            tensors["support_x"] = shape(json!(learner.shots), &subject.row);
            tensors["support_y"] = json!([learner.shots, o]);
            tensors["shots"] = json!([1]);
            tensors["network"] = json!([learner.network]);
            if learner.descriptor > 0 {
                tensors["descriptor"] = json!([learner.descriptor]);
            }
        }
        facts["tensors"] = tensors;
        return Ok(facts);
    }
    if to == To::Torch {
        facts["weights"] = json!(weights.file_name().map(|f| f.to_string_lossy()));
        return Ok(facts);
    }
    let workspace = program.workspace()?;
    facts["workspace"] = json!(workspace);
    let named =
        |what: &str| json!(if to == To::Rust { what.into() } else { format!("{}_{what}", program.name) });
    facts["function"] = named("predict");
    if program.learner.is_some() {
        facts["function_of_support"] = named("adapt");
    }
    if to == To::Wgsl {
        facts["rows_of_a_workgroup"] = json!(ROWS_OF_A_WORKGROUP);
        facts["weights"] = json!(weights.file_name().map(|f| f.to_string_lossy()));
        let (w, s) = (program.weights.len(), workspace.max(1));
        facts["bindings"] = json!([
            { "binding": 0, "what": "rows of inputs", "type": "storage, read", "numbers_a_row": i },
            { "binding": 1, "what": "what is said of them", "type": "storage, read_write", "numbers_a_row": o },
            { "binding": 2, "what": "weights", "type": "storage, read", "numbers": w },
            { "binding": 3, "what": "workspace", "type": "storage, read_write", "numbers_a_row": s },
            { "binding": 4, "what": "number of rows, a u32", "type": "uniform" },
        ]);
    }
    Ok(facts)
}
