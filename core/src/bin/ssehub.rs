//! The command line as a program of its own: `cargo install ssehub --features cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(ssehub::cli::main(std::env::args_os().skip(1)))
}
