//! What a reader must have seen, and what the logs must still have.

use std::sync::Arc;

use super::inputs::TOPICS;
use super::{Bounds, EPOCH, Model, Reader, Said};
use crate::options::{History, OnGap, Slow};
use crate::topic::cursor::{Gap, GapReason};
use crate::topic::frame::Frame;
use crate::topic::pattern;
use crate::topic::table::Name;

impl Model {
    pub(super) fn take(
        &self,
        reader: &mut Reader,
        frames: &[Arc<Frame>],
        max_bytes: usize,
        over: bool,
    ) {
        for frame in frames {
            assert!(frame.seq > reader.position, "once, and in order");
            let said = &self.said[usize::try_from(frame.seq).expect("small") - 1];
            assert!(!matching(&reader.names, said).is_empty(), "asked for");
            self.settle(reader, frame.seq - 1);
            reader.position = frame.seq;
            reader.id = Some(match said.id {
                Some(id) => format!("custom {id}"),
                None => format!("{EPOCH:016x}-{}", frame.seq),
            });
        }
        let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
        let conflates = reader.terms.slow == Slow::Conflate && over;
        assert!(
            bytes <= max_bytes || frames.len() == 1 || conflates,
            "{bytes} bytes"
        );
        self.settle(reader, reader.cursor.position());
        if reader.position == self.world.table.head() {
            reader.mark = reader.position;
        }
    }

    pub(super) fn told(&self, reader: &mut Reader, gap: &Gap) {
        let head = self.world.table.head();
        assert!(gap.to <= head);
        if gap.reason == GapReason::Unknown {
            assert!(reader.unknown);
            reader.unknown = false;
        } else {
            assert!(!reader.unknown);
            self.settle(reader, gap.from);
            assert!(gap.lost > reader.told, "told twice");
            let forgotten = self.world.table.floor() > reader.position;
            let loss = self.newest_loss(&reader.names, &reader.bounds, reader.position);
            assert!(forgotten || loss.is_some(), "a false gap: {gap:?}");
            let expired = gap.reason == GapReason::Expired;
            if reader.terms.slow != Slow::Skip || reader.came_late {
                assert!(expired);
            } else if reader.lagged {
                assert!(!expired, "the reader's slowness, and not its replay");
            } else if !reader.names.iter().any(|name| name.is_pattern) {
                let replaying = loss.is_some_and(|loss| loss <= reader.mark);
                assert_eq!(expired, replaying);
            }
        }
        reader.came_late = false;
        reader.told = gap.lost;
        reader.id = Some(format!("{EPOCH:016x}-{}", gap.to));
        if reader.terms.on_gap == OnGap::Replay && gap.reason == GapReason::Unknown {
            // The cap on such a replay is out of reach here: nothing else may be left out.
            self.settle(reader, gap.from);
        }
        if reader.terms.on_gap == OnGap::Live {
            // It may have been decided on earlier, when the reader came.
            assert_eq!(gap.to, reader.cursor.position());
            reader.position = gap.to;
        }
        if gap.reason == GapReason::Lagged {
            reader.mark = head;
            reader.lagged = true;
        }
    }

    /// All that is up to here and was not delivered must have been left out for a reason.
    pub(super) fn settle(&self, reader: &mut Reader, through: u64) {
        for said in &self.said {
            if said.seq <= reader.position || said.seq > through {
                continue;
            }
            let topics = matching(&reader.names, said);
            if topics.is_empty() {
                continue;
            }
            let retained = topics
                .iter()
                .any(|topic| self.may_have(&reader.bounds, topic, said.seq));
            let told = said.seq <= reader.told.max(reader.forgiven) && !retained;
            let replaced = reader.terms.slow == Slow::Conflate
                && topics.iter().all(|topic| self.is_replaced(said, topic));
            assert!(told || replaced, "event {} is missing", said.seq);
        }
        reader.position = reader.position.max(through);
    }

    fn is_replaced(&self, said: &Said, topic: &str) -> bool {
        said.key.is_some()
            && self.said.iter().any(|newer| {
                newer.seq > said.seq && newer.key == said.key && newer.topics.contains(&topic)
            })
    }

    pub(super) fn retains(&self, topic: &str, seq: u64) -> bool {
        let found = self.world.table.matching_after(topic, 0);
        let Some(log) = found.first().and_then(|(id, _)| self.world.table.log(*id)) else {
            return false;
        };
        log.get(log.after(seq - 1))
            .is_some_and(|frame| frame.seq == seq)
    }

    /// Whether a reader with these bounds may have an event by way of a topic.
    fn may_have(&self, bounds: &Bounds, topic: &str, seq: u64) -> bool {
        self.retains(topic, seq) && bounds.get(topic).is_none_or(|bound| seq > *bound)
    }

    /// The newest event of a topic that is out of its history.
    pub(super) fn history_through(&self, topic: &'static str) -> u64 {
        let history = match topic {
            "c" => History::NONE,
            _ => self.settings.history,
        };
        let (mut count, mut bytes) = (0, 0);
        self.said
            .iter()
            .rev()
            .filter(|said| said.topics.contains(&topic))
            .find(|said| {
                count += 1;
                bytes += said.len;
                count > history.count
                    || bytes > history.bytes as u64
                    || history
                        .age
                        .is_some_and(|age| said.at + age <= self.world.now)
            })
            .map_or(0, |said| said.seq)
    }

    /// The newest event after a position that one of its topics has dropped, or would not give it.
    pub(super) fn newest_loss(
        &self,
        names: &[Name],
        bounds: &Bounds,
        position: u64,
    ) -> Option<u64> {
        let lost = |said: &&Said| {
            matching(names, said)
                .iter()
                .any(|topic| !self.may_have(bounds, topic, said.seq))
        };
        self.said
            .iter()
            .rev()
            .take_while(|said| said.seq > position)
            .find(lost)
            .map(|said| said.seq)
    }

    /// What was published since the reader was last caught up and has not been read; and how much of that is there.
    pub(super) fn lag(&self, reader: &Reader) -> (u64, u64) {
        let (mut all, mut retained) = (0, 0);
        for said in &self.said {
            let topics = matching(&reader.names, said);
            if said.seq <= reader.position.max(reader.mark) || topics.is_empty() {
                continue;
            }
            all += said.len;
            if topics.iter().any(|topic| self.retains(topic, said.seq)) {
                retained += said.len;
            }
        }
        (all, retained)
    }

    /// Nothing within its limits is dropped, unless the common budget did it.
    pub(super) fn check_history(&self) {
        let total: u64 = self.said.iter().map(|said| said.len).sum();
        if total > self.settings.history_bytes as u64 {
            return;
        }
        for topic in TOPICS.iter().filter(|topic| **topic != "c") {
            let History { count, bytes, age } = self.settings.history;
            let (mut events, mut size) = (0, 0);
            for said in self.said.iter().rev() {
                if !said.topics.contains(topic) {
                    continue;
                }
                events += 1;
                size += said.len;
                let old = age.is_some_and(|age| said.at + age <= self.world.now);
                if events > count || size > bytes as u64 || old {
                    break;
                }
                assert!(
                    self.retains(topic, said.seq),
                    "{topic} dropped {}",
                    said.seq
                );
            }
        }
    }
}

/// The topics of an event by which a reader of these names gets it.
fn matching(names: &[Name], said: &Said) -> Vec<&'static str> {
    let wanted = |topic: &str| {
        names.iter().any(|name| {
            if name.is_pattern {
                pattern::matches(&name.text, topic)
            } else {
                name.text.as_ref() == topic
            }
        })
    };
    said.topics
        .iter()
        .copied()
        .filter(|topic| wanted(topic))
        .collect()
}
