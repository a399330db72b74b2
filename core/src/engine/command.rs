//! What hosts and the hub ask of a shard, and how it obeys.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use super::connection::Connection;
use super::connections::{Connections, Scene, Slot};
use super::directory::place_of;
use super::reports::Inbox;
use super::round::Round;
use super::socket::Socket;
use crate::delivery::{EndReason, Token};
use crate::registry::Plan;
use crate::shared::State;

/// What a host or the hub asks of a shard.
pub(crate) enum Command<S> {
    Add(Token, Box<Connection<S>>),
    End(Vec<Token>, EndReason, Option<Arc<[u8]>>),
    /// Of a held connection: its server has no more use for the stream.
    Remove(Token, EndReason),
    /// Of all connections, or of one host's.
    Drain(Arc<Plan>, Option<Arc<Group>>),
    CloseAll,
}

/// Some of one host's streams.
pub(crate) struct Group {
    pub(crate) inbox: Weak<Inbox>,
    /// The host's own numbers for them.
    pub(crate) tags: HashSet<u64>,
}

impl Group {
    fn has<S: Socket>(&self, connection: &Connection<S>) -> bool {
        self.inbox.ptr_eq(&connection.inbox) && self.tags.contains(&connection.how.tag)
    }
}

impl<S: Socket> Connections<S> {
    /// Does what it was told. `round` has what was published before that and is still to be given.
    pub(super) fn obey(&mut self, scene: &Scene<'_, S>, round: &mut Round, command: Command<S>) {
        match command {
            Command::Add(token, connection) => self.add(scene, token, connection),
            Command::End(tokens, reason, last) => {
                for token in tokens {
                    self.give_to(scene, round, token);
                    if let Some(connection) = self.get(token) {
                        // It may have come just now, and have still to read what was published before that.
                        let is_behind = !connection.live && !connection.blocked;
                        let owed = is_behind.then(|| scene.last_owed(token)).flatten();
                        let through = owed.unwrap_or(0);
                        if connection.stream.end(reason, last.clone(), through) {
                            self.serve(scene, place_of(token));
                        }
                    }
                }
            }
            Command::Remove(token, reason) => {
                self.give_to(scene, round, token);
                if let Some(connection) = self.get(token) {
                    // A host that has failed ends no response: to its client it would go on for ever.
                    let clean = connection.is_whole() && reason != EndReason::Error;
                    self.end(place_of(token), reason, clean);
                }
            }
            Command::Drain(plan, group) => {
                for index in 0..self.slots.len() {
                    let index = u32::try_from(index).unwrap_or(u32::MAX);
                    if let Some(connection) = self.at(index)
                        && group.as_ref().is_none_or(|group| group.has(connection))
                    {
                        connection.stream.drain(scene.hub, &plan);
                        self.arm(scene, index);
                    }
                }
            }
            Command::CloseAll => {
                let tokens = self.slots.iter().flatten().map(|slot| slot.token).collect();
                self.obey(scene, round, Command::End(tokens, EndReason::Drain, None));
            }
        }
    }

    fn give_to(&mut self, scene: &Scene<'_, S>, round: &mut Round, token: Token) {
        if self.get(token).is_some() {
            self.give(scene, round, place_of(token));
        }
    }

    fn add(&mut self, scene: &Scene<'_, S>, token: Token, mut connection: Box<Connection<S>>) {
        // It comes too late to have heard of it.
        if let Some(plan) = scene.hub.plan() {
            connection.stream.drain(scene.hub, &plan);
        }
        if scene.hub.state() == State::Closed {
            connection.stream.end(EndReason::Drain, None, 0);
        }
        // What its host did before is not the client's fault.
        connection.stream.busy_since = scene.now;
        let index = place_of(token);
        let sources = (0..).zip(connection.stream.cursor.sources());
        let places = sources
            .map(|(source, topic)| {
                let list = self.readers.entry(*topic).or_default();
                list.push((index, source));
                u32::try_from(list.len() - 1).unwrap_or(u32::MAX)
            })
            .collect();
        if self.slots.len() <= index as usize {
            self.slots.resize_with(index as usize + 1, || None);
        }
        self.slots[index as usize] = Some(Slot {
            token,
            connection,
            places,
        });
        self.count += 1;
        // Not at once: it may be sent away by the next command, and many that come together have much to read.
        self.enqueue(index);
        // Whatever the poller has told of before is not told again.
        self.readable(scene, token);
        let connection = self.get(token).filter(|it| it.how.held);
        if connection.is_some_and(|it| it.socket.has_left()) {
            self.read_closed(token);
        }
    }
}
