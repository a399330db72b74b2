//! What can go wrong between an [`EventSource`](super::EventSource) and its server.

use std::borrow::Cow;
use std::fmt;

use super::notice::headers_size;
use super::options::Headers;

/// How much of a refusal's body is kept.
pub(crate) const MAX_REFUSAL_BODY: usize = 64 * 1024;

/// The kind of a [`ClientError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// No connection: the name does not resolve, nobody listens, or it broke before an answer came.
    Connect,
    /// Nothing came in time: `connect_timeout`, `idle_timeout`, or a limit of the system's.
    Timeout,
    /// The proxy did not do what it was asked. Its answer, if it was one of HTTP, is in [`ClientError::refusal`].
    Proxy,
    /// The server's certificate, or ours, was refused, or there is no common version.
    Tls,
    /// What came is not HTTP.
    Protocol,
    /// The server answered with a status that opens no stream. The answer is in [`ClientError::refusal`].
    Status,
    /// The server answered with something other than `text/event-stream`. The answer is in [`ClientError::refusal`].
    ContentType,
    /// A redirect that must not be followed. The answer is in [`ClientError::refusal`].
    Redirect,
    /// An open stream broke off: the connection was cut before the response was whole.
    Interrupted,
    /// An open stream ended in an orderly way. The reason of a reconnect, never of a failure.
    Ended,
    /// The stream ended in an orderly way, without the end mark that `stop_on` names, or `require_finish` asks for.
    Unfinished,
    /// The compressed body cannot be decompressed.
    Decode,
    /// An event over `max_event_size`.
    EventTooLarge,
    /// The caller's own function, asked for headers or about a redirect, failed.
    Callback,
    /// The caller asked for a new connection.
    Restarted,
    /// This source was opened in another process, before a fork.
    Forked,
    /// A defect of this crate.
    Internal,
}

/// An answer that is not a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The header fields, names in lower case.
    pub headers: Headers,
    /// The first 64 KiB of the body, decompressed.
    pub body: Vec<u8>,
    /// What `Retry-After` says, in milliseconds from then.
    pub retry_after: Option<u64>,
}

/// A failed attempt, or the end of a source.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientError {
    kind: ClientErrorKind,
    message: Cow<'static, str>,
    // Where it happened, redirects followed; without credentials.
    url: Option<Box<str>>,
    refusal: Option<Box<Refusal>>,
    retryable: bool,
}

impl ClientError {
    pub(crate) fn new(kind: ClientErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        use ClientErrorKind as K;
        Self {
            kind,
            message: message.into(),
            url: None,
            refusal: None,
            retryable: matches!(
                kind,
                K::Connect
                    | K::Timeout
                    | K::Proxy
                    | K::Protocol
                    | K::Interrupted
                    | K::Ended
                    | K::Unfinished
                    | K::Restarted
            ),
        }
    }

    pub(crate) fn at(mut self, url: &str) -> Self {
        self.url = Some(url.into());
        self
    }

    pub(crate) fn with_refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(Box::new(refusal));
        self
    }

    pub(crate) fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    pub(crate) fn explain(mut self, more: &str) -> Self {
        self.message = format!("{}; {more}", self.message).into();
        self
    }

    /// The bytes that it refers to, roughly.
    pub(crate) fn size(&self) -> usize {
        let refusal = self.refusal.as_ref().map_or(0, |refusal| {
            size_of::<Refusal>() + headers_size(&refusal.headers) + refusal.body.capacity()
        });
        self.message.len() + self.url.as_ref().map_or(0, |url| url.len()) + refusal
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ClientErrorKind {
        self.kind
    }

    /// Where it happened: the URL after redirects, without credentials.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The answer, where the server (or the proxy) gave one that is not a stream.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_deref()
    }

    /// The status of that answer.
    pub fn status(&self) -> Option<u16> {
        self.refusal.as_ref().map(|refusal| refusal.status)
    }

    /// Whether the same request may succeed later, without a change to it.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.url {
            // Queries hold tokens, and messages end up in logs.
            Some(url) => match url.split_once('?') {
                Some((place, _)) => write!(f, " ({place}?...)"),
                None => write!(f, " ({url})"),
            },
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl std::error::Error for ClientError {}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some repeat their cause.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
