//! The fields that the standard knows, and what a line says of them.

use memchr::memchr;

use crate::event::MAX_RETRY;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Data,
    Event,
    Id,
    Retry,
}

const NAMES: [(&[u8], Field); 4] = [
    (b"data", Field::Data),
    (b"event", Field::Event),
    (b"id", Field::Id),
    (b"retry", Field::Retry),
];

/// So many bytes of a line say whether it is one of these: the longest name, and the colon.
pub(crate) const HEAD: usize = 6;

impl Field {
    /// The field of exactly this name.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let known = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(known.1)
    }
}

/// Whether this beginning of a line can still become one of these.
pub(crate) fn may_be_field(line: &[u8]) -> bool {
    let head = &line[..line.len().min(HEAD)];
    match memchr(b':', head) {
        Some(colon) => NAMES.iter().any(|(name, _)| *name == &head[..colon]),
        None => NAMES.iter().any(|(name, _)| name.starts_with(head)),
    }
}

/// What follows the colon, less one space.
pub(crate) fn value(line: &[u8], colon: usize) -> &[u8] {
    let value = &line[colon + 1..];
    value.strip_prefix(b" ").unwrap_or(value)
}

/// The value of `retry`: digits and nothing else.
pub(crate) fn milliseconds(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = value.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(number.min(MAX_RETRY))
}
