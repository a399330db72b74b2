//! Hubs. Those with a name are one per process, whatever the thread that asks.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use napi::Result;
use napi::bindgen_prelude::{Either, Utf16String};
use napi_derive::napi;
use ssehub::{Event, Topic};

use crate::error::to_js;
use crate::event::{fields, whole};
use crate::options::{HubSettings, SubscribeSettings};
use crate::stats::{Stats, TopicStats};
use crate::subscription::Subscription;
use crate::text::from_utf16;

// An addon's statics are one per process: worker threads meet here.
static NAMED: Mutex<Option<HashMap<String, ssehub::Hub>>> = Mutex::new(None);

fn named() -> MutexGuard<'static, Option<HashMap<String, ssehub::Hub>>> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[napi]
pub struct Hub {
    pub(crate) inner: ssehub::Hub,
}

#[napi]
impl Hub {
    /// A hub of its own; with a name, the process-wide one. The first call of a name decides on the settings.
    #[napi(constructor, catch_unwind)]
    pub fn new(settings: HubSettings, name: Option<String>) -> Result<Self> {
        let Some(name) = name else {
            let inner = ssehub::Hub::new(settings.to_core()).map_err(to_js)?;
            return Ok(Self { inner });
        };
        let mut named = named();
        let hubs = named.get_or_insert_default();
        if let Some(hub) = hubs.get(&name).filter(|hub| !hub.is_closed()) {
            return Ok(Self { inner: hub.clone() });
        }
        let inner = ssehub::Hub::new(settings.to_core()).map_err(to_js)?;
        hubs.insert(name, inner.clone());
        Ok(Self { inner })
    }

    /// Publishes one event. Returns its number; its id is the epoch, `-`, and the number.
    #[napi(catch_unwind)]
    #[allow(
        clippy::too_many_arguments,
        clippy::cast_precision_loss,
        reason = "reading an object's properties costs more than arguments"
    )]
    pub fn publish(
        &self,
        topics: Either<String, Vec<String>>,
        key: Option<String>,
        data: Option<Utf16String>,
        event: Option<String>,
        id: Option<String>,
        retry: Option<f64>,
        comment: Option<String>,
    ) -> Result<f64> {
        let data = from_utf16(data);
        let fields = fields(
            data.as_deref(),
            event.as_deref(),
            id.as_deref(),
            retry,
            comment.as_deref(),
        );
        let id = match &topics {
            Either::A(topic) => {
                self.inner
                    .publish_fields(&[topic.as_str()], &fields, key.as_deref())
            }
            Either::B(topics) => {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                self.inner.publish_fields(&topics, &fields, key.as_deref())
            }
        };
        id.map(|id| id.seq as f64).map_err(to_js)
    }

    /// A subscription to these names and patterns.
    #[napi(catch_unwind)]
    pub fn subscribe(
        &self,
        names: Vec<String>,
        is_pattern: Vec<bool>,
        settings: SubscribeSettings,
    ) -> Result<Subscription> {
        let topics: Vec<Topic> = names
            .into_iter()
            .zip(is_pattern)
            .map(|(name, is_pattern)| {
                if is_pattern {
                    Topic::Pattern(name)
                } else {
                    Topic::Name(name)
                }
            })
            .collect();
        let inner = self
            .inner
            .subscribe(&topics, settings.to_core())
            .map_err(to_js)?;
        Ok(Subscription { inner })
    }

    /// Ends the streams of a key, of a topic, or of both. Returns how many.
    #[napi(catch_unwind)]
    pub fn disconnect(
        &self,
        key: Option<String>,
        topic: Option<String>,
        farewell: Option<Farewell>,
    ) -> Result<u32> {
        let farewell = farewell.map(|farewell| farewell.to_event()).transpose()?;
        let count = self
            .inner
            .disconnect(key.as_deref(), topic.as_deref(), farewell.as_ref())
            .map_err(to_js)?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Begins to end all streams; does not wait.
    #[napi(catch_unwind)]
    pub fn drain(&self, timeout: f64, spread: f64, farewell: Option<Farewell>) -> Result<()> {
        let farewell = farewell.map(|farewell| farewell.to_event()).transpose()?;
        self.inner.drain(
            Duration::from_millis(whole(timeout)),
            Duration::from_millis(whole(spread)),
            farewell.as_ref(),
        );
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.inner.close();
        if let Some(hubs) = &mut *named() {
            hubs.retain(|_, hub| !hub.is_closed());
        }
    }

    /// Counts a stream whose socket could not go to the engine.
    #[napi(catch_unwind)]
    pub fn refuse_handoff(&self, reason: String) {
        self.inner.refuse_handoff(&reason);
    }

    #[napi(catch_unwind)]
    pub fn subscribers(&self, topic: String) -> u32 {
        u32::try_from(self.inner.subscribers(&topic)).unwrap_or(u32::MAX)
    }

    #[napi(catch_unwind)]
    pub fn stats(&self) -> Stats {
        self.inner.stats().into()
    }

    /// The counters in the text format that Prometheus scrapes.
    #[napi(catch_unwind)]
    pub fn metrics(&self) -> String {
        self.inner.metrics()
    }

    #[napi(catch_unwind)]
    pub fn topics(&self, prefix: String, limit: f64) -> Vec<TopicStats> {
        let limit = usize::try_from(whole(limit)).unwrap_or(usize::MAX);
        let topics = self.inner.topics(&prefix, limit);
        topics.into_iter().map(Into::into).collect()
    }

    #[napi(catch_unwind)]
    pub fn is_ready(&self) -> bool {
        self.inner.is_ready()
    }

    #[napi(catch_unwind)]
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    #[napi(catch_unwind)]
    pub fn last_event_id(&self) -> String {
        self.inner.last_event_id().to_string()
    }

    #[napi(catch_unwind)]
    #[allow(clippy::cast_precision_loss, reason = "at most 2^53 - 1, twice")]
    pub fn jittered_retry(&self) -> f64 {
        self.inner.jittered_retry() as f64
    }

    /// What streams need to know of the settings, in milliseconds.
    #[napi(catch_unwind)]
    #[allow(
        clippy::cast_precision_loss,
        reason = "times that somebody has written"
    )]
    pub fn times(&self) -> Times {
        let options = self.inner.options();
        Times {
            retry: options.retry as f64,
            heartbeat: options.heartbeat.map(|heartbeat| heartbeat as f64),
            write_timeout: options.write_timeout as f64,
        }
    }
}

#[napi(object, object_from_js = false)]
pub struct Times {
    pub retry: f64,
    pub heartbeat: Option<f64>,
    pub write_timeout: f64,
}

/// The fields of an event that ends a stream.
#[napi(object, object_to_js = false)]
pub struct Farewell {
    pub data: Option<String>,
    pub event: Option<String>,
    pub id: Option<String>,
    pub retry: Option<f64>,
    pub comment: Option<String>,
}

impl Farewell {
    fn to_event(&self) -> Result<Event> {
        let fields = fields(
            self.data.as_deref(),
            self.event.as_deref(),
            self.id.as_deref(),
            self.retry,
            self.comment.as_deref(),
        );
        Event::from_fields(&fields).map_err(to_js)
    }
}
