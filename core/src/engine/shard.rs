//! A writer: one plain thread with its own poller, which does what [`Connections`] say.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Waker};
use rustix::net::{RecvFlags, recv};

use super::command::Command;
use super::connections::{Connections, Scene};
use super::directory::Directory;
use super::mailbox::Mailbox;
use super::outbox::Outbox;
use super::round::Letter;
use super::socket::TakenSocket;
use super::turns::Turns;
use crate::delivery::Token;
use crate::shared::Shared;
use crate::topic::frame::Frame;
use crate::topic::table::{ListenerId, Mail, TopicId};

/// How many bytes of frames wait for a shard. With more, it reads what it needs from the logs.
const MAX_MAIL: usize = 8 * 1024 * 1024;
/// How many events the poller gives at a time.
const EVENTS: usize = 1024;
/// The poller's token of the wake-up call.
const WAKE: mio::Token = mio::Token(usize::MAX);
/// The highest bit marks dummies' ends: the life in a token has one bit less than its room.
const SINK: u64 = 1 << 63;

/// What a shard shares with those who ask it for something.
pub(crate) struct Door {
    pub(crate) mailbox: Mailbox<Letter, Command<TakenSocket>>,
    pub(crate) directory: Mutex<Directory>,
    // Our ends of dummies, by their number, until the server has closed its end.
    sinks: Mutex<HashMap<u64, OwnedFd>>,
    registry: Registry,
    waker: Waker,
    // The thread is to end, since the hub is gone; or it has ended.
    closing: AtomicBool,
}

impl Door {
    pub(crate) fn send(&self, command: Command<TakenSocket>) {
        if self.mailbox.command(command) {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        // It fails where the poller is gone, and nobody is left to be woken.
        let _ = self.waker.wake();
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Has the poller tell of a socket.
    pub(crate) fn watch(&self, socket: &impl AsRawFd, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = poll_token(token.to_bits());
        self.registry
            .register(&mut SourceFd(&socket.as_raw_fd()), token, interest)
    }

    pub(crate) fn forget(&self, socket: &impl AsRawFd) {
        // Before it is closed: a duplicate elsewhere would keep the entry alive.
        let _ = self.registry.deregister(&mut SourceFd(&socket.as_raw_fd()));
    }

    /// Keeps our end of a dummy open until the server closes its own.
    pub(crate) fn keep(&self, number: u64, sink: OwnedFd) {
        let fd = sink.as_raw_fd();
        self.sinks().insert(number, sink);
        let token = poll_token(SINK | number);
        if self
            .registry
            .register(&mut SourceFd(&fd), token, Interest::READABLE)
            .is_err()
        {
            // The server gets an error for what it still writes, which servers expect of clients.
            self.sinks().remove(&number);
        }
    }

    /// Reads what a server still writes. Nothing should come but the end of the body.
    fn empty(&self, number: u64) {
        let mut sinks = self.sinks();
        let Some(sink) = sinks.get(&number) else {
            return;
        };
        let mut scratch = [0; 1024];
        loop {
            match recv(sink, &mut scratch[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => break,
            }
        }
        self.forget(sink);
        sinks.remove(&number);
    }

    fn sinks(&self) -> std::sync::MutexGuard<'_, HashMap<u64, OwnedFd>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail for Door {
    fn push(&self, topic: TopicId, frame: &Arc<Frame>) -> bool {
        let letter = Letter {
            topic,
            frame: frame.clone(),
        };
        self.mailbox.push(letter, frame.len())
    }
}

/// One writer, as the engine knows it.
pub(crate) struct Shard {
    pub(crate) door: Arc<Door>,
    pub(crate) listener: ListenerId,
}

impl Shard {
    /// Starts a writer.
    pub(crate) fn start(number: u32, hub: &Arc<Shared>, outbox: Outbox) -> io::Result<Self> {
        let poll = Poll::new()?;
        let door = Arc::new(Door {
            mailbox: Mailbox::new(MAX_MAIL),
            directory: Mutex::new(Directory::new(number)),
            sinks: Mutex::default(),
            registry: poll.registry().try_clone()?,
            waker: Waker::new(poll.registry(), WAKE)?,
            closing: AtomicBool::new(false),
        });
        let (weak, own) = (Arc::downgrade(hub), door.clone());
        crate::thread::spawn(&format!("ssehub-writer-{number}"), move || {
            Writer {
                poll,
                hub: weak,
                door: own,
                outbox,
                connections: Connections::new(),
                turns: Turns::new(),
            }
            .run();
        })?;
        let waker = door.clone();
        let listener = hub
            .table()
            .add_listener(Arc::new(move || waker.wake()), Some(door.clone()));
        Ok(Self { door, listener })
    }
}

/// The thread's own.
struct Writer {
    poll: Poll,
    // Whoever drops the last handle of a hub ends its writers.
    hub: Weak<Shared>,
    door: Arc<Door>,
    outbox: Outbox,
    connections: Connections<TakenSocket>,
    // Of this thread alone, so it needs no lock.
    turns: Turns,
}

impl Writer {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut timeout = None;
        loop {
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                // Nothing can be waited for any more: the streams end, and others stay with their servers.
                if let Some(hub) = self.hub.upgrade() {
                    self.start_over(&hub);
                }
                break;
            }
            self.door.mailbox.wake();
            let Some(hub) = self.hub.upgrade() else {
                break;
            };
            if self.door.is_closed() {
                break;
            }
            // A panic is a fault of ours: it ends the streams, which their clients resume, and not the process.
            let stepped = catch_unwind(AssertUnwindSafe(|| self.step(&hub, &events)));
            let more = stepped.unwrap_or_else(|_| {
                self.start_over(&hub);
                true
            });
            timeout = if more {
                self.turns.give_way();
                Some(Duration::ZERO)
            } else if self.door.mailbox.sleep() {
                self.connections
                    .next_due()
                    .map(|due| Duration::from_millis(due.saturating_sub(hub.now()).max(1)))
            } else {
                Some(Duration::ZERO)
            };
        }
        self.connections.abandon(&self.door.mailbox);
        self.forget_gone();
    }

    /// What the poller tells of, then everything else there is to do. Whether there is more to do at once.
    fn step(&mut self, hub: &Arc<Shared>, events: &Events) -> bool {
        let door = self.door.clone();
        let outbox = self.outbox.clone();
        let give_way = || self.turns.give_way();
        let scene = scene(hub, &door, &outbox, &give_way);
        for event in events {
            if event.token() == WAKE {
                continue;
            }
            let bits = event.token().0 as u64;
            if bits & SINK != 0 {
                door.empty(bits & !SINK);
                continue;
            }
            let token = Token::from_bits(bits);
            if event.is_error() || event.is_read_closed() && event.is_write_closed() {
                self.connections.hung_up(token);
                continue;
            }
            if event.is_read_closed() {
                self.connections.read_closed(token);
            }
            if event.is_readable() {
                self.connections.readable(&scene, token);
            }
            if event.is_writable() {
                self.connections.writable(&scene, token);
            }
        }
        let more = self.connections.turn(&scene);
        self.forget_gone();
        more
    }

    /// Ends all connections, whatever state they are in, and goes on with none.
    fn start_over(&mut self, hub: &Arc<Shared>) {
        let broken = std::mem::replace(&mut self.connections, Connections::new());
        let door = self.door.clone();
        let outbox = self.outbox.clone();
        let give_way = || self.turns.give_way();
        let scene = scene(hub, &door, &outbox, &give_way);
        self.connections.gone = broken.fail(&scene);
        self.forget_gone();
    }

    fn forget_gone(&mut self) {
        for socket in self.connections.gone.drain(..) {
            self.door.forget(&socket);
        }
    }
}

/// However the thread ends: whoever comes after that is not to wait for it.
impl Drop for Writer {
    fn drop(&mut self) {
        self.door.closing.store(true, Ordering::Release);
    }
}

fn scene<'a>(
    hub: &'a Arc<Shared>,
    door: &'a Door,
    outbox: &'a Outbox,
    give_way: &'a dyn Fn(),
) -> Scene<'a, TakenSocket> {
    Scene {
        hub,
        mailbox: &door.mailbox,
        directory: &door.directory,
        outbox,
        owner: hub
            .engine()
            .map_or(std::ptr::null(), |engine| Arc::as_ptr(&engine).cast()),
        now: hub.now(),
        give_way,
    }
}

fn poll_token(bits: u64) -> mio::Token {
    // Tokens are 64 bits on all systems that have a writer; on others places would have to be smaller.
    mio::Token(usize::try_from(bits).unwrap_or(usize::MAX))
}
