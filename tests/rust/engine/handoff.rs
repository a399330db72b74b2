//! Streams that are handed over: nothing is lost on the way, and the server may do what it likes with what it keeps.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::time::Duration;

use ssehub::{EndReason, Framing, HubOptions, Mode, Slot, Start};

use super::common::{Ask, PATIENCE, Server, Via, ask, quiet, wait_until};

/// Every kind of connection there is.
fn all_kinds(topics: &[&str]) -> Vec<Ask> {
    let mut kinds = Vec::new();
    for via in [Via::Tcp, Via::Unix] {
        for framing in [Framing::Chunked, Framing::Plain] {
            for (held, dummy) in [(false, false), (false, true), (true, false)] {
                kinds.push(Ask {
                    via,
                    framing,
                    held,
                    dummy,
                    ..ask(topics)
                });
            }
        }
    }
    kinds
}

#[test]
fn nothing_is_lost_between_the_server_and_the_engine() {
    for kind in all_kinds(&["a"]) {
        let mut server = Server::new(quiet());
        let (token, end, mut client) = server.begin(&kind);
        server.publish("a", "before");
        let tag = server.hand_off(&kind, token, &end).expect("a good socket");
        server.publish("a", "after");
        let held = kind.held.then_some(end);
        assert_eq!(client.next().as_deref(), Some("before"), "{:?}", kind.via);
        assert_eq!(client.next().as_deref(), Some("after"));
        let stats = server.hub.stats();
        let (detached, in_hold) = if kind.held { (0, 1) } else { (1, 0) };
        assert_eq!((stats.detached, stats.held), (detached, in_hold));
        server.publish("a", "last");
        server
            .hub
            .drain(Duration::from_secs(5), Duration::ZERO, None);
        let report = server.report(tag);
        assert_eq!((report.info.reason, report.clean), (EndReason::Drain, true));
        assert_eq!((report.tag, &*report.label), (tag, "/events"));
        let mode = if kind.held {
            Mode::Held
        } else {
            Mode::Detached
        };
        assert_eq!((report.info.mode, report.info.events), (mode, 3));
        if let Some(mut end) = held {
            // The server ends the body, and the connection.
            let terminator: &[u8] = match kind.framing {
                Framing::Chunked => b"0\r\n\r\n",
                Framing::Plain => b"",
            };
            end.write_all(terminator).expect("it is the server's again");
        }
        assert_eq!(client.rest(), ["last"]);
        assert!(client.is_whole());
        assert!(server.hub.wait_drained(Duration::from_secs(5)));
        assert_eq!(server.others(), 0, "reported once");
        let stats = server.hub.stats();
        assert_eq!((stats.connections, stats.detached, stats.held), (0, 0, 0));
    }
}

#[test]
fn a_stream_that_comes_in_a_drain_gets_what_was_published_before_it() {
    let mut server = Server::new(quiet());
    let (token, end, mut client) = server.begin(&ask(&["a"]));
    server.publish("a", "before");
    server.hub.drain(PATIENCE, Duration::ZERO, None);
    let tag = server
        .hand_off(&ask(&["a"]), token, &end)
        .expect("a good socket");
    drop(end);
    assert_eq!(client.rest(), ["before"]);
    assert!(client.is_whole());
    let report = server.report(tag);
    assert_eq!((report.info.reason, report.clean), (EndReason::Drain, true));
}

#[test]
fn a_held_connection_serves_another_response_when_the_stream_is_over() {
    let mut server = Server::new(quiet());
    let kind = Ask {
        held: true,
        ..ask(&["a"])
    };
    let (tag, end, mut client) = server.open(&kind);
    let mut end = end.expect("held");
    server.publish("a", "x");
    assert_eq!(client.next().as_deref(), Some("x"));
    server.reports.remove(tag, EndReason::Kick);
    let report = server.report(tag);
    assert_eq!((report.info.reason, report.clean), (EndReason::Kick, true));
    server.publish("a", "never");
    // What the client says is the server's to read.
    client.end.write_all(b"GET / HTTP/1.1\r\n").expect("open");
    let mut request = [0; 16];
    end.read_exact(&mut request).expect("the server's own");
    end.write_all(b"0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        .expect("open");
    drop(end);
    let mut rest = Vec::new();
    client.end.read_to_end(&mut rest).expect("open");
    assert_eq!(rest, b"0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn a_connection_that_is_given_back_is_as_it_was() {
    let mut server = Server::new(quiet());
    let kind = Ask {
        held: true,
        ..ask(&["a"])
    };
    let (token, end, client) = server.begin(&kind);
    let settings = || {
        let options = end.options();
        #[cfg(target_os = "linux")]
        let patience = options.tcp_user_timeout().expect("its own");
        #[cfg(not(target_os = "linux"))]
        let patience = ();
        let keepalive = options.keepalive().expect("its own");
        (keepalive, options.nonblocking().expect("its own"), patience)
    };
    let before = settings();
    let tag = server.hand_off(&kind, token, &end).expect("a good socket");
    server.wait_for(1);
    server.reports.remove(tag, EndReason::Kick);
    assert!(server.report(tag).clean);
    assert_eq!(settings(), before);
    drop(client);
}

#[test]
fn a_held_client_that_asked_for_more_and_left_is_noticed() {
    let mut server = Server::new(quiet());
    let kind = Ask {
        held: true,
        ..ask(&["a"])
    };
    let (token, end, mut client) = server.begin(&kind);
    client
        .end
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("open");
    drop(client);
    let tag = server.hand_off(&kind, token, &end).expect("a good socket");
    assert_eq!(server.report(tag).info.reason, EndReason::Client);
}

#[test]
fn the_engine_reads_nothing_that_is_the_servers() {
    let mut server = Server::new(quiet());
    let kind = Ask {
        held: true,
        ..ask(&["a"])
    };
    let (_tag, end, mut client) = server.open(&kind);
    client
        .end
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("open");
    server.publish("a", "x");
    assert_eq!(client.next().as_deref(), Some("x"));
    let mut request = [0; 18];
    end.expect("held")
        .read_exact(&mut request)
        .expect("all of it");
    assert_eq!(&request, b"GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn behind_a_dummy_the_server_writes_to_nobody() {
    for via in [Via::Tcp, Via::Unix] {
        let mut server = Server::new(quiet());
        let kind = Ask {
            via,
            dummy: true,
            ..ask(&["a"])
        };
        let (token, mut end, mut client) = server.begin(&kind);
        let number = end.as_raw_fd();
        server.hand_off(&kind, token, &end).expect("a good socket");
        assert_eq!(end.as_raw_fd(), number);
        end.options()
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket");
        end.options()
            .set_write_timeout(Some(PATIENCE))
            .expect("a socket");
        let mut linger = [0; 10];
        assert_eq!(
            end.read(&mut linger).expect("at once"),
            0,
            "the client says nothing"
        );
        // What servers do at the end of a response, and more than any buffer takes.
        end.write_all(b"0\r\n\r\n").expect("nobody minds");
        for _ in 0..100 {
            end.write_all(&vec![b'x'; 64 * 1024])
                .expect("it is read and forgotten");
        }
        end.shutdown(Shutdown::Write).expect("a socket");
        server.publish("a", "one");
        assert_eq!(client.next().as_deref(), Some("one"));
        drop(end);
        server.publish("a", "two");
        assert_eq!(client.next().as_deref(), Some("two"));
        assert!(!client.terminated);
    }
}

#[test]
fn what_is_no_stream_socket_is_refused_and_the_stream_goes_on() {
    let mut server = Server::new(quiet());
    let kind = ask(&["a"]);
    let (token, end, _client) = server.begin(&kind);
    let file = std::fs::File::open("/dev/null").expect("there is one");
    for fd in [-1, 1_000_000, file.as_raw_fd()] {
        for dummy in [false, true] {
            let how = ssehub::HandOff {
                framing: Framing::Chunked,
                held: false,
                snapshot: false,
                tag: 7,
                label: "/".into(),
            };
            let slot = Slot::reserve(dummy).expect("descriptors");
            let refused = server
                .selector
                .hand_off(token, slot, fd, how, &server.reports);
            assert!(refused.is_err(), "{fd}");
        }
    }
    server.publish("a", "x");
    assert!(
        server.selector.poll(token).is_some(),
        "it is the selector's still"
    );
    assert_eq!(server.hub.stats().detached, 0);
    server.hand_off(&kind, token, &end).expect("the right one");
    let again = server.hand_off(&kind, token, &end);
    assert!(again.is_err(), "the token means nothing any more");
}

#[test]
fn a_reader_of_a_pattern_resumes_across_the_hand_off() {
    let mut server = Server::new(HubOptions::default());
    for n in 0..5 {
        server.publish("orders.eu", &format!("{n}"));
    }
    let mut kind = ask(&[]);
    kind.topics = vec![ssehub::Topic::Pattern("orders.*".into())];
    kind.subscribe.start = Start::Earliest;
    let (_tag, _, mut client) = server.open(&kind);
    server.publish("orders.us", "5");
    for n in 0..6 {
        assert_eq!(client.next(), Some(format!("{n}")));
    }
}

#[test]
fn streams_come_while_the_hub_publishes() {
    let mut server = Server::new(quiet());
    let hub = server.hub.clone();
    let publisher = std::thread::spawn(move || {
        for n in 0..2_000 {
            let event = ssehub::Event::new(format!("{n}"));
            hub.publish(&["a"], &event, None).expect("valid");
        }
    });
    let mut clients = Vec::new();
    for at in 0..40 {
        let mut kind = ask(&["a"]);
        kind.via = if at % 2 == 0 { Via::Tcp } else { Via::Unix };
        clients.push(server.open(&kind).2);
    }
    publisher.join().expect("no panics");
    server.publish("a", "end");
    for client in &mut clients {
        let mut last = None;
        while let Some(data) = client.next().filter(|data| data != "end") {
            let number: u32 = data.parse().expect("a number");
            assert!(
                last.is_none_or(|last| number == last + 1),
                "no hole, no repeat"
            );
            last = Some(number);
        }
        assert!(last.is_none_or(|last| last == 1_999));
    }
    drop(clients);
    server.wait_for(0);
    wait_until(|| server.hub.subscribers("a") == 0);
}
