//! The push side: sockets that the engine writes itself, on threads of its own. After the hand-off neither the host's
//! event loop nor its interpreter is in the way of an event.
//!
//! ```text
//! hub.publish -> topic/table -> mailbox -> shard -> round (one batch for many) -> connection -> socket
//!                                            log (replay, catching up) -^
//! ```

mod batch;
mod broadcast;
mod command;
mod connection;
mod connections;
mod directory;
mod handoff;
mod mailbox;
mod outbox;
mod recent;
mod reports;
mod round;
mod serve;
mod shard;
mod socket;
mod terms;
mod turns;

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use self::command::{Command, Group};
use self::connection::Connection;
use self::directory::{Directory, Entry, shard_of};
use self::recent::Recent;
use self::reports::Inbox;
use self::shard::Shard;
use self::socket::TakenSocket;
use crate::delivery::{EndReason, Token};
use crate::registry::{Owner, Plan};
use crate::shared::Shared;
use crate::stream::{Stream, at_least_one};
use crate::topic::table::{ListenerId, Name};

pub use handoff::Slot;
pub use reports::{Report, Reports};
pub use terms::{Framing, HandOff};

/// The locks of the mailbox: a test has others, which try every order of steps.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
}

/// What is read of a client's input at a time, in bytes.
const MAX_INPUT_ROUND: usize = 16 * 1024;

/// The writers of one hub.
pub(crate) struct Engine {
    shards: Box<[Shard]>,
    // Numbers for dummies.
    sinks: AtomicU64,
    names: Recent<[Name]>,
    labels: Recent<str>,
}

/// A place for a stream: its socket is taken, and the stream has still to come.
pub(crate) struct Prepared {
    token: Token,
    socket: OwnedFd,
}

impl Engine {
    pub(crate) fn start(hub: &Arc<Shared>) -> io::Result<Arc<Self>> {
        let outbox = outbox::start()?;
        let mut shards = Vec::new();
        for number in 0..hub.options.shards {
            match Shard::start(number, hub, outbox.clone()) {
                Ok(shard) => shards.push(shard),
                Err(error) => {
                    // All or none: those that have started are not to be told of anything any more.
                    for Shard { listener, .. } in &shards {
                        let door = hub.table().remove_listener(*listener);
                        drop(door);
                    }
                    return Err(error);
                }
            }
        }
        Ok(Arc::new(Self {
            shards: shards.into(),
            sinks: AtomicU64::new(0),
            names: Recent::default(),
            labels: Recent::default(),
        }))
    }

    /// Takes the socket behind a host's descriptor, for this stream.
    pub(crate) fn prepare(&self, stream: &Stream, slot: Slot, fd: i32) -> io::Result<Prepared> {
        let shard = self.least_busy();
        if shard.door.is_closed() {
            return Err(io::Error::other("the writer has ended"));
        }
        let token = shard.directory().insert(Entry {
            key: stream.key.clone(),
            names: self.names.share(stream.names.clone()),
            connection: stream.connection,
            // Until it is here, others see to its end.
            ended: Some(0),
        });
        let door = &shard.door;
        let watch = |socket: &OwnedFd| {
            // A send to a client that has left would end the process. It fails where both sides are closed, which is then
            // the server's to find out; and stays, since a server gets its error all the same.
            #[cfg(target_vendor = "apple")]
            rustix::net::sockopt::set_socket_nosigpipe(socket, true)?;
            door.watch(socket, token)
        };
        match slot.take(fd, watch, |socket| door.forget(socket)) {
            Ok((socket, sink)) => {
                if let Some(sink) = sink {
                    let number = self.sinks.fetch_add(1, Ordering::Relaxed);
                    door.keep(number, sink);
                }
                Ok(Prepared { token, socket })
            }
            Err(error) => {
                shard.directory().remove(token);
                Err(error)
            }
        }
    }

    /// The listener that the stream's cursor is to tell.
    pub(crate) fn listener(&self, prepared: &Prepared) -> ListenerId {
        self.shard(prepared.token).listener
    }

    /// Takes the stream. `former` is its owner so far, and what that called it.
    pub(crate) fn add(
        self: &Arc<Self>,
        hub: &Shared,
        Prepared { token, socket }: Prepared,
        mut stream: Stream,
        mut how: HandOff,
        reports: &Reports,
        former: (*const (), Token),
    ) {
        stream.names = self.names.share(stream.names);
        how.label = self.labels.share(how.label);
        let timeout = at_least_one(hub.options.write_timeout);
        stream.write_timeout.get_or_insert(timeout);
        if how.held {
            reports.inbox().hold(how.tag, token);
        }
        let key = stream.key.clone();
        let socket = TakenSocket::new(socket, how.held, stream.write_timeout);
        let inbox = Arc::downgrade(reports.inbox());
        let mut connection = Box::new(Connection::new(stream, socket, how, inbox));
        hub.enter_mode(connection.mode());
        let shard = self.shard(token);
        // Under the directory's lock: who finds the stream there, or by its key, finds it in the shard, too.
        let mut directory = shard.directory();
        if let Some(key) = &key {
            let owner: Arc<dyn Owner> = self.clone();
            let is_known = hub.registry.hand_over(key, former, &owner, token);
            // A newer stream has taken its place just now, and looks for it where it was.
            if !is_known && hub.options.limits.connections_per_key.is_some() {
                connection.stream.end(EndReason::Kick, None, 0);
            }
        }
        // In a drain it still gets what came before, and may be sent away at once.
        let ending = connection.stream.ending.as_ref();
        let ended = ending.filter(|it| it.reason != EndReason::Drain);
        directory.show(token, ended.map(|it| it.through));
        shard.door.send(Command::Add(token, connection));
    }

    /// Ends a held stream, of which the server has no more use.
    pub(crate) fn remove(&self, token: Token, reason: EndReason) {
        let shard = self.shard(token);
        shard.door.send(Command::Remove(token, reason));
    }

    /// Ends some of a host's streams: each gets a time of its own.
    pub(crate) fn drain_group(&self, plan: &Arc<Plan>, inbox: &Arc<Inbox>, tags: HashSet<u64>) {
        let group = Arc::new(Group {
            inbox: Arc::downgrade(inbox),
            tags,
        });
        self.drain_each(plan, Some(&group));
    }

    fn drain_each(&self, plan: &Arc<Plan>, group: Option<&Arc<Group>>) {
        for shard in &self.shards {
            shard
                .door
                .send(Command::Drain(plan.clone(), group.cloned()));
        }
    }

    fn shard(&self, token: Token) -> &Shard {
        &self.shards[shard_of(token)]
    }

    fn least_busy(&self) -> &Shard {
        self.shards
            .iter()
            .min_by_key(|shard| shard.directory().len())
            .unwrap_or(&self.shards[0])
    }

    fn end_where(
        &self,
        reason: EndReason,
        last: Option<&Arc<[u8]>>,
        through: u64,
        which: impl Fn(&Entry) -> bool,
    ) -> usize {
        let mut count = 0;
        for shard in &self.shards {
            let mut directory = shard.directory();
            let tokens = directory.end_where(through, &which);
            count += tokens.len();
            if !tokens.is_empty() {
                let command = Command::End(tokens, reason, last.cloned());
                shard.door.send(command);
            }
        }
        count
    }
}

impl Shard {
    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.door
            .directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the hub does to its connections. No call waits for a writer.
impl Owner for Engine {
    fn disconnect(
        &self,
        key: Option<&str>,
        topic: Option<&str>,
        last: Option<&Arc<[u8]>>,
        through: u64,
    ) -> usize {
        self.end_where(EndReason::Kick, last, through, |entry| {
            entry.connection
                && key.is_none_or(|key| entry.key.as_deref() == Some(key))
                && topic
                    .is_none_or(|topic| entry.names.iter().any(|name| name.text.as_ref() == topic))
        })
    }

    fn end(&self, token: Token, reason: EndReason, last: Option<&Arc<[u8]>>) {
        let command = Command::End(vec![token], reason, last.cloned());
        let shard = self.shard(token);
        // Not before the stream itself: see `add`.
        let _directory = shard.directory();
        shard.door.send(command);
    }

    fn drain(&self, plan: &Arc<Plan>) {
        self.drain_each(plan, None);
    }

    fn close_all(&self) {
        for shard in &self.shards {
            shard.door.send(Command::CloseAll);
        }
    }
}

/// The hub is gone, or not all writers could start. They end by themselves; one may be who drops this.
impl Drop for Shard {
    fn drop(&mut self) {
        self.door.close();
    }
}

#[cfg(test)]
mod tests;
