//! `hyperloom devices`

use std::process::ExitCode;

use clap::Args;
use hyperloom::Result;
use hyperloom::run::Device;
use hyperloom::run::gpu::{AdapterReport, adapters};
use serde::Serialize;

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
        println!("{}", serde_json::to_string_pretty(&found).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    println!("cpu    the CPU path, {threads} threads");
    for a in &found.adapters {
        println!("gpu:{:<2} {} ({}; {})", a.index, a.name, a.backend, a.driver);
        println!("       {}", a.note);
        println!(
            "       buffers to {} MiB, {} MiB a binding; {} KiB and {} threads a workgroup; {}",
            a.max_buffer >> 20,
            a.max_binding >> 20,
            a.workgroup_memory >> 10,
            a.workgroup_threads,
            if a.timestamps { "timestamps" } else { "no timestamps" }
        );
    }
    if found.adapters.is_empty() {
        println!("no adapter was found (on Linux a Vulkan driver is needed)");
    }
    println!("auto takes {}", found.auto);
    Ok(ExitCode::SUCCESS)
}
