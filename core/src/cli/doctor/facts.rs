//! What was seen of a stream. No verdicts: see `findings.rs`.

use std::net::SocketAddr;

use super::watch::Watch;
use crate::client::policy::Head;
use crate::client::{ClientError, ClientErrorKind};
use crate::topic::cursor::GapReason;

/// All that was seen. Times are in milliseconds.
#[derive(Debug)]
pub(in crate::cli) struct Facts {
    /// Where the first request went.
    pub(in crate::cli) url: String,
    /// The origin that was claimed.
    pub(in crate::cli) origin: Option<String>,
    /// What became of the request.
    pub(in crate::cli) outcome: Outcome,
}

/// How far we came.
#[derive(Debug)]
pub(in crate::cli) enum Outcome {
    /// There was no connection, or none that could be used.
    NoConnection(ClientError),
    /// There was a connection, and no answer on it.
    NoHead(Box<NoHead>),
    /// There was an answer.
    Answer(Box<Answer>),
}

/// A request without an answer.
#[derive(Debug)]
pub(in crate::cli) struct NoHead {
    /// Who was at the other end of the connection.
    pub(in crate::cli) remote: Option<SocketAddr>,
    /// How long the connection took.
    pub(in crate::cli) connected_after: u64,
    /// How long we waited for the answer from there on.
    pub(in crate::cli) waited: u64,
    /// The connection broke. Otherwise nothing came at all.
    pub(in crate::cli) broke: Option<ClientError>,
    /// The answer to HEAD at the same place: who can answer, and who answers.
    pub(in crate::cli) head: Option<Head>,
}

/// An answer, and what followed.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    /// Where it came from, redirects followed.
    pub(in crate::cli) url: String,
    /// The redirects on the way.
    pub(in crate::cli) redirects: u32,
    /// A redirect that was not followed.
    pub(in crate::cli) not_followed: Option<ClientError>,
    /// Its head.
    pub(in crate::cli) head: Head,
    /// Whether it is a stream to be watched: status, and nothing else.
    pub(in crate::cli) is_stream: bool,
    /// The start of the body of an answer that is none.
    pub(in crate::cli) said: String,
    /// What came of the stream.
    pub(in crate::cli) watch: Watch,
    /// How long it was watched, from the head on.
    pub(in crate::cli) watched: u64,
    /// How watching ended.
    pub(in crate::cli) end: End,
    /// The second connection.
    pub(in crate::cli) resume: Resume,
}

/// How watching ended.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum End {
    /// The stream is still there.
    Open,
    /// The response was complete.
    Complete,
    /// It broke off, or cannot be read.
    Broken(ClientError),
}

impl End {
    /// The connection was cut: the other failures are the body's own.
    pub(in crate::cli) fn is_cut(&self) -> bool {
        matches!(self, Self::Broken(error) if error.kind() == ClientErrorKind::Interrupted)
    }

    /// The body is compressed, and not in a way that can be undone.
    pub(in crate::cli) fn unreadable(&self) -> Option<&ClientError> {
        match self {
            Self::Broken(error) if error.kind() == ClientErrorKind::Decode => Some(error),
            _ => None,
        }
    }
}

/// What came of coming back with the id of an event.
#[derive(Debug)]
pub(in crate::cli) enum Resume {
    /// Not tried: there was nothing to come back to.
    NotTried,
    /// Not tried: the method is not one to repeat.
    NotRepeated,
    /// No event or block had an id.
    NoIds,
    /// Tried, without an answer.
    Failed(Option<ClientError>),
    /// Tried.
    Answered(Resumed),
}

/// The answer to a request with `Last-Event-ID`.
#[derive(Debug, Default)]
pub(in crate::cli) struct Resumed {
    /// The id that was sent.
    pub(in crate::cli) from: String,
    /// The id of the event that came after it the first time, where one did.
    pub(in crate::cli) expected: Option<String>,
    /// The status of the answer.
    pub(in crate::cli) status: u16,
    /// The ids of the events that came.
    pub(in crate::cli) ids: Vec<String>,
    /// How many events came.
    pub(in crate::cli) events: u64,
    /// The position that the stream announced.
    pub(in crate::cli) opening: Option<String>,
    /// Events are lost, says the hub.
    pub(in crate::cli) gap: Option<GapReason>,
}
