//! `hyperloom inspect`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::Result;
use hyperloom::experiment::inspect::inspect;
use serde_json::Value;

use super::{figure, say};

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub(super) struct InspectArgs {
    /// A run folder, or a file: a checkpoint, a network, a code, a report, settings, a table.
    path: PathBuf,
    /// Print all of it as JSON.
    #[arg(long)]
    json: bool,
}

/// Characters of a fact that are shown.
const SHOWN: usize = 100;

pub(super) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let found = inspect(&args.path)?;
    if args.json {
        say(format_args!("{}\n", serde_json::to_string_pretty(&found).unwrap_or_default()));
        return Ok(ExitCode::SUCCESS);
    }
    let path = args.path.display().to_string();
    say(format_args!("{}: {}, {} bytes\n", plain(&path), found.what, found.bytes));
    for (name, value) in &found.facts {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let (shown, more) = match text.char_indices().nth(SHOWN) {
            Some((at, _)) => (&text[..at], " … (--json shows all)"),
            None => (&*text, ""),
        };
        say(format_args!("  {name:<18} {}{more}\n", plain(shown)));
    }
    for t in &found.tensors {
        let wrong = match t.not_finite {
            0 => String::new(),
            n => format!(", {n} not finite"),
        };
        let (rms, largest) = (figure(t.rms), figure(t.largest));
        let name = plain(&t.name);
        say(format_args!("  {name:<24} {} {:?}, rms {rms}, largest {largest}{wrong}\n", t.dtype, t.shape));
    }
    for (name, what) in &found.files {
        say(format_args!("  {:<24} {}\n", plain(name), plain(what)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A text of a file with what would move a terminal's cursor written out.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() }).collect()
}
