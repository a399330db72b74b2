//! The handle that hosts hold.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::driver::drive;
use super::error::{ClientError, ClientErrorKind};
use super::notice::{Answer, Notice, Taken};
use super::options::{ClientOptions, ClientRequest};
use super::queue::{Queue, ReadyState};
use super::request::{Target, fields};
use super::runtime::process;
use super::session::Session;
use super::shared::{OnReady, Shared};
use super::transport::Transport;
use crate::error::{Error, ErrorKind, Result};

/// A stream of events that comes back by itself. See the [module](super) for how it is used.
///
/// All methods may be called from any thread. Notices go to whoever takes them: two that take share them out.
pub struct EventSource {
    // Left alone in a forked process: its lock may have been locked at the fork, and its connection is the parent's.
    shared: Arc<Shared>,
    url: String,
    process: u32,
    // In a forked process: the host has been told.
    told: AtomicBool,
}

impl EventSource {
    /// Checks what [`Self::open`] checks, and begins nothing. Returns what [`Self::url`] would be.
    ///
    /// # Errors
    /// As [`Self::open`], but for `LimitReached`.
    pub fn check(request: &ClientRequest, options: &ClientOptions) -> Result<String> {
        options.check()?;
        let (target, _) = Target::new(request, options.compression)?;
        Transport::new(options)?;
        Ok(target.url.to_string())
    }

    /// Begins the first attempt.
    ///
    /// # Errors
    /// `InvalidArgument` and `OutOfRange` for a request or options that cannot work, with [`Error::field`];
    /// `LimitReached` where the system has no thread or descriptor left.
    pub fn open(request: &ClientRequest, options: ClientOptions) -> Result<Self> {
        options.check()?;
        let (target, last_event_id) = Target::new(request, options.compression)?;
        let transport = Transport::new(&options)?;
        Self::begin(target, last_event_id, options, transport)
    }

    pub(crate) fn begin(
        target: Target,
        last_event_id: String,
        options: ClientOptions,
        transport: Transport,
    ) -> Result<Self> {
        let process = process();
        let lease = process.lease().map_err(|error| {
            Error::new(
                ErrorKind::LimitReached,
                format!("the client cannot start: {error}"),
            )
        })?;
        let shared = Arc::new(Shared::new(
            options.max_queued_events,
            options.max_queued_bytes,
            &last_event_id,
        ));
        let url = target.url.to_string();
        let session = Session::new(target, Arc::new(options), last_event_id);
        let task = drive(session, transport, shared.clone());
        shared.run(|| (lease.handle().spawn(task).abort_handle(), lease));
        Ok(Self {
            shared,
            url,
            process: process.id(),
            told: AtomicBool::new(false),
        })
    }

    /// The next event or other notice, if there is one.
    pub fn try_next(&self) -> Option<Notice> {
        if self.is_foreign() {
            return self.foreign_notice();
        }
        self.shared.take(Queue::next)
    }

    /// All events that have come up to the next notice; or that notice.
    pub fn try_take(&self) -> Option<Taken> {
        if self.is_foreign() {
            return self.foreign_notice().map(Taken::Notice);
        }
        self.shared.take(Queue::take)
    }

    /// Blocks until there is something to take, or never will be; at most for `timeout`. Whether it came in time.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        self.is_foreign() || self.shared.wait(timeout)
    }

    /// The next notice; blocks, at most for `timeout`. `None` where none came in time, and at the end: see
    /// [`Self::is_ended`].
    pub fn next_blocking(&self, timeout: Option<Duration>) -> Option<Notice> {
        // Another thread may be faster, once: the caller sees that as time that has run out.
        self.wait(timeout);
        self.try_next()
    }

    /// The next notice, for a future of one's own. `Ready(None)` at the end. The last caller is woken.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        if self.is_foreign() {
            return Poll::Ready(self.foreign_notice());
        }
        self.shared.poll(context, Queue::next)
    }

    /// The next notice, awaited. Needs no particular runtime. `None` at the end.
    pub async fn next(&self) -> Option<Notice> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Has this function called when there is something to take, or the end: once, and again only after
    /// [`Self::try_next`] or [`Self::try_take`] has found nothing.
    pub fn on_ready(&self, on_ready: Option<OnReady>) {
        if !self.is_foreign() {
            self.shared.on_ready(on_ready);
        }
    }

    /// Answers the last [`Notice::Ask`].
    ///
    /// # Errors
    /// `InvalidArgument` for header fields that cannot be sent, and for an answer to a question that was not asked.
    pub fn answer(&self, answer: Answer) -> Result<()> {
        if let Answer::Headers(headers) = &answer {
            fields(headers)?;
        }
        if self.is_foreign() || self.shared.answer(answer) {
            return Ok(());
        }
        Err(Error::invalid(
            "answer",
            "nothing was asked to which this is an answer",
        ))
    }

    /// Wants a new connection, now: cuts the one there is, or cuts short the delay before the next. An attempt that is
    /// under way is the new connection, if it succeeds.
    pub fn restart(&self) {
        if !self.is_foreign() {
            self.shared.restart();
        }
    }

    /// Closes because the stream is complete, as an event has shown.
    pub fn finish(&self) {
        self.end(true);
    }

    /// Closes: the connection is cut, what waits is thrown away, and whoever waits is woken.
    pub fn close(&self) {
        self.end(false);
    }

    /// Whether there will be no more notices.
    pub fn is_ended(&self) -> bool {
        if self.is_foreign() {
            return self.told.load(Ordering::Relaxed);
        }
        self.shared.look(Queue::is_ended)
    }

    /// Whether the stream was complete: `stop_on`, status 204, or [`Self::finish`].
    pub fn is_finished(&self) -> bool {
        !self.is_foreign() && self.shared.look(|queue| queue.finished)
    }

    /// Where the source stands, after the notices that were taken.
    pub fn ready_state(&self) -> ReadyState {
        if self.is_foreign() {
            return ReadyState::Closed;
        }
        self.shared.look(|queue| queue.state)
    }

    /// The last event id, after the notices that were taken. Empty where there is none.
    pub fn last_event_id(&self) -> String {
        if self.is_foreign() {
            return String::new();
        }
        self.shared.look(|queue| queue.last_event_id.clone())
    }

    /// The URL of the request, without credentials and fragment.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether this is the copy that a forked process has of its parent's source. It is closed; open another.
    pub fn is_foreign(&self) -> bool {
        self.process != std::process::id()
    }

    fn end(&self, finished: bool) {
        if !self.is_foreign() {
            self.shared.close(finished);
        }
    }

    fn foreign_notice(&self) -> Option<Notice> {
        if self.told.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(Notice::Failed(ClientError::new(
            ClientErrorKind::Forked,
            "this source was opened before a fork, and belongs to the parent process: open one here",
        )))
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource")
            .field("url", &self.url)
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}

impl Drop for EventSource {
    fn drop(&mut self) {
        if self.is_foreign() {
            // One reference too many: what it refers to is never dropped here.
            std::mem::forget(self.shared.clone());
        } else {
            self.shared.close(false);
        }
    }
}
