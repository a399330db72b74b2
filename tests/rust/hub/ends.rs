//! Ending streams: one person's, all of them in good order, all of them at once.

use std::time::{Duration, Instant};

use ssehub::{EndReason, ErrorKind, Event, Slow, StreamOptions, SubscribeOptions};

use crate::common::{Client, connection, hub, numbers, publish, small_hub, subscribe, topics};

const LONG: Duration = Duration::from_secs(20);

fn keyed(key: &str) -> StreamOptions {
    StreamOptions {
        key: Some(key.into()),
        ..connection()
    }
}

#[test]
fn disconnect_by_key_by_topic_or_by_both() {
    let hub = hub();
    let (one, other) = (hub.selector(|| {}), hub.selector(|| {}));
    let open = || {
        vec![
            Client::on(&one, &subscribe(&hub, &["a"]), &keyed("me")),
            Client::on(&other, &subscribe(&hub, &["b"]), &keyed("me")),
            Client::on(&other, &subscribe(&hub, &["a", "b"]), &keyed("you")),
        ]
    };
    for (key, topic, expected) in [
        (Some("me"), None, vec![true, true, false]),
        (None, Some("a"), vec![true, false, true]),
        (Some("me"), Some("b"), vec![false, true, false]),
        (Some("nobody"), None, vec![false, false, false]),
    ] {
        let mut clients = open();
        for client in &mut clients {
            client.read();
        }
        let farewell = Event::new("bye").with_event("logout").expect("valid");
        let count = hub.disconnect(key, topic, Some(&farewell)).expect("valid");
        assert_eq!(count, expected.iter().filter(|ended| **ended).count());
        assert_eq!(hub.disconnect(key, topic, None).expect("valid"), 0, "once");
        for (mut client, expected) in clients.into_iter().zip(expected) {
            if expected {
                client.serve();
                assert_eq!(client.ended, Some((EndReason::Kick, true)));
                assert_eq!(client.seen.last().expect("a farewell").data, "bye");
            } else {
                assert_eq!(client.read(), [""; 0]);
                assert_eq!(client.ended, None);
            }
            client.leave();
        }
    }
    assert!(hub.disconnect(None, None, None).is_err());
}

#[test]
fn who_is_sent_away_gets_what_was_published_before_that_and_nothing_later() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let mut waiting = Client::on(&selector, &subscribe(&hub, &["t", "u"]), &keyed("me"));
    waiting.read();
    publish(&hub, &["t"], "one");
    publish(&hub, &["u"], "two");
    assert_eq!(hub.disconnect(Some("me"), None, None).expect("valid"), 1);
    publish(&hub, &["t"], "never");
    assert_eq!(waiting.read(), ["one", "two"]);
    waiting.serve();
    assert_eq!(waiting.ended, Some((EndReason::Kick, true)));
}

#[test]
fn who_is_sent_away_while_its_stream_begins_gets_what_was_published_before_that_too() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let options = StreamOptions {
        retry: Some(1000),
        ..keyed("me")
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
    client.poll().expect("what a stream begins with");
    publish(&hub, &["t"], "one");
    publish(&hub, &["u"], "for others");
    assert_eq!(hub.disconnect(Some("me"), None, None).expect("valid"), 1);
    publish(&hub, &["t"], "never");
    assert_eq!(client.read(), ["one"]);
    client.serve();
    assert_eq!(client.ended, Some((EndReason::Kick, true)));
}

#[test]
fn a_disconnect_finds_the_stream_that_is_being_written() {
    let hub = hub();
    let mut client = Client::open(&subscribe(&hub, &["t"]));
    publish(&hub, &["t"], "1");
    client.poll().expect("an event");
    assert_eq!(hub.disconnect(None, Some("t"), None).expect("valid"), 1);
    let mut ready = Vec::new();
    client.selector.select(&mut ready);
    assert!(ready.is_empty(), "not in the middle of a write");
    client.read();
    assert_eq!(client.ended, Some((EndReason::Kick, true)));
}

#[test]
fn a_drain_delivers_what_was_published_and_says_when_to_come_back() {
    let hub = hub();
    let mut clients: Vec<Client> = (0..20)
        .map(|_| Client::open(&subscribe(&hub, &["t"])))
        .collect();
    for client in &mut clients {
        client.read();
    }
    for n in numbers(1..=100) {
        publish(&hub, &["t"], &n);
    }
    let farewell = Event::new("soon back")
        .with_event("restart")
        .expect("valid");
    let start = Instant::now();
    hub.drain(LONG, Duration::from_millis(50), Some(&farewell));
    assert!(!hub.is_ready());
    let mut retries = std::collections::BTreeSet::new();
    for client in &mut clients {
        client.serve();
        assert_eq!(client.ended, Some((EndReason::Drain, true)));
        let data: Vec<&str> = client.seen.iter().map(|seen| &*seen.data).collect();
        assert_eq!(data[..100], numbers(1..=100));
        assert_eq!(data[100..], ["soon back"]);
        let retry = client.retry().expect("told");
        assert!((3000..6000).contains(&retry));
        retries.insert(retry);
    }
    assert!(retries.len() > 5, "they are not to come back together");
    assert!(
        !hub.wait_drained(Duration::ZERO),
        "the host has still to remove them"
    );
    for client in clients {
        client.leave();
    }
    assert!(hub.wait_drained(LONG));
    assert!(start.elapsed() < LONG, "not to the last second");
}

#[test]
fn a_drain_refuses_new_streams_and_may_be_taken_back() {
    let hub = hub();
    let subscription = subscribe(&hub, &["t"]);
    hub.drain(LONG, LONG, None);
    let selector = hub.selector(|| {});
    let error = selector
        .add(&subscription, &connection())
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Draining);
    assert!(error.is_retryable());
    // Code may still read, and publish.
    let mut reader = subscription.reader().expect("no connection");
    publish(&hub, &["t"], "x");
    assert!(reader.next_event(Some(LONG)).expect("open").is_some());
    assert!(hub.wait_drained(Duration::ZERO));
    hub.resume();
    assert!(hub.is_ready());
    selector
        .add(&subscription, &connection())
        .expect("open again");
}

#[test]
fn a_drain_cuts_what_is_left_at_its_timeout() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let mut clients: Vec<Client> = (0..3)
        .map(|_| Client::on(&selector, &subscribe(&hub, &["t"]), &keyed("me")))
        .collect();
    for client in &mut clients {
        client.read();
    }
    publish(&hub, &["t"], "x");
    let mut ready = Vec::new();
    selector.select(&mut ready);
    assert_eq!(ready.len(), 3, "and the hosts never come back");
    // Whoever was to go anyway is under the same deadline.
    assert_eq!(hub.disconnect(Some("me"), None, None).expect("valid"), 3);
    hub.drain(Duration::from_millis(60), LONG, None);
    let deadline = Instant::now() + LONG;
    while clients.iter().any(|client| client.ended.is_none()) {
        assert!(Instant::now() < deadline, "a drain always ends");
        ready.clear();
        selector.select(&mut ready);
        for (token, delivery) in &ready {
            let client = clients.iter_mut().find(|client| client.token == *token);
            client.expect("known").take(delivery);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    for client in &clients {
        assert!(
            matches!(client.ended, Some((_, false))),
            "{:?}",
            client.ended
        );
    }
}

#[test]
fn a_drain_ends_also_while_more_is_published() {
    let hub = small_hub(10);
    let options = SubscribeOptions {
        slow: Some(Slow::Skip),
        ..SubscribeOptions::default()
    };
    let mut client = Client::open(&hub.subscribe(&topics(&["t"]), options).expect("valid"));
    client.read();
    publish(&hub, &["t"], "before");
    hub.drain(LONG, Duration::ZERO, None);
    for _ in 0..1000 {
        publish(&hub, &["t"], "more");
        client.poll();
        if client.ended.is_some() {
            break;
        }
    }
    assert_eq!(client.ended, Some((EndReason::Drain, true)));
    assert_eq!(client.seen[0].data, "before");
}

#[test]
fn a_stream_that_grows_old_in_a_drain_still_gets_its_farewell() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let options = StreamOptions {
        max_age: Some(400),
        ..connection()
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
    client.read();
    hub.drain(LONG, Duration::ZERO, None);
    std::thread::sleep(Duration::from_millis(500));
    let mut ready = Vec::new();
    selector.select(&mut ready);
    client.take(&ready[0].1);
    assert_eq!(client.ended, Some((EndReason::Drain, true)));
    assert!(client.retry().is_some());
}

#[test]
fn drains_of_any_length_are_possible() {
    let hub = hub();
    let mut client = Client::open(&subscribe(&hub, &["t"]));
    client.read();
    hub.drain(Duration::MAX, Duration::MAX, None);
    client.serve();
    client.leave();
    assert!(hub.wait_drained(Duration::MAX));
}

#[test]
fn a_stream_that_opens_while_the_drain_begins_is_refused_or_drained() {
    for _ in 0..50 {
        let hub = hub();
        let opened = std::thread::scope(|scope| {
            let streams = scope.spawn(|| {
                let subscription = subscribe(&hub, &["t"]);
                let selector = hub.selector(|| {});
                let mut tokens = Vec::new();
                while let Ok(token) = selector.add(&subscription, &connection()) {
                    tokens.push(token);
                }
                (selector, tokens)
            });
            std::thread::yield_now();
            hub.drain(LONG, Duration::ZERO, None);
            streams.join().expect("no panic")
        });
        let (selector, tokens) = opened;
        for token in tokens {
            let deadline = Instant::now() + LONG;
            loop {
                assert!(Instant::now() < deadline, "nobody told it");
                if let Some(ssehub::Delivery::End(_)) = selector.poll(token) {
                    selector.remove(token, EndReason::Drain);
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(hub.wait_drained(LONG));
    }
}

#[test]
fn close() {
    let hub = hub();
    let mut client = Client::open(&subscribe(&hub, &["t"]));
    client.read();
    let subscription = subscribe(&hub, &["t"]);
    let mut reader = subscription.reader().expect("open");
    publish(&hub, &["t"], "x");
    hub.close();
    client.serve();
    assert_eq!(client.ended, Some((EndReason::Drain, true)));
    while reader.next_event(Some(LONG)).expect("no error").is_some() {}
    assert!(reader.is_ended());
    assert!(hub.is_closed());
    let closed = |kind| assert_eq!(kind, Some(ErrorKind::Closed));
    let event = Event::new("x");
    closed(hub.publish(&["t"], &event, None).err().map(|e| e.kind()));
    closed(subscription.reader().err().map(|e| e.kind()));
    let again = hub.subscribe(&topics(&["t"]), SubscribeOptions::default());
    closed(again.err().map(|e| e.kind()));
}
