//! `hyperloom adapt`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::data::Table;
use hyperloom::data::format::Format;
use hyperloom::experiment::files::support_of_file;
use hyperloom::experiment::picture_files::support_of_folder;
use hyperloom::experiment::run_folder::{RunFolder, save_network};
use hyperloom::{Error, Result};

use super::{check_steps, open_device, say};

/// Arguments of `adapt`.
#[derive(Args, Debug)]
pub(super) struct AdaptArgs {
    /// The run folder of a trained model.
    run: PathBuf,
    /// The new task's rows, with the columns that the model was trained on; of pictures a folder with a folder for each class.
    #[arg(long, value_name = "FILE.csv|FOLDER")]
    support: PathBuf,
    /// Steps of adaptation (not given: as many as were chosen on validation tasks).
    #[arg(long)]
    steps: Option<usize>,
    /// Where the network is written.
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

pub(super) fn run(args: &AdaptArgs) -> Result<ExitCode> {
    if args.out.exists() {
        return Err(Error::config(
            "--out",
            format!("{} exists and is not overwritten; name another file", args.out.display()),
        ));
    }
    check_steps(args.steps)?;
    let (model, mut format) = RunFolder::open(&args.run)?.model()?;
    let task = if let Format::Pictures { shape, ways, .. } = format {
        let (task, classes) = support_of_folder(&format, &args.support)?;
        format = Format::Pictures { shape, ways, classes };
        task
    } else {
        support_of_file(&model, &format, &Table::read(&args.support)?)?
    };
    let rows = task.shots(model.likelihood.outputs);
    let network = model.adapt(&open_device(&args.device)?, &task, args.steps)?;
    save_network(&args.out, &network, &format)?;
    say(format_args!(
        "{}: a network of {} weights{} from {} rows, {} steps of adaptation\n",
        args.out.display(),
        network.spec.layout().len(),
        if network.members.len() > 1 {
            format!(" (x {} networks)", network.members.len())
        } else {
            String::new()
        },
        rows,
        args.steps.unwrap_or(model.choice.steps)
    ));
    Ok(ExitCode::SUCCESS)
}
