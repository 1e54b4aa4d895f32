//! `hyperloom adapt`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::data::Table;
use hyperloom::data::format::Format;
use hyperloom::experiment::drawings::support_of_drawings;
use hyperloom::experiment::files::support_of_table;
use hyperloom::experiment::picture_files::support_of_folder;
use hyperloom::experiment::run_folder::{OWN_NETWORK, RunFolder, load_network, save_network};
use hyperloom::experiment::texts::support_of_text;
use hyperloom::{Error, Result};

use super::{check_new, check_steps, open_device, say};

/// Arguments of `adapt`.
#[derive(Args, Debug)]
pub(super) struct AdaptArgs {
    /// The run folder of a trained model.
    run: PathBuf,
    /// The new task's rows, with the columns that the model was trained on; of pictures a folder with a folder for each class (of decoders
    /// the pictures of one), of texts a file.
    #[arg(long, value_name = "FILE|FOLDER")]
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
    check_new(&args.out)?;
    check_steps(args.steps)?;
    let (mut model, mut format) = RunFolder::open(&args.run)?.model()?;
    if matches!(format, Format::Fields { .. }) {
        return Err(Error::config(
            args.run.display().to_string(),
            "the model learns pictures as fields: `hyperloom encode` adapts it to one",
        ));
    }
    let own_network = args.run.join(OWN_NETWORK);
    if matches!(format, Format::Text { .. }) && own_network.is_file() {
        return Err(Error::config(
            args.run.display().to_string(),
            "the model was trained on one task, for `hyperloom generate` or `translate`: --task texts and --task dictionaries learn to adapt",
        ));
    }
    if own_network.is_file() {
        // What a single task's network normalises by stays as it was trained.
        if args.steps.is_none() {
            return Err(Error::config(
                "--steps",
                "is missing: how many steps of gradient descent the network of this run is to take on the rows",
            ));
        }
        model = load_network(&own_network)?.0.start(model.adaptation)?;
    }
    let task = if matches!(format, Format::Decoders { .. }) {
        support_of_drawings(&format, &args.support)?
    } else if matches!(format, Format::Text { .. }) {
        support_of_text(&format, &args.support)?
    } else if matches!(format, Format::Pictures { .. }) {
        let (task, classes) = support_of_folder(&format, &args.support)?;
        format = format.with_classes(classes);
        task
    } else {
        support_of_table(&model, &format, &Table::read(&args.support)?)?
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
