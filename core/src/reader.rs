//! The pull side for code: a subscription read event by event, by a thread or by a future.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::delivery::{Delivery, End, EndReason, Token};
use crate::error::Result;
use crate::event::Event;
use crate::options::StreamOptions;
use crate::selector::Selector;
use crate::subscription::Subscription;
use crate::wire::parse::Parser;

impl Subscription {
    /// Starts reading.
    ///
    /// # Errors
    /// `Closed` where the hub is.
    pub fn reader(&self) -> Result<Reader> {
        let signal = Arc::new(Signal::default());
        let selector = {
            let signal = signal.clone();
            Selector::new(self.shared().clone(), Arc::new(move || signal.raise()))
        };
        let token = selector.add(self, &StreamOptions::default())?;
        Ok(Reader {
            selector,
            token,
            signal,
            parser: Parser::with_max_event_size(usize::MAX),
            events: VecDeque::new(),
        })
    }
}

/// One reader of a subscription: events in order, each once.
pub struct Reader {
    selector: Selector,
    token: Token,
    signal: Arc<Signal>,
    // Frames are what logs hold; whoever reads events gets them parsed, as a client would.
    parser: Parser,
    events: VecDeque<Event>,
}

/// A wake-up call for one reader, whether it blocks or awaits.
#[derive(Default)]
struct Signal {
    state: Mutex<(bool, Option<Waker>)>,
    condvar: Condvar,
}

impl Signal {
    fn raise(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        self.condvar.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits to be raised, and lowers itself. Whether it was raised in time.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if std::mem::take(&mut state.0) {
                return true;
            }
            state = match deadline {
                None => self
                    .condvar
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.condvar
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

/// What a reader found.
enum Found {
    Event(Event),
    Nothing,
    End,
}

impl Reader {
    /// The next event, gap events included. Blocks, at most for `timeout`. `None` where none came in time, and where
    /// the subscription has ended: see [`Reader::is_ended`].
    ///
    /// # Errors
    /// None at present; the type leaves room for transports that fail.
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<Event>> {
        // A time that no clock will see is no limit.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match self.find() {
                Found::Event(event) => return Ok(Some(event)),
                Found::Nothing if self.signal.wait(deadline) => {}
                Found::Nothing | Found::End => return Ok(None),
            }
        }
    }

    /// The next event, awaited. Needs no particular runtime. `None` where the subscription has ended.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| {
            // Set before looking: a wake-up call between the look and the return must find it.
            {
                let mut state = self
                    .signal
                    .state
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                state.0 = false;
                state.1 = Some(context.waker().clone());
            }
            match self.find() {
                Found::Event(event) => Poll::Ready(Some(event)),
                Found::End => Poll::Ready(None),
                Found::Nothing => Poll::Pending,
            }
        })
        .await
    }

    /// Whether the subscription has ended: the hub was closed, or the reader was too slow.
    pub fn is_ended(&self) -> bool {
        self.selector.is_empty()
    }

    fn find(&mut self) -> Found {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Found::Event(event);
            }
            let bytes = match self.poll() {
                None => return Found::Nothing,
                Some(Delivery::Frames(batch)) => Bytes::Batch(batch),
                Some(Delivery::Bytes(bytes) | Delivery::Gap(bytes)) => Bytes::Own(bytes),
                Some(Delivery::End(end)) => {
                    self.selector.remove(self.token, end.reason);
                    return Found::End;
                }
            };
            let events = &mut self.events;
            // Frames of this hub parse; the limit is off.
            let _ = self
                .parser
                .feed(bytes.as_ref(), |event| events.push_back(event.to_event()));
        }
    }

    fn poll(&mut self) -> Option<Delivery> {
        if self.selector.is_empty() {
            return Some(Delivery::End(End {
                reason: EndReason::Client,
                last: None,
                clean: true,
            }));
        }
        // Answers the wake-up call, so that the next one comes.
        let mut ready = Vec::new();
        self.selector.select(&mut ready);
        match ready.pop() {
            Some((_, delivery)) => Some(delivery),
            None => self.selector.poll(self.token),
        }
    }
}

enum Bytes {
    Batch(Arc<crate::batch::Batch>),
    Own(Arc<[u8]>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Batch(batch) => batch.bytes(),
            Self::Own(bytes) => bytes,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.selector.remove(self.token, EndReason::Client);
    }
}
