//! `hyperloom encode`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::Result;
use hyperloom::data::picture::Picture;
use hyperloom::data::score::psnr;
use hyperloom::experiment::field_files::{decode, encode};
use hyperloom::experiment::run_folder::RunFolder;

use super::{check_new, check_steps, open_device, say};

/// Arguments of `encode`.
#[derive(Args, Debug)]
pub(super) struct EncodeArgs {
    /// The run folder of a trained model of fields.
    run: PathBuf,
    /// The picture to learn.
    #[arg(long, value_name = "PNG|JPEG")]
    image: PathBuf,
    /// Where its code is written.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// Steps of adaptation (not given: as many as were chosen on validation tasks).
    #[arg(long)]
    steps: Option<usize>,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &EncodeArgs) -> Result<ExitCode> {
    check_new(&args.out)?;
    check_steps(args.steps)?;
    let (model, format) = RunFolder::open(&args.run)?.model()?;
    let device = open_device(&args.device)?;
    let code = encode(&device, &model, &format, &args.image, args.steps)?;
    let again = decode(&device, &model, &format, &code, code.size)?;
    code.save(&args.out)?;
    let [h, w] = code.size;
    let truth = Picture::read(&args.image)?.shaped([h, w, again.channels]);
    let numbers = |p: &Picture| p.pixels.iter().map(|v| f32::from(*v) / 255.0).collect::<Vec<f32>>();
    say(format_args!(
        "{}: {} numbers for {w} by {h} pixels, {:.2} dB after {} steps of adaptation\n",
        args.out.display(),
        code.values.len(),
        psnr(&numbers(&truth), &numbers(&again)),
        args.steps.unwrap_or(model.choice.steps)
    ));
    Ok(ExitCode::SUCCESS)
}
