//! The command line: `ssehub tail URL` and `ssehub doctor URL`.
//!
//! ```text
//! args.rs --> tail.rs                            follows a stream
//!        '--> doctor/watch.rs --> doctor/*.rs    looks at one or two for a while, judges, and says what to do
//! terminal.rs                                    where both write
//! ```
//!
//! Results go to standard output, all else to standard error. The process exits with
//!
//! | code | means |
//! |---|---|
//! | 0 | all is well: the stream ended, or as many events came as were wanted; the doctor found no problem |
//! | 1 | the stream could not be followed (any more); the doctor found problems |
//! | 2 | the arguments cannot work |
//! | 130 | Ctrl-C, as shells see it: the signal itself ends the process |

mod args;
mod doctor;
mod tail;
mod terminal;

use std::ffi::OsString;
use std::io::ErrorKind;

use clap::Parser as _;

use args::{Cli, Command};
use terminal::Terminal;

const FINE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Runs one command, its name first: `["tail", "http://..."]`. Blocks until it is done. Returns the exit code.
///
/// Ctrl-C is left to the process: where the signal does what it does by default, it ends the command at once.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = std::iter::once("ssehub".into()).chain(arguments);
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(answer) => {
            // Help, too. Nobody may be there to read it.
            let _ = answer.print();
            return u8::try_from(answer.exit_code()).unwrap_or(USAGE);
        }
    };
    let mut terminal = Terminal::new();
    let done = match cli.command {
        Command::Tail(tail) => tail::run(&tail, &mut terminal),
        Command::Doctor(doctor) => doctor::run(&doctor, &mut terminal),
    };
    match done {
        Ok(code) => code,
        // Whoever read has seen enough: `| head`.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => FINE,
        Err(Failure::Output(error)) => {
            terminal.error(&format!("the output cannot be written: {error}"));
            FAILED
        }
        Err(Failure::Usage(why)) => {
            terminal.error(&why);
            USAGE
        }
    }
}

/// Why a command could not do what it is for.
enum Failure {
    /// An argument that cannot work.
    Usage(String),
    /// Standard output is gone, or full.
    Output(std::io::Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<crate::error::Error> for Failure {
    fn from(error: crate::error::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

type Outcome = Result<u8, Failure>;
