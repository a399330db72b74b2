//! Where a reader starts: from the head, an id, or the oldest event; and what stands between that and its own logs.

use std::collections::BinaryHeap;
use std::sync::Arc;

use super::{Behind, CatchUp, Cursor, GapReason, Terms};
use crate::options::Start;
use crate::topic::Millis;
use crate::topic::log::Log;
use crate::topic::table::{ListenerId, Table, TopicId};

/// The most that a reader whose id is unknown may replay, in bytes: a restart must not make every client pull all.
const UNKNOWN_REPLAY: u64 = 256 * 1024;

impl Cursor {
    /// Attaches a reader to its topics and finds out where it starts.
    pub(crate) fn attach(
        table: &mut Table,
        terms: &Terms,
        listener: ListenerId,
        now: Millis,
    ) -> Self {
        let head = table.head();
        let sources = terms
            .names
            .iter()
            .map(|name| table.attach(name, listener, terms.max_lag))
            .collect();
        let mut cursor = Self {
            sources,
            catch_up: None,
            position: terms.head.min(head),
            told: 0,
            mark: head,
            gap: None,
            on_gap: terms.on_gap,
            slow: terms.slow,
            max_lag: terms.max_lag,
            fresh: !matches!(terms.start, Start::After(_)),
            lagged: false,
            listener,
        };
        let mut given: Option<&str> = None;
        match &terms.start {
            Start::Head => {}
            Start::Earliest => cursor.position = 0,
            Start::After(id) => {
                given = Some(id);
                match table.resolve(id) {
                    Some(seq) => cursor.position = seq,
                    None => return cursor.start_unknown(table, id, now),
                }
            }
        }
        // Whoever asked for the present is owed what came since, whatever the history.
        let bound = (terms.start != Start::Head).then_some(now);
        let lost = cursor.look_back(table, bound);
        if terms.start == Start::Earliest {
            // What is gone already is not missed. Nor is, for want of a mark per topic, what goes while it is being
            // read and is older than that.
            cursor.told = lost;
            // The id that is announced is this one: whoever comes back with it misses nothing that was there.
            cursor.skip_to(cursor.before_oldest(table));
        } else if lost > cursor.position {
            cursor.start_gap(table, GapReason::Expired, given, lost);
        }
        cursor
    }

    /// The id is not one of ours: the reader gets a gap event and the newest retained events up to a cap.
    pub(super) fn start_unknown(mut self, table: &Table, id: &str, now: Millis) -> Self {
        self.position = 0;
        let lost = self.look_back(table, Some(now));
        self.skip_to(self.newest_within(table, UNKNOWN_REPLAY));
        let lost = self.position.max(lost);
        self.start_gap(table, GapReason::Unknown, Some(id), lost);
        self
    }

    /// Starts later than was looked back to.
    fn skip_to(&mut self, position: u64) {
        self.position = position;
        if self
            .catch_up
            .as_ref()
            .is_some_and(|catch_up| catch_up.until <= position)
        {
            self.catch_up = None;
        }
    }

    /// The position before the oldest event that is left to read; the head where none is.
    fn before_oldest(&self, table: &Table) -> u64 {
        self.all_logs(table)
            .into_iter()
            .filter_map(|(log, after)| log.get(log.after(after)))
            .map(|frame| frame.seq - 1)
            .min()
            .unwrap_or(table.head())
    }

    /// Finds what stands between the position and the sources' own logs. With a time, what is out of the histories by
    /// then counts as lost, whether it is still kept or not. Returns the newest event after the position that is
    /// known to be lost, or something not after it.
    pub(super) fn look_back(&mut self, table: &Table, now: Option<Millis>) -> u64 {
        // Up to here patterns' own logs do not go back.
        let mut until = self.patterns_lost(table);
        let mut lost = 0;
        let mut sources = Vec::new();
        let behind = |id: TopicId, name: Option<Arc<str>>| {
            let log = table.log(id);
            Behind {
                id,
                name,
                newest: log.map_or(0, Log::head),
                floor: log.map_or(0, |log| match now {
                    Some(now) => log.history_through(now),
                    None => log.evicted_through(),
                }),
            }
        };
        for id in self.sources.iter() {
            let (Some(name), Some(log)) = (table.name(*id), table.log(*id)) else {
                continue;
            };
            if name.is_pattern && log.evicted_through() > self.position {
                let topics = table.matching_after(&name.text, self.position);
                let dropped = table.lost_after(&name.text, self.position, &topics);
                lost = lost.max(dropped.min(until));
                sources.extend(topics.into_iter().map(|(id, name)| behind(id, Some(name))));
            } else if name.is_pattern {
                // It has the frames of all its topics, and no history of its own.
                sources.push(Behind {
                    floor: 0,
                    ..behind(*id, None)
                });
            } else {
                sources.push(behind(*id, None));
            }
        }
        for source in &sources {
            if table
                .log(source.id)
                .is_some_and(|log| log.evicted_through() < source.floor)
            {
                until = until.max(source.floor);
            }
        }
        for source in &mut sources {
            source.newest = source.newest.min(until);
            // What a topic of a pattern dropped after that is in the pattern's own log.
            let own = source.name.is_none();
            lost = lost.max(if own {
                source.floor
            } else {
                source.floor.min(until)
            });
        }
        // Also where no topic has anything: the pattern's own log must not be asked about the time before it was.
        self.catch_up = (until > self.position).then(|| Box::new(CatchUp { sources, until }));
        lost
    }

    /// The newest event that a pattern's own log has dropped, or was not there for.
    pub(super) fn patterns_lost(&self, table: &Table) -> u64 {
        self.sources
            .iter()
            .filter(|id| table.name(**id).is_some_and(|name| name.is_pattern))
            .filter_map(|id| table.log(*id))
            .map(Log::evicted_through)
            .max()
            .unwrap_or(0)
    }

    /// The position after which the retained events have at most so many bytes.
    pub(super) fn newest_within(&self, table: &Table, mut bytes: u64) -> u64 {
        let logs = self.all_logs(table);
        // The newest frame of each log, as far as not looked at; the newest of all on top.
        let last = |log: usize, end: usize| {
            let at = end.checked_sub(1)?;
            let (frames, after) = logs[log];
            let frame = frames.get(at).filter(|frame| frame.seq > after)?;
            Some((frame.seq, log, at))
        };
        let mut next: BinaryHeap<(u64, usize, usize)> = (0..logs.len())
            .filter_map(|log| last(log, logs[log].0.len()))
            .collect();
        let mut position = table.head();
        let mut counted = None;
        while let Some((seq, log, at)) = next.pop() {
            // One event of several topics stands in several logs.
            if counted != Some(seq) {
                let size = logs[log].0.get(at).map_or(0, |frame| frame.len() as u64);
                let Some(rest) = bytes.checked_sub(size) else {
                    return position;
                };
                bytes = rest;
                position = seq - 1;
                counted = Some(seq);
            }
            next.extend(last(log, at));
        }
        position
    }
}
