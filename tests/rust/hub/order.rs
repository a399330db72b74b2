//! One sequence over all topics; each event once; history and live are one read.

use ssehub::{Event, EventId, OnGap, Start, SubscribeOptions};

use crate::common::{Client, after, hub, numbers, publish, small_hub, subscribe, topics};

#[test]
fn several_topics_come_in_the_order_of_their_ids() {
    let hub = hub();
    let mut client = Client::open(&subscribe(&hub, &["a", "b", "c"]));
    for (n, topic) in ["a", "c", "b", "other", "b", "a", "c"].iter().enumerate() {
        publish(&hub, &[topic], &n.to_string());
    }
    assert_eq!(client.read(), ["0", "1", "2", "4", "5", "6"]);
    let seqs: Vec<u64> = client
        .seen
        .iter()
        .map(|seen| EventId::parse(&seen.id).expect("a hub id").seq)
        .collect();
    assert_eq!(seqs, [1, 2, 3, 5, 6, 7]);
}

#[test]
fn one_event_to_several_topics_arrives_once() {
    let hub = hub();
    let mut client = Client::open(&subscribe(&hub, &["a", "b"]));
    publish(&hub, &["a", "b"], "both");
    publish(&hub, &["b", "b", "a"], "again");
    publish(&hub, &["c", "a"], "one");
    assert_eq!(client.read(), ["both", "again", "one"]);
    assert_eq!(hub.stats().delivered, 3);
    assert_eq!(hub.stats().history_frames, 3);
}

#[test]
fn the_position_is_that_of_the_call_to_subscribe() {
    let hub = hub();
    publish(&hub, &["t"], "before");
    let subscription = subscribe(&hub, &["t"]);
    assert_eq!(hub.stats().subscriptions, 0, "nothing is held");
    publish(&hub, &["t"], "between");
    let mut client = Client::open(&subscription);
    publish(&hub, &["t"], "after");
    assert_eq!(client.read(), ["between", "after"]);
    // As often as one likes.
    let mut second = Client::open(&subscription);
    assert_eq!(second.read(), ["between", "after"]);
}

#[test]
fn history_and_live_join_in_slices() {
    let hub = hub();
    for n in 1..=500 {
        publish(&hub, &["t"], &format!("{n:01000}"));
    }
    let start = EventId {
        seq: 100,
        ..hub.last_event_id()
    };
    let subscription = hub
        .subscribe(&topics(&["t"]), after(&start.to_string()))
        .expect("valid");
    let mut client = Client::open(&subscription);
    let mut deliveries = 0;
    while client.poll().is_some() {
        deliveries += 1;
        publish(&hub, &["t"], &format!("{:01000}", 500 + deliveries));
        if deliveries == 10 {
            break;
        }
    }
    client.read();
    let seen: Vec<usize> = client
        .seen
        .iter()
        .map(|seen| seen.data.parse().expect("a number"))
        .collect();
    assert_eq!(seen, (101..=510).collect::<Vec<_>>());
}

#[test]
fn a_client_resumes_after_the_last_event_it_saw() {
    let hub = hub();
    let mut client = Client::open(&subscribe(&hub, &["a", "b"]));
    publish(&hub, &["a"], "1");
    publish(&hub, &["b"], "2");
    client.read();
    let id = client.last_event_id().to_owned();
    client.leave();
    publish(&hub, &["b"], "3");
    publish(&hub, &["a"], "4");
    let subscription = subscribe(&hub, &["a", "b"]).resume(&id);
    assert_eq!(Client::open(&subscription).read(), ["3", "4"]);
    // An empty id is none: what browsers have before the first event.
    let subscription = subscribe(&hub, &["a", "b"]).resume("");
    assert_eq!(Client::open(&subscription).read(), [""; 0]);
    let subscription = hub.subscribe(&topics(&["a"]), after("")).expect("valid");
    assert_eq!(Client::open(&subscription).read(), [""; 0]);
}

#[test]
fn the_first_reconnect_resumes_though_no_event_came() {
    let hub = hub();
    publish(&hub, &["t"], "old");
    let selector = hub.selector(|| {});
    let options = ssehub::StreamOptions {
        retry: Some(1234),
        announce_position: true,
        ..crate::common::connection()
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
    assert_eq!(client.read(), [""; 0], "nothing is dispatched");
    assert_eq!(client.retry(), Some(1234));
    let id = client.last_event_id().to_owned();
    assert_eq!(id, hub.last_event_id().to_string());
    client.leave();
    publish(&hub, &["t"], "missed");
    let subscription = subscribe(&hub, &["t"]).resume(&id);
    assert_eq!(Client::open(&subscription).read(), ["missed"]);
}

#[test]
fn without_an_announcement_the_stream_has_no_block_without_data() {
    let hub = hub();
    let selector = hub.selector(|| {});
    let options = ssehub::StreamOptions {
        retry: Some(1234),
        ..crate::common::connection()
    };
    let mut client = Client::on(&selector, &subscribe(&hub, &["t"]), &options);
    publish(&hub, &["t"], "x");
    client.read();
    let wire = String::from_utf8(client.wire.clone()).expect("text");
    assert_eq!(wire.matches("\n\n").count(), 1, "{wire:?}");
    assert_eq!(client.retry(), Some(1234));
}

#[test]
fn earliest_begins_with_what_there_is_and_no_gap() {
    let hub = small_hub(3);
    for n in numbers(1..=5) {
        publish(&hub, &["t"], &n);
    }
    let subscription = hub
        .subscribe(
            &topics(&["t"]),
            SubscribeOptions {
                start: Start::Earliest,
                on_gap: OnGap::Live,
                ..SubscribeOptions::default()
            },
        )
        .expect("valid");
    let mut client = Client::open(&subscription);
    assert_eq!(client.read(), numbers(3..=5));
    publish(&hub, &["t"], "6");
    assert_eq!(client.read(), ["6"]);
}

#[test]
fn an_id_of_the_publishers_stands_on_the_wire_and_is_a_position() {
    let hub = small_hub(2);
    let mut client = Client::open(&subscribe(&hub, &["t"]));
    let event = Event::new("mine").with_id("order 7").expect("valid");
    hub.publish(&["t"], &event, None).expect("valid");
    publish(&hub, &["t"], "next");
    client.read();
    assert_eq!(client.seen[0].id, "order 7");
    // Its window would keep what the history drops.
    client.leave();
    let resumed = |id: &str| {
        let mut client = Client::open(&subscribe(&hub, &["t"]).resume(id));
        let got = client.read();
        client.leave();
        got
    };
    assert_eq!(resumed("order 7"), ["next"]);
    publish(&hub, &["t"], "and on");
    // Its event is no longer there, and nobody knows where it was.
    let got = resumed("order 7");
    assert_eq!(got.len(), 3);
    assert_eq!(
        got[0],
        r#"ssehub:gap {"last_event_id":"order 7","reason":"unknown"}"#
    );
    assert_eq!(got[1..], ["next", "and on"]);
}

#[test]
fn a_round_trip_through_the_hub_keeps_all_fields() {
    let hub = hub();
    let mut client = Client::open(&subscribe(&hub, &["t"]));
    let event = Event::new("two\nlines: \u{e9}")
        .with_event("kind")
        .and_then(|event| event.with_retry(77))
        .expect("valid")
        .with_comment("hello\nthere");
    let id = hub.publish(&["t"], &event, None).expect("valid");
    client.read();
    assert_eq!(client.seen[0].event, "kind");
    assert_eq!(client.seen[0].data, "two\nlines: \u{e9}");
    assert_eq!(client.seen[0].id, id.to_string());
    assert_eq!(client.retry(), Some(77));
    assert_eq!(hub.stats().published_bytes, client.wire.len() as u64);
}
