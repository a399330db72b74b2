//! What readers and observers ask of the table.

use std::sync::Arc;

use super::{Name, Table, TopicId};
use crate::id::EventId;
use crate::topic::log::Log;
use crate::topic::pattern;

impl Table {
    pub(crate) fn id(&self, seq: u64) -> EventId {
        EventId {
            epoch: self.epoch,
            seq,
        }
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    pub(crate) fn name(&self, id: TopicId) -> Option<&Name> {
        self.get(id).map(|topic| &topic.name)
    }

    pub(crate) fn log(&self, id: TopicId) -> Option<&Log> {
        self.get(id).map(|topic| &topic.log)
    }

    /// The position that an id names, if it is one of this life of the hub and its place is still known.
    pub(crate) fn resolve(&self, id: &str) -> Option<u64> {
        match EventId::parse(id) {
            Some(id) => (id.epoch == self.epoch && id.seq <= self.head).then_some(id.seq),
            None => self.custom_ids.get(id).copied(),
        }
    }

    /// Topics that match a pattern and have something after a position.
    pub(crate) fn matching_after(&self, text: &str, position: u64) -> Vec<(TopicId, Arc<str>)> {
        self.names
            .iter()
            .filter(|(name, id)| {
                self.log(**id).is_some_and(|log| log.head() > position)
                    && pattern::matches(text, name)
            })
            .map(|(name, id)| (*id, name.clone()))
            .collect()
    }

    /// The newest event that topics matching a pattern have dropped, as far as that is after a position. `topics` are
    /// those of [`Self::matching_after`].
    pub(crate) fn lost_after(
        &self,
        text: &str,
        position: u64,
        topics: &[(TopicId, Arc<str>)],
    ) -> u64 {
        let alive = topics
            .iter()
            .filter_map(|(id, _)| self.log(*id).map(Log::evicted_through));
        let gone = self
            .tombstones
            .after(position)
            .find(|(_, name)| pattern::matches(text, name))
            .map(|(seq, _)| seq);
        alive
            .chain(gone)
            .chain([self.tombstones.floor()])
            .max()
            .unwrap_or(0)
    }

    /// What a topic that has vanished is known to have dropped.
    pub(crate) fn evicted_through(&self, name: &str) -> u64 {
        match self.names.get(name) {
            Some(id) => self.log(*id).map_or(0, Log::evicted_through),
            None => self.tombstones.evicted_through(name),
        }
    }

    /// How many readers a topic has, those of matching patterns included.
    pub(crate) fn readers(&self, name: &str) -> usize {
        let direct = self
            .names
            .get(name)
            .and_then(|id| self.get(*id))
            .map_or(0, |topic| topic.readers);
        let by_pattern: u32 = self
            .patterns
            .iter()
            .filter(|(text, _)| pattern::matches(text, name))
            .filter_map(|(_, id)| self.get(*id))
            .map(|topic| topic.readers)
            .sum();
        (direct + by_pattern) as usize
    }

    /// Topics whose names begin so: name, readers, retained frames and bytes, newest event.
    pub(crate) fn list(&self, prefix: &str, limit: usize) -> Vec<TopicRow> {
        let mut rows: Vec<TopicRow> = self
            .names
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .filter_map(|(name, id)| {
                let topic = self.get(*id)?;
                Some(TopicRow {
                    name: name.clone(),
                    readers: topic.readers as usize,
                    frames: topic.log.len(),
                    bytes: usize::try_from(topic.log.retained_bytes()).unwrap_or(usize::MAX),
                    head: topic.log.head(),
                })
            })
            .collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows.truncate(limit);
        rows
    }

    pub(crate) fn sizes(&self) -> Sizes {
        Sizes {
            topics: self.names.len(),
            tombstones: self.tombstones.len(),
            frames: self.frames,
            bytes: self.bytes,
        }
    }
}

/// How much the table holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) topics: usize,
    pub(crate) tombstones: usize,
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

/// One line of [`Table::list`].
#[derive(Clone, Debug)]
pub(crate) struct TopicRow {
    pub(crate) name: Arc<str>,
    pub(crate) readers: usize,
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    pub(crate) head: u64,
}

#[cfg(test)]
impl Table {
    /// A topic that is not there and not remembered may have dropped events up to here.
    pub(crate) fn floor(&self) -> u64 {
        self.tombstones.floor()
    }

    /// How many entries the wheel and the list of oldest frames have.
    pub(crate) fn entries(&self) -> usize {
        self.wheel.len() + self.oldest.len()
    }

    /// What must be so after every call.
    pub(crate) fn check(&self) {
        let mut frames = std::collections::HashMap::<u64, usize>::new();
        let mut places = 0;
        for topic in self.places.iter().filter_map(|place| place.topic.as_ref()) {
            places += 1;
            let log = &topic.log;
            assert!(topic.readers > 0 || !log.is_empty(), "an idle topic stays");
            frames.extend(
                (0..log.len())
                    .filter_map(|at| log.get(at))
                    .map(|f| (f.seq, f.len())),
            );
            let attached: u32 = topic
                .listeners
                .iter()
                .map(|attached| attached.readers)
                .sum();
            assert_eq!(attached, topic.readers);
        }
        assert_eq!(places, self.names.len() + self.patterns.len());
        assert_eq!(places + self.free.len(), self.places.len());
        assert_eq!(frames.len(), self.frames);
        assert_eq!(frames.values().sum::<usize>(), self.bytes);
        assert!(self.bytes <= self.options.limits.history_bytes);
        assert!(self.tombstones.len() <= self.options.limits.tombstones);
        assert!(self.custom_ids.values().all(|seq| frames.contains_key(seq)));
    }
}
