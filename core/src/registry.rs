//! What must be found from outside an event loop: all selectors, and the streams of each key.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use crate::selector::{Selector, SelectorInner, Token};

/// Who is where. A lock of its own: the publishing path never takes it.
#[derive(Default)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    // Weak: a selector belongs to its event loop, and is forgotten with it.
    selectors: Vec<Weak<SelectorInner>>,
    // Streams by key, oldest first. Only kept where a limit per key is set.
    keys: HashMap<Box<str>, VecDeque<(Weak<SelectorInner>, Token)>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_selector(&self, selector: Weak<SelectorInner>) {
        let mut inner = self.lock();
        inner.selectors.retain(|known| known.strong_count() > 0);
        inner.selectors.push(selector);
    }

    /// All that are alive. Taken out of the lock: what is done with them takes locks of theirs.
    pub(crate) fn selectors(&self) -> Vec<Selector> {
        self.lock()
            .selectors
            .iter()
            .filter_map(Weak::upgrade)
            .map(Selector::from_inner)
            .collect()
    }

    /// Notes a stream under its key. Returns the key's oldest stream where there is one too many.
    pub(crate) fn enter(
        &self,
        key: &str,
        limit: usize,
        selector: Weak<SelectorInner>,
        token: Token,
    ) -> Option<(Selector, Token)> {
        let mut inner = self.lock();
        let streams = inner.keys.entry(key.into()).or_default();
        streams.push_back((selector, token));
        if streams.len() <= limit {
            return None;
        }
        let (oldest, token) = streams.pop_front()?;
        oldest
            .upgrade()
            .map(|oldest| (Selector::from_inner(oldest), token))
    }

    pub(crate) fn leave(&self, key: &str, selector: *const SelectorInner, token: Token) {
        let mut inner = self.lock();
        if let Some(streams) = inner.keys.get_mut(key) {
            streams.retain(|(place, known)| *known != token || place.as_ptr() != selector);
            if streams.is_empty() {
                inner.keys.remove(key);
            }
        }
    }
}
