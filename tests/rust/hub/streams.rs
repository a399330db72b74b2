//! Streams of a selector: heartbeats, ages, deadlines, waking, sharing, and what is left when they are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ssehub::{
    Delivery, EndReason, Event, History, Hub, HubOptions, Selector, Slow, StreamOptions,
    SubscribeOptions, Token,
};

use crate::common::{Client, connection, hub, publish, small_hub, subscribe, topics};

/// Selects, as a host does, until there is something or the time is up.
fn wait(selector: &Selector, at_most: Duration) -> Vec<(Token, Delivery)> {
    let deadline = Instant::now() + at_most;
    let mut ready = Vec::new();
    while ready.is_empty() && Instant::now() < deadline {
        let wait = selector
            .select(&mut ready)
            .unwrap_or(Duration::from_millis(5));
        if ready.is_empty() {
            std::thread::sleep(wait.min(Duration::from_millis(20)));
        }
    }
    ready
}

const LONG: Duration = Duration::from_secs(10);

#[test]
fn an_idle_stream_gets_heartbeats() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let options = StreamOptions {
        heartbeat: Some(30),
        ..connection()
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
    client.read();
    for _ in 0..3 {
        let ready = wait(&selector, LONG);
        assert_eq!(ready.len(), 1);
        client.take(&ready[0].1);
        // Not before the last one is written.
        client.read();
    }
    assert_eq!(client.wire, b":\n:\n:\n");
    assert_eq!(client.seen, []);
}

#[test]
fn no_heartbeat_where_none_is_wanted() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &connection());
    client.read();
    assert!(wait(&selector, Duration::from_millis(40)).is_empty());
}

#[test]
fn streams_end_by_age_and_by_right() {
    let hub = hub();
    for (options, reason) in [
        (
            StreamOptions {
                max_age: Some(40),
                ..connection()
            },
            EndReason::MaxAge,
        ),
        (
            StreamOptions {
                expires_in: Some(40),
                max_age: Some(10_000),
                ..connection()
            },
            EndReason::Expired,
        ),
    ] {
        let selector = hub.selector(|| {});
        let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
        client.serve();
        assert_eq!(client.ended, Some((reason, true)));
    }
}

#[test]
fn rights_end_on_time_also_for_a_stream_that_is_never_idle() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let options = StreamOptions {
        expires_in: Some(30),
        ..connection()
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
    let deadline = Instant::now() + LONG;
    while client.ended.is_none() && Instant::now() < deadline {
        publish(&hub, &["t"], "x");
        client.poll();
    }
    assert_eq!(client.ended, Some((EndReason::Expired, true)));
}

#[test]
fn times_that_no_clock_will_see_are_no_limits() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let options = StreamOptions {
        heartbeat: Some(u64::MAX),
        max_age: Some(u64::MAX),
        expires_in: Some(u64::MAX),
        write_timeout: Some(u64::MAX),
        ..connection()
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
    publish(&hub, &["t"], "x");
    assert_eq!(client.read(), ["x"]);
    assert!(wait(&selector, Duration::from_millis(10)).is_empty());
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let options = StreamOptions {
        write_timeout: Some(40),
        ..connection()
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
    client.read();
    publish(&hub, &["t"], "x");
    let ready = wait(&selector, LONG);
    assert!(matches!(ready[0].1, Delivery::Frames(_)));
    // The host writes, and does not come back.
    let ready = wait(&selector, LONG);
    client.take(&ready[0].1);
    assert_eq!(
        client.ended,
        Some((EndReason::Slow, false)),
        "cut, not ended"
    );
    assert!(client.poll().is_none());
}

#[test]
fn a_client_that_is_written_to_is_watched_for_its_lag() {
    let hub = small_hub(1000);
    let selector = hub.selector(|| {});
    let subscribed = |slow| {
        let options = SubscribeOptions {
            slow: Some(slow),
            max_lag: Some(200),
            ..SubscribeOptions::default()
        };
        hub.subscribe(&topics(&["t"]), options).expect("valid")
    };
    let options = StreamOptions {
        write_timeout: Some(3_600_000),
        ..connection()
    };
    let mut client = Client::on(&selector, &subscribed(Slow::Disconnect), &options);
    let mut patient = Client::on(&selector, &subscribed(Slow::Skip), &options);
    client.read();
    patient.read();
    publish(&hub, &["t"], "x");
    assert_eq!(wait(&selector, LONG).len(), 2);
    for _ in 0..20 {
        publish(&hub, &["t"], "x");
    }
    let ready = wait(&selector, LONG);
    assert_eq!(ready.len(), 1);
    assert_eq!(ready[0].0, client.token);
    client.take(&ready[0].1);
    assert_eq!(client.ended, Some((EndReason::Slow, false)));
}

#[test]
fn one_wake_for_a_burst() {
    let hub = hub();
    let wakes = Arc::new(AtomicUsize::new(0));
    let selector = {
        let wakes = wakes.clone();
        hub.selector(move || {
            wakes.fetch_add(1, Ordering::SeqCst);
        })
    };
    let subscription = subscribe(&hub, &["a", "b"]);
    let mut clients: Vec<Client> = (0..10)
        .map(|_| Client::on(&selector, &subscription, &connection()))
        .collect();
    for client in &mut clients {
        client.read();
    }
    for round in 1..=3 {
        for n in 0..100 {
            publish(&hub, &[["a", "b"][n % 2]], "x");
        }
        publish(&hub, &["nobody's"], "x");
        assert_eq!(wakes.load(Ordering::SeqCst), round);
        let mut ready = Vec::new();
        selector.select(&mut ready);
        assert_eq!(ready.len(), 10);
        for client in &mut clients {
            client.read();
        }
    }
    hub.disconnect(None, Some("a"), None).expect("said whose");
    assert_eq!(wakes.load(Ordering::SeqCst), 4);
}

#[test]
fn a_wake_up_call_may_use_the_hub() {
    // No lock is held while host code runs: else this would not return.
    let hub = hub();
    let calls = Arc::new(AtomicUsize::new(0));
    let selector = {
        let (hub, calls) = (hub.clone(), calls.clone());
        hub.clone().selector(move || {
            if calls.fetch_add(1, Ordering::SeqCst) > 50 {
                return;
            }
            publish(&hub, &["log"], "woken");
            hub.stats();
            hub.subscribers("t");
            Client::open(&subscribe(&hub, &["log"])).leave();
            hub.disconnect(Some("nobody"), None, None).expect("valid");
        })
    };
    let options = StreamOptions {
        key: Some("k".into()),
        heartbeat: Some(1),
        ..connection()
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
    client.read();
    publish(&hub, &["t"], "x");
    selector.select(&mut Vec::new());
    client.read();
    hub.disconnect(Some("k"), None, None).expect("valid");
    client.serve();
    hub.drain(Duration::ZERO, Duration::ZERO, None);
    hub.close();
    assert!(calls.load(Ordering::SeqCst) >= 2);
}

#[test]
fn streams_at_the_same_position_share_their_bytes() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let (one, both) = (subscribe(&hub, &["a"]), subscribe(&hub, &["a", "b"]));
    let mut clients: Vec<Client> = [&one, &one, &both, &both]
        .iter()
        .map(|subscription| Client::on(&selector, subscription, &connection()))
        .collect();
    for client in &mut clients {
        client.read();
    }
    publish(&hub, &["a"], "1");
    publish(&hub, &["b"], "2");
    publish(&hub, &["a"], "3");
    let mut ready = Vec::new();
    selector.select(&mut ready);
    let mut serials = Vec::new();
    for client in &mut clients {
        let (_, delivery) = ready
            .iter()
            .find(|(token, _)| *token == client.token)
            .expect("all have something");
        client.take(delivery);
        let Delivery::Frames(batch) = delivery else {
            panic!("{delivery:?}");
        };
        serials.push(batch.serial());
    }
    assert_eq!(serials[0], serials[1]);
    assert_eq!(serials[2], serials[3]);
    assert_ne!(serials[0], serials[2]);
    let data = |client: &Client| -> String { client.seen.iter().map(|s| &*s.data).collect() };
    assert_eq!(data(&clients[1]), "13");
    assert_eq!(data(&clients[3]), "123");
}

#[test]
fn who_shares_a_position_is_told_of_a_gap_like_the_first() {
    let hub = small_hub(2);
    let selector = hub.selector(|| {});
    let options = SubscribeOptions {
        slow: Some(Slow::Skip),
        max_lag: Some(100),
        ..SubscribeOptions::default()
    };
    let subscription = hub.subscribe(&topics(&["t"]), options).expect("valid");
    let mut clients: Vec<Client> = (0..3)
        .map(|_| Client::on(&selector, &subscription, &connection()))
        .collect();
    for client in &mut clients {
        client.read();
    }
    for n in 0..20 {
        publish(&hub, &["t"], &n.to_string());
    }
    // Each polled to its end before the next one.
    let all: Vec<Vec<String>> = clients.iter_mut().map(Client::read).collect();
    assert!(all[0][0].starts_with("ssehub:gap"), "{all:?}");
    assert_eq!(all[1], all[0]);
    assert_eq!(all[2], all[0]);
}

#[test]
fn what_is_known_of_a_stream_when_it_is_over() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let options = StreamOptions {
        key: Some("me".into()),
        ..connection()
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["a", "b"]), &options);
    publish(&hub, &["a"], "1");
    let id = publish(&hub, &["b"], "2");
    client.read();
    assert_eq!(selector.position(client.token), Some(id.clone()));
    let info = selector
        .remove(client.token, EndReason::Client)
        .expect("there");
    assert_eq!(info.key.as_deref(), Some("me"));
    assert_eq!(info.topics, ["a", "b"]);
    assert_eq!((info.events, info.bytes), (2, client.wire.len() as u64));
    assert_eq!(info.last_event_id, id);
    // A token never means two streams.
    assert!(selector.remove(client.token, EndReason::Client).is_none());
    let other = Client::on(&selector, &subscribe(&hub, &["a"]), &options);
    assert_ne!(other.token, client.token);
    assert!(selector.poll(client.token).is_none());
    assert_eq!(Token::from_bits(other.token.to_bits()), other.token);
    assert!(selector.poll(Token::from_bits(u64::MAX)).is_none());
}

#[test]
fn counters_return_to_zero() {
    let mut options = HubOptions {
        history: History::NONE,
        ..HubOptions::default()
    };
    options.limits.connections_per_key = Some(1000);
    let hub = Hub::new(options).expect("valid");
    let subscription = subscribe(&hub, &["a", "b"]);
    for round in 0..3 {
        let selector = hub.selector(|| {});
        for n in 0..50 {
            let options = StreamOptions {
                key: Some(format!("user {}", n % 7)),
                heartbeat: Some(10),
                connection: n % 2 == 0,
                ..StreamOptions::default()
            };
            let mut client = Client::on(&selector, &subscription, &options);
            if n % 3 == 0 {
                client.read();
            }
        }
        publish(&hub, &["a"], "x");
        assert_eq!(hub.subscribers("a"), 50);
        if round == 1 {
            selector.select(&mut Vec::new());
        }
        // An event loop is gone with all its streams.
        drop(selector);
        let stats = hub.stats();
        assert_eq!((stats.connections, stats.subscriptions), (0, 0));
        assert_eq!(
            (stats.topics, stats.history_frames, stats.history_bytes),
            (0, 0, 0)
        );
        assert_eq!(hub.subscribers("a"), 0);
    }
    assert_eq!(hub.stats().opened, 75);
    let closed: u64 = hub.stats().closed.iter().map(|(_, count)| count).sum();
    assert_eq!(closed, 75);
}

#[test]
fn connect_and_abort_leaves_nothing() {
    let hub = hub();
    let selector = hub.selector(|| {});
    for n in 0..10_000 {
        let subscription = subscribe(&hub, &[&format!("user:{}", n % 100)]);
        let mut client = Client::on(&selector, &subscription, &connection());
        if n % 2 == 0 {
            client.read();
        }
        if n % 5 == 0 {
            hub.publish(&[&format!("user:{}", n % 100)], &Event::new("x"), None)
                .expect("valid");
        }
        client.leave();
    }
    assert!(selector.is_empty());
    assert_eq!(hub.stats().connections, 0);
    assert_eq!(
        hub.topics("", 1000)
            .iter()
            .map(|row| row.readers)
            .sum::<u64>(),
        0
    );
    let mut ready = Vec::new();
    assert_eq!(selector.select(&mut ready), None);
    assert!(ready.is_empty());
}
