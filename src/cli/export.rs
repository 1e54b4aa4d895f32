//! `hyperloom export`

use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use hyperloom::data::format::Format;
use hyperloom::experiment::run_folder::network_of;
use hyperloom::export::{
    C, Language, Program, ROWS_OF_A_WORKGROUP, Rust, Wgsl, check_name, program_of_network,
};
use hyperloom::files::write_atomically;
use hyperloom::{Error, Network, Result};
use serde_json::{Value, json};

use super::{check_new, say};

/// Arguments of `export`.
#[derive(Args, Debug)]
pub(super) struct ExportArgs {
    /// A network that `adapt` wrote, or the run folder of a single task.
    model: PathBuf,
    /// What is written (not given: by the ending of --out).
    #[arg(long, value_enum)]
    to: Option<To>,
    /// The file. Beside it a JSON file says what its numbers are.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What names in the file begin with (not given: the file's name).
    #[arg(long)]
    name: Option<String>,
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
}

impl To {
    const ALL: [To; 4] = [To::C, To::Rust, To::Wgsl, To::Onnx];

    fn ending(self) -> &'static str {
        match self {
            To::C => "h",
            To::Rust => "rs",
            To::Wgsl => "wgsl",
            To::Onnx => "onnx",
        }
    }

    /// The language of source code.
    fn language(self) -> Option<&'static dyn Language> {
        match self {
            To::C => Some(&C),
            To::Rust => Some(&Rust),
            To::Wgsl => Some(&Wgsl),
            To::Onnx => None,
        }
    }
}

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode> {
    let to = match args.to {
        Some(to) => to,
        None => by_ending(&args.out)?,
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None => args.out.file_stem().map_or(String::new(), |s| s.to_string_lossy().into_owned()),
    };
    check_name(&name).map_err(|e| Error::config("--name", e))?;
    let [about, weights] = ["json", "bin"].map(|ending| args.out.with_extension(ending));
    check_new(&args.out)?;
    check_new(&about)?;
    if to == To::Wgsl {
        check_new(&weights)?;
    }
    let (network, format) = network_of(&args.model)?;
    let Network { spec, likelihood, members, shares, .. } = &network;
    let mut program = program_of_network(&name, spec, likelihood, members, shares)?;
    let many = if members.len() > 1 { format!(" in {} networks", members.len()) } else { String::new() };
    program.about = vec![
        format!("Written by hyperloom {}.", env!("CARGO_PKG_VERSION")),
        format!(
            "A network of {} weights{many}: {} numbers in, {} out ({}).",
            spec.layout().len(),
            program.inputs,
            program.outputs,
            meaning(&network)
        ),
    ];
    let facts = facts(&network, &format, &program, to, &weights)?;
    let bytes = match to.language() {
        Some(language) => program.text(language)?.into_bytes(),
        // What stands beside other files stands in it, too.
        None => program.onnx(&[("hyperloom", facts.to_string())])?,
    };
    write_atomically(&args.out, &bytes)?;
    let mut files = vec![args.out.display().to_string(), about.display().to_string()];
    if to == To::Wgsl {
        let bytes: Vec<u8> = program.weights.iter().flat_map(|w| w.to_le_bytes()).collect();
        write_atomically(&weights, &bytes)?;
        files.push(weights.display().to_string());
    }
    let facts = serde_json::to_string_pretty(&facts).map_err(|e| Error::config("--out", e.to_string()))?;
    write_atomically(&about, format!("{facts}\n").as_bytes())?;
    say(format_args!("{}: {}\n", files.join(", "), program.about[1]));
    Ok(ExitCode::SUCCESS)
}

/// What the file's ending says.
fn by_ending(out: &Path) -> Result<To> {
    let ending = out.extension().map_or(String::new(), |e| e.to_string_lossy().into_owned());
    To::ALL.into_iter().find(|to| to.ending() == ending).ok_or_else(|| {
        Error::config(
            "--out",
            format!(
                "'.{ending}' says nothing of a language: end it in .h, .rs, .wgsl or .onnx, or give --to"
            ),
        )
    })
}

/// What the numbers are that a network says.
fn meaning(network: &Network) -> &'static str {
    if network.likelihood.has_values() {
        "values in the networks' units"
    } else if network.likelihood.has_classes() {
        "logarithms of the probabilities of classes"
    } else {
        "as the network says them"
    }
}

/// What a program has to know that calls it.
fn facts(network: &Network, format: &Format, program: &Program, to: To, weights: &Path) -> Result<Value> {
    let json = |e: serde_json::Error| Error::config("--out", e.to_string());
    let mut facts = json!({
        "name": program.name,
        "inputs": program.inputs,
        "outputs": program.outputs,
        "outputs_are": meaning(network),
        "row": network.spec.input(),
        "columns": serde_json::to_value(format).map_err(json)?,
    });
    if to == To::Onnx {
        let shape =
            |row: &[usize]| iter::once(json!("rows")).chain(row.iter().map(|n| json!(n))).collect::<Value>();
        facts["tensors"] = json!({ "x": shape(network.spec.input()), "y": shape(&[program.outputs]) });
        return Ok(facts);
    }
    let workspace = program.workspace()?;
    facts["workspace"] = json!(workspace);
    facts["function"] =
        json!(if to == To::Rust { "predict".into() } else { format!("{}_predict", program.name) });
    if to == To::Wgsl {
        facts["rows_of_a_workgroup"] = json!(ROWS_OF_A_WORKGROUP);
        facts["weights"] = json!(weights.file_name().map(|f| f.to_string_lossy()));
        let (w, s) = (program.weights.len(), workspace.max(1));
        facts["bindings"] = json!([
            { "binding": 0, "what": "rows of inputs", "type": "storage, read", "numbers_a_row": program.inputs },
            { "binding": 1, "what": "what is said of them", "type": "storage, read_write", "numbers_a_row": program.outputs },
            { "binding": 2, "what": "weights", "type": "storage, read", "numbers": w },
            { "binding": 3, "what": "workspace", "type": "storage, read_write", "numbers_a_row": s },
            { "binding": 4, "what": "number of rows, a u32", "type": "uniform" },
        ]);
    }
    Ok(facts)
}
