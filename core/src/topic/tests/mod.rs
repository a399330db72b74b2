//! The log and its cursors at their own level, where the test says what time it is.

mod gaps;
mod history;
mod model;
mod patterns;
mod slow;

use std::sync::Arc;

use crate::event::Fields;
use crate::options::{History, HubOptions, Limits, OnGap, Slow, Start};
use crate::topic::Millis;
use crate::topic::cursor::{Cursor, Gap, Read, Terms};
use crate::topic::frame::Frame;
use crate::topic::table::{Effects, ListenerId, Name, Table};

/// The epoch of all tables here.
const EPOCH: u64 = 0xe0;

/// A table, a clock that stands still, and a listener that never comes.
struct World {
    table: Table,
    now: Millis,
    listener: ListenerId,
}

/// What a reader got.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Event(u64),
    Gap(&'static str, u64),
    Slow,
}

impl World {
    fn new(options: HubOptions) -> Self {
        options.check().expect("settings of a test are valid");
        let mut table = Table::new(EPOCH, Arc::new(options));
        let listener = table.add_listener(Arc::new(|| {}), None);
        Self {
            table,
            now: 0,
            listener,
        }
    }

    fn publish(&mut self, topics: &[&str], data: &str) -> u64 {
        self.publish_as(topics, data, None, None)
    }

    fn publish_as(
        &mut self,
        topics: &[&str],
        data: &str,
        key: Option<&str>,
        id: Option<&str>,
    ) -> u64 {
        let fields = Fields {
            data: Some(data),
            id,
            ..Fields::default()
        };
        let mut fx = Effects::default();
        let (id, _) = self
            .table
            .append(topics, Frame::new(&fields, key), self.now, &mut fx);
        id.seq
    }

    /// `count` events of one topic.
    fn publish_many(&mut self, topic: &str, count: usize, data: &str) {
        for _ in 0..count {
            self.publish(&[topic], data);
        }
    }

    fn attach(&mut self, terms: &Terms) -> Cursor {
        Cursor::attach(&mut self.table, terms, self.listener, self.now)
    }

    fn detach(&mut self, mut cursor: Cursor) {
        cursor.detach(&mut self.table, self.now, &mut Effects::default());
    }

    fn read(&mut self, cursor: &mut Cursor, max_bytes: usize) -> (Read, Vec<Arc<Frame>>) {
        let (mut out, mut fx) = (Vec::new(), Effects::default());
        let read = cursor.read(&mut self.table, self.now, max_bytes, &mut out, &mut fx);
        (read, out)
    }

    /// Reads until there is nothing more.
    fn read_all(&mut self, cursor: &mut Cursor) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            let (read, frames) = self.read(cursor, 300);
            match read {
                Read::Idle => return all,
                Read::Frames { .. } => all.extend(frames.iter().map(|f| Got::Event(f.seq))),
                Read::Gap(gap) => all.push(Got::Gap(gap.reason.as_str(), gap.to)),
                Read::Slow => {
                    all.push(Got::Slow);
                    return all;
                }
            }
        }
    }

    fn expire_all(&mut self) {
        while self.table.expire(self.now, 64, &mut Effects::default()) {}
    }

    /// Lets time pass in small steps, as the hub's clock does.
    fn pass(&mut self, time: Millis) {
        for _ in 0..time / 250 {
            self.now += 250;
            self.expire_all();
        }
        self.now += time % 250;
        self.expire_all();
    }
}

/// A name or, where it says so by `~`, a pattern.
fn name(text: &str) -> Name {
    let pattern = text.strip_prefix('~');
    Name {
        text: pattern.unwrap_or(text).into(),
        is_pattern: pattern.is_some(),
    }
}

fn terms(names: &[&str], start: Start) -> Terms {
    Terms {
        names: names.iter().map(|text| name(text)).collect(),
        start,
        head: u64::MAX,
        on_gap: OnGap::Replay,
        slow: Slow::Disconnect,
        max_lag: 1 << 20,
    }
}

/// From the event with this number.
fn after(seq: u64) -> Start {
    Start::After(format!("{EPOCH:016x}-{seq}"))
}

fn events(seqs: impl IntoIterator<Item = u64>) -> Vec<Got> {
    seqs.into_iter().map(Got::Event).collect()
}

/// Bytes of the frame of an event with so much data, at a number of one digit.
fn frame_size(data: usize) -> usize {
    "id: 0000000000000000-1\ndata: \n\n".len() + data
}

fn gap(gap: &Gap) -> Got {
    Got::Gap(gap.reason.as_str(), gap.to)
}

/// Histories of so many events, and events of at most 100 bytes.
fn world(count: usize) -> World {
    World::new(HubOptions {
        history: History {
            count,
            age: None,
            ..History::default()
        },
        limits: Limits {
            event_size: 100,
            ..Limits::default()
        },
        ..HubOptions::default()
    })
}

/// Whoever owes more than so many frames of one byte is over the limit.
fn lagging(names: &[&str], slow: Slow, frames: usize) -> Terms {
    Terms {
        slow,
        // Numbers of two digits are welcome.
        max_lag: (frames * (frame_size(1) + 1)) as u64,
        ..terms(names, Start::Head)
    }
}
