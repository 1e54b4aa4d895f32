//! `hyperloom sample`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::experiment::drawings::{sample, support_of_drawings, tiled};
use hyperloom::experiment::run_folder::{RunFolder, load_network};
use hyperloom::{Error, Result};

use super::{check_new, check_png, check_steps, open_device, say};

/// Most pictures of a file.
const MAX_COUNT: usize = 10_000;

/// Arguments of `sample`.
#[derive(Args, Debug)]
pub(super) struct SampleArgs {
    /// The run folder of a trained model of decoders, or a network that `adapt` wrote with one.
    model: PathBuf,
    /// Known pictures of the class: a PNG or JPEG file, or a folder of them.
    #[arg(long, value_name = "FOLDER|PICTURE")]
    support: Option<PathBuf>,
    /// How many pictures are drawn.
    #[arg(long, default_value_t = 16)]
    count: usize,
    /// Where they are written, in a square: pixels are as bright as they are probable.
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
    /// Seed of the codes.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Steps of adaptation (not given: as many as were chosen on validation tasks).
    #[arg(long)]
    steps: Option<usize>,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &SampleArgs) -> Result<ExitCode> {
    let fail = |key: &str, message: String| Err(Error::config(key, message));
    check_new(&args.out)?;
    check_png(&args.out)?;
    if !(1..=MAX_COUNT).contains(&args.count) {
        return fail("--count", format!("{} is out of range: it must lie from 1 to {MAX_COUNT}", args.count));
    }
    check_steps(args.steps)?;
    if !args.model.exists() {
        return fail(
            &args.model.display().to_string(),
            "there is no such run folder or network; `hyperloom train` and `hyperloom adapt` make them"
                .into(),
        );
    }
    let (network, format, device) = if args.model.is_dir() {
        let (model, format) = RunFolder::open(&args.model)?.model()?;
        let Some(support) = &args.support else {
            return fail("--support", "is missing: a few known pictures of the class to draw".into());
        };
        let known = support_of_drawings(&format, support)?;
        let device = open_device(&args.device)?;
        (model.adapt(&device, &known, args.steps)?, format, device)
    } else {
        if args.support.is_some() || args.steps.is_some() {
            return fail(
                if args.support.is_some() { "--support" } else { "--steps" },
                "the network is adapted already: give a run folder to adapt anew".into(),
            );
        }
        let (network, format) = load_network(&args.model)?;
        (network, format, open_device(&args.device)?)
    };
    let pictures = sample(&device, &network, &format, args.count, args.seed)?;
    tiled(&pictures, (args.count as f64).sqrt().ceil() as usize).write(&args.out)?;
    let [h, w] = pictures[0].size;
    let s = if args.count == 1 { "" } else { "s" };
    say(format_args!("{}: {} picture{s} of {w} by {h} pixels\n", args.out.display(), args.count));
    Ok(ExitCode::SUCCESS)
}
