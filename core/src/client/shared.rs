//! Between a source's task and its host: the queue, and who is to be woken when.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::error::{ClientError, ClientErrorKind};
use super::notice::{Answer, Notice, Question};
use super::queue::{Outbox, Queue};
use super::runtime::Lease;

/// A function that is called when there is something to take. It is called on the client's thread, or on the one that
/// closes, so it must be quick, and must not wait for a thread that waits for a source.
pub type OnReady = Arc<dyn Fn() + Send + Sync>;

/// What a source's task and its host share.
pub(crate) struct Shared {
    state: Mutex<State>,
    // For threads that wait.
    condvar: Condvar,
    // For the task: there is room in the queue again; there is an answer; a new connection is wanted.
    room: Notify,
    answered: Notify,
    restart: Notify,
    restart_wanted: AtomicBool,
    max_events: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    queue: Queue,
    question: Option<Question>,
    answer: Option<Answer>,
    waker: Option<Waker>,
    on_ready: Option<OnReady>,
    // The host has seen the queue empty, and is to be told when it is not.
    armed: bool,
    // The task waits for room.
    crowded: bool,
    // The last notice is in the queue, or the host has closed.
    over: bool,
    running: Option<(AbortHandle, Lease)>,
}

/// Whom to wake, once the lock is released.
struct Wake {
    waker: Option<Waker>,
    on_ready: Option<OnReady>,
}

impl Wake {
    fn call(self) {
        if let Some(waker) = self.waker {
            waker.wake();
        }
        if let Some(on_ready) = self.on_ready {
            // A panic of the host's has been reported by its hook, and is no reason to lose the stream.
            let _ = catch_unwind(AssertUnwindSafe(|| on_ready()));
        }
    }
}

impl State {
    fn wake(&mut self) -> Wake {
        let armed = std::mem::take(&mut self.armed);
        Wake {
            waker: self.waker.take(),
            on_ready: self.on_ready.clone().filter(|_| armed),
        }
    }
}

/// What the host calls.
impl Shared {
    pub(crate) fn new(max_events: usize, max_bytes: usize, last_event_id: &str) -> Self {
        let state = State {
            armed: true,
            queue: Queue::starting_at(last_event_id),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            condvar: Condvar::new(),
            room: Notify::new(),
            answered: Notify::new(),
            restart: Notify::new(),
            restart_wanted: AtomicBool::new(false),
            max_events,
            max_bytes,
        }
    }

    /// Runs `start` under the lock, so that the task finds what it returns.
    pub(crate) fn run(&self, start: impl FnOnce() -> (AbortHandle, Lease)) {
        let mut state = self.lock();
        state.running = Some(start());
    }

    /// Looks at the queue and what the host knows from it.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Queue) -> T) -> T {
        look(&self.lock().queue)
    }

    /// Takes something from the queue. Where nothing is there, the next that comes wakes the host.
    pub(crate) fn take<T>(&self, take: impl FnOnce(&mut Queue) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        let taken = take(&mut state.queue);
        self.after_take(state, taken.is_none());
        taken
    }

    /// As [`Self::take`], for a future. `Ready(None)`: there will be no more.
    pub(crate) fn poll<T>(
        &self,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut Queue) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut state = self.lock();
        let taken = take(&mut state.queue);
        let ended = state.queue.is_ended();
        if taken.is_none() && !ended {
            state.waker = Some(context.waker().clone());
        }
        let pending = taken.is_none() && !ended;
        self.after_take(state, taken.is_none());
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(taken)
        }
    }

    /// Waits until there is something to take, or the end. Whether it came in time.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        // A time that no clock will see is no limit.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        while state.queue.is_idle() {
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
        true
    }

    pub(crate) fn on_ready(&self, on_ready: Option<OnReady>) {
        let mut state = self.lock();
        let former = std::mem::replace(&mut state.on_ready, on_ready);
        // What is there already counts as having just come.
        state.armed = true;
        let wake = if state.queue.is_idle() {
            None
        } else {
            Some(state.wake())
        };
        drop(state);
        drop(former);
        if let Some(wake) = wake {
            wake.call();
        }
    }

    /// Hands an answer to the task. Whether that is what it waits for.
    pub(crate) fn answer(&self, answer: Answer) -> bool {
        let mut state = self.lock();
        let fits = matches!(
            (&state.question, &answer),
            (Some(_), Answer::Failed(_))
                | (Some(Question::Headers { .. }), Answer::Headers(_))
                | (Some(Question::Redirect { .. }), Answer::Redirect(_))
        );
        if fits {
            state.question = None;
            state.answer = Some(answer);
            drop(state);
            self.answered.notify_one();
        }
        fits
    }

    pub(crate) fn restart(&self) {
        self.restart_wanted.store(true, Ordering::Release);
        self.restart.notify_one();
    }

    /// Ends everything at once.
    pub(crate) fn close(&self, finished: bool) {
        let mut state = self.lock();
        state.queue.finished |= finished;
        state.queue.close();
        state.over = true;
        let running = state.running.take();
        let wake = state.wake();
        drop(state);
        if let Some((task, lease)) = running {
            task.abort();
            drop(lease);
        }
        self.condvar.notify_all();
        wake.call();
    }

    fn after_take(&self, mut state: MutexGuard<'_, State>, empty: bool) {
        state.armed |= empty;
        let room = state.crowded && self.has_room(&state);
        if room {
            state.crowded = false;
            drop(state);
            self.room.notify_one();
        }
    }
}

/// What the task calls.
impl Shared {
    /// Hands things to the host.
    pub(crate) fn put(&self, outbox: &mut Outbox) {
        if outbox.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.over {
            // The host has closed meanwhile.
            outbox.clear();
            return;
        }
        // Another question, or none: the last one needs no answer any more.
        state.question = outbox.question().cloned();
        state.over = outbox.is_last();
        let running = if state.over {
            state.running.take()
        } else {
            None
        };
        state.queue.put(outbox);
        let wake = state.wake();
        drop(state);
        // The thread may end with this task: nobody needs it any more.
        drop(running);
        self.condvar.notify_all();
        wake.call();
    }

    /// Waits until the host has taken enough.
    pub(crate) async fn room(&self) {
        loop {
            {
                let mut state = self.lock();
                if self.has_room(&state) {
                    return;
                }
                state.crowded = true;
            }
            self.room.notified().await;
        }
    }

    /// Waits for the host to answer.
    pub(crate) async fn answered(&self) -> Answer {
        loop {
            if let Some(answer) = self.lock().answer.take() {
                return answer;
            }
            self.answered.notified().await;
        }
    }

    /// There is a new connection: whoever wanted one has it.
    pub(crate) fn restarted(&self) {
        self.restart_wanted.store(false, Ordering::Release);
    }

    /// Does this, unless the host wants a new connection meanwhile, or has wanted one since the last.
    pub(crate) async fn unless_restarted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut restart = pin!(async {
            while !self.restart_wanted.swap(false, Ordering::AcqRel) {
                self.restart.notified().await;
            }
        });
        poll_fn(|context| {
            if restart.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    fn has_room(&self, state: &State) -> bool {
        state.queue.len() < self.max_events && state.queue.bytes() < self.max_bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the host when the task has ended without a last notice, which only a panic can bring about.
pub(crate) struct LastWord(pub(crate) Arc<Shared>);

impl Drop for LastWord {
    fn drop(&mut self) {
        let mut outbox = Outbox::default();
        outbox.notice(Notice::Failed(ClientError::new(
            ClientErrorKind::Internal,
            "the client has failed: please report this as a bug",
        )));
        // Nothing happens where there was one.
        self.0.put(&mut outbox);
    }
}
