//! What clients do to the engine: they vanish, stall, half-close, drip and talk.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use ssehub::{EndReason, Framing, HubOptions, Limits, Slow};

use super::common::{Ask, Client, PATIENCE, Server, Via, ask, quiet};

const BACKLOG: usize = 2 << 20;

/// Room for a client that is far behind.
fn patient() -> HubOptions {
    let mut options = quiet();
    options.max_lag = 64 << 20;
    options.history.bytes = 64 << 20;
    options.history.count = 1_000_000;
    options.limits = Limits {
        history_bytes: 256 << 20,
        ..Limits::default()
    };
    options
}

/// Events of a kilobyte with their numbers, as many as make a backlog.
fn publish_backlog(server: &Server) -> usize {
    let count = BACKLOG / 1_000;
    let filler = "x".repeat(1_000);
    for n in 0..count {
        server.publish("a", &format!("{n} {filler}"));
    }
    count
}

fn number(data: &str) -> usize {
    let (number, _) = data.split_once(' ').expect("as published");
    number.parse().expect("as published")
}

/// A client whose system takes little for it.
fn narrow(client: &Client) {
    client
        .end
        .options()
        .set_recv_buffer_size(64 * 1024)
        .expect("a socket");
}

#[test]
fn a_client_that_stalls_holds_up_nobody_and_gets_everything_when_it_goes_on() {
    for framing in [Framing::Chunked, Framing::Plain] {
        for via in [Via::Tcp, Via::Unix] {
            let mut server = Server::new(patient());
            let kind = Ask {
                via,
                framing,
                ..ask(&["a"])
            };
            let (tag, _, mut stalled) = server.open(&kind);
            narrow(&stalled);
            let (_, _, mut good) = server.open(&kind);
            let count = publish_backlog(&server);
            for n in 0..count {
                assert_eq!(good.next().as_deref().map(number), Some(n));
            }
            assert_eq!(server.hub.stats().connections, 2);
            for n in 0..count {
                assert_eq!(stalled.next().as_deref().map(number), Some(n));
            }
            // And it is live again.
            server.publish("a", "0 live");
            assert_eq!(stalled.next().as_deref(), Some("0 live"));
            assert_eq!(good.next().as_deref(), Some("0 live"));
            server.hub.drain(PATIENCE, Duration::ZERO, None);
            assert_eq!((stalled.rest(), good.rest()), (vec![], vec![]));
            assert!(stalled.is_whole() && good.is_whole());
            assert_eq!(server.report(tag).info.events, count as u64 + 1);
        }
    }
}

#[test]
fn a_client_that_reads_in_drops_gets_everything() {
    let mut options = patient();
    options.write_timeout = 2_000;
    let mut server = Server::new(options);
    let (tag, _, mut client) = server.open(&ask(&["a"]));
    narrow(&client);
    let count = publish_backlog(&server);
    server.hub.drain(PATIENCE, Duration::ZERO, None);
    let mut size = 1;
    while !client.closed {
        client.read(size);
        size = size % 5_003 + 13;
    }
    let all = client.rest();
    assert_eq!(all.len(), count);
    assert!(all.iter().map(|data| number(data)).eq(0..count));
    assert!(client.is_whole());
    assert!(server.report(tag).clean);
}

#[test]
fn a_client_that_takes_nothing_is_cut_and_no_other() {
    let mut options = patient();
    options.write_timeout = 1_000;
    let mut server = Server::new(options);
    let (tag, _, mut stalled) = server.open(&ask(&["a"]));
    let (_, _, mut good) = server.open(&ask(&["a"]));
    narrow(&stalled);
    let count = publish_backlog(&server);
    let begin = Instant::now();
    for n in 0..count {
        assert_eq!(good.next().as_deref().map(number), Some(n));
    }
    let report = server.report(tag);
    assert_eq!((report.info.reason, report.clean), (EndReason::Slow, false));
    assert!(begin.elapsed() < Duration::from_secs(10));
    stalled.rest();
    assert!(!stalled.terminated, "cut, not ended");
    assert_eq!(server.hub.stats().connections, 1);
}

#[test]
fn a_reader_that_is_too_far_behind_is_sent_away_and_resumes() {
    let mut options = quiet();
    options.max_lag = 300_000;
    options.history.bytes = 64 << 20;
    options.history.count = 1_000_000;
    let mut server = Server::new(options);
    let (tag, _, mut client) = server.open(&ask(&["a"]));
    narrow(&client);
    let count = publish_backlog(&server);
    let report = server.report(tag);
    assert_eq!(report.info.reason, EndReason::Slow);
    let first = client.rest();
    assert!(first.len() < count);
    let mut kind = ask(&["a"]);
    let last_id = client.last_event_id();
    kind.subscribe.start = ssehub::Start::After(last_id);
    let (_, _, mut again) = server.open(&kind);
    for n in first.len()..count {
        assert_eq!(
            again.next().as_deref().map(number),
            Some(n),
            "no hole, no repeat"
        );
    }
}

#[test]
fn a_reader_that_skips_is_told_of_the_gap() {
    let mut options = quiet();
    options.max_lag = 300_000;
    options.history.bytes = 300_000;
    let mut server = Server::new(options);
    let mut kind = ask(&["a"]);
    kind.subscribe.slow = Some(Slow::Skip);
    let (_, _, mut client) = server.open(&kind);
    narrow(&client);
    let count = publish_backlog(&server);
    let (mut last, mut gaps) = (None, 0);
    while last != Some(count - 1) {
        let data = client.next().expect("it stays");
        if data.starts_with('{') {
            assert!(data.contains("\"reason\":\"lagged\""), "{data}");
            gaps += 1;
            last = None;
        } else {
            let n = number(&data);
            assert!(
                last.is_none_or(|last| n == last + 1),
                "a hole without a gap"
            );
            last = Some(n);
        }
    }
    assert!(gaps > 0);
}

#[test]
fn a_client_that_closes_its_side_has_left() {
    for via in [Via::Tcp, Via::Unix] {
        let mut server = Server::new(quiet());
        let (tag, _, mut client) = server.open(&Ask { via, ..ask(&["a"]) });
        client.end.shutdown(Shutdown::Write).expect("open");
        assert_eq!(server.report(tag).info.reason, EndReason::Client);
        client.rest();
        assert!(client.closed && !client.terminated);
        server.wait_for(0);
    }
}

#[test]
fn a_client_that_is_gone_has_left() {
    for via in [Via::Tcp, Via::Unix] {
        for held in [false, true] {
            let mut server = Server::new(quiet());
            let kind = Ask {
                via,
                held,
                ..ask(&["a"])
            };
            // One with a reset, one without, and one that left before the hand-off.
            let (reset, end, client) = server.open(&kind);
            if via == Via::Tcp {
                client
                    .end
                    .options()
                    .set_linger(Some(Duration::ZERO))
                    .expect("tcp");
            }
            drop(client);
            let (closed, other, client) = server.open(&kind);
            drop(client);
            let (token, early, client) = server.begin(&kind);
            drop(client);
            let early_tag = server
                .hand_off(&kind, token, &early)
                .expect("a socket still");
            let early = held.then_some(early);
            for tag in [reset, closed, early_tag] {
                assert_eq!(server.report(tag).info.reason, EndReason::Client);
            }
            server.wait_for(0);
            assert_eq!(server.others(), 0, "reported once");
            drop((end, other, early));
        }
    }
}

#[test]
fn what_clients_send_is_forgotten_and_too_much_is_the_end() {
    for via in [Via::Tcp, Via::Unix] {
        let mut server = Server::new(quiet());
        let kind = Ask { via, ..ask(&["a"]) };
        let (token, end, mut talker) = server.begin(&kind);
        // Some of it before the engine is there to read.
        talker.end.write_all(&vec![b'x'; 50_000]).expect("open");
        let tag = server.hand_off(&kind, token, &end).expect("a good socket");
        drop(end);
        for _ in 0..10 {
            talker
                .end
                .write_all(&vec![b'y'; 50_000])
                .expect("half a MiB is borne");
        }
        server.publish("a", "still here");
        assert_eq!(talker.next().as_deref(), Some("still here"));
        let begin = Instant::now();
        while talker.end.write_all(&vec![b'z'; 50_000]).is_ok() {
            assert!(begin.elapsed() < PATIENCE, "nobody stops it");
        }
        let report = server.report(tag);
        assert_eq!(
            (report.info.reason, report.clean),
            (EndReason::Error, false)
        );
    }
}
