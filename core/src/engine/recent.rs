//! What thousands of connections of one route have in common, kept once.

use std::sync::{Arc, Mutex, PoisonError};

/// How many different values are remembered: an application has few routes that stream.
const REMEMBERED: usize = 16;

/// The values seen last.
#[derive(Debug)]
pub(crate) struct Recent<T: ?Sized> {
    values: Mutex<Vec<Arc<T>>>,
}

impl<T: ?Sized> Default for Recent<T> {
    fn default() -> Self {
        Self {
            values: Mutex::default(),
        }
    }
}

impl<T: ?Sized + PartialEq> Recent<T> {
    /// The same value: another's, where one has it already.
    pub(crate) fn share(&self, value: Arc<T>) -> Arc<T> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = values.iter().find(|known| **known == value) {
            return known.clone();
        }
        if values.len() == REMEMBERED {
            values.remove(0);
        }
        values.push(value.clone());
        value
    }
}
