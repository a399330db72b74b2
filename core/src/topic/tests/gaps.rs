//! What readers get, case by case: gaps, lag, policies, patterns.

use super::{Got, World, after, events, frame_size, gap, terms};
use crate::options::{History, HubOptions, Limits, OnGap, Slow, Start};
use crate::topic::cursor::{Read, Terms};

/// Histories of so many events, and events of at most 100 bytes.
fn world(count: usize) -> World {
    World::new(HubOptions {
        history: History {
            count,
            age: None,
            ..History::default()
        },
        limits: Limits {
            event_size: 100,
            ..Limits::default()
        },
        ..HubOptions::default()
    })
}

fn lagging(names: &[&str], slow: Slow, frames: usize) -> Terms {
    Terms {
        slow,
        // Numbers of two digits are welcome.
        max_lag: (frames * (frame_size(1) + 1)) as u64,
        ..terms(names, Start::Head)
    }
}

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

fn conflated(world: &mut World, cursor: &mut crate::topic::cursor::Cursor) -> (Vec<u64>, u64) {
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
