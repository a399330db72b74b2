//! Random lives of a shard against a model that remembers every event: each connection gets each event it is owed once
//! and in order or a gap event first, whatever its socket takes, whatever happens in the middle of a broadcast. And
//! when all is over, nothing is left.

mod inputs;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::sample::Index;

use self::inputs::{Act, Begin, EVENT_SIZE, Op, Open, Publish, Settings, ops, settings};
use super::oracle::{Owed, Seen, check};
use super::{Bench, Client, kick, publish, request};
use crate::delivery::EndReason;
use crate::engine::reports::Report;
use crate::engine::socket::Input;
use crate::engine::terms::Framing;
use crate::hub::Hub;
use crate::options::{History, HubOptions, Limits, Slow, Start};
use crate::topic::pattern;

/// Enough for a broadcast to look up from.
const CROWD: usize = 270;

/// What was published.
#[derive(Clone)]
struct Said {
    seq: u64,
    topics: Vec<&'static str>,
    key: Option<u8>,
}

type Record = Arc<Mutex<Vec<Said>>>;

struct Reader {
    client: Client,
    asked: Open,
    /// What comes after this is owed.
    position: u64,
    /// The newest event when it was sent away.
    kicked: Arc<Mutex<Option<u64>>>,
    /// What was gone when it came is not missed, nor what goes later and is older than that.
    forgiven: u64,
}

struct Model {
    bench: Bench,
    crowd: Vec<Client>,
    readers: Vec<Reader>,
    said: Record,
}

impl Model {
    fn new(settings: &Settings) -> Self {
        let options = HubOptions {
            history: History {
                count: settings.history,
                bytes: 100_000,
                age: None,
            },
            max_lag: EVENT_SIZE,
            heartbeat: None,
            limits: Limits {
                event_size: EVENT_SIZE,
                history_bytes: settings.history_bytes,
                ..Limits::default()
            },
            ..HubOptions::default()
        };
        let mut bench = Bench::new(options, settings.mail);
        // Nothing makes these slow: they fill the rounds.
        let mut ask = request(&["crowd"]);
        ask.subscribe.max_lag = Some(1 << 20);
        let crowd = (0..CROWD).map(|_| bench.open(&ask)).collect();
        bench.settle([]);
        Self {
            bench,
            crowd,
            readers: Vec::new(),
            said: Record::default(),
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Publish(what) => say(&self.bench.hub, &self.said, &what),
            Op::Open(open) => self.open(open),
            Op::Turn => {
                self.bench.turn();
            }
            Op::Settle => self.settle(),
            Op::Pass(time) => {
                let clients = self.readers.iter().map(|it| &it.client);
                self.bench.pass(time, clients);
            }
            Op::Storm(acts) => self.storm(acts),
            Op::Room(..) | Op::Break(_) | Op::HangUp(_) | Op::Leave(_) | Op::Kick(_)
                if self.readers.is_empty() => {}
            Op::Room(which, bytes) => {
                let mut state = self.client(which).wire.state();
                state.room = state.room.saturating_add(bytes);
            }
            Op::Break(which) => self.client(which).wire.state().broken = true,
            Op::HangUp(which) => {
                let token = self.client(which).token;
                self.bench.with(|connections, _| connections.hung_up(token));
            }
            Op::Leave(which) => {
                let client = self.client(which);
                client.wire.state().input.push_back(Input::End);
                let token = client.token;
                self.bench
                    .with(|connections, scene| connections.readable(scene, token));
            }
            Op::Kick(which) => self.kick(which)(),
        }
        self.bench.check();
    }

    fn client(&self, which: Index) -> &Client {
        &self.readers[which.index(self.readers.len())].client
    }

    /// Sends a client away.
    fn kick(&self, which: Index) -> impl FnOnce() + Send + 'static {
        let reader = &self.readers[which.index(self.readers.len())];
        let (key, kicked) = (reader.client.key.clone(), reader.kicked.clone());
        let (hub, door) = (self.bench.hub.clone(), self.bench.door.clone());
        move || {
            kick(&hub, &door, &key, None);
            let head = hub.last_event_id().seq;
            kicked.lock().expect("no panics").get_or_insert(head);
        }
    }

    fn settle(&mut self) {
        let clients = self.readers.iter().map(|it| &it.client);
        self.bench.settle(clients);
    }

    fn open(&mut self, open: Open) {
        let mut ask = request(&open.wanted);
        let head = self.bench.hub.last_event_id().seq;
        let mut forgiven = 0;
        let position = match open.start {
            Begin::Head => head,
            Begin::Earliest => {
                ask.subscribe.start = Start::Earliest;
                forgiven = self.out_of_history(&open.wanted);
                0
            }
            Begin::After(index) => {
                let seq = index.index(usize::try_from(head).expect("small") + 1) as u64;
                ask.subscribe.start = Start::After(self.bench.shared.id(seq).to_string());
                seq
            }
        };
        ask.subscribe.slow = Some(open.slow);
        ask.subscribe.on_gap = open.on_gap;
        ask.subscribe.max_lag = Some(open.max_lag);
        ask.stream.announce_position = true;
        ask.stream.heartbeat = Some(15_000);
        ask.framing = open.framing;
        ask.held = open.held;
        ask.room = open.room;
        let client = self.bench.open(&ask);
        self.readers.push(Reader {
            client,
            asked: open,
            position,
            kicked: Arc::default(),
            forgiven,
        });
    }

    /// The newest event that one of these topics would not replay.
    fn out_of_history(&self, wanted: &[&str]) -> u64 {
        let table = self.bench.shared.table();
        let mut newest = 0;
        for text in wanted {
            let text = text.strip_prefix('~').unwrap_or(text);
            let alive = table.matching_after(text, 0);
            newest = newest.max(table.lost_after(text, 0, &alive));
            for (id, _) in alive {
                let log = table.log(id).expect("alive");
                newest = newest.max(log.history_through(self.bench.now));
            }
        }
        newest
    }

    fn storm(&mut self, mut acts: Vec<(usize, Act)>) {
        acts.sort_by_key(|(at, _)| *at);
        self.bench.during.start();
        let (hub, said) = (self.bench.hub.clone(), self.said.clone());
        let everybody = Publish {
            topics: vec!["crowd"],
            size: 10,
            key: None,
        };
        say(&hub, &said, &everybody);
        for (at, act) in acts {
            match act {
                Act::Kick(_) if self.readers.is_empty() => {}
                Act::Kick(which) => self.bench.during.plan(at, self.kick(which)),
                Act::Publish(what) => {
                    let (hub, said) = (hub.clone(), said.clone());
                    self.bench.during.plan(at, move || say(&hub, &said, &what));
                }
            }
        }
        self.bench.turn();
        self.bench.during.finish();
    }

    /// Everybody takes everything, and the hub is drained.
    fn finish(mut self) {
        for reader in &self.readers {
            reader.client.wire.state().room = usize::MAX;
        }
        self.settle();
        let head = self.bench.hub.last_event_id().seq;
        self.bench.drain(60_000, 100);
        self.settle();
        let clients = self.readers.iter().map(|it| &it.client);
        self.bench.pass(200, clients);
        self.bench.check_empty();
        let mut reports: HashMap<u64, Report> = HashMap::new();
        for (_, report) in self.bench.reports.try_iter() {
            assert!(reports.insert(report.tag, report).is_none(), "told once");
        }
        assert_eq!(reports.len(), self.crowd.len() + self.readers.len());
        let said = self.said.lock().expect("no panics");
        for reader in &self.readers {
            let report = &reports[&reader.client.token.to_bits()];
            reader.examine(report, &said, head);
        }
        let everybody: Vec<Owed> = said
            .iter()
            .filter(|it| it.topics.contains(&"crowd"))
            .map(|it| Owed::new(it.seq))
            .collect();
        for client in &self.crowd {
            check(&client.seen().1, &everybody, head);
        }
    }
}

impl Reader {
    fn examine(&self, report: &Report, said: &[Said], head: u64) {
        let (body, seen, _) = self.client.seen();
        let conflates = self.asked.slow == Slow::Conflate;
        let owed: Vec<Owed> = said
            .iter()
            .filter(|it| it.seq > self.position && self.wanted(it).next().is_some())
            .map(|it| Owed {
                seq: it.seq,
                // A pattern has a log beside those of its topics.
                is_shared: it.topics.len() > 1 || self.reads_several_logs(),
                is_excused: it.seq <= self.forgiven || conflates && self.is_replaced(it, said),
            })
            .collect();
        let complete = report.info.reason == EndReason::Drain && report.clean;
        check(&seen, &owed, if complete { head } else { 0 });
        if let Some(kicked) = *self.kicked.lock().expect("no panics") {
            let late = |it: &Seen| matches!(it, Seen::Event(seq) if *seq > kicked);
            assert!(!seen.iter().any(late), "after {kicked}: {seen:?}");
        }
        let ends = report.clean && !self.asked.held && self.asked.framing == Framing::Chunked;
        assert_eq!(body.ended, ends, "the terminator");
        assert_eq!(
            self.client.wire.state().shut,
            !report.clean || !self.asked.held
        );
        assert_eq!(
            self.client.wire.state().given_back,
            report.clean && self.asked.held
        );
        if report.clean {
            assert!(body.whole);
            let events = seen.iter().filter(|it| matches!(it, Seen::Event(_)));
            assert_eq!(report.info.events, events.count() as u64);
        }
    }

    fn reads_several_logs(&self) -> bool {
        let wanted = &self.asked.wanted;
        wanted.len() > 1 || wanted.iter().any(|text| text.starts_with('~'))
    }

    /// The topics of an event by which the reader gets it.
    fn wanted<'s>(&self, said: &'s Said) -> impl Iterator<Item = &'s str> {
        said.topics.iter().copied().filter(|topic| {
            self.asked
                .wanted
                .iter()
                .any(|wanted| match wanted.strip_prefix('~') {
                    Some(text) => pattern::matches(text, topic),
                    None => wanted == topic,
                })
        })
    }

    /// Whether newer events stand in for this one in all topics by which the reader gets it.
    fn is_replaced(&self, old: &Said, said: &[Said]) -> bool {
        let replaces = |newer: &Said, topic: &str| {
            newer.seq > old.seq && newer.key == old.key && newer.topics.contains(&topic)
        };
        old.key.is_some()
            && self
                .wanted(old)
                .all(|topic| said.iter().any(|newer| replaces(newer, topic)))
    }
}

fn say(hub: &Hub, said: &Record, what: &Publish) {
    let key = what.key.map(|key| format!("key {key}"));
    let seq = publish(hub, &what.topics, &"x".repeat(what.size), key.as_deref());
    said.lock().expect("no panics").push(Said {
        seq,
        topics: what.topics.clone(),
        key: what.key,
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        // PROPTEST_CASES asks for more.
        cases: ProptestConfig::default().cases.max(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_connection_gets_each_event_once_or_is_told_of_a_gap(
        settings in settings(),
        ops in prop::collection::vec(ops(), 1..80),
    ) {
        let mut model = Model::new(&settings);
        for op in ops {
            model.run(op);
        }
        model.finish();
    }
}
