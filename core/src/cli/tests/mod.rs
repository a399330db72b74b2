//! What is printed, and what facts mean. Without sockets.
#![expect(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod answers;
mod arguments;
mod arrivals;
mod resuming;
mod tail;
mod texts;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::console::Console;
use super::doctor::facts::{Answer, End, Facts, Outcome, Resume};
use super::doctor::findings::{Finding, Verdict, findings};
use super::doctor::watch::Watch;
use crate::client::policy::Head;
use crate::client::{ClientError, ClientErrorKind};

/// What a command prints to the output and to the errors, and what it returns.
fn run(args: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console::new(&mut out, &mut err);
    let status = super::run(args.iter().map(Into::into), &mut console);
    (
        status,
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

/// The head of a hub's stream.
const HUB: [(&str, &str); 3] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
];
/// The same behind an nginx.
const NGINX: [(&str, &str); 3] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache, no-transform"),
    ("server", "nginx/1.29.3"),
];

fn head(status: u16, fields: &[(&'static str, &'static str)]) -> Head {
    let headers: HeaderMap = fields
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    Head {
        status,
        headers,
        http: "HTTP/2",
        remote: None,
        connected_after: 3,
        answered_after: 5,
    }
}

/// A stream with this head, that was watched for 20 seconds, and is still there.
fn answer(fields: &[(&'static str, &'static str)], pieces: &[(u64, &[u8])]) -> Answer {
    let mut watch = Watch::after("");
    for (at, piece) in pieces {
        watch.feed(*at, piece);
    }
    Answer {
        url: "http://localhost/events".into(),
        redirects: 0,
        not_followed: None,
        head: head(200, fields),
        is_stream: true,
        said: String::new(),
        watch,
        watched: 20_000,
        end: End::Open,
        resume: Resume::NotTried,
    }
}

/// A connection that was cut.
fn broken() -> End {
    End::Broken(ClientError::new(
        ClientErrorKind::Interrupted,
        "the connection failed",
    ))
}

fn judged(outcome: Outcome) -> Vec<Finding> {
    findings(&Facts {
        url: "http://localhost/events".into(),
        origin: None,
        outcome,
    })
}

fn of(answer: Answer) -> Vec<Finding> {
    judged(Outcome::Answer(Box::new(answer)))
}

/// The finding on one check.
fn look<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings
        .iter()
        .find(|finding| finding.check == check)
        .unwrap_or_else(|| panic!("nothing on {check} in {findings:#?}"))
}

fn verdict(findings: &[Finding], check: &str) -> Verdict {
    look(findings, check).verdict
}

/// All checks with this verdict.
fn with(findings: &[Finding], verdict: Verdict) -> Vec<&'static str> {
    let found = findings.iter().filter(|finding| finding.verdict == verdict);
    found.map(|finding| finding.check).collect()
}

fn advice(findings: &[Finding], check: &str) -> String {
    look(findings, check).advice.join("\n")
}
