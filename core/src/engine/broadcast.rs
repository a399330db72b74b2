//! What a shard does with mail: rounds, in which every connection gets what is new to it, and which commands and
//! private messages need not wait out.

use super::command::Command;
use super::connection::Progress;
use super::connections::{Connections, Scene};
use super::mailbox::Content;
use super::round::{Letter, Round};
use super::socket::Socket;
use crate::delivery::EndReason;

/// After so many sends, which take some tenths of a millisecond, a broadcast gives way to others who wait for the
/// processor, and to commands and topics with few readers.
const SLICE: usize = 32;
/// A topic with at most so many readers does not wait for a broadcast to end.
const FEW: usize = 32;

impl<S: Socket> Connections<S> {
    /// Obeys commands and gives every connection what is new to it. Whoever is sent away has got what was published before
    /// that, and gets nothing that was published after it.
    pub(super) fn broadcast(&mut self, scene: &Scene<'_, S>) {
        let overflowed = std::mem::take(&mut self.next.overflowed);
        let round_bytes = self.next.mail.iter().map(|it| it.frame.len()).sum();
        self.waiting_bytes = round_bytes;
        let mut round = std::mem::take(&mut self.round);
        let (mail, commands) = (
            std::mem::take(&mut self.next.mail),
            std::mem::take(&mut self.next.commands),
        );
        self.add_and_obey(scene, &mut round, &mail, commands);
        self.next.mail = mail;
        round.put_first(|topic| self.readers.get(&topic).is_some_and(|it| it.len() <= FEW));
        self.next.mail.clear();
        let mut sends = 0;
        // What comes meanwhile may have other topics: those are the next round's.
        for at in 0..round.topics().len() {
            let topic = round.topics()[at];
            let mut visited = 0;
            // Connections may come meanwhile, at the end of the list.
            while let Some(list) = self.readers.get(&topic).filter(|it| it.len() > visited) {
                let slice = &list[visited..list.len().min(visited + SLICE)];
                visited += slice.len();
                let mut slice_of = std::mem::take(&mut self.slice);
                slice_of.extend(slice.iter().map(|(index, _)| *index));
                for index in slice_of.drain(..) {
                    sends += usize::from(self.give(scene, &mut round, index));
                }
                self.slice = slice_of;
                if sends >= SLICE {
                    sends = 0;
                    (scene.give_way)();
                    self.glance(scene, &mut round, round_bytes);
                }
            }
        }
        round.end();
        scene
            .hub
            .counters
            .delivered(std::mem::take(&mut self.delivered));
        self.round = round;
        if overflowed {
            for index in 0..self.slots.len() {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                if let Some(connection) = self.at(index) {
                    connection.live = false;
                    self.enqueue(index);
                }
            }
        }
    }

    /// Adds mail to a round, and obeys the commands in between.
    fn add_and_obey(
        &mut self,
        scene: &Scene<'_, S>,
        round: &mut Round,
        mail: &[Letter],
        commands: Vec<(usize, Command<S>)>,
    ) {
        let mut added = 0;
        for (place, command) in commands {
            // What came before it may have overflowed since.
            let place = place.clamp(added, mail.len());
            round.add(&mail[added..place]);
            added = place;
            self.obey(scene, round, command);
        }
        round.add(&mail[added..]);
    }

    /// Sends a connection what a round has for it. Whether it has anything.
    pub(super) fn give(&mut self, scene: &Scene<'_, S>, round: &mut Round, index: u32) -> bool {
        let Some(connection) = self.at(index).filter(|connection| connection.live) else {
            return false;
        };
        let cursor = &connection.stream.cursor;
        let (sources, position) = (cursor.sources(), cursor.position());
        let Some(pieces) = round.pieces(sources, position, connection.framing()) else {
            return false;
        };
        let mut delivered = (0, 0);
        for batch in pieces.iter() {
            let (progress, stop) = connection.send_batch(batch, scene.now);
            let (events, bytes) = (stop.whole as u64, batch.size(stop.whole));
            connection.stream.count(events, bytes);
            delivered = (delivered.0 + events, delivered.1 + bytes);
            match progress {
                Progress::Done => connection.stream.cursor.follow(batch.last()),
                Progress::Blocked => {
                    if let Some((frame, _)) = &stop.partial {
                        connection.stream.cursor.stop_at(frame.seq);
                        self.pinned += frame.len();
                    } else if stop.whole > 0 {
                        connection.stream.cursor.stop_at(batch.seq(stop.whole - 1));
                    }
                    self.arm(scene, index);
                    break;
                }
                Progress::Gone => {
                    self.end(index, EndReason::Client, false);
                    break;
                }
            }
        }
        self.delivered.0 += delivered.0;
        self.delivered.1 += delivered.1;
        true
    }

    /// Looks up from a broadcast: at commands, at what few readers wait for, and at what the others may have at once.
    fn glance(&mut self, scene: &Scene<'_, S>, round: &mut Round, round_bytes: usize) {
        let mut news = Content::default();
        scene.mailbox.take(&mut news);
        self.next.overflowed |= news.overflowed;
        self.waiting_bytes += news.mail.iter().map(|it| it.frame.len()).sum::<usize>();
        // What waits is bounded as in the mailbox; and what follows a hole must not overtake what fell into it.
        if self.next.overflowed || self.waiting_bytes - round_bytes > scene.mailbox.limit() {
            self.next.overflowed = true;
            self.next.mail.clear();
        }
        // For those who have not had their turn. The next round brings it to the others, and finds that these have it.
        let for_round = if self.next.overflowed {
            &[][..]
        } else {
            &news.mail
        };
        self.add_and_obey(scene, round, for_round, news.commands);
        for letter in &news.mail {
            let Some(list) = self.readers.get(&letter.topic) else {
                continue;
            };
            if list.len() > FEW {
                continue;
            }
            // From the log: with everything that the broadcast has not brought to these readers yet, in order.
            let waiting = self.waiting_bytes;
            for (index, _) in list.clone() {
                if let Some(connection) = self.at(index)
                    && connection.live
                    && connection.stream.cursor.position() < letter.frame.seq
                    // What the shard has not come to yet is no fault of the client's.
                    && connection.stream.cursor.allows(waiting)
                {
                    connection.live = false;
                    self.serve(scene, index);
                }
            }
        }
        if !self.next.overflowed {
            self.next.mail.append(&mut news.mail);
        }
    }
}
