//! Settings, as JavaScript hands them over: `options.js` has checked types, names and ranges.

use napi_derive::napi;
use ssehub::{
    Framing, History, HubOptions, Limits, OnGap, Slow, Start, StreamOptions, SubscribeOptions,
};

use crate::event::whole;

fn size(number: f64) -> usize {
    usize::try_from(whole(number)).unwrap_or(usize::MAX)
}

#[napi(object, object_to_js = false)]
pub struct HistorySettings {
    pub count: Option<f64>,
    pub bytes: Option<f64>,
    /// Milliseconds; below 0: no limit.
    pub age: Option<f64>,
}

#[napi(object, object_to_js = false)]
pub struct TopicSettings {
    pub pattern: String,
    pub history: HistorySettings,
}

#[napi(object, object_to_js = false)]
pub struct LimitSettings {
    pub connections: Option<f64>,
    pub connections_per_key: Option<f64>,
    pub topics_per_subscription: Option<f64>,
    pub event_size: Option<f64>,
    pub history_bytes: Option<f64>,
}

#[napi(object, object_to_js = false)]
pub struct HubSettings {
    pub history: Option<HistorySettings>,
    pub topics: Vec<TopicSettings>,
    pub slow: Option<String>,
    pub max_lag: Option<f64>,
    pub retry: Option<f64>,
    /// Milliseconds; below 0: none.
    pub heartbeat: Option<f64>,
    pub limits: Option<LimitSettings>,
}

#[napi(object, object_to_js = false)]
pub struct SubscribeSettings {
    pub last_event_id: Option<String>,
    pub earliest: bool,
    pub on_gap_live: bool,
    pub slow: Option<String>,
    pub max_lag: Option<f64>,
}

/// All times are milliseconds.
#[napi(object, object_to_js = false)]
pub struct StreamSettings {
    /// The client's position, instead of the subscription's own.
    pub resume: Option<String>,
    /// A snapshot stands in for what a gap would replay.
    pub live_after_gap: bool,
    pub key: Option<String>,
    pub retry: Option<f64>,
    pub announce_position: bool,
    pub heartbeat: Option<f64>,
    pub max_age: Option<f64>,
    pub expires_in: Option<f64>,
    pub write_timeout: Option<f64>,
    pub connection: bool,
}

/// How the engine is to serve a stream.
#[napi(object, object_to_js = false)]
pub struct HandOffSettings {
    /// Whether the body is in HTTP/1.1's chunked coding. Otherwise it ends with the connection.
    pub chunked: bool,
    pub held: bool,
    pub snapshot: bool,
    pub tag: f64,
}

impl HandOffSettings {
    pub(crate) fn framing(&self) -> Framing {
        if self.chunked {
            Framing::Chunked
        } else {
            Framing::Plain
        }
    }
}

fn slow(word: &str) -> Slow {
    match word {
        "skip" => Slow::Skip,
        "conflate" => Slow::Conflate,
        _ => Slow::Disconnect,
    }
}

impl HistorySettings {
    fn to_core(&self, default: History) -> History {
        History {
            count: self.count.map_or(default.count, size),
            bytes: self.bytes.map_or(default.bytes, size),
            age: match self.age {
                Some(age) => (age >= 0.0).then(|| whole(age)),
                None => default.age,
            },
        }
    }
}

impl HubSettings {
    pub(crate) fn to_core(&self) -> HubOptions {
        let default = HubOptions::default();
        let history = self
            .history
            .as_ref()
            .map_or(default.history, |history| history.to_core(default.history));
        HubOptions {
            history,
            topics: self
                .topics
                .iter()
                .map(|topic| (topic.pattern.clone(), topic.history.to_core(history)))
                .collect(),
            slow: self.slow.as_deref().map_or(default.slow, slow),
            max_lag: self.max_lag.map_or(default.max_lag, size),
            retry: self.retry.map_or(default.retry, whole),
            heartbeat: match self.heartbeat {
                Some(heartbeat) => (heartbeat >= 0.0).then(|| whole(heartbeat)),
                None => default.heartbeat,
            },
            limits: self
                .limits
                .as_ref()
                .map_or(default.limits, |limits| limits.to_core(default.limits)),
            ..default
        }
    }
}

impl LimitSettings {
    fn to_core(&self, default: Limits) -> Limits {
        Limits {
            connections: self.connections.map_or(default.connections, size),
            connections_per_key: self
                .connections_per_key
                .map(size)
                .or(default.connections_per_key),
            topics_per_subscription: self
                .topics_per_subscription
                .map_or(default.topics_per_subscription, size),
            event_size: self.event_size.map_or(default.event_size, size),
            history_bytes: self.history_bytes.map_or(default.history_bytes, size),
            ..default
        }
    }
}

impl SubscribeSettings {
    pub(crate) fn to_core(&self) -> SubscribeOptions {
        SubscribeOptions {
            start: match (&self.last_event_id, self.earliest) {
                (_, true) => Start::Earliest,
                (Some(id), false) => Start::After(id.clone()),
                (None, false) => Start::Head,
            },
            on_gap: if self.on_gap_live {
                OnGap::Live
            } else {
                OnGap::Replay
            },
            slow: self.slow.as_deref().map(slow),
            max_lag: self.max_lag.map(size),
        }
    }
}

impl StreamSettings {
    pub(crate) fn to_core(&self) -> StreamOptions {
        StreamOptions {
            key: self.key.clone(),
            retry: self.retry.map(whole),
            announce_position: self.announce_position,
            heartbeat: self.heartbeat.map(whole),
            max_age: self.max_age.map(whole),
            expires_in: self.expires_in.map(whole),
            write_timeout: self.write_timeout.map(whole),
            connection: self.connection,
        }
    }
}
