//! What waits to be taken by the host: bounded by whoever fills it, in order.

use std::collections::VecDeque;

use super::event_batch::EventBatch;
use super::notice::{Ended, Notice, Question, Taken};
use crate::event::EventRef;

/// Batches grow up to here, so that taking one frees its memory soon.
const BATCH_SIZE: usize = 64 * 1024;

/// What an entry weighs beside its texts: small ones must not be free.
const BASE: usize = size_of::<Entry>();

/// One thing in the queue.
#[derive(Debug)]
pub(crate) enum Entry {
    Events(EventBatch),
    Notice(Notice),
    /// From here on, this is the last event id: a block without data has set it.
    Position(Box<str>),
}

/// What one step of the session produces.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: Vec<Entry>,
    // Bytes of text that a batch of events is made with room for.
    room: usize,
}

impl Outbox {
    pub(crate) fn notice(&mut self, notice: Notice) {
        self.entries.push(Entry::Notice(notice));
    }

    /// The last event id is this one now.
    pub(crate) fn position(&mut self, id: &str) {
        let position = Entry::Position(id.into());
        match self.entries.last_mut() {
            // Nothing happened at the former one.
            Some(last @ Entry::Position(_)) => *last = position,
            _ => self.entries.push(position),
        }
    }

    /// The last event id after all this, if it says one.
    pub(crate) fn last_event_id(&self) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Events(batch) => batch.last().map(|event| event.id()),
            Entry::Notice(Notice::Gap(gap)) => gap.event.fields().id,
            Entry::Notice(_) => None,
            Entry::Position(id) => Some(id),
        })
    }

    /// A piece of so many bytes is about to be looked at: the texts of its events need no more room.
    pub(crate) fn expect(&mut self, bytes: usize) {
        self.room = bytes;
    }

    pub(crate) fn event(&mut self, event: EventRef<'_>) {
        if let Some(Entry::Events(batch)) = self.entries.last_mut() {
            batch.push(event);
            return;
        }
        let mut batch = EventBatch::with_room(self.room);
        batch.push(event);
        self.entries.push(Entry::Events(batch));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// What the host is asked: always the last thing, since all waits for the answer.
    pub(crate) fn question(&self) -> Option<&Question> {
        match self.entries.last() {
            Some(Entry::Notice(Notice::Ask(question))) => Some(question),
            _ => None,
        }
    }

    /// Whether nothing comes after this.
    pub(crate) fn is_last(&self) -> bool {
        matches!(
            self.entries.last(),
            Some(Entry::Notice(Notice::Ended(_) | Notice::Failed(_)))
        )
    }
}

/// Where a source stands, as far as the host has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// No stream is open: an attempt is under way, or the next one is waited for.
    #[default]
    Connecting,
    /// A stream is open.
    Open,
    /// There will be no more.
    Closed,
}

/// The queue of a source, and what the host knows from it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    // How many events of the first entry have been taken.
    taken: usize,
    events: usize,
    bytes: usize,
    pub(crate) state: ReadyState,
    pub(crate) last_event_id: String,
    pub(crate) finished: bool,
}

impl Queue {
    pub(crate) fn starting_at(last_event_id: &str) -> Self {
        Self {
            last_event_id: last_event_id.to_owned(),
            ..Self::default()
        }
    }

    /// Events and notices that wait.
    pub(crate) fn len(&self) -> usize {
        self.events
    }

    /// Bytes that wait, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there will be no more.
    pub(crate) fn is_ended(&self) -> bool {
        self.state == ReadyState::Closed && self.entries.is_empty()
    }

    /// Whether there is nothing to take, but may be later.
    pub(crate) fn is_idle(&self) -> bool {
        self.events == 0 && self.state != ReadyState::Closed
    }

    pub(crate) fn put(&mut self, outbox: &mut Outbox) {
        for entry in outbox.entries.drain(..) {
            match (self.entries.back_mut(), &entry) {
                (Some(Entry::Events(batch)), Entry::Events(later))
                    if batch.size() + later.size() <= BATCH_SIZE =>
                {
                    batch.append(later);
                    self.events += later.len();
                    self.bytes += later.size();
                    continue;
                }
                // Nothing happened at the former one.
                (Some(Entry::Position(former)), Entry::Position(_)) => {
                    self.bytes -= BASE + former.len();
                    self.entries.pop_back();
                }
                _ => {}
            }
            let (events, bytes) = weight(&entry);
            self.events += events;
            self.bytes += bytes;
            self.entries.push_back(entry);
        }
        // With nothing before it, a position is where the host is already.
        self.pass_positions();
    }

    /// Takes one event or notice.
    pub(crate) fn next(&mut self) -> Option<Notice> {
        self.pass_positions();
        let Some(Entry::Events(batch)) = self.entries.front() else {
            return match self.take()? {
                Taken::Notice(notice) => Some(notice),
                Taken::Events(_) => None,
            };
        };
        let event = batch.event(self.taken)?;
        let last = self.taken + 1 == batch.len();
        event
            .fields()
            .id
            .unwrap_or_default()
            .clone_into(&mut self.last_event_id);
        self.taken += 1;
        self.events -= 1;
        if last {
            self.bytes -= BASE + batch.size();
            self.entries.pop_front();
            self.taken = 0;
            self.pass_positions();
        }
        Some(Notice::Event(event))
    }

    /// Takes a batch of events, or a notice.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        self.pass_positions();
        let entry = self.entries.pop_front()?;
        let (events, bytes) = weight(&entry);
        self.events -= events - self.taken;
        self.bytes -= bytes;
        let taken = match entry {
            Entry::Events(mut batch) => {
                batch.skip(std::mem::take(&mut self.taken));
                if let Some(last) = batch.last() {
                    last.id().clone_into(&mut self.last_event_id);
                }
                Taken::Events(batch)
            }
            Entry::Notice(notice) => {
                self.note(&notice);
                Taken::Notice(notice)
            }
            Entry::Position(_) => return None,
        };
        self.pass_positions();
        Some(taken)
    }

    /// Throws everything away: nobody wants it any more.
    pub(crate) fn close(&mut self) {
        *self = Self {
            state: ReadyState::Closed,
            last_event_id: std::mem::take(&mut self.last_event_id),
            finished: self.finished,
            ..Self::default()
        };
    }

    fn pass_positions(&mut self) {
        while let Some(Entry::Position(_)) = self.entries.front() {
            if let Some(Entry::Position(id)) = self.entries.pop_front() {
                self.bytes -= BASE + id.len();
                self.last_event_id = id.into();
            }
        }
    }

    fn note(&mut self, notice: &Notice) {
        match notice {
            Notice::Open(_) => self.state = ReadyState::Open,
            Notice::Retrying(_) => self.state = ReadyState::Connecting,
            Notice::Gap(gap) => gap
                .event
                .fields()
                .id
                .unwrap_or_default()
                .clone_into(&mut self.last_event_id),
            Notice::Ended(ended) => {
                self.state = ReadyState::Closed;
                self.finished = !matches!(ended, Ended::EndOfStream);
            }
            Notice::Failed(_) => self.state = ReadyState::Closed,
            Notice::Ask(_) | Notice::Bytes(_) | Notice::Comment(_) | Notice::Event(_) => {}
        }
    }
}

/// How many events or notices an entry is, and its bytes.
fn weight(entry: &Entry) -> (usize, usize) {
    let (events, bytes) = match entry {
        Entry::Events(batch) => (batch.len(), batch.size()),
        Entry::Notice(notice) => (1, notice.size()),
        Entry::Position(id) => (0, id.len()),
    };
    (events, BASE + bytes)
}
