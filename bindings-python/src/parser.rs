//! `Parser`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyList;

use crate::data;
use crate::error::{argument, to_py};
use crate::event::Texts;

/// An incremental parser of event streams, to the letter of the WHATWG HTML standard, section 9.2.6.
///
/// Feed it bytes as they come, in pieces of any size: `feed` returns the events that are complete. What a stream leaves
/// unfinished at its end is no event.
///
/// `max_event_size` bounds the bytes kept for one event; over it `feed` raises EventTooLargeError, whose `events` are
/// those that were complete before. The parser is unusable from then on.
#[pyclass(name = "Parser", module = "ssehub", frozen)]
pub(crate) struct PyParser {
    // A lock, since Python may call from several threads; uncontended by all sane use.
    inner: Mutex<Inner>,
}

struct Inner {
    parser: ssehub::Parser,
    closed: bool,
    texts: Texts,
}

impl PyParser {
    /// Gives up the GIL for as long as it waits: whoever has the lock makes Python objects under it, and a garbage
    /// collection in the midst of that may hand the GIL over to this thread.
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Inner> {
        self.inner
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyParser {
    #[new]
    #[pyo3(signature = (*, max_event_size=16_777_216))]
    fn new(py: Python<'_>, max_event_size: usize) -> PyResult<Self> {
        // Written out in the signature, for `help()`.
        const { assert!(ssehub::DEFAULT_MAX_EVENT_SIZE == 16_777_216) };
        if max_event_size == 0 {
            return Err(argument(py, "max_event_size must be at least 1 byte"));
        }
        Ok(Self {
            inner: Mutex::new(Inner {
                parser: ssehub::Parser::with_max_event_size(max_event_size),
                closed: false,
                texts: Texts::new(py),
            }),
        })
    }

    /// The events that these bytes complete. Any bytes-like object will do.
    fn feed<'py>(
        &self,
        py: Python<'py>,
        chunk: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let chunk = data::bytes(chunk)?;
        let events = PyList::empty(py);
        let mut inner = self.lock(py);
        let inner = &mut *inner;
        if inner.closed {
            return Err(argument(
                py,
                "the parser is closed: a new stream needs a new parser",
            ));
        }
        let texts = &mut inner.texts;
        let mut failure = None;
        let result = inner.parser.feed(&chunk, |found| {
            let made = texts
                .event(py, found.event(), found.data(), found.id())
                .and_then(|event| events.append(event));
            if let Err(error) = made {
                failure.get_or_insert(error);
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        match result {
            Ok(()) => Ok(events),
            Err(error) => {
                let exception = to_py(py, &error);
                exception.value(py).setattr("events", events)?;
                Err(exception)
            }
        }
    }

    /// The last event id of the stream so far, ids of blocks without data included; "" if there is none.
    #[getter]
    fn last_event_id(&self, py: Python<'_>) -> String {
        self.lock(py).parser.last_event_id().to_owned()
    }

    /// The last reconnection time that the stream has set, in milliseconds.
    #[getter]
    fn retry(&self, py: Python<'_>) -> Option<u64> {
        self.lock(py).parser.retry()
    }

    /// Ends the stream: what is unfinished is dropped, as the standard says, and no more bytes are taken.
    fn close(&self, py: Python<'_>) {
        let mut inner = self.lock(py);
        inner.closed = true;
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Parser(max_event_size={})",
            self.lock(py).parser.max_event_size()
        )
    }
}
