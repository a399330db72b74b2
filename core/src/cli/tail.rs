//! `ssehub tail`.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::Tail;
use super::terminal::{BAD, FAINT, NAME, ODD, Terminal, harmless};
use super::{FAILED, FINE, Outcome};
use crate::client::{
    ClientError, ClientErrorKind, Ended, EventSource, Notice, Reconnect, StopOn, Taken, When,
};
use crate::event::EventRef;

/// How often a silent stream is looked up from.
const LOOK_UP: Duration = Duration::from_millis(500);
/// How much of a refusal's body is shown.
const REFUSAL: usize = 1000;

/// Follows a stream to its end, or as far as is wanted.
pub(super) fn run(tail: &Tail, terminal: &mut Terminal) -> Outcome {
    let source = open(tail)?;
    let deadline = tail.timeout.map(|timeout| Instant::now() + timeout);
    let mut left = tail.max_events.unwrap_or(u64::MAX);
    loop {
        while let Some(taken) = source.try_take() {
            match taken {
                Taken::Events(batch) => {
                    for event in batch.events() {
                        if !tail.event.is_empty() && !tail.event.iter().any(|t| t == event.event()) {
                            continue;
                        }
                        show(event, tail.json, terminal)?;
                        left -= 1;
                        if left == 0 {
                            terminal.flush()?;
                            return Ok(FINE);
                        }
                    }
                }
                Taken::Notice(notice) => {
                    // In the order of what happened, where both are one terminal.
                    terminal.flush()?;
                    if let Some(code) = tell(&notice, tail, terminal) {
                        return Ok(code);
                    }
                }
            }
        }
        terminal.flush()?;
        if source.is_ended() || terminal.is_left() {
            return Ok(FINE);
        }
        let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if rest == Some(Duration::ZERO) {
            return Ok(out_of_time(tail, terminal));
        }
        source.wait(Some(rest.unwrap_or(LOOK_UP).min(LOOK_UP)));
    }
}

fn open(tail: &Tail) -> Result<EventSource, super::Failure> {
    let mut request = tail.request.to_request()?;
    request.last_event_id.clone_from(&tail.last_event_id);
    let mut options = tail.request.to_options()?;
    options.reconnect = Reconnect {
        when: if tail.no_reconnect {
            When::Never
        } else {
            When::IfGet
        },
        // Rather a wrong URL than a server that is about to come up.
        first: false,
        ..Reconnect::default()
    };
    let data = tail.stop_on.clone().map(StopOn::Data);
    options.stop_on = data.or_else(|| tail.stop_on_event.clone().map(StopOn::Event));
    options.require_finish = options.stop_on.is_some();
    options.idle_timeout = tail
        .idle_timeout
        .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    Ok(EventSource::open(&request, options)?)
}

fn show(event: EventRef<'_>, as_json: bool, terminal: &mut Terminal) -> io::Result<()> {
    if as_json {
        let line = json!({ "event": event.event(), "data": event.data(), "id": event.id() });
        return writeln!(terminal.out(), "{line}");
    }
    terminal.paint(NAME, event.event())?;
    if !event.id().is_empty() {
        write!(terminal.out(), " ")?;
        terminal.paint(FAINT, event.id())?;
    }
    // Further lines are set off from the next event.
    let data = harmless(event.data()).replace('\n', "\n  ");
    writeln!(terminal.out(), "  {data}")
}

/// Says what happened. The exit code, where that was the last thing.
fn tell(notice: &Notice, tail: &Tail, terminal: &mut Terminal) -> Option<u8> {
    let mut note = |style, text: String| {
        if !tail.quiet {
            terminal.note(style, &text);
        }
    };
    match notice {
        Notice::Open(opened) => note(
            FAINT,
            format!(
                "open: {} {}, after {} ms ({})",
                opened.http,
                opened.status,
                opened.connected_after + opened.answered_after,
                opened.url
            ),
        ),
        Notice::Gap(gap) => note(
            BAD,
            format!(
                "gap: events after {} are lost ({})",
                gap.last_event_id,
                gap.reason.as_str()
            ),
        ),
        Notice::Retrying(retry) => note(
            ODD,
            format!(
                "{}; again in {:.1} s",
                retry.error,
                Duration::from_millis(retry.delay).as_secs_f64()
            ),
        ),
        Notice::Ended(ended) => {
            let why = match ended {
                Ended::Stopped(_) => "complete: the end mark has come",
                Ended::NoContent => "the server says that there is nothing more (204)",
                Ended::EndOfStream => "the stream has ended",
            };
            note(FAINT, why.into());
            return Some(FINE);
        }
        Notice::Failed(error) => {
            fail(error, terminal);
            return Some(FAILED);
        }
        // Nothing is asked, and pieces come as events.
        Notice::Ask(_) | Notice::Bytes(_) | Notice::Event(_) => {}
    }
    None
}

fn fail(error: &ClientError, terminal: &mut Terminal) {
    terminal.error(&error.to_string());
    if let Some(refusal) = error.refusal() {
        let text = String::from_utf8_lossy(&refusal.body[..refusal.body.len().min(REFUSAL)]);
        if !text.trim().is_empty() {
            terminal.note(FAINT, text.trim());
        }
    }
    if error.kind() == ClientErrorKind::Tls {
        terminal.note(FAINT, "--ca FILE trusts its certificates, --insecure trusts any");
    }
}

fn out_of_time(tail: &Tail, terminal: &mut Terminal) -> u8 {
    if tail.max_events.is_none() && tail.stop_on.is_none() && tail.stop_on_event.is_none() {
        return FINE;
    }
    terminal.error("out of time: what was waited for did not come");
    FAILED
}
