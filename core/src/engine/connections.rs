//! The connections of one shard: who reads what, who can take what, who is due. No thread and no poller here: time,
//! mail and the readiness of sockets come as arguments.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::batch::Batch;
use super::command::Command;
use super::connection::Connection;
use super::directory::{Directory, place_of};
use super::mailbox::{Content, Mailbox};
use super::outbox::Outbox;
use super::reports::Report;
use super::round::{Letter, Round};
use super::socket::Socket;
use super::terms::Framing;
use crate::delivery::{EndReason, Token};
use crate::shared::Shared;
use crate::topic::cursor::{Place, Step};
use crate::topic::few::Few;
use crate::topic::frame::Frame;
use crate::topic::hash::NumberMap;
use crate::topic::table::{Effects, TopicId};
use crate::topic::wheel::Wheel;

/// How many connections that read the log get a batch per turn.
const READERS_PER_TURN: usize = 64;
/// How late heartbeats and deadlines may be, in milliseconds.
const TICK: u64 = 16;

/// What a shard works with, for one call.
pub(crate) struct Scene<'a, S> {
    pub(crate) hub: &'a Arc<Shared>,
    pub(crate) mailbox: &'a Mailbox<Letter, Command<S>>,
    pub(crate) directory: &'a Mutex<Directory>,
    pub(crate) outbox: &'a Outbox,
    /// Where the engine is in memory, for the registry of keys.
    pub(crate) owner: *const (),
    pub(crate) now: u64,
    /// Lets other threads have the processor, in the middle of long work.
    pub(crate) give_way: &'a dyn Fn(),
}

impl<S> Scene<'_, S> {
    /// The last event for a connection that has been told to end, of which it may not have heard yet.
    pub(super) fn last_owed(&self, token: Token) -> Option<u64> {
        self.directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ended(token)
    }
}

pub(crate) struct Connections<S> {
    // By place. Boxed: a place that is free costs next to nothing.
    pub(super) slots: Vec<Option<Slot<S>>>,
    pub(crate) count: usize,
    // Who reads a topic, and which of the reader's sources it is.
    pub(super) readers: NumberMap<TopicId, Vec<(u32, u32)>>,
    // Those that are behind and can take more.
    pub(super) queue: VecDeque<u32>,
    pub(super) wheel: Wheel<u32>,
    pub(super) round: Round,
    // What came while a round was under way.
    pub(super) next: Content<Letter, Command<S>>,
    // Bytes of the round and of what has come since.
    pub(super) waiting_bytes: usize,
    // Clients that have sent more than is read at a time.
    unread: Vec<Token>,
    // What was read from the log in this turn.
    pub(super) read: Vec<(Place, Framing, Arc<Step>, Arc<Batch>)>,
    // Over, and still in the lists.
    pub(super) over: Vec<u32>,
    // For the poller to forget.
    pub(crate) gone: Vec<S>,
    // Bytes of frames that are sent in part.
    pub(super) pinned: usize,
    // Not sooner is it asked again who holds frames that no log has any more.
    pub(super) relief_due: u64,
    // Events and bytes that a broadcast has delivered: counted in one go.
    pub(super) delivered: (u64, u64),
    // Scratch space.
    pub(super) slice: Vec<u32>,
    pub(super) frames: Vec<Arc<Frame>>,
}

pub(super) struct Slot<S> {
    pub(super) token: Token,
    pub(super) connection: Box<Connection<S>>,
    // Where in the lists of readers it is, by source.
    pub(super) places: Few<u32>,
}

impl<S: Socket> Connections<S> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            count: 0,
            readers: NumberMap::default(),
            queue: VecDeque::new(),
            wheel: Wheel::new(TICK),
            round: Round::default(),
            next: Content::default(),
            waiting_bytes: 0,
            unread: Vec::new(),
            read: Vec::new(),
            over: Vec::new(),
            gone: Vec::new(),
            pinned: 0,
            relief_due: 0,
            delivered: (0, 0),
            slice: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// The connection of a token, unless it is over.
    pub(crate) fn get(&mut self, token: Token) -> Option<&mut Connection<S>> {
        let slot = self.slots.get_mut(place_of(token) as usize)?.as_mut()?;
        (slot.token == token && slot.connection.over.is_none()).then_some(&mut *slot.connection)
    }

    /// Everything there is to do without a socket becoming ready. Whether there is more to do at once.
    pub(crate) fn turn(&mut self, scene: &Scene<'_, S>) -> bool {
        self.read.clear();
        for token in std::mem::take(&mut self.unread) {
            self.readable(scene, token);
        }
        if self.next.mail.is_empty() && !self.next.overflowed && self.next.commands.is_empty() {
            scene.mailbox.take(&mut self.next);
        }
        self.broadcast(scene);
        while let Some((due, index)) = self.wheel.pop(scene.now) {
            self.on_time(scene, index, due);
        }
        for _ in 0..READERS_PER_TURN.min(self.queue.len()) {
            let Some(index) = self.queue.pop_front() else {
                break;
            };
            if let Some(connection) = self.at(index) {
                connection.queued = false;
                self.serve(scene, index);
            }
        }
        self.relieve(scene);
        self.bury(scene);
        !self.queue.is_empty()
            || !self.unread.is_empty()
            || !self.next.mail.is_empty()
            || self.next.overflowed
    }

    /// When the next turn is due, without mail.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.wheel.next()
    }

    /// A socket can take more.
    pub(crate) fn writable(&mut self, scene: &Scene<'_, S>, token: Token) {
        if let Some(connection) = self.get(token)
            && connection.blocked
        {
            connection.blocked = false;
            self.serve(scene, place_of(token));
        }
    }

    /// A client has sent something, or left.
    pub(crate) fn readable(&mut self, scene: &Scene<'_, S>, token: Token) {
        // The server reads what comes on a connection that it keeps.
        let Some(connection) = self.get(token).filter(|it| !it.how.held) else {
            return;
        };
        match connection.discard(super::MAX_INPUT_ROUND, scene.now) {
            None => self.unread.push(token),
            Some(Ok(())) => {}
            Some(Err(reason)) => self.end(place_of(token), reason, false),
        }
    }

    /// A client has closed its side, and may have sent something before. Where the server reads that, it is enough to
    /// know; else it is found when it has been read.
    pub(crate) fn read_closed(&mut self, token: Token) {
        if self.get(token).is_some_and(|it| it.how.held) {
            self.end(place_of(token), EndReason::Client, false);
        }
    }

    /// The client has left, as the poller says.
    pub(crate) fn hung_up(&mut self, token: Token) {
        if self.get(token).is_some() {
            self.end(place_of(token), EndReason::Client, false);
        }
    }

    /// The hub is gone: so are its connections, and those that were to come.
    pub(crate) fn abandon(&mut self, mailbox: &Mailbox<Letter, Command<S>>) {
        mailbox.take(&mut self.next);
        let coming = self.next.commands.drain(..).filter_map(|(_, it)| match it {
            Command::Add(_, connection) => Some(connection),
            _ => None,
        });
        let there = self.slots.drain(..).flatten().map(|it| it.connection);
        for mut connection in there.chain(coming) {
            connection.socket.shut();
            self.gone.push(connection.socket);
        }
        self.count = 0;
    }

    pub(super) fn at(&mut self, index: u32) -> Option<&mut Connection<S>> {
        let slot = self.slots.get_mut(index as usize)?.as_mut()?;
        slot.connection
            .over
            .is_none()
            .then_some(&mut *slot.connection)
    }

    /// Ends a connection. It leaves the lists after the round: they are being walked.
    pub(super) fn end(&mut self, index: u32, reason: EndReason, clean: bool) {
        let pinned = self.pinned_by(index);
        if let Some(connection) = self.at(index) {
            connection.end(reason, clean);
            self.pinned -= pinned;
            self.over.push(index);
        }
    }

    /// Takes those that are over out of the lists, and tells who wants to know.
    fn bury(&mut self, scene: &Scene<'_, S>) {
        for index in std::mem::take(&mut self.over) {
            let Some(slot) = self.slots[index as usize].take() else {
                continue;
            };
            self.count -= 1;
            let sources = slot.connection.stream.cursor.sources();
            for (topic, place) in sources.iter().zip(slot.places.iter()) {
                self.unlist(*topic, *place as usize);
            }
            self.gone.push(close(scene, slot));
        }
    }

    /// Ends all connections, also where the lists may not be right any more. Their sockets.
    pub(crate) fn fail(self, scene: &Scene<'_, S>) -> Vec<S> {
        let mut gone = self.gone;
        let coming = self
            .next
            .commands
            .into_iter()
            .filter_map(|(_, it)| match it {
                Command::Add(token, connection) => Some(Slot {
                    token,
                    connection,
                    places: Few::default(),
                }),
                _ => None,
            });
        for mut slot in self.slots.into_iter().flatten().chain(coming) {
            if slot.connection.over.is_none() {
                slot.connection.end(EndReason::Error, false);
            }
            gone.push(close(scene, slot));
        }
        gone
    }

    fn unlist(&mut self, topic: TopicId, place: usize) {
        let Some(list) = self.readers.get_mut(&topic) else {
            return;
        };
        list.swap_remove(place);
        if let Some((moved, source)) = list.get(place).copied()
            && let Some(Some(slot)) = self.slots.get_mut(moved as usize)
        {
            slot.places[source as usize] = u32::try_from(place).unwrap_or(u32::MAX);
        }
        if list.is_empty() {
            self.readers.remove(&topic);
        }
    }
}

/// Gives back all that a connection holds, and tells who wants to know. Its socket, for the poller to forget.
fn close<S: Socket>(scene: &Scene<'_, S>, slot: Slot<S>) -> S {
    let hub = scene.hub;
    let mut connection = slot.connection;
    let mode = connection.mode();
    let (reason, clean) = connection
        .over
        .map_or((EndReason::Error, false), |over| (over.reason, over.clean));
    let stream = &mut connection.stream;
    let info = stream.info(hub, mode, reason);
    let mut fx = Effects::default();
    stream.cursor.detach(&mut hub.table(), scene.now, &mut fx);
    fx.run();
    if let Some(key) = &stream.key {
        hub.registry.leave(key, scene.owner, slot.token);
    }
    let is_connection = stream.connection;
    scene
        .directory
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(slot.token);
    hub.leave_mode(mode);
    hub.forget_stream(is_connection, reason);
    // Counted before it is told. It fails where nobody listens any more.
    let report = Report {
        tag: connection.how.tag,
        label: connection.how.label,
        clean,
        info,
    };
    let _ = scene.outbox.send((connection.inbox, report));
    connection.socket
}
