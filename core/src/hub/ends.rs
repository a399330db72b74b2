//! How streams end when the hub wants it: some of them, all in an orderly way, or all at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Hub;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::shared::State;

impl Hub {
    /// Ends streams at their next frame boundary: those with this key, those that read this topic, or those with both.
    /// `event` is their farewell. What was published before still goes to those that are up to date or have just begun;
    /// nothing that is published later goes to any of them. Returns how many.
    ///
    /// # Errors
    /// `InvalidArgument` where neither key nor topic is given.
    pub fn disconnect(
        &self,
        key: Option<&str>,
        topic: Option<&str>,
        event: Option<&Event>,
    ) -> Result<usize> {
        if key.is_none() && topic.is_none() {
            return Err(Error::invalid(
                "key",
                "say whose streams to end: key, topic, or both; drain ends them all",
            ));
        }
        let last: Option<Arc<[u8]>> = event.map(|event| event.encode().into());
        let through = self.shared.head.load(Ordering::Acquire);
        Ok(self
            .shared
            .owners()
            .map(|owner| owner.disconnect(key, topic, last.as_ref(), through))
            .sum())
    }

    /// Begins to end all streams: refuses new ones, lets each take what was published before, tells it when to come
    /// back, and spreads the ends over `spread`, at most four fifths of `timeout`, less where there are few streams.
    /// What is left at `timeout` is cut. `event` is the farewell. Does not wait: see [`Hub::wait_drained`].
    pub fn drain(&self, timeout: Duration, spread: Duration, event: Option<&Event>) {
        let _ = self.shared.state.compare_exchange(
            State::Open as u8,
            State::Draining as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        let farewell = event.map(Event::encode).unwrap_or_default();
        let count = self.shared.connections.load(Ordering::Acquire);
        let plan = Arc::new(self.shared.plan_drain(timeout, spread, count, &farewell));
        self.shared.set_plan(Some(plan.clone()));
        for owner in self.shared.owners() {
            owner.drain(&plan);
        }
    }

    /// Waits until no stream is left, at most so long. Whether none is.
    pub fn wait_drained(&self, timeout: Duration) -> bool {
        self.shared.wait_closed(timeout)
    }

    /// Takes new streams again after a drain: the server was started anew in the same process.
    pub fn resume(&self) {
        self.shared.set_plan(None);
        let _ = self.shared.state.compare_exchange(
            State::Draining as u8,
            State::Open as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    /// Ends all streams and subscriptions at once and takes no further calls.
    pub fn close(&self) {
        self.shared
            .state
            .store(State::Closed as u8, Ordering::Release);
        for owner in self.shared.owners() {
            owner.close_all();
        }
    }
}
