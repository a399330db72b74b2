//! Publishing: what Python gives for topics and data, as the fields of the core.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};
use ssehub::{Fields, Hub};

use super::PyHub;
use crate::data;
use crate::error::{OrRaise, wrong_type};
use crate::event::PyEvent;

impl PyHub {
    #[expect(clippy::too_many_arguments, reason = "the fields of an event")]
    pub(super) fn publish_any(
        &self,
        py: Python<'_>,
        topic: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        event: Option<&Bound<'_, PyAny>>,
        id: Option<&Bound<'_, PyAny>>,
        retry: Option<&Bound<'_, PyAny>>,
        key: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<ssehub::EventId> {
        let key = data::optional(key, "key")?;
        let hub = self.hub(py)?;
        if let Ok(whole) = value.cast::<PyEvent>() {
            if event.is_some() || id.is_some() || retry.is_some() {
                return Err(wrong_type(
                    "an Event has all its fields: give it alone, or give the fields",
                ));
            }
            return whole.get().with_fields(py, |fields| {
                publish(&hub, py, topic, fields, key.as_deref())
            });
        }
        let text = data::text(value, self.dumps.as_ref())?;
        let text = data::utf8(&text, "data")?;
        let (event, id) = (data::optional(event, "event")?, data::optional(id, "id")?);
        let fields = Fields {
            data: Some(&text),
            event: event.as_deref(),
            id: id.as_deref(),
            retry: data::retry(retry)?,
            comment: None,
        };
        publish(&hub, py, topic, &fields, key.as_deref())
    }
}

fn publish(
    hub: &Hub,
    py: Python<'_>,
    topic: &Bound<'_, PyAny>,
    fields: &Fields<'_>,
    key: Option<&str>,
) -> PyResult<ssehub::EventId> {
    if let Ok(name) = topic.cast::<PyString>() {
        let name = data::utf8(name, "topic")?;
        return hub.publish_fields(&[&name], fields, key).or_raise(py);
    }
    let names = if let Ok(list) = topic.cast::<PyList>() {
        list.iter()
            .map(|name| name_of(&name))
            .collect::<PyResult<Vec<_>>>()?
    } else if let Ok(tuple) = topic.cast::<PyTuple>() {
        tuple
            .iter()
            .map(|name| name_of(&name))
            .collect::<PyResult<Vec<_>>>()?
    } else {
        return Err(wrong_type(format!(
            "topic must be str, or a list or tuple of str, not {}",
            topic.get_type().name()?
        )));
    };
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    hub.publish_fields(&names, fields, key).or_raise(py)
}

fn name_of(name: &Bound<'_, PyAny>) -> PyResult<pyo3::pybacked::PyBackedStr> {
    match name.cast::<PyString>() {
        Ok(name) => data::utf8(name, "topic"),
        Err(_) => Err(wrong_type(format!(
            "a topic must be str, not {}",
            name.get_type().name()?
        ))),
    }
}
