//! The data rule: text is text, bytes are UTF-8 text, everything else is JSON.

use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyInt, PyMemoryView, PyString};

use crate::error::{argument, wrong_type};

/// `ssehub._json.dumps`, the serializer unless a hub has its own.
fn default_dumps(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    DUMPS
        .get_or_try_init(py, || {
            Ok(py.import("ssehub._json")?.getattr("dumps")?.unbind())
        })
        .map(|dumps| dumps.bind(py))
}

/// Anything as the text of an event.
pub(crate) fn text<'py>(
    value: &Bound<'py, PyAny>,
    dumps: Option<&Py<PyAny>>,
) -> PyResult<Bound<'py, PyString>> {
    if let Some(text) = as_text(value)? {
        return Ok(text);
    }
    let py = value.py();
    let json = match dumps {
        Some(dumps) => dumps.bind(py).call1((value,))?,
        None => default_dumps(py)?.call1((value,))?,
    };
    match as_text(&json)? {
        Some(text) => Ok(text),
        None => Err(wrong_type("dumps must return str or bytes")),
    }
}

fn as_text<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyString>>> {
    if let Ok(text) = value.cast::<PyString>() {
        return plain(text).map(Some);
    }
    let py = value.py();
    if value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.is_instance_of::<PyMemoryView>()
    {
        let bytes = bytes(value)?;
        return std::str::from_utf8(&bytes)
            .map(|text| Some(PyString::new(py, text)))
            .map_err(|error| argument(py, format!("bytes are taken as UTF-8 text, and these are not: {error}; for binary data publish base64")));
    }
    Ok(None)
}

/// A `str` without a subclass: enums with text and the like give their text.
pub(crate) fn plain<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
    if text.is_exact_instance_of::<PyString>() {
        return Ok(text.clone());
    }
    Ok(PyString::new(text.py(), &utf8(text, "text")?))
}

/// The UTF-8 of a `str`. Lone surrogates have none, and raise.
pub(crate) fn utf8(text: &Bound<'_, PyString>, what: &str) -> PyResult<PyBackedStr> {
    PyBackedStr::try_from(text.clone()).map_err(|_| {
        argument(
            text.py(),
            format!("{what} has a lone surrogate, which UTF-8 cannot carry: repair the text first"),
        )
    })
}

/// An optional text field: `str` or nothing.
pub(crate) fn optional(
    value: Option<&Bound<'_, PyAny>>,
    what: &str,
) -> PyResult<Option<PyBackedStr>> {
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(None);
    };
    match value.cast::<PyString>() {
        Ok(text) => utf8(text, what).map(Some),
        Err(_) => Err(wrong_type(format!(
            "{what} must be str or None, not {}",
            value.get_type().name()?
        ))),
    }
}

/// `retry`: milliseconds as an `int`.
pub(crate) fn retry(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    let Some(value) = value.filter(|value| !value.is_none()) else {
        return Ok(None);
    };
    if value.is_instance_of::<PyBool>() || !value.is_instance_of::<PyInt>() {
        return Err(wrong_type(format!(
            "retry must be an int of milliseconds, not {}",
            value.get_type().name()?
        )));
    }
    match value.extract::<u64>() {
        Ok(retry) if retry <= ssehub::MAX_RETRY => Ok(Some(retry)),
        _ => Err(argument(
            value.py(),
            format!("retry is in milliseconds, from 0 to {}", ssehub::MAX_RETRY),
        )),
    }
}

/// The bytes of any bytes-like object, copied unless it is `bytes`.
pub(crate) fn bytes(value: &Bound<'_, PyAny>) -> PyResult<PyBackedBytes> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.clone().into());
    }
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyInt>() {
        return Err(wrong_type(format!(
            "expected bytes, not {}",
            value.get_type().name()?
        )));
    }
    // `bytes(value)` takes everything with a buffer; the buffer itself is not in the stable ABI of Python 3.10.
    let copy = value.py().get_type::<PyBytes>().call1((value,))?;
    Ok(copy.cast_into::<PyBytes>()?.into())
}
