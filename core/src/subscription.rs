//! A subscription: topics and a position, not yet read.

use std::sync::Arc;

use crate::options::{OnGap, Start};
use crate::shared::Shared;
use crate::topic::cursor::Terms;

/// A position over some topics, not yet read: it pins and registers nothing. So "subscribe, then read the database,
/// then answer" loses nothing and leaks nothing.
#[derive(Clone)]
pub struct Subscription {
    shared: Arc<Shared>,
    terms: Terms,
    // A gap event is followed by a snapshot.
    has_snapshots: bool,
}

impl Subscription {
    pub(crate) fn new(shared: Arc<Shared>, terms: Terms) -> Self {
        Self {
            shared,
            terms,
            has_snapshots: false,
        }
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) fn has_snapshots(&self) -> bool {
        self.has_snapshots
    }

    /// What its hub shares with it.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The id after which it reads, unless a client's id replaces it.
    pub fn position(&self) -> String {
        self.shared.id(self.terms.head).to_string()
    }

    /// The same subscription from a client's last event id. An empty one, and a start given in code, change nothing.
    #[must_use]
    pub fn resume(mut self, last_event_id: &str) -> Self {
        if !last_event_id.is_empty() {
            self.terms.start = Start::After(last_event_id.to_owned());
        }
        self
    }

    /// The same subscription, going on live after a gap: for streams whose snapshot stands in for the replay. It is for
    /// the snapshot to bear the position then, and the gap event bears none: whoever is cut between the two is told again,
    /// and gets another snapshot.
    #[must_use]
    pub fn live_after_gap(mut self) -> Self {
        self.terms.on_gap = OnGap::Live;
        self.has_snapshots = true;
        self
    }
}
