//! The log of one topic: a ring of frames, bounded by count, bytes and age.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::options::History;
use crate::topic::Millis;
use crate::topic::frame::Frame;

/// One retained frame.
#[derive(Debug)]
struct Entry {
    frame: Arc<Frame>,
    // Bytes ever published to this topic, this frame included: what lies between two positions is a subtraction.
    end: u64,
}

/// The frames that a topic still retains, oldest first, and what it remembers of those it dropped.
#[derive(Debug)]
pub(crate) struct Log {
    // A ring: appended at the back, evicted at the front, sequences ascending, so positions are found by bisection.
    entries: VecDeque<Entry>,
    // Bytes ever published to this topic.
    published: u64,
    // The newest event ever published to this topic.
    head: u64,
    // The newest event that was dropped.
    evicted_through: u64,
    // The newest dropped event that no newer one of its key had replaced: what a conflating reader cannot do without.
    owed_through: u64,
    // The newest frame of each key, kept while that frame is retained.
    latest: HashMap<Box<str>, u64>,
    history: History,
}

impl Log {
    pub(crate) fn new(history: History, evicted_through: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            published: 0,
            head: evicted_through,
            evicted_through,
            owed_through: evicted_through,
            latest: HashMap::new(),
            history,
        }
    }

    pub(crate) fn append(&mut self, frame: Arc<Frame>) {
        self.published += frame.len() as u64;
        self.head = frame.seq;
        if let Some(key) = &frame.key {
            match self.latest.get_mut(key) {
                Some(seq) => *seq = frame.seq,
                None => {
                    self.latest.insert(key.clone(), frame.seq);
                }
            }
        }
        self.entries.push_back(Entry {
            frame,
            end: self.published,
        });
    }

    /// Drops the oldest frame if the limits say so. `keep` bytes of the newest frames stay whatever their age: that is
    /// what attached readers may still have to take.
    pub(crate) fn evict(&mut self, now: Millis, keep: u64) -> Option<Arc<Frame>> {
        let front = self.entries.front()?;
        let bytes = self.published - (front.end - front.frame.len() as u64);
        let over = self.entries.len() > self.history.count
            || bytes > self.history.bytes as u64
            || self.expiry().is_some_and(|at| at <= now);
        if !over || bytes <= keep {
            return None;
        }
        self.evict_oldest()
    }

    /// Drops the oldest frame, whatever the limits say.
    pub(crate) fn evict_oldest(&mut self) -> Option<Arc<Frame>> {
        let frame = self.entries.pop_front()?.frame;
        self.evicted_through = frame.seq;
        match &frame.key {
            Some(key) if self.latest.get(key).is_some_and(|seq| *seq > frame.seq) => {}
            Some(key) => {
                self.latest.remove(key);
                self.owed_through = frame.seq;
            }
            None => self.owed_through = frame.seq,
        }
        Some(frame)
    }

    /// When the oldest frame reaches its age limit.
    pub(crate) fn expiry(&self) -> Option<Millis> {
        let front = self.entries.front()?;
        Some(front.frame.at.saturating_add(self.history.age?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    pub(crate) fn evicted_through(&self) -> u64 {
        self.evicted_through
    }

    pub(crate) fn owed_through(&self) -> u64 {
        self.owed_through
    }

    /// The oldest retained event.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.frame.seq)
    }

    /// The index of the first frame after a position.
    pub(crate) fn after(&self, position: u64) -> usize {
        // Most readers are at the end or one frame behind it.
        let len = self.entries.len();
        for back in 0..len.min(2) {
            if self.entries[len - 1 - back].frame.seq <= position {
                return len - back;
            }
        }
        self.entries
            .partition_point(|entry| entry.frame.seq <= position)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Arc<Frame>> {
        self.entries.get(index).map(|entry| &entry.frame)
    }

    /// Bytes published after a position, those dropped since included as far as they are known.
    pub(crate) fn bytes_after(&self, position: u64) -> u64 {
        if position >= self.head {
            return 0;
        }
        match self.after(position) {
            0 if self.evicted_through > position => self.published,
            0 => self.retained_bytes(),
            index => self.published - self.entries[index - 1].end,
        }
    }

    /// Bytes of the frames that are retained.
    pub(crate) fn retained_bytes(&self) -> u64 {
        self.entries.front().map_or(0, |front| {
            self.published - (front.end - front.frame.len() as u64)
        })
    }

    /// Whether a newer frame of this topic stands in for this one.
    pub(crate) fn is_superseded(&self, frame: &Frame) -> bool {
        frame
            .key
            .as_ref()
            .is_some_and(|key| self.latest.get(key).is_some_and(|seq| *seq > frame.seq))
    }
}
