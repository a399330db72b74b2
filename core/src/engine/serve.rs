//! What a shard does with one connection: the rest of what was begun, the log, what is due.

use std::collections::HashMap;
use std::sync::Arc;

use super::batch::{Batch, MAX_BATCH};
use super::connection::Progress;
use super::connections::{Connections, Scene};
use super::socket::Socket;
use crate::delivery::EndReason;
use crate::stats::Counters;
use crate::streams::{HEARTBEAT, gap_event};
use crate::topic::cursor::Look;
use crate::topic::table::Effects;

/// How many batches of a turn are remembered for others who read the log from the same position.
const REMEMBERED: usize = 8;
/// Frames that only blocked connections hold any more: so many bytes in all shards. Above, those that are blocked
/// longest go.
const MAX_PINNED: usize = 64 * 1024 * 1024;

/// How far ahead the wheel is used, in milliseconds.
const FARTHEST: u64 = 60_000;
/// Between two looks for the one that has been blocked longest, in milliseconds: each goes over all connections.
const RELIEF: u64 = 50;

impl<S: Socket> Connections<S> {
    /// Brings a connection on: the rest of what was begun, then its end if that has come, then a batch from the log.
    pub(super) fn serve(&mut self, scene: &Scene<'_, S>, index: u32) {
        let now = scene.now;
        // Who is live has all but what waits for the next round.
        let has_all = self.next.mail.is_empty() && !self.next.overflowed;
        let mut has_read = false;
        loop {
            let pinned = self.pinned_by(index);
            let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut) else {
                return;
            };
            let connection = &mut *slot.connection;
            if connection.over.is_some() {
                return;
            }
            if connection.blocked {
                break;
            }
            let mut progress = connection.flush(now);
            if connection.is_whole() {
                self.pinned -= pinned;
            }
            if progress == Progress::Done {
                if pinned > 0 {
                    connection.stream.count(1, pinned as u64);
                    scene.hub.counters.delivered((1, pinned as u64));
                }
                if let Some(reason) = connection.finishing {
                    self.end(index, reason, true);
                    return;
                }
                let stream = &mut connection.stream;
                stream.grow_old(now);
                if let Some(opening) = stream.opening.take() {
                    progress = connection.send_own(&opening, now);
                } else if let Some((reason, last)) =
                    stream.is_to_end(now, has_all && connection.live)
                {
                    progress = connection.send_end(reason, last.as_deref().unwrap_or(&[]), now);
                } else if connection.live {
                    break;
                } else if has_read {
                    self.enqueue(index);
                    break;
                } else {
                    has_read = true;
                    progress = self.read_log(scene, index);
                }
            }
            match progress {
                Progress::Done => {}
                Progress::Blocked => break,
                Progress::Gone => {
                    self.end(index, EndReason::Client, false);
                    return;
                }
            }
        }
        if let Some(connection) = self.at(index) {
            connection.stream.waiting = connection.live && !connection.blocked;
            if !connection.stream.waiting && !connection.blocked {
                // Its turn has not come: that is not the client's fault.
                connection.stream.busy_since = now;
            }
        }
        self.arm(scene, index);
    }

    /// Sends a batch of what the log has after a connection's position.
    fn read_log(&mut self, scene: &Scene<'_, S>, index: u32) -> Progress {
        let (hub, now) = (scene.hub, scene.now);
        let mut frames = std::mem::take(&mut self.frames);
        frames.clear();
        let Some(Some(slot)) = self.slots.get_mut(index as usize) else {
            return Progress::Gone;
        };
        let token = slot.token;
        let connection = &mut *slot.connection;
        let framing = connection.framing();
        let cursor = &mut connection.stream.cursor;
        let place = cursor.place();
        let known = self
            .read
            .iter()
            .find(|(known, framed, ..)| place.as_ref() == Some(known) && *framed == framing)
            .map(|(_, _, step, batch)| (step.clone(), batch.clone()));
        let (step, batch) = if let Some(known) = known {
            known
        } else {
            let mut fx = Effects::default();
            let look = cursor.look(&mut hub.table(), now, MAX_BATCH, &mut frames, &mut fx);
            fx.run();
            let step = match look {
                Look::Frames(step) => Arc::new(step),
                Look::Idle => {
                    connection.live = true;
                    // What waits in the mailbox is newer than that.
                    connection.stream.owes_nothing();
                    self.frames = frames;
                    return Progress::Done;
                }
                Look::Gap(gap) => {
                    self.frames = frames;
                    if connection.how.snapshot {
                        return connection.send_end(EndReason::Slow, &[], now);
                    }
                    hub.counters.gap(gap.reason);
                    return connection.send_own(&gap_event(hub, &gap), now);
                }
                Look::Slow => {
                    self.frames = frames;
                    return connection.send_end(EndReason::Slow, &[], now);
                }
            };
            let batch = Arc::new(Batch::new(&frames, framing));
            if let Some(place) = place
                && self.read.len() < REMEMBERED
            {
                self.read
                    .push((place, framing, step.clone(), batch.clone()));
            }
            (step, batch)
        };
        frames.clear();
        self.frames = frames;
        // Asked after the look, and not before: what was published after it was sent away is not for it.
        let found = batch.len();
        let owed = scene.last_owed(token).map(|seq| batch.count_through(seq));
        let batch = match owed {
            Some(0) => {
                connection.stream.owes_nothing();
                return Progress::Done;
            }
            Some(owed) if owed < found => Arc::new(batch.first(owed, framing)),
            _ => batch,
        };
        let (progress, reached) = connection.send_batch(&batch, now);
        let delivered = (reached.whole as u64, batch.size(reached.whole));
        connection.stream.count(delivered.0, delivered.1);
        hub.counters.delivered(delivered);
        let cursor = &mut connection.stream.cursor;
        let begun = reached.whole + usize::from(reached.partial.is_some());
        if progress == Progress::Blocked
            && let Some((frame, _)) = &reached.partial
        {
            self.pinned += frame.len();
        }
        let conflated = match (&reached.partial, reached.whole) {
            // Also where the last is still on its way: the cursor has nothing more to bring from here.
            _ if begun == found => {
                // What is newer than the look comes by mail.
                connection.live = progress == Progress::Done && step.reaches_head();
                cursor.take(&step)
            }
            (Some((frame, _)), _) => cursor.take_until(&step, frame.seq),
            (None, 0) => 0,
            (None, whole) => cursor.take_until(&step, batch.seq(whole - 1)),
        };
        Counters::add(&hub.counters.conflated, conflated);
        if owed.is_some() && begun == found && step.reaches_head() {
            connection.stream.owes_nothing();
        }
        progress
    }

    pub(super) fn on_time(&mut self, scene: &Scene<'_, S>, index: u32, due: u64) {
        let now = scene.now;
        let Some(connection) = self.at(index).filter(|it| it.timer == due) else {
            return;
        };
        connection.timer = u64::MAX;
        if connection.blocked {
            let stream = &connection.stream;
            if stream.is_stuck(&scene.hub.table(), now) {
                let ending = stream.ending.as_ref().map(|ending| ending.reason);
                let reason = connection.finishing.or(ending);
                self.end(index, reason.unwrap_or(EndReason::Slow), false);
                return;
            }
        } else if connection.stream.waiting && connection.stream.heartbeat_due(now) {
            let progress = connection.send_own(HEARTBEAT, now);
            if progress == Progress::Gone {
                return self.end(index, EndReason::Client, false);
            }
        }
        self.serve(scene, index);
    }

    /// Sees to it that a connection is looked at when it is due.
    pub(super) fn arm(&mut self, scene: &Scene<'_, S>, index: u32) {
        let Some(connection) = self.at(index) else {
            return;
        };
        // An entry outlives its connection: what is due in a day is looked at again and again instead.
        let due = connection.stream.next_due(scene.now);
        let due = due.min(scene.now.saturating_add(FARTHEST));
        if due < connection.timer {
            connection.timer = due;
            self.wheel.insert(due, index);
        }
    }

    pub(super) fn enqueue(&mut self, index: u32) {
        if let Some(connection) = self.at(index)
            && !connection.queued
            && !connection.blocked
        {
            connection.queued = true;
            self.queue.push_back(index);
        }
    }

    pub(super) fn pinned_by(&mut self, index: u32) -> usize {
        let connection = self.at(index);
        let pinned = connection.and_then(|connection| connection.pinned());
        pinned.map_or(0, |frame| frame.len())
    }

    /// Keeps what blocked connections hold, and no log does any more, within its bound.
    pub(super) fn relieve(&mut self, scene: &Scene<'_, S>) {
        let most = MAX_PINNED / scene.hub.options.shards.max(1) as usize;
        while self.pinned > most && scene.now >= self.relief_due {
            let mut seen: HashMap<u64, usize> = HashMap::new();
            let mut oldest: Option<(u64, u32)> = None;
            for (index, slot) in (0..).zip(&self.slots) {
                let Some(slot) = slot else { continue };
                if let Some(frame) = slot.connection.pinned()
                    && !frame.in_logs()
                    && slot.connection.over.is_none()
                {
                    seen.insert(frame.seq, frame.len());
                    let stalled = (slot.connection.stream.busy_since, index);
                    oldest = Some(oldest.map_or(stalled, |known| known.min(stalled)));
                }
            }
            match oldest {
                Some((_, index)) if seen.values().sum::<usize>() > most => {
                    self.end(index, EndReason::Slow, false);
                }
                // The logs have most of it. That may change, but not in a moment.
                _ => self.relief_due = scene.now + RELIEF,
            }
        }
    }
}
