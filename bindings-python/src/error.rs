//! Error kinds to exceptions: one match. The classes are Python's own (`ssehub.errors`), since each has two bases.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use ssehub::{Error, ErrorKind};

/// The exception for an error of the core.
pub(crate) fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error.kind() {
        ErrorKind::EventTooLarge => "EventTooLargeError",
        ErrorKind::LimitReached => "LimitError",
        ErrorKind::Draining => "DrainingError",
        ErrorKind::Closed => "ClosedError",
        // Bad arguments, and whatever a newer core adds: the family that callers catch as ValueError.
        _ => "ArgumentError",
    };
    new(py, class, error.to_string())
}

/// A bad argument that only this side can notice.
pub(crate) fn argument(py: Python<'_>, message: impl Into<String>) -> PyErr {
    new(py, "ArgumentError", message.into())
}

/// What is over.
pub(crate) fn closed(py: Python<'_>, message: impl Into<String>) -> PyErr {
    new(py, "ClosedError", message.into())
}

pub(crate) fn wrong_type(message: impl Into<String>) -> PyErr {
    PyTypeError::new_err(message.into())
}

fn new(py: Python<'_>, class: &str, message: String) -> PyErr {
    static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let made = ERRORS
        .get_or_try_init(py, || py.import("ssehub.errors").map(Bound::unbind))
        .and_then(|module| module.bind(py).getattr(class)?.call1((message.as_str(),)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(_) => PyValueError::new_err(message),
    }
}

/// `?` for results of the core.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for ssehub::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_py(py, &error))
    }
}
