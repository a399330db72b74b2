//! What a client makes of the bytes it got, and whether that is what it was owed.

use crate::Parser;
use crate::engine::terms::Framing;

/// A response's body as it came.
pub(super) struct Body {
    /// Its chunks or, without chunks, its lines; each with where on the wire it ends.
    parts: Vec<(usize, Vec<u8>)>,
    /// The terminator came.
    pub(super) ended: bool,
    /// It stops between two chunks, or at the end of a line.
    pub(super) whole: bool,
}

/// Takes the framing off, as a strict client does.
pub(super) fn unframe(wire: &[u8], framing: Framing) -> Body {
    let mut body = Body {
        parts: Vec::new(),
        ended: false,
        whole: true,
    };
    if framing == Framing::Plain {
        let mut at = 0;
        for line in wire.split_inclusive(|byte| *byte == b'\n') {
            at += line.len();
            body.parts.push((at, line.to_vec()));
            body.whole = line.ends_with(b"\n");
        }
        return body;
    }
    let mut at = 0;
    while at < wire.len() {
        assert!(!body.ended, "bytes after the terminator");
        let rest = &wire[at..];
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            assert!(rest.len() < 10, "a chunk begins with its size");
            body.whole = false;
            break;
        };
        let size = std::str::from_utf8(&rest[..line]).expect("a chunk's size is text");
        let size = usize::from_str_radix(size, 16).expect("a chunk's size is a number");
        let (start, end) = (line + 2, line + 2 + size);
        let data = &rest[start..end.min(rest.len())];
        let tail = &rest[end.min(rest.len())..(end + 2).min(rest.len())];
        assert!(b"\r\n".starts_with(tail), "a chunk ends with its line");
        at = (at + end + 2).min(wire.len());
        body.parts.push((at, data.to_vec()));
        body.whole = tail.len() == 2;
        body.ended = size == 0 && body.whole;
    }
    body
}

/// What is dispatched to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Event(u64),
    /// With the newest event when it was sent.
    Gap {
        head: u64,
    },
    /// Something that has no number of the hub's: a farewell.
    Other(String),
}

/// The events of a body, by their numbers, and the last event id. `heads` says what the newest event was when so many
/// bytes had been sent.
pub(super) fn parse(body: &Body, heads: &[(usize, u64)]) -> (Vec<Seen>, Option<u64>) {
    let mut parser = Parser::new();
    let mut seen = Vec::new();
    for (end, bytes) in &body.parts {
        let at = heads.partition_point(|(sent, _)| sent < end);
        let head = heads.get(at).map_or(u64::MAX, |(_, head)| *head);
        parser
            .feed(bytes, |event| {
                seen.push(match event.event() {
                    "ssehub:gap" => Seen::Gap { head },
                    "farewell" => Seen::Other(event.data().into()),
                    _ => Seen::Event(number(event.id()).expect("an event has a number")),
                });
            })
            .expect("events are small");
    }
    let last = number(parser.last_event_id());
    (seen, last)
}

fn number(id: &str) -> Option<u64> {
    id.rsplit_once('-')?.1.parse().ok()
}

/// An event that a reader asked for.
pub(super) struct Owed {
    pub(super) seq: u64,
    /// One of its topics may have dropped it while another still has it: that is a gap, too.
    pub(super) is_shared: bool,
    /// It may be missing without a gap.
    pub(super) is_excused: bool,
}

impl Owed {
    pub(super) fn new(seq: u64) -> Self {
        Self {
            seq,
            is_shared: false,
            is_excused: false,
        }
    }
}

/// Whether a reader got each event it was owed once and in order, or was told of a gap first, and of none where nothing
/// was lost. `owed` are all events after its position, in order; those up to `through` must have come by the end.
pub(super) fn check(seen: &[Seen], owed: &[Owed], through: u64) {
    let mut missing: Vec<&Owed> = owed.iter().collect();
    let mut gaps = Vec::new();
    let mut position = 0;
    for it in seen {
        let said = || {
            let numbers: Vec<u64> = owed.iter().map(|it| it.seq).collect();
            format!("{seen:?} of {numbers:?}")
        };
        match it {
            Seen::Event(seq) => {
                assert!(*seq > position, "{seq} again, or too late: {}", said());
                let at = missing.binary_search_by_key(seq, |it| it.seq);
                let at = at.unwrap_or_else(|_| panic!("{seq} was not asked for: {}", said()));
                for lost in &missing[..at] {
                    let is_told = gaps
                        .iter()
                        .any(|(from, to)| *from < lost.seq && lost.seq <= *to);
                    assert!(
                        is_told || lost.is_excused,
                        "{} is missing: {}",
                        lost.seq,
                        said()
                    );
                }
                missing.remove(at);
                position = *seq;
            }
            Seen::Gap { head } => gaps.push((position, *head)),
            Seen::Other(_) => {}
        }
    }
    for lost in missing.iter().take_while(|it| it.seq <= through) {
        let is_told = gaps
            .iter()
            .any(|(from, to)| *from < lost.seq && lost.seq <= *to);
        assert!(
            is_told || lost.is_excused,
            "{} is missing at the end: {seen:?}",
            lost.seq
        );
    }
    for (from, to) in gaps {
        let lost = missing.iter().map(|it| it.seq);
        let shared = owed.iter().filter(|it| it.is_shared).map(|it| it.seq);
        assert!(
            lost.chain(shared).any(|seq| from < seq && seq <= to),
            "a gap with nothing missing: {seen:?}"
        );
    }
}
