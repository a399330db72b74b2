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
    // What a newer frame must have in common with this one to stand in for it.
    key: Option<Arc<str>>,
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
    // Its bytes.
    evicted_len: u64,
    // The newest dropped event that no newer one of its key had replaced: what a conflating reader cannot do without.
    owed_through: u64,
    // The newest frame of each key, kept while that frame is retained.
    latest: HashMap<Arc<str>, u64>,
    history: History,
}

impl Log {
    pub(crate) fn new(history: History, evicted_through: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            published: 0,
            head: evicted_through,
            evicted_through,
            evicted_len: 0,
            owed_through: evicted_through,
            latest: HashMap::new(),
            history,
        }
    }

    pub(crate) fn append(&mut self, frame: Arc<Frame>, key: Option<Arc<str>>) {
        self.published += frame.len() as u64;
        self.head = frame.seq;
        if let Some(key) = &key {
            match self.latest.get_mut(key) {
                Some(seq) => *seq = frame.seq,
                None => {
                    self.latest.insert(key.clone(), frame.seq);
                }
            }
        }
        self.entries.push_back(Entry {
            frame,
            key,
            end: self.published,
        });
    }

    /// The newest frame has come a second time, by another topic. No other frame stands in for both of its keys, so
    /// it has none.
    pub(crate) fn unkey_newest(&mut self) {
        if let Some(entry) = self.entries.back_mut()
            && let Some(key) = entry.key.take()
            && self.latest.get(&key) == Some(&entry.frame.seq)
        {
            self.latest.remove(&key);
        }
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
        let Entry { frame, key, .. } = self.entries.pop_front()?;
        self.evicted_through = frame.seq;
        self.evicted_len = frame.len() as u64;
        match &key {
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

    /// The newest event that is out of the history: dropped, or kept only for readers that were there.
    pub(crate) fn history_through(&self, now: Millis) -> u64 {
        let History { count, bytes, age } = self.history;
        let len = self.entries.len();
        let by_count = len.saturating_sub(count);
        let floor = self.published.saturating_sub(bytes as u64);
        let by_bytes = self
            .entries
            .partition_point(|entry| entry.end - (entry.frame.len() as u64) < floor);
        let by_age = match age {
            Some(age) => self
                .entries
                .partition_point(|entry| entry.frame.at.saturating_add(age) <= now),
            None => 0,
        };
        match by_count.max(by_bytes).max(by_age) {
            0 => self.evicted_through,
            out => self.entries[out - 1].frame.seq,
        }
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

    /// Bytes published after a position: those that are retained, and of those that were dropped the last. A frame is
    /// kept for its readers until all since it are more than they may be behind, so with that one frame they are over
    /// their limit, unless the common budget has dropped it.
    pub(crate) fn bytes_after(&self, position: u64) -> u64 {
        if position >= self.head {
            return 0;
        }
        match self.after(position) {
            0 => self.retained_bytes() + self.dropped_after(position),
            index => self.published - self.entries[index - 1].end,
        }
    }

    /// The bytes of the newest dropped frame, if that is after a position.
    pub(crate) fn dropped_after(&self, position: u64) -> u64 {
        if self.evicted_through > position {
            self.evicted_len
        } else {
            0
        }
    }

    /// Bytes of the frames that are retained.
    pub(crate) fn retained_bytes(&self) -> u64 {
        self.entries.front().map_or(0, |front| {
            self.published - (front.end - front.frame.len() as u64)
        })
    }

    /// Whether this log has the frame, and no newer one that stands in for it.
    pub(crate) fn owes(&self, frame: &Frame) -> bool {
        let Some(entry) = self.entries.get(self.after(frame.seq - 1)) else {
            return false;
        };
        let newest = entry.key.as_ref().and_then(|key| self.latest.get(key));
        entry.frame.seq == frame.seq && newest.is_none_or(|seq| *seq == frame.seq)
    }
}
