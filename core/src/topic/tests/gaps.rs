//! What readers are told where something is lost: gaps, and ids that say nothing.

use super::{Got, World, after, events, gap, terms, world};
use crate::options::{HubOptions, OnGap, Start};
use crate::topic::cursor::{Read, Terms};

#[test]
fn a_quiet_topic_has_no_gap_while_a_busy_one_evicts() {
    let mut world = world(3);
    world.publish(&["quiet"], "x");
    world.publish_many("busy", 50, "x");
    let mut cursor = world.attach(&terms(&["quiet"], after(1)));
    assert_eq!(world.read_all(&mut cursor), []);
    let mut cursor = world.attach(&terms(&["quiet"], after(0)));
    assert_eq!(world.read_all(&mut cursor), events([1]));
    world.publish(&["quiet"], "x");
    assert_eq!(world.read_all(&mut cursor), events([52]));
}

#[test]
fn one_of_several_topics_has_lost_something() {
    let mut world = world(3);
    for topic in ["a", "b", "a", "a", "b", "a", "a"] {
        world.publish(&[topic], "x");
    }
    let mut cursor = world.attach(&terms(&["a", "b"], after(0)));
    // The loss is up to 3, and 2 is still there: the gap event's id is before it.
    let mut expected = vec![Got::Gap("expired", 1)];
    expected.extend(events([2, 4, 5, 6, 7]));
    assert_eq!(world.read_all(&mut cursor), expected);
    // Whoever comes back with it, cut off just then, gets all of that.
    let mut cursor = world.attach(&terms(&["a", "b"], after(1)));
    assert_eq!(world.read_all(&mut cursor), expected);
    // Once nothing is left from before the loss, it is not told again.
    let mut cursor = world.attach(&terms(&["a", "b"], after(4)));
    assert_eq!(world.read_all(&mut cursor), events([5, 6, 7]));
}

#[test]
fn live_only_after_a_gap() {
    let mut world = world(2);
    world.publish_many("t", 5, "x");
    let mut cursor = world.attach(&Terms {
        on_gap: OnGap::Live,
        ..terms(&["t"], after(1))
    });
    assert_eq!(world.read_all(&mut cursor), [Got::Gap("expired", 5)]);
    world.publish(&["t"], "x");
    assert_eq!(world.read_all(&mut cursor), events([6]));
}

#[test]
fn an_unknown_id_gets_the_newest_up_to_a_cap() {
    let mut world = World::new(HubOptions::default());
    let data = "x".repeat(10_000);
    world.publish_many("t", 60, &data);
    for id in ["what?", "00000000000000e1-3", "00000000000000e0-61"] {
        let mut cursor = world.attach(&terms(&["t"], Start::After(id.into())));
        // 262,144 bytes hold 26 of them.
        let mut expected = vec![Got::Gap("unknown", 34)];
        expected.extend(events(35..=60));
        assert_eq!(world.read_all(&mut cursor), expected, "{id}");
        world.detach(cursor);
    }
}

#[test]
fn an_unknown_id_is_told_of_once() {
    let mut world = world(2);
    world.publish(&["quiet"], "x");
    world.publish_many("busy", 5, "x");
    let names = ["quiet", "busy"];
    let mut cursor = world.attach(&terms(&names, Start::After("what?".into())));
    let got = world.read_all(&mut cursor);
    assert_eq!(
        got,
        [
            Got::Gap("unknown", 0),
            Got::Event(1),
            Got::Event(5),
            Got::Event(6)
        ]
    );
    let mut cursor = world.attach(&terms(&names, after(4)));
    assert_eq!(world.read_all(&mut cursor), events([5, 6]));
}

#[test]
fn what_an_unknown_id_is_promised_and_then_lost_is_told() {
    let mut world = world(3);
    world.publish_many("t", 3, "x");
    let mut cursor = world.attach(&Terms {
        max_lag: 100,
        ..terms(&["t"], Start::After("what?".into()))
    });
    let (read, _) = world.read(&mut cursor, 10);
    assert!(matches!(read, Read::Gap(_)));
    // They leave the history before they are read, and these are within the lag.
    world.publish_many("t", 3, "x");
    assert_eq!(
        world.read_all(&mut cursor),
        [
            Got::Gap("expired", 3),
            Got::Event(4),
            Got::Event(5),
            Got::Event(6)
        ]
    );
}

#[test]
fn what_an_earliest_reader_loses_on_its_way_is_told() {
    let mut world = world(3);
    world.publish_many("t", 5, "x");
    let mut cursor = world.attach(&Terms {
        max_lag: 100,
        ..terms(&["t"], Start::Earliest)
    });
    let (_, frames) = world.read(&mut cursor, 10);
    assert_eq!(frames[0].seq, 3, "nothing is told of what was gone before");
    world.publish_many("t", 3, "x");
    assert_eq!(
        world.read_all(&mut cursor),
        [
            Got::Gap("expired", 5),
            Got::Event(6),
            Got::Event(7),
            Got::Event(8)
        ]
    );
}

#[test]
fn the_gap_says_where_the_reader_stood() {
    let mut world = world(2);
    world.publish_many("t", 5, "x");
    let mut cursor = world.attach(&terms(&["t"], after(1)));
    let (read, _) = world.read(&mut cursor, 10);
    let Read::Gap(told) = read else {
        panic!("{read:?}");
    };
    assert_eq!(gap(&told), Got::Gap("expired", 3));
    assert_eq!(told.from, 1);
    assert_eq!(
        told.last_event_id.as_deref(),
        Some("00000000000000e0-1"),
        "as the client gave it"
    );
}
