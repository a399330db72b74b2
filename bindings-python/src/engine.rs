//! The engine: descriptors set aside for it, and its reports of streams that are over.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use ssehub::{Framing, HandOff, Reports, Slot};

use crate::error::closed;
use crate::hub::PyHub;
use crate::process::Owned;
use crate::selector::{info_dict, to_reason};

/// A descriptor set aside before a response begins, so that there is one when its socket is to be taken.
#[pyclass(name = "Slot", module = "ssehub._ssehub", frozen)]
pub(crate) struct PySlot {
    // Emptied by the hand-off.
    inner: Mutex<Option<Owned<Slot>>>,
}

impl PySlot {
    pub(crate) fn take(&self) -> PyResult<Slot> {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .and_then(Owned::into_inner)
            .ok_or_else(|| std::io::Error::other("this slot is used or closed").into())
    }
}

#[pymethods]
impl PySlot {
    /// OSError where there are no descriptors. `dummy`: also what takes the place of the server's descriptor.
    #[new]
    #[pyo3(signature = (*, dummy=false))]
    fn new(dummy: bool) -> PyResult<Self> {
        Ok(Self {
            inner: Mutex::new(Some(Owned::new(Slot::reserve(dummy)?))),
        })
    }

    /// Gives the descriptor back, unless it is in use.
    fn close(&self) {
        drop(
            self.inner
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

/// Where one host learns of the ends of its streams. `wake` is called on a thread of the engine's, in which it may run
/// for as long as it likes: it is not one that writes.
#[pyclass(name = "Reports", module = "ssehub._ssehub", frozen)]
pub(crate) struct PyReports {
    inner: Owned<Reports>,
}

impl PyReports {
    pub(crate) fn inner(&self, py: Python<'_>) -> PyResult<&Reports> {
        self.inner.get().ok_or_else(|| {
            closed(
                py,
                "these reports are the parent process's: make others in the child",
            )
        })
    }
}

#[pymethods]
impl PyReports {
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
            inner: Owned::new(hub.hub(py)?.reports(wake)),
        })
    }

    /// (tag, label, info) of the streams that have ended since the last call.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for report in self.inner.get().map(Reports::take).unwrap_or_default() {
            let info: Bound<'_, PyDict> = info_dict(py, report.info)?;
            info.set_item("clean", report.clean)?;
            list.append((report.tag, &*report.label, info))?;
        }
        Ok(list)
    }

    /// Ends a held stream: its client has left, or its server ends it. It is reported like any other.
    fn remove(&self, py: Python<'_>, tag: u64, reason: &str) -> PyResult<()> {
        let reason = to_reason(py, reason)?;
        if let Some(reports) = self.inner.get() {
            reports.remove(tag, reason);
        }
        Ok(())
    }
}

/// How a stream is handed over, from Python's words.
pub(crate) fn to_hand_off(
    chunked: bool,
    hold: bool,
    snapshot: bool,
    tag: u64,
    label: &str,
) -> HandOff {
    HandOff {
        framing: if chunked {
            Framing::Chunked
        } else {
            Framing::Plain
        },
        held: hold,
        snapshot,
        tag,
        label: label.into(),
    }
}
