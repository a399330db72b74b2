//! Event ids: a hub's own, and the text that a client gives back in `Last-Event-ID`.

use std::fmt;

use crate::error::{Error, Result};

/// The longest id that a publisher may choose, in bytes.
pub const MAX_CUSTOM_ID: usize = 128;

/// The id of an event in a hub: which life of the log, and the how-manieth event of it.
///
/// Its text form is `{epoch}-{sequence}`, the epoch in 16 hexadecimal digits and the sequence in decimal. Ids of one
/// epoch are ordered by their sequence; ids of different epochs have no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The life of the log: 64 random bits, so that a restart cannot resume at a wrong place.
    pub epoch: u64,
    /// The event's number, from 1, growing by one per event over all topics. 0 is the position before any event.
    pub seq: u64,
}

impl EventId {
    /// Reads the text form. `None` where the text has another form, leading zeros in the sequence included: an id has
    /// one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.split_once('-')?;
        let hex = epoch.len() == 16
            && epoch
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let decimal = !seq.is_empty()
            && seq.bytes().all(|b| b.is_ascii_digit())
            && (seq == "0" || !seq.starts_with('0'));
        if !hex || !decimal {
            return None;
        }
        Some(Self {
            epoch: u64::from_str_radix(epoch, 16).ok()?,
            seq: seq.parse().ok()?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.seq)
    }
}

/// Only ids of one epoch can be compared.
impl PartialOrd for EventId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (self.epoch == other.epoch).then(|| self.seq.cmp(&other.seq))
    }
}

/// Checks an id that a publisher chose.
pub(crate) fn check_custom(id: &str) -> Result<()> {
    if id.is_empty() || id.len() > MAX_CUSTOM_ID {
        return Err(Error::invalid(
            "id",
            "the id of a published event has 1 to 128 bytes; leave it out, and the hub numbers the event",
        ));
    }
    if !id.bytes().all(|b| (0x20..0x7f).contains(&b)) || id.starts_with(' ') || id.ends_with(' ') {
        return Err(Error::invalid(
            "id",
            "the id of a published event is printable ASCII without spaces around it: clients send it back in a header",
        ));
    }
    if EventId::parse(id).is_some() {
        return Err(Error::invalid(
            "id",
            "this id has the form of the hub's own ids (16 hexadecimal digits, `-`, a number): choose another",
        ));
    }
    Ok(())
}
