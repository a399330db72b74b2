//! Publishing: checked and encoded outside the lock, numbered and appended under it.

use std::sync::atomic::Ordering;

use super::Hub;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Fields};
use crate::id::{EventId, check_custom};
use crate::shared::{State, closed};
use crate::stats::Counters;
use crate::topic::frame::Frame;
use crate::topic::pattern::check_name;
use crate::topic::table::Effects;

impl Hub {
    /// Publishes one event to one or several topics. It has one id, and a reader of several of them gets it once.
    /// Never waits for a reader.
    ///
    /// `key` makes the event replaceable: a conflating reader that is too slow gets the newest of a topic and key.
    ///
    /// # Errors
    /// `InvalidArgument` for no or bad topics, an event without data, an id of a wrong form; `EventTooLarge` over
    /// `limits.event_size`; `Closed` after [`Hub::close`].
    pub fn publish(&self, topics: &[&str], event: &Event, key: Option<&str>) -> Result<EventId> {
        self.publish_fields(topics, &event.fields(), key)
    }

    /// The same for borrowed fields.
    ///
    /// # Errors
    /// Those of [`Hub::publish`] and of [`Fields::check`].
    pub fn publish_fields(
        &self,
        topics: &[&str],
        fields: &Fields<'_>,
        key: Option<&str>,
    ) -> Result<EventId> {
        if topics.is_empty() {
            return Err(Error::invalid(
                "topic",
                "name at least one topic to publish to",
            ));
        }
        for topic in topics {
            check_name(topic)?;
        }
        fields.check()?;
        if fields.data.is_none() {
            return Err(Error::invalid(
                "data",
                "an event without data is not dispatched by clients: give data, an empty string if there is none",
            ));
        }
        if let Some(id) = fields.id {
            check_custom(id)?;
        }
        let frame = Frame::new(fields, key);
        let limit = self.shared.options.limits.event_size;
        // With the longest id: an event that passes must fit into histories and lag limits, whatever its number.
        if frame.largest() > limit {
            return Err(Error::new(
                ErrorKind::EventTooLarge,
                format!(
                    "the event has {} bytes on the wire, the hub takes at most {limit}: raise limits.event_size, or \
                     publish a reference to the data",
                    frame.largest()
                ),
            ));
        }
        if self.shared.state() == State::Closed {
            return Err(closed());
        }
        let mut fx = Effects::default();
        let id = {
            let mut table = self.shared.table();
            let (id, size) = table.append(topics, frame, self.shared.now(), &mut fx);
            self.shared.head.store(id.seq, Ordering::Release);
            // Here: whoever gets the event finds it counted.
            Counters::add(&self.shared.counters.published, 1);
            Counters::add(&self.shared.counters.published_bytes, size as u64);
            id
        };
        fx.run();
        if !self.shared.clock.load(Ordering::Relaxed) {
            clock::start(&self.shared);
        }
        Ok(id)
    }
}
