//! What came over a connection, and when: the bytes are looked at once and then forgotten.

use std::mem::take;

use crate::client::Gap;
use crate::event::EventRef;
use crate::topic::cursor::GapReason;
use crate::wire::parse::Parser;

/// Pieces so close together (in milliseconds) came together.
const TOGETHER: u64 = 25;
/// A piece of less than this fills no buffer.
const SMALL: usize = 1024;
/// Pieces further apart than this (in milliseconds) were not read from one buffer.
const APART: u64 = 5;
/// What comes within so many milliseconds comes with the head.
const GREETING: u64 = 500;
/// Ids that are remembered: enough to know how a stream goes on.
const MAX_IDS: usize = 64;
/// As much of a line is kept as is needed to know its field.
const LONGEST_NAME: usize = 6;

/// Pieces that came together. Times are in milliseconds from the end of the head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Burst {
    /// When its first piece came.
    pub(in crate::cli) from: u64,
    /// When its last piece came.
    pub(in crate::cli) to: u64,
    /// Its size, decompressed.
    pub(in crate::cli) bytes: u64,
    /// Whole events in it.
    pub(in crate::cli) events: u64,
    /// Heartbeats: comments without text, or on their own.
    pub(in crate::cli) beats: u64,
    /// It ends where a frame ends, and not in the middle of one.
    pub(in crate::cli) whole: bool,
}

impl Burst {
    /// Events and heartbeats.
    pub(in crate::cli) fn frames(&self) -> u64 {
        self.events + self.beats
    }
}

/// An observer of one connection.
#[derive(Debug)]
pub(in crate::cli) struct Watch {
    parser: Parser,
    scan: Scan,
    /// What came, in order.
    pub(in crate::cli) bursts: Vec<Burst>,
    /// Small pieces, of whole frames, that came by themselves, however close together.
    pub(in crate::cli) steps: u64,
    /// The position that the stream announced before its first event, as hubs do.
    pub(in crate::cli) opening: Option<String>,
    /// The ids of the first events, each once.
    pub(in crate::cli) ids: Vec<String>,
    /// Events were dispatched, gaps not counted.
    pub(in crate::cli) events: u64,
    /// A hub of ours says that events are lost.
    pub(in crate::cli) gap: Option<GapReason>,
    /// An event is over the limit of the parser: all that follows is only counted in bytes.
    pub(in crate::cli) too_large: bool,
}

impl Watch {
    /// An observer of a connection that begins after this event.
    pub(in crate::cli) fn after(last_event_id: &str) -> Self {
        let mut parser = Parser::new();
        parser.set_last_event_id(last_event_id);
        Self {
            parser,
            scan: Scan::default(),
            bursts: Vec::new(),
            steps: 0,
            opening: None,
            ids: Vec::new(),
            events: 0,
            gap: None,
            too_large: false,
        }
    }

    /// A piece has come.
    pub(in crate::cli) fn feed(&mut self, now: u64, piece: &[u8]) {
        let found = self.scan.feed(piece);
        let mut own_ids = found.own_ids.iter();
        let (ids, events, gap) = (&mut self.ids, &mut self.events, &mut self.gap);
        let fed = self.parser.feed(piece, |event: EventRef<'_>| {
            // The parser tells the last id, whichever event had it.
            let own_id = own_ids.next().is_some_and(|own| *own);
            if let Some(told) = Gap::read(event) {
                *gap = Some(told.reason);
                return;
            }
            *events += 1;
            if own_id && ids.len() < MAX_IDS && ids.last().is_none_or(|last| last != event.id()) {
                ids.push(event.id().to_owned());
            }
        });
        self.too_large |= fed.is_err();
        if self.events == 0 && found.marks > 0 {
            self.opening = Some(self.parser.last_event_id().to_owned());
        }
        let whole = self.scan.is_between_frames();
        let apart = self.bursts.is_empty() || now.saturating_sub(self.last_byte()) >= APART;
        if whole && apart && piece.len() < SMALL {
            self.steps += 1;
        }
        let burst = match self.bursts.last_mut() {
            Some(burst) if now.saturating_sub(burst.to) <= TOGETHER => burst,
            _ => {
                self.bursts.push(Burst {
                    from: now,
                    ..Burst::default()
                });
                let last = self.bursts.len() - 1;
                &mut self.bursts[last]
            }
        };
        burst.to = now;
        burst.bytes += piece.len() as u64;
        burst.events += found.own_ids.len() as u64;
        burst.beats += found.beats;
        burst.whole = whole;
    }

    /// When the last byte came.
    pub(in crate::cli) fn last_byte(&self) -> u64 {
        self.bursts.last().map_or(0, |burst| burst.to)
    }

    /// Heartbeats that came. What comes with the head is a greeting.
    pub(in crate::cli) fn beats(&self) -> u64 {
        let bursts = self.bursts.iter().enumerate();
        bursts
            .filter(|(index, burst)| *index > 0 || burst.from >= GREETING)
            .map(|(_, burst)| burst.beats)
            .sum()
    }

    /// Each burst, with the silence before and after it, where `end` is the end of watching.
    pub(in crate::cli) fn silences(&self, end: u64) -> impl Iterator<Item = (&Burst, u64, u64)> {
        let after = self.bursts.iter().skip(1).map(|burst| burst.from);
        let mut before = 0;
        self.bursts
            .iter()
            .zip(after.chain([end]))
            .map(move |(burst, next)| {
                let silence = burst.from.saturating_sub(take(&mut before));
                before = burst.to;
                (burst, silence, next.saturating_sub(burst.to))
            })
    }

    /// The longest time without a byte.
    pub(in crate::cli) fn longest_silence(&self, end: u64) -> u64 {
        let found = self
            .silences(end)
            .flat_map(|(_, before, after)| [before, after]);
        found.max().unwrap_or(end)
    }
}

/// What a piece completed.
#[derive(Debug, Default)]
struct Found {
    // The events, and whether each has an id of its own.
    own_ids: Vec<bool>,
    beats: u64,
    // Blocks with an id and without data.
    marks: u64,
}

/// Where in the stream we are. The parser tells of events only; here the frames between them count as well.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Scan {
    // The start of the unfinished line.
    line: Vec<u8>,
    // The last byte was a CR: an LF belongs to it.
    after_cr: bool,
    // The unfinished block has data, or an id, or any field at all.
    data: bool,
    id: bool,
    field: bool,
    // The unfinished block has a comment with text, which is a heartbeat if nothing else is there.
    comment: bool,
}

impl Scan {
    fn feed(&mut self, piece: &[u8]) -> Found {
        let mut found = Found::default();
        for &byte in piece {
            match byte {
                b'\n' if take(&mut self.after_cr) => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    self.end_line(&mut found);
                }
                _ => {
                    self.after_cr = false;
                    if self.line.len() < LONGEST_NAME {
                        self.line.push(byte);
                    }
                }
            }
        }
        found
    }

    fn is_between_frames(&self) -> bool {
        self.line.is_empty() && !self.field
    }

    fn end_line(&mut self, found: &mut Found) {
        let line = take(&mut self.line);
        match line.as_slice() {
            [] => {
                if self.data {
                    found.own_ids.push(self.id);
                } else if self.id {
                    found.marks += 1;
                } else if self.comment && !self.field {
                    found.beats += 1;
                }
                *self = Self {
                    after_cr: self.after_cr,
                    ..Self::default()
                };
            }
            [b':'] => found.beats += 1,
            [b':', ..] => self.comment = true,
            [b'd', b'a', b't', b'a', rest @ ..] if rest.first().is_none_or(|b| *b == b':') => {
                self.data = true;
                self.field = true;
            }
            [b'i', b'd', rest @ ..] if rest.first().is_none_or(|b| *b == b':') => {
                self.id = true;
                self.field = true;
            }
            _ => self.field = true,
        }
    }
}
