//! The hub: topics by name, one sequence over all of them, and the streams that read them.
//!
//! One lock, the table's, covers taking a number, appending, and noting whom to wake. Checking, encoding, waking and
//! freeing happen outside it. Locks are taken in this order: selector, registry, directory, table, mailbox. None is
//! held while host code runs.

mod ends;
mod publish;
mod stats;
mod subscribe;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::Reports;
use crate::error::Result;
use crate::id::EventId;
use crate::options::HubOptions;
use crate::selector::Selector;
use crate::shared::{Shared, State};

/// A topic as a subscription names it: an exact name or a pattern, never guessed from the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Exactly this topic, whatever characters its name has.
    Name(String),
    /// Every topic whose name matches: tokens between dots, `*` for one token, `>` for one or more at the end.
    Pattern(String),
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Topic {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

/// One hub, shared by all its clones.
///
/// ```
/// use ssehub::{Event, Hub, Topic};
///
/// let hub = Hub::new(Default::default())?;
/// let mut reader = hub.subscribe(&[Topic::from("news")], Default::default())?.reader()?;
/// hub.publish(&["news"], &Event::new("hello"), None)?;
/// let event = reader.next_event(None)?.expect("it was published");
/// assert_eq!(event.fields().data, Some("hello"));
/// # Ok::<(), ssehub::Error>(())
/// ```
#[derive(Clone)]
pub struct Hub {
    // What its streams hold on to as well.
    shared: Arc<Shared>,
}

impl Hub {
    /// A hub in memory.
    ///
    /// # Errors
    /// Those of [`HubOptions::check`].
    pub fn new(options: HubOptions) -> Result<Self> {
        options.check()?;
        Ok(Self {
            shared: Arc::new(Shared::new(options)?),
        })
    }

    /// The settings.
    pub fn options(&self) -> &HubOptions {
        &self.shared.options
    }

    /// A place to serve many subscriptions from, one per event loop. `wake` is called, from any thread and outside all
    /// locks, when the selector has something to do and has not been called since.
    pub fn selector(&self, wake: impl Fn() + Send + Sync + 'static) -> Selector {
        Selector::new(self.shared.clone(), Arc::new(wake))
    }

    /// Where a host learns of the ends of streams that it has handed to the engine. `wake` is called when there is
    /// something to [`Reports::take`] that has not been told of since; from a thread of the engine's, but not from one
    /// that writes.
    pub fn reports(&self, wake: impl Fn() + Send + Sync + 'static) -> Reports {
        Reports::new(&self.shared, Arc::new(wake))
    }

    /// Counts a stream whose socket a host could not hand to the engine, by a word for the reason.
    pub fn refuse_handoff(&self, reason: &str) {
        self.shared.counters.refuse_handoff(reason);
    }

    /// The id of the newest event.
    pub fn last_event_id(&self) -> EventId {
        EventId {
            epoch: self.shared.epoch,
            seq: self.shared.head.load(Ordering::Acquire),
        }
    }

    /// Whether the hub takes new streams.
    pub fn is_ready(&self) -> bool {
        self.shared.state() == State::Open
    }

    /// Whether the hub has been closed.
    pub fn is_closed(&self) -> bool {
        self.shared.state() == State::Closed
    }

    /// The reconnection time, in milliseconds, for a client that is refused or sent away: spread, so that clients do
    /// not come back together.
    pub fn jittered_retry(&self) -> u64 {
        self.shared.jittered_retry()
    }
}
