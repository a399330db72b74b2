//! What a hub tells of itself.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Hub;
use crate::delivery::{EndReason, Mode};
use crate::stats::{Stats, TopicStats};
use crate::topic::cursor::GapReason;

impl Hub {
    /// Readers of a topic now, those of matching patterns included.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.shared.table().readers(topic)
    }

    /// What the hub holds and has counted.
    pub fn stats(&self) -> Stats {
        let sizes = self.shared.table().sizes();
        let counters = &self.shared.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let in_mode = |mode| {
            let count = self.shared.in_mode(mode);
            count.map_or(0, |count| count.load(Ordering::Relaxed) as u64)
        };
        Stats {
            connections: self.shared.connections.load(Ordering::Relaxed) as u64,
            detached: in_mode(Mode::Detached),
            held: in_mode(Mode::Held),
            handoffs_refused: counters.handoffs_refused(),
            subscriptions: self.shared.subscriptions.load(Ordering::Relaxed) as u64,
            topics: sizes.topics as u64,
            tombstones: sizes.tombstones as u64,
            history_frames: sizes.frames as u64,
            history_bytes: sizes.bytes as u64,
            published: get(&counters.published),
            published_bytes: get(&counters.published_bytes),
            delivered: get(&counters.delivered),
            delivered_bytes: get(&counters.delivered_bytes),
            conflated: get(&counters.conflated),
            gaps: [GapReason::Expired, GapReason::Unknown, GapReason::Lagged]
                .map(|reason| (reason.as_str(), counters.gaps_of(reason)))
                .to_vec(),
            opened: get(&counters.opened),
            refused: get(&counters.refused),
            closed: EndReason::ALL
                .map(|reason| (reason.as_str(), counters.closed_of(reason)))
                .to_vec(),
        }
    }

    /// The same in the text format that Prometheus scrapes (`OpenMetrics` 1.0).
    pub fn metrics(&self) -> String {
        crate::metrics::text(&self.stats())
    }

    /// Topics whose names begin with `prefix`, by name, at most `limit`.
    pub fn topics(&self, prefix: &str, limit: usize) -> Vec<TopicStats> {
        let table = self.shared.table();
        table
            .list(prefix, limit)
            .into_iter()
            .map(|row| TopicStats {
                name: row.name.as_ref().to_owned(),
                readers: row.readers as u64,
                frames: row.frames as u64,
                bytes: row.bytes as u64,
                last_event_id: table.id(row.head).to_string(),
            })
            .collect()
    }
}
