//! Many threads at once: no lost wake-up, no hole, no repeat.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use ssehub::{EndReason, Event, EventId, Selector};

use crate::common::{Client, connection, hub, publish, small_hub, subscribe};

/// A selector whose thread sleeps until it is woken; not a moment longer than a lost wake-up would take to show.
fn woken(hub: &ssehub::Hub) -> Selector {
    let thread = thread::current();
    hub.selector(move || thread.unpark())
}

const PUBLISHERS: usize = 4;
const EVENTS: usize = 3000;

#[test]
fn a_selector_that_sleeps_until_it_is_woken_misses_nothing() {
    let hub = hub();
    thread::scope(|scope| {
        let ready = Arc::new(Barrier::new(PUBLISHERS + 2));
        for _ in 0..2 {
            let (hub, ready) = (&hub, ready.clone());
            scope.spawn(move || {
                let selector = woken(hub);
                let subscription = subscribe(hub, &["t"]);
                let mut clients: Vec<Client> = (0..3)
                    .map(|_| Client::on(&selector, &subscription, &connection()))
                    .collect();
                for client in &mut clients {
                    client.read();
                }
                ready.wait();
                let deadline = Instant::now() + Duration::from_secs(60);
                let all = PUBLISHERS * EVENTS;
                while clients.iter().any(|client| client.seen.len() < all) {
                    let mut deliveries = Vec::new();
                    selector.select(&mut deliveries);
                    for (token, delivery) in deliveries {
                        let client = clients.iter_mut().find(|client| client.token == token);
                        let client = client.expect("one of ours");
                        client.take(&delivery);
                        assert!(client.ended.is_none(), "{:?}", client.ended);
                        client.read();
                    }
                    if clients.iter().any(|client| client.seen.len() < all) {
                        // Woken for each event that no poll has seen, or never again.
                        thread::park_timeout(Duration::from_secs(10));
                        assert!(Instant::now() < deadline, "a wake-up call was lost");
                    }
                }
                for client in &clients {
                    assert_contiguous(client, 1);
                }
            });
        }
        for _ in 0..PUBLISHERS {
            let (hub, ready) = (&hub, ready.clone());
            scope.spawn(move || {
                ready.wait();
                for n in 0..EVENTS {
                    publish(hub, &["t"], "x");
                    if n % 100 == 0 {
                        thread::yield_now();
                    }
                }
            });
        }
    });
}

fn assert_contiguous(client: &Client, first: u64) {
    for (seen, expected) in client.seen.iter().zip(first..) {
        assert_eq!(seen.event, "message", "{seen:?}");
        let seq = EventId::parse(&seen.id).expect("a hub id").seq;
        assert_eq!(seq, expected);
    }
}

#[test]
fn readers_that_start_at_any_moment_have_no_hole_and_no_repeat() {
    // Room for all, however long a thread has to wait between subscribing and reading.
    let hub = small_hub(100_000);
    let done = AtomicBool::new(false);
    let joined = AtomicU64::new(0);
    thread::scope(|scope| {
        let mut publishers = Vec::new();
        for _ in 0..2 {
            publishers.push(scope.spawn(|| {
                for n in 0..EVENTS {
                    publish(&hub, &["t"], &n.to_string());
                    if n % 50 == 0 {
                        thread::sleep(Duration::from_micros(300));
                    }
                }
            }));
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let subscription = subscribe(&hub, &["t"]);
                    let start = EventId::parse(&subscription.position()).expect("a hub id");
                    let mut client = Client::open(&subscription);
                    for _ in 0..5 {
                        client.read();
                    }
                    assert_contiguous(&client, start.seq + 1);
                    // Once more, as a client that was cut off: from its last id.
                    let id = client.last_event_id().to_owned();
                    let next = EventId::parse(&id).map_or(start.seq, |id| id.seq) + 1;
                    let mut resumed = Client::open(&subscription.clone().resume(&id));
                    resumed.read();
                    assert_contiguous(&resumed, next);
                    client.leave();
                    resumed.leave();
                    joined.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for publisher in publishers {
            publisher.join().expect("no panic");
        }
        done.store(true, Ordering::Release);
    });
    assert!(joined.load(Ordering::Relaxed) > 0);
    assert_eq!(hub.stats().connections, 0);
}

#[test]
fn blocking_readers_get_all_from_many_publishers() {
    let hub = hub();
    thread::scope(|scope| {
        for _ in 0..3 {
            let mut reader = subscribe(&hub, &["t"]).reader().expect("open");
            scope.spawn(move || {
                for seq in 1..=(PUBLISHERS * 500) as u64 {
                    let event = reader.next_event(Some(Duration::from_secs(20)));
                    let event = event.expect("open").expect("none is lost");
                    let id = EventId::parse(event.fields().id.expect("numbered"));
                    assert_eq!(id.map(|id| id.seq), Some(seq));
                }
            });
        }
        for _ in 0..PUBLISHERS {
            scope.spawn(|| (0..500).for_each(|_| drop(publish(&hub, &["t"], "x"))));
        }
    });
}

#[test]
fn opening_ending_and_publishing_at_once_comes_to_rest() {
    let hub = hub();
    thread::scope(|scope| {
        for n in 0..2 {
            let hub = &hub;
            scope.spawn(move || {
                let selector = woken(hub);
                for round in 0..500 {
                    let topic = format!("t{}", (round + n) % 5);
                    let options = ssehub::StreamOptions {
                        key: Some(format!("k{}", round % 3)),
                        ..connection()
                    };
                    let subscription = subscribe(hub, &[&topic, "all"]);
                    let mut client = Client::on(&selector, &subscription, &options);
                    client.read();
                    let mut ready = Vec::new();
                    selector.select(&mut ready);
                    selector.remove(client.token, EndReason::Client);
                }
            });
        }
        scope.spawn(|| {
            for n in 0..3000 {
                let topic = format!("t{}", n % 5);
                hub.publish(&[&topic, "all"], &Event::new("x"), Some("k"))
                    .expect("valid");
            }
        });
        scope.spawn(|| {
            for n in 0..300 {
                let key = format!("k{}", n % 3);
                hub.disconnect(Some(&key), None, None).expect("valid");
                hub.stats();
                hub.topics("t", 3);
            }
        });
    });
    let stats = hub.stats();
    assert_eq!((stats.connections, stats.subscriptions), (0, 0));
    assert_eq!(stats.opened, 1000);
}
