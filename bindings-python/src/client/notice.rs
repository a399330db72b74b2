//! Notices as pairs of a word and what it is about. `client/event_source.py` makes them what users see.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use ssehub::{ClientError, ClientErrorKind, Event, Headers, Notice, Opened, Question};

use crate::event::{PyEvent, Texts};

/// A notice in Python's words. `None` for what Python did not ask for.
pub(crate) fn to_pair<'py>(
    py: Python<'py>,
    notice: Notice,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let pair = match notice {
        Notice::Ask(Question::Headers { attempt, status }) => {
            ("headers", (attempt, status)).into_pyobject(py)?
        }
        Notice::Ask(Question::Redirect {
            from,
            to,
            status,
            method,
        }) => ("redirect", (from, to, status, method)).into_pyobject(py)?,
        Notice::Open(opened) => ("open", response(py, &opened)?).into_pyobject(py)?,
        Notice::Event(event) => ("event", to_event(py, &event)?).into_pyobject(py)?,
        Notice::Comment(text) => ("comment", text.into_string()).into_pyobject(py)?,
        Notice::Gap(gap) => {
            let event = to_event(py, &gap.event)?;
            ("gap", (gap.last_event_id, gap.reason.as_str(), event)).into_pyobject(py)?
        }
        Notice::Retrying(retry) => {
            let error = failure(py, &retry.error)?;
            error.set_item("delay", retry.delay)?;
            error.set_item("attempt", retry.attempt)?;
            ("retrying", error).into_pyobject(py)?
        }
        Notice::Failed(error) if error.kind() == ClientErrorKind::Forked => {
            ("forked", error.to_string()).into_pyobject(py)?
        }
        Notice::Failed(error) => ("failed", failure(py, &error)?).into_pyobject(py)?,
        Notice::Ended(_) => ("ended", py.None()).into_pyobject(py)?,
        _ => return Ok(None),
    };
    Ok(Some(pair))
}

fn to_event<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyEvent>> {
    let fields = event.fields();
    Texts::new(py).event(
        py,
        fields.event.unwrap_or("message"),
        fields.data.unwrap_or_default(),
        fields.id.unwrap_or_default(),
    )
}

fn response<'py>(py: Python<'py>, opened: &Opened) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("status", opened.status)?;
    dict.set_item("headers", pairs(py, &opened.headers))?;
    dict.set_item("url", &opened.url)?;
    dict.set_item("http_version", opened.http)?;
    Ok(dict)
}

fn failure<'py>(py: Python<'py>, error: &ClientError) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("kind", word(error.kind()))?;
    dict.set_item("message", error.to_string())?;
    dict.set_item("url", error.url())?;
    dict.set_item("is_retryable", error.is_retryable())?;
    if let Some(refusal) = error.refusal() {
        dict.set_item("status", refusal.status)?;
        dict.set_item("headers", pairs(py, &refusal.headers))?;
        dict.set_item("body", PyBytes::new(py, &refusal.body))?;
        dict.set_item("retry_after", refusal.retry_after)?;
    }
    Ok(dict)
}

fn pairs<'py>(py: Python<'py>, headers: &Headers) -> Vec<(String, Bound<'py, PyBytes>)> {
    let pair = |(name, value): &(String, Vec<u8>)| (name.clone(), PyBytes::new(py, value));
    headers.iter().map(pair).collect()
}

fn word(kind: ClientErrorKind) -> &'static str {
    use ClientErrorKind as K;
    match kind {
        K::Connect => "connect",
        K::Timeout => "timeout",
        K::Proxy => "proxy",
        K::Tls => "tls",
        K::Protocol => "protocol",
        K::Status => "status",
        K::ContentType => "content_type",
        K::Redirect => "redirect",
        K::Interrupted => "interrupted",
        K::Ended => "ended",
        K::Unfinished => "unfinished",
        K::Decode => "decode",
        K::EventTooLarge => "event_too_large",
        K::Callback => "callback",
        K::Restarted => "restarted",
        // Those that are told otherwise, and what a newer core adds.
        _ => "internal",
    }
}
