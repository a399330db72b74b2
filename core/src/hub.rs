//! The hub: topics by name, one sequence over all of them, and the streams that read them.
//!
//! One lock, the table's, covers taking a number, appending, and noting whom to wake. Checking, encoding, waking and
//! freeing happen outside it. Locks are taken in this order: selector, registry, directory, table, mailbox. None is
//! held while host code runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::delivery::{EndReason, Mode};
use crate::engine::Reports;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Fields};
use crate::id::{EventId, check_custom};
use crate::options::{HubOptions, Start, SubscribeOptions, check_max_lag};
use crate::registry::Plan;
use crate::selector::Selector;
use crate::shared::{Shared, State, closed, millis};
use crate::stats::{Counters, Stats, TopicStats};
use crate::subscription::Subscription;
use crate::topic::cursor::{GapReason, Terms};
use crate::topic::frame::Frame;
use crate::topic::pattern::{check_name, check_pattern};
use crate::topic::table::{Effects, Name};
use crate::wire::encode::encode_checked;

/// Farewells of a drain differ in their `retry:` only; so many differ.
const FAREWELLS: usize = 32;

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
    // What its streams hold on to as well.
    shared: Arc<Shared>,
}

impl Hub {
    /// A hub in memory.
    ///
    /// # Errors
    /// Those of [`HubOptions::check`].
    pub fn new(options: HubOptions) -> Result<Self> {
        options.check()?;
        Ok(Self {
            shared: Arc::new(Shared::new(options)?),
        })
    }

    /// The settings.
    pub fn options(&self) -> &HubOptions {
        &self.shared.options
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
        let limit = self.shared.options.limits.event_size;
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
        if self.shared.state() == State::Closed {
            return Err(closed());
        }
        let mut fx = Effects::default();
        let id = {
            let mut table = self.shared.table();
            let (id, size) = table.append(topics, frame, self.shared.now(), &mut fx);
            self.shared.head.store(id.seq, Ordering::Release);
            // Here: whoever gets the event finds it counted.
            Counters::add(&self.shared.counters.published, 1);
            Counters::add(&self.shared.counters.published_bytes, size as u64);
            id
        };
        fx.run();
        if !self.shared.clock.load(Ordering::Relaxed) {
            clock::start(&self.shared);
        }
        Ok(id)
    }

    /// Subscribes to topics. The position is the newest event now; nothing is held until the subscription is read.
    ///
    /// # Errors
    /// `InvalidArgument` for no topics, bad names or patterns; `OutOfRange` for a lag limit below the event size;
    /// `LimitReached` for too many topics; `Closed` after [`Hub::close`].
    pub fn subscribe(&self, topics: &[Topic], options: SubscribeOptions) -> Result<Subscription> {
        let limits = &self.shared.options.limits;
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
        let max_lag = options.max_lag.unwrap_or(self.shared.options.max_lag);
        check_max_lag(max_lag, limits.event_size)?;
        if self.shared.state() == State::Closed {
            return Err(closed());
        }
        Ok(Subscription::new(
            self.shared.clone(),
            Terms {
                names: names.into(),
                start: match options.start {
                    // What browsers send when they have no id.
                    Start::After(id) if id.is_empty() => Start::Head,
                    start => start,
                },
                head: self.shared.head.load(Ordering::Acquire),
                on_gap: options.on_gap,
                slow: options.slow.unwrap_or(self.shared.options.slow),
                max_lag: max_lag as u64,
            },
        ))
    }

    /// A place to serve many subscriptions from, one per event loop. `wake` is called, from any thread and outside all
    /// locks, when the selector has something to do and has not been called since.
    pub fn selector(&self, wake: impl Fn() + Send + Sync + 'static) -> Selector {
        Selector::new(self.shared.clone(), Arc::new(wake))
    }

    /// Where a host learns of the ends of streams that it has handed to the engine. `wake` is called when there is
    /// something to [`Reports::take`] that has not been told of since; from a thread of the engine's, but not from one
    /// that writes.
    pub fn reports(&self, wake: impl Fn() + Send + Sync + 'static) -> Reports {
        Reports::new(&self.shared, Arc::new(wake))
    }

    /// Counts a stream whose socket a host could not hand to the engine, by a word for the reason.
    pub fn refuse_handoff(&self, reason: &str) {
        self.shared.counters.refuse_handoff(reason);
    }

    /// Ends streams at their next frame boundary: those with this key, those that read this topic, or those with both.
    /// `event` is their farewell. What was published before still goes to those that are up to date; nothing that is
    /// published later goes to any of them. Returns how many.
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
        let through = self.shared.head.load(Ordering::Acquire);
        Ok(self
            .shared
            .owners()
            .map(|owner| owner.disconnect(key, topic, last.as_ref(), through))
            .sum())
    }

    /// Readers of a topic now, those of matching patterns included.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.shared.table().readers(topic)
    }

    /// The id of the newest event.
    pub fn last_event_id(&self) -> EventId {
        EventId {
            epoch: self.shared.epoch,
            seq: self.shared.head.load(Ordering::Acquire),
        }
    }

    /// Whether the hub takes new streams.
    pub fn is_ready(&self) -> bool {
        self.shared.state() == State::Open
    }

    /// Whether the hub has been closed.
    pub fn is_closed(&self) -> bool {
        self.shared.state() == State::Closed
    }

    /// What the hub holds and has counted.
    pub fn stats(&self) -> Stats {
        let sizes = self.shared.table().sizes();
        let counters = &self.shared.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let in_mode = |mode| {
            let count = self.shared.in_mode(mode);
            count.map_or(0, |count| count.load(Ordering::Relaxed) as u64)
        };
        Stats {
            connections: self.shared.connections.load(Ordering::Relaxed) as u64,
            detached: in_mode(Mode::Detached),
            held: in_mode(Mode::Held),
            handoffs_refused: counters.handoffs_refused(),
            subscriptions: self.shared.subscriptions.load(Ordering::Relaxed) as u64,
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
        let table = self.shared.table();
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
        let _ = self.shared.state.compare_exchange(
            State::Open as u8,
            State::Draining as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        let farewell = event.map(Event::encode).unwrap_or_default();
        let count = self.shared.connections.load(Ordering::Acquire) as u64;
        // A herd of clients that come back together is what the spread is against; a few do not make one.
        let spread = spread
            .min(timeout / 5 * 4)
            .min(Duration::from_millis(count.saturating_mul(5)));
        let now = self.shared.now();
        let farewells = (0..FAREWELLS)
            .map(|_| {
                let mut last = farewell.clone();
                last.extend(encode_checked(&Fields {
                    retry: Some(self.shared.jittered_retry()),
                    ..Fields::default()
                }));
                last.into()
            })
            .collect();
        let plan = Arc::new(Plan {
            now,
            spread: millis(spread),
            deadline: now.saturating_add(millis(timeout)),
            through: self.shared.table().head(),
            farewells,
        });
        self.shared.set_plan(Some(plan.clone()));
        for owner in self.shared.owners() {
            owner.drain(&plan);
        }
    }

    /// Waits until no stream is left, at most so long. Whether none is.
    pub fn wait_drained(&self, timeout: Duration) -> bool {
        self.shared.wait_closed(timeout)
    }

    /// Takes new streams again after a drain: the server was started anew in the same process.
    pub fn resume(&self) {
        self.shared.set_plan(None);
        let _ = self.shared.state.compare_exchange(
            State::Draining as u8,
            State::Open as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    /// Ends all streams and subscriptions at once and takes no further calls.
    pub fn close(&self) {
        self.shared
            .state
            .store(State::Closed as u8, Ordering::Release);
        for owner in self.shared.owners() {
            owner.close_all();
        }
    }

    /// The reconnection time, in milliseconds, for a client that is refused or sent away: spread, so that clients do
    /// not come back together.
    pub fn jittered_retry(&self) -> u64 {
        self.shared.jittered_retry()
    }
}

impl Subscription {
    /// The hub it reads.
    pub fn hub(&self) -> Hub {
        Hub {
            shared: self.shared().clone(),
        }
    }
}
