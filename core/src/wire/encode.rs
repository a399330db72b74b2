//! Event to bytes. The size is known before the first byte is written, so there is one allocation and no growth.
//!
//! Field order: comment, `id`, `event`, `retry`, `data`, and the blank line. Every colon is followed by one space,
//! also before an empty value, so that a value's own leading space survives.

use memchr::memchr2_iter;

use crate::error::Result;
use crate::event::Fields;

/// The wire bytes of one event.
///
/// # Errors
/// Those of [`Fields::check`]: nothing that could inject a field is ever written or repaired.
pub fn encode(fields: &Fields<'_>) -> Result<Vec<u8>> {
    fields.check()?;
    Ok(encode_checked(fields))
}

/// The same for fields that are known to be valid.
pub(crate) fn encode_checked(fields: &Fields<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(size(fields));
    write(fields, &mut out);
    out
}

/// How many bytes [`write`] will write.
pub(crate) fn size(fields: &Fields<'_>) -> usize {
    fields.comment.map_or(0, |text| lines_size(text, 2))
        + fields.id.map_or(0, |id| 5 + id.len())
        + fields.event.map_or(0, |event| 8 + event.len())
        + fields.retry.map_or(0, |retry| 8 + digits(retry))
        + fields.data.map_or(0, |data| lines_size(data, 6))
        + 1
}

pub(crate) fn write(fields: &Fields<'_>, out: &mut Vec<u8>) {
    if let Some(comment) = fields.comment {
        write_lines(b": ", comment, out);
    }
    if let Some(id) = fields.id {
        write_field(b"id: ", id.as_bytes(), out);
    }
    if let Some(event) = fields.event {
        write_field(b"event: ", event.as_bytes(), out);
    }
    if let Some(retry) = fields.retry {
        let mut room = [0; 20];
        write_field(b"retry: ", decimal(retry, &mut room), out);
    }
    if let Some(data) = fields.data {
        write_lines(b"data: ", data, out);
    }
    out.push(b'\n');
}

fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// One field line per line of text; CR, LF and CRLF all end a line.
fn write_lines(name: &[u8], text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for at in memchr2_iter(b'\n', b'\r', bytes) {
        // The LF of a CRLF: its line has ended at the CR.
        if at > 0 && bytes[at] == b'\n' && bytes[at - 1] == b'\r' {
            start = at + 1;
            continue;
        }
        write_field(name, &bytes[start..at], out);
        start = at + 1;
    }
    write_field(name, &bytes[start..], out);
}

/// What [`write_lines`] writes for a name (colon and space included) of this length.
fn lines_size(text: &str, name: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut lines, mut breaks) = (1, 0);
    for at in memchr2_iter(b'\n', b'\r', bytes) {
        breaks += 1;
        if !(at > 0 && bytes[at] == b'\n' && bytes[at - 1] == b'\r') {
            lines += 1;
        }
    }
    bytes.len() - breaks + lines * (name + 1)
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// The decimal digits of a number, right-aligned in `room`.
pub(crate) fn decimal(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return &room[at..];
        }
    }
}
