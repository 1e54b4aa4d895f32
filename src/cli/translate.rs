//! `hyperloom translate`

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::experiment::run_folder::network_of;
use hyperloom::experiment::translations::translate;
use hyperloom::{Error, Result};

use super::{hint, open_device, say};

/// Most targets that are gone on with side by side.
const MAX_BEAM: usize = 256;

/// Arguments of `translate`.
#[derive(Args, Debug)]
pub(super) struct TranslateArgs {
    /// The run folder of a model that was trained on pairs, or its network.safetensors.
    model: PathBuf,
    /// Targets that are gone on with side by side; 1 takes the likeliest symbol at each place.
    #[arg(long, default_value_t = 1)]
    beam: usize,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &TranslateArgs) -> Result<ExitCode> {
    if !(1..=MAX_BEAM).contains(&args.beam) {
        let message = format!("{} is out of range: it must lie from 1 to {MAX_BEAM}", args.beam);
        return Err(Error::config("--beam", message));
    }
    let (network, format) = network_of(&args.model)?;
    if std::io::stdin().is_terminal() {
        hint("a source a line, Ctrl-D at the end");
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Error::config("standard input", format!("cannot be read as UTF-8: {e}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let sources: Vec<&str> = text.lines().map(str::trim).collect();
    if let Some(empty) = sources.iter().position(|s| s.is_empty()) {
        return Err(Error::config(format!("line {}", empty + 1), "is empty: a source stands in each"));
    }
    for target in translate(&open_device(&args.device)?, &network, &format, &sources, args.beam)? {
        say(format_args!("{target}\n"));
    }
    Ok(ExitCode::SUCCESS)
}
