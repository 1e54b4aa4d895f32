//! The `hyperloom` command: reads arguments, calls the library, prints errors as one line.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
