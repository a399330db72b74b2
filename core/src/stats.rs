//! What a hub counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::delivery::EndReason;
use crate::topic::cursor::GapReason;

/// Counters that grow. Relaxed atomics: each is exact, no two are read at one instant.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) published: AtomicU64,
    pub(crate) published_bytes: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) delivered_bytes: AtomicU64,
    pub(crate) conflated: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) refused: AtomicU64,
    // By reason. Refusals are rare and their reasons the hosts' own words, hence not an array.
    handoffs_refused: Mutex<BTreeMap<String, u64>>,
    gaps: [AtomicU64; 3],
    closed: [AtomicU64; EndReason::ALL.len()],
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Events, and their bytes.
    pub(crate) fn delivered(&self, (events, bytes): (u64, u64)) {
        Self::add(&self.delivered, events);
        Self::add(&self.delivered_bytes, bytes);
    }

    pub(crate) fn gap(&self, reason: GapReason) {
        Self::add(&self.gaps[reason as usize], 1);
    }

    pub(crate) fn closed(&self, reason: EndReason) {
        Self::add(&self.closed[reason as usize], 1);
    }

    pub(crate) fn refuse_handoff(&self, reason: &str) {
        let mut refused = self
            .handoffs_refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *refused.entry(reason.to_owned()).or_default() += 1;
    }

    pub(crate) fn handoffs_refused(&self) -> Vec<(String, u64)> {
        let refused = self
            .handoffs_refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        refused
            .iter()
            .map(|(reason, count)| (reason.clone(), *count))
            .collect()
    }

    pub(crate) fn gaps_of(&self, reason: GapReason) -> u64 {
        self.gaps[reason as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn closed_of(&self, reason: EndReason) -> u64 {
        self.closed[reason as usize].load(Ordering::Relaxed)
    }
}

/// A picture of a hub: what it holds now, and what it has counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Streams to clients, now.
    pub connections: u64,
    /// Of these, how many are the engine's alone.
    pub detached: u64,
    /// Of these, how many the engine writes for a server that keeps their sockets.
    pub held: u64,
    /// Subscriptions that are read in code, now.
    pub subscriptions: u64,
    /// Topics that have history or readers, now.
    pub topics: u64,
    /// Vanished topics that are remembered by name, now.
    pub tombstones: u64,
    /// Frames in histories, now. A frame of several topics counts once.
    pub history_frames: u64,
    /// Bytes of those frames.
    pub history_bytes: u64,
    /// Events published.
    pub published: u64,
    /// Their bytes on the wire.
    pub published_bytes: u64,
    /// Events handed to readers.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Events left out since a newer one of the same topic and key stood in for them.
    pub conflated: u64,
    /// Gap events told, by reason: expired, unknown, lagged.
    pub gaps: Vec<(&'static str, u64)>,
    /// Streams opened.
    pub opened: u64,
    /// Streams refused: a limit, or a drain.
    pub refused: u64,
    /// Streams whose sockets could not be taken and which hosts serve themselves, by reason.
    pub handoffs_refused: Vec<(String, u64)>,
    /// Streams closed, by reason: client, slow, drain, kick, expired, `max_age`, error.
    pub closed: Vec<(&'static str, u64)>,
}

/// A retained topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Its name.
    pub name: String,
    /// Readers attached to it by name.
    pub readers: u64,
    /// Frames that it retains.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The id of its newest event.
    pub last_event_id: String,
}
