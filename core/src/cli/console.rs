//! Where a command prints.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::thread::sleep;
use std::time::Duration;

use clap::ValueEnum;

/// How long to leave a full pipe alone.
const PAUSE: Duration = Duration::from_millis(2);

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless the environment variable `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What a piece of text is, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Dim,
    Name,
    Good,
    Warning,
    Alarm,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Name => "\x1b[1;36m",
            Self::Good => "\x1b[32m",
            Self::Warning => "\x1b[33m",
            Self::Alarm => "\x1b[1;31m",
        }
    }
}

/// The output and the errors of a command, and what is known of whoever reads them.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// A person looks at it: what a server says is escaped there.
    out_is_terminal: bool,
    /// A person looks at it: progress may be shown.
    err_is_terminal: bool,
    no_color: bool,
    /// What the command's own option says.
    color: Color,
    /// `out` is the standard output, so that the system can be asked whether somebody still reads it.
    is_stdout: bool,
}

impl<'a> Console<'a> {
    /// Prints there. Neither is a terminal, unless said otherwise.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self {
            out,
            err,
            out_is_terminal: false,
            err_is_terminal: false,
            no_color: false,
            color: Color::Auto,
            is_stdout: false,
        }
    }

    /// Whether the output is a terminal.
    #[must_use]
    pub fn out_is_terminal(mut self, terminal: bool) -> Self {
        self.out_is_terminal = terminal;
        self
    }

    /// Whether errors go to a terminal.
    #[must_use]
    pub fn err_is_terminal(mut self, terminal: bool) -> Self {
        self.err_is_terminal = terminal;
        self
    }

    /// Whether the environment asks for no colours.
    #[must_use]
    pub fn no_color(mut self, no_color: bool) -> Self {
        self.no_color = no_color;
        self
    }

    pub(super) fn watch_stdout(mut self) -> Self {
        self.is_stdout = true;
        self
    }

    pub(super) fn set_color(&mut self, color: Color) {
        self.color = color;
    }

    /// Whether a terminal gets to see it in the end: colours are for a terminal, too (`| less -R`).
    pub(super) fn shows_to_a_person(&self) -> bool {
        self.out_is_terminal || self.color == Color::Always
    }

    pub(super) fn shows_progress(&self) -> bool {
        self.err_is_terminal
    }

    /// Text in a style, for the output.
    pub(super) fn paint(&self, style: Style, text: impl fmt::Display) -> String {
        paint(self.colors(self.out_is_terminal), style, text)
    }

    /// Prints to the output, at once.
    ///
    /// # Errors
    /// Those of the output: nobody reads it any more, most of the time.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        put(self.out, text.as_bytes())
    }

    /// Prints a line to the errors. Where nobody reads them, there is nobody to tell.
    pub(super) fn warn(&mut self, style: Style, line: &str) {
        let line = paint(self.colors(self.err_is_terminal), style, line);
        let _ = put(self.err, format!("{line}\n").as_bytes());
    }

    /// Replaces the line of progress. Empty: takes it away.
    pub(super) fn progress(&mut self, line: &str) {
        if self.err_is_terminal {
            let _ = put(self.err, format!("\r\x1b[K{line}").as_bytes());
        }
    }

    /// Whether whoever read the output has left. Asked while there is nothing to print.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_stdout && reader_has_left()
    }

    fn colors(&self, terminal: bool) -> bool {
        match self.color {
            Color::Auto => terminal && !self.no_color,
            Color::Always => true,
            Color::Never => false,
        }
    }
}

impl fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("out_is_terminal", &self.out_is_terminal)
            .finish_non_exhaustive()
    }
}

fn paint(colors: bool, style: Style, text: impl fmt::Display) -> String {
    if colors && style != Style::Plain {
        format!("{}{text}\x1b[0m", style.code())
    } else {
        text.to_string()
    }
}

/// Writes everything, and flushes. A pipe that another process has made non-blocking may be full: that is no error.
fn put(to: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    loop {
        let done = if bytes.is_empty() {
            to.flush().map(|()| 0)
        } else {
            to.write(bytes)
        };
        match done {
            Ok(0) if bytes.is_empty() => return Ok(()),
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(unix)]
fn reader_has_left() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let stdout = io::stdout();
    // Errors are told without being asked for, by macOS only where something is. A system that cannot say so is not asked
    // again: writing will show.
    let mut asked = [PollFd::new(&stdout, PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec::default())).is_ok()
        && asked[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(not(unix))]
fn reader_has_left() -> bool {
    false
}
