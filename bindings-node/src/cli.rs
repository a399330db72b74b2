//! The command line. `cli.js` hands over its arguments.

use napi_derive::napi;

/// Runs a command with these arguments, the program's name not among them. Blocks. The exit status.
#[napi(catch_unwind)]
pub(crate) fn run_cli(args: Vec<String>) -> u32 {
    ssehub::cli::main(args.into_iter().map(Into::into)).into()
}
