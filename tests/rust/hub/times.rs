//! Streams of a selector by the clock: heartbeats, ages, deadlines.

use std::time::{Duration, Instant};

use ssehub::{Delivery, EndReason, Selector, Slow, StreamOptions, SubscribeOptions, Token};

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
