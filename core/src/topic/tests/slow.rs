//! Readers that are too slow: lag, and the policies.

use super::{Got, World, after, events, frame_size, lagging, terms, world};
use crate::options::{HubOptions, Limits, Slow, Start};
use crate::topic::cursor::{Cursor, GapReason, Read, Terms};

#[test]
fn too_slow_is_disconnected() {
    let mut world = world(1000);
    let mut cursor = world.attach(&lagging(&["t"], Slow::Disconnect, 4));
    world.publish_many("t", 4, "x");
    assert!(!cursor.is_overdue(&world.table));
    world.publish(&["t"], "x");
    assert!(cursor.is_overdue(&world.table));
    assert_eq!(world.read_all(&mut cursor), [Got::Slow]);
}

#[test]
fn too_slow_skips() {
    let mut world = world(3);
    let mut cursor = world.attach(&lagging(&["t"], Slow::Skip, 4));
    world.publish_many("t", 10, "x");
    let mut expected = vec![Got::Gap("lagged", 6)];
    expected.extend(events(7..=10));
    assert_eq!(world.read_all(&mut cursor), expected);
}

#[test]
fn who_is_overtaken_again_while_it_catches_up_has_lagged_again() {
    let mut world = world(3);
    let mut cursor = world.attach(&lagging(&["t"], Slow::Skip, 4));
    world.publish_many("t", 10, "x");
    let gap = |world: &mut World, cursor: &mut Cursor| match world.read(cursor, 1).0 {
        Read::Gap(gap) => (gap.reason, gap.lost),
        read => panic!("{read:?}"),
    };
    assert_eq!(gap(&mut world, &mut cursor), (GapReason::Lagged, 6));
    // It gets to 7, and what is kept moves on to 9: what it loses is older than its last look at the head.
    assert_eq!(world.read(&mut cursor, 1).1.len(), 1);
    world.publish_many("t", 2, "x");
    assert_eq!(gap(&mut world, &mut cursor), (GapReason::Lagged, 8));
    assert_eq!(world.read_all(&mut cursor), events(9..=12));
}

#[test]
fn who_is_overtaken_in_its_replay_has_not_been_slow() {
    let mut world = world(3);
    world.publish_many("t", 3, "x");
    let mut cursor = world.attach(&Terms {
        start: after(0),
        ..lagging(&["t"], Slow::Skip, 4)
    });
    assert_eq!(world.read(&mut cursor, 1).1.len(), 1);
    world.publish_many("t", 3, "x");
    let mut expected = vec![Got::Gap("expired", 2)];
    expected.extend(events(3..=6));
    assert_eq!(world.read_all(&mut cursor), expected);
}

#[test]
fn replay_is_not_lag() {
    let mut world = world(1000);
    world.publish_many("t", 100, "x");
    let mut cursor = world.attach(&Terms {
        start: after(0),
        ..lagging(&["t"], Slow::Disconnect, 4)
    });
    assert_eq!(world.read_all(&mut cursor), events(1..=100));
}

#[test]
fn one_event_of_many_topics_is_no_lag_of_many_events() {
    let mut world = world(1000);
    let topics = ["a", "b", "c", "d", "e"];
    for slow in [Slow::Disconnect, Slow::Conflate] {
        let mut cursor = world.attach(&Terms {
            slow,
            max_lag: frame_size(50) as u64,
            ..terms(&["a", "b", "c", "d", "e", "~>"], Start::Head)
        });
        let seq = world.publish(&topics, &"x".repeat(50));
        assert!(!cursor.is_overdue(&world.table));
        assert_eq!(world.read_all(&mut cursor), events([seq]));
        world.publish(&topics, &"x".repeat(50));
        world.publish(&["a"], "x");
        assert_eq!(world.read_all(&mut cursor), [Got::Slow]);
        world.detach(cursor);
    }
}

#[test]
fn who_loses_by_the_budget_has_not_been_slow() {
    let mut world = World::new(HubOptions {
        max_lag: 100,
        limits: Limits {
            event_size: 100,
            history_bytes: 1000,
            ..Limits::default()
        },
        ..HubOptions::default()
    });
    // Long ago, much was said.
    world.publish_many("t", 50, "x");
    let mut cursor = world.attach(&Terms {
        max_lag: 100,
        ..terms(&["t"], Start::Head)
    });
    let seq = world.publish(&["t"], "x");
    world.publish_many("busy", 50, "x");
    assert_eq!(world.read_all(&mut cursor), [Got::Gap("expired", seq)]);
}

fn conflated(world: &mut World, cursor: &mut Cursor) -> (Vec<u64>, u64) {
    let (read, frames) = world.read(cursor, 100_000);
    let Read::Frames { conflated } = read else {
        panic!("{read:?}");
    };
    (frames.iter().map(|frame| frame.seq).collect(), conflated)
}

#[test]
fn newer_events_of_a_key_stand_in_for_older_ones() {
    let mut world = world(1000);
    let mut cursor = world.attach(&lagging(&["t"], Slow::Conflate, 4));
    for key in ["a", "b", "a", "a"] {
        world.publish_as(&["t"], "x", Some(key), None);
    }
    // Within the limit nothing is left out.
    assert_eq!(conflated(&mut world, &mut cursor), (vec![1, 2, 3, 4], 0));
    for key in [Some("a"), None, Some("b"), Some("a"), Some("b"), None] {
        world.publish_as(&["t"], "x", key, None);
    }
    assert_eq!(conflated(&mut world, &mut cursor), (vec![6, 8, 9, 10], 2));
    assert_eq!(world.read_all(&mut cursor), []);
}

#[test]
fn what_has_no_key_is_owed_and_too_much_of_it_ends_the_stream() {
    let mut world = world(1000);
    let mut cursor = world.attach(&lagging(&["t"], Slow::Conflate, 4));
    world.publish_many("t", 5, "x");
    assert_eq!(world.read_all(&mut cursor), [Got::Slow]);
}

#[test]
fn what_stood_in_for_others_may_leave_the_log() {
    let mut world = world(2);
    let mut cursor = world.attach(&lagging(&["t"], Slow::Conflate, 3));
    for _ in 0..20 {
        world.publish_as(&["t"], "x", Some("k"), None);
    }
    assert_eq!(world.read_all(&mut cursor), events([20]));
    // But not the last word on a key.
    world.publish_as(&["t"], "x", Some("other"), None);
    for _ in 0..20 {
        world.publish_as(&["t"], "x", Some("k"), None);
    }
    assert_eq!(world.read_all(&mut cursor), [Got::Slow]);
}

#[test]
fn a_key_is_a_topics_own_also_under_a_pattern() {
    let mut world = world(1000);
    // So that the pattern's log has more than the other may be behind.
    let _patient = world.attach(&terms(&["~board.*"], Start::Head));
    let mut cursor = world.attach(&lagging(&["~board.*"], Slow::Conflate, 4));
    for topic in ["board.1", "board.2", "board.1", "board.2", "board.3"] {
        world.publish_as(&[topic], "x", Some("state"), None);
    }
    assert_eq!(conflated(&mut world, &mut cursor), (vec![3, 4, 5], 2));
    // An event of two topics stands in for older ones of the one, and is replaced in both only.
    world.publish_as(&["board.1", "board.2"], "x", Some("state"), None);
    for topic in ["board.1", "board.1", "board.1", "board.1"] {
        world.publish_as(&[topic], "x", Some("state"), None);
    }
    let (seqs, _) = conflated(&mut world, &mut cursor);
    assert!(seqs.contains(&6), "board.2 has no newer one: {seqs:?}");
    assert!(seqs.contains(&10));
}

#[test]
fn a_replay_is_not_conflated_away() {
    let mut world = world(1000);
    world.publish_many("t", 50, "x");
    let mut cursor = world.attach(&Terms {
        start: after(0),
        ..lagging(&["t"], Slow::Conflate, 4)
    });
    for _ in 0..10 {
        world.publish_as(&["t"], "x", Some("k"), None);
    }
    let got = world.read_all(&mut cursor);
    assert_eq!(got[..50], events(1..=50)[..]);
    assert_eq!(got.last(), Some(&Got::Event(60)));
}
