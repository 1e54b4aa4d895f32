//! `hyperloom generate`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::experiment::run_folder::network_of;
use hyperloom::experiment::texts::{Drawing, generate};
use hyperloom::{Error, Result};

use super::{open_device, say_bytes};

/// Most symbols that are drawn.
const MAX_LENGTH: usize = 10_000_000;

/// Arguments of `generate`.
#[derive(Args, Debug)]
pub(super) struct GenerateArgs {
    /// The run folder of a model that was trained on a text, or its network.safetensors.
    model: PathBuf,
    /// What the text begins with.
    #[arg(long, default_value = "")]
    prompt: String,
    /// Symbols that follow.
    #[arg(long, default_value_t = 500)]
    length: usize,
    /// 1 draws as the model has it, less takes what is probable more often, 0 always takes what is most probable.
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    if !(1..=MAX_LENGTH).contains(&args.length) {
        let message = format!("{} is out of range: it must lie from 1 to {MAX_LENGTH}", args.length);
        return Err(Error::config("--length", message));
    }
    if !(0.0..=100.0).contains(&args.temperature) {
        let message = format!("{} is out of range: it must lie from 0 to 100", args.temperature);
        return Err(Error::config("--temperature", message));
    }
    let (network, format) = network_of(&args.model)?;
    let device = open_device(&args.device)?;
    let drawing = Drawing { length: args.length, temperature: args.temperature, seed: args.seed };
    let prompt = args.prompt.as_bytes();
    let mut begun = false;
    generate(&device, &network, &format, prompt, drawing, &mut |symbol| {
        if !std::mem::replace(&mut begun, true) {
            say_bytes(prompt);
        }
        say_bytes(symbol);
        true
    })?;
    say_bytes(b"\n");
    Ok(ExitCode::SUCCESS)
}
