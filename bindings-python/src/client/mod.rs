//! `EventSource`: the native part. The public class in `client/event_source.py` iterates it.

mod notice;
mod options;
mod wake;

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyList;
use ssehub::{Answer, EventSource, ReadyState, Taken};

use crate::error::OrRaise;
use crate::event::Texts;
use options::{PlainHeaders, PlainOptions, PlainRequest};
pub(crate) use wake::PyWake;

/// A source that is open, or opens, or has ended. Its notices are taken: it never calls Python.
#[pyclass(name = "EventSource", module = "ssehub._ssehub", frozen)]
pub(crate) struct PyEventSource {
    inner: EventSource,
    texts: Mutex<Texts>,
}

#[pymethods]
impl PyEventSource {
    /// Begins the first attempt.
    #[new]
    fn new(py: Python<'_>, request: PlainRequest, options: PlainOptions) -> PyResult<Self> {
        let options = options.into_options(py)?;
        Ok(Self {
            inner: EventSource::open(&request.into(), options).or_raise(py)?,
            texts: Mutex::new(Texts::new(py)),
        })
    }

    /// Raises what `new` would raise for these. Returns the URL, without credentials.
    #[staticmethod]
    fn check(py: Python<'_>, request: PlainRequest, options: PlainOptions) -> PyResult<String> {
        let options = options.into_options(py)?;
        EventSource::check(&request.into(), &options).or_raise(py)
    }

    /// Has `tag` noted in `wake` when there is something to take, once `take` has found nothing.
    fn attach(&self, wake: &PyWake, tag: u64) {
        let wake = wake.inner().clone();
        self.inner.on_ready(Some(Arc::new(move || wake.wake(tag))));
    }

    /// A list of events; or another notice, as a word and what it is about; or None: nothing is there.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            match self.inner.try_take() {
                None => return Ok(None),
                Some(Taken::Events(batch)) => {
                    let mut texts = self
                        .texts
                        .lock_py_attached(py)
                        .unwrap_or_else(PoisonError::into_inner);
                    let events = PyList::empty(py);
                    for found in batch.events() {
                        events.append(texts.event(
                            py,
                            found.event(),
                            found.data(),
                            found.id(),
                        )?)?;
                    }
                    return Ok(Some(events.into_any()));
                }
                Some(Taken::Notice(notice)) => {
                    if let Some(pair) = notice::to_pair(py, notice)? {
                        return Ok(Some(pair.into_any()));
                    }
                }
            }
        }
    }

    /// Answers a question for headers.
    fn answer_headers(&self, py: Python<'_>, headers: PlainHeaders) -> PyResult<()> {
        self.inner.answer(Answer::Headers(headers)).or_raise(py)
    }

    /// Answers a question about a redirect.
    fn answer_redirect(&self, py: Python<'_>, follow: bool) -> PyResult<()> {
        self.inner.answer(Answer::Redirect(follow)).or_raise(py)
    }

    /// Connects anew, now.
    fn restart(&self) {
        self.inner.restart();
    }

    /// Closes, since the stream is complete.
    fn finish(&self) {
        self.inner.finish();
    }

    /// Closes.
    fn close(&self) {
        self.inner.close();
    }

    /// 0 connecting, 1 open, 2 closed; after what was taken.
    #[getter]
    fn ready_state(&self) -> u8 {
        match self.inner.ready_state() {
            ReadyState::Connecting => 0,
            ReadyState::Open => 1,
            ReadyState::Closed => 2,
        }
    }

    /// Of what was taken. None in a forked process, where only the parent knows.
    #[getter]
    fn last_event_id(&self) -> Option<String> {
        (!self.inner.is_foreign()).then(|| self.inner.last_event_id())
    }

    /// Whether the stream was complete.
    #[getter]
    fn finished(&self) -> bool {
        self.inner.is_finished()
    }

    /// Whether there will be nothing more to take.
    #[getter]
    fn ended(&self) -> bool {
        self.inner.is_ended()
    }
}
