//! `Subscription`: a position, not yet read. The public class in `subscription.py` iterates it.

use pyo3::prelude::*;
use ssehub::Subscription;

/// The native part of a subscription.
#[pyclass(name = "Subscription", module = "ssehub._ssehub", frozen)]
pub(crate) struct PySubscription {
    pub(crate) inner: Subscription,
}

#[pymethods]
impl PySubscription {
    /// The id after which it reads, unless a client's id replaces it.
    #[getter]
    fn position(&self) -> String {
        self.inner.position()
    }

    /// The same from a client's last event id.
    fn resume(&self, last_event_id: &str) -> Self {
        Self {
            inner: self.inner.clone().resume(last_event_id),
        }
    }

    /// The same, going on live after a gap.
    fn live_after_gap(&self) -> Self {
        Self {
            inner: self.inner.clone().live_after_gap(),
        }
    }
}
