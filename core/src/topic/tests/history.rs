//! What is kept, and for how long: count, bytes, age, the common budget, and what remains of topics that are gone.

use std::sync::Arc;

use super::{Got, World, after, events, frame_size, terms};
use crate::options::{History, HubOptions, Limits, Start};
use crate::topic::cursor::Cursor;
use crate::topic::frame::Frame;
use crate::topic::table::Effects;

fn world(history: History) -> World {
    World::new(HubOptions {
        history,
        limits: Limits {
            event_size: 100,
            ..Limits::default()
        },
        ..HubOptions::default()
    })
}

/// What a reader that comes now can still have of a topic.
fn retained(world: &mut World, topic: &str) -> Vec<u64> {
    let mut cursor = world.attach(&terms(&[topic], Start::Earliest));
    let got = world.read_all(&mut cursor);
    world.detach(cursor);
    got.into_iter()
        .map(|got| match got {
            Got::Event(seq) => seq,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_count() {
    let mut world = world(History {
        count: 3,
        ..History::default()
    });
    world.publish_many("t", 5, "x");
    assert_eq!(retained(&mut world, "t"), [3, 4, 5]);
}

#[test]
fn bytes_of_the_wire() {
    let size = frame_size(70);
    let mut world = world(History {
        bytes: 3 * size,
        ..History::default()
    });
    world.publish_many("t", 5, &"x".repeat(70));
    assert_eq!(retained(&mut world, "t"), [3, 4, 5]);
    // One byte more than fits.
    world.publish(&["t"], &"x".repeat(71));
    assert_eq!(retained(&mut world, "t"), [5, 6]);
}

#[test]
fn an_age_also_of_topics_that_nobody_touches() {
    let mut world = world(History {
        age: Some(1000),
        ..History::default()
    });
    world.publish(&["t"], "x");
    world.pass(600);
    world.publish(&["t"], "x");
    assert_eq!(retained(&mut world, "t"), [1, 2]);
    world.pass(500);
    assert_eq!(retained(&mut world, "t"), [2]);
    world.pass(1500);
    assert_eq!(world.table.sizes().topics, 0);
    assert_eq!(world.table.sizes().frames, 0);
    assert_eq!(world.table.sizes().tombstones, 1);
}

#[test]
fn ages_longer_than_the_wheel_goes_round() {
    for age in [261_000, 262_144, 263_000, 3_600_000] {
        let mut world = world(History {
            age: Some(age),
            ..History::default()
        });
        world.publish(&["t"], "x");
        world.pass(age - 1);
        assert_eq!(world.table.sizes().frames, 1, "{age}");
        world.pass(600);
        assert_eq!(world.table.sizes().frames, 0, "{age}");
    }
}

#[test]
fn attached_readers_have_the_newest_frames_whatever_their_age() {
    let mut world = world(History {
        count: 2,
        age: Some(1000),
        ..History::default()
    });
    let mut cursor = world.attach(&terms(&["t"], Start::Head));
    world.publish_many("t", 5, "x");
    world.pass(60_000);
    assert_eq!(world.read_all(&mut cursor), events(1..=5));
    world.detach(cursor);
    assert_eq!(world.table.sizes().frames, 0, "not longer than the reader");
}

#[test]
fn nothing_is_kept_where_no_history_is_wanted() {
    let mut world = world(History::NONE);
    world.publish(&["t", "u"], "x");
    assert_eq!(world.table.sizes().topics, 0);
    let mut cursor = world.attach(&terms(&["t"], Start::Head));
    world.publish(&["t"], "x");
    assert_eq!(world.read_all(&mut cursor), events([2]));
}

fn budget(bytes: usize) -> World {
    World::new(HubOptions {
        limits: Limits {
            event_size: 100,
            history_bytes: bytes,
            ..Limits::default()
        },
        ..HubOptions::default()
    })
}

#[test]
fn the_common_budget_takes_the_oldest_first() {
    let mut world = budget(4 * frame_size(1));
    for topic in ["a", "b", "a", "c", "b", "a"] {
        world.publish(&[topic], "x");
    }
    assert_eq!(retained(&mut world, "a"), [3, 6]);
    assert_eq!(retained(&mut world, "b"), [5]);
    assert_eq!(retained(&mut world, "c"), [4]);
    assert_eq!(world.table.sizes().bytes, 4 * frame_size(1));
}

#[test]
fn a_frame_of_several_topics_counts_once() {
    let mut world = budget(4 * frame_size(1));
    // A pattern's log holds it a third time.
    let cursor = world.attach(&terms(&["~>"], Start::Head));
    for _ in 0..4 {
        world.publish(&["a", "b"], "x");
    }
    assert_eq!(world.table.sizes().frames, 4);
    assert_eq!(world.table.sizes().bytes, 4 * frame_size(1));
    world.publish(&["c"], "x");
    assert_eq!(retained(&mut world, "a"), [2, 3, 4]);
    assert_eq!(retained(&mut world, "b"), [2, 3, 4]);
    assert_eq!(world.table.sizes().frames, 4);
    world.detach(cursor);
}

#[test]
fn the_oldest_known_losses_become_a_floor() {
    let mut world = World::new(HubOptions {
        history: History::NONE,
        limits: Limits {
            tombstones: 2,
            ..Limits::default()
        },
        ..HubOptions::default()
    });
    for topic in ["a", "b", "c", "d"] {
        world.publish(&[topic], "x");
    }
    assert_eq!(world.table.sizes().tombstones, 2);
    assert_eq!(world.table.floor(), 2);
    let gap = |world: &mut World, topic: &str, position: u64| {
        let mut cursor = world.attach(&terms(&[topic], after(position)));
        let got = world.read_all(&mut cursor);
        world.detach(cursor);
        got
    };
    // Remembered by name.
    assert_eq!(gap(&mut world, "c", 2), [Got::Gap("expired", 3)]);
    assert_eq!(gap(&mut world, "c", 3), []);
    // Not remembered, and maybe never known: everything up to the floor may be lost.
    assert_eq!(gap(&mut world, "a", 1), [Got::Gap("expired", 2)]);
    assert_eq!(gap(&mut world, "a", 2), []);
    assert_eq!(gap(&mut world, "never", 1), [Got::Gap("expired", 2)]);
    assert_eq!(world.table.sizes().tombstones, 2);
}

#[test]
fn a_topic_that_comes_back_remembers_what_it_lost() {
    let mut world = world(History {
        age: Some(1000),
        ..History::default()
    });
    world.publish_many("t", 2, "x");
    world.pass(2000);
    assert_eq!(world.table.sizes().tombstones, 1);
    world.publish(&["t"], "x");
    assert_eq!(world.table.sizes().tombstones, 0);
    let mut cursor = world.attach(&terms(&["t"], after(1)));
    assert_eq!(
        world.read_all(&mut cursor),
        [Got::Gap("expired", 2), Got::Event(3)]
    );
}

#[test]
fn many_short_lived_topics_leave_little() {
    const TOPICS: usize = 300_000;
    let mut world = World::new(HubOptions {
        history: History {
            age: Some(1000),
            ..History::default()
        },
        limits: Limits {
            tombstones: 100,
            ..Limits::default()
        },
        ..HubOptions::default()
    });
    for n in 0..TOPICS {
        world.publish(&[&format!("user:{n}")], "x");
        if n % 100 == 0 {
            world.now += 50;
        }
        if n % 1000 == 0 {
            world.expire_all();
            let sizes = world.table.sizes();
            assert!(sizes.topics < 5000, "{sizes:?}");
            assert!(sizes.tombstones <= 100, "{sizes:?}");
            assert!(world.table.entries() < 20_000, "{}", world.table.entries());
        }
    }
    world.pass(2000);
    assert_eq!(world.table.sizes().topics, 0);
    assert_eq!(world.table.sizes().bytes, 0);
    assert!(world.table.floor() > TOPICS as u64 - 200);
    assert_eq!(world.table.entries(), 0);
}

#[test]
fn topics_that_the_budget_drops_are_forgotten_by_the_wheel_too() {
    let mut world = World::new(HubOptions {
        history: History {
            age: Some(3_600_000),
            ..History::default()
        },
        limits: Limits {
            event_size: 100,
            history_bytes: 10_000,
            tombstones: 10,
            ..Limits::default()
        },
        ..HubOptions::default()
    });
    for n in 0..20_000 {
        world.publish(&[&format!("user:{n}")], "x");
        world.now += 1000;
    }
    assert!(world.table.sizes().topics < 500);
    assert!(world.table.entries() < 1500, "{}", world.table.entries());
}

#[test]
fn one_call_looks_at_a_bounded_number_of_topics() {
    let mut world = world(History {
        age: Some(290_000),
        ..History::default()
    });
    for n in 0..1000 {
        world.publish(&[&format!("t{n}")], "x");
    }
    world.now = 1_000_000;
    for left in (0..1000).rev().step_by(10).skip(1) {
        let mut fx = Effects::default();
        let more = world.table.expire(world.now, 10, &mut fx);
        assert!(fx.garbage.len() <= 10);
        assert!(more || left < 10);
    }
    world.expire_all();
    assert_eq!(world.table.sizes().frames, 0);
}

#[test]
fn an_id_of_the_publishers_is_known_while_its_event_is_there() {
    let mut world = world(History {
        count: 2,
        ..History::default()
    });
    world.publish_as(&["t", "u"], "x", None, Some("mine"));
    world.publish_as(&["t"], "x", None, Some("other"));
    assert_eq!(world.table.resolve("mine"), Some(1));
    world.publish_many("t", 2, "x");
    assert_eq!(world.table.resolve("mine"), Some(1), "`u` has it still");
    assert_eq!(world.table.resolve("other"), None);
    // Used again: the newest counts, also when the older one lapses.
    world.publish_as(&["u"], "x", None, Some("mine"));
    assert_eq!(world.table.resolve("mine"), Some(5));
    world.publish(&["u"], "x");
    assert_eq!(world.table.resolve("mine"), Some(5));
    world.publish_many("u", 2, "x");
    assert_eq!(world.table.resolve("mine"), None);
    // Used again for an event that nobody keeps.
    let mut world = World::new(HubOptions {
        topics: vec![("live".into(), History::NONE)],
        ..HubOptions::default()
    });
    world.publish_as(&["t"], "x", None, Some("mine"));
    world.publish_as(&["live"], "x", None, Some("mine"));
    assert_eq!(world.table.resolve("mine"), None);
}

#[test]
fn frames_are_freed_outside_the_lock() {
    let mut world = world(History {
        count: 1,
        ..History::default()
    });
    world.publish(&["t"], "x");
    let frame = Frame::new(
        &crate::event::Fields {
            data: Some("y"),
            ..Default::default()
        },
        None,
    );
    let mut fx = Effects::default();
    world.table.append(&["t"], frame, 0, &mut fx);
    assert_eq!(fx.garbage.len(), 1);
    assert_eq!(Arc::strong_count(&fx.garbage[0]), 1);
}

#[test]
fn a_cursor_is_small() {
    // Thousands of connections have one each.
    assert!(size_of::<Cursor>() <= 96, "{}", size_of::<Cursor>());
}

#[test]
fn whoever_comes_anew_gets_the_history_and_no_more() {
    let mut world = world(History {
        count: 2,
        ..History::default()
    });
    let mut reader = world.attach(&terms(&["t"], Start::Head));
    world.publish_many("t", 5, "x");
    // All five are kept for the one who was there.
    let mut earliest = world.attach(&terms(&["t"], Start::Earliest));
    assert_eq!(world.read_all(&mut earliest), events(4..=5));
    let mut returning = world.attach(&terms(&["t"], after(1)));
    let got = world.read_all(&mut returning);
    assert_eq!(got[0], Got::Gap("expired", 3));
    assert_eq!(got[1..], events(4..=5));
    let mut unknown = world.attach(&terms(&["t"], Start::After("?".into())));
    let got = world.read_all(&mut unknown);
    assert_eq!(got[0], Got::Gap("unknown", 3));
    assert_eq!(got[1..], events(4..=5));
    assert_eq!(world.read_all(&mut reader), events(1..=5));
}

#[test]
fn whoever_begins_with_the_oldest_comes_back_without_a_gap() {
    let mut world = world(History {
        count: 2,
        ..History::default()
    });
    for topic in ["t", "other"] {
        world.publish_many(topic, 5, "x");
    }
    world.pass(1000);
    let topics: [&[&str]; 4] = [&["t"], &["never"], &["other"], &["t", "never"]];
    for topics in topics {
        let mut earliest = world.attach(&terms(topics, Start::Earliest));
        let announced = earliest.announced().expect("no gap comes first");
        // Cut off before anything but the opening block came.
        let mut returning = world.attach(&terms(topics, after(announced)));
        let got = world.read_all(&mut returning);
        assert_eq!(got, world.read_all(&mut earliest), "{topics:?}");
        let expected = if topics == ["never"] { 0 } else { 2 };
        assert_eq!(got.len(), expected, "{topics:?}: {got:?}");
    }
}

#[test]
fn where_nothing_is_left_to_begin_with_nothing_is_missed() {
    let mut world = world(History {
        count: 2,
        age: Some(1000),
        ..History::default()
    });
    world.publish_many("t", 5, "x");
    world.pass(60_000);
    let mut earliest = world.attach(&terms(&["t"], Start::Earliest));
    assert_eq!(earliest.announced(), Some(5));
    assert_eq!(world.read_all(&mut earliest), []);
    let mut returning = world.attach(&terms(&["t"], after(5)));
    assert_eq!(world.read_all(&mut returning), []);
}
