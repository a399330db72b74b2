//! Patterns: only where they are asked for, and as complete as names.

use ssehub::{History, Hub, HubOptions, SubscribeOptions, Topic};

use crate::common::{Client, after, hub, pattern, publish, small_hub, subscribe, topics};

fn watch(hub: &Hub, text: &str, options: SubscribeOptions) -> Client {
    Client::open(&hub.subscribe(&[pattern(text)], options).expect("valid"))
}

#[test]
fn one_token_or_all_that_follow() {
    let hub = hub();
    let mut one = watch(&hub, "orders.*", SubscribeOptions::default());
    let mut all = watch(&hub, "orders.>", SubscribeOptions::default());
    for topic in [
        "orders",
        "orders.1",
        "orders.1.lines",
        "order.1",
        "orders.2",
    ] {
        publish(&hub, &[topic], topic);
    }
    assert_eq!(one.read(), ["orders.1", "orders.2"]);
    assert_eq!(all.read(), ["orders.1", "orders.1.lines", "orders.2"]);
    assert_eq!(hub.subscribers("orders.1"), 2);
    assert_eq!(hub.subscribers("orders"), 0);
}

#[test]
fn a_name_is_taken_literally() {
    let hub = hub();
    let mut client = Client::open(&subscribe(&hub, &["orders.*", ">"]));
    publish(&hub, &["orders.1"], "not this");
    publish(&hub, &["orders.*"], "this");
    publish(&hub, &[">"], "and this");
    assert_eq!(client.read(), ["this", "and this"]);
    assert_eq!(Topic::from("orders.*"), Topic::Name("orders.*".into()));
}

#[test]
fn history_and_live_without_hole_or_repeat() {
    let hub = hub();
    let id = publish(&hub, &["a.1"], "1");
    publish(&hub, &["a.2", "a.1"], "2");
    publish(&hub, &["b"], "other");
    let mut client = watch(&hub, "a.*", after(&id));
    publish(&hub, &["a.3"], "3");
    publish(&hub, &["a.1", "b"], "4");
    assert_eq!(client.read(), ["2", "3", "4"]);
    publish(&hub, &["a.9"], "5");
    assert_eq!(client.read(), ["5"]);
    // A second reader finds the pattern in use.
    let mut second = watch(&hub, "a.*", after(&id));
    assert_eq!(second.read(), ["2", "3", "4", "5"]);
}

#[test]
fn nothing_of_the_pattern_is_no_gap() {
    let hub = hub();
    let id = publish(&hub, &["b"], "1");
    publish(&hub, &["b"], "2");
    let mut client = watch(&hub, "a.*", after(&id));
    assert_eq!(client.read(), [""; 0]);
    publish(&hub, &["a.1"], "3");
    assert_eq!(client.read(), ["3"]);
}

#[test]
fn what_a_matching_topic_has_dropped_is_a_gap() {
    let hub = small_hub(1);
    let id = publish(&hub, &["a.1"], "1");
    publish(&hub, &["a.1"], "2");
    publish(&hub, &["a.1"], "3");
    publish(&hub, &["a.2"], "4");
    let mut client = watch(&hub, "a.*", after(&id));
    let got = client.read();
    assert!(got[0].starts_with("ssehub:gap"), "{got:?}");
    assert_eq!(got[1..], ["3", "4"]);
}

#[test]
fn a_pattern_and_a_name_of_it_are_no_repeat() {
    let hub = hub();
    let mut both = topics(&["a.1"]);
    both.push(pattern("a.*"));
    both.push(pattern(">"));
    let subscription = hub.subscribe(&both, SubscribeOptions::default());
    let mut client = Client::open(&subscription.expect("valid"));
    publish(&hub, &["a.1"], "1");
    publish(&hub, &["a.2", "a.1"], "2");
    assert_eq!(client.read(), ["1", "2"]);
}

#[test]
fn a_pattern_keeps_no_topic_alive() {
    let hub = Hub::new(HubOptions {
        history: History::NONE,
        ..HubOptions::default()
    })
    .expect("valid");
    let mut client = watch(&hub, "user.*", SubscribeOptions::default());
    for n in 0..100 {
        publish(&hub, &[&format!("user.{n}")], "x");
    }
    assert_eq!(hub.stats().topics, 0);
    assert_eq!(client.read().len(), 100);
    client.leave();
    assert_eq!(hub.stats().history_frames, 0);
}
