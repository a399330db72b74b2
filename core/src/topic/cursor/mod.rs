//! One reader's position over its set of topics. Replay, live delivery and resume are the same act: read what comes
//! after the position.

mod look;
mod loss;
mod start;

use std::sync::Arc;

use crate::options::{OnGap, Slow, Start};
use crate::topic::Millis;
use crate::topic::few::Few;
use crate::topic::frame::Frame;
use crate::topic::log::Log;
use crate::topic::merge::Merged;
use crate::topic::table::{Effects, ListenerId, Name, Table, TopicId};

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
    sources: Few<TopicId>,
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
    // It has been told that it lags. From then on it is behind its mark for being slow, and not for what it came with.
    lagged: bool,
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

/// Where a reader of one topic stands. Two at the same place find the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    topic: TopicId,
    position: u64,
    mark: u64,
    told: u64,
    slow: Slow,
    max_lag: u64,
}

/// What a look found: like [`Read`], with frames that are not taken yet.
#[derive(Debug)]
pub(crate) enum Look {
    Idle,
    Frames(Step),
    Gap(Box<Gap>),
    Slow,
}

/// The way from a position over the frames that a look has found.
#[derive(Debug)]
pub(crate) struct Step {
    through: u64,
    // The newest event at the time.
    head: u64,
    // Nothing of the catch-up is left behind this step.
    caught_up: bool,
    // What conflation left out.
    skipped: Vec<u64>,
}

impl Step {
    /// Whether nothing is left behind it.
    pub(crate) fn reaches_head(&self) -> bool {
        self.through >= self.head
    }
}

impl Cursor {
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

    /// Where it stands, if it reads one topic and nothing is special about it.
    pub(crate) fn place(&self) -> Option<Place> {
        self.only_source().map(|topic| Place {
            topic,
            position: self.position,
            mark: self.mark,
            told: self.told,
            slow: self.slow,
            max_lag: self.max_lag,
        })
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

    /// Tells another listener of what is new.
    pub(crate) fn switch(&mut self, table: &mut Table, listener: ListenerId) {
        for id in self.sources.iter() {
            table.switch(*id, self.listener, listener);
        }
        self.listener = listener;
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
        match self.look(table, now, max_bytes, out, fx) {
            Look::Idle => Read::Idle,
            Look::Frames(step) => Read::Frames {
                conflated: self.take(&step),
            },
            Look::Gap(gap) => Read::Gap(gap),
            Look::Slow => Read::Slow,
        }
    }

    /// Goes as far as this event, which another way than [`Self::look`] has brought.
    pub(crate) fn stop_at(&mut self, seq: u64) {
        self.position = seq;
    }

    /// Takes the reader off its topics.
    pub(crate) fn detach(&mut self, table: &mut Table, now: Millis, fx: &mut Effects) {
        for id in std::mem::take(&mut self.sources).iter() {
            table.detach(*id, self.listener, now, fx);
        }
    }
}
