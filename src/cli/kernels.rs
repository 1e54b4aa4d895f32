//! `hyperloom kernels`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::check::cases::cases;
use hyperloom::files::write_atomically;
use hyperloom::kernel::ALL;
use hyperloom::run::gpu::shader::final_wgsl;
use hyperloom::{Error, Result};

use super::say;

/// Arguments of `kernels`.
#[derive(Args, Debug)]
pub(super) struct KernelsArgs {
    /// The folder to write to: NAME.wgsl, and NAME.constants.json with each set of override constants in use.
    #[arg(long)]
    out: PathBuf,
}

pub(super) fn run(args: &KernelsArgs) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.out).map_err(Error::io("create", &args.out))?;
    let cases = cases();
    for kernel in ALL {
        let mut sets: Vec<BTreeMap<&str, f64>> = Vec::new();
        for case in cases.iter().filter(|c| c.shader() == kernel.name) {
            let plan = case.plan();
            let set: BTreeMap<&str, f64> = plan.launches[0].dispatch().constants.into_iter().collect();
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        write_atomically(
            &args.out.join(format!("{}.wgsl", kernel.name)),
            final_wgsl(kernel.name)?.as_bytes(),
        )?;
        let json = serde_json::to_string_pretty(&sets).unwrap_or_default() + "\n";
        write_atomically(&args.out.join(format!("{}.constants.json", kernel.name)), json.as_bytes())?;
    }
    say(format_args!("{}: {} kernels\n", args.out.display(), ALL.len()));
    Ok(ExitCode::SUCCESS)
}
