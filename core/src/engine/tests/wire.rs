//! A socket that does what the test says.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::socket::{Input, Socket};
use crate::hub::Hub;

/// The test's hold on a socket.
#[derive(Clone)]
pub(super) struct Wire {
    state: Arc<Mutex<State>>,
    hub: Hub,
    during: During,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct State {
    /// What the client has got.
    pub(super) taken: Vec<u8>,
    /// After each send: how many bytes that were, and the newest event when they were first tried.
    pub(super) heads: Vec<(usize, u64)>,
    // What was tried and not taken, and the newest event at that time.
    tried: (Vec<u8>, u64),
    /// How many more bytes there is room for.
    pub(super) room: usize,
    /// How many bytes one call takes at most.
    pub(super) bite: usize,
    /// When it last took something: the number of that send among those of all sockets.
    pub(super) last_send: usize,
    /// Every call fails.
    pub(super) broken: bool,
    /// The connection was ended.
    pub(super) shut: bool,
    /// It is the server's alone again.
    pub(super) given_back: bool,
    /// What reading finds, one call after the other; then nothing.
    pub(super) input: VecDeque<Input>,
    /// The last send found no room: the poller tells when there is.
    asked: bool,
}

impl Wire {
    pub(super) fn new(room: usize, hub: &Hub, during: &During) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                taken: Vec::new(),
                heads: Vec::new(),
                tried: (Vec::new(), 0),
                room,
                bite: usize::MAX,
                last_send: 0,
                broken: false,
                shut: false,
                given_back: false,
                input: VecDeque::new(),
                asked: false,
            })),
            hub: hub.clone(),
            during: during.clone(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether the poller has to tell that there is room.
    pub(super) fn is_ready(&self) -> bool {
        let state = self.state();
        state.asked && state.room > 0 && !state.shut
    }

    /// Tells it, once.
    pub(super) fn tell(&self) -> bool {
        let ready = self.is_ready();
        self.state().asked &= !ready;
        ready
    }
}

impl Socket for Wire {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let number = self.during.count();
        let mut state = self.state();
        state.asked = false;
        assert!(!state.shut, "nothing is sent after the end");
        assert!(!bytes.is_empty(), "an empty send proves nothing");
        if state.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if !state.tried.0.starts_with(bytes) {
            state.tried = (bytes.to_vec(), self.hub.last_event_id().seq);
        }
        let sent = bytes.len().min(state.room).min(state.bite);
        if sent == 0 {
            state.asked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.taken.extend_from_slice(&bytes[..sent]);
        state.last_send = number;
        let point = (state.taken.len(), state.tried.1);
        state.heads.push(point);
        state.tried.0.drain(..sent);
        if state.room != usize::MAX {
            state.room -= sent;
        }
        Ok(sent)
    }

    fn discard(&mut self, _most: usize) -> Input {
        self.state().input.pop_front().unwrap_or(Input::Some(0))
    }

    fn has_left(&self) -> bool {
        self.state().input.front() == Some(&Input::End)
    }

    fn give_back(&mut self) {
        self.state().given_back = true;
    }

    fn shut(&mut self) {
        self.state().shut = true;
    }
}

type Act = Box<dyn FnOnce() + Send>;

/// What happens elsewhere while the writer is at work: before the n-th send of all sockets.
#[derive(Clone, Default)]
pub(super) struct During {
    inner: Arc<Mutex<Acts>>,
}

#[derive(Default)]
struct Acts {
    sends: usize,
    // In the order of their times.
    acts: VecDeque<(usize, Act)>,
}

impl During {
    /// Counts from here.
    pub(super) fn start(&self) {
        *lock(&self.inner) = Acts::default();
    }

    /// Plans an act. They come in the order of their times.
    pub(super) fn plan(&self, sends: usize, act: impl FnOnce() + Send + 'static) {
        lock(&self.inner).acts.push_back((sends, Box::new(act)));
    }

    /// How many sends there have been.
    pub(super) fn sends(&self) -> usize {
        lock(&self.inner).sends
    }

    /// What has not had its time yet happens now.
    pub(super) fn finish(&self) {
        let left = std::mem::take(&mut lock(&self.inner).acts);
        for (_, act) in left {
            act();
        }
    }

    /// Counts a send, which is the n-th.
    fn count(&self) -> usize {
        let mut inner = lock(&self.inner);
        inner.sends += 1;
        let sends = inner.sends;
        let mut due = Vec::new();
        while inner.acts.front().is_some_and(|(at, _)| *at <= sends) {
            due.extend(inner.acts.pop_front());
        }
        drop(inner);
        for (_, act) in due {
            act();
        }
        sends
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
