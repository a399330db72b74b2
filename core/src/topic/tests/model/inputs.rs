//! What may happen in the life of a hub.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::options::{History, OnGap, Slow};
use crate::topic::Millis;

pub(super) const TOPICS: [&str; 5] = ["a.1", "a.2", "b", "b.1.x", "c"];
const WANTED: [&str; 9] = [
    "a.1", "a.2", "b", "b.1.x", "c", "~a.*", "~>", "~b.>", "never",
];
pub(super) const EVENT_SIZE: usize = 160;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) history: History,
    pub(super) history_bytes: usize,
    pub(super) tombstones: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
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
pub(super) struct Subscribe {
    pub(super) wanted: Vec<&'static str>,
    pub(super) slow: Slow,
    pub(super) on_gap: OnGap,
    pub(super) max_lag: u64,
    pub(super) start: Begin,
}

#[derive(Clone, Debug)]
pub(super) enum Begin {
    /// The head at a call to `subscribe` that was so many events ago.
    Head(u64),
    Earliest,
    After(Id),
}

#[derive(Clone, Debug)]
pub(super) enum Id {
    Seq(Index),
    Future,
    Custom(u8),
    Foreign,
    Junk,
}

pub(super) fn settings() -> impl Strategy<Value = Settings> {
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

pub(super) fn op() -> impl Strategy<Value = Op> {
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
