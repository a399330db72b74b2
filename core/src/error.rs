//! What can go wrong, and whether it is worth another try.

use std::borrow::Cow;
use std::fmt;

/// The kind of an [`Error`]: what a caller may want to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument that no state of the hub could make valid: a line break in an event type, an empty topic name.
    InvalidArgument,
    /// A number outside its range: a `retry` that the wire cannot carry, a limit of zero.
    OutOfRange,
    /// An event over the size limit of the parser or of the hub.
    EventTooLarge,
    /// A limit on streams is reached: in all, per key, or topics per subscription.
    LimitReached,
    /// The hub is ending its streams and takes no new ones.
    Draining,
    /// The hub, the parser or the subscription is closed.
    Closed,
}

/// An error of this crate: a kind, the argument it concerns, and a sentence that says what to do.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    // What callers match on.
    kind: ErrorKind,
    // The argument's name, for callers that report by field; a literal of ours, hence static.
    field: Option<&'static str>,
    // Mostly a literal, sometimes with a number in it.
    message: Cow<'static, str>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            field: None,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: ErrorKind::InvalidArgument,
            field: Some(field),
            message: message.into(),
        }
    }

    pub(crate) fn range(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: ErrorKind::OutOfRange,
            field: Some(field),
            message: message.into(),
        }
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The argument that is at fault, where one is.
    pub fn field(&self) -> Option<&'static str> {
        self.field
    }

    /// Whether the same call may succeed later, without a change to its arguments.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::LimitReached | ErrorKind::Draining)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {}

/// The result of anything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
