//! An event: what the publisher says. Validated once, then immutable.
//!
//! Three views of the same five fields: [`Event`] owns them, [`Fields`] borrows what is about to be encoded, and
//! [`EventRef`] borrows what the parser has just dispatched.

use memchr::{memchr, memchr2};

use crate::error::{Error, Result};
use crate::wire::encode;

/// The largest `retry` that this crate writes or reports, in milliseconds: 2^53 - 1, the largest integer that
/// JavaScript holds exactly, so that all three languages agree on every value.
pub const MAX_RETRY: u64 = (1 << 53) - 1;

/// Event types that begin so are the hub's own (`ssehub:gap`, `ssehub:error`).
pub const RESERVED_PREFIX: &str = "ssehub:";

/// The fields of an event that is about to be encoded, borrowed from wherever they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The payload. Absent: the block carries no data, and clients dispatch nothing.
    pub data: Option<&'a str>,
    /// The event type; absent means `message` to a client.
    pub event: Option<&'a str>,
    /// The event id. Empty resets the client's last event id.
    pub id: Option<&'a str>,
    /// The reconnection time, in milliseconds.
    pub retry: Option<u64>,
    /// A comment, which clients ignore.
    pub comment: Option<&'a str>,
}

impl Fields<'_> {
    /// Checks that no field can inject another, and that there is something to encode.
    ///
    /// # Errors
    /// `InvalidArgument` for CR, LF in the type or the id, NUL in the id, a reserved type, or no field at all;
    /// `OutOfRange` for a `retry` over [`MAX_RETRY`]. The field's name is in [`Error::field`].
    pub fn check(&self) -> Result<()> {
        if let Some(event) = self.event {
            check_event(event)?;
        }
        if let Some(id) = self.id {
            check_id(id)?;
        }
        if self.retry.is_some_and(|retry| retry > MAX_RETRY) {
            return Err(Error::range(
                "retry",
                "retry is in milliseconds, from 0 to 9007199254740991",
            ));
        }
        if *self == Self::default() {
            return Err(Error::invalid(
                "data",
                "an event needs data, event, id, retry or comment; for an empty event give data as an empty string",
            ));
        }
        Ok(())
    }
}

fn check_event(event: &str) -> Result<()> {
    if memchr2(b'\n', b'\r', event.as_bytes()).is_some() {
        return Err(Error::invalid(
            "event",
            "an event type is one line: remove the CR or LF from `event`",
        ));
    }
    if event.starts_with(RESERVED_PREFIX) {
        return Err(Error::invalid(
            "event",
            "event types that begin with `ssehub:` are reserved for the hub: choose another",
        ));
    }
    Ok(())
}

fn check_id(id: &str) -> Result<()> {
    if memchr2(b'\n', b'\r', id.as_bytes()).is_some() {
        return Err(Error::invalid(
            "id",
            "an event id is one line: remove the CR or LF from `id`",
        ));
    }
    if memchr(0, id.as_bytes()).is_some() {
        return Err(Error::invalid(
            "id",
            "clients ignore an event id with a NUL character: remove it from `id`",
        ));
    }
    Ok(())
}

/// An event with its own text: immutable, comparable, and always fit for the wire.
///
/// ```
/// use ssehub::Event;
///
/// let event = Event::new("a\nb").with_event("note")?.with_id("7")?;
/// assert_eq!(event.encode(), b"id: 7\nevent: note\ndata: a\ndata: b\n\n");
/// # Ok::<(), ssehub::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_field_names,
    reason = "`event` is the field's name in the standard"
)]
pub struct Event {
    // `Box<str>` and not `String`: an event never grows.
    data: Option<Box<str>>,
    event: Option<Box<str>>,
    id: Option<Box<str>>,
    retry: Option<u64>,
    comment: Option<Box<str>>,
}

impl Event {
    /// An event with this data and nothing else. Any text is data: line breaks become lines of their own.
    pub fn new(data: impl Into<Box<str>>) -> Self {
        Self {
            data: Some(data.into()),
            event: None,
            id: None,
            retry: None,
            comment: None,
        }
    }

    /// A comment: it keeps a connection alive, and clients ignore it.
    pub fn comment(comment: impl Into<Box<str>>) -> Self {
        Self {
            data: None,
            event: None,
            id: None,
            retry: None,
            comment: Some(comment.into()),
        }
    }

    /// Copies fields, once they are checked.
    ///
    /// # Errors
    /// Those of [`Fields::check`].
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self> {
        fields.check()?;
        Ok(Self {
            data: fields.data.map(Into::into),
            event: fields.event.map(Into::into),
            id: fields.id.map(Into::into),
            retry: fields.retry,
            comment: fields.comment.map(Into::into),
        })
    }

    /// The same event with a type.
    ///
    /// # Errors
    /// `InvalidArgument` for CR or LF, or a type that begins with `ssehub:`.
    pub fn with_event(mut self, event: impl Into<Box<str>>) -> Result<Self> {
        let event = event.into();
        check_event(&event)?;
        self.event = Some(event);
        Ok(self)
    }

    /// The same event with an id.
    ///
    /// # Errors
    /// `InvalidArgument` for CR, LF or NUL.
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Result<Self> {
        let id = id.into();
        check_id(&id)?;
        self.id = Some(id);
        Ok(self)
    }

    /// The same event with a reconnection time, in milliseconds.
    ///
    /// # Errors
    /// `OutOfRange` over [`MAX_RETRY`].
    pub fn with_retry(mut self, retry: u64) -> Result<Self> {
        self.retry = Some(retry);
        self.fields().check()?;
        Ok(self)
    }

    /// The same event with a comment before it.
    #[must_use]
    pub fn with_comment(mut self, comment: impl Into<Box<str>>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// The fields, borrowed.
    pub fn fields(&self) -> Fields<'_> {
        Fields {
            data: self.data.as_deref(),
            event: self.event.as_deref(),
            id: self.id.as_deref(),
            retry: self.retry,
            comment: self.comment.as_deref(),
        }
    }

    /// The bytes on the wire, the blank line that ends the block included.
    pub fn encode(&self) -> Vec<u8> {
        encode::encode_checked(&self.fields())
    }
}

/// An event as the parser dispatches it, borrowed for the length of the callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef<'a> {
    pub(crate) event: &'a str,
    pub(crate) data: &'a str,
    pub(crate) id: &'a str,
}

impl<'a> EventRef<'a> {
    /// The event type, `message` where the stream names none.
    pub fn event(&self) -> &'a str {
        self.event
    }

    /// The data, its lines joined by LF.
    pub fn data(&self) -> &'a str {
        self.data
    }

    /// The last event id at dispatch, empty where the stream has set none.
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// An owned copy. It may bear a reserved type, as what a hub says of itself does.
    pub fn to_event(&self) -> Event {
        Event {
            data: Some(self.data.into()),
            event: Some(self.event.into()),
            id: Some(self.id.into()),
            retry: None,
            comment: None,
        }
    }
}
