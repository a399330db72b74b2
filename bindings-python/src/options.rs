//! Settings, as `options.py` gives them, to those of the core.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ssehub::{History, Limits, Slow};

use crate::error::argument;

/// Count, bytes, and age in milliseconds, as `options.py` gives them.
pub(crate) type PlainHistory = (usize, usize, Option<u64>);

pub(crate) fn to_limits(limits: &Bound<'_, PyDict>) -> PyResult<Limits> {
    let py = limits.py();
    let limit = |name: &str| -> PyResult<usize> {
        match limits.get_item(name)? {
            Some(value) => value.extract(),
            None => Err(argument(py, format!("limits lacks {name}"))),
        }
    };
    Ok(Limits {
        connections: limit("connections")?,
        connections_per_key: limits
            .get_item("connections_per_key")?
            .and_then(|value| value.extract().transpose())
            .transpose()?,
        topics_per_subscription: limit("topics_per_subscription")?,
        event_size: limit("event_size")?,
        history_bytes: limit("history_bytes")?,
        tombstones: Limits::default().tombstones,
    })
}

pub(crate) fn seconds(py: Python<'_>, name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| argument(py, format!("{name} is a number of seconds, not negative")))
}

pub(crate) fn to_history((count, bytes, age): PlainHistory) -> History {
    History { count, bytes, age }
}

pub(crate) fn to_slow(py: Python<'_>, slow: &str) -> PyResult<Slow> {
    match slow {
        "disconnect" => Ok(Slow::Disconnect),
        "skip" => Ok(Slow::Skip),
        "conflate" => Ok(Slow::Conflate),
        other => Err(argument(
            py,
            format!("slow is \"disconnect\", \"skip\" or \"conflate\", not {other:?}"),
        )),
    }
}
