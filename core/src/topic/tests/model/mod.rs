//! Random lives of a hub against a model that keeps every event for ever and knows what each reader must see: each
//! event of its topics exactly once and in order, or a gap event, if and only if something it should have had was
//! dropped. What is dropped is observed; that not too much is, is checked apart.

mod inputs;
mod oracle;

use std::collections::HashMap;

use proptest::prelude::*;

use self::inputs::{Begin, EVENT_SIZE, Id, Op, Settings, Subscribe, TOPICS, op, settings};
use super::{EPOCH, World, name};
use crate::event::Fields;
use crate::options::{History, HubOptions, Limits, Slow, Start};
use crate::topic::Millis;
use crate::topic::cursor::{Cursor, Read, Terms};
use crate::topic::table::Name;
use crate::wire::encode;

/// What was published.
struct Said {
    seq: u64,
    topics: Vec<&'static str>,
    key: Option<u8>,
    id: Option<u8>,
    len: u64,
    at: Millis,
}

type Bounds = HashMap<&'static str, u64>;

struct Reader {
    cursor: Cursor,
    terms: Subscribe,
    names: Vec<Name>,
    // Everything up to here is settled: delivered, or rightly left out.
    position: u64,
    // Up to here losses have been told.
    told: u64,
    // Where its lag begins.
    mark: u64,
    // It has been told that it lags.
    lagged: bool,
    // What it came for was gone already, of which it has not been told yet.
    came_late: bool,
    // It asked for what there is: what was gone by then it is not told of, nor what goes later and is older than that.
    forgiven: u64,
    // By topic, what was out of the history when it came: kept for others perhaps, but not for it.
    bounds: Bounds,
    // The gap it must be told of first, since its id says nothing.
    unknown: bool,
    // What its client would send as Last-Event-ID.
    id: Option<String>,
}

struct Model {
    world: World,
    settings: Settings,
    said: Vec<Said>,
    readers: Vec<Reader>,
}

impl Model {
    fn new(settings: Settings) -> Self {
        let world = World::new(HubOptions {
            history: settings.history,
            topics: vec![("c".into(), History::NONE)],
            max_lag: EVENT_SIZE,
            limits: Limits {
                event_size: EVENT_SIZE,
                history_bytes: settings.history_bytes,
                tombstones: settings.tombstones,
                ..Limits::default()
            },
            ..HubOptions::default()
        });
        Self {
            world,
            settings,
            said: Vec::new(),
            readers: Vec::new(),
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Publish {
                topics,
                size,
                key,
                id,
            } => self.publish(topics, size, key, id),
            Op::Subscribe(subscribe) => {
                let start = match &subscribe.start {
                    Begin::Head(_) => Start::Head,
                    Begin::Earliest => Start::Earliest,
                    Begin::After(id) => Start::After(self.id_text(id)),
                };
                self.subscribe(subscribe, start, None);
            }
            Op::Pass(time) => self.world.pass(time),
            Op::Read(..) | Op::ReadAll(_) | Op::Resume(_) | Op::ResumeFrom(..) | Op::Leave(_)
                if self.readers.is_empty() => {}
            Op::Read(index, bytes) => {
                let at = index.index(self.readers.len());
                self.read(at, bytes);
            }
            Op::ReadAll(index) => {
                let at = index.index(self.readers.len());
                self.read_all(at);
            }
            Op::Resume(index) => {
                let reader = self.part(index.index(self.readers.len()));
                if let Some(id) = reader.id {
                    self.subscribe(reader.terms, Start::After(id.clone()), Some(id));
                }
            }
            Op::ResumeFrom(index, id) => {
                let reader = self.part(index.index(self.readers.len()));
                let id = self.id_text(&id);
                self.subscribe(reader.terms, Start::After(id.clone()), Some(id));
            }
            Op::Leave(index) => {
                self.part(index.index(self.readers.len()));
            }
        }
        self.check_history();
        self.world.table.check();
    }

    fn id_text(&self, id: &Id) -> String {
        let head = self.world.table.head();
        match id {
            Id::Seq(index) => {
                let seq = index.index(usize::try_from(head).expect("small") + 1);
                format!("{EPOCH:016x}-{seq}")
            }
            Id::Future => format!("{EPOCH:016x}-{}", head + 1),
            Id::Custom(id) => format!("custom {id}"),
            Id::Foreign => format!("{:016x}-1", EPOCH + 1),
            Id::Junk => "\u{fffd}?".into(),
        }
    }

    fn publish(&mut self, topics: Vec<&'static str>, size: usize, key: Option<u8>, id: Option<u8>) {
        let data = "x".repeat(size);
        let id_text = id.map(|id| format!("custom {id}"));
        let key_text = key.map(|key| format!("key {key}"));
        let seq = self
            .world
            .publish_as(&topics, &data, key_text.as_deref(), id_text.as_deref());
        let wire_id = id_text.unwrap_or_else(|| format!("{EPOCH:016x}-{seq}"));
        let len = encode::size(&Fields {
            data: Some(&data),
            id: Some(&wire_id),
            ..Fields::default()
        });
        assert_eq!(seq, self.said.len() as u64 + 1, "numbers have no holes");
        self.said.push(Said {
            seq,
            topics,
            key,
            id,
            len: len as u64,
            at: self.world.now,
        });
    }

    fn subscribe(&mut self, subscribe: Subscribe, start: Start, id: Option<String>) {
        let head = self.world.table.head();
        let names: Vec<Name> = subscribe.wanted.iter().map(|text| name(text)).collect();
        let recorded = match subscribe.start {
            Begin::Head(behind) => head.saturating_sub(behind),
            _ => head,
        };
        let bounds = match &start {
            Start::Head => Bounds::new(),
            Start::Earliest | Start::After(_) => TOPICS
                .iter()
                .map(|topic| (*topic, self.history_through(topic)))
                .collect(),
        };
        let mut forgiven = 0;
        let position = match &start {
            Start::Head => Some(recorded),
            Start::Earliest => {
                forgiven = self.newest_loss(&names, &bounds, 0).unwrap_or(0);
                forgiven = forgiven.max(self.world.table.floor());
                Some(0)
            }
            Start::After(id) => self.resolve(id),
        };
        let cursor = self.world.attach(&Terms {
            names: names.clone().into(),
            start,
            head: recorded,
            on_gap: subscribe.on_gap,
            slow: subscribe.slow,
            max_lag: subscribe.max_lag,
        });
        let came_late = cursor.announced().is_none();
        let id = match cursor.announced() {
            Some(seq) => Some(format!("{EPOCH:016x}-{seq}")),
            None => id,
        };
        self.readers.push(Reader {
            cursor,
            terms: subscribe,
            names,
            position: position.unwrap_or(0),
            told: 0,
            forgiven,
            bounds,
            mark: head,
            lagged: false,
            came_late,
            unknown: position.is_none(),
            id,
        });
    }

    /// The position that an id names, by what the model knows.
    fn resolve(&self, id: &str) -> Option<u64> {
        let found = self.world.table.resolve(id);
        let own = id
            .strip_prefix(&format!("{EPOCH:016x}-"))
            .and_then(|seq| seq.parse().ok())
            .filter(|seq| *seq <= self.world.table.head());
        let custom = self
            .said
            .iter()
            .rev()
            .find(|said| said.id.is_some_and(|n| format!("custom {n}") == id));
        match custom {
            Some(said)
                if said
                    .topics
                    .iter()
                    .any(|topic| self.retains(topic, said.seq)) =>
            {
                assert_eq!(found, Some(said.seq), "the id of a retained event is known");
            }
            // A pattern's readers may still have to take it.
            Some(said) => assert!(found.is_none_or(|seq| seq == said.seq)),
            None => assert_eq!(found, own),
        }
        found
    }

    fn part(&mut self, at: usize) -> Reader {
        let mut reader = self.readers.swap_remove(at);
        let mut fx = crate::topic::table::Effects::default();
        reader
            .cursor
            .detach(&mut self.world.table, self.world.now, &mut fx);
        reader
    }

    fn read_all(&mut self, at: usize) {
        for _ in 0..10_000 {
            if !self.read(at, 100) {
                return;
            }
        }
        panic!("the reader never comes to an end");
    }

    /// One read, held against what the reader must see. Whether there may be more.
    fn read(&mut self, at: usize, max_bytes: usize) -> bool {
        let head = self.world.table.head();
        let (lag, retained) = self.lag(&self.readers[at]);
        let mut reader = self.readers.swap_remove(at);
        let (read, frames) = self.world.read(&mut reader.cursor, max_bytes);
        let over = lag > reader.terms.max_lag;
        assert!(
            !reader.unknown || matches!(read, Read::Gap(_)),
            "a gap comes first"
        );
        let more = match read {
            Read::Idle => {
                assert!(frames.is_empty());
                self.settle(&mut reader, head);
                reader.mark = head;
                false
            }
            Read::Frames { .. } => {
                // What the common budget took has been told as a gap.
                let slow = reader.terms.slow == Slow::Disconnect;
                assert!(!slow || retained <= reader.terms.max_lag, "too slow");
                self.take(&mut reader, &frames, max_bytes, over);
                true
            }
            Read::Gap(gap) => {
                self.told(&mut reader, &gap);
                true
            }
            Read::Slow => {
                assert!(over, "its lag is {lag}");
                assert_ne!(reader.terms.slow, Slow::Skip);
                let mut fx = crate::topic::table::Effects::default();
                reader
                    .cursor
                    .detach(&mut self.world.table, self.world.now, &mut fx);
                return false;
            }
        };
        // Back to its place.
        self.readers.push(reader);
        let last = self.readers.len() - 1;
        self.readers.swap(at, last);
        more
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // PROPTEST_CASES asks for more.
        cases: ProptestConfig::default().cases.max(600),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_reader_sees_each_event_once_or_is_told_of_a_gap(
        settings in settings(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut model = Model::new(settings);
        for op in ops {
            model.run(op);
        }
        for at in (0..model.readers.len()).rev() {
            model.read_all(at);
        }
        while !model.readers.is_empty() {
            model.part(0);
        }
        model.world.table.check();
        // Everything lapses, and nothing is left of it but a bounded memory.
        model.world.pass(1_000_000);
        model.world.table.check();
        if model.settings.history.age.is_some() {
            let sizes = model.world.table.sizes();
            prop_assert_eq!((sizes.topics, sizes.frames, sizes.bytes), (0, 0, 0));
        }
    }
}
