//! Readers of patterns.

use super::{Got, World, after, events, lagging, terms, world};
use crate::options::{History, HubOptions, Slow, Start};
use crate::topic::cursor::Terms;

#[test]
fn a_conflating_pattern_reader_sees_topics_that_appear_during_its_replay() {
    let mut world = world(1000);
    world.publish_many("a.1", 10, "x");
    let mut cursor = world.attach(&Terms {
        start: after(0),
        ..lagging(&["~a.*"], Slow::Conflate, 4)
    });
    let (_, frames) = world.read(&mut cursor, 10);
    assert_eq!(frames.len(), 1);
    for n in 0..10 {
        world.publish_as(&[&format!("a.new{n}")], "x", Some("k"), None);
    }
    // Over its limit by ten events, each the only one of its topic.
    let got = world.read_all(&mut cursor);
    assert_eq!(got[..9], events(2..=10)[..]);
    assert_eq!(got[9..], [Got::Slow]);
}

#[test]
fn a_pattern_reader_joins_history_and_live() {
    let mut world = world(1000);
    for topic in ["a.1", "a.2", "b", "a.1"] {
        world.publish(&[topic], "x");
    }
    let mut cursor = world.attach(&terms(&["~a.*"], after(1)));
    // A new topic, and an old one, while the replay is still to come.
    world.publish(&["a.3", "b"], "x");
    world.publish(&["a.1", "a.2"], "x");
    world.publish(&["a.1.deep"], "x");
    assert_eq!(world.read_all(&mut cursor), events([2, 4, 5, 6]));
    world.publish(&["a.4"], "x");
    assert_eq!(world.read_all(&mut cursor), events([8]));
}

#[test]
fn a_pattern_reader_is_told_of_topics_that_vanished() {
    let mut world = World::new(HubOptions {
        history: History {
            age: Some(1000),
            ..History::default()
        },
        ..HubOptions::default()
    });
    world.publish(&["a.1"], "x");
    world.publish(&["b"], "x");
    world.pass(2000);
    let mut cursor = world.attach(&terms(&["~a.*"], after(0)));
    assert_eq!(world.read_all(&mut cursor), [Got::Gap("expired", 1)]);
    let mut cursor = world.attach(&terms(&["~a.*"], after(1)));
    assert_eq!(world.read_all(&mut cursor), []);
}

#[test]
fn a_topic_that_vanishes_and_comes_back_behind_a_replay_is_no_gap() {
    let mut world = world(2);
    world.publish(&["a.1"], "x");
    world.publish_many("a.2", 2, "x");
    let mut cursor = world.attach(&terms(&["~a.*"], after(0)));
    let (_, frames) = world.read(&mut cursor, 10);
    assert_eq!(frames[0].seq, 1);
    // Its history moves on by events that come live.
    world.publish_many("a.1", 5, "x");
    assert_eq!(world.read_all(&mut cursor), events(2..=8));
}

#[test]
fn what_a_patterns_log_has_dropped_its_topics_still_have() {
    let mut world = world(1000);
    let first = world.attach(&Terms {
        max_lag: 100,
        ..terms(&["~a.*"], Start::Head)
    });
    world.publish_many("a.1", 20, "x");
    // The pattern's log has a few of these only; the topic has all.
    let mut second = world.attach(&Terms {
        max_lag: 100,
        ..terms(&["~a.*"], after(0))
    });
    let (_, frames) = world.read(&mut second, 10);
    assert_eq!(frames[0].seq, 1);
    assert_eq!(world.read_all(&mut second), events(2..=20));
    world.detach(first);
    // The same where the log drops them while they are being replayed.
    let mut third = world.attach(&Terms {
        max_lag: 200,
        ..terms(&["~a.*"], after(17))
    });
    let (_, frames) = world.read(&mut third, 10);
    assert_eq!(frames[0].seq, 18);
    world.publish_many("a.1", 6, "x");
    assert_eq!(world.read_all(&mut third), events(19..=26));
}
