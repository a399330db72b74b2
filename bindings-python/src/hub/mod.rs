//! `Hub`: what of it must be fast or must be one with the core. The public class in `hub.py` adds the rest.

mod publish;

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyList, PyString};
use ssehub::{Event, Hub, HubOptions, OnGap, Start, SubscribeOptions, Topic};

use crate::data;
use crate::error::{OrRaise, argument};
use crate::event::PyEvent;
use crate::options::{PlainHistory, seconds, to_history, to_limits, to_slow};
use crate::process::Owned;
use crate::subscription::PySubscription;

/// The native part of a hub.
#[pyclass(name = "Hub", module = "ssehub._ssehub", frozen, subclass)]
pub(crate) struct PyHub {
    options: HubOptions,
    dumps: Option<Py<PyAny>>,
    // The hub of this process. A forked child finds its parent's here, whose threads and loops it does not have: it
    // makes its own, and forgets the parent's without running its destructors.
    current: Mutex<Option<Owned<Hub>>>,
}

impl PyHub {
    pub(crate) fn hub(&self, py: Python<'_>) -> PyResult<Hub> {
        let mut current = self
            .current
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = current.as_ref().and_then(Owned::get) {
            return Ok(hub.clone());
        }
        let hub = Hub::new(self.options.clone()).or_raise(py)?;
        *current = Some(Owned::new(hub.clone()));
        Ok(hub)
    }
}

#[pymethods]
impl PyHub {
    /// All arguments by keyword, as plain values; times in milliseconds.
    #[new]
    #[pyo3(signature = (*, history, topics, slow, max_lag, retry, heartbeat, write_timeout, limits, dumps))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments of one caller, hub.py"
    )]
    fn new(
        py: Python<'_>,
        history: PlainHistory,
        topics: Vec<(String, PlainHistory)>,
        slow: &str,
        max_lag: usize,
        retry: u64,
        heartbeat: Option<u64>,
        write_timeout: u64,
        limits: &Bound<'_, PyDict>,
        dumps: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let options = HubOptions {
            history: to_history(history),
            topics: topics
                .into_iter()
                .map(|(name, history)| (name, to_history(history)))
                .collect(),
            slow: to_slow(py, slow)?,
            max_lag,
            retry,
            heartbeat,
            write_timeout,
            limits: to_limits(limits)?,
            ..HubOptions::default()
        };
        options.check().or_raise(py)?;
        Ok(Self {
            options,
            dumps,
            current: Mutex::new(None),
        })
    }

    /// Publishes one event and returns its id. See `ssehub.Hub.publish`.
    #[pyo3(signature = (topic, data, *, event=None, id=None, retry=None, key=None))]
    #[expect(clippy::too_many_arguments, reason = "the fields of an event")]
    fn _publish(
        &self,
        py: Python<'_>,
        topic: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        event: Option<&Bound<'_, PyAny>>,
        id: Option<&Bound<'_, PyAny>>,
        retry: Option<&Bound<'_, PyAny>>,
        key: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        self.publish_any(py, topic, data, event, id, retry, key)
            .map(|id| id.to_string())
    }

    /// Publishes one event to one topic or to several. Callable from any thread, task, sync or async code; never waits
    /// for a client or a network.
    ///
    /// `data` follows the data rule: `str` is text, `bytes` is UTF-8 text, an Event gives all fields, everything else
    /// becomes JSON, None the JSON `null`. `event` is the type that browsers listen for. `id` replaces the hub's own
    /// id (1 to 128 bytes of printable ASCII). `retry` is the reconnection time in milliseconds. `key` makes the event
    /// replaceable: a slow reader with the policy "conflate" gets only the newest of a topic and key.
    ///
    /// Raises ValueError for bad arguments, EventTooLargeError over limits.event_size, ClosedError on a closed hub.
    #[pyo3(signature = (topic, data, *, event=None, id=None, retry=None, key=None))]
    #[expect(clippy::too_many_arguments, reason = "the fields of an event")]
    fn publish(
        &self,
        py: Python<'_>,
        topic: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        event: Option<&Bound<'_, PyAny>>,
        id: Option<&Bound<'_, PyAny>>,
        retry: Option<&Bound<'_, PyAny>>,
        key: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.publish_any(py, topic, data, event, id, retry, key)
            .map(|_| ())
    }

    /// (names and patterns, where a pattern is marked True), how to start, and the policies.
    #[pyo3(signature = (topics, *, last_event_id, on_gap, slow, max_lag))]
    fn _subscribe(
        &self,
        py: Python<'_>,
        topics: Vec<(String, bool)>,
        last_event_id: Option<String>,
        on_gap: &str,
        slow: Option<&str>,
        max_lag: Option<usize>,
    ) -> PyResult<PySubscription> {
        let topics: Vec<Topic> = topics
            .into_iter()
            .map(|(name, is_pattern)| {
                if is_pattern {
                    Topic::Pattern(name)
                } else {
                    Topic::Name(name)
                }
            })
            .collect();
        let options = SubscribeOptions {
            start: match last_event_id {
                None => Start::Head,
                Some(id) if id == "earliest" => Start::Earliest,
                Some(id) => Start::After(id),
            },
            on_gap: match on_gap {
                "replay" => OnGap::Replay,
                "live" => OnGap::Live,
                other => {
                    return Err(argument(
                        py,
                        format!("on_gap is \"replay\" or \"live\", not {other:?}"),
                    ));
                }
            },
            slow: slow.map(|slow| to_slow(py, slow)).transpose()?,
            max_lag,
        };
        let subscription = self.hub(py)?.subscribe(&topics, options).or_raise(py)?;
        Ok(PySubscription {
            inner: subscription,
        })
    }

    #[pyo3(signature = (*, key, topic, event))]
    fn _disconnect(
        &self,
        py: Python<'_>,
        key: Option<&str>,
        topic: Option<&str>,
        event: Option<&Bound<'_, PyEvent>>,
    ) -> PyResult<usize> {
        let event = owned_event(py, event)?;
        self.hub(py)?
            .disconnect(key, topic, event.as_ref())
            .or_raise(py)
    }

    /// How many readers a topic has now, those of matching patterns included.
    fn subscribers(&self, py: Python<'_>, topic: &str) -> PyResult<usize> {
        Ok(self.hub(py)?.subscribers(topic))
    }

    /// The id of the newest event.
    #[getter]
    fn last_event_id(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.hub(py)?.last_event_id().to_string())
    }

    /// Whether the hub takes new streams: False from the begin of a drain on. For readiness probes.
    #[getter]
    fn ready(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.hub(py)?.is_ready())
    }

    #[getter]
    fn _connections(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.hub(py)?.stats().connections)
    }

    #[getter]
    fn _retry(&self) -> u64 {
        self.options.retry
    }

    /// Counts a stream whose socket could not be taken.
    fn _refuse_handoff(&self, py: Python<'_>, reason: &str) -> PyResult<()> {
        self.hub(py)?.refuse_handoff(reason);
        Ok(())
    }

    fn _jittered_retry(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.hub(py)?.jittered_retry())
    }

    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.hub(py)?.stats();
        let dict = PyDict::new(py);
        for (name, value) in [
            ("connections", stats.connections),
            ("detached", stats.detached),
            ("held", stats.held),
            ("subscriptions", stats.subscriptions),
            ("topics", stats.topics),
            ("tombstones", stats.tombstones),
            ("history_frames", stats.history_frames),
            ("history_bytes", stats.history_bytes),
            ("published", stats.published),
            ("published_bytes", stats.published_bytes),
            ("delivered", stats.delivered),
            ("delivered_bytes", stats.delivered_bytes),
            ("conflated", stats.conflated),
            ("opened", stats.opened),
            ("refused", stats.refused),
        ] {
            dict.set_item(name, value)?;
        }
        for (name, counts) in [("gaps", stats.gaps), ("closed", stats.closed)] {
            let inner = PyDict::new(py);
            for (reason, count) in counts {
                inner.set_item(reason, count)?;
            }
            dict.set_item(name, inner)?;
        }
        let refused = PyDict::new(py);
        for (reason, count) in stats.handoffs_refused {
            refused.set_item(reason, count)?;
        }
        dict.set_item("handoffs_refused", refused)?;
        Ok(dict)
    }

    /// The counters in the text format that Prometheus scrapes, served with the content type
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`. No metric has a topic as its label.
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.hub(py)?.metrics())
    }

    fn _topics<'py>(
        &self,
        py: Python<'py>,
        prefix: &str,
        limit: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let rows = self.hub(py)?.topics(prefix, limit);
        PyList::new(
            py,
            rows.into_iter().map(|row| {
                (
                    row.name,
                    row.readers,
                    row.frames,
                    row.bytes,
                    row.last_event_id,
                )
            }),
        )
    }

    #[pyo3(signature = (timeout, spread, event))]
    fn _drain(
        &self,
        py: Python<'_>,
        timeout: f64,
        spread: f64,
        event: Option<&Bound<'_, PyEvent>>,
    ) -> PyResult<()> {
        let event = owned_event(py, event)?;
        let (timeout, spread) = (
            seconds(py, "timeout", timeout)?,
            seconds(py, "spread", spread)?,
        );
        let hub = self.hub(py)?;
        py.detach(|| hub.drain(timeout, spread, event.as_ref()));
        Ok(())
    }

    fn _resume(&self, py: Python<'_>) -> PyResult<()> {
        self.hub(py)?.resume();
        Ok(())
    }

    fn _close(&self, py: Python<'_>) -> PyResult<()> {
        let hub = self.hub(py)?;
        py.detach(|| hub.close());
        Ok(())
    }

    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.hub(py)?.is_closed())
    }

    /// Forgets everything, as a new process would.
    fn _reset(&self, py: Python<'_>) {
        let hub = self
            .current
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(hub) = hub.as_ref().and_then(Owned::get) {
            hub.close();
        }
    }

    /// The text of any data by this hub's rule.
    fn _text<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        data::text(value, self.dumps.as_ref())
    }
}

fn owned_event(py: Python<'_>, event: Option<&Bound<'_, PyEvent>>) -> PyResult<Option<Event>> {
    event
        .map(|event| {
            event
                .get()
                .with_fields(py, |fields| Event::from_fields(fields).or_raise(py))
        })
        .transpose()
}
