//! Arguments that cannot work are refused, and say so; limits hold.

use ssehub::{
    EndReason, ErrorKind, Event, Fields, History, Hub, HubOptions, Limits, StreamOptions,
    SubscribeOptions, Topic,
};

use crate::common::{Client, connection, hub, pattern, publish, subscribe, topics};

fn refused(change: impl FnOnce(&mut HubOptions)) -> &'static str {
    let mut options = HubOptions::default();
    change(&mut options);
    let error = Hub::new(options).err().expect("refused");
    error.field().expect("it names the setting")
}

#[test]
fn settings_that_contradict_each_other() {
    assert_eq!(refused(|o| o.max_lag = 1000), "max_lag");
    assert_eq!(refused(|o| o.history.bytes = 1000), "history");
    assert_eq!(refused(|o| o.limits.history_bytes = 1000), "history_bytes");
    let short = History {
        bytes: 1,
        ..History::default()
    };
    assert_eq!(refused(|o| o.topics.push(("t".into(), short))), "topics");
    assert_eq!(
        refused(|o| o.topics.push((">.t".into(), History::default()))),
        "topic"
    );
    assert_eq!(refused(|o| o.retry = u64::MAX), "retry");
    assert_eq!(refused(|o| o.heartbeat = Some(0)), "heartbeat");
    assert_eq!(refused(|o| o.limits.connections = 0), "connections");
    assert_eq!(refused(|o| o.limits.event_size = 0), "event_size");
    assert_eq!(
        refused(|o| o.limits.connections_per_key = Some(0)),
        "connections_per_key"
    );
    assert_eq!(
        refused(|o| o.limits.topics_per_subscription = 0),
        "topics_per_subscription"
    );
    // A history that is off may be of any size.
    let mut options = HubOptions::default();
    options.history.bytes = 0;
    assert!(Hub::new(options).is_ok());
}

#[test]
fn histories_by_pattern_and_name_the_first_counts() {
    let history = |count| History {
        count,
        ..History::default()
    };
    let hub = Hub::new(HubOptions {
        topics: vec![
            ("a.1".into(), history(1)),
            ("a.*".into(), history(2)),
            ("a.>".into(), history(3)),
        ],
        history: history(4),
        ..HubOptions::default()
    })
    .expect("valid");
    for _ in 0..9 {
        publish(&hub, &["a.1", "a.2", "a.b.c", "b"], "x");
    }
    let frames: Vec<u64> = hub.topics("", 10).iter().map(|row| row.frames).collect();
    assert_eq!(frames, [1, 2, 3, 4]);
}

#[test]
fn bad_topics() {
    let hub = hub();
    let event = Event::new("x");
    let long = "x".repeat(257);
    for bad in ["", "a\nb", "a\0b", "a\u{7f}", "a\u{85}b", &long] {
        let error = hub.publish(&[bad], &event, None).expect_err(bad);
        assert_eq!(error.field(), Some("topic"));
        let subscribed = hub.subscribe(&topics(&[bad]), SubscribeOptions::default());
        assert_eq!(subscribed.err().and_then(|e| e.field()), Some("topic"));
    }
    assert!(hub.publish(&[], &event, None).is_err());
    assert!(hub.subscribe(&[], SubscribeOptions::default()).is_err());
    for bad in ["a..b", "a.b*", ">.a", ".", ""] {
        assert!(
            hub.subscribe(&[pattern(bad)], SubscribeOptions::default())
                .is_err()
        );
    }
    publish(
        &hub,
        &["x".repeat(256).as_str(), "\u{1f980} any. text*"],
        "x",
    );
}

#[test]
fn bad_events() {
    let hub = hub();
    let publish = |fields: Fields<'_>| {
        let error = hub.publish_fields(&["t"], &fields, None).expect_err("bad");
        (error.kind(), error.field().unwrap_or_default())
    };
    let with_id = |id| Fields {
        data: Some("x"),
        id: Some(id),
        ..Fields::default()
    };
    let invalid = |field| (ErrorKind::InvalidArgument, field);
    let own = hub.last_event_id().to_string();
    let long = "x".repeat(129);
    for id in [
        "", " x", "x ", "\u{e9}", "a\tb", "a\nb", "a\0b", &own, &long,
    ] {
        assert_eq!(publish(with_id(id)), invalid("id"), "{id:?}");
    }
    assert_eq!(publish(Fields::default()), invalid("data"));
    let reserved = Fields {
        event: Some("ssehub:gap"),
        ..with_id("x")
    };
    assert_eq!(publish(reserved), invalid("event"));
    assert_eq!(hub.last_event_id().seq, 0, "nothing was numbered");
}

#[test]
fn an_event_of_the_largest_size_fits_everywhere() {
    let mut options = HubOptions {
        max_lag: 200,
        limits: Limits {
            event_size: 200,
            ..Limits::default()
        },
        ..HubOptions::default()
    };
    options.history.bytes = 200;
    let hub = Hub::new(options).expect("valid");
    let mut client = Client::open(&subscribe(&hub, &["t"]));
    let mut largest = 0;
    for size in 100..210 {
        let event = Event::new("x".repeat(size));
        match hub.publish(&["t"], &event, None) {
            Ok(_) => largest = size,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::EventTooLarge);
                continue;
            }
        }
        assert_eq!(client.read().len(), 1, "not too slow by one event");
        assert_eq!(hub.stats().history_frames, 1, "and it is kept");
    }
    assert!((150..200).contains(&largest), "{largest}");
    // The id of an event may be long, too.
    let event = Event::new("x".repeat(largest)).with_id("y".repeat(100));
    assert!(hub.publish(&["t"], &event.expect("valid"), None).is_err());
}

#[test]
fn limits_on_subscriptions() {
    let hub = Hub::new(HubOptions {
        limits: Limits {
            topics_per_subscription: 2,
            ..Limits::default()
        },
        ..HubOptions::default()
    })
    .expect("valid");
    let options = SubscribeOptions::default();
    let error = hub.subscribe(&topics(&["a", "b", "c"]), options.clone());
    let error = error.err().expect("too many");
    assert_eq!(error.kind(), ErrorKind::LimitReached);
    assert!(error.is_retryable());
    let short = SubscribeOptions {
        max_lag: Some(10),
        ..options
    };
    let error = hub
        .subscribe(&[Topic::from("a")], short)
        .err()
        .expect("short");
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::OutOfRange, Some("max_lag"))
    );
}

#[test]
fn limits_on_connections() {
    let hub = Hub::new(HubOptions {
        limits: Limits {
            connections: 2,
            ..Limits::default()
        },
        ..HubOptions::default()
    })
    .expect("valid");
    let subscription = subscribe(&hub, &["t"]);
    let first = Client::open(&subscription);
    let _second = Client::open(&subscription);
    let selector = hub.selector(|| {});
    let error = selector
        .add(&subscription, &connection())
        .expect_err("full");
    assert_eq!(error.kind(), ErrorKind::LimitReached);
    // Readers in code are no connections.
    selector
        .add(&subscription, &StreamOptions::default())
        .expect("room");
    first.leave();
    selector
        .add(&subscription, &connection())
        .expect("room again");
    let stats = hub.stats();
    assert_eq!((stats.connections, stats.opened, stats.refused), (2, 3, 1));
}

#[test]
fn the_oldest_of_a_key_gives_way() {
    let hub = Hub::new(HubOptions {
        limits: Limits {
            connections_per_key: Some(2),
            ..Limits::default()
        },
        ..HubOptions::default()
    })
    .expect("valid");
    let subscription = subscribe(&hub, &["t"]);
    let selector = hub.selector(|| {});
    let keyed = |key: &str| StreamOptions {
        key: Some(key.into()),
        ..connection()
    };
    let mut clients: Vec<Client> = ["me", "you", "me", "me"]
        .iter()
        .map(|key| Client::on(&selector, &subscription, &keyed(key)))
        .collect();
    for client in &mut clients {
        client.read();
    }
    let ended: Vec<bool> = clients
        .iter()
        .map(|client| client.ended.is_some())
        .collect();
    assert_eq!(ended, [true, false, false, false]);
    assert_eq!(clients[0].ended, Some((EndReason::Kick, true)));
    // Who has left does not count.
    clients.pop().expect("the last").leave();
    let mut last = Client::on(&selector, &subscription, &keyed("me"));
    last.read();
    clients[2].read();
    assert!(clients[2].ended.is_none());
}
