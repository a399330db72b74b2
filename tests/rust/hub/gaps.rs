//! No silent loss: what cannot be had any more is told, once, and nothing else is.

use ssehub::{EventId, Hub, HubOptions, OnGap, Start, SubscribeOptions};

use crate::common::{Client, after, hub, numbers, publish, small_hub, subscribe, topics};

fn resume(hub: &Hub, names: &[&str], id: &str) -> Client {
    Client::open(&subscribe(hub, names).resume(id))
}

#[test]
fn expired() {
    let hub = small_hub(2);
    let id = publish(&hub, &["t"], "1");
    for n in numbers(2..=5) {
        publish(&hub, &["t"], &n);
    }
    let mut client = resume(&hub, &["t"], &id);
    let gap = format!(r#"ssehub:gap {{"last_event_id":"{id}","reason":"expired"}}"#);
    assert_eq!(client.read(), [gap.as_str(), "4", "5"]);
    // Its id is where reading goes on: who is cut off right after it is not told again.
    let id = client.seen[0].id.clone();
    assert_eq!(resume(&hub, &["t"], &id).read(), ["4", "5"]);
    assert_eq!(
        hub.stats().gaps,
        [("expired", 1), ("unknown", 0), ("lagged", 0)]
    );
}

#[test]
fn a_gap_is_not_lost_when_the_client_is_cut_off_before_it() {
    let hub = small_hub(2);
    let id = publish(&hub, &["t"], "1");
    for n in numbers(2..=5) {
        publish(&hub, &["t"], &n);
    }
    let selector = hub.selector(|| {});
    let options = ssehub::StreamOptions {
        retry: Some(5),
        announce_position: true,
        ..crate::common::connection()
    };
    let subscription = subscribe(&hub, &["t"]).resume(&id);
    let mut client = Client::on(&selector, &subscription, &options);
    client.poll().expect("the opening block");
    assert_eq!(client.retry(), Some(5));
    assert_eq!(
        client.last_event_id(),
        "",
        "the position is the gap's to tell"
    );
    assert_eq!(client.read().len(), 3);
}

#[test]
fn unknown() {
    let hub = hub();
    for n in numbers(1..=3) {
        publish(&hub, &["t"], &n);
    }
    let EventId { epoch, seq } = hub.last_event_id();
    let other = epoch.wrapping_add(1);
    for id in [
        // Another life of the hub; the future; a number that is not one; no hub's.
        format!("{other:016x}-1"),
        format!("{epoch:016x}-{}", seq + 1),
        format!("{epoch:016x}-99999999999999999999999"),
        format!("{epoch:016x}-01"),
        "what \"is\" this? \u{1f980}".to_owned(),
        "-".to_owned(),
    ] {
        let mut client = resume(&hub, &["t"], &id);
        let got = client.read();
        let data: serde_json::Value =
            serde_json::from_str(got[0].trim_start_matches("ssehub:gap ")).expect("JSON");
        assert_eq!(data["last_event_id"], id);
        assert_eq!(data["reason"], "unknown");
        assert_eq!(got[1..], numbers(1..=3));
        client.leave();
    }
}

#[test]
fn a_quiet_topic_has_none_while_a_busy_one_evicts() {
    let hub = small_hub(2);
    let id = publish(&hub, &["quiet"], "q");
    for n in numbers(1..=100) {
        publish(&hub, &["busy"], &n);
    }
    assert_eq!(resume(&hub, &["quiet"], &id).read(), [""; 0]);
    publish(&hub, &["quiet"], "r");
    assert_eq!(resume(&hub, &["quiet"], &id).read(), ["r"]);
}

#[test]
fn live_only_on_request() {
    let hub = small_hub(2);
    let id = publish(&hub, &["t"], "1");
    for n in numbers(2..=5) {
        publish(&hub, &["t"], &n);
    }
    for id in [id.as_str(), "what?"] {
        let options = SubscribeOptions {
            on_gap: OnGap::Live,
            ..after(id)
        };
        let mut client = Client::open(&hub.subscribe(&topics(&["t"]), options).expect("valid"));
        publish(&hub, &["t"], "live");
        let got = client.read();
        assert_eq!(got.len(), 2, "{got:?}");
        assert!(got[0].starts_with("ssehub:gap"));
        assert_eq!(got[1], "live");
        client.leave();
    }
    let subscription = subscribe(&hub, &["t"]).resume(&id).live_after_gap();
    let mut client = Client::open(&subscription);
    assert_eq!(client.read().len(), 1);
    // The snapshot that follows bears the position.
    assert_eq!(client.last_event_id(), "");
    client.leave();
}

#[test]
fn who_needs_a_snapshot() {
    let hub = small_hub(2);
    let id = publish(&hub, &["t"], "1");
    let selector = hub.selector(|| {});
    let needs = |start: Start| {
        let options = SubscribeOptions {
            start,
            ..SubscribeOptions::default()
        };
        let subscription = hub.subscribe(&topics(&["t"]), options).expect("valid");
        let mut client = Client::on(&selector, &subscription, &crate::common::connection());
        let at_first = selector.needs_snapshot(client.token);
        client.read();
        let then = selector.needs_snapshot(client.token);
        client.leave();
        (at_first, then)
    };
    assert_eq!(needs(Start::Head), (true, true), "a first visit");
    assert_eq!(
        needs(Start::After(id.clone())),
        (false, false),
        "a clean resume"
    );
    for n in numbers(2..=5) {
        publish(&hub, &["t"], &n);
    }
    assert_eq!(
        needs(Start::After(id)),
        (false, true),
        "instead of a replay"
    );
}

#[test]
fn the_common_budget_is_told_as_expired() {
    let mut options = HubOptions::default();
    options.limits.event_size = 1000;
    options.limits.history_bytes = 1000;
    options.max_lag = 1000;
    let hub = Hub::new(options).expect("valid");
    let mut client = Client::open(&subscribe(&hub, &["t"]));
    publish(&hub, &["t"], "1");
    for _ in 0..100 {
        publish(&hub, &["busy"], "x");
    }
    publish(&hub, &["t"], "2");
    let got = client.read();
    assert_eq!(got.len(), 2, "{got:?}");
    assert!(got[0].contains("expired"));
    assert_eq!(got[1], "2");
}
