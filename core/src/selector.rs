//! The pull side for event loops: many streams, one waker. When it calls, [`Selector::select`] says which streams have
//! what to send; streams at the same position get the same bytes.
//!
//! A stream is asked for one delivery at a time ([`Selector::poll`]). While its host writes that, the cursor stays
//! where it is and what is published meanwhile becomes the next delivery, joined: slow clients cost a position.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::delivery::{Delivery, EndReason, Mode, StreamInfo, Token};
use crate::engine::{HandOff, Reports, Slot};
use crate::error::Result;
use crate::options::StreamOptions;
use crate::registry::{Owner, Plan};
use crate::shared::Shared;
use crate::stats::Counters;
use crate::stream::Stream;
use crate::streams::Streams;
use crate::subscription::Subscription;
use crate::topic::cursor::Cursor;
use crate::topic::table::{Effects, ListenerId, Wake};

/// Serves the streams of one event loop.
#[derive(Clone)]
pub struct Selector {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    listener: ListenerId,
    streams: Mutex<Streams>,
}

impl Selector {
    pub(crate) fn new(shared: Arc<Shared>, wake: Wake) -> Self {
        let listener = shared.table().add_listener(wake, None);
        let inner = Arc::new(Inner {
            shared,
            listener,
            streams: Mutex::new(Streams::new()),
        });
        let owner: Arc<dyn Owner> = inner.clone();
        inner.shared.registry.add_owner(&owner);
        Self { inner }
    }

    /// Starts a stream. What it has to send first is had by [`Selector::poll`].
    ///
    /// # Errors
    /// `LimitReached` over `limits.connections`, `Draining` and `Closed` where the hub takes no new streams.
    pub fn add(&self, subscription: &Subscription, options: &StreamOptions) -> Result<Token> {
        let hub = &self.inner.shared;
        if let Err(error) = hub.admit(options.connection) {
            Counters::add(&hub.counters.refused, 1);
            return Err(error);
        }
        let now = hub.now();
        let (token, sooner) = {
            let mut streams = self.lock();
            // Once more: a drain or close that came in between has looked at these streams already.
            if let Err(error) = hub.check_open(options.connection) {
                drop(streams);
                hub.unadmit(options.connection);
                Counters::add(&hub.counters.refused, 1);
                return Err(error);
            }
            let cursor = Cursor::attach(
                &mut hub.table(),
                subscription.terms(),
                self.inner.listener,
                now,
            );
            let mut stream = Stream::new(
                hub,
                cursor,
                subscription.terms().names.clone(),
                options,
                now,
            );
            stream.has_snapshots = subscription.has_snapshots();
            streams.sweep_at(stream.next_due(now));
            (streams.insert(stream), streams.is_sooner())
        };
        if sooner {
            self.wake();
        }
        if options.connection {
            Counters::add(&hub.counters.opened, 1);
        }
        if let (Some(key), Some(limit)) = (&options.key, hub.options.limits.connections_per_key) {
            let owner: Arc<dyn Owner> = self.inner.clone();
            if let Some((owner, oldest)) = hub.registry.enter(key, limit, &owner, token) {
                owner.end(oldest, EndReason::Kick, None);
            }
        }
        Ok(token)
    }

    /// What a stream has to send now. `None`: nothing, and [`Selector::select`] will name it when there is.
    pub fn poll(&self, token: Token) -> Option<Delivery> {
        let now = self.inner.shared.now();
        let mut fx = Effects::default();
        let (delivery, sooner) = {
            let mut streams = self.lock();
            let delivery = streams.poll(&self.inner.shared, token, now, &mut fx);
            (delivery, streams.is_sooner())
        };
        fx.run();
        if sooner {
            self.wake();
        }
        delivery
    }

    /// What all waiting streams have to send now, appended to `ready`. Returns after how long to call again without
    /// having been woken; `None` where there is nothing to wait for.
    pub fn select(&self, ready: &mut Vec<(Token, Delivery)>) -> Option<Duration> {
        let hub = &self.inner.shared;
        let now = hub.now();
        let mut fx = Effects::default();
        let next = {
            let mut streams = self.lock();
            let streams = &mut *streams;
            streams.batches.clear();
            let mut dirty = std::mem::take(&mut streams.dirty);
            hub.table().take_dirty(self.inner.listener, &mut dirty);
            for topic in &dirty {
                // The list is lent: streams come and go by other calls only.
                let Some(readers) = streams.readers.remove(topic) else {
                    continue;
                };
                for token in &readers {
                    streams.poll_waiting(hub, *token, now, ready, &mut fx);
                }
                streams.readers.insert(*topic, readers);
            }
            streams.dirty = dirty;
            for token in std::mem::take(&mut streams.flagged) {
                streams.poll_waiting(hub, token, now, ready, &mut fx);
            }
            if now >= streams.next_sweep {
                streams.sweep(hub, now, ready, &mut fx);
            }
            streams.batches.clear();
            streams.told_sweep = streams.next_sweep;
            (streams.next_sweep != u64::MAX).then(|| streams.next_sweep.saturating_sub(now).max(1))
        };
        fx.run();
        next.map(Duration::from_millis)
    }

    /// Ends a stream for good and gives back everything it holds. `None` where that has happened before.
    pub fn remove(&self, token: Token, reason: EndReason) -> Option<StreamInfo> {
        let hub = &self.inner.shared;
        let mut fx = Effects::default();
        let (info, key, connection) = {
            let mut streams = self.lock();
            let mut stream = streams.take(token)?;
            for topic in stream.cursor.sources() {
                streams.forget_reader(*topic, token);
            }
            let info = stream.info(hub, Mode::InLoop, reason);
            stream.cursor.detach(&mut hub.table(), hub.now(), &mut fx);
            (info, stream.key, stream.connection)
        };
        fx.run();
        if let Some(key) = key {
            hub.registry
                .leave(&key, Arc::as_ptr(&self.inner).cast(), token);
        }
        hub.forget_stream(connection, info.reason);
        Some(info)
    }

    /// Gives a stream to the engine, which takes its socket: the one behind the host's descriptor `fd`. With a dummy in
    /// the slot that takes the descriptor's place. The host must have written all it had of the stream, and the token
    /// means nothing any more.
    ///
    /// # Errors
    /// What the system says, or `NotFound` for a stream that is over. Nothing has happened then, and the stream is
    /// still the selector's.
    pub fn hand_off(
        &self,
        token: Token,
        slot: Slot,
        fd: i32,
        how: HandOff,
        reports: &Reports,
    ) -> std::io::Result<()> {
        let hub = &self.inner.shared;
        let engine = hub.engine_or_start()?;
        // Until the engine has the stream: who looks for it here first, and then there, finds it.
        let mut streams = self.lock();
        let Some(stream) = streams.get_mut(token).filter(|stream| !stream.ended) else {
            return Err(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "the stream is over",
            ));
        };
        let prepared = engine.prepare(stream, slot, fd)?;
        let Some(mut stream) = streams.take(token) else {
            return Err(std::io::ErrorKind::NotFound.into());
        };
        for topic in stream.cursor.sources() {
            streams.forget_reader(*topic, token);
        }
        let listener = engine.listener(&prepared);
        stream.cursor.switch(&mut hub.table(), listener);
        let former = (Arc::as_ptr(&self.inner).cast(), token);
        engine.add(hub, prepared, stream, how, reports, former);
        Ok(())
    }

    /// Whether a snapshot is due: at the begin of a stream that came without an id, and after a gap was delivered.
    pub fn needs_snapshot(&self, token: Token) -> bool {
        self.lock()
            .get_mut(token)
            .is_some_and(|stream| stream.needs_snapshot)
    }

    /// The id of a stream's position.
    pub fn position(&self, token: Token) -> Option<String> {
        let position = self.lock().get_mut(token)?.cursor.position();
        Some(self.inner.shared.id(position).to_string())
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.lock().count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn wake(&self) {
        self.inner.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.inner.lock()
    }
}

impl Inner {
    fn end_where(
        &self,
        reason: EndReason,
        last: Option<&Arc<[u8]>>,
        through: u64,
        which: impl Fn(&Stream) -> bool,
    ) -> usize {
        let mut streams = self.lock();
        let streams_ref = &mut *streams;
        let mut count = 0;
        for (index, (life, stream)) in streams_ref.places.iter_mut().enumerate() {
            if let Some(stream) = stream
                && which(stream)
                && stream.end(reason, last.cloned(), through)
            {
                count += 1;
                streams_ref.flagged.push(Token {
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    life: *life,
                });
            }
        }
        drop(streams);
        if count > 0 {
            self.wake();
        }
        count
    }

    fn wake(&self) {
        let mut fx = Effects::default();
        self.shared.table().wake(self.listener, &mut fx);
        fx.run();
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the hub does to its streams.
impl Owner for Inner {
    fn disconnect(
        &self,
        key: Option<&str>,
        topic: Option<&str>,
        last: Option<&Arc<[u8]>>,
        through: u64,
    ) -> usize {
        self.end_where(EndReason::Kick, last, through, |stream| {
            stream.connection
                && key.is_none_or(|key| stream.key.as_deref() == Some(key))
                && topic
                    .is_none_or(|topic| stream.names.iter().any(|name| name.text.as_ref() == topic))
        })
    }

    fn end(&self, token: Token, reason: EndReason, last: Option<&Arc<[u8]>>) {
        let mut streams = self.lock();
        if let Some(stream) = streams.get_mut(token) {
            stream.end(reason, last.cloned(), 0);
            streams.flagged.push(token);
        }
        drop(streams);
        self.wake();
    }

    fn close_all(&self) {
        let head = self.shared.head.load(Ordering::Acquire);
        self.end_where(EndReason::Drain, None, head, |_| true);
    }

    fn drain(&self, plan: &Arc<Plan>) {
        let hub = &self.shared;
        let mut streams = self.lock();
        for (_, stream) in &mut streams.places {
            if let Some(stream) = stream {
                stream.drain(hub, plan);
            }
        }
        streams.no_sweep_before = plan.now;
        streams.next_sweep = plan.now;
        drop(streams);
        self.wake();
    }
}

/// An event loop is gone: so are its streams.
impl Drop for Inner {
    fn drop(&mut self) {
        let hub = self.shared.clone();
        let this: *const () = std::ptr::from_ref(self).cast();
        let mut fx = Effects::default();
        let mut gone = Vec::new();
        let wake;
        {
            let mut streams = self.lock();
            let mut table = hub.table();
            for (index, (life, place)) in streams.places.iter_mut().enumerate() {
                if let Some(mut stream) = place.take() {
                    stream.cursor.detach(&mut table, hub.now(), &mut fx);
                    let token = Token {
                        index: u32::try_from(index).unwrap_or(u32::MAX),
                        life: *life,
                    };
                    gone.push((token, stream.key, stream.connection));
                }
            }
            wake = table.remove_listener(self.listener);
        }
        drop(wake);
        fx.run();
        for (token, key, connection) in gone {
            if let Some(key) = key {
                hub.registry.leave(&key, this, token);
            }
            hub.forget_stream(connection, EndReason::Error);
        }
    }
}
