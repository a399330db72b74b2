//! What an [`EventSource`](super::EventSource) tells its host, and asks it.

use std::net::SocketAddr;

use bytes::Bytes;

use super::error::ClientError;
use super::event_batch::EventBatch;
use super::options::Headers;
use crate::event::{Event, EventRef};
use crate::topic::cursor::GapReason;

/// What happens to a source, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The host is asked; nothing goes on until it answers: [`EventSource::answer`](super::EventSource::answer).
    Ask(Question),
    /// A stream is open.
    Open(Box<Opened>),
    /// A piece of the body as it came, decompressed. Only with `raw`; the events in it follow.
    Bytes(Bytes),
    /// An event: its type, data and id are all there.
    Event(Event),
    /// A comment, such as a heartbeat. Only with `comments`.
    Comment(Box<str>),
    /// A hub of ours says that events were lost.
    Gap(Box<Gap>),
    /// The stream is over, or an attempt has failed; the next one follows after the delay.
    Retrying(Box<Retry>),
    /// The last notice: all is well.
    Ended(Ended),
    /// The last notice: the source has given up.
    Failed(ClientError),
}

impl Notice {
    /// The bytes that it refers to, roughly.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Ask(Question::Headers { .. })
            | Self::Ended(Ended::NoContent | Ended::EndOfStream) => 0,
            Self::Ask(Question::Redirect {
                from, to, method, ..
            }) => from.len() + to.len() + method.len(),
            Self::Open(opened) => {
                size_of::<Opened>() + opened.url.len() + headers_size(&opened.headers)
            }
            Self::Bytes(bytes) => bytes.len(),
            Self::Comment(text) => text.len(),
            Self::Event(event) | Self::Ended(Ended::Stopped(event)) => event_size(event),
            Self::Gap(gap) => size_of::<Gap>() + gap.last_event_id.len() + event_size(&gap.event),
            Self::Retrying(retry) => size_of::<Retry>() + retry.error.size(),
            Self::Failed(error) => error.size(),
        }
    }
}

/// The bytes of header fields, roughly.
pub(crate) fn headers_size(headers: &Headers) -> usize {
    headers
        .iter()
        .map(|field| size_of_val(field) + field.0.len() + field.1.len())
        .sum()
}

fn event_size(event: &Event) -> usize {
    let fields = event.fields();
    [fields.event, fields.data, fields.id]
        .into_iter()
        .flatten()
        .map(str::len)
        .sum()
}

/// What [`EventSource::try_take`](super::EventSource::try_take) finds.
#[derive(Clone, Debug)]
pub enum Taken {
    /// Events in a row.
    Events(EventBatch),
    /// Anything else.
    Notice(Notice),
}

/// The head of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The status code.
    pub status: u16,
    /// The header fields, names in lower case.
    pub headers: Headers,
    /// Where the stream comes from, redirects followed; without credentials.
    pub url: String,
    /// `HTTP/1.1`, for example.
    pub http: &'static str,
    /// The other end of the connection: the server, or a proxy. `None` on a Unix socket.
    pub remote: Option<SocketAddr>,
    /// Attempts so far, from 1.
    pub attempt: u64,
    /// Milliseconds until the connection stood, TLS included. Of the last request, where there were redirects.
    pub connected_after: u64,
    /// Milliseconds from there to the end of the head.
    pub answered_after: u64,
}

/// A hub's word that events are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The position after which events are missing.
    pub last_event_id: String,
    /// Why.
    pub reason: GapReason,
    /// The event that said so, for hosts that dispatch it as such.
    pub event: Event,
}

impl Gap {
    /// Reads an event of type `ssehub:gap`. `None` where it is something else.
    pub(crate) fn read(event: EventRef<'_>) -> Option<Self> {
        if event.event != "ssehub:gap" {
            return None;
        }
        let data: serde_json::Value = serde_json::from_str(event.data).ok()?;
        let reason = [GapReason::Expired, GapReason::Unknown, GapReason::Lagged]
            .into_iter()
            .find(|reason| data["reason"] == reason.as_str())?;
        Some(Self {
            last_event_id: data["last_event_id"].as_str()?.to_owned(),
            reason,
            event: event.to_event(),
        })
    }
}

/// Why a stream is not open, and when the next attempt comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// What happened.
    pub error: ClientError,
    /// Milliseconds until the next attempt.
    pub delay: u64,
    /// Attempts so far, from 1.
    pub attempt: u64,
}

/// How a source came to a good end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// With the event that `stop_on` names, which is not told otherwise.
    Stopped(Event),
    /// The server answered with 204: there is nothing more.
    NoContent,
    /// The stream ended in an orderly way, and is not one to reconnect to.
    EndOfStream,
}

/// What only the host can say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// With which header fields, beside those of the request, is the next attempt to be made?
    Headers {
        /// The number of that attempt, from 1.
        attempt: u64,
        /// The status of the last answer, where it opened no stream: 401, for example.
        status: Option<u16>,
    },
    /// May this redirect be followed?
    Redirect {
        /// From where.
        from: String,
        /// To where.
        to: String,
        /// The status: 301, 302, 303, 307 or 308.
        status: u16,
        /// The method of the request that would be made.
        method: String,
    },
}

/// What the host says to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These fields. They replace the request's of the same names.
    Headers(Headers),
    /// Whether to follow.
    Redirect(bool),
    /// The host's own function failed: so does the source.
    Failed(String),
}
