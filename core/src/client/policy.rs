//! What an answer means: its status, its type, when it says to come back.

use std::net::SocketAddr;

use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use memchr::memchr;

use super::error::{ClientError, ClientErrorKind, Refusal};
use super::options::{Headers, Reconnect};

/// The head of an answer, and what is known of its coming.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) http: &'static str,
    pub(crate) remote: Option<SocketAddr>,
    /// Milliseconds until the connection stood.
    pub(crate) connected_after: u64,
    /// Milliseconds from there until the head was whole.
    pub(crate) answered_after: u64,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A stream: read it.
    Stream,
    /// There is nothing, and will be nothing.
    NoContent,
    /// What is wanted is elsewhere.
    Redirect,
    /// Another status.
    Status,
    /// Something other than a stream.
    ContentType,
}

pub(crate) fn verdict(head: &Head, check_content_type: bool) -> Verdict {
    match head.status {
        200 if check_content_type && !is_event_stream(&head.headers) => Verdict::ContentType,
        200 => Verdict::Stream,
        204 => Verdict::NoContent,
        // Without a place to go to, it is a status like any other.
        301 | 302 | 303 | 307 | 308 if head.headers.contains_key(LOCATION) => Verdict::Redirect,
        _ => Verdict::Status,
    }
}

/// Whether the essence of the media type is `text/event-stream`. Parameters do not matter: it is always UTF-8.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get_all(CONTENT_TYPE).iter().next_back() else {
        return false;
    };
    let value = value.as_bytes();
    let essence = &value[..memchr(b';', value).unwrap_or(value.len())];
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"text/event-stream")
}

/// The error that an answer is, its body (as far as it was read) included.
pub(crate) fn refused(
    verdict: Verdict,
    head: &Head,
    body: Vec<u8>,
    rules: &Reconnect,
    wall: u64,
) -> ClientError {
    let (kind, message) = match verdict {
        Verdict::ContentType => (
            ClientErrorKind::ContentType,
            format!(
                "the answer is {}, not text/event-stream: is this the URL of a stream?",
                match head.headers.get(CONTENT_TYPE) {
                    Some(value) => String::from_utf8_lossy(value.as_bytes()),
                    None => "of no type".into(),
                }
            ),
        ),
        _ => (
            ClientErrorKind::Status,
            format!("the server answered with status {}", head.status),
        ),
    };
    let retryable = kind == ClientErrorKind::Status
        && rules
            .statuses
            .iter()
            .any(|range| range.contains(&head.status));
    ClientError::new(kind, message)
        .retryable(retryable)
        .with_refusal(refusal(head, body, wall))
}

/// An answer that is not a stream, as hosts see it.
pub(crate) fn refusal(head: &Head, body: Vec<u8>, wall: u64) -> Refusal {
    Refusal {
        status: head.status,
        headers: plain(&head.headers),
        body,
        retry_after: retry_after(&head.headers, wall),
    }
}

/// What `Retry-After` says, in milliseconds: a number of seconds, or a date. `wall` is the time in seconds since 1970;
/// the server's own clock is better, where it tells it.
fn retry_after(headers: &HeaderMap, wall: u64) -> Option<u64> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().unwrap_or(u64::MAX).saturating_mul(1000));
    }
    let until = date(value)?;
    let now = headers
        .get(DATE)
        .and_then(|value| date(value.to_str().ok()?))
        .unwrap_or(wall);
    Some(until.saturating_sub(now).saturating_mul(1000))
}

fn date(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

/// Header fields as hosts see them.
pub(crate) fn plain(headers: &HeaderMap) -> Headers {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}
