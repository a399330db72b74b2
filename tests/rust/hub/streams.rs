//! Streams of a selector: waking, sharing, and what is left when they are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ssehub::{
    Delivery, EndReason, Event, History, Hub, HubOptions, Slow, StreamOptions, SubscribeOptions,
    Token,
};

use crate::common::{Client, connection, hub, publish, small_hub, subscribe, topics};

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
