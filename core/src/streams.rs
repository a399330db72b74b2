//! All streams of a selector: who has what to send, and who is overdue. The selector's lock is around it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::{Batch, BatchCache};
use crate::delivery::{Delivery, End, EndReason, Token};
use crate::event::Fields;
use crate::shared::Shared;
use crate::stats::Counters;
use crate::stream::Stream;
use crate::topic::cursor::{Gap, Read};
use crate::topic::frame::Frame;
use crate::topic::table::{Effects, TopicId};
use crate::wire::encode::encode_checked;

/// The most that one delivery joins, in bytes, unless a single frame is larger.
const MAX_BATCH: usize = 64 * 1024;
/// A comment: the smallest thing that proves a connection alive. Without a blank line, since some decoders take every
/// blank line for an event.
pub(crate) const HEARTBEAT: &[u8] = b":\n";
/// The pause between two looks at all streams: the deadlines of thousands, each at a time of its own, would make one
/// look follow the other.
const SWEEP_PAUSE: u64 = 20;
/// The streams of one selector.
#[derive(Default)]
pub(crate) struct Streams {
    pub(crate) places: Vec<(u32, Option<Stream>)>,
    free: Vec<u32>,
    pub(crate) count: usize,
    // Who reads a topic here.
    pub(crate) readers: HashMap<TopicId, Vec<Token>>,
    // Streams that have something other than frames to take: a farewell.
    pub(crate) flagged: Vec<Token>,
    // Batches of this round, so that streams at the same position share them.
    pub(crate) batches: BatchCache,
    // When to look at all streams again, for heartbeats and deadlines; and not sooner than this.
    pub(crate) next_sweep: u64,
    pub(crate) no_sweep_before: u64,
    // The look that the host knows of: what is due sooner needs a wake-up call.
    pub(crate) told_sweep: u64,
    // Scratch space, kept between rounds.
    pub(crate) dirty: Vec<TopicId>,
    frames: Vec<Arc<Frame>>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self {
            next_sweep: u64::MAX,
            told_sweep: u64::MAX,
            ..Self::default()
        }
    }

    pub(crate) fn insert(&mut self, stream: Stream) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.places[index as usize];
        let token = Token {
            index,
            life: place.0,
        };
        for topic in stream.cursor.sources() {
            self.readers.entry(*topic).or_default().push(token);
        }
        place.1 = Some(stream);
        self.count += 1;
        token
    }

    pub(crate) fn sweep_at(&mut self, due: u64) {
        self.next_sweep = self.next_sweep.min(due.max(self.no_sweep_before));
    }

    /// Whether the host has to be told that it should look sooner than it knows.
    pub(crate) fn is_sooner(&mut self) -> bool {
        let sooner = self.next_sweep < self.told_sweep;
        self.told_sweep = self.told_sweep.min(self.next_sweep);
        sooner
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut Stream> {
        let (life, stream) = self.places.get_mut(token.index as usize)?;
        stream.as_mut().filter(|_| *life == token.life)
    }

    pub(crate) fn take(&mut self, token: Token) -> Option<Stream> {
        let (life, stream) = self.places.get_mut(token.index as usize)?;
        if *life != token.life {
            return None;
        }
        let stream = stream.take()?;
        *life = life.wrapping_add(1);
        self.free.push(token.index);
        self.count -= 1;
        if self.count == 0 {
            self.next_sweep = u64::MAX;
            self.told_sweep = u64::MAX;
        }
        Some(stream)
    }

    pub(crate) fn forget_reader(&mut self, topic: TopicId, token: Token) {
        if let Some(readers) = self.readers.get_mut(&topic) {
            if let Some(at) = readers.iter().position(|known| *known == token) {
                readers.swap_remove(at);
            }
            if readers.is_empty() {
                self.readers.remove(&topic);
            }
        }
    }

    pub(crate) fn poll_waiting(
        &mut self,
        hub: &Shared,
        token: Token,
        now: u64,
        ready: &mut Vec<(Token, Delivery)>,
        fx: &mut Effects,
    ) {
        if self.get_mut(token).is_some_and(|stream| stream.waiting)
            && let Some(delivery) = self.poll(hub, token, now, fx)
        {
            ready.push((token, delivery));
        }
    }

    pub(crate) fn poll(
        &mut self,
        hub: &Shared,
        token: Token,
        now: u64,
        fx: &mut Effects,
    ) -> Option<Delivery> {
        // Taken out for the time of the call, so that batches and scratch space can be borrowed beside it.
        let (life, place) = self.places.get_mut(token.index as usize)?;
        if *life != token.life {
            return None;
        }
        let mut stream = place.take()?;
        let delivery = self.next(hub, &mut stream, now, fx);
        match &delivery {
            Some(Delivery::End(_)) => stream.ended = true,
            Some(_) => {
                stream.waiting = false;
                stream.busy_since = now;
            }
            None => stream.waiting = true,
        }
        if delivery.is_some() {
            stream.last_sent = now;
        }
        if !stream.ended {
            self.sweep_at(stream.next_due(now));
        }
        self.places[token.index as usize].1 = Some(stream);
        delivery
    }

    fn next(
        &mut self,
        hub: &Shared,
        stream: &mut Stream,
        now: u64,
        fx: &mut Effects,
    ) -> Option<Delivery> {
        if stream.ended {
            return None;
        }
        // A client's rights end on time, also where something is always on its way.
        stream.grow_old(now);
        if let Some(opening) = stream.opening.take() {
            return Some(Delivery::Bytes(opening));
        }
        if let Some((reason, last)) = stream.is_to_end(now, false) {
            return Some(Delivery::End(End {
                reason,
                last,
                clean: true,
            }));
        }
        if let Some(through) = stream.last_owed() {
            return self.last_frames(hub, stream, through, now, fx);
        }
        if let Some(batch) = self.batches.after(&stream.cursor) {
            stream.cursor.follow(batch.position);
            return Some(frames(hub, stream, batch.batch));
        }
        let before = stream
            .cursor
            .only_source()
            .filter(|_| stream.cursor.is_caught_up())
            .map(|topic| (topic, stream.cursor.position()));
        self.frames.clear();
        let read = stream
            .cursor
            .read(&mut hub.table(), now, MAX_BATCH, &mut self.frames, fx);
        match read {
            // All that was published before a drain has been taken.
            Read::Idle => stream.is_to_end(now, true).map(|(reason, last)| {
                Delivery::End(End {
                    reason,
                    last,
                    clean: true,
                })
            }),
            Read::Frames { conflated } => {
                Counters::add(&hub.counters.conflated, conflated);
                if self.frames.is_empty() {
                    return None;
                }
                let batch = self.batches.join(&mut self.frames);
                if conflated == 0
                    && stream.cursor.is_at_head()
                    && let Some((topic, position)) = before
                {
                    self.batches
                        .remember(topic, position, stream.cursor.position(), &batch);
                }
                Some(frames(hub, stream, batch))
            }
            Read::Gap(gap) => {
                hub.counters.gap(gap.reason);
                stream.needs_snapshot = true;
                let event = if stream.has_snapshots {
                    gap_before_snapshot(hub, &gap)
                } else {
                    gap_event(hub, &gap)
                };
                Some(Delivery::Gap(event.into()))
            }
            Read::Slow => Some(Delivery::End(End {
                reason: EndReason::Slow,
                last: None,
                clean: true,
            })),
        }
    }

    /// What a stream that was sent away still gets, then its end.
    fn last_frames(
        &mut self,
        hub: &Shared,
        stream: &mut Stream,
        through: u64,
        now: u64,
        fx: &mut Effects,
    ) -> Option<Delivery> {
        self.frames.clear();
        let cursor = &mut stream.cursor;
        let read = cursor.read(&mut hub.table(), now, MAX_BATCH, &mut self.frames, fx);
        self.frames.retain(|frame| frame.seq <= through);
        if cursor.position() >= through {
            cursor.stop_at(through);
        }
        if matches!(read, Read::Frames { .. }) && !self.frames.is_empty() {
            return Some(frames(hub, stream, self.batches.join(&mut self.frames)));
        }
        let (reason, last) = stream.is_to_end(now, true)?;
        Some(Delivery::End(End {
            reason,
            last,
            clean: true,
        }))
    }

    /// Looks at every stream: heartbeats, ages, farewells that are due, clients that take nothing.
    pub(crate) fn sweep(
        &mut self,
        hub: &Shared,
        now: u64,
        ready: &mut Vec<(Token, Delivery)>,
        fx: &mut Effects,
    ) {
        self.next_sweep = u64::MAX;
        self.no_sweep_before = now.saturating_add(SWEEP_PAUSE);
        for index in 0..self.places.len() {
            let (life, Some(stream)) = &mut self.places[index] else {
                continue;
            };
            let token = Token {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                life: *life,
            };
            if stream.ended {
                continue;
            }
            stream.grow_old(now);
            if stream.waiting {
                if stream
                    .ending
                    .as_ref()
                    .is_some_and(|ending| ending.at <= now)
                {
                    self.poll_waiting(hub, token, now, ready, fx);
                } else if stream.heartbeat_due(now) {
                    stream.waiting = false;
                    stream.busy_since = now;
                    stream.last_sent = now;
                    ready.push((token, Delivery::Bytes(Arc::from(HEARTBEAT))));
                }
            } else if stream.is_stuck(&hub.table(), now) {
                stream.ended = true;
                let reason = stream
                    .ending
                    .as_ref()
                    .map_or(EndReason::Slow, |ending| ending.reason);
                ready.push((
                    token,
                    Delivery::End(End {
                        reason,
                        last: None,
                        clean: false,
                    }),
                ));
            }
            if let (_, Some(stream)) = &self.places[index]
                && !stream.ended
            {
                let due = stream.next_due(now);
                self.sweep_at(due);
            }
        }
    }
}

fn frames(hub: &Shared, stream: &mut Stream, batch: Arc<Batch>) -> Delivery {
    let delivered = (batch.events() as u64, batch.bytes().len() as u64);
    stream.count(delivered.0, delivered.1);
    hub.counters.delivered(delivered);
    Delivery::Frames(batch)
}

/// The event that tells a reader of a gap.
pub(crate) fn gap_event(hub: &Shared, gap: &Gap) -> Vec<u8> {
    encode_gap(hub, gap, Some(&hub.id(gap.to).to_string()))
}

/// The same where a snapshot follows, which bears the position: whoever is cut between the two must not resume behind
/// the gap.
fn gap_before_snapshot(hub: &Shared, gap: &Gap) -> Vec<u8> {
    encode_gap(hub, gap, None)
}

fn encode_gap(hub: &Shared, gap: &Gap, id: Option<&str>) -> Vec<u8> {
    let last_event_id = match &gap.last_event_id {
        Some(id) => id.to_string(),
        None => hub.id(gap.from).to_string(),
    };
    let data = serde_json::json!({
        "last_event_id": last_event_id,
        "reason": gap.reason.as_str(),
    });
    encode_checked(&Fields {
        data: Some(&data.to_string()),
        event: Some("ssehub:gap"),
        id,
        ..Fields::default()
    })
}
