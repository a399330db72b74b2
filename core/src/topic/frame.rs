//! A frame: one event, encoded once, shared by reference count by every log and every reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::event::Fields;
use crate::id::EventId;
use crate::topic::Millis;
use crate::wire::encode;

/// Room for `id: {16 hex}-{20 decimal}\n`.
const ID_ROOM: usize = 4 + 16 + 1 + 20 + 1;

/// One event on the wire.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The event's number in its hub.
    pub(crate) seq: u64,
    /// When it was published, for the age limit of histories.
    pub(crate) at: Millis,
    /// Conflation: a newer frame of the same topic and key stands in for this one.
    pub(crate) key: Option<Arc<str>>,
    /// The id that the publisher chose, to find the event by it.
    pub(crate) custom_id: Option<Box<str>>,
    // The wire bytes begin here: the id line is written into room left for it, from the right.
    start: usize,
    // A boxed slice inside the `Arc`: the id is patched in under the hub's lock, where nothing may be allocated.
    buffer: Box<[u8]>,
    // In how many logs the frame is, so that the hub counts its bytes once. Changed under the hub's lock only.
    logs: AtomicU32,
}

impl Frame {
    /// Encodes an event, all but the hub's id. `fields` are checked by the caller.
    pub(crate) fn new(fields: &Fields<'_>, key: Option<&str>) -> Arc<Self> {
        let room = if fields.id.is_some() { 0 } else { ID_ROOM };
        let mut buffer = Vec::with_capacity(room + encode::size(fields));
        buffer.resize(room, 0);
        encode::write(fields, &mut buffer);
        Arc::new(Self {
            seq: 0,
            at: 0,
            key: key.map(Into::into),
            custom_id: fields.id.map(Into::into),
            start: room,
            buffer: buffer.into_boxed_slice(),
            logs: AtomicU32::new(0),
        })
    }

    /// Gives the frame its number. Comments stand before the id on the wire, so they change places with its room.
    pub(crate) fn number(&mut self, id: EventId, at: Millis) {
        self.seq = id.seq;
        self.at = at;
        if self.custom_id.is_some() {
            return;
        }
        let mut room = [0; 20];
        let decimal = encode::decimal(id.seq, &mut room);
        let end = ID_ROOM;
        self.start = end - (4 + 16 + 1 + decimal.len() + 1);
        let line = &mut self.buffer[self.start..end];
        line[..4].copy_from_slice(b"id: ");
        for (place, shift) in line[4..20].iter_mut().zip((0..16).rev()) {
            let digit = (id.epoch >> (4 * shift)) & 0xf;
            *place = b"0123456789abcdef"[usize::try_from(digit).unwrap_or(0)];
        }
        line[20] = b'-';
        line[21..21 + decimal.len()].copy_from_slice(decimal);
        line[21 + decimal.len()] = b'\n';
        let comments = comments_size(&self.buffer[end..]);
        self.buffer[self.start..end + comments].rotate_left(end - self.start);
    }

    /// The bytes on the wire.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// How many bytes the frame has on the wire, which is what all limits count.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The most bytes that a frame of these has on the wire, whatever its number.
    pub(crate) fn largest(&self) -> usize {
        self.buffer.len()
    }

    /// Notes that one more log holds the frame. Whether it is the first.
    pub(crate) fn enter_log(&self) -> bool {
        self.logs.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Whether any log holds the frame.
    pub(crate) fn in_logs(&self) -> bool {
        self.logs.load(Ordering::Relaxed) > 0
    }

    /// Notes that one log less holds the frame. Whether it was the last.
    pub(crate) fn leave_log(&self) -> bool {
        self.logs.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// The length of the comment lines that a block begins with.
fn comments_size(block: &[u8]) -> usize {
    let mut size = 0;
    while block[size..].starts_with(b":") {
        let Some(end) = memchr::memchr(b'\n', &block[size..]) else {
            break;
        };
        size += end + 1;
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(fields: &Fields<'_>, seq: u64) -> String {
        let mut frame = Frame::new(fields, None);
        let frame = Arc::get_mut(&mut frame).expect("nobody else has it");
        frame.number(EventId { epoch: 0xab, seq }, 0);
        String::from_utf8(frame.bytes().to_vec()).expect("text in, text out")
    }

    #[test]
    fn the_id_line_comes_first_whatever_its_length() {
        let fields = Fields {
            data: Some("x"),
            event: Some("e"),
            ..Fields::default()
        };
        for seq in [1, 10, 12_345, u64::MAX] {
            assert_eq!(
                wire(&fields, seq),
                format!("id: 00000000000000ab-{seq}\nevent: e\ndata: x\n\n")
            );
        }
    }

    #[test]
    fn comments_stand_before_the_id() {
        let fields = Fields {
            data: Some("x"),
            comment: Some("one\ntwo"),
            ..Fields::default()
        };
        assert_eq!(
            wire(&fields, 7),
            ": one\n: two\nid: 00000000000000ab-7\ndata: x\n\n"
        );
    }

    #[test]
    fn a_custom_id_is_left_alone() {
        let fields = Fields {
            data: Some("x"),
            id: Some("mine"),
            ..Fields::default()
        };
        assert_eq!(wire(&fields, 7), "id: mine\ndata: x\n\n");
    }
}
