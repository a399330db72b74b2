//! What belongs to one process. A forked child has its parent's memory, but not the threads that hold locks in it.

/// A value of this process: a forked child gets no hold of it, and does not run its destructor.
pub(crate) struct Owned<T> {
    process: u32,
    // Taken out by `drop` only.
    value: Option<T>,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            process: std::process::id(),
            value: Some(value),
        }
    }

    /// The value, in the process that it belongs to.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value
            .as_ref()
            .filter(|_| self.process == std::process::id())
    }

    /// Takes the value out, in the process that it belongs to.
    pub(crate) fn into_inner(mut self) -> Option<T> {
        if self.process == std::process::id() {
            self.value.take()
        } else {
            None
        }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.value.take());
        }
    }
}
