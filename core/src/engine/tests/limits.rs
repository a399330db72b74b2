//! What a client may cost: input that nobody reads, frames that only it holds any more.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::{Bench, Client, request};
use crate::delivery::EndReason;
use crate::engine::outbox;
use crate::engine::socket::Input;
use crate::options::{HubOptions, Limits, Slow};

const MIB: usize = 1 << 20;

fn send(client: &Client, bytes: usize) {
    let calls = bytes.div_ceil(16 * 1024);
    let input = &mut client.wire.state().input;
    input.extend((1..=calls).map(|call| {
        if call == calls {
            Input::Some(16 * 1024)
        } else {
            Input::More(16 * 1024)
        }
    }));
}

fn read(bench: &mut Bench, client: &Client) {
    bench.with(|connections, scene| connections.readable(scene, client.token));
    bench.settle([client]);
}

#[test]
fn input_is_read_and_forgotten_up_to_a_bound_per_minute() {
    let mut bench = Bench::new(HubOptions::default(), MIB);
    let client = bench.open(&request(&["a"]));
    bench.settle([&client]);
    bench.now = 60_000;
    for _ in 0..3 {
        send(&client, MIB);
        read(&mut bench, &client);
        assert!(client.wire.state().input.is_empty(), "to the last byte");
        bench.now += 60_000;
    }
    send(&client, MIB);
    read(&mut bench, &client);
    assert!(bench.reports.try_recv().is_err(), "not more than a MiB");
    send(&client, 1);
    read(&mut bench, &client);
    let (_, report) = bench.reports.try_recv().expect("more than a MiB");
    assert_eq!(
        (report.info.reason, report.clean),
        (EndReason::Error, false)
    );
    assert!(client.wire.state().shut);
    bench.check_empty();
}

#[test]
fn what_was_sent_before_the_stream_came_is_read_to_the_end() {
    let mut bench = Bench::new(HubOptions::default(), MIB);
    let client = bench.open(&request(&["a"]));
    send(&client, 100_000);
    client.wire.state().input.push_back(Input::End);
    // The poller has told of it when nobody was there yet.
    bench.settle([&client]);
    assert_eq!(client.wire.state().input.len(), 1, "nobody has said so");
    read(&mut bench, &client);
    let (_, report) = bench.reports.try_recv().expect("it has left");
    assert_eq!(report.info.reason, EndReason::Client);
}

#[test]
fn input_that_nobody_has_read_does_not_break_a_clean_end() {
    // The system resets a connection that is closed with input unread, and what is under way is lost.
    let mut bench = Bench::new(HubOptions::default(), MIB);
    let client = bench.open(&request(&["a"]));
    bench.settle([&client]);
    send(&client, 1);
    bench.kick(&client, None);
    bench.settle([&client]);
    assert!(client.wire.state().input.is_empty());
    assert!(client.seen().0.ended);
}

#[test]
fn a_host_that_panics_keeps_no_report_from_another() {
    let mut bench = Bench::new(HubOptions::default(), MIB);
    let (called, calls) = channel();
    let bad = bench.hub.reports(|| panic!("a host's fault"));
    let good = bench
        .hub
        .reports(move || called.send(()).expect("the test waits"));
    let outbox = outbox::start().expect("a thread");
    let client = bench.open(&request(&["a"]));
    bench.settle([&client]);
    bench.kick(&client, None);
    bench.settle([&client]);
    let (_, report) = bench.reports.try_recv().expect("it is over");
    for host in [&bad, &good] {
        let inbox = Arc::downgrade(host.inbox());
        outbox.send((inbox, report.clone())).expect("it listens");
    }
    calls
        .recv_timeout(Duration::from_secs(10))
        .expect("the call");
    assert_eq!((bad.take().len(), good.take().len()), (1, 1));
}

#[test]
fn frames_that_only_stalled_clients_hold_are_bounded() {
    let size = 4 * MIB;
    let options = HubOptions {
        max_lag: size,
        limits: Limits {
            event_size: size,
            history_bytes: size,
            ..Limits::default()
        },
        history: crate::options::History::NONE,
        ..HubOptions::default()
    };
    let mut bench = Bench::new(options, 64 * MIB);
    let data = "x".repeat(size - 100);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let topic = format!("own {}", clients.len());
        let mut ask = request(&[&topic]);
        ask.subscribe.slow = Some(Slow::Skip);
        ask.room = 1_000;
        clients.push(bench.open(&ask));
        bench.settle(&clients);
        bench.publish(&[&topic], &data, None);
        bench.settle(&clients);
        // Out of the log: the hub has room for one.
        bench.publish(&["other"], &data, None);
        // It does not look all the time.
        bench.now += 100;
        bench.settle(&clients);
        let pinned = bench.connections.pinned;
        assert!(pinned <= 64 * MIB + size, "{pinned}");
        bench.check();
    }
    let cut: Vec<u64> = bench.reports.try_iter().map(|it| it.1.tag).collect();
    let first: Vec<u64> = clients.iter().map(|it| it.token.to_bits()).collect();
    assert!(cut.len() >= 3, "{} were cut", cut.len());
    assert!(first.starts_with(&cut), "the longest stalled go first");
}
