//! The command line: `ssehub tail` follows a stream, `ssehub doctor` says what is wrong with one.
//!
//! ```text
//! args.rs      what was asked for, as options of the client
//! console.rs   where to print: colours, closed pipes; text.rs: what is safe to print
//! tail.rs      an EventSource, printed
//! doctor/      probe.rs -> facts.rs, watch.rs -> findings.rs, flow.rs, resume.rs, wayside.rs -> report.rs
//!              sockets     what was seen         what it means                                printed
//! ```
//!
//! Python and Node have thin entry points only: they call [`main`] with their arguments, and exit with what it returns.
//!
//! | status | `tail` | `doctor` |
//! |---|---|---|
//! | 0 | the stream is complete, `--count` is reached, or nobody reads the output any more | no problem was found |
//! | 1 | it failed, and there will be no further try | a problem was found |
//! | 2 | the arguments are wrong | the arguments are wrong, or there was no connection to examine |

mod args;
mod console;
mod doctor;
mod tail;
#[cfg(test)]
mod tests;
mod text;

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use args::Command;
pub use console::Console;

/// All went well.
const FINE: u8 = 0;
/// What was asked for failed, or a problem was found.
const BAD: u8 = 1;
/// What was asked for could not even be begun.
const UNUSABLE: u8 = 2;

/// Runs the command that these arguments (without the program's name) say, with the standard output and error of this
/// process. Blocks until it is done. Returns the exit status.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut console = Console::new(&mut out, &mut err)
        .out_is_terminal(io::stdout().is_terminal())
        .err_is_terminal(io::stderr().is_terminal())
        .no_color(std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()))
        .watch_stdout();
    run(args, &mut console)
}

/// Runs the command that these arguments (without the program's name) say. Blocks until it is done. Returns the exit
/// status.
pub fn run(args: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> u8 {
    let command = match args::parse(args) {
        Ok(command) => command,
        Err(refused) => return refused.print(console),
    };
    let done = match command {
        Command::Tail(args) => tail::run(&args, console),
        Command::Doctor(args) => doctor::run(&args, console),
    };
    // Whoever read the output has left (`| head`): that is no failure.
    done.unwrap_or(FINE)
}
