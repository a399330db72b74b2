//! How the hub ends streams that are the engine's.

use std::time::{Duration, Instant};

use ssehub::{Delivery, EndReason, Event, Framing, HubOptions, Limits};

use super::common::{Ask, Client, PATIENCE, Server, Via, ask, pair, quiet, wait_until};

fn keyed(key: &str) -> Ask {
    let mut kind = ask(&["a", "b"]);
    kind.stream.key = Some(key.into());
    kind
}

#[test]
fn a_drain_ends_all_and_lets_them_have_what_came_before() {
    let mut server = Server::new(quiet());
    let mut clients: Vec<(u64, Client)> = Vec::new();
    for at in 0..60 {
        let mut kind = ask(&["a"]);
        kind.via = if at % 2 == 0 { Via::Tcp } else { Via::Unix };
        kind.framing = if at % 3 == 0 {
            Framing::Plain
        } else {
            Framing::Chunked
        };
        let (tag, _, client) = server.open(&kind);
        clients.push((tag, client));
    }
    for n in 0..100 {
        server.publish("a", &format!("{n}"));
    }
    let farewell = Event::new("bye");
    let begin = Instant::now();
    let (timeout, spread) = (Duration::from_secs(10), Duration::from_millis(200));
    server.hub.drain(timeout, spread, Some(&farewell));
    assert!(server.hub.wait_drained(PATIENCE));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "nobody was waited for"
    );
    for (tag, client) in &mut clients {
        let all = client.rest();
        assert_eq!(all.len(), 101);
        assert_eq!(all.last().map(String::as_str), Some("bye"));
        assert!(client.is_whole());
        let text = String::from_utf8_lossy(&client.body).into_owned();
        assert!(
            text.trim_end()
                .lines()
                .last()
                .is_some_and(|it| it.starts_with("retry: "))
        );
        assert!(server.report(*tag).clean);
    }
    assert_eq!(server.others(), 0, "reported once");
}

#[test]
fn a_drain_cuts_who_takes_nothing_at_its_timeout() {
    let mut options = quiet();
    options.max_lag = 64 << 20;
    options.history.bytes = 64 << 20;
    let mut server = Server::new(options);
    let (tag, _, mut client) = server.open(&ask(&["a"]));
    client
        .end
        .options()
        .set_recv_buffer_size(64 * 1024)
        .expect("a socket");
    for _ in 0..40 {
        server.publish("a", &"x".repeat(200_000));
    }
    server
        .hub
        .drain(Duration::from_secs(1), Duration::ZERO, None);
    assert!(server.hub.wait_drained(Duration::from_secs(5)));
    let report = server.report(tag);
    assert_eq!(
        (report.info.reason, report.clean),
        (EndReason::Drain, false)
    );
    client.rest();
    assert!(!client.terminated);
}

#[test]
fn disconnect_finds_streams_by_key_and_by_topic() {
    let mut server = Server::new(quiet());
    let (ann, _, mut ann_client) = server.open(&keyed("ann"));
    let (bob, _, mut bob_client) = server.open(&keyed("bob"));
    let (eve, _, mut eve_client) = server.open(&ask(&["c"]));
    let hub = server.hub.clone();
    let farewell = Event::new("bye");
    let disconnect = |key, topic| hub.disconnect(key, topic, Some(&farewell)).expect("valid");
    assert_eq!(disconnect(Some("nobody"), None), 0);
    assert_eq!(disconnect(Some("ann"), Some("c")), 0, "both must fit");
    assert_eq!(disconnect(Some("ann"), None), 1);
    assert_eq!(ann_client.rest(), ["bye"]);
    assert!(ann_client.is_whole());
    assert_eq!(disconnect(None, Some("b")), 1, "ann is gone");
    assert_eq!(bob_client.rest(), ["bye"]);
    assert_eq!(disconnect(None, Some("c")), 1);
    assert_eq!(disconnect(None, Some("c")), 0, "once");
    assert_eq!(eve_client.rest(), ["bye"]);
    for tag in [ann, bob, eve] {
        let report = server.report(tag);
        assert_eq!((report.info.reason, report.clean), (EndReason::Kick, true));
    }
}

#[test]
fn who_is_sent_away_on_its_way_to_the_engine_gets_what_was_published_before_that() {
    let mut server = Server::new(quiet());
    let kind = ask(&["a"]);
    let (token, end, mut client) = server.begin(&kind);
    server.publish("a", "before");
    server.publish("b", "for others");
    let farewell = Event::new("bye");
    let disconnected = server.hub.disconnect(None, Some("a"), Some(&farewell));
    assert_eq!(disconnected.expect("valid"), 1);
    server.publish("a", "after");
    let tag = server.hand_off(&kind, token, &end).expect("a good socket");
    server.publish("a", "later");
    drop(end);
    assert_eq!(client.rest(), ["before", "bye"]);
    let report = server.report(tag);
    assert_eq!((report.info.reason, report.clean), (EndReason::Kick, true));
}

#[test]
fn a_keys_oldest_stream_goes_whoever_has_it() {
    let mut options = quiet();
    options.limits = Limits {
        connections_per_key: Some(2),
        ..Limits::default()
    };
    let mut server = Server::new(options);
    let (first, _, mut first_client) = server.open(&keyed("ann"));
    let (token, _end, _client) = server.begin(&keyed("ann"));
    let (second, _, mut second_client) = server.open(&keyed("ann"));
    assert_eq!(server.report(first).info.reason, EndReason::Kick);
    assert_eq!(first_client.rest(), Vec::<String>::new());
    // The oldest is the selector's now.
    let (third, _, _third_client) = server.open(&keyed("ann"));
    let end = server.selector.poll(token);
    assert!(matches!(end, Some(ssehub::Delivery::End(_))), "{end:?}");
    server.selector.remove(token, EndReason::Kick);
    server.open(&keyed("bob"));
    let (fourth, _, _fourth_client) = server.open(&keyed("ann"));
    assert_eq!(server.report(second).info.reason, EndReason::Kick);
    assert!(second_client.rest().is_empty());
    // Places are given back.
    assert_eq!(
        server
            .hub
            .disconnect(Some("ann"), None, None)
            .expect("valid"),
        2
    );
    server.report(third);
    server.report(fourth);
    let (fifth, _, mut fifth_client) = server.open(&keyed("ann"));
    let (_sixth, _, _sixth_client) = server.open(&keyed("ann"));
    server.publish("a", "x");
    assert_eq!(fifth_client.next().as_deref(), Some("x"));
    assert!(
        server
            .reports
            .take()
            .iter()
            .all(|report| report.tag != fifth)
    );
}

#[test]
fn a_keys_limit_holds_while_its_streams_are_handed_over() {
    let mut options = quiet();
    options.limits.connections_per_key = Some(1);
    let server = Server::new(options);
    let kind = keyed("ann");
    let open_many = || {
        let mut server = Server::of(&server.hub);
        let mut clients = Vec::new();
        for _ in 0..300 {
            let subscription = server.hub.subscribe(&kind.topics, kind.subscribe.clone());
            let subscription = subscription.expect("valid");
            let token = server
                .selector
                .add(&subscription, &kind.stream)
                .expect("room");
            let (end, client) = pair(Via::Unix);
            // Another loop's stream may have taken its place already.
            let is_over = matches!(server.selector.poll(token), Some(Delivery::End(_)));
            if is_over || server.hand_off(&kind, token, &end).is_err() {
                server.selector.remove(token, EndReason::Kick);
            }
            clients.push(client);
        }
        (server, clients)
    };
    std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(open_many));
        let all = threads.map(|thread| thread.join().expect("no panics"));
        server.wait_for(1);
        drop(all);
    });
}

#[test]
fn streams_end_by_their_age_and_stay_alive_by_heartbeats() {
    let mut server = Server::new(HubOptions::default());
    let mut kind = ask(&["a"]);
    kind.stream.heartbeat = Some(100);
    kind.stream.max_age = Some(1_000);
    let begin = Instant::now();
    let (tag, _, mut client) = server.open(&kind);
    assert!(client.rest().is_empty());
    assert!(client.is_whole());
    let age = begin.elapsed();
    assert!(age > Duration::from_millis(850), "{age:?}");
    let beats = client.body.windows(2).filter(|two| two == b":\n").count();
    assert!((4..=11).contains(&beats), "{beats} heartbeats");
    let report = server.report(tag);
    assert_eq!(
        (report.info.reason, report.clean),
        (EndReason::MaxAge, true)
    );
    kind.stream.expires_in = Some(50);
    let (tag, _, _client) = server.open(&kind);
    assert_eq!(server.report(tag).info.reason, EndReason::Expired);
}

#[test]
fn an_end_reaches_the_client_whoever_else_has_the_socket() {
    for via in [Via::Tcp, Via::Unix] {
        let mut server = Server::new(quiet());
        let kind = Ask { via, ..ask(&["a"]) };
        // A server that has not closed its descriptor yet, or a forked process.
        let (token, end, mut client) = server.begin(&kind);
        let tag = server.hand_off(&kind, token, &end).expect("a good socket");
        server.hub.disconnect(None, Some("a"), None).expect("valid");
        assert!(server.report(tag).clean);
        client.rest();
        assert!(client.is_whole());
        drop(end);
    }
}

#[test]
fn a_held_stream_that_is_cut_is_over_for_its_server_too() {
    let mut options = quiet();
    options.write_timeout = 500;
    options.max_lag = 64 << 20;
    options.history.bytes = 64 << 20;
    let mut server = Server::new(options);
    let kind = Ask {
        held: true,
        ..ask(&["a"])
    };
    let (tag, end, mut client) = server.open(&kind);
    client
        .end
        .options()
        .set_recv_buffer_size(64 * 1024)
        .expect("a socket");
    for _ in 0..40 {
        server.publish("a", &"x".repeat(200_000));
    }
    let report = server.report(tag);
    assert_eq!((report.info.reason, report.clean), (EndReason::Slow, false));
    let mut end = end.expect("held");
    end.options()
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket");
    let read = std::io::Read::read(&mut end, &mut [0; 10]);
    assert!(matches!(read, Ok(0)), "{read:?}");
    client.rest();
    assert!(client.closed && !client.terminated);
}

#[test]
fn a_host_that_is_gone_ends_what_it_holds() {
    let mut server = Server::new(quiet());
    let kind = Ask {
        held: true,
        ..ask(&["a"])
    };
    let (_, held_end, mut held) = server.open(&kind);
    let (_, _, mut detached) = server.open(&ask(&["a"]));
    let Server { hub, reports, .. } = server;
    drop(reports);
    wait_until(|| hub.stats().held == 0);
    hub.publish(&["a"], &Event::new("x"), None).expect("valid");
    assert_eq!(detached.next().as_deref(), Some("x"), "the engine's alone");
    // Nobody else would end it.
    assert!(held.rest().is_empty());
    assert!(held.closed && !held.terminated);
    drop(held_end);
}

/// An event loop that is closed before it comes to a call, drops it.
#[test]
fn a_host_that_has_missed_a_call_is_called_again() {
    let mut server = Server::new(quiet());
    let (first, _, client) = server.open(&ask(&["a"]));
    let (second, _, other) = server.open(&ask(&["a"]));
    let deadline = Instant::now() + PATIENCE;
    drop(client);
    server.called(deadline);
    drop(other);
    server.called(deadline);
    let mut tags: Vec<u64> = server.reports.take().iter().map(|it| it.tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, [first, second]);
    assert_eq!(server.others(), 0, "each once");
}

#[test]
fn a_hub_that_is_closed_ends_its_streams_and_takes_no_more() {
    let mut server = Server::new(quiet());
    let (tag, _, mut client) = server.open(&ask(&["a"]));
    let (token, end, _coming) = server.begin(&ask(&["a"]));
    server.hub.close();
    assert!(client.rest().is_empty());
    assert!(client.is_whole());
    assert_eq!(server.report(tag).info.reason, EndReason::Drain);
    // One that was on its way is ended there.
    if let Ok(tag) = server.hand_off(&ask(&["a"]), token, &end) {
        assert_eq!(server.report(tag).info.reason, EndReason::Drain);
    }
}

#[test]
fn several_writers_serve_one_hub() {
    let options = HubOptions {
        shards: 3,
        ..quiet()
    };
    let mut server = Server::new(options);
    let mut clients: Vec<(u64, Client)> = Vec::new();
    for at in 0..30 {
        let (tag, _, client) = server.open(&keyed(&format!("{}", at % 5)));
        clients.push((tag, client));
    }
    for n in 0..50 {
        server.publish("a", &format!("{n}"));
    }
    for (_, client) in &mut clients {
        for n in 0..50 {
            assert_eq!(client.next(), Some(format!("{n}")));
        }
    }
    assert_eq!(
        server.hub.disconnect(Some("3"), None, None).expect("valid"),
        6
    );
    server.wait_for(24);
    server
        .hub
        .drain(Duration::from_secs(5), Duration::ZERO, None);
    assert!(server.hub.wait_drained(PATIENCE));
    for (tag, client) in &mut clients {
        client.rest();
        assert!(client.is_whole());
        assert!(server.report(*tag).clean);
    }
    assert_eq!(server.others(), 0);
}
