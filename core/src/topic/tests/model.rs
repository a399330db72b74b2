//! Random lives of a hub against a model that keeps every event for ever and knows what each reader must see: each
//! event of its topics exactly once and in order, or a gap event, if and only if something it should have had was
//! dropped. What is dropped is observed; that not too much is, is checked apart.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{EPOCH, World, name};
use crate::event::Fields;
use crate::options::{History, HubOptions, Limits, OnGap, Slow, Start};
use crate::topic::Millis;
use crate::topic::cursor::{Cursor, Gap, GapReason, Read, Terms};
use crate::topic::frame::Frame;
use crate::topic::pattern;
use crate::topic::table::Name;
use crate::wire::encode;

const TOPICS: [&str; 5] = ["a.1", "a.2", "b", "b.1.x", "c"];
const WANTED: [&str; 9] = [
    "a.1", "a.2", "b", "b.1.x", "c", "~a.*", "~>", "~b.>", "never",
];
const EVENT_SIZE: usize = 160;

#[derive(Clone, Debug)]
struct Settings {
    history: History,
    history_bytes: usize,
    tombstones: usize,
}

#[derive(Clone, Debug)]
enum Op {
    Publish {
        topics: Vec<&'static str>,
        size: usize,
        key: Option<u8>,
        id: Option<u8>,
    },
    Subscribe(Subscribe),
    Read(Index, usize),
    ReadAll(Index),
    Resume(Index),
    ResumeFrom(Index, Id),
    Leave(Index),
    Pass(Millis),
}

#[derive(Clone, Debug)]
struct Subscribe {
    wanted: Vec<&'static str>,
    slow: Slow,
    on_gap: OnGap,
    max_lag: u64,
    start: Begin,
}

#[derive(Clone, Debug)]
enum Begin {
    /// The head at a call to `subscribe` that was so many events ago.
    Head(u64),
    Earliest,
    After(Id),
}

#[derive(Clone, Debug)]
enum Id {
    Seq(Index),
    Future,
    Custom(u8),
    Foreign,
    Junk,
}

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

    fn take(&self, reader: &mut Reader, frames: &[Arc<Frame>], max_bytes: usize, over: bool) {
        for frame in frames {
            assert!(frame.seq > reader.position, "once, and in order");
            let said = &self.said[usize::try_from(frame.seq).expect("small") - 1];
            assert!(!matching(&reader.names, said).is_empty(), "asked for");
            self.settle(reader, frame.seq - 1);
            reader.position = frame.seq;
            reader.id = Some(match said.id {
                Some(id) => format!("custom {id}"),
                None => format!("{EPOCH:016x}-{}", frame.seq),
            });
        }
        let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
        let conflates = reader.terms.slow == Slow::Conflate && over;
        assert!(
            bytes <= max_bytes || frames.len() == 1 || conflates,
            "{bytes} bytes"
        );
        self.settle(reader, reader.cursor.position());
        if reader.position == self.world.table.head() {
            reader.mark = reader.position;
        }
    }

    fn told(&self, reader: &mut Reader, gap: &Gap) {
        let head = self.world.table.head();
        assert!(gap.to <= head);
        if gap.reason == GapReason::Unknown {
            assert!(reader.unknown);
            reader.unknown = false;
        } else {
            assert!(!reader.unknown);
            self.settle(reader, gap.from);
            assert!(gap.lost > reader.told, "told twice");
            let forgotten = self.world.table.floor() > reader.position;
            assert!(
                forgotten
                    || self
                        .newest_loss(&reader.names, &reader.bounds, reader.position)
                        .is_some(),
                "a false gap: {gap:?}"
            );
        }
        reader.told = gap.lost;
        reader.id = Some(format!("{EPOCH:016x}-{}", gap.to));
        if reader.terms.on_gap == OnGap::Replay && gap.reason == GapReason::Unknown {
            // The cap on such a replay is out of reach here: nothing else may be left out.
            self.settle(reader, gap.from);
        }
        if reader.terms.on_gap == OnGap::Live {
            // It may have been decided on earlier, when the reader came.
            assert_eq!(gap.to, reader.cursor.position());
            reader.position = gap.to;
        }
        if gap.reason == GapReason::Lagged {
            reader.mark = head;
        }
    }

    /// All that is up to here and was not delivered must have been left out for a reason.
    fn settle(&self, reader: &mut Reader, through: u64) {
        for said in &self.said {
            if said.seq <= reader.position || said.seq > through {
                continue;
            }
            let topics = matching(&reader.names, said);
            if topics.is_empty() {
                continue;
            }
            let retained = topics
                .iter()
                .any(|topic| self.may_have(&reader.bounds, topic, said.seq));
            let told = said.seq <= reader.told.max(reader.forgiven) && !retained;
            let replaced = reader.terms.slow == Slow::Conflate
                && topics.iter().all(|topic| self.is_replaced(said, topic));
            assert!(told || replaced, "event {} is missing", said.seq);
        }
        reader.position = reader.position.max(through);
    }

    fn is_replaced(&self, said: &Said, topic: &str) -> bool {
        said.key.is_some()
            && self.said.iter().any(|newer| {
                newer.seq > said.seq && newer.key == said.key && newer.topics.contains(&topic)
            })
    }

    fn retains(&self, topic: &str, seq: u64) -> bool {
        let found = self.world.table.matching_after(topic, 0);
        let Some(log) = found.first().and_then(|(id, _)| self.world.table.log(*id)) else {
            return false;
        };
        log.get(log.after(seq - 1))
            .is_some_and(|frame| frame.seq == seq)
    }

    /// Whether a reader with these bounds may have an event by way of a topic.
    fn may_have(&self, bounds: &Bounds, topic: &str, seq: u64) -> bool {
        self.retains(topic, seq) && bounds.get(topic).is_none_or(|bound| seq > *bound)
    }

    /// The newest event of a topic that is out of its history.
    fn history_through(&self, topic: &'static str) -> u64 {
        let history = match topic {
            "c" => History::NONE,
            _ => self.settings.history,
        };
        let (mut count, mut bytes) = (0, 0);
        self.said
            .iter()
            .rev()
            .filter(|said| said.topics.contains(&topic))
            .find(|said| {
                count += 1;
                bytes += said.len;
                count > history.count
                    || bytes > history.bytes as u64
                    || history
                        .age
                        .is_some_and(|age| said.at + age <= self.world.now)
            })
            .map_or(0, |said| said.seq)
    }

    /// The newest event after a position that one of its topics has dropped, or would not give it.
    fn newest_loss(&self, names: &[Name], bounds: &Bounds, position: u64) -> Option<u64> {
        let lost = |said: &&Said| {
            matching(names, said)
                .iter()
                .any(|topic| !self.may_have(bounds, topic, said.seq))
        };
        self.said
            .iter()
            .rev()
            .take_while(|said| said.seq > position)
            .find(lost)
            .map(|said| said.seq)
    }

    /// What was published since the reader was last caught up and has not been read; and how much of that is there.
    fn lag(&self, reader: &Reader) -> (u64, u64) {
        let (mut all, mut retained) = (0, 0);
        for said in &self.said {
            let topics = matching(&reader.names, said);
            if said.seq <= reader.position.max(reader.mark) || topics.is_empty() {
                continue;
            }
            all += said.len;
            if topics.iter().any(|topic| self.retains(topic, said.seq)) {
                retained += said.len;
            }
        }
        (all, retained)
    }

    /// Nothing within its limits is dropped, unless the common budget did it.
    fn check_history(&self) {
        let total: u64 = self.said.iter().map(|said| said.len).sum();
        if total > self.settings.history_bytes as u64 {
            return;
        }
        for topic in TOPICS.iter().filter(|topic| **topic != "c") {
            let History { count, bytes, age } = self.settings.history;
            let (mut events, mut size) = (0, 0);
            for said in self.said.iter().rev() {
                if !said.topics.contains(topic) {
                    continue;
                }
                events += 1;
                size += said.len;
                let old = age.is_some_and(|age| said.at + age <= self.world.now);
                if events > count || size > bytes as u64 || old {
                    break;
                }
                assert!(
                    self.retains(topic, said.seq),
                    "{topic} dropped {}",
                    said.seq
                );
            }
        }
    }
}

/// The topics of an event by which a reader of these names gets it.
fn matching(names: &[Name], said: &Said) -> Vec<&'static str> {
    let wanted = |topic: &str| {
        names.iter().any(|name| {
            if name.is_pattern {
                pattern::matches(&name.text, topic)
            } else {
                name.text.as_ref() == topic
            }
        })
    };
    said.topics
        .iter()
        .copied()
        .filter(|topic| wanted(topic))
        .collect()
}

fn settings() -> impl Strategy<Value = Settings> {
    let count = prop::sample::select(vec![0, 1, 3, 8, 1000]);
    let bytes = prop::sample::select(vec![EVENT_SIZE, 400, 100_000]);
    let age = prop::sample::select(vec![None, None, Some(300), Some(5_000), Some(400_000)]);
    let budget = prop::sample::select(vec![EVENT_SIZE, 600, 2_000, 1_000_000]);
    let tombstones = prop::sample::select(vec![0, 1, 100, 100]);
    (count, bytes, age, budget, tombstones).prop_map(
        |(count, bytes, age, history_bytes, tombstones)| Settings {
            history: History { count, bytes, age },
            history_bytes,
            tombstones,
        },
    )
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    let slow = prop::sample::select(vec![Slow::Disconnect, Slow::Skip, Slow::Conflate]);
    let on_gap = prop::sample::select(vec![OnGap::Replay, OnGap::Replay, OnGap::Live]);
    let max_lag = prop::sample::select(vec![EVENT_SIZE as u64, 400, 100_000]);
    let start = prop_oneof![
        3 => (0..5_u64).prop_map(Begin::Head),
        1 => Just(Begin::Earliest),
        3 => id().prop_map(Begin::After),
    ];
    let wanted = prop::sample::subsequence(WANTED.to_vec(), 1..=3);
    (wanted, slow, on_gap, max_lag, start).prop_map(|(wanted, slow, on_gap, max_lag, start)| {
        Subscribe {
            wanted,
            slow,
            on_gap,
            max_lag,
            start,
        }
    })
}

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![
        8 => any::<Index>().prop_map(Id::Seq),
        2 => (0..4_u8).prop_map(Id::Custom),
        1 => Just(Id::Future),
        1 => Just(Id::Foreign),
        1 => Just(Id::Junk),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let publish = (
        prop::sample::subsequence(TOPICS.to_vec(), 1..=2),
        0..90_usize,
        prop::option::weighted(0.6, 0..2_u8),
        prop::option::weighted(0.15, 0..4_u8),
    );
    prop_oneof![
        12 => publish.prop_map(|(topics, size, key, id)| Op::Publish { topics, size, key, id }),
        4 => subscribe().prop_map(Op::Subscribe),
        6 => (any::<Index>(), 1..500_usize).prop_map(|(at, bytes)| Op::Read(at, bytes)),
        3 => any::<Index>().prop_map(Op::ReadAll),
        3 => any::<Index>().prop_map(Op::Resume),
        1 => (any::<Index>(), id()).prop_map(|(at, id)| Op::ResumeFrom(at, id)),
        1 => any::<Index>().prop_map(Op::Leave),
        2 => prop::sample::select(vec![1, 100, 400, 6_000]).prop_map(Op::Pass),
    ]
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
