//! What is remembered of topics that have vanished: their name, and the newest event that they dropped.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A bounded table. When it overflows, its smallest entry becomes part of the hub-wide floor.
#[derive(Debug)]
pub(crate) struct Tombstones {
    by_name: HashMap<Arc<str>, u64>,
    // The same pairs, so that the smallest is at hand and those after a position can be walked.
    by_seq: BTreeSet<(u64, Arc<str>)>,
    limit: usize,
    // A topic without topic and tombstone may have dropped events up to here.
    floor: u64,
}

impl Tombstones {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            by_name: HashMap::new(),
            by_seq: BTreeSet::new(),
            limit,
            floor: 0,
        }
    }

    pub(crate) fn bury(&mut self, name: Arc<str>, evicted_through: u64) {
        if evicted_through <= self.floor {
            return;
        }
        self.by_name.insert(name.clone(), evicted_through);
        self.by_seq.insert((evicted_through, name));
        while self.by_name.len() > self.limit {
            if let Some((seq, name)) = self.by_seq.pop_first() {
                self.by_name.remove(&name);
                self.floor = self.floor.max(seq);
            }
        }
    }

    /// A topic comes back to life: what it must remember of its former one.
    pub(crate) fn exhume(&mut self, name: &Arc<str>) -> u64 {
        match self.by_name.remove(name) {
            Some(seq) => {
                self.by_seq.remove(&(seq, name.clone()));
                seq
            }
            None => self.floor,
        }
    }

    /// The newest event that a topic which is not there has dropped, as far as it is known.
    pub(crate) fn evicted_through(&self, name: &str) -> u64 {
        self.by_name.get(name).copied().unwrap_or(self.floor)
    }

    /// The names of topics that dropped something after a position, newest first.
    pub(crate) fn after(&self, position: u64) -> impl Iterator<Item = (u64, &Arc<str>)> {
        self.by_seq
            .iter()
            .rev()
            .take_while(move |(seq, _)| *seq > position)
            .map(|(seq, name)| (*seq, name))
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }
}
