//! The pull side for event loops: many streams, one waker. When it calls, [`Selector::select`] says which streams have
//! what to send; streams at the same position get the same bytes.
//!
//! A stream is asked for one delivery at a time ([`Selector::poll`]). While its host writes that, the cursor stays
//! where it is and what is published meanwhile becomes the next delivery, joined: slow clients cost a position.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::batch::{Batch, BatchCache};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Fields;
use crate::hub::Hub;
use crate::options::StreamOptions;
use crate::stats::Counters;
use crate::stream::{Delivery, End, EndReason, Ending, Stream, StreamInfo};
use crate::subscription::Subscription;
use crate::topic::cursor::{Cursor, Gap, Read};
use crate::topic::frame::Frame;
use crate::topic::table::{Effects, ListenerId, TopicId, Wake};
use crate::wire::encode::encode_checked;

/// The most that one delivery joins, in bytes, unless a single frame is larger.
const MAX_BATCH: usize = 64 * 1024;
/// A comment: the smallest thing that proves a connection alive. Without a blank line, since some decoders take every
/// blank line for an event.
const HEARTBEAT: &[u8] = b":\n";
/// The pause between two looks at all streams: the deadlines of thousands, each at a time of its own, would make one
/// look follow the other.
const SWEEP_PAUSE: u64 = 20;
/// Farewells differ in their `retry:` only; so many differ.
const FAREWELLS: u64 = 32;

/// One stream of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    index: u32,
    // A place is used again; a token never means two streams.
    life: u32,
}

impl Token {
    /// The token as one number, for hosts that keep it so.
    pub fn to_bits(self) -> u64 {
        u64::from(self.life) << 32 | u64::from(self.index)
    }

    /// The reverse of [`Token::to_bits`].
    pub fn from_bits(bits: u64) -> Self {
        Self {
            index: u32::try_from(bits & 0xffff_ffff).unwrap_or(u32::MAX),
            life: u32::try_from(bits >> 32).unwrap_or(u32::MAX),
        }
    }
}

/// Serves the streams of one event loop.
#[derive(Clone)]
pub struct Selector {
    inner: Arc<SelectorInner>,
}

pub(crate) struct SelectorInner {
    hub: Hub,
    listener: ListenerId,
    streams: Mutex<Streams>,
}

#[derive(Default)]
struct Streams {
    places: Vec<(u32, Option<Stream>)>,
    free: Vec<u32>,
    count: usize,
    // Who reads a topic here.
    readers: HashMap<TopicId, Vec<Token>>,
    // Streams that have something other than frames to take: a farewell.
    flagged: Vec<Token>,
    // Batches of this round, so that streams at the same position share them.
    batches: BatchCache,
    // When to look at all streams again, for heartbeats and deadlines; and not sooner than this.
    next_sweep: u64,
    no_sweep_before: u64,
    // The look that the host knows of: what is due sooner needs a wake-up call.
    told_sweep: u64,
    // Scratch space, kept between rounds.
    dirty: Vec<TopicId>,
    frames: Vec<Arc<Frame>>,
}

impl Selector {
    pub(crate) fn new(hub: Hub, wake: Wake) -> Self {
        let listener = hub.inner.table().add_listener(wake);
        let inner = Arc::new(SelectorInner {
            hub,
            listener,
            streams: Mutex::new(Streams {
                next_sweep: u64::MAX,
                told_sweep: u64::MAX,
                ..Streams::default()
            }),
        });
        inner
            .hub
            .inner
            .registry
            .add_selector(Arc::downgrade(&inner));
        Self { inner }
    }

    pub(crate) fn from_inner(inner: Arc<SelectorInner>) -> Self {
        Self { inner }
    }

    /// The hub that is served.
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// Starts a stream. What it has to send first is had by [`Selector::poll`].
    ///
    /// # Errors
    /// `LimitReached` over `limits.connections`, `Draining` and `Closed` where the hub takes no new streams.
    pub fn add(&self, subscription: &Subscription, options: &StreamOptions) -> Result<Token> {
        let hub = &self.inner.hub.inner;
        if let Err(error) = self.admit(options.connection) {
            Counters::add(&hub.counters.refused, 1);
            return Err(error);
        }
        let now = hub.now();
        let (token, sooner) = {
            let mut streams = self.lock();
            // Once more: a drain or close that came in between has looked at these streams already.
            if let Err(error) = hub.check_open(options.connection) {
                drop(streams);
                hub.unadmit(options.connection);
                Counters::add(&hub.counters.refused, 1);
                return Err(error);
            }
            let cursor = Cursor::attach(
                &mut hub.table(),
                subscription.terms(),
                self.inner.listener,
                now,
            );
            let stream = Stream::new(
                hub,
                cursor,
                subscription.terms().names.clone(),
                options,
                now,
            );
            streams.sweep_at(stream.next_due(now));
            (streams.insert(stream), streams.is_sooner())
        };
        if sooner {
            self.wake();
        }
        if options.connection {
            Counters::add(&hub.counters.opened, 1);
        }
        if let (Some(key), Some(limit)) = (&options.key, hub.options.limits.connections_per_key)
            && let Some((selector, oldest)) =
                hub.registry
                    .enter(key, limit, Arc::downgrade(&self.inner), token)
        {
            selector.end(oldest, EndReason::Kick, None);
        }
        Ok(token)
    }

    fn admit(&self, connection: bool) -> Result<()> {
        let hub = &self.inner.hub.inner;
        hub.check_open(connection)?;
        if !connection {
            hub.subscriptions
                .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
            return Ok(());
        }
        let limit = hub.options.limits.connections;
        let before = hub
            .connections
            .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        if before >= limit {
            hub.connections
                .fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
            return Err(Error::new(
                ErrorKind::LimitReached,
                format!("the hub has {limit} streams, its limits.connections"),
            ));
        }
        Ok(())
    }

    /// What a stream has to send now. `None`: nothing, and [`Selector::select`] will name it when there is.
    pub fn poll(&self, token: Token) -> Option<Delivery> {
        let now = self.inner.hub.inner.now();
        let mut fx = Effects::default();
        let (delivery, sooner) = {
            let mut streams = self.lock();
            let delivery = streams.poll(&self.inner.hub, token, now, &mut fx);
            (delivery, streams.is_sooner())
        };
        fx.run();
        if sooner {
            self.wake();
        }
        delivery
    }

    /// What all waiting streams have to send now, appended to `ready`. Returns after how long to call again without
    /// having been woken; `None` where there is nothing to wait for.
    pub fn select(&self, ready: &mut Vec<(Token, Delivery)>) -> Option<Duration> {
        let hub = &self.inner.hub;
        let now = hub.inner.now();
        let mut fx = Effects::default();
        let next = {
            let mut streams = self.lock();
            let streams = &mut *streams;
            streams.batches.clear();
            let mut dirty = std::mem::take(&mut streams.dirty);
            hub.inner
                .table()
                .take_dirty(self.inner.listener, &mut dirty);
            for topic in &dirty {
                // The list is lent: streams come and go by other calls only.
                let Some(readers) = streams.readers.remove(topic) else {
                    continue;
                };
                for token in &readers {
                    streams.poll_waiting(hub, *token, now, ready, &mut fx);
                }
                streams.readers.insert(*topic, readers);
            }
            streams.dirty = dirty;
            for token in std::mem::take(&mut streams.flagged) {
                streams.poll_waiting(hub, token, now, ready, &mut fx);
            }
            if now >= streams.next_sweep {
                streams.sweep(hub, now, ready, &mut fx);
            }
            streams.batches.clear();
            streams.told_sweep = streams.next_sweep;
            (streams.next_sweep != u64::MAX).then(|| streams.next_sweep.saturating_sub(now).max(1))
        };
        fx.run();
        next.map(Duration::from_millis)
    }

    /// Ends a stream for good and gives back everything it holds. `None` where that has happened before.
    pub fn remove(&self, token: Token, reason: EndReason) -> Option<StreamInfo> {
        let hub = &self.inner.hub.inner;
        let mut fx = Effects::default();
        let (info, key, connection) = {
            let mut streams = self.lock();
            let mut stream = streams.take(token)?;
            for topic in stream.cursor.sources() {
                streams.forget_reader(*topic, token);
            }
            let info = stream.info(hub, reason);
            stream.cursor.detach(&mut hub.table(), hub.now(), &mut fx);
            (info, stream.key, stream.connection)
        };
        fx.run();
        if let Some(key) = key {
            hub.registry.leave(&key, Arc::as_ptr(&self.inner), token);
        }
        hub.forget_stream(connection, info.reason);
        Some(info)
    }

    /// Whether a snapshot is due: at the begin of a stream that came without an id, and after a gap was delivered.
    pub fn needs_snapshot(&self, token: Token) -> bool {
        self.lock()
            .get_mut(token)
            .is_some_and(|stream| stream.needs_snapshot)
    }

    /// The id of a stream's position.
    pub fn position(&self, token: Token) -> Option<String> {
        let position = self.lock().get_mut(token)?.cursor.position();
        Some(self.inner.hub.inner.id(position).to_string())
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.lock().count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // What others do to its streams.

    pub(crate) fn disconnect(
        &self,
        key: Option<&str>,
        topic: Option<&str>,
        last: Option<&Arc<[u8]>>,
    ) -> usize {
        self.end_where(EndReason::Kick, last, |stream| {
            stream.connection
                && key.is_none_or(|key| stream.key.as_deref() == Some(key))
                && topic
                    .is_none_or(|topic| stream.names.iter().any(|name| name.text.as_ref() == topic))
        })
    }

    pub(crate) fn end(&self, token: Token, reason: EndReason, last: Option<&Arc<[u8]>>) {
        let mut streams = self.lock();
        if let Some(stream) = streams.get_mut(token) {
            stream.end(reason, last.cloned());
            streams.flagged.push(token);
        }
        drop(streams);
        self.wake();
    }

    pub(crate) fn close_all(&self) {
        self.end_where(EndReason::Drain, None, |_| true);
    }

    fn end_where(
        &self,
        reason: EndReason,
        last: Option<&Arc<[u8]>>,
        which: impl Fn(&Stream) -> bool,
    ) -> usize {
        let mut streams = self.lock();
        let streams_ref = &mut *streams;
        let mut count = 0;
        for (index, (life, stream)) in streams_ref.places.iter_mut().enumerate() {
            if let Some(stream) = stream
                && which(stream)
                && stream.end(reason, last.cloned())
            {
                count += 1;
                streams_ref.flagged.push(Token {
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    life: *life,
                });
            }
        }
        drop(streams);
        if count > 0 {
            self.wake();
        }
        count
    }

    /// Gives every connection a time, spread over the window, at which it ends.
    pub(crate) fn drain(&self, deadline: u64, now: u64, spread: u64, farewell: &[u8]) {
        let hub = &self.inner.hub;
        let lasts: Vec<Arc<[u8]>> = (0..FAREWELLS)
            .map(|_| {
                let mut last = farewell.to_vec();
                last.extend(encode_checked(&Fields {
                    retry: Some(hub.jittered_retry()),
                    ..Fields::default()
                }));
                last.into()
            })
            .collect();
        let mut streams = self.lock();
        let head = hub.inner.table().head();
        for (_, stream) in &mut streams.places {
            let Some(stream) = stream.as_mut().filter(|stream| stream.connection) else {
                continue;
            };
            if let Some(ending) = &mut stream.ending {
                ending.deadline = ending.deadline.min(deadline);
            } else {
                let which = usize::try_from(hub.inner.random(FAREWELLS)).unwrap_or(0);
                stream.ending = Some(Ending {
                    reason: EndReason::Drain,
                    at: now.saturating_add(hub.inner.random(spread.saturating_add(1))),
                    deadline,
                    through: head,
                    last: Some(lasts[which].clone()),
                });
            }
        }
        streams.no_sweep_before = now;
        streams.next_sweep = now;
        drop(streams);
        self.wake();
    }

    fn wake(&self) {
        let mut fx = Effects::default();
        self.inner
            .hub
            .inner
            .table()
            .wake(self.inner.listener, &mut fx);
        fx.run();
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.inner.lock()
    }
}

impl SelectorInner {
    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event loop is gone: so are its streams.
impl Drop for SelectorInner {
    fn drop(&mut self) {
        let hub = self.hub.inner.clone();
        let this: *const Self = self;
        let mut fx = Effects::default();
        let mut gone = Vec::new();
        let wake;
        {
            let mut streams = self.lock();
            let mut table = hub.table();
            for (index, (life, place)) in streams.places.iter_mut().enumerate() {
                if let Some(mut stream) = place.take() {
                    stream.cursor.detach(&mut table, hub.now(), &mut fx);
                    let token = Token {
                        index: u32::try_from(index).unwrap_or(u32::MAX),
                        life: *life,
                    };
                    gone.push((token, stream.key, stream.connection));
                }
            }
            wake = table.remove_listener(self.listener);
        }
        drop(wake);
        fx.run();
        for (token, key, connection) in gone {
            if let Some(key) = key {
                hub.registry.leave(&key, this, token);
            }
            hub.forget_stream(connection, EndReason::Error);
        }
    }
}

impl Streams {
    fn insert(&mut self, stream: Stream) -> Token {
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

    fn sweep_at(&mut self, due: u64) {
        self.next_sweep = self.next_sweep.min(due.max(self.no_sweep_before));
    }

    /// Whether the host has to be told that it should look sooner than it knows.
    fn is_sooner(&mut self) -> bool {
        let sooner = self.next_sweep < self.told_sweep;
        self.told_sweep = self.told_sweep.min(self.next_sweep);
        sooner
    }

    fn get_mut(&mut self, token: Token) -> Option<&mut Stream> {
        let (life, stream) = self.places.get_mut(token.index as usize)?;
        stream.as_mut().filter(|_| *life == token.life)
    }

    fn take(&mut self, token: Token) -> Option<Stream> {
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

    fn forget_reader(&mut self, topic: TopicId, token: Token) {
        if let Some(readers) = self.readers.get_mut(&topic) {
            if let Some(at) = readers.iter().position(|known| *known == token) {
                readers.swap_remove(at);
            }
            if readers.is_empty() {
                self.readers.remove(&topic);
            }
        }
    }

    fn poll_waiting(
        &mut self,
        hub: &Hub,
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

    fn poll(&mut self, hub: &Hub, token: Token, now: u64, fx: &mut Effects) -> Option<Delivery> {
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
        hub: &Hub,
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
        if let Some(ending) = &stream.ending
            && ending.at <= now
            && (ending.reason != EndReason::Drain || stream.cursor.position() >= ending.through)
        {
            return Some(Delivery::End(End {
                reason: ending.reason,
                last: ending.last.clone(),
                clean: true,
            }));
        }
        if let Some(batch) = self.batches.after(&stream.cursor) {
            stream.cursor.follow(batch.position);
            return Some(stream.count(hub, batch.batch));
        }
        let before = stream
            .cursor
            .only_source()
            .filter(|_| stream.cursor.is_caught_up())
            .map(|topic| (topic, stream.cursor.position()));
        self.frames.clear();
        let read = stream
            .cursor
            .read(&mut hub.inner.table(), now, MAX_BATCH, &mut self.frames, fx);
        match read {
            Read::Idle => match &stream.ending {
                // All that was published before the drain has been taken.
                Some(ending) if ending.at <= now => Some(Delivery::End(End {
                    reason: ending.reason,
                    last: ending.last.clone(),
                    clean: true,
                })),
                _ => None,
            },
            Read::Frames { conflated } => {
                Counters::add(&hub.inner.counters.conflated, conflated);
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
                Some(stream.count(hub, batch))
            }
            Read::Gap(gap) => {
                hub.inner.counters.gap(gap.reason);
                stream.needs_snapshot = true;
                Some(Delivery::Gap(gap_event(hub, &gap).into()))
            }
            Read::Slow => Some(Delivery::End(End {
                reason: EndReason::Slow,
                last: None,
                clean: true,
            })),
        }
    }

    /// Looks at every stream: heartbeats, ages, farewells that are due, clients that take nothing.
    fn sweep(&mut self, hub: &Hub, now: u64, ready: &mut Vec<(Token, Delivery)>, fx: &mut Effects) {
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
            } else if stream.is_stuck(&hub.inner.table(), now) {
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

impl Stream {
    /// Notes what is delivered.
    fn count(&mut self, hub: &Hub, batch: Arc<Batch>) -> Delivery {
        let (events, bytes) = (batch.events() as u64, batch.bytes().len() as u64);
        self.events += events;
        self.bytes += bytes;
        Counters::add(&hub.inner.counters.delivered, events);
        Counters::add(&hub.inner.counters.delivered_bytes, bytes);
        Delivery::Frames(batch)
    }
}

/// The event that tells a reader of a gap.
fn gap_event(hub: &Hub, gap: &Gap) -> Vec<u8> {
    let last_event_id = match &gap.last_event_id {
        Some(id) => id.to_string(),
        None => hub.inner.id(gap.from).to_string(),
    };
    let data = serde_json::json!({
        "last_event_id": last_event_id,
        "reason": gap.reason.as_str(),
    });
    encode_checked(&Fields {
        data: Some(&data.to_string()),
        event: Some("ssehub:gap"),
        id: Some(&hub.inner.id(gap.to).to_string()),
        ..Fields::default()
    })
}
