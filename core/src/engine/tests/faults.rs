//! One script of everything that a connection may have to send, stopped at each of its bytes in turn: whatever the
//! client has got, it can make sense of, and it gets the rest once it takes more.

use super::oracle::{Owed, Seen, check};
use super::{Bench, Client, request};
use crate::engine::terms::Framing;
use crate::options::{History, HubOptions, Limits, Slow, Start, StreamOptions};

/// When a socket that has stopped goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    /// Before the next step.
    AtOnce,
    /// Before the next step, and the writer has something to send before the poller tells it.
    Unheard,
    /// When all is published and the end is decided on.
    BeforeEnd,
    /// When the stream should be over.
    Late,
    /// One byte at a time, and one for each send.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kick,
    Drain,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    framing: Framing,
    slow: Slow,
    end: End,
    /// How many events a history has.
    history: usize,
    release: Release,
}

/// What one run has left.
struct Run {
    bench: Bench,
    client: Client,
    owed: Vec<u64>,
    // What was published before the end.
    through: u64,
    // Of these, newer ones stand in for the first.
    keyed: Vec<u64>,
    // Of two of its topics.
    shared: u64,
}

/// Runs the script with a socket that stops after so many bytes.
fn run(case: Case, stop: usize) -> Run {
    let mut options = HubOptions {
        max_lag: 200,
        heartbeat: None,
        write_timeout: 600_000,
        limits: Limits {
            event_size: 200,
            ..Limits::default()
        },
        ..HubOptions::default()
    };
    options.history = History {
        count: case.history,
        bytes: 100_000,
        age: None,
    };
    let mut bench = Bench::new(options, 1 << 20);
    let mut owed = Vec::new();
    let mut keyed = Vec::new();
    let first = bench.publish(&["a"], "before", None);
    for data in ["one", "two", "three"] {
        owed.push(bench.publish(&["a"], data, None));
    }
    let mut ask = request(&["a", "b", "~p.*"]);
    ask.framing = case.framing;
    ask.room = stop;
    ask.subscribe.slow = Some(case.slow);
    ask.subscribe.start = Start::After(bench.shared.id(first).to_string());
    ask.stream = StreamOptions {
        retry: Some(3000),
        announce_position: true,
        heartbeat: Some(10_000),
        ..ask.stream
    };
    let client = bench.open(&ask);
    let go = |bench: &mut Bench| {
        match case.release {
            Release::AtOnce if is_full(&client) => client.wire.state().room = usize::MAX,
            Release::Unheard if is_full(&client) => {
                client.wire.state().room = usize::MAX;
                bench.turn();
            }
            Release::Drop => {
                while is_full(&client) {
                    client.wire.state().room = 1;
                    bench.settle([&client]);
                }
            }
            _ => {}
        }
        bench.settle([&client]);
    };
    go(&mut bench);
    owed.push(bench.publish(&["a"], "four", None));
    go(&mut bench);
    // Several topics in one round, one event of two of them, and one that is nobody's.
    owed.push(bench.publish(&["b"], "five", None));
    let shared = bench.publish(&["a", "b"], "six", None);
    owed.push(shared);
    bench.publish(&["c"], "seven", None);
    owed.push(bench.publish(&["p.1"], "eight", None));
    go(&mut bench);
    // More than the lag limit, one by one.
    for n in 0..4 {
        let seq = bench.publish(&["a"], &format!("{n} {}", "x".repeat(40)), Some("k"));
        owed.push(seq);
        keyed.push(seq);
        go(&mut bench);
    }
    bench.now += 12_000;
    go(&mut bench);
    owed.push(bench.publish(&["b"], "nine", None));
    if case.release == Release::BeforeEnd {
        client.wire.state().room = usize::MAX;
    }
    match case.end {
        End::Kick => bench.kick(&client, Some("bye")),
        End::Drain => bench.drain(60_000, 0),
    }
    go(&mut bench);
    // Whoever is still reading then may have it.
    let through = bench.hub.last_event_id().seq;
    owed.push(bench.publish(&["a"], "after the end", None));
    go(&mut bench);
    bench.now += 2_000;
    bench.settle([&client]);
    client.wire.state().room = usize::MAX;
    bench.settle([&client]);
    bench.now += 2_000;
    bench.settle([&client]);
    Run {
        bench,
        client,
        owed,
        through,
        keyed,
        shared,
    }
}

fn is_full(client: &Client) -> bool {
    client.wire.state().room == 0
}

/// How the run must have ended. How many bytes came.
fn examine(case: Case, stop: usize, run: Run) -> usize {
    let Run {
        mut bench,
        client,
        owed,
        through,
        keyed,
        shared,
    } = run;
    let report = bench.reports.try_recv().expect("it is over").1;
    assert!(bench.reports.try_recv().is_err(), "reported once");
    bench.check_empty();
    let (body, seen, _) = client.seen();
    let chunked = case.framing == Framing::Chunked;
    assert_eq!(body.ended, chunked && report.clean, "the terminator");
    assert!(body.whole || !report.clean, "clean is what ends whole");
    let events = seen.iter().filter(|it| matches!(it, Seen::Event(_)));
    let word = report.info.reason.as_str();
    match word {
        // The lag limit also cuts what was to end otherwise.
        "slow" => assert_ne!(case.slow, Slow::Skip),
        "kick" | "drain" if !report.clean => assert_eq!(case.slow, Slow::Disconnect),
        "kick" => assert_eq!(seen.last(), Some(&Seen::Other("bye".into()))),
        "drain" => assert_eq!(seen.last(), Some(&Seen::Other("drain".into()))),
        _ => panic!("{word} at {stop}"),
    }
    if report.clean {
        assert_eq!(report.info.events, events.count() as u64, "at {stop}");
    }
    let through = if word == "drain" && report.clean {
        through
    } else {
        0
    };
    let newest = keyed.last();
    let owed: Vec<Owed> = owed
        .iter()
        .map(|seq| Owed {
            seq: *seq,
            is_shared: *seq == shared,
            is_excused: case.slow == Slow::Conflate && keyed.contains(seq) && Some(seq) != newest,
        })
        .collect();
    check(&seen, &owed, through);
    let state = client.wire.state();
    assert!(state.shut);
    state.taken.len()
}

/// What the framing changes is the same whenever the socket goes on.
const CASES: [(Framing, Release, usize); 8] = [
    (Framing::Chunked, Release::AtOnce, 1),
    (Framing::Chunked, Release::Unheard, 1),
    (Framing::Chunked, Release::BeforeEnd, 1),
    (Framing::Chunked, Release::BeforeEnd, 100),
    (Framing::Chunked, Release::Late, 1),
    (Framing::Chunked, Release::Drop, 100),
    (Framing::Plain, Release::Unheard, 1),
    (Framing::Plain, Release::BeforeEnd, 100),
];

fn at_each_byte(slow: Slow) {
    for (framing, release, history) in CASES {
        for end in [End::Kick, End::Drain] {
            let case = Case {
                framing,
                slow,
                end,
                history,
                release,
            };
            let all = examine(case, usize::MAX, run(case, usize::MAX));
            assert!(all > 500, "the script has something of everything");
            for stop in 0..=all {
                examine(case, stop, run(case, stop));
            }
        }
    }
}

#[test]
fn stopped_at_any_byte_a_stream_is_cut_or_resumed_between_frames() {
    at_each_byte(Slow::Disconnect);
}

#[test]
fn a_reader_that_skips_is_told_what_it_lost_at_any_byte() {
    at_each_byte(Slow::Skip);
}

#[test]
fn a_reader_that_conflates_gets_the_newest_at_any_byte() {
    at_each_byte(Slow::Conflate);
}
