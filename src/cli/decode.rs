//! `hyperloom decode`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::Result;
use hyperloom::experiment::field_files::{Code, decode};
use hyperloom::experiment::run_folder::RunFolder;

use super::{check_new, check_png, open_device, say};

/// Arguments of `decode`.
#[derive(Args, Debug)]
pub(super) struct DecodeArgs {
    /// The run folder of the model that the code was written with.
    run: PathBuf,
    /// A code that `encode` wrote.
    #[arg(long, value_name = "FILE.safetensors")]
    code: PathBuf,
    /// Where the picture is written.
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
    /// Width and height of the picture (not given: those of the one that was encoded).
    #[arg(long, num_args = 2, value_names = ["WIDTH", "HEIGHT"])]
    size: Option<Vec<usize>>,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &DecodeArgs) -> Result<ExitCode> {
    check_new(&args.out)?;
    check_png(&args.out)?;
    let (model, format) = RunFolder::open(&args.run)?.model()?;
    let code = Code::load(&args.code)?;
    let size = args.size.as_deref().map_or(code.size, |size| [size[1], size[0]]);
    let picture = decode(&open_device(&args.device)?, &model, &format, &code, size)?;
    picture.write(&args.out)?;
    say(format_args!("{}: {} by {} pixels\n", args.out.display(), size[1], size[0]));
    Ok(ExitCode::SUCCESS)
}
