//! What may happen in the life of a shard.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::engine::terms::Framing;
use crate::options::{OnGap, Slow};

const TOPICS: [&str; 4] = ["a.1", "a.2", "b", "crowd"];
const WANTED: [&str; 6] = ["a.1", "a.2", "b", "crowd", "~a.*", "~>"];
pub(super) const EVENT_SIZE: usize = 160;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) history: usize,
    pub(super) history_bytes: usize,
    pub(super) mail: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Publish(Publish),
    Open(Open),
    /// A socket takes more.
    Room(Index, usize),
    /// Every call on a socket fails from now on.
    Break(Index),
    HangUp(Index),
    /// The client closes its side.
    Leave(Index),
    Kick(Index),
    Turn,
    Settle,
    Pass(u64),
    /// A broadcast to the crowd, and what happens in the middle of it.
    Storm(Vec<(usize, Act)>),
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Publish(Publish),
    Kick(Index),
}

#[derive(Clone, Debug)]
pub(super) struct Publish {
    pub(super) topics: Vec<&'static str>,
    pub(super) size: usize,
    pub(super) key: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) wanted: Vec<&'static str>,
    pub(super) start: Begin,
    pub(super) slow: Slow,
    pub(super) on_gap: OnGap,
    pub(super) max_lag: usize,
    pub(super) framing: Framing,
    pub(super) held: bool,
    pub(super) room: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Begin {
    Head,
    Earliest,
    After(Index),
}

fn publishes() -> impl Strategy<Value = Publish> {
    let topics = prop::sample::subsequence(TOPICS.to_vec(), 1..=2);
    let key = prop::option::weighted(0.5, 0..2_u8);
    (topics, 0..60_usize, key).prop_map(|(topics, size, key)| Publish { topics, size, key })
}

fn opens() -> impl Strategy<Value = Open> {
    let start = prop_oneof![
        2 => Just(Begin::Head),
        1 => Just(Begin::Earliest),
        2 => any::<Index>().prop_map(Begin::After),
    ];
    (
        prop::sample::subsequence(WANTED.to_vec(), 1..=3),
        start,
        prop::sample::select(vec![Slow::Disconnect, Slow::Skip, Slow::Conflate]),
        prop::sample::select(vec![OnGap::Replay, OnGap::Replay, OnGap::Live]),
        prop::sample::select(vec![EVENT_SIZE, 400, 100_000]),
        prop::sample::select(vec![Framing::Chunked, Framing::Plain]),
        prop::bool::weighted(0.3),
        prop::sample::select(vec![0, 20, 300, usize::MAX, usize::MAX]),
    )
        .prop_map(
            |(wanted, start, slow, on_gap, max_lag, framing, held, room)| Open {
                wanted,
                start,
                slow,
                on_gap,
                max_lag,
                framing,
                held,
                room,
            },
        )
}

pub(super) fn ops() -> impl Strategy<Value = Op> {
    let which = any::<Index>;
    let act = prop_oneof![
        6 => publishes().prop_map(Act::Publish),
        1 => which().prop_map(Act::Kick),
    ];
    let storm = prop::collection::vec((1..800_usize, act), 0..12);
    prop_oneof![
        10 => publishes().prop_map(Op::Publish),
        5 => opens().prop_map(Op::Open),
        6 => (which(), 1..400_usize).prop_map(|(which, bytes)| Op::Room(which, bytes)),
        1 => which().prop_map(|which| Op::Room(which, usize::MAX)),
        1 => which().prop_map(Op::Break),
        1 => which().prop_map(Op::HangUp),
        1 => which().prop_map(Op::Leave),
        1 => which().prop_map(Op::Kick),
        6 => Just(Op::Turn),
        3 => Just(Op::Settle),
        2 => prop::sample::select(vec![10, 1_100, 16_000, 40_000]).prop_map(Op::Pass),
        4 => storm.prop_map(Op::Storm),
    ]
}

pub(super) fn settings() -> impl Strategy<Value = Settings> {
    (
        prop::sample::select(vec![0, 1, 4, 1000]),
        prop::sample::select(vec![EVENT_SIZE, 1_000, 1 << 20]),
        prop::sample::select(vec![0, 300, 2_000, 1 << 20]),
    )
        .prop_map(|(history, history_bytes, mail)| Settings {
            history,
            history_bytes,
            mail,
        })
}
