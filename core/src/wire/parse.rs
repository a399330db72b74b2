//! Bytes to events, to the letter of the WHATWG HTML standard, section 9.2.6 ("Interpreting an event stream").
//!
//! Feed any slice; each complete event is handed to the callback, borrowed. An event whose data is one line inside one
//! chunk (the usual case) is never copied. Every byte is looked at once, whatever the chunking.

use std::borrow::Cow;

use memchr::memchr;

use crate::error::{Error, ErrorKind, Result};
use crate::event::EventRef;
use crate::wire::field::{Field, HEAD, may_be_field, milliseconds, value};
use crate::wire::lines::Lines;

/// The default of [`Parser::with_max_event_size`]: 16 MiB.
pub const DEFAULT_MAX_EVENT_SIZE: usize = 16 * 1024 * 1024;

/// An incremental parser: bytes in, events out, no I/O.
///
/// ```
/// let mut parser = ssehub::Parser::new();
/// let mut seen = Vec::new();
/// for chunk in [&b"data: he"[..], b"llo\r", b"\n\r\n"] {
///     parser.feed(chunk, |event| seen.push(event.data().to_owned()))?;
/// }
/// assert_eq!(seen, ["hello"]);
/// # Ok::<(), ssehub::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Parser {
    lines: Lines,
    // The unfinished last line, kept between chunks. Bytes and not text: a character may be cut in two.
    line: Vec<u8>,
    // The unfinished line is a comment or an unknown field: its bytes are not kept.
    discarding: bool,
    // The data of the unfinished event, each line followed by LF, as the standard's data buffer. Bytes, decoded at
    // dispatch, in one go.
    data: Vec<u8>,
    // The standard's event type buffer.
    event: Vec<u8>,
    // The standard's last event ID buffer: set by a line, in force from the next blank line on. Text, since ids of
    // many events in a row are read from it.
    id: String,
    // Its bytes on the wire, which the size limit counts: decoded, malformed ones are more.
    id_size: usize,
    // The standard's last event ID string.
    last_event_id: String,
    // Whether `id` and `last_event_id` may differ: spares a comparison per event.
    id_changed: bool,
    retry: Option<u64>,
    max_event_size: usize,
    // The size limit was passed: what follows could only be misread.
    failed: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

/// One huge event must not hold its memory for the rest of the stream.
const KEPT_CAPACITY: usize = 64 * 1024;

/// What [`Parser::feed_with_comments`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// An event.
    Event(EventRef<'a>),
    /// A comment: what follows the colon, less one space. It stands by itself, also among the lines of an event.
    Comment(&'a str),
}

/// The data of the event at hand: a slice of the present chunk as long as it is a single line there.
type OneLine<'c> = Option<&'c [u8]>;

impl Parser {
    /// A parser at the start of a stream, with the default size limit.
    pub fn new() -> Self {
        Self::with_max_event_size(DEFAULT_MAX_EVENT_SIZE)
    }

    /// A parser with its own limit on the bytes kept for one event: its data, type and id, and the unfinished line.
    /// Comments and unknown fields cost nothing and do not count.
    pub fn with_max_event_size(max_event_size: usize) -> Self {
        Self {
            lines: Lines::new(),
            line: Vec::new(),
            discarding: false,
            data: Vec::new(),
            event: Vec::new(),
            id: String::new(),
            id_size: 0,
            last_event_id: String::new(),
            id_changed: false,
            retry: None,
            max_event_size,
            failed: false,
        }
    }

    /// The last event id of the stream so far, ids of blocks without data included. Empty where there is none.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Sets the last event id that a reconnecting client starts from.
    pub fn set_last_event_id(&mut self, id: &str) {
        id.clone_into(&mut self.id);
        id.clone_into(&mut self.last_event_id);
        self.id_changed = false;
    }

    /// The last reconnection time that the stream has set, in milliseconds.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// The size limit, in bytes.
    pub fn max_event_size(&self) -> usize {
        self.max_event_size
    }

    /// Takes the next bytes and hands each complete event to `dispatch`. What is incomplete is kept for the next call.
    ///
    /// # Errors
    /// `EventTooLarge` once an event passes the size limit; events that were complete before it have been dispatched.
    /// The parser then refuses all further bytes with the same error.
    pub fn feed<F>(&mut self, chunk: &[u8], mut dispatch: F) -> Result<()>
    where
        F: FnMut(EventRef<'_>),
    {
        self.run::<false, _>(chunk, |found| {
            if let Parsed::Event(event) = found {
                dispatch(event);
            }
        })
    }

    /// As [`Self::feed`], and hands over comments, too, as soon as their line is complete. They count as little as
    /// there: one that is larger than the size limit is passed over.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub fn feed_with_comments<F>(&mut self, chunk: &[u8], found: F) -> Result<()>
    where
        F: FnMut(Parsed<'_>),
    {
        self.run::<true, _>(chunk, found)
    }

    // Comments are an argument of the compiler's: whoever does not want them pays nothing.
    fn run<const COMMENTS: bool, F>(&mut self, chunk: &[u8], mut found: F) -> Result<()>
    where
        F: FnMut(Parsed<'_>),
    {
        if self.failed {
            return Err(self.too_large());
        }
        let (held, mut rest) = self.lines.strip_bom(chunk);
        if !held.is_empty() {
            self.line.extend_from_slice(held);
        }
        let mut one_line: OneLine<'_> = None;
        loop {
            if rest.is_empty() {
                break;
            }
            rest = self.lines.skip_lf(rest);
            if rest.is_empty() {
                break;
            }
            let Some(end) = self.lines.find_end(rest) else {
                self.keep::<COMMENTS>(rest, one_line.map_or(0, |line| line.len() + 1))?;
                break;
            };
            let tail = &rest[..end];
            rest = &rest[end + 1..];
            if self.discarding {
                self.discarding = false;
            } else if self.line.is_empty() {
                if tail.is_empty() {
                    self.end_of_event(one_line.take(), &mut found);
                } else if COMMENTS && tail[0] == b':' {
                    self.comment(tail, &mut found);
                } else {
                    self.whole_line(tail, &mut one_line)?;
                }
            } else {
                self.line.extend_from_slice(tail);
                let line = std::mem::take(&mut self.line);
                if COMMENTS && line[0] == b':' {
                    self.comment(&line, &mut found);
                }
                // Its bytes are not the chunk's: a data line is copied at once.
                let mut own: OneLine<'_> = None;
                self.keep_line(one_line.take());
                let result = self.whole_line(&line, &mut own);
                self.keep_line(own);
                self.line = line;
                self.line.clear();
                self.line.shrink_to(KEPT_CAPACITY);
                result?;
            }
        }
        self.keep_line(one_line);
        Ok(())
    }

    /// Keeps the unfinished last line of a chunk, as far as anybody will want it.
    fn keep<const COMMENTS: bool>(&mut self, tail: &[u8], pending: usize) -> Result<()> {
        if self.discarding {
            return Ok(());
        }
        // Only the head of a line decides whether the line matters, so only that is copied before the decision.
        let head = tail.len().min(HEAD);
        self.line.extend_from_slice(&tail[..head]);
        let comment = COMMENTS && self.line[0] == b':';
        if !comment && !may_be_field(&self.line) {
            self.line.clear();
            self.discarding = true;
            return Ok(());
        }
        self.line.extend_from_slice(&tail[head..]);
        if comment {
            if self.line.len() > self.max_event_size {
                self.line = Vec::new();
                self.discarding = true;
            }
            return Ok(());
        }
        let (value, joins) = match memchr(b':', &self.line) {
            Some(colon) => (
                value(&self.line, colon).len(),
                &self.line[..colon] == b"data",
            ),
            None => (0, false),
        };
        self.check_size(pending, value, joins)
    }

    /// Interprets one complete line that is not blank.
    fn whole_line<'l>(&mut self, line: &'l [u8], one_line: &mut OneLine<'l>) -> Result<()> {
        let pending = one_line.map_or(0, |line| line.len() + 1);
        // Nearly every line of nearly every stream.
        if line.starts_with(b"data:") {
            let value = value(line, 4);
            self.check_size(pending, value.len(), true)?;
            self.data_line(value, one_line);
            return Ok(());
        }
        let (name, value) = match memchr(b':', line) {
            Some(0) => return Ok(()),
            Some(colon) => (&line[..colon], value(line, colon)),
            None => (line, &line[line.len()..]),
        };
        let Some(field) = Field::named(name) else {
            return Ok(());
        };
        self.check_size(pending, value.len(), matches!(field, Field::Data))?;
        match field {
            Field::Data => self.data_line(value, one_line),
            Field::Event => {
                self.event.clear();
                self.event.extend_from_slice(value);
            }
            Field::Id if memchr(0, value).is_none() => {
                self.id.clear();
                self.id.push_str(&String::from_utf8_lossy(value));
                self.id_size = value.len();
                self.id_changed = true;
            }
            Field::Id => {}
            Field::Retry => self.retry = milliseconds(value).or(self.retry),
        }
        Ok(())
    }

    fn data_line<'l>(&mut self, value: &'l [u8], one_line: &mut OneLine<'l>) {
        if one_line.is_none() && self.data.is_empty() {
            *one_line = Some(value);
        } else {
            self.keep_line(one_line.take());
            self.keep_line(Some(value));
        }
    }

    fn keep_line(&mut self, line: OneLine<'_>) {
        if let Some(line) = line {
            self.data.reserve(line.len() + 1);
            self.data.extend_from_slice(line);
            self.data.push(b'\n');
        }
    }

    fn comment<F>(&self, line: &[u8], found: &mut F)
    where
        F: FnMut(Parsed<'_>),
    {
        if line.len() <= self.max_event_size {
            found(Parsed::Comment(&String::from_utf8_lossy(value(line, 0))));
        }
    }

    /// A blank line: dispatches the event, if there is one.
    fn end_of_event<F>(&mut self, one_line: OneLine<'_>, found: &mut F)
    where
        F: FnMut(Parsed<'_>),
    {
        if self.id_changed {
            self.id_changed = false;
            self.last_event_id.clone_from(&self.id);
        }
        // The standard's data buffer ends with an LF more than the data.
        let Some(data) = one_line.or_else(|| self.data.strip_suffix(b"\n")) else {
            self.event.clear();
            return;
        };
        let event = if self.event.is_empty() {
            Cow::Borrowed("message")
        } else {
            String::from_utf8_lossy(&self.event)
        };
        // Decoding line by line or whole is the same: no line end is part of a malformed sequence.
        let text = match std::str::from_utf8(data) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(data),
        };
        found(Parsed::Event(EventRef {
            event: &event,
            data: &text,
            id: &self.last_event_id,
        }));
        drop((event, text));
        self.event.clear();
        self.data.clear();
        self.data.shrink_to(KEPT_CAPACITY);
    }

    fn check_size(&mut self, pending: usize, value: usize, joins: bool) -> Result<()> {
        // Each data line is kept with an LF behind it, which counts once another data line follows.
        let data = pending + self.data.len();
        let data = if joins { data } else { data.saturating_sub(1) };
        // An id of an earlier block is the stream's, not the event's.
        let id = if self.id_changed { self.id_size } else { 0 };
        if data + self.event.len() + id + value <= self.max_event_size {
            return Ok(());
        }
        self.failed = true;
        self.line = Vec::new();
        self.data = Vec::new();
        Err(self.too_large())
    }

    fn too_large(&self) -> Error {
        Error::new(
            ErrorKind::EventTooLarge,
            format!(
                "an event of the stream is larger than max_event_size ({} bytes): raise the limit if you trust the source",
                self.max_event_size
            ),
        )
    }
}
