//! Facts in, verdicts out: what the head of the answer says. No I/O, no clock. See `flow_findings.rs` for what follows it.

use std::fmt::Write as _;

use hyper::HeaderMap;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, HeaderName, SERVER, VIA,
};

use super::facts::{Answer, Facts, Outcome};
use super::flow_findings;
use super::no_answer;
use super::wayside::{self, Proxy};
use crate::cli::text::{brief, duration, shown};
pub(in crate::cli) use crate::client::policy::is_event_stream;

/// What one look has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Finding {
    /// What was looked at; a name for programs, too.
    pub(in crate::cli) check: &'static str,
    /// What it means.
    pub(in crate::cli) verdict: Verdict,
    /// What was found.
    pub(in crate::cli) found: String,
    /// What to do about it.
    pub(in crate::cli) advice: Vec<String>,
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing; not a fault.
    Note,
    /// It does not work, or will not.
    Problem,
    /// It could not be found out.
    Unknown,
}

impl Verdict {
    pub(in crate::cli) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Problem => "problem",
            Self::Unknown => "unknown",
        }
    }
}

impl Finding {
    pub(super) fn new(check: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            found: found.into(),
            advice: Vec::new(),
        }
    }

    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found)
    }

    pub(super) fn note(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Note, found)
    }

    pub(super) fn problem(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Problem, found)
    }

    pub(super) fn unknown(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unknown, found)
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice.push(advice.into());
        self
    }

    /// What each proxy on the way is to be told.
    pub(super) fn advise_each(
        mut self,
        on_the_way: &[Proxy],
        say: fn(Proxy) -> &'static str,
    ) -> Self {
        self.advice
            .extend(on_the_way.iter().map(|proxy| say(*proxy).to_owned()));
        self
    }
}

/// All that is to be said, in order.
pub(in crate::cli) fn findings(facts: &Facts) -> Vec<Finding> {
    match &facts.outcome {
        Outcome::NoConnection(error) => vec![no_answer::connection(error)],
        Outcome::NoHead(none) => no_answer::no_head(none),
        Outcome::Answer(answer) => of_answer(facts, answer),
    }
}

fn of_answer(facts: &Facts, answer: &Answer) -> Vec<Finding> {
    let headers = &answer.head.headers;
    let mut all = vec![connected(answer), status(answer)];
    all.extend(on_the_way(headers));
    if !answer.is_stream {
        return all;
    }
    let kind = content_type(headers);
    let is_stream = kind.verdict == Verdict::Ok;
    all.push(kind);
    if let Some(origin) = &facts.origin {
        all.push(cors(headers, origin));
    }
    if !is_stream {
        return all;
    }
    all.push(caching(headers));
    all.push(accel_buffering(headers));
    all.push(compression(answer));
    all.extend(length(headers));
    all.push(version(answer));
    all.extend(flow_findings::of(answer));
    all.extend(size(answer));
    all
}

/// A header field as text, its values joined.
fn field(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn has_directive(value: &str, directive: &str) -> bool {
    value
        .split(',')
        .any(|part| part.trim().eq_ignore_ascii_case(directive))
}

fn connected(answer: &Answer) -> Finding {
    let mut found = match answer.head.remote {
        Some(remote) => remote.to_string(),
        None => "a connection".into(),
    };
    // Writing to a string does not fail, here and below.
    let _ = write!(found, ", after {}", duration(answer.head.connected_after));
    if answer.redirects > 0 {
        let _ = write!(found, ", redirected to {}", shown(&answer.url));
    }
    Finding::ok("connection", found)
}

fn status(answer: &Answer) -> Finding {
    const CHECK: &str = "status";
    let status = answer.head.status;
    if answer.is_stream {
        return Finding::ok(CHECK, "200");
    }
    if status == 204 {
        return Finding::note(
            CHECK,
            "204: there is nothing, and clients are not to come back",
        )
        .advise(
            "This is how a server ends a stream for good. If there should be one, look at the \
             server.",
        );
    }
    let mut found = status.to_string();
    if let Some(error) = &answer.not_followed {
        found = format!("{found}: {error}");
    } else if !answer.said.trim().is_empty() {
        found = format!("{found}: {}", brief(&answer.said, 160));
    }
    let advice = match status {
        301..=308 => "Give the URL that it leads to, if that is where the stream is.",
        400 | 422 => {
            "The server does not like the request: look at its parameters, --header and --data."
        }
        401 | 403 => {
            "It wants to know who asks: give --header \"Authorization: Bearer ...\" or a cookie."
        }
        404 | 410 => {
            "There is nothing at this URL. Behind a proxy: is its path passed on as it is?"
        }
        405 => "The server wants another method: give --method, or --data for a POST.",
        406 => "The server does not answer with text/event-stream here.",
        429 => "Too many connections or requests: a limit of the server, or of a hub (`limits`).",
        502..=504 => {
            "A proxy answers, and does not reach the server behind it: is that running, and where \
             it is looked for?"
        }
        500..=599 => "The server has failed: its log says why.",
        _ => "Only status 200 opens a stream.",
    };
    Finding::problem(CHECK, found)
        .advise("Browsers give up at any status but 200, and do not come back.")
        .advise(advice)
}

fn content_type(headers: &HeaderMap) -> Finding {
    const CHECK: &str = "content type";
    let found = field(headers, &CONTENT_TYPE);
    if is_event_stream(headers) {
        return Finding::ok(CHECK, found.unwrap_or_default());
    }
    let found = found.map_or("none".into(), |value| brief(&value, 80));
    Finding::problem(CHECK, found).advise(
        "Browsers refuse everything but text/event-stream. Is this the URL of a stream, and not \
         of a page or of JSON?",
    )
}

fn cors(headers: &HeaderMap, origin: &str) -> Finding {
    const CHECK: &str = "CORS";
    match field(headers, &ACCESS_CONTROL_ALLOW_ORIGIN) {
        Some(value) if value == "*" => Finding::ok(CHECK, "every origin, without cookies"),
        Some(value) if value == origin => Finding::ok(CHECK, value),
        other => Finding::problem(
            CHECK,
            other.map_or("none".into(), |value| brief(&value, 80)),
        )
        .advise(format!(
            "A page of {origin} may not read this: answer with `Access-Control-Allow-Origin: \
             {origin}`, and `Access-Control-Allow-Credentials: true` for cookies. Frameworks have \
             middleware for that."
        )),
    }
}

fn caching(headers: &HeaderMap) -> Finding {
    const CHECK: &str = "caching";
    match field(headers, &CACHE_CONTROL) {
        Some(value) if has_directive(&value, "no-cache") || has_directive(&value, "no-store") => {
            Finding::ok(CHECK, format!("Cache-Control: {}", brief(&value, 80)))
        }
        other => {
            let found = other.map_or("no Cache-Control".into(), |value| {
                format!("Cache-Control: {}", brief(&value, 80))
            });
            Finding::note(CHECK, found).advise(
                "Send `Cache-Control: no-cache, no-transform`: a cache may keep the answer \
                 otherwise.",
            )
        }
    }
}

fn accel_buffering(headers: &HeaderMap) -> Finding {
    const CHECK: &str = "X-Accel-Buffering";
    let nginx = wayside::found(headers).contains(&Proxy::Nginx);
    match field(headers, &HeaderName::from_static("x-accel-buffering")) {
        Some(value) if value.trim().eq_ignore_ascii_case("no") => Finding::ok(CHECK, value),
        Some(value) => Finding::problem(CHECK, brief(&value, 40)).advise(
            "Send `X-Accel-Buffering: no`: any other value leaves nginx's buffering as it is.",
        ),
        None if nginx => Finding::unknown(CHECK, "not seen: nginx keeps this header for itself"),
        None => Finding::note(CHECK, "not sent").advise(
            "Send `X-Accel-Buffering: no`: an nginx in front of the server would buffer \
             otherwise.",
        ),
    }
}

fn compression(answer: &Answer) -> Finding {
    const CHECK: &str = "compression";
    let headers = &answer.head.headers;
    if let Some(error) = answer.end.unreadable() {
        return Finding::problem(CHECK, shown(&error.to_string())).advise(
            "Browsers cannot read that either. `Cache-Control: no-transform` asks those on the way \
             not to compress.",
        );
    }
    match field(headers, &CONTENT_ENCODING).filter(|value| !value.eq_ignore_ascii_case("identity"))
    {
        None => Finding::ok(CHECK, "none"),
        Some(value) => Finding::note(CHECK, brief(&value, 40))
            .advise(
                "A compressor that is not flushed after each event holds it back. Compressing \
                 small events saves little: `Cache-Control: no-transform` asks those on the way \
                 not to.",
            )
            .advise_each(&wayside::found(headers), Proxy::uncompressed),
    }
}

fn length(headers: &HeaderMap) -> Option<Finding> {
    let length = field(headers, &CONTENT_LENGTH)?;
    Some(
        Finding::problem("length", format!("Content-Length: {}", brief(&length, 40))).advise(
            "A stream has no length: it ends there, and may have been put together in whole \
             before it was sent. Take the header off, and look for middleware that collects \
             answers.",
        ),
    )
}

fn size(answer: &Answer) -> Option<Finding> {
    answer.watch.too_large.then(|| {
        Finding::problem("event size", "an event is over 16 MiB").advise(
            "Clients with a limit give up on it. Is what comes a stream of events at all? Each ends \
             with an empty line.",
        )
    })
}

fn version(answer: &Answer) -> Finding {
    const CHECK: &str = "HTTP version";
    let mut found = answer.head.http.to_owned();
    if let Some(connection) = field(&answer.head.headers, &CONNECTION) {
        let _ = write!(found, ", Connection: {}", brief(&connection, 40));
    }
    match answer.head.http {
        "HTTP/2" => Finding::ok(CHECK, found),
        "HTTP/1.1" => Finding::note(CHECK, found).advise(
            "A browser has six connections per host with HTTP/1, over all tabs, and a stream \
             takes one. HTTP/2 has no such limit: switch it on at the proxy, where TLS ends.",
        ),
        _ => Finding::note(CHECK, found).advise(
            "HTTP/1.0 has no chunks: a stream that is cut looks like one that has ended. Use \
             HTTP/1.1 or 2.",
        ),
    }
}

/// Who answered, where the answer tells.
pub(super) fn on_the_way(headers: &HeaderMap) -> Option<Finding> {
    let told: Vec<String> = [SERVER, VIA]
        .iter()
        .filter_map(|name| Some(format!("{name}: {}", brief(&field(headers, name)?, 80))))
        .collect();
    let names: Vec<_> = wayside::found(headers)
        .into_iter()
        .map(Proxy::name)
        .collect();
    if told.is_empty() && names.is_empty() {
        return None;
    }
    let mut found = names.join(", ");
    if !told.is_empty() {
        found = match found.as_str() {
            "" => told.join(", "),
            names => format!("{names} ({})", told.join(", ")),
        };
    }
    Some(Finding::ok("answered by", found))
}
