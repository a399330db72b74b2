//! What can be set: on a hub, on a subscription, on a stream. Plain values; the checks are in [`HubOptions::check`].

use crate::error::{Error, Result};
use crate::event::MAX_RETRY;
use crate::topic::pattern;

const MIB: usize = 1 << 20;
/// More threads than any machine has a use for, and all that fit into a token.
const MAX_SHARDS: u32 = 128;

/// How much of a topic a new or returning reader may replay. Whichever limit is reached first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The number of events. 0: nothing is kept.
    pub count: usize,
    /// Bytes on the wire. 0: nothing is kept.
    pub bytes: usize,
    /// Milliseconds since the event was published. `None`: no limit.
    pub age: Option<u64>,
}

impl History {
    /// Nothing is kept: only readers that are there get an event.
    pub const NONE: Self = Self {
        count: 0,
        bytes: 0,
        age: None,
    };
}

impl Default for History {
    fn default() -> Self {
        Self {
            count: 1000,
            bytes: MIB,
            age: Some(300_000),
        }
    }
}

/// What happens to a reader whose lag is over its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Slow {
    /// The stream ends. The client comes back and resumes.
    #[default]
    Disconnect,
    /// The stream goes on with the oldest event that is still there, after a gap event if any are not.
    Skip,
    /// Events that a newer one of the same topic and key has replaced are left out. If that does not help, the stream
    /// ends.
    Conflate,
}

/// What follows a gap event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnGap {
    /// Everything that is still retained, then live.
    #[default]
    Replay,
    /// Live events only.
    Live,
}

/// Bounds on what a hub may be asked for. Over one of them the call or the stream is refused with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams at the same time, over all keys.
    pub connections: usize,
    /// Streams at the same time with the same key. `None`: no limit. Over it the key's oldest stream is closed.
    pub connections_per_key: Option<usize>,
    /// Topics and patterns of one subscription.
    pub topics_per_subscription: usize,
    /// Bytes of one event on the wire.
    pub event_size: usize,
    /// Bytes of all histories together; the oldest events go first.
    pub history_bytes: usize,
    /// Vanished topics that are remembered by name.
    pub tombstones: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_key: None,
            topics_per_subscription: 1000,
            event_size: 256 * 1024,
            history_bytes: 256 * MIB,
            tombstones: 65_536,
        }
    }
}

/// The settings of a hub.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// The history of topics that no entry of `topics` names.
    pub history: History,
    /// Histories by exact topic name or pattern; the first that matches a topic counts.
    pub topics: Vec<(String, History)>,
    /// The policy for slow readers, unless their subscription says otherwise.
    pub slow: Slow,
    /// The lag limit in bytes, unless the subscription says otherwise.
    pub max_lag: usize,
    /// The reconnection time told to clients, in milliseconds.
    pub retry: u64,
    /// Milliseconds after which an idle stream gets a comment. `None`: never.
    pub heartbeat: Option<u64>,
    /// Milliseconds after which a stream that owes bytes and takes none is cut.
    pub write_timeout: u64,
    /// Threads that write to sockets which hosts have handed over. They start with the first of them.
    pub shards: u32,
    /// Bounds.
    pub limits: Limits,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            history: History::default(),
            topics: Vec::new(),
            slow: Slow::default(),
            max_lag: MIB,
            retry: 3000,
            heartbeat: Some(15_000),
            write_timeout: 30_000,
            shards: 1,
            limits: Limits::default(),
        }
    }
}

impl HubOptions {
    /// Checks that the settings agree with each other.
    ///
    /// # Errors
    /// `OutOfRange` where a value cannot work, or where one event could exceed a history or the lag limit.
    pub fn check(&self) -> Result<()> {
        let Limits {
            connections,
            connections_per_key,
            topics_per_subscription,
            event_size,
            ..
        } = self.limits;
        for (name, value) in [
            ("connections", connections),
            ("connections_per_key", connections_per_key.unwrap_or(1)),
            ("topics_per_subscription", topics_per_subscription),
            ("event_size", event_size),
        ] {
            if value == 0 {
                return Err(Error::range(name, format!("{name} must be at least 1")));
            }
        }
        if self.retry > MAX_RETRY {
            return Err(Error::range(
                "retry",
                "retry is in milliseconds, from 0 to 9007199254740991",
            ));
        }
        if self.heartbeat == Some(0) {
            return Err(Error::range(
                "heartbeat",
                "heartbeat must be longer than 0; to switch it off give none",
            ));
        }
        if !(1..=MAX_SHARDS).contains(&self.shards) {
            return Err(Error::range(
                "shards",
                format!("shards is the number of writing threads, from 1 to {MAX_SHARDS}"),
            ));
        }
        check_max_lag(self.max_lag, event_size)?;
        check_history("history", &self.history, event_size)?;
        if self.limits.history_bytes < event_size {
            return Err(Error::range(
                "history_bytes",
                format!(
                    "limits.history_bytes must hold one event of limits.event_size ({event_size} bytes)"
                ),
            ));
        }
        for (topic, history) in &self.topics {
            pattern::check_pattern(topic)?;
            check_history("topics", history, event_size)?;
        }
        Ok(())
    }

    /// The history settings of a topic.
    pub(crate) fn history_of(&self, name: &str) -> History {
        self.topics
            .iter()
            .find(|(topic, _)| topic == name || pattern::matches(topic, name))
            .map_or(self.history, |(_, history)| *history)
    }
}

/// Checks that one event cannot exceed a lag limit.
pub(crate) fn check_max_lag(max_lag: usize, event_size: usize) -> Result<()> {
    if max_lag < event_size {
        return Err(Error::range(
            "max_lag",
            format!(
                "max_lag ({max_lag} bytes) is smaller than one event may be (limits.event_size, {event_size} bytes): \
                 raise the one or lower the other"
            ),
        ));
    }
    Ok(())
}

fn check_history(field: &'static str, history: &History, event_size: usize) -> Result<()> {
    let off = history.count == 0 || history.bytes == 0;
    if !off && history.bytes < event_size {
        return Err(Error::range(
            field,
            format!(
                "a history of {} bytes is smaller than one event may be (limits.event_size, {event_size} bytes): \
                 raise the one or lower the other, or switch the history off with a count of 0",
                history.bytes
            ),
        ));
    }
    Ok(())
}

/// Where a subscription starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// After the newest event at the time of the call to `subscribe`.
    #[default]
    Head,
    /// After the event with this id: a client's `Last-Event-ID`.
    After(String),
    /// At the oldest retained event.
    Earliest,
}

/// The settings of one subscription; what is `None` is the hub's.
#[derive(Clone, Debug, Default)]
pub struct SubscribeOptions {
    /// Where to start.
    pub start: Start,
    /// What follows a gap event.
    pub on_gap: OnGap,
    /// What happens over the lag limit.
    pub slow: Option<Slow>,
    /// The lag limit, in bytes.
    pub max_lag: Option<usize>,
}

/// The settings of one stream to a client.
#[derive(Clone, Debug, Default)]
pub struct StreamOptions {
    /// Whose stream it is: per-key limits count it, and `disconnect` finds it by this.
    pub key: Option<String>,
    /// Begin with `retry:`, in milliseconds.
    pub retry: Option<u64>,
    /// Begin with the start position, as a block that has only an id.
    pub announce_position: bool,
    /// Milliseconds of silence after which a comment is due.
    pub heartbeat: Option<u64>,
    /// Milliseconds after which the stream ends, give or take a tenth.
    pub max_age: Option<u64>,
    /// Milliseconds after which the stream ends: the time until the client's right to it expires.
    pub expires_in: Option<u64>,
    /// Milliseconds that the client may take nothing while something is owed.
    pub write_timeout: Option<u64>,
    /// Whether the stream is one of the hub's connections: counted, limited, drained.
    pub connection: bool,
}
