//! What the engine tells its hosts: streams that are over, in batches, through one wake-up call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::delivery::{EndReason, StreamInfo, Token};
use crate::shared::Shared;
use crate::topic::table::Wake;

/// A stream of the engine's that is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The host's own number for it.
    pub tag: u64,
    /// What the host called it: the path of its request.
    pub label: Arc<str>,
    /// Whether its last frame is whole. The host of a held stream may end the response then; otherwise it must cut.
    pub clean: bool,
    /// What is known of it.
    pub info: StreamInfo,
}

/// Where one host, an event loop or a thread, learns of its streams' ends.
pub struct Reports {
    inbox: Arc<Inbox>,
}

pub(crate) struct Inbox {
    // Not what keeps the hub alive: the host's own handle does.
    hub: Weak<Shared>,
    wake: Wake,
    queue: Mutex<Vec<Report>>,
    // Held streams, which the host may end: by its own numbers.
    held: Mutex<HashMap<u64, Token>>,
}

impl Reports {
    pub(crate) fn new(hub: &Arc<Shared>, wake: Wake) -> Self {
        Self {
            inbox: Arc::new(Inbox {
                hub: Arc::downgrade(hub),
                wake,
                queue: Mutex::default(),
                held: Mutex::default(),
            }),
        }
    }

    /// The streams that have ended since the last call.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *lock(&self.inbox.queue))
    }

    /// Ends a held stream: its client has left, or its server ends it. It is reported like any other.
    pub fn remove(&self, tag: u64, reason: EndReason) {
        let token = lock(&self.inbox.held).get(&tag).copied();
        if let (Some(token), Some(hub)) = (token, self.inbox.hub.upgrade())
            && let Some(engine) = hub.engine()
        {
            engine.remove(token, reason);
        }
    }

    /// Ends some of this host's streams, as a drain of the hub does: each gets what was published before, and is told
    /// when to come back, at a time of its own within `spread`. What is left at `timeout` is cut. The hub's other streams
    /// go on.
    pub fn drain(&self, tags: &[u64], timeout: Duration, spread: Duration) {
        if let Some(hub) = self.inbox.hub.upgrade()
            && let Some(engine) = hub.engine()
        {
            let plan = Arc::new(hub.plan_drain(timeout, spread, tags.len(), &[]));
            engine.drain_group(&plan, &self.inbox, tags.iter().copied().collect());
        }
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }
}

/// A host that is gone cannot end its held streams any more.
impl Drop for Reports {
    fn drop(&mut self) {
        let held: Vec<u64> = lock(&self.inbox.held).keys().copied().collect();
        for tag in held {
            self.remove(tag, EndReason::Error);
        }
    }
}

impl Inbox {
    pub(crate) fn hold(&self, tag: u64, token: Token) {
        lock(&self.held).insert(tag, token);
    }

    pub(crate) fn put(&self, report: Report) {
        lock(&self.held).remove(&report.tag);
        lock(&self.queue).push(report);
    }

    /// Calls the host. Also where it has not come since the last call: it may have missed that, as an event loop does
    /// that is closed before it runs again.
    pub(crate) fn wake(&self) {
        (self.wake)();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
