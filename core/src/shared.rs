//! What a hub and all its streams share: the table under its lock, the clock, the counters.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::delivery::{EndReason, Mode};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Fields, MAX_RETRY};
use crate::id::EventId;
use crate::options::HubOptions;
use crate::registry::{Owner, Plan, Registry};
use crate::stats::Counters;
use crate::topic::table::Table;
use crate::wire::encode::encode_checked;

/// Farewells of a drain differ in their `retry:` only; so many differ.
const FAREWELLS: usize = 32;
/// How much of a drain's spread each stream adds, in milliseconds.
const SPREAD_PER_STREAM: u64 = 5;

/// The life of a hub.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Open,
    Draining,
    Closed,
}

pub(crate) struct Shared {
    pub(crate) options: Arc<HubOptions>,
    // Topics, logs, numbers: under the sequencer's lock.
    table: Mutex<Table>,
    // The newest number, readable without the lock.
    pub(crate) head: AtomicU64,
    pub(crate) epoch: u64,
    // All times are milliseconds since this.
    pub(crate) started: Instant,
    // Selectors and keys: what has to be found from outside a loop.
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    pub(crate) connections: AtomicUsize,
    pub(crate) subscriptions: AtomicUsize,
    pub(crate) state: AtomicU8,
    // Whether a thread drops what expires while nobody calls.
    pub(crate) clock: AtomicBool,
    // The writers, from the first socket on.
    engine: Mutex<Option<Arc<Engine>>>,
    // The drain that is under way: connections that come late share it.
    plan: Mutex<Option<Arc<Plan>>>,
    // How many of the connections are the engine's, by mode.
    detached: AtomicUsize,
    held: AtomicUsize,
    // Told when a stream closes, for those who wait for the last one.
    pub(crate) closing: (Mutex<()>, Condvar),
    // A cheap source of jitter.
    pub(crate) random: AtomicU64,
}

impl Shared {
    pub(crate) fn new(options: HubOptions) -> Result<Self> {
        let options = Arc::new(options);
        let epoch = draw()?;
        Ok(Self {
            table: Mutex::new(Table::new(epoch, options.clone())),
            options,
            head: AtomicU64::new(0),
            epoch,
            started: Instant::now(),
            registry: Registry::default(),
            counters: Counters::default(),
            connections: AtomicUsize::new(0),
            subscriptions: AtomicUsize::new(0),
            state: AtomicU8::new(State::Open as u8),
            clock: AtomicBool::new(false),
            engine: Mutex::default(),
            plan: Mutex::default(),
            detached: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            closing: (Mutex::new(()), Condvar::new()),
            random: AtomicU64::new(draw()?),
        })
    }

    /// The table, under its lock. A panic of another thread does not close the hub: no step leaves the table halfway
    /// by panicking.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that have streams. The engine comes last, and is looked for last: streams go from selectors to it, it may
    /// start with one of them, and none is to be missed on its way.
    pub(crate) fn owners(&self) -> impl Iterator<Item = Arc<dyn Owner>> {
        let engine = || self.engine().map(|engine| engine as Arc<dyn Owner>);
        let engine = std::iter::once_with(engine).flatten();
        self.registry.owners().into_iter().chain(engine)
    }

    /// A stream's mode is the engine's from here on.
    pub(crate) fn enter_mode(&self, mode: Mode) {
        if let Some(count) = self.in_mode(mode) {
            count.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A stream of the engine's is gone.
    pub(crate) fn leave_mode(&self, mode: Mode) {
        if let Some(count) = self.in_mode(mode) {
            count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The writers, where there are any.
    pub(crate) fn engine(&self) -> Option<Arc<Engine>> {
        self.engine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The writers. Their threads start with the first socket.
    pub(crate) fn engine_or_start(self: &Arc<Self>) -> std::io::Result<Arc<Engine>> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*engine {
            return Ok(engine.clone());
        }
        let started = Engine::start(self)?;
        *engine = Some(started.clone());
        Ok(started)
    }

    /// How connections end that come now, while the hub drains.
    pub(crate) fn plan(&self) -> Option<Arc<Plan>> {
        self.plan
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_plan(&self, plan: Option<Arc<Plan>>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    /// How many connections the engine has in a mode.
    pub(crate) fn in_mode(&self, mode: Mode) -> Option<&AtomicUsize> {
        match mode {
            Mode::InLoop => None,
            Mode::Detached => Some(&self.detached),
            Mode::Held => Some(&self.held),
        }
    }

    /// Milliseconds since the hub's start.
    pub(crate) fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Open,
            1 => State::Draining,
            _ => State::Closed,
        }
    }

    /// Whether a new stream may open.
    pub(crate) fn check_open(&self, connection: bool) -> Result<()> {
        match self.state() {
            State::Closed => Err(closed()),
            State::Draining if connection => Err(Error::new(
                ErrorKind::Draining,
                "the hub is ending its streams and takes no new ones",
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn id(&self, seq: u64) -> EventId {
        EventId {
            epoch: self.epoch,
            seq,
        }
    }

    /// Counts a stream that is to open, unless it may not.
    pub(crate) fn admit(&self, connection: bool) -> Result<()> {
        self.check_open(connection)?;
        if !connection {
            self.subscriptions.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        let limit = self.options.limits.connections;
        if self.connections.fetch_add(1, Ordering::AcqRel) >= limit {
            self.connections.fetch_sub(1, Ordering::AcqRel);
            return Err(Error::new(
                ErrorKind::LimitReached,
                format!("the hub has {limit} streams, its limits.connections"),
            ));
        }
        Ok(())
    }

    /// A stream that was counted does not open after all.
    pub(crate) fn unadmit(&self, connection: bool) {
        let count = if connection {
            &self.connections
        } else {
            &self.subscriptions
        };
        count.fetch_sub(1, Ordering::AcqRel);
        self.tell_closing();
    }

    /// A stream is gone: counts it, and tells those who wait for the last one.
    pub(crate) fn forget_stream(&self, connection: bool, reason: EndReason) {
        if !connection {
            self.subscriptions.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        self.counters.closed(reason);
        self.connections.fetch_sub(1, Ordering::AcqRel);
        self.tell_closing();
    }

    fn tell_closing(&self) {
        let _guard = self
            .closing
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.closing.1.notify_all();
    }

    /// Waits until no connection is left, at most so long. Whether none is.
    pub(crate) fn wait_closed(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        let (lock, condvar) = &self.closing;
        let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.connections.load(Ordering::Acquire) > 0 {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            guard = condvar
                .wait_timeout(guard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// How so many streams end from now on. `last` is what each gets before it is told when to come back.
    pub(crate) fn plan_drain(
        &self,
        timeout: Duration,
        spread: Duration,
        count: usize,
        last: &[u8],
    ) -> Plan {
        // A herd of clients that come back together is what the spread is against; a few do not make one.
        let most = (count as u64).saturating_mul(SPREAD_PER_STREAM);
        let now = self.now();
        let farewells = (0..FAREWELLS).map(|_| {
            let mut farewell = last.to_vec();
            farewell.extend(encode_checked(&Fields {
                retry: Some(self.jittered_retry()),
                ..Fields::default()
            }));
            farewell.into()
        });
        Plan {
            now,
            spread: millis(spread.min(timeout / 5 * 4)).min(most),
            deadline: now.saturating_add(millis(timeout)),
            through: self.table().head(),
            farewells: farewells.collect(),
        }
    }

    /// The reconnection time, in milliseconds, for a client that is refused or sent away.
    pub(crate) fn jittered_retry(&self) -> u64 {
        let retry = self.options.retry;
        (retry + self.random(retry.max(1000))).min(MAX_RETRY)
    }

    /// A number from 0 to `below`, exclusive: jitter, not secrets (`SplitMix64`).
    pub(crate) fn random(&self, below: u64) -> u64 {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let mut z = self
            .random
            .fetch_add(step, Ordering::Relaxed)
            .wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

fn draw() -> Result<u64> {
    getrandom::u64().map_err(|error| {
        Error::new(
            ErrorKind::Closed,
            format!(
                "the operating system gives no random numbers, and a hub needs an epoch: {error}"
            ),
        )
    })
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the hub is closed")
}
