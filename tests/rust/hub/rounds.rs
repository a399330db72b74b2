//! Streams that share rounds, batches and positions, against what each must see: whatever the host asks in whatever
//! order, every stream gets each event once and in order, or is told before that some are missing.

use proptest::prelude::*;
use proptest::sample::Index;
use ssehub::{
    Delivery, EventId, Hub, HubOptions, Limits, OnGap, Slow, SubscribeOptions, Token, Topic,
};

use crate::common::{Client, connection, publish};

const TOPICS: [&str; 3] = ["a.1", "a.2", "b"];

#[derive(Clone, Debug)]
enum Op {
    Publish(Vec<&'static str>, usize),
    Open(Vec<&'static str>, Slow),
    Select,
    Poll(Index),
    Read(Index),
    Leave(Index),
}

struct Stream {
    client: Client,
    wanted: Vec<&'static str>,
    start: u64,
    // The hub's head when it saw what it has seen: a gap tells of losses up to there at most.
    heads: Vec<u64>,
}

struct Host {
    hub: Hub,
    selector: ssehub::Selector,
    streams: Vec<Stream>,
    said: Vec<Vec<&'static str>>,
}

impl Host {
    fn run(&mut self, op: Op) {
        self.carry_out(op);
        self.note_head();
    }

    fn note_head(&mut self) {
        let head = self.hub.last_event_id().seq;
        for stream in &mut self.streams {
            stream.heads.resize(stream.client.seen.len(), head);
        }
    }

    fn carry_out(&mut self, op: Op) {
        match op {
            Op::Publish(topics, size) => {
                publish(&self.hub, &topics, &"x".repeat(size));
                self.said.push(topics);
            }
            Op::Open(wanted, slow) => self.open(wanted, slow),
            Op::Select => self.select(),
            Op::Poll(_) | Op::Read(_) | Op::Leave(_) if self.streams.is_empty() => {}
            Op::Poll(at) => {
                let at = at.index(self.streams.len());
                self.streams[at].client.poll();
            }
            Op::Read(at) => {
                let at = at.index(self.streams.len());
                self.streams[at].client.read();
            }
            Op::Leave(at) => {
                let stream = self.streams.swap_remove(at.index(self.streams.len()));
                self.check(&stream, false);
                stream.client.leave();
            }
        }
    }

    fn open(&mut self, wanted: Vec<&'static str>, slow: Slow) {
        let topics: Vec<Topic> = wanted
            .iter()
            .map(|text| match text.strip_prefix('~') {
                Some(pattern) => Topic::Pattern(pattern.into()),
                None => Topic::from(*text),
            })
            .collect();
        let options = SubscribeOptions {
            slow: Some(slow),
            on_gap: OnGap::Replay,
            ..SubscribeOptions::default()
        };
        let subscription = self.hub.subscribe(&topics, options).expect("valid");
        let client = Client::on(&self.selector, &subscription, &connection());
        self.streams.push(Stream {
            client,
            wanted,
            start: self.hub.last_event_id().seq,
            heads: Vec::new(),
        });
    }

    fn select(&mut self) {
        let mut ready: Vec<(Token, Delivery)> = Vec::new();
        self.selector.select(&mut ready);
        for (token, delivery) in &ready {
            let stream = self.streams.iter_mut().find(|s| s.client.token == *token);
            stream.expect("one of ours").client.take(delivery);
        }
    }

    fn check(&self, stream: &Stream, whole: bool) {
        let wants = |topics: &Vec<&'static str>| {
            topics.iter().any(|topic| {
                stream.wanted.iter().any(|wanted| match *wanted {
                    "~a.*" => topic.starts_with("a."),
                    "~>" => true,
                    name => name == *topic,
                })
            })
        };
        let mut owed: Vec<u64> = (1..)
            .zip(&self.said)
            .filter(|(seq, topics)| *seq > stream.start && wants(topics))
            .map(|(seq, _)| seq)
            .collect();
        if !whole {
            let last = stream.client.seen.iter().filter(|s| s.event == "message");
            let last = last.rev().find_map(|s| EventId::parse(&s.id));
            owed.retain(|seq| last.is_some_and(|last| *seq <= last.seq));
        }
        let (mut told, mut owed) = (0, owed.into_iter().peekable());
        for (seen, head) in stream.client.seen.iter().zip(&stream.heads) {
            let seq = EventId::parse(&seen.id).expect("a hub id").seq;
            if seen.event == "ssehub:gap" {
                told = *head;
                continue;
            }
            while owed.next_if(|owed| *owed < seq && *owed <= told).is_some() {}
            assert_eq!(owed.next(), Some(seq), "of {:?}", stream.wanted);
        }
        while owed.next_if(|owed| *owed <= told).is_some() {}
        assert_eq!(owed.next(), None, "of {:?}", stream.wanted);
    }
}

fn op() -> impl Strategy<Value = Op> {
    let wanted = prop::sample::select(vec![
        vec!["a.1"],
        vec!["a.1"],
        vec!["a.2", "b"],
        vec!["~a.*"],
        vec!["~a.*", "a.1"],
        vec!["~>"],
    ]);
    let slow = prop::sample::select(vec![Slow::Disconnect, Slow::Skip, Slow::Skip]);
    prop_oneof![
        8 => (prop::sample::subsequence(TOPICS.to_vec(), 1..=2), 0..60_usize)
            .prop_map(|(topics, size)| Op::Publish(topics, size)),
        3 => (wanted, slow).prop_map(|(wanted, slow)| Op::Open(wanted, slow)),
        4 => Just(Op::Select),
        4 => any::<Index>().prop_map(Op::Poll),
        2 => any::<Index>().prop_map(Op::Read),
        1 => any::<Index>().prop_map(Op::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_stream_sees_what_it_must(
        count in prop::sample::select(vec![0, 1, 3, 1000]),
        max_lag in prop::sample::select(vec![120, 300, 100_000]),
        ops in prop::collection::vec(op(), 1..100),
    ) {
        let mut options = HubOptions {
            max_lag,
            limits: Limits { event_size: 120, ..Limits::default() },
            ..HubOptions::default()
        };
        options.history.count = count;
        let hub = Hub::new(options).expect("valid");
        let mut host = Host {
            selector: hub.selector(|| {}),
            hub,
            streams: Vec::new(),
            said: Vec::new(),
        };
        for op in ops {
            host.run(op);
        }
        // Whatever is still owed comes now; in rounds, as it would.
        loop {
            let before: usize = host.streams.iter().map(|s| s.client.seen.len()).sum();
            host.select();
            for at in 0..host.streams.len() {
                host.streams[at].client.poll();
            }
            for stream in &mut host.streams {
                if stream.client.ended.is_none() {
                    stream.client.poll();
                }
            }
            if host.streams.iter().map(|s| s.client.seen.len()).sum::<usize>() == before {
                break;
            }
        }
        host.note_head();
        for stream in &host.streams {
            host.check(stream, stream.client.ended.is_none());
        }
    }
}
