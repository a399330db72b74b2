//! What goes from publishers and hosts to a shard: frames and commands, in one order.

use super::sync::{Mutex, MutexGuard, PoisonError};

/// A queue that one thread empties and any other fills. Its owner has to be woken up only where it sleeps.
#[derive(Debug)]
pub(crate) struct Mailbox<M, C> {
    // How many bytes of mail may wait. With more, the owner is far behind, and is told only that it has missed some.
    limit: usize,
    inner: Mutex<Inner<M, C>>,
}

#[derive(Debug)]
struct Inner<M, C> {
    content: Content<M, C>,
    bytes: usize,
    // The owner has found the mailbox empty, and waits for a wake-up call: whoever comes first makes it.
    asleep: bool,
}

/// What was in a mailbox.
#[derive(Debug)]
pub(crate) struct Content<M, C> {
    pub(crate) mail: Vec<M>,
    /// Some mail was too much and is not here.
    pub(crate) overflowed: bool,
    /// Each with how much of the mail came before it.
    pub(crate) commands: Vec<(usize, C)>,
}

impl<M, C> Default for Content<M, C> {
    fn default() -> Self {
        Self {
            mail: Vec::new(),
            overflowed: false,
            commands: Vec::new(),
        }
    }
}

impl<M, C> Content<M, C> {
    fn is_empty(&self) -> bool {
        self.mail.is_empty() && self.commands.is_empty() && !self.overflowed
    }
}

impl<M, C> Mailbox<M, C> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            inner: Mutex::new(Inner {
                content: Content::default(),
                bytes: 0,
                asleep: false,
            }),
        }
    }

    /// How many bytes of mail may wait.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Adds mail of so many bytes. Whether the owner has to be woken up.
    #[must_use]
    pub(crate) fn push(&self, mail: M, bytes: usize) -> bool {
        let mut inner = self.lock();
        if inner.bytes + bytes > self.limit {
            inner.content.mail.clear();
            inner.content.overflowed = true;
            inner.bytes = 0;
        } else if !inner.content.overflowed {
            inner.content.mail.push(mail);
            inner.bytes += bytes;
        }
        std::mem::take(&mut inner.asleep)
    }

    /// Adds a command. Whether the owner has to be woken up.
    #[must_use]
    pub(crate) fn command(&self, command: C) -> bool {
        let mut inner = self.lock();
        let place = inner.content.mail.len();
        inner.content.commands.push((place, command));
        std::mem::take(&mut inner.asleep)
    }

    /// Empties the mailbox into `content`, which is empty, and takes its room in exchange.
    pub(crate) fn take(&self, content: &mut Content<M, C>) {
        let mut inner = self.lock();
        if inner.content.is_empty() {
            // Its room is kept: publishers are not to make it anew after each look.
            return;
        }
        std::mem::swap(&mut inner.content, content);
        inner.bytes = 0;
    }

    /// The owner's last look before it sleeps: whether it may. Whatever comes after this makes the wake-up call.
    pub(crate) fn sleep(&self) -> bool {
        let mut inner = self.lock();
        inner.asleep = inner.content.is_empty();
        inner.asleep
    }

    /// The owner is up again, for whatever reason.
    pub(crate) fn wake(&self) {
        self.lock().asleep = false;
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M, C>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
