//! Where commands write: standard output, which may be a terminal, a file or a pipe that somebody closes; and
//! standard error.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, ErrorKind, Stderr, Stdout, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

pub(super) const STRONG: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const ODD: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const NAME: Style = AnsiColor::Cyan.on_default().bold();

/// Both outputs of a command. Colours go to terminals only, and where `NO_COLOR` is not set.
pub(super) struct Terminal {
    out: BufWriter<Patient<Stdout>>,
    err: AutoStream<Stderr>,
    coloured: bool,
}

impl Terminal {
    pub(super) fn new() -> Self {
        let out = io::stdout();
        Self {
            coloured: AutoStream::choice(&out) != ColorChoice::Never,
            out: BufWriter::new(Patient(out)),
            err: AutoStream::auto(io::stderr()),
        }
    }

    /// Standard output, buffered.
    pub(super) fn out(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Writes text in a style, made harmless.
    pub(super) fn paint(&mut self, style: Style, text: &str) -> io::Result<()> {
        let style = if self.coloured { style } else { Style::new() };
        write!(self.out, "{style}{}{style:#}", harmless(text))
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Says something beside the output: on standard error.
    pub(super) fn note(&mut self, style: Style, text: &str) {
        // Without anybody to read it, it is not worth failing for.
        let _ = writeln!(self.err, "{style}-- {}{style:#}", harmless(text));
    }

    pub(super) fn error(&mut self, text: &str) {
        let _ = writeln!(self.err, "{BAD}error{BAD:#}: {}", harmless(text));
    }

    /// Whether nobody reads the output any more, so that a stream that is silent need not be followed until it speaks.
    pub(super) fn is_left(&self) -> bool {
        is_left(&self.out.get_ref().0)
    }
}

/// Text without control characters but tabs and line breaks: what streams bring must not reach a terminal as commands.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            // A String takes everything.
            let _ = write!(safe, "\\x{:02x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Waits where the other end of a pipe is slow, and whoever shares it has made it non-blocking: Node does.
struct Patient<W>(W);

impl Patient<Stdout> {
    fn until<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Stdout) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match attempt(&mut self.0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait_for_room(&self.0)?,
                done => return done,
            }
        }
    }
}

impl Write for Patient<Stdout> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until(|out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.until(Stdout::flush)
    }
}

#[cfg(unix)]
fn wait_for_room(out: &Stdout) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};

    match poll(&mut [PollFd::new(out, PollFlags::OUT)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn wait_for_room(_: &Stdout) -> io::Result<()> {
    std::thread::sleep(std::time::Duration::from_millis(5));
    Ok(())
}

#[cfg(unix)]
fn is_left(out: &Stdout) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let mut look = [PollFd::new(out, PollFlags::empty())];
    poll(&mut look, Some(&Timespec::default())).is_ok()
        && look[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// It is noticed with the next write.
#[cfg(not(unix))]
fn is_left(_: &Stdout) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_streams_cannot_command_a_terminal() {
        assert_eq!(harmless("a\tb\nc ü"), "a\tb\nc ü");
        assert!(matches!(harmless("plain"), Cow::Borrowed(_)));
        assert_eq!(harmless("\x1b[2J\u{9b}1m\x7f\r"), "\\x1b[2J\\x9b1m\\x7f\\x0d");
    }
}
