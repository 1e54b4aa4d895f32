//! `hyperloom completions` and `hyperloom man`: what a shell and `man` know of the command.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use hyperloom::{Error, Result};

use super::{Cli, check_new, say, say_bytes};

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell that the words are for.
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// The folder that the pages are written into, one a command.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "hyperloom", &mut script);
    say_bytes(&script);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(args: &ManArgs) -> Result<ExitCode> {
    check_new(&args.out)?;
    let written = std::fs::create_dir_all(&args.out).and_then(|()| {
        clap_mangen::generate_to(Cli::command(), &args.out)?;
        Ok(std::fs::read_dir(&args.out)?.count())
    });
    let pages = written.map_err(Error::io("write", &args.out))?;
    say(format_args!("{}: {pages} pages, of which hyperloom.1 names the others\n", args.out.display()));
    Ok(ExitCode::SUCCESS)
}
