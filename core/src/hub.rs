//! The hub: topics by name, one sequence over all of them, and the streams that read them.
//!
//! One lock, the table's, covers taking a number, appending, and noting whom to wake. Checking, encoding, waking and
//! freeing happen outside it. Locks are taken in this order: registry, selector, table; none while host code runs.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Fields, MAX_RETRY};
use crate::id::{EventId, check_custom};
use crate::options::{HubOptions, Start, SubscribeOptions, check_max_lag};
use crate::registry::Registry;
use crate::selector::Selector;
use crate::stats::{Counters, Stats, TopicStats};
use crate::stream::EndReason;
use crate::subscription::Subscription;
use crate::topic::cursor::{GapReason, Terms};
use crate::topic::frame::Frame;
use crate::topic::pattern::{check_name, check_pattern};
use crate::topic::table::{Effects, Name, Table};

/// How often an idle hub drops what has expired.
const CLOCK_PERIOD: Duration = Duration::from_millis(500);
/// How many topics one such round looks at per turn of the lock.
const CLOCK_TOPICS: usize = 256;

/// A topic as a subscription names it: an exact name or a pattern, never guessed from the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Exactly this topic, whatever characters its name has.
    Name(String),
    /// Every topic whose name matches: tokens between dots, `*` for one token, `>` for one or more at the end.
    Pattern(String),
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Topic {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

/// The life of a hub.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Open,
    Draining,
    Closed,
}

/// One hub, shared by all its clones.
///
/// ```
/// use ssehub::{Event, Hub, Topic};
///
/// let hub = Hub::new(Default::default())?;
/// let mut reader = hub.subscribe(&[Topic::from("news")], Default::default())?.reader()?;
/// hub.publish(&["news"], &Event::new("hello"), None)?;
/// let event = reader.next_event(None)?.expect("it was published");
/// assert_eq!(event.fields().data, Some("hello"));
/// # Ok::<(), ssehub::Error>(())
/// ```
#[derive(Clone)]
pub struct Hub {
    pub(crate) inner: Arc<HubInner>,
}

pub(crate) struct HubInner {
    pub(crate) options: Arc<HubOptions>,
    // Topics, logs, numbers: under the sequencer's lock.
    table: Mutex<Table>,
    // The newest number, readable without the lock.
    head: AtomicU64,
    epoch: u64,
    // All times are milliseconds since this.
    started: Instant,
    // Selectors and keys: what has to be found from outside a loop.
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    pub(crate) connections: AtomicUsize,
    pub(crate) subscriptions: AtomicUsize,
    state: AtomicU8,
    // Whether a thread drops what expires while nobody calls.
    clock: AtomicBool,
    // Told when a stream closes, for those who wait for the last one.
    closing: (Mutex<()>, Condvar),
    // A cheap source of jitter.
    random: AtomicU64,
}

impl Hub {
    /// A hub in memory.
    ///
    /// # Errors
    /// Those of [`HubOptions::check`].
    pub fn new(options: HubOptions) -> Result<Self> {
        options.check()?;
        let options = Arc::new(options);
        let epoch = draw()?;
        Ok(Self {
            inner: Arc::new(HubInner {
                table: Mutex::new(Table::new(epoch, options.clone())),
                options,
                head: AtomicU64::new(0),
                epoch,
                started: Instant::now(),
                registry: Registry::default(),
                counters: Counters::default(),
                connections: AtomicUsize::new(0),
                subscriptions: AtomicUsize::new(0),
                state: AtomicU8::new(State::Open as u8),
                clock: AtomicBool::new(false),
                closing: (Mutex::new(()), Condvar::new()),
                random: AtomicU64::new(draw()?),
            }),
        })
    }

    /// The settings.
    pub fn options(&self) -> &HubOptions {
        &self.inner.options
    }

    /// Publishes one event to one or several topics. It has one id, and a reader of several of them gets it once.
    /// Never waits for a reader.
    ///
    /// `key` makes the event replaceable: a conflating reader that is too slow gets the newest of a topic and key.
    ///
    /// # Errors
    /// `InvalidArgument` for no or bad topics, an event without data, an id of a wrong form; `EventTooLarge` over
    /// `limits.event_size`; `Closed` after [`Hub::close`].
    pub fn publish(&self, topics: &[&str], event: &Event, key: Option<&str>) -> Result<EventId> {
        self.publish_fields(topics, &event.fields(), key)
    }

    /// The same for borrowed fields.
    ///
    /// # Errors
    /// Those of [`Hub::publish`] and of [`Fields::check`].
    pub fn publish_fields(
        &self,
        topics: &[&str],
        fields: &Fields<'_>,
        key: Option<&str>,
    ) -> Result<EventId> {
        if topics.is_empty() {
            return Err(Error::invalid(
                "topic",
                "name at least one topic to publish to",
            ));
        }
        for topic in topics {
            check_name(topic)?;
        }
        fields.check()?;
        if fields.data.is_none() {
            return Err(Error::invalid(
                "data",
                "an event without data is not dispatched by clients: give data, an empty string if there is none",
            ));
        }
        if let Some(id) = fields.id {
            check_custom(id)?;
        }
        let frame = Frame::new(fields, key);
        let limit = self.inner.options.limits.event_size;
        // With the longest id: an event that passes must fit into histories and lag limits, whatever its number.
        if frame.largest() > limit {
            return Err(Error::new(
                ErrorKind::EventTooLarge,
                format!(
                    "the event has {} bytes on the wire, the hub takes at most {limit}: raise limits.event_size, or \
                     publish a reference to the data",
                    frame.largest()
                ),
            ));
        }
        if self.inner.state() == State::Closed {
            return Err(closed());
        }
        let mut fx = Effects::default();
        let (id, size) = {
            let mut table = self.inner.table();
            let (id, size) = table.append(topics, frame, self.inner.now(), &mut fx);
            self.inner.head.store(id.seq, Ordering::Release);
            (id, size as u64)
        };
        fx.run();
        Counters::add(&self.inner.counters.published, 1);
        Counters::add(&self.inner.counters.published_bytes, size);
        if !self.inner.clock.load(Ordering::Relaxed) {
            self.start_clock();
        }
        Ok(id)
    }

    /// Subscribes to topics. The position is the newest event now; nothing is held until the subscription is read.
    ///
    /// # Errors
    /// `InvalidArgument` for no topics, bad names or patterns; `OutOfRange` for a lag limit below the event size;
    /// `LimitReached` for too many topics; `Closed` after [`Hub::close`].
    pub fn subscribe(&self, topics: &[Topic], options: SubscribeOptions) -> Result<Subscription> {
        let limits = &self.inner.options.limits;
        if topics.is_empty() {
            return Err(Error::invalid(
                "topic",
                "name at least one topic to subscribe to",
            ));
        }
        if topics.len() > limits.topics_per_subscription {
            return Err(Error::new(
                ErrorKind::LimitReached,
                format!(
                    "{} topics in one subscription, the hub takes at most {}: raise limits.topics_per_subscription, or \
                     use a pattern",
                    topics.len(),
                    limits.topics_per_subscription
                ),
            ));
        }
        let mut names: Vec<Name> = Vec::with_capacity(topics.len());
        for topic in topics {
            let (text, is_pattern) = match topic {
                Topic::Name(name) => (name, false),
                Topic::Pattern(pattern) => (pattern, true),
            };
            if is_pattern {
                check_pattern(text)?;
            } else {
                check_name(text)?;
            }
            let name = Name {
                text: text.as_str().into(),
                is_pattern,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let max_lag = options.max_lag.unwrap_or(self.inner.options.max_lag);
        check_max_lag(max_lag, limits.event_size)?;
        if self.inner.state() == State::Closed {
            return Err(closed());
        }
        Ok(Subscription::new(
            self.clone(),
            Terms {
                names: names.into(),
                start: match options.start {
                    // What browsers send when they have no id.
                    Start::After(id) if id.is_empty() => Start::Head,
                    start => start,
                },
                head: self.inner.head.load(Ordering::Acquire),
                on_gap: options.on_gap,
                slow: options.slow.unwrap_or(self.inner.options.slow),
                max_lag: max_lag as u64,
            },
        ))
    }

    /// A place to serve many subscriptions from, one per event loop. `wake` is called, from any thread and outside all
    /// locks, when the selector has something to do and has not been called since.
    pub fn selector(&self, wake: impl Fn() + Send + Sync + 'static) -> Selector {
        Selector::new(self.clone(), Arc::new(wake))
    }

    /// Ends streams at their next frame boundary: those with this key, those that read this topic, or those with both.
    /// `event` is their farewell. Returns how many.
    ///
    /// # Errors
    /// `InvalidArgument` where neither key nor topic is given.
    pub fn disconnect(
        &self,
        key: Option<&str>,
        topic: Option<&str>,
        event: Option<&Event>,
    ) -> Result<usize> {
        if key.is_none() && topic.is_none() {
            return Err(Error::invalid(
                "key",
                "say whose streams to end: key, topic, or both; drain ends them all",
            ));
        }
        let last: Option<Arc<[u8]>> = event.map(|event| event.encode().into());
        Ok(self
            .inner
            .registry
            .selectors()
            .iter()
            .map(|selector| selector.disconnect(key, topic, last.as_ref()))
            .sum())
    }

    /// Readers of a topic now, those of matching patterns included.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.inner.table().readers(topic)
    }

    /// The id of the newest event.
    pub fn last_event_id(&self) -> EventId {
        EventId {
            epoch: self.inner.epoch,
            seq: self.inner.head.load(Ordering::Acquire),
        }
    }

    /// Whether the hub takes new streams.
    pub fn is_ready(&self) -> bool {
        self.inner.state() == State::Open
    }

    /// Whether the hub has been closed.
    pub fn is_closed(&self) -> bool {
        self.inner.state() == State::Closed
    }

    /// What the hub holds and has counted.
    pub fn stats(&self) -> Stats {
        let sizes = self.inner.table().sizes();
        let counters = &self.inner.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connections: self.inner.connections.load(Ordering::Relaxed) as u64,
            subscriptions: self.inner.subscriptions.load(Ordering::Relaxed) as u64,
            topics: sizes.topics as u64,
            tombstones: sizes.tombstones as u64,
            history_frames: sizes.frames as u64,
            history_bytes: sizes.bytes as u64,
            published: get(&counters.published),
            published_bytes: get(&counters.published_bytes),
            delivered: get(&counters.delivered),
            delivered_bytes: get(&counters.delivered_bytes),
            conflated: get(&counters.conflated),
            gaps: [GapReason::Expired, GapReason::Unknown, GapReason::Lagged]
                .map(|reason| (reason.as_str(), counters.gaps_of(reason)))
                .to_vec(),
            opened: get(&counters.opened),
            refused: get(&counters.refused),
            closed: EndReason::ALL
                .map(|reason| (reason.as_str(), counters.closed_of(reason)))
                .to_vec(),
        }
    }

    /// The same in the text format that Prometheus scrapes (`OpenMetrics` 1.0).
    pub fn metrics(&self) -> String {
        crate::metrics::text(&self.stats())
    }

    /// Topics whose names begin with `prefix`, by name, at most `limit`.
    pub fn topics(&self, prefix: &str, limit: usize) -> Vec<TopicStats> {
        let table = self.inner.table();
        table
            .list(prefix, limit)
            .into_iter()
            .map(|row| TopicStats {
                name: row.name.as_ref().to_owned(),
                readers: row.readers as u64,
                frames: row.frames as u64,
                bytes: row.bytes as u64,
                last_event_id: table.id(row.head).to_string(),
            })
            .collect()
    }

    /// Begins to end all streams: refuses new ones, lets each take what was published before, tells it when to come
    /// back, and spreads the ends over `spread`, at most four fifths of `timeout`, less where there are few streams.
    /// What is left at `timeout` is cut. `event` is the farewell. Does not wait: see [`Hub::wait_drained`].
    pub fn drain(&self, timeout: Duration, spread: Duration, event: Option<&Event>) {
        let _ = self.inner.state.compare_exchange(
            State::Open as u8,
            State::Draining as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        let farewell = event.map(Event::encode).unwrap_or_default();
        let count = self.inner.connections.load(Ordering::Acquire) as u64;
        // A herd of clients that come back together is what the spread is against; a few do not make one.
        let spread = spread
            .min(timeout / 5 * 4)
            .min(Duration::from_millis(count.saturating_mul(5)));
        let now = self.inner.now();
        for selector in self.inner.registry.selectors() {
            let deadline = now.saturating_add(millis(timeout));
            selector.drain(deadline, now, millis(spread), &farewell);
        }
    }

    /// Waits until no stream is left, at most so long. Whether none is.
    pub fn wait_drained(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let (lock, condvar) = &self.inner.closing;
        let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.inner.connections.load(Ordering::Acquire) > 0 {
            // A time that no clock will see is no limit.
            let left = deadline.map_or(Duration::from_secs(3600), |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return false;
            }
            guard = condvar
                .wait_timeout(guard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Takes new streams again after a drain: the server was started anew in the same process.
    pub fn resume(&self) {
        let _ = self.inner.state.compare_exchange(
            State::Draining as u8,
            State::Open as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    /// Ends all streams and subscriptions at once and takes no further calls.
    pub fn close(&self) {
        self.inner
            .state
            .store(State::Closed as u8, Ordering::Release);
        for selector in self.inner.registry.selectors() {
            selector.close_all();
        }
    }

    /// The reconnection time, in milliseconds, for a client that is refused or sent away: spread, so that clients do
    /// not come back together.
    pub fn jittered_retry(&self) -> u64 {
        let retry = self.inner.options.retry;
        (retry + self.inner.random(retry.max(1000))).min(MAX_RETRY)
    }

    /// Starts the thread that drops what has expired while nobody calls. It ends by itself when nothing is retained.
    fn start_clock(&self) {
        if self.inner.clock.swap(true, Ordering::AcqRel) {
            return;
        }
        let hub = Arc::downgrade(&self.inner);
        let thread = std::thread::Builder::new().name("ssehub-clock".into());
        if thread.spawn(move || run_clock(&hub)).is_err() {
            // No thread to be had: each call still drops a few. Try again with a later one.
            self.inner.clock.store(false, Ordering::Release);
        }
    }
}

fn run_clock(hub: &Weak<HubInner>) {
    loop {
        std::thread::sleep(CLOCK_PERIOD);
        let Some(hub) = hub.upgrade() else { return };
        loop {
            let mut fx = Effects::default();
            let more = hub.table().expire(hub.now(), CLOCK_TOPICS, &mut fx);
            fx.run();
            if !more {
                break;
            }
        }
        if hub.table().sizes().frames == 0 {
            hub.clock.store(false, Ordering::Release);
            // Unless something was published while the clock seemed to run, and nobody has started another since.
            if hub.table().sizes().frames == 0 || hub.clock.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}

impl HubInner {
    /// The table, under its lock. A panic of another thread does not close the hub: no step leaves the table halfway
    /// by panicking.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the hub's start.
    pub(crate) fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }

    fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Open,
            1 => State::Draining,
            _ => State::Closed,
        }
    }

    /// Whether a new stream may open.
    pub(crate) fn check_open(&self, connection: bool) -> Result<()> {
        match self.state() {
            State::Closed => Err(closed()),
            State::Draining if connection => Err(Error::new(
                ErrorKind::Draining,
                "the hub is ending its streams and takes no new ones",
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn id(&self, seq: u64) -> EventId {
        EventId {
            epoch: self.epoch,
            seq,
        }
    }

    /// A stream that was counted does not open after all.
    pub(crate) fn unadmit(&self, connection: bool) {
        let count = if connection {
            &self.connections
        } else {
            &self.subscriptions
        };
        count.fetch_sub(1, Ordering::AcqRel);
        self.tell_closing();
    }

    /// A stream is gone: counts it, and tells those who wait for the last one.
    pub(crate) fn forget_stream(&self, connection: bool, reason: EndReason) {
        if !connection {
            self.subscriptions.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        self.counters.closed(reason);
        self.connections.fetch_sub(1, Ordering::AcqRel);
        self.tell_closing();
    }

    fn tell_closing(&self) {
        let _guard = self
            .closing
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.closing.1.notify_all();
    }

    /// A number from 0 to `below`, exclusive: jitter, not secrets (`SplitMix64`).
    pub(crate) fn random(&self, below: u64) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut z = self
            .random
            .fetch_add(step, Ordering::Relaxed)
            .wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

fn draw() -> Result<u64> {
    getrandom::u64().map_err(|error| {
        Error::new(
            ErrorKind::Closed,
            format!(
                "the operating system gives no random numbers, and a hub needs an epoch: {error}"
            ),
        )
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the hub is closed")
}
