//! `ssehub tail`: an [`EventSource`], printed.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime};

use super::args::TailArgs;
use super::console::{Console, Style};
use super::text::{brief, count, duration, shown, shown_json, time_of_day};
use super::{BAD, FINE};
use crate::client::{ClientError, Ended, EventSource, Notice, Opened, Retry};
use crate::event::Event;

/// How often to look whether anybody still reads, while nothing comes.
const LOOK: Duration = Duration::from_millis(500);

/// Follows the stream to its end.
///
/// # Errors
/// Those of the output.
pub(super) fn run(args: &TailArgs, console: &mut Console<'_>) -> io::Result<u8> {
    console.set_color(args.request.color);
    let opened = args.source().and_then(|(request, options)| {
        let source = EventSource::open(&request, options)?;
        Ok(source)
    });
    let source = match opened {
        Ok(source) => source,
        Err(refused) => return Ok(refused.print(console)),
    };
    let mut tail = Tail::new(args);
    while !source.is_ended() {
        match source.next_blocking(Some(LOOK)) {
            Some(notice) => {
                if let Some(status) = tail.notice(notice, SystemTime::now(), console)? {
                    return Ok(status);
                }
            }
            None if console.is_abandoned() => return Ok(FINE),
            None => {}
        }
    }
    Ok(FINE)
}

/// What of a stream is printed, and how.
pub(super) struct Tail<'a> {
    args: &'a TailArgs,
    // Events that were printed.
    printed: u64,
}

impl<'a> Tail<'a> {
    pub(super) fn new(args: &'a TailArgs) -> Self {
        Self { args, printed: 0 }
    }

    /// Prints a notice. Returns the exit status, where it is the last one.
    ///
    /// # Errors
    /// Those of the output.
    pub(super) fn notice(
        &mut self,
        notice: Notice,
        now: SystemTime,
        console: &mut Console<'_>,
    ) -> io::Result<Option<u8>> {
        match notice {
            Notice::Event(event) if self.wants(&event) => {
                self.event(&event, now, console)?;
                self.printed += 1;
                if Some(self.printed) == self.args.count {
                    return Ok(Some(FINE));
                }
            }
            Notice::Gap(gap) => {
                // On the wire it is an event: whoever reads the lines must not miss it.
                if self.args.json && self.wants(&gap.event) {
                    self.event(&gap.event, now, console)?;
                }
                let text = format!(
                    "gap: events after {} are lost ({})",
                    shown(&gap.last_event_id),
                    gap.reason.as_str()
                );
                self.note(Style::Alarm, &text, now, console)?;
            }
            Notice::Comment(comment) => {
                let text = format!(
                    "comment:{}{}",
                    if comment.is_empty() { "" } else { " " },
                    shown(&comment)
                );
                self.note(Style::Dim, &text, now, console)?;
            }
            Notice::Open(opened) if !self.args.quiet => {
                self.note(Style::Dim, &open(&opened), now, console)?;
            }
            Notice::Retrying(retry) if !self.args.quiet => {
                self.note(Style::Warning, &retrying(&retry), now, console)?;
            }
            Notice::Ended(ended) => {
                if !self.args.quiet {
                    let text = format!("{}, {}", end(&ended), count(self.printed, "event"));
                    self.note(Style::Dim, &text, now, console)?;
                }
                return Ok(Some(FINE));
            }
            Notice::Failed(error) => {
                console.warn(Style::Alarm, &format!("ssehub: {}", failure(&error)));
                return Ok(Some(BAD));
            }
            _ => {}
        }
        Ok(None)
    }

    fn wants(&self, event: &Event) -> bool {
        let wanted = &self.args.events;
        let found = event.fields().event.unwrap_or("message");
        wanted.is_empty() || wanted.iter().any(|name| name == found)
    }

    fn event(&self, event: &Event, now: SystemTime, console: &mut Console<'_>) -> io::Result<()> {
        let text = if self.args.json {
            json(event, console)
        } else {
            readable(event, now, console)
        };
        console.print(&text)
    }

    /// What is not an event: among the events for a reader, beside them for a program.
    fn note(
        &self,
        style: Style,
        text: &str,
        now: SystemTime,
        console: &mut Console<'_>,
    ) -> io::Result<()> {
        let line = format!("{} -- {text}", time_of_day(now));
        if self.args.json {
            console.warn(style, &line);
            return Ok(());
        }
        let line = console.paint(style, line);
        console.print(&format!("{line}\n"))
    }
}

fn json(event: &Event, console: &Console<'_>) -> String {
    let fields = event.fields();
    // By hand, for the order of the fields.
    let text = |text: Option<&str>| serde_json::Value::from(text.unwrap_or_default()).to_string();
    let line = format!(
        "{{\"event\":{},\"id\":{},\"data\":{}}}",
        text(fields.event),
        text(fields.id),
        text(fields.data)
    );
    if console.shows_to_a_person() {
        format!("{}\n", shown_json(&line))
    } else {
        format!("{line}\n")
    }
}

fn readable(event: &Event, now: SystemTime, console: &Console<'_>) -> String {
    let fields = event.fields();
    // A file or a program gets the data as it is; a terminal must not obey it. Types and ids are one line at any rate.
    let safe = |text: &str| {
        if console.shows_to_a_person() {
            shown(text).into_owned()
        } else {
            text.to_owned()
        }
    };
    let mut out = console.paint(Style::Dim, time_of_day(now));
    let name = shown(fields.event.unwrap_or("message"));
    out.push(' ');
    out.push_str(&console.paint(Style::Name, name));
    if let Some(id) = fields.id.filter(|id| !id.is_empty()) {
        out.push(' ');
        out.push_str(&console.paint(Style::Dim, format_args!("[{}]", shown(id))));
    }
    let data = fields.data.unwrap_or_default();
    if data.contains('\n') {
        for line in data.split('\n') {
            // Writing to a string does not fail.
            let _ = write!(out, "\n    {}", safe(line));
        }
    } else {
        out.push(' ');
        out.push_str(&safe(data));
    }
    out.push('\n');
    out
}

fn open(opened: &Opened) -> String {
    let mut text = format!("open: {}", shown(&opened.url));
    if let Some(remote) = opened.remote {
        let _ = write!(text, " at {remote}");
    }
    let after = opened.connected_after + opened.answered_after;
    let _ = write!(text, ", {}, after {}", opened.http, duration(after));
    text
}

fn retrying(retry: &Retry) -> String {
    format!(
        "attempt {}: {}; again in {}",
        retry.attempt,
        shown(&retry.error.to_string()),
        duration(retry.delay)
    )
}

fn end(ended: &Ended) -> String {
    match ended {
        Ended::Stopped(event) => {
            let fields = event.fields();
            let data = brief(fields.data.unwrap_or_default(), 60);
            let name = shown(fields.event.unwrap_or("message"));
            format!("complete: {name} {data}")
        }
        Ended::NoContent => "complete: the server says that there is nothing more (204)".into(),
        Ended::EndOfStream => "the stream has ended".into(),
    }
}

/// What failed, with the start of what the server had to say about it.
fn failure(error: &ClientError) -> String {
    let message = error.to_string();
    let mut text = shown(&message).into_owned();
    if let Some(refusal) = error.refusal() {
        let said = brief(&String::from_utf8_lossy(&refusal.body), 200);
        if !said.is_empty() {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}
