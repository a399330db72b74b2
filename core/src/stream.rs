//! One stream of a selector: a cursor, and what a client's connection adds to it.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::delivery::{EndReason, Mode, StreamInfo};
use crate::event::Fields;
use crate::options::StreamOptions;
use crate::registry::Plan;
use crate::shared::Shared;
use crate::topic::cursor::Cursor;
use crate::topic::table::{Name, Table};
use crate::wire::encode::encode_checked;

/// How often streams that are being written are looked at: for their lag, and for clients that take nothing.
const BUSY_PERIOD: u64 = 1000;

/// An end that has been decided on.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) reason: EndReason,
    /// When it may happen.
    pub(crate) at: u64,
    /// When it must have happened, at whatever price.
    pub(crate) deadline: u64,
    /// Events up to here still go out; after a drain has begun also later ones.
    pub(crate) through: u64,
    pub(crate) last: Option<Arc<[u8]>>,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Stream {
    pub(crate) cursor: Cursor,
    // Shared with the subscription: thousands of streams of one route have the same names.
    pub(crate) names: Arc<[Name]>,
    // Shared with whoever looks for the stream by it.
    pub(crate) key: Option<Arc<str>>,
    // Sent first, then gone.
    pub(crate) opening: Option<Arc<[u8]>>,
    // An end that has been decided on and has not come yet.
    // Boxed: most streams never have one.
    pub(crate) ending: Option<Box<Ending>>,
    /// It has been told of its end; the host has still to remove it.
    pub(crate) ended: bool,
    /// The host has taken everything and waits for more.
    pub(crate) waiting: bool,
    pub(crate) needs_snapshot: bool,
    /// Snapshots follow gap events, and bear the position instead of them.
    pub(crate) has_snapshots: bool,
    pub(crate) connection: bool,
    opened_at: u64,
    pub(crate) last_sent: u64,
    /// Since when the host has been writing the last delivery.
    pub(crate) busy_since: u64,
    // Never 0, which saves the room for the absence, here and below: there are thousands of streams.
    heartbeat: Option<NonZeroU64>,
    // When it ends by its age or its client's rights, and which of the two.
    ends_at: Option<Box<(u64, EndReason)>>,
    pub(crate) write_timeout: Option<NonZeroU64>,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl Stream {
    pub(crate) fn new(
        hub: &Shared,
        cursor: Cursor,
        names: Arc<[Name]>,
        options: &StreamOptions,
        now: u64,
    ) -> Self {
        // A tenth up or down: streams that were opened together are not to speak or end together.
        let jitter = |time: u64| (time - time / 10).saturating_add(hub.random(time / 5 + 1));
        let age = options
            .max_age
            .map(|age| (now.saturating_add(jitter(age)), EndReason::MaxAge));
        let expiry = options
            .expires_in
            .map(|left| (now.saturating_add(left), EndReason::Expired));
        Self {
            opening: opening(hub, &cursor, options).map(Into::into),
            names,
            key: options.key.as_deref().map(Into::into),
            ending: None,
            ended: false,
            waiting: false,
            needs_snapshot: cursor.is_fresh(),
            has_snapshots: false,
            connection: options.connection,
            opened_at: now,
            last_sent: now,
            busy_since: now,
            heartbeat: options
                .heartbeat
                .map(|interval| at_least_one(jitter(interval))),
            ends_at: [age, expiry]
                .into_iter()
                .flatten()
                .min_by_key(|(at, _)| *at)
                .map(Box::new),
            write_timeout: options.write_timeout.map(at_least_one),
            events: 0,
            bytes: 0,
            cursor,
        }
    }

    /// Decides on an end at the next frame boundary. Who waits for more still gets what was published up to `through`, and
    /// so does who has just come: its host may still be busy with what a stream begins with. Whether no end was decided
    /// on before.
    pub(crate) fn end(&mut self, reason: EndReason, last: Option<Arc<[u8]>>, through: u64) -> bool {
        if self.ended
            || self
                .ending
                .as_ref()
                .is_some_and(|ending| ending.reason != EndReason::Drain)
        {
            return false;
        }
        let is_new = self.events == 0;
        self.ending = Some(Box::new(Ending {
            reason,
            at: 0,
            // Whoever takes nothing meets the write timeout, or that of the drain that this comes into.
            deadline: self
                .ending
                .as_ref()
                .map_or(u64::MAX, |ending| ending.deadline),
            through: if self.waiting || is_new { through } else { 0 },
            last,
        }));
        true
    }

    /// Gives a connection its time in a drain.
    pub(crate) fn drain(&mut self, hub: &Shared, plan: &Plan) {
        if !self.connection {
            return;
        }
        if let Some(ending) = &mut self.ending {
            ending.deadline = ending.deadline.min(plan.deadline);
            return;
        }
        let which = hub.random(plan.farewells.len() as u64);
        let farewell = plan.farewells.get(usize::try_from(which).unwrap_or(0));
        self.ending = Some(Box::new(Ending {
            reason: EndReason::Drain,
            at: plan
                .now
                .saturating_add(hub.random(plan.spread.saturating_add(1))),
            deadline: plan.deadline,
            through: plan.through,
            last: farewell.cloned(),
        }));
    }

    /// Why and with what the stream ends now, if it does. Before that it gets what was published, unless it has all.
    pub(crate) fn is_to_end(
        &self,
        now: u64,
        has_all: bool,
    ) -> Option<(EndReason, Option<Arc<[u8]>>)> {
        let ending = self.ending.as_ref().filter(|ending| ending.at <= now)?;
        let ready = has_all || self.cursor.position() >= ending.through;
        ready.then(|| (ending.reason, ending.last.clone()))
    }

    /// Nothing newer than this is for a stream that was sent away.
    pub(crate) fn last_owed(&self) -> Option<u64> {
        let ending = self.ending.as_ref()?;
        (ending.reason != EndReason::Drain).then_some(ending.through)
    }

    /// All that it still gets has been sent.
    pub(crate) fn owes_nothing(&mut self) {
        if let Some(ending) = &mut self.ending {
            ending.through = 0;
        }
    }

    pub(crate) fn grow_old(&mut self, now: u64) {
        // A farewell that is under way stays: it tells the client when to come back.
        if let Some((at, reason)) = self.ends_at.as_deref().copied()
            && at <= now
            && self.ending.is_none()
        {
            self.end(reason, None, 0);
        }
    }

    pub(crate) fn heartbeat_due(&self, now: u64) -> bool {
        self.heartbeat
            .is_some_and(|interval| now >= self.last_sent.saturating_add(interval.get()))
    }

    /// Whether a stream that is being written is beyond hope.
    pub(crate) fn is_stuck(&self, table: &Table, now: u64) -> bool {
        self.write_timeout
            .is_some_and(|timeout| now >= self.busy_since.saturating_add(timeout.get()))
            || self
                .ending
                .as_ref()
                .is_some_and(|ending| now >= ending.deadline)
            || self.write_timeout.is_some() && self.cursor.is_overdue(table)
    }

    /// When the stream wants to be looked at, if nothing is published.
    pub(crate) fn next_due(&self, now: u64) -> u64 {
        let after = |start: u64, time: Option<NonZeroU64>| {
            time.map(|time| start.saturating_add(time.get()))
        };
        let dues = if self.waiting {
            [
                after(self.last_sent, self.heartbeat),
                self.ends_at.as_deref().map(|(at, _)| *at),
                self.ending.as_ref().map(|ending| ending.at),
            ]
        } else {
            [
                after(self.busy_since, self.write_timeout),
                self.ending.as_ref().map(|ending| ending.deadline),
                Some(now.saturating_add(BUSY_PERIOD)),
            ]
        };
        let due = dues.into_iter().flatten().min().unwrap_or(u64::MAX);
        due.max(now.saturating_add(1))
    }

    pub(crate) fn info(&self, hub: &Shared, mode: Mode, reason: EndReason) -> StreamInfo {
        StreamInfo {
            key: self.key.as_deref().map(Into::into),
            topics: self
                .names
                .iter()
                .map(|name| name.text.as_ref().to_owned())
                .collect(),
            reason,
            mode,
            duration: hub.now().saturating_sub(self.opened_at),
            events: self.events,
            bytes: self.bytes,
            last_event_id: hub.id(self.cursor.position()).to_string(),
        }
    }

    /// Notes what is delivered.
    pub(crate) fn count(&mut self, events: u64, bytes: u64) {
        self.events += events;
        self.bytes += bytes;
    }
}

/// A time in milliseconds, where 0 would mean without end.
pub(crate) fn at_least_one(time: u64) -> NonZeroU64 {
    NonZeroU64::new(time).unwrap_or(NonZeroU64::MIN)
}

/// What a stream begins with: the reconnection time, and its position, so that the first reconnect can resume.
fn opening(hub: &Shared, cursor: &Cursor, options: &StreamOptions) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(retry) = options.retry {
        bytes.extend_from_slice(format!("retry: {retry}\n").as_bytes());
    }
    if options.announce_position
        && let Some(position) = cursor.announced()
    {
        bytes.extend(id_only(&hub.id(position).to_string()));
    }
    // Without a blank line of its own, `retry:` belongs to the first event: decoders that take every blank line for an
    // event see none too many.
    (!bytes.is_empty()).then_some(bytes)
}

fn id_only(id: &str) -> Vec<u8> {
    encode_checked(&Fields {
        id: Some(id),
        ..Fields::default()
    })
}
