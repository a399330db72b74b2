//! `ssehub doctor`: looks at a stream, and says what to do about it.

pub(super) mod facts;
pub(super) mod findings;
pub(super) mod flow;
mod flow_findings;
mod no_answer;
mod probe;
pub(super) mod report;
pub(super) mod watch;
pub(super) mod wayside;

use std::io;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;

use super::args::{DoctorArgs, Refused};
use super::console::{Console, Style};
use super::text::{count, duration};
use super::{BAD, FINE, UNUSABLE};
use crate::client::ClientOptions;
use crate::client::request::Target;
use crate::client::runtime::process;
use crate::client::transport::Transport;
use facts::{Facts, Outcome};
use probe::{Case, Step, examine};

/// How often the line of progress changes.
const PROGRESS: Duration = Duration::from_millis(100);
/// How long a connection may take, at most.
const CONNECT: u64 = 10_000;

/// Examines the stream, and prints a report.
///
/// # Errors
/// Those of the output.
pub(super) fn run(args: &DoctorArgs, console: &mut Console<'_>) -> io::Result<u8> {
    console.set_color(args.request.color);
    let case = match case(args) {
        Ok(case) => case,
        Err(refused) => return Ok(refused.print(console)),
    };
    let facts = match facts(case, console) {
        Ok(facts) => facts,
        Err(why) => {
            console.warn(Style::Alarm, &format!("ssehub: {why}"));
            return Ok(UNUSABLE);
        }
    };
    let findings = findings::findings(&facts);
    let report = if args.json {
        report::json(&facts, &findings, console)
    } else {
        report::readable(&facts, &findings, console)
    };
    console.print(&report)?;
    Ok(match facts.outcome {
        Outcome::NoConnection(_) => UNUSABLE,
        _ if report::is_healthy(&findings) => FINE,
        _ => BAD,
    })
}

fn case(args: &DoctorArgs) -> Result<Case, Refused> {
    let options = ClientOptions {
        // As browsers do: what compresses on the way is to show itself.
        compression: true,
        connect_timeout: Some(args.seconds.clamp(1000, CONNECT)),
        ..args.request.options()?
    };
    options.check()?;
    let origin = match args.origin.as_deref().map(HeaderValue::from_str) {
        Some(Err(_)) => {
            let message =
                "--origin has a character that no header may have: give https://app.example";
            return Err(Refused::Argument(message.into()));
        }
        Some(Ok(origin)) => Some(origin),
        None => None,
    };
    let (target, last_event_id) = Target::new(&args.request.request()?, options.compression)?;
    Ok(Case {
        target,
        transport: Transport::new(&options)?,
        options,
        last_event_id,
        origin,
        limit: args.seconds,
    })
}

/// Has it examined on the client's thread, and shows how far it is.
fn facts(case: Case, console: &mut Console<'_>) -> Result<Facts, String> {
    let lease = process()
        .lease()
        .map_err(|error| format!("the client cannot start: {error}"))?;
    let limit = case.limit;
    let (steps, taken) = channel();
    let (found, facts) = channel();
    lease.handle().spawn(async move {
        // The receiver waits for nothing else.
        let _ = found.send(examine(case, steps).await);
    });
    let mut shown: Option<Instant> = None;
    // It ends with the examination, which holds the other end.
    for step in taken {
        // A busy stream is told of more often than anybody can read.
        let is_due = shown.is_none_or(|shown| shown.elapsed() >= PROGRESS);
        if console.shows_progress() && (is_due || !matches!(step, Step::Watching(..))) {
            console.progress(&line(&step, limit));
            shown = Some(Instant::now());
        }
    }
    console.progress("");
    facts
        .recv()
        .map_err(|_| "the examination has failed: this is a defect of ssehub".into())
}

fn line(step: &Step, limit: u64) -> String {
    match step {
        Step::Connecting => "connecting ...".into(),
        Step::Waiting(now) => format!(
            "waiting for the answer, {} of {} at most ...",
            duration(*now),
            duration(limit)
        ),
        Step::Watching(now, bytes, events) => format!(
            "watching, {} of {} at most: {}, {} ...",
            duration(*now),
            duration(limit),
            count(*events, "event"),
            count(*bytes, "byte")
        ),
        Step::Resuming => "coming back with the last event id ...".into(),
    }
}
