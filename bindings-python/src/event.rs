//! `Event` and `encode`.

use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use ssehub::Fields;

use crate::data;
use crate::error::{OrRaise, argument, wrong_type};

/// One event of a stream: what a publisher says, or what a parser has found. Immutable and comparable.
///
/// `data` follows the data rule: `str` is text, `bytes` is UTF-8 text, and everything else becomes JSON. `None` means
/// that there is no data: clients do not dispatch such a block. `event` is the type, `id` the event id, `retry` the
/// reconnection time in milliseconds, `comment` a text that clients ignore.
///
/// Raises ValueError for what could inject a field: CR or LF in `event` or `id`, NUL in `id`, a `retry` out of range,
/// lone surrogates, a type that begins with `ssehub:`. Source: WHATWG HTML, section 9.2.
#[pyclass(name = "Event", module = "ssehub", frozen)]
pub(crate) struct PyEvent {
    // Python's strings, and not Rust's: a parsed event is made once and read in Python only.
    data: Option<Py<PyString>>,
    event: Option<Py<PyString>>,
    id: Option<Py<PyString>>,
    retry: Option<u64>,
    comment: Option<Py<PyString>>,
}

/// Makes events of what a parser has found. Most events of a stream share type and id, so these strings are kept.
pub(crate) struct Texts {
    event: Py<PyString>,
    id: Py<PyString>,
}

impl Texts {
    pub(crate) fn new(py: Python<'_>) -> Self {
        Self {
            event: PyString::intern(py, "message").unbind(),
            id: PyString::intern(py, "").unbind(),
        }
    }

    /// Valid by construction, and perhaps one of the hub's own types.
    pub(crate) fn event<'py>(
        &mut self,
        py: Python<'py>,
        event: &str,
        data: &str,
        id: &str,
    ) -> PyResult<Bound<'py, PyEvent>> {
        same(py, &mut self.event, event)?;
        same(py, &mut self.id, id)?;
        let event = PyEvent {
            data: Some(PyString::new(py, data).unbind()),
            event: Some(self.event.clone_ref(py)),
            id: Some(self.id.clone_ref(py)),
            retry: None,
            comment: None,
        };
        Bound::new(py, event)
    }
}

/// Makes `cached` a Python string of `text`, unless it is that already.
fn same(py: Python<'_>, cached: &mut Py<PyString>, text: &str) -> PyResult<()> {
    let known = cached.bind(py).to_str()?;
    // Empty ones are not compared: see `EventBatch` in core, which does the same.
    if known.len() != text.len() || !text.is_empty() && known != text {
        *cached = PyString::new(py, text).unbind();
    }
    Ok(())
}

impl PyEvent {
    /// Borrows the fields for the encoder.
    pub(crate) fn with_fields<T>(
        &self,
        py: Python<'_>,
        then: impl FnOnce(&Fields<'_>) -> PyResult<T>,
    ) -> PyResult<T> {
        let get = |field: &Option<Py<PyString>>, what| {
            field
                .as_ref()
                .map(|text| data::utf8(text.bind(py), what))
                .transpose()
        };
        let (data, event) = (get(&self.data, "data")?, get(&self.event, "event")?);
        let (id, comment) = (get(&self.id, "id")?, get(&self.comment, "comment")?);
        then(&Fields {
            data: data.as_deref(),
            event: event.as_deref(),
            id: id.as_deref(),
            retry: self.retry,
            comment: comment.as_deref(),
        })
    }

    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (
            self.data.as_ref().map(|text| text.bind(py)),
            self.event.as_ref().map(|text| text.bind(py)),
            self.id.as_ref().map(|text| text.bind(py)),
            self.retry,
            self.comment.as_ref().map(|text| text.bind(py)),
        )
            .into_pyobject(py)
    }
}

#[pymethods]
impl PyEvent {
    #[new]
    #[pyo3(signature = (data=None, *, event=None, id=None, retry=None, comment=None))]
    fn new(
        data: Option<&Bound<'_, PyAny>>,
        event: Option<&Bound<'_, PyAny>>,
        id: Option<&Bound<'_, PyAny>>,
        retry: Option<&Bound<'_, PyAny>>,
        comment: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let text =
            |value: Option<&Bound<'_, PyAny>>, what: &str| -> PyResult<Option<Py<PyString>>> {
                data::optional(value, what)?;
                value
                    .filter(|value| !value.is_none())
                    .map(|value| Ok(data::plain(value.cast::<PyString>()?)?.unbind()))
                    .transpose()
            };
        let data = match data {
            Some(value) if !value.is_none() => Some(data::text(value, None)?.unbind()),
            _ => None,
        };
        let this = Self {
            data,
            event: text(event, "event")?,
            id: text(id, "id")?,
            retry: data::retry(retry)?,
            comment: text(comment, "comment")?,
        };
        Python::attach(|py| {
            this.with_fields(py, |fields| {
                // An event may be empty until it is sent.
                if *fields == Fields::default() {
                    return Ok(());
                }
                fields.check().or_raise(py)
            })
        })?;
        Ok(this)
    }

    /// The payload, lines joined by LF. None: there is no data.
    #[getter]
    fn data(&self) -> Option<&Py<PyString>> {
        self.data.as_ref()
    }

    /// The event type. None means "message" to a client; the parser always gives a type.
    #[getter]
    fn event(&self) -> Option<&Py<PyString>> {
        self.event.as_ref()
    }

    /// The event id; from the parser, the last event id at dispatch, "" if the stream has set none.
    #[getter]
    fn id(&self) -> Option<&Py<PyString>> {
        self.id.as_ref()
    }

    /// The reconnection time in milliseconds.
    #[getter]
    fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// A comment, which clients ignore.
    #[getter]
    fn comment(&self) -> Option<&Py<PyString>> {
        self.comment.as_ref()
    }

    /// The wire bytes, the blank line that ends the block included.
    fn encode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.with_fields(py, |fields| {
            Ok(PyBytes::new(py, &ssehub::encode(fields).or_raise(py)?))
        })
    }

    /// The data, decoded from JSON. With a type, validated by pydantic: `event.json(Item)`.
    #[pyo3(signature = (r#type=None, /))]
    fn json<'py>(
        &self,
        py: Python<'py>,
        r#type: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(data) = &self.data else {
            return Err(argument(py, "the event has no data to decode"));
        };
        py.import("ssehub._json")?
            .getattr("loads")?
            .call1((data, r#type))
    }

    fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let (Ok(other), CompareOp::Eq | CompareOp::Ne) = (other.cast::<Self>(), op) else {
            return Ok(py.NotImplemented());
        };
        let equal = self.fields(py)?.eq(other.get().fields(py)?)?;
        Ok((equal == matches!(op, CompareOp::Eq))
            .into_pyobject(py)?
            .to_owned()
            .into_any()
            .unbind())
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.fields(py)?.hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut parts = Vec::new();
        for (name, text) in [("", &self.data), ("event=", &self.event), ("id=", &self.id)] {
            if let Some(text) = text {
                parts.push(format!("{name}{}", text.bind(py).repr()?));
            }
        }
        if let Some(retry) = self.retry {
            parts.push(format!("retry={retry}"));
        }
        if let Some(comment) = &self.comment {
            parts.push(format!("comment={}", comment.bind(py).repr()?));
        }
        Ok(format!("Event({})", parts.join(", ")))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let restore = py.import("ssehub._json")?.getattr("restore_event")?;
        Ok((restore, slf.get().fields(py)?))
    }
}

/// The wire bytes of one event. `data` follows the data rule; see [`Event`].
///
/// Raises ValueError for anything that could inject a field; nothing is repaired silently.
#[pyfunction]
#[pyo3(signature = (data=None, *, event=None, id=None, retry=None, comment=None))]
pub(crate) fn encode<'py>(
    py: Python<'py>,
    data: Option<&Bound<'py, PyAny>>,
    event: Option<&Bound<'py, PyAny>>,
    id: Option<&Bound<'py, PyAny>>,
    retry: Option<&Bound<'py, PyAny>>,
    comment: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    if let Some(whole) = data.and_then(|data| data.cast::<PyEvent>().ok()) {
        if event.is_some() || id.is_some() || retry.is_some() || comment.is_some() {
            return Err(wrong_type(
                "an Event has all its fields: give it alone, or give the fields",
            ));
        }
        return whole.get().encode(py);
    }
    let text = match data {
        Some(value) if !value.is_none() => Some(data::utf8(&data::text(value, None)?, "data")?),
        _ => None,
    };
    let (event, id) = (data::optional(event, "event")?, data::optional(id, "id")?);
    let comment = data::optional(comment, "comment")?;
    let bytes = ssehub::encode(&Fields {
        data: text.as_deref(),
        event: event.as_deref(),
        id: id.as_deref(),
        retry: data::retry(retry)?,
        comment: comment.as_deref(),
    })
    .or_raise(py)?;
    Ok(PyBytes::new(py, &bytes))
}
