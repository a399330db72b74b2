//! One reader's position over its set of topics. Replay, live delivery and resume are the same act: read what comes
//! after the position.

use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::options::{OnGap, Slow, Start};
use crate::topic::Millis;
use crate::topic::frame::Frame;
use crate::topic::log::Log;
use crate::topic::merge::{Merged, merge};
use crate::topic::table::{Effects, ListenerId, Name, Table, TopicId};

/// The most that a reader whose id is unknown may replay, in bytes: a restart must not make every client pull all.
const UNKNOWN_REPLAY: u64 = 256 * 1024;

/// Why a reader did not get events that it should have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// They have left the history.
    Expired,
    /// The id it came with is not one of this hub, or its event is no longer known.
    Unknown,
    /// It was too slow.
    Lagged,
}

impl GapReason {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Lagged => "lagged",
        }
    }
}

/// What a subscription asks of its cursor.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) names: Arc<[Name]>,
    pub(crate) start: Start,
    /// The newest event when `subscribe` was called.
    pub(crate) head: u64,
    pub(crate) on_gap: OnGap,
    pub(crate) slow: Slow,
    pub(crate) max_lag: u64,
}

/// A position, and what is needed to go on from it.
#[derive(Debug)]
pub(crate) struct Cursor {
    // What is read: topics and patterns, attached for as long as the cursor lives.
    sources: Vec<TopicId>,
    // What is read instead until `until`: the logs behind a pattern that became active after the start position, and
    // logs that hold more than their history, which is all that a new or returning reader may have.
    // Boxed: few cursors have it, and those not for long.
    catch_up: Option<Box<CatchUp>>,
    // Every event up to here has been read, or told of as lost.
    position: u64,
    // Losses up to here have been told.
    told: u64,
    // The head when the reader was last caught up. Lag counts from here: what it owes from before is replay.
    mark: u64,
    // A gap that is known and not told yet. Boxed: it is told once.
    gap: Option<Box<Gap>>,
    on_gap: OnGap,
    slow: Slow,
    max_lag: u64,
    // It came without an id.
    fresh: bool,
    listener: ListenerId,
}

#[derive(Debug)]
struct CatchUp {
    sources: Vec<Behind>,
    until: u64,
}

/// One log of a catch-up.
#[derive(Debug)]
struct Behind {
    id: TopicId,
    // The topic's name: unlike the reader's own sources it may vanish meanwhile.
    name: Option<Arc<str>>,
    // Its newest event when the catch-up began. What it drops after that is the live logs' concern.
    newest: u64,
    // Read from here on: what is older is out of its history, and kept for readers that were there only.
    floor: u64,
}

/// A gap to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) reason: GapReason,
    /// The id that the reader came with; `None`: its position, as a hub id.
    pub(crate) last_event_id: Option<Box<str>>,
    /// Where the reader stood.
    pub(crate) from: u64,
    /// Losses up to here are told by it.
    pub(crate) lost: u64,
    /// From where it goes on: the id of the gap event.
    pub(crate) to: u64,
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Nothing new.
    Idle,
    /// Frames, appended to the caller's list. How many were left out, since newer ones stand in for them.
    Frames {
        /// Left out by conflation.
        conflated: u64,
    },
    /// Something is lost.
    Gap(Box<Gap>),
    /// The reader is over its lag limit and is to be disconnected.
    Slow,
}

impl Cursor {
    /// Attaches a reader to its topics and finds out where it starts.
    pub(crate) fn attach(
        table: &mut Table,
        terms: &Terms,
        listener: ListenerId,
        now: Millis,
    ) -> Self {
        let head = table.head();
        let sources: Vec<TopicId> = terms
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
        } else if lost > cursor.position {
            cursor.start_gap(table, GapReason::Expired, given, lost);
        }
        cursor
    }

    /// The id is not one of ours: the reader gets a gap event and the newest retained events up to a cap.
    fn start_unknown(mut self, table: &Table, id: &str, now: Millis) -> Self {
        self.position = 0;
        let lost = self.look_back(table, Some(now));
        self.position = self.newest_within(table, UNKNOWN_REPLAY);
        if self
            .catch_up
            .as_ref()
            .is_some_and(|catch_up| catch_up.until <= self.position)
        {
            self.catch_up = None;
        }
        let lost = self.position.max(lost);
        self.start_gap(table, GapReason::Unknown, Some(id), lost);
        self
    }

    fn start_gap(&mut self, table: &Table, reason: GapReason, given: Option<&str>, lost: u64) {
        let from = self.position;
        let (lost, to) = match self.on_gap {
            // Whoever comes back with the gap event's id gets all that is left, and is not told again unless one topic
            // still has events from before the loss of another.
            OnGap::Replay => (lost, lost.min(self.first_left(table).saturating_sub(1))),
            OnGap::Live => (table.head(), table.head()),
        };
        if self.on_gap == OnGap::Live {
            self.position = to;
            self.catch_up = None;
        }
        self.told = self.told.max(lost);
        self.gap = Some(Box::new(Gap {
            reason,
            last_event_id: given.map(Into::into),
            from,
            lost,
            to,
        }));
    }

    /// The oldest event that will be read.
    fn first_left(&self, table: &Table) -> u64 {
        self.all_logs(table)
            .into_iter()
            .filter_map(|(log, after)| Some(log.get(log.after(after))?.seq))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Finds what stands between the position and the sources' own logs. With a time, what is out of the histories by
    /// then counts as lost, whether it is still kept or not. Returns the newest event after the position that is
    /// known to be lost, or something not after it.
    fn look_back(&mut self, table: &Table, now: Option<Millis>) -> u64 {
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
        for id in &self.sources {
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
    fn patterns_lost(&self, table: &Table) -> u64 {
        self.sources
            .iter()
            .filter(|id| table.name(**id).is_some_and(|name| name.is_pattern))
            .filter_map(|id| table.log(*id))
            .map(Log::evicted_through)
            .max()
            .unwrap_or(0)
    }

    /// The position after which the retained events have at most so many bytes.
    fn newest_within(&self, table: &Table, mut bytes: u64) -> u64 {
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

    /// What is read at this position, and from where on.
    fn logs<'t>(&self, table: &'t Table) -> Vec<(&'t Log, u64)> {
        match &self.catch_up {
            Some(catch_up) => catch_up
                .sources
                .iter()
                .filter_map(|behind| Some((table.log(behind.id)?, self.position.max(behind.floor))))
                .collect(),
            None => self.live_logs(table),
        }
    }

    /// All that will be read: what the catch-up has, and what comes after it.
    fn all_logs<'t>(&self, table: &'t Table) -> Vec<(&'t Log, u64)> {
        let mut logs = self.logs(table);
        if let Some(catch_up) = &self.catch_up {
            logs.extend(
                self.live_logs(table)
                    .into_iter()
                    .map(|(log, _)| (log, catch_up.until)),
            );
        }
        logs
    }

    fn live_logs<'t>(&self, table: &'t Table) -> Vec<(&'t Log, u64)> {
        self.sources
            .iter()
            .filter_map(|id| Some((table.log(*id)?, self.position)))
            .collect()
    }

    /// Every event up to here has been read, or told of as lost.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The position to announce to the client. None where a gap event comes first: that has the position, and a client
    /// that has been told the position before the gap, and is then cut off, would never hear of the gap.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.gap.is_none().then_some(self.position)
    }

    /// Whether the reader begins without anything to go on from. A gap says so by itself.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh && self.gap.is_none()
    }

    /// Whether nothing from before its last visit is left to read.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.position >= self.mark && self.told <= self.position
    }

    /// Whether the last read went up to the head.
    pub(crate) fn is_at_head(&self) -> bool {
        self.position == self.mark
    }

    /// Whether so many bytes at once are within the lag limit.
    pub(crate) fn allows(&self, bytes: usize) -> bool {
        bytes as u64 <= self.max_lag
    }

    /// Goes on from where another reader of the same topic at the same position got to, which is the head.
    pub(crate) fn follow(&mut self, position: u64) {
        self.position = position;
        self.mark = position;
    }

    /// The one topic or pattern that is read, when there is only one and nothing special about the position.
    pub(crate) fn only_source(&self) -> Option<TopicId> {
        match self.sources[..] {
            [id] if self.catch_up.is_none() && self.gap.is_none() => Some(id),
            _ => None,
        }
    }

    pub(crate) fn sources(&self) -> &[TopicId] {
        &self.sources
    }

    /// What has been published since the reader was last caught up and not been read, in bytes. Exact where it is over
    /// the limit.
    pub(crate) fn lag(&self, table: &Table) -> u64 {
        let from = self.position.max(self.mark);
        let live = self.sources.iter().filter_map(|id| table.log(*id));
        let sum = live.map(|log| log.bytes_after(from)).sum();
        if sum <= self.max_lag || self.sources.len() == 1 {
            return sum;
        }
        // One event of several topics stands in several logs, and counts once.
        let logs: Vec<(&Log, u64)> = self
            .live_logs(table)
            .into_iter()
            .map(|(log, _)| (log, from))
            .collect();
        let dropped = logs.iter().map(|(log, _)| log.dropped_after(from)).max();
        let retained: u64 = Merged::new(&logs).map(|frame| frame.len() as u64).sum();
        retained + dropped.unwrap_or(0)
    }

    /// Whether the reader is to be disconnected, without reading: it is stuck elsewhere.
    pub(crate) fn is_overdue(&self, table: &Table) -> bool {
        match self.slow {
            Slow::Disconnect => self.lag(table) > self.max_lag,
            // What it owes is known only when it is read.
            Slow::Skip | Slow::Conflate => false,
        }
    }

    /// Reads up to about `max_bytes` of frames after the position, in order, each once.
    pub(crate) fn read(
        &mut self,
        table: &mut Table,
        now: Millis,
        max_bytes: usize,
        out: &mut Vec<Arc<Frame>>,
        fx: &mut Effects,
    ) -> Read {
        if let Some(gap) = self.gap.take() {
            return Read::Gap(gap);
        }
        let head = table.head();
        if self.position >= head {
            self.mark = head;
            return Read::Idle;
        }
        for id in &self.sources {
            table.expire_topic(*id, now, fx);
        }
        if let Some(read) = self.find_loss(table, head) {
            return read;
        }
        let over = self.lag(table) > self.max_lag;
        let replaying = self.position < self.mark || self.catch_up.is_some();
        match self.slow {
            Slow::Disconnect if over => return Read::Slow,
            // What it owes from before it came is no lag, and is not conflated.
            Slow::Conflate if over && !replaying => return self.conflate(table, head, out),
            _ => {}
        }
        let until = self
            .catch_up
            .as_ref()
            .map_or(head, |catch_up| catch_up.until);
        let before = out.len();
        let complete = {
            let logs = self.logs(table);
            merge(&logs, until, max_bytes, out)
        };
        self.position = if complete {
            self.catch_up = None;
            until
        } else {
            out.last().map_or(until, |frame| frame.seq)
        };
        if self.position >= head {
            self.mark = head;
        }
        if out.len() == before {
            // A catch-up may end without a frame while the live logs have some.
            return if complete && until < head {
                self.read(table, now, max_bytes, out, fx)
            } else {
                Read::Idle
            };
        }
        Read::Frames { conflated: 0 }
    }

    /// Whether something after the position has been dropped.
    fn find_loss(&mut self, table: &Table, head: u64) -> Option<Read> {
        let known = self.position.max(self.told);
        let outrun = self.is_outrun(table);
        let mut lost = self.newest_loss(table);
        if lost <= known && !outrun {
            return None;
        }
        // Whoever was still replaying has not been slow: the history has moved on.
        let replaying = self.position < self.mark && lost <= self.mark;
        let reason = match self.slow {
            _ if replaying => GapReason::Expired,
            Slow::Skip => GapReason::Lagged,
            // Within its limit: the common budget of all histories has taken it.
            _ if self.lag(table) <= self.max_lag => GapReason::Expired,
            _ => return Some(Read::Slow),
        };
        if outrun {
            lost = self.look_back(table, None);
        }
        if lost <= known {
            return None;
        }
        self.start_gap(table, reason, None, lost);
        if reason == GapReason::Lagged {
            // Told, and forgiven: lag is counted anew.
            self.mark = head;
        }
        self.gap.take().map(Read::Gap)
    }

    /// The newest event that a log which is being read has dropped.
    fn newest_loss(&self, table: &Table) -> u64 {
        let lost = match &self.catch_up {
            Some(catch_up) => catch_up
                .sources
                .iter()
                .map(|behind| match (table.log(behind.id), &behind.name) {
                    (Some(log), None) => self.missed(log).min(behind.newest),
                    (Some(log), Some(_)) => log.evicted_through().min(behind.newest),
                    (None, Some(name)) => table.evicted_through(name).min(behind.newest),
                    (None, None) => 0,
                })
                .max(),
            None => self
                .sources
                .iter()
                .filter_map(|id| table.log(*id))
                .map(|log| self.missed(log))
                .max(),
        };
        lost.unwrap_or(0)
    }

    /// The newest event that a log has dropped and that this reader cannot do without.
    fn missed(&self, log: &Log) -> u64 {
        match self.slow {
            Slow::Conflate => log.owed_through(),
            _ => log.evicted_through(),
        }
    }

    /// Whether a pattern's own log, which has only what readers may be behind, has dropped something that was to be
    /// read from it. The topics may have it still, and are read instead.
    fn is_outrun(&self, table: &Table) -> bool {
        self.sources.iter().any(|id| {
            let (Some(name), Some(log)) = (table.name(*id), table.log(*id)) else {
                return false;
            };
            let is_read = match &self.catch_up {
                Some(catch_up) => catch_up.sources.iter().any(|behind| behind.id == *id),
                None => true,
            };
            name.is_pattern && is_read && self.missed(log) > self.position
        })
    }

    /// Reads all that is owed, less what newer frames of the same topic and key stand in for.
    fn conflate(&mut self, table: &Table, head: u64, out: &mut Vec<Arc<Frame>>) -> Read {
        let logs = self.logs(table);
        let before = out.len();
        let mut all = Vec::new();
        merge(&logs, head, usize::MAX, &mut all);
        let total = all.len();
        all.retain(|frame| logs.iter().any(|(log, _)| log.owes(frame)));
        let bytes: u64 = all.iter().map(|frame| frame.len() as u64).sum();
        if bytes > self.max_lag {
            return Read::Slow;
        }
        let conflated = (total - all.len()) as u64;
        out.append(&mut all);
        self.position = head;
        self.mark = head;
        if out.len() == before && conflated == 0 {
            return Read::Idle;
        }
        Read::Frames { conflated }
    }

    /// Takes the reader off its topics.
    pub(crate) fn detach(&mut self, table: &mut Table, now: Millis, fx: &mut Effects) {
        for id in self.sources.drain(..) {
            table.detach(id, self.listener, now, fx);
        }
    }
}
