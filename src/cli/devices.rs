//! `hyperloom devices`

use std::process::ExitCode;

use clap::Args;
use hyperloom::Result;
use hyperloom::run::Device;
use hyperloom::run::gpu::{AdapterReport, adapters};
use serde::Serialize;

use super::say;

/// Arguments of `devices`.
#[derive(Args, Debug)]
pub(super) struct DevicesArgs {
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Devices {
    adapters: Vec<AdapterReport>,
    auto: String,
}

pub(super) fn run(args: &DevicesArgs) -> Result<ExitCode> {
    let found = Devices { adapters: adapters(), auto: Device::choose("auto")?.1 };
    if args.json {
        say(format_args!("{}\n", serde_json::to_string_pretty(&found).unwrap_or_default()));
        return Ok(ExitCode::SUCCESS);
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    say(format_args!("cpu    the CPU path, {threads} threads\n"));
    for a in &found.adapters {
        say(format_args!("gpu:{:<2} {} ({}; {})\n", a.index, a.name, a.backend, a.driver));
        say(format_args!("       {}\n", a.note));
        say(format_args!(
            "       buffers to {} MiB, {} MiB a binding; {} KiB and {} threads a workgroup; {}\n",
            a.max_buffer >> 20,
            a.max_binding >> 20,
            a.workgroup_memory >> 10,
            a.workgroup_threads,
            if a.timestamps { "timestamps" } else { "no timestamps" }
        ));
    }
    if found.adapters.is_empty() {
        say(format_args!("no adapter was found (on Linux a Vulkan driver is needed)\n"));
    }
    say(format_args!("auto takes {}\n", found.auto));
    Ok(ExitCode::SUCCESS)
}
