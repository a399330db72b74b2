//! What must be found from outside an event loop: all owners of streams, and the streams of each key.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::delivery::{EndReason, Token};

/// Whoever has streams: a selector. What the hub asks of all of them.
pub(crate) trait Owner: Send + Sync {
    /// Ends the streams of a key, of a topic, or of both, with a farewell. How many. Who is up to date, or has just come,
    /// still gets what was published up to `through`, and nobody gets anything later.
    fn disconnect(
        &self,
        key: Option<&str>,
        topic: Option<&str>,
        last: Option<&Arc<[u8]>>,
        through: u64,
    ) -> usize;

    /// Ends one stream.
    fn end(&self, token: Token, reason: EndReason, last: Option<&Arc<[u8]>>);

    /// Gives every connection a time, spread over the window, at which it ends.
    fn drain(&self, plan: &Arc<Plan>);

    /// Ends everything now.
    fn close_all(&self);
}

/// How a drain goes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// When it begins.
    pub(crate) now: u64,
    /// Over so many milliseconds the ends are spread.
    pub(crate) spread: u64,
    /// What is left then is cut.
    pub(crate) deadline: u64,
    /// Events up to here still go out.
    pub(crate) through: u64,
    /// Farewells, which differ in when the client is to come back. A few are enough.
    pub(crate) farewells: Box<[Arc<[u8]>]>,
}

/// Who is where. A lock of its own: the publishing path never takes it.
#[derive(Default)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
}

/// Whose stream it is, and which one.
type Place = (Weak<dyn Owner>, Token);

#[derive(Default)]
struct Inner {
    // Weak: a selector belongs to its event loop, and is forgotten with it.
    owners: Vec<Weak<dyn Owner>>,
    // Streams by key, oldest first. Only kept where a limit per key is set.
    keys: HashMap<Box<str>, VecDeque<Place>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_owner(&self, owner: &Arc<dyn Owner>) {
        let mut inner = self.lock();
        inner.owners.retain(|known| known.strong_count() > 0);
        inner.owners.push(Arc::downgrade(owner));
    }

    /// All that are alive. Taken out of the lock: what is done with them takes locks of theirs.
    pub(crate) fn owners(&self) -> Vec<Arc<dyn Owner>> {
        self.lock()
            .owners
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Notes a stream under its key. Returns the key's oldest stream where there is one too many.
    pub(crate) fn enter(
        &self,
        key: &str,
        limit: usize,
        owner: &Arc<dyn Owner>,
        token: Token,
    ) -> Option<(Arc<dyn Owner>, Token)> {
        let mut inner = self.lock();
        let streams = inner.keys.entry(key.into()).or_default();
        streams.push_back((Arc::downgrade(owner), token));
        if streams.len() <= limit {
            return None;
        }
        let (oldest, token) = streams.pop_front()?;
        Some((oldest.upgrade()?, token))
    }

    /// A stream has gone from one owner to another. It keeps its place in the order of age. `former` is where the owner
    /// that it had is in memory. Whether it was known: otherwise a newer one has taken its place.
    pub(crate) fn hand_over(
        &self,
        key: &str,
        former: (*const (), Token),
        owner: &Arc<dyn Owner>,
        token: Token,
    ) -> bool {
        let mut inner = self.lock();
        let streams = inner.keys.get_mut(key);
        let place = streams.and_then(|streams| {
            streams
                .iter_mut()
                .find(|(place, known)| *known == former.1 && place.as_ptr().cast() == former.0)
        });
        if let Some(place) = place {
            *place = (Arc::downgrade(owner), token);
            return true;
        }
        false
    }

    /// Forgets a stream. `owner` is where its owner is in memory: that may be on its way out of it.
    pub(crate) fn leave(&self, key: &str, owner: *const (), token: Token) {
        let mut inner = self.lock();
        if let Some(streams) = inner.keys.get_mut(key) {
            streams.retain(|(place, known)| *known != token || place.as_ptr().cast() != owner);
            if streams.is_empty() {
                inner.keys.remove(key);
            }
        }
    }
}
