//! Readers that are too slow, as their streams see it.

use ssehub::{EndReason, Event, Hub, Slow, SubscribeOptions};

use crate::common::{Client, numbers, publish, small_hub, topics};

/// A reader that may be about four events behind.
fn slow(hub: &Hub, policy: Slow) -> Client {
    let options = SubscribeOptions {
        slow: Some(policy),
        max_lag: Some(150),
        ..SubscribeOptions::default()
    };
    Client::open(&hub.subscribe(&topics(&["t"]), options).expect("valid"))
}

fn say(hub: &Hub, range: std::ops::RangeInclusive<usize>) {
    for n in numbers(range) {
        publish(hub, &["t"], &n);
    }
}

#[test]
fn disconnect_and_resume() {
    let hub = small_hub(1000);
    let mut client = slow(&hub, Slow::Disconnect);
    say(&hub, 1..=2);
    assert_eq!(client.read(), ["1", "2"]);
    say(&hub, 3..=20);
    assert_eq!(client.read(), [""; 0]);
    assert_eq!(client.ended, Some((EndReason::Slow, true)));
    let id = client.last_event_id().to_owned();
    let info = client.selector.remove(client.token, EndReason::Slow);
    assert_eq!(info.expect("it was there").reason, EndReason::Slow);
    let subscription = crate::common::subscribe(&hub, &["t"]).resume(&id);
    assert_eq!(Client::open(&subscription).read(), numbers(3..=20));
}

#[test]
fn skip() {
    let hub = small_hub(3);
    let mut client = slow(&hub, Slow::Skip);
    say(&hub, 1..=20);
    let got = client.read();
    assert!(got[0].contains("lagged"), "{got:?}");
    assert_eq!(got[1..], numbers(17..=20), "the window of the reader");
    say(&hub, 21..=21);
    assert_eq!(client.read(), ["21"]);
    assert_eq!(hub.stats().gaps[2], ("lagged", 1));
}

#[test]
fn conflate() {
    let hub = small_hub(1000);
    let mut client = slow(&hub, Slow::Conflate);
    for n in 0..20 {
        let key = ["bid", "ask"][n % 2];
        let event = Event::new(n.to_string());
        hub.publish(&["t"], &event, Some(key)).expect("valid");
    }
    assert_eq!(client.read(), ["18", "19"]);
    assert_eq!(hub.stats().conflated, 18);
    assert_eq!(hub.stats().delivered, 2);
    assert_eq!(hub.stats().gaps[0].1 + hub.stats().gaps[2].1, 0);
    say(&hub, 20..=40);
    assert_eq!(client.read(), [""; 0]);
    assert_eq!(client.ended, Some((EndReason::Slow, true)));
}

#[test]
fn one_slow_reader_is_nobody_elses_concern() {
    let hub = small_hub(1000);
    let mut stalled = slow(&hub, Slow::Disconnect);
    let mut quick = slow(&hub, Slow::Disconnect);
    for n in numbers(1..=200) {
        publish(&hub, &["t"], &n);
        assert_eq!(quick.read(), [n]);
    }
    stalled.read();
    assert!(stalled.ended.is_some());
}

#[test]
fn memory_is_bounded_by_the_lag_not_by_what_was_said() {
    let hub = small_hub(2);
    let _stalled = slow(&hub, Slow::Disconnect);
    say(&hub, 1..=5000);
    assert!(hub.stats().history_frames <= 5);
}
