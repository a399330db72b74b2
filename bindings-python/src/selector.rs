//! `Selector`: the streams of one event loop or thread.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyList};
use ssehub::{Batch, Delivery, EndReason, Selector, StreamInfo, StreamOptions, Token};

use crate::engine::{PyReports, PySlot, to_hand_off};
use crate::error::{OrRaise, argument, closed};
use crate::hub::PyHub;
use crate::process::Owned;
use crate::subscription::PySubscription;

/// How many batches are kept as Python bytes: as many as one round has positions.
const SHARED: usize = 8;

/// The event that tells of a gap, as its wire bytes.
#[pyclass(name = "Gap", module = "ssehub._ssehub", frozen)]
pub(crate) struct PyGap {
    #[pyo3(get)]
    frame: Py<PyBytes>,
}

/// The end of a stream: why, what to send last, and whether there is a use in sending anything.
#[pyclass(name = "End", module = "ssehub._ssehub", frozen)]
pub(crate) struct PyEnd {
    #[pyo3(get)]
    reason: &'static str,
    #[pyo3(get)]
    last: Option<Py<PyBytes>>,
    #[pyo3(get)]
    clean: bool,
}

/// Serves many streams with one waker. `wake` is called from any thread, once for each time that `select` is due.
#[pyclass(name = "Selector", module = "ssehub._ssehub", frozen)]
pub(crate) struct PySelector {
    inner: Owned<Selector>,
    // The latest batches as Python bytes: all clients of a loop share one object.
    shared: Mutex<Vec<(u64, Py<PyBytes>)>>,
}

impl PySelector {
    fn inner(&self, py: Python<'_>) -> PyResult<&Selector> {
        self.inner.get().ok_or_else(|| {
            closed(
                py,
                "this stream was begun before a fork and is the parent process's: subscribe in the child",
            )
        })
    }

    fn convert<'py>(&self, py: Python<'py>, delivery: Delivery) -> PyResult<Bound<'py, PyAny>> {
        Ok(match delivery {
            Delivery::Frames(batch) => self.bytes_of(py, &batch).into_any(),
            Delivery::Bytes(bytes) => PyBytes::new(py, &bytes).into_any(),
            Delivery::Gap(bytes) => Bound::new(
                py,
                PyGap {
                    frame: PyBytes::new(py, &bytes).unbind(),
                },
            )?
            .into_any(),
            Delivery::End(end) => Bound::new(
                py,
                PyEnd {
                    reason: end.reason.as_str(),
                    last: end.last.map(|last| PyBytes::new(py, &last).unbind()),
                    clean: end.clean,
                },
            )?
            .into_any(),
        })
    }

    fn bytes_of<'py>(&self, py: Python<'py>, batch: &Arc<Batch>) -> Bound<'py, PyBytes> {
        let mut shared = self
            .shared
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = shared.iter().find(|(serial, _)| *serial == batch.serial()) {
            return bytes.bind(py).clone();
        }
        let bytes = PyBytes::new(py, batch.bytes());
        if shared.len() == SHARED {
            shared.remove(0);
        }
        shared.push((batch.serial(), bytes.clone().unbind()));
        bytes
    }
}

#[pymethods]
impl PySelector {
    #[new]
    fn new(py: Python<'_>, hub: &PyHub, wake: Py<PyAny>) -> PyResult<Self> {
        let wake = move || {
            // An interpreter that shuts down has no use for it.
            let _ = Python::try_attach(|py| {
                if let Err(error) = wake.call0(py) {
                    error.write_unraisable(py, Some(wake.bind(py)));
                }
            });
        };
        Ok(Self {
            inner: Owned::new(hub.hub(py)?.selector(wake)),
            shared: Mutex::new(Vec::new()),
        })
    }

    /// Starts a stream and returns its token. Times in milliseconds.
    #[pyo3(signature = (
        subscription, *, key=None, retry=None, announce_position=false, heartbeat=None, max_age=None,
        expires_in=None, write_timeout=None, connection=false
    ))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments, all but one optional"
    )]
    fn add(
        &self,
        py: Python<'_>,
        subscription: &PySubscription,
        key: Option<String>,
        retry: Option<u64>,
        announce_position: bool,
        heartbeat: Option<u64>,
        max_age: Option<u64>,
        expires_in: Option<u64>,
        write_timeout: Option<u64>,
        connection: bool,
    ) -> PyResult<u64> {
        let options = StreamOptions {
            key,
            retry,
            announce_position,
            heartbeat,
            max_age,
            expires_in,
            write_timeout,
            connection,
        };
        let token = self
            .inner(py)?
            .add(&subscription.inner, &options)
            .or_raise(py)?;
        Ok(token.to_bits())
    }

    /// What a stream has to send now: bytes, a Gap, an End, or None.
    fn poll<'py>(&self, py: Python<'py>, token: u64) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.inner(py)?
            .poll(Token::from_bits(token))
            .map(|delivery| self.convert(py, delivery))
            .transpose()
    }

    /// (token, delivery) of all streams that wait and have something to send, and the seconds after which to call
    /// again without having been woken.
    fn select<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Option<f64>)> {
        let mut ready = Vec::new();
        // A loop that was forked may have this to do still.
        let next = self.inner.get().and_then(|inner| inner.select(&mut ready));
        let list = PyList::empty(py);
        for (token, delivery) in ready {
            list.append((token.to_bits(), self.convert(py, delivery)?))?;
        }
        Ok((list, next.map(|next| next.as_secs_f64())))
    }

    /// Ends a stream. What is known of it, or None where that has happened before.
    fn remove<'py>(
        &self,
        py: Python<'py>,
        token: u64,
        reason: &str,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let reason = to_reason(py, reason)?;
        let Some(inner) = self.inner.get() else {
            return Ok(None);
        };
        let Some(info) = inner.remove(Token::from_bits(token), reason) else {
            return Ok(None);
        };
        info_dict(py, info).map(Some)
    }

    /// Gives a stream to the engine, which takes the socket behind the descriptor `fd`. `tag` comes back in its report,
    /// with `label`. OSError: nothing has happened, and the stream is still served here.
    #[pyo3(signature = (
        token, slot, fd, *, chunked, hold, reports, tag, label, snapshot=false
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn hand_off(
        &self,
        py: Python<'_>,
        token: u64,
        slot: &PySlot,
        fd: i32,
        chunked: bool,
        hold: bool,
        reports: &PyReports,
        tag: u64,
        label: &str,
        snapshot: bool,
    ) -> PyResult<()> {
        let how = to_hand_off(chunked, hold, snapshot, tag, label);
        let (inner, reports, slot) = (self.inner(py)?, reports.inner(py)?, slot.take()?);
        py.detach(|| inner.hand_off(Token::from_bits(token), slot, fd, how, reports))?;
        Ok(())
    }

    /// Whether a snapshot is due: at the begin of a stream that came without an id, and after a gap was delivered.
    fn needs_snapshot(&self, token: u64) -> bool {
        self.inner
            .get()
            .is_some_and(|inner| inner.needs_snapshot(Token::from_bits(token)))
    }

    /// The id of a stream's position.
    fn position(&self, token: u64) -> Option<String> {
        self.inner.get()?.position(Token::from_bits(token))
    }

    fn __len__(&self) -> usize {
        self.inner.get().map_or(0, Selector::len)
    }
}

/// What is known of a stream, as the keyword arguments of the class in `stats.py`.
pub(crate) fn info_dict(py: Python<'_>, info: StreamInfo) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("key", info.key)?;
    dict.set_item("topics", info.topics)?;
    dict.set_item("reason", info.reason.as_str())?;
    dict.set_item("mode", info.mode.as_str())?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of a stream's life fit"
    )]
    dict.set_item("duration", info.duration as f64 / 1000.0)?;
    dict.set_item("events", info.events)?;
    dict.set_item("bytes", info.bytes)?;
    dict.set_item("last_event_id", info.last_event_id)?;
    Ok(dict)
}

pub(crate) fn to_reason(py: Python<'_>, word: &str) -> PyResult<EndReason> {
    EndReason::ALL
        .into_iter()
        .find(|known| known.as_str() == word)
        .ok_or_else(|| argument(py, format!("no reason to end a stream: {word:?}")))
}
