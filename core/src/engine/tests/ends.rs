//! How connections end: on time, by their clients, by their servers, with their hub; in a drain: see drains.rs.

use std::sync::atomic::Ordering;

use super::oracle::Seen;
use super::{Bench, Client, Request, request};
use crate::delivery::{EndReason, Mode};
use crate::engine::command::Command;
use crate::engine::reports::Report;
use crate::engine::socket::Input;
use crate::engine::terms::Framing;
use crate::options::{HubOptions, Start};
use crate::shared::State;

pub(super) fn bench() -> Bench {
    let options = HubOptions {
        heartbeat: None,
        ..HubOptions::default()
    };
    Bench::new(options, 1 << 20)
}

/// A client that is there.
pub(super) fn come(bench: &mut Bench, ask: &Request) -> Client {
    let client = bench.open(ask);
    bench.settle([&client]);
    client
}

pub(super) fn report(bench: &Bench) -> Report {
    let (_, report) = bench.reports.try_recv().expect("one is over");
    report
}

fn events(seen: &[Seen]) -> usize {
    seen.iter()
        .filter(|it| matches!(it, Seen::Event(_)))
        .count()
}

/// What stands on the wire, without its framing.
fn text(client: &Client) -> String {
    let mut text = String::from_utf8(client.wire.state().taken.clone()).expect("text");
    if client.framing == Framing::Chunked {
        text.retain(|it| it != '\r');
    }
    text
}

#[test]
fn a_client_that_takes_nothing_is_cut_after_the_write_timeout() {
    let mut bench = bench();
    let client = come(&mut bench, &request(&["a"]));
    bench.publish(&["a"], "taken", None);
    bench.pass(100_000, [&client]);
    assert!(bench.reports.try_recv().is_err(), "idle is not slow");
    client.wire.state().room = 10;
    bench.publish(&["a"], "not taken", None);
    bench.pass(29_000, [&client]);
    assert!(bench.reports.try_recv().is_err(), "not yet");
    bench.pass(2_000, [&client]);
    let report = report(&bench);
    assert_eq!((report.info.reason, report.clean), (EndReason::Slow, false));
    assert_eq!((report.info.mode, report.info.events), (Mode::Detached, 1));
    let (body, seen, _) = client.seen();
    assert!(!body.ended && events(&seen) == 1);
    bench.check_empty();
}

#[test]
fn a_client_that_takes_a_byte_now_and_then_is_not_cut() {
    let mut bench = bench();
    let client = come(&mut bench, &request(&["a"]));
    client.wire.state().room = 0;
    let seq = bench.publish(&["a"], "slowly", None);
    for _ in 0..100 {
        client.wire.state().room = 1;
        bench.pass(20_000, [&client]);
    }
    let (_, seen, _) = client.seen();
    assert_eq!(seen, [Seen::Event(seq)]);
    assert!(bench.reports.try_recv().is_err());
}

#[test]
fn time_with_the_host_is_not_the_clients_fault() {
    let mut bench = bench();
    let mut ask = request(&["a"]);
    ask.room = 0;
    let client = bench.open(&ask);
    bench.publish(&["a"], "x", None);
    bench.now = 300_000;
    bench.settle([&client]);
    bench.pass(20_000, [&client]);
    assert!(bench.reports.try_recv().is_err(), "stalled for 20 s only");
    bench.pass(20_000, [&client]);
    assert_eq!(report(&bench).info.reason, EndReason::Slow);
}

#[test]
fn an_idle_stream_gets_heartbeats_and_a_blocked_one_does_not() {
    let mut bench = bench();
    let mut ask = request(&["a"]);
    ask.stream.heartbeat = Some(10_000);
    let client = come(&mut bench, &ask);
    bench.pass(34_000, [&client]);
    assert_eq!(text(&client), "2\n:\n\n".repeat(3));
    client.wire.state().room = 1;
    bench.pass(20_000, [&client]);
    client.wire.state().room = usize::MAX;
    bench.pass(1_000, [&client]);
    assert_eq!(text(&client), "2\n:\n\n".repeat(4), "whole, and once");
}

#[test]
fn a_stream_ends_when_its_time_has_come() {
    let mut bench = bench();
    let mut ask = request(&["a"]);
    ask.stream.max_age = Some(60_000);
    let old = come(&mut bench, &ask);
    ask.stream.expires_in = Some(30_000);
    ask.framing = Framing::Plain;
    let expired = come(&mut bench, &ask);
    let both = [&old, &expired];
    bench.pass(30_000, both);
    assert_eq!(report(&bench).info.reason, EndReason::Expired);
    bench.pass(37_000, both);
    let report = report(&bench);
    assert_eq!(
        (report.info.reason, report.clean),
        (EndReason::MaxAge, true)
    );
    assert_eq!(
        (text(&old).as_str(), text(&expired).as_str()),
        ("0\n\n", "")
    );
    bench.check_empty();
}

#[test]
fn a_gap_ends_a_stream_that_needs_a_snapshot() {
    let mut bench = bench();
    bench.publish(&["a"], "x", None);
    let mut ask = request(&["a"]);
    ask.subscribe.start = Start::After("0123456789abcdef-7".into());
    ask.snapshot = true;
    let client = come(&mut bench, &ask);
    let report = report(&bench);
    assert_eq!((report.info.reason, report.clean), (EndReason::Slow, true));
    assert_eq!(text(&client), "0\n\n", "and is not told here");
}

#[test]
fn a_held_stream_that_its_server_ends_is_clean_between_frames_only() {
    for (room, reason, clean) in [
        (usize::MAX, EndReason::Client, true),
        (10, EndReason::Client, false),
        // Nobody would end it.
        (usize::MAX, EndReason::Error, false),
    ] {
        let mut bench = bench();
        let mut ask = request(&["a"]);
        ask.held = true;
        let client = come(&mut bench, &ask);
        client.wire.state().room = room;
        bench.publish(&["a"], "x", None);
        bench.settle([&client]);
        let sent = client.wire.state().taken.len();
        bench.door.send(Command::Remove(client.token, reason));
        bench.publish(&["a"], "never", None);
        bench.settle([&client]);
        bench.settle([&client]);
        let report = report(&bench);
        assert_eq!((report.info.reason, report.clean), (reason, clean));
        assert_eq!(report.info.mode, Mode::Held);
        assert_eq!(
            client.wire.state().shut,
            !clean,
            "the server goes on with it"
        );
        let late = client.wire.state().taken.len() - sent;
        assert!(
            late == 0 || room > 10,
            "only with what was published before"
        );
        bench.check_empty();
    }
}

#[test]
fn a_held_client_that_left_before_the_engine_came_is_noticed() {
    let mut bench = bench();
    let mut ask = request(&["a"]);
    ask.held = true;
    let client = bench.open(&ask);
    client.wire.state().input.push_back(Input::End);
    bench.settle([&client]);
    let report = report(&bench);
    assert_eq!(
        (report.info.reason, report.clean),
        (EndReason::Client, false)
    );
    assert_eq!(client.wire.state().input.len(), 1, "the server's to read");
}

#[test]
fn who_was_sent_away_gets_nothing_that_was_published_after_that() {
    let mut bench = bench();
    let client = come(&mut bench, &request(&["a"]));
    let first = bench.publish(&["a"], "for all", None);
    bench.settle([&client]);
    bench.kick(&client, Some("bye"));
    bench.publish(&["a"], "for those who may", None);
    bench.settle([&client]);
    assert_eq!(
        client.seen().1,
        [Seen::Event(first), Seen::Other("bye".into())]
    );
}

#[test]
fn who_is_sent_away_gets_what_was_published_before_that() {
    let mut bench = bench();
    let client = come(&mut bench, &request(&["a", "b"]));
    let behind = come(&mut bench, &request(&["a"]));
    behind.wire.state().room = 0;
    let mut owed: Vec<Seen> = ["a", "b"]
        .map(|topic| Seen::Event(bench.publish(&[topic], "before", None)))
        .into();
    // In one turn with what came before it, and with what came after it.
    bench.kick(&client, Some("bye"));
    bench.kick(&behind, Some("bye"));
    bench.publish(&["a"], "after", None);
    bench.settle([&client, &behind]);
    owed.push(Seen::Other("bye".into()));
    assert_eq!(client.seen().1, owed);
    behind.wire.state().room = usize::MAX;
    bench.settle([&client, &behind]);
    // It would have had to take that first.
    assert_eq!(behind.seen().1, owed[2..]);
    bench.check_empty();
}

#[test]
fn who_is_sent_away_as_soon_as_it_comes_gets_what_was_published_before_that_too() {
    let mut bench = bench();
    let (client, add) = bench.prepare(&request(&["a"]));
    // More than one batch.
    let mut owed: Vec<Seen> = (0..10)
        .map(|_| Seen::Event(bench.publish(&["a"], &"x".repeat(10_000), None)))
        .collect();
    bench.door.send(add);
    owed.push(Seen::Event(bench.publish(&["a"], "there", None)));
    bench.publish(&["b"], "for others", None);
    bench.kick(&client, Some("bye"));
    bench.publish(&["a"], "after", None);
    bench.settle([&client]);
    owed.push(Seen::Other("bye".into()));
    assert_eq!(client.seen().1, owed);
    bench.check_empty();
}

#[test]
fn a_hub_that_is_closed_gives_what_it_has_first() {
    let mut bench = bench();
    let client = come(&mut bench, &request(&["a"]));
    let last = bench.publish(&["a"], "last", None);
    bench
        .shared
        .state
        .store(State::Closed as u8, Ordering::Release);
    bench.door.send(Command::CloseAll);
    bench.settle([&client]);
    assert_eq!(client.seen().1, [Seen::Event(last)]);
    assert!(client.seen().0.ended);
    bench.check_empty();
}

#[test]
fn streams_that_end_early_leave_nothing_until_they_would_have() {
    let mut bench = bench();
    let mut ask = request(&["a"]);
    ask.stream.max_age = Some(24 * 3_600_000);
    for _ in 0..300 {
        let client = come(&mut bench, &ask);
        bench.kick(&client, None);
        bench.settle([&client]);
        bench.pass(1_000, []);
    }
    bench.check_empty();
    let left = bench.connections.wheel.len();
    assert!(left <= 62, "{left} of 300");
}

#[test]
fn a_closed_hub_ends_its_streams_at_once_and_those_to_come() {
    let mut bench = bench();
    let client = come(&mut bench, &request(&["a"]));
    let coming = bench.open(&request(&["a"]));
    let state = &bench.shared.state;
    state.store(State::Closed as u8, std::sync::atomic::Ordering::Release);
    bench.door.send(Command::CloseAll);
    bench.settle([&client, &coming]);
    assert_eq!(
        (text(&client), text(&coming)),
        ("0\n\n".into(), "0\n\n".into())
    );
    bench.check_empty();
}

#[test]
fn a_hub_that_is_gone_cuts_its_streams_and_those_to_come() {
    let mut bench = bench();
    let client = come(&mut bench, &request(&["a"]));
    let coming = bench.open(&request(&["a"]));
    let door = bench.door.clone();
    bench.connections.abandon(&door.mailbox);
    assert_eq!(bench.connections.gone.len(), 2);
    assert!(client.wire.state().shut && coming.wire.state().shut);
}

#[test]
fn after_a_panic_all_streams_are_reported_and_nothing_is_left() {
    let mut bench = bench();
    let client = come(&mut bench, &request(&["a", "b"]));
    let empty = crate::engine::connections::Connections::new();
    let broken = std::mem::replace(&mut bench.connections, empty);
    let sockets = bench.with(|_, scene| broken.fail(scene));
    assert_eq!(sockets.len(), 1);
    assert!(client.wire.state().shut);
    let report = report(&bench);
    assert_eq!(
        (report.info.reason, report.clean),
        (EndReason::Error, false)
    );
    bench.check_empty();
}
