//! Drains: of a hub, and of one host's streams.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::ends::{bench, come, report};
use super::oracle::Seen;
use super::request;
use crate::delivery::EndReason;
use crate::engine::command::{Command, Group};
use crate::engine::reports::Report;
use crate::registry::Plan;
use crate::shared::State;

#[test]
fn a_drain_that_is_over_says_nothing_of_the_next() {
    let mut bench = bench();
    bench.drain(1_000, 0);
    bench.settle([]);
    bench.hub.resume();
    bench.now += 5_000;
    // The next one has begun, and has not told its plan yet.
    let (client, add) = bench.prepare(&request(&["a"]));
    let last = bench.publish(&["a"], "last", None);
    bench
        .shared
        .state
        .store(State::Draining as u8, Ordering::Release);
    bench.door.send(add);
    bench.settle([&client]);
    assert_eq!(client.seen().1, [Seen::Event(last)]);
    assert!(!client.seen().0.ended, "its end comes with the plan");
    bench.drain(1_000, 0);
    bench.pass(100, [&client]);
    assert!(client.seen().0.ended);
    bench.check_empty();
}

#[test]
fn a_drain_ends_who_can_take_it_and_cuts_the_rest_in_time() {
    let mut bench = bench();
    let good = come(&mut bench, &request(&["a"]));
    let stalled = come(&mut bench, &request(&["a"]));
    stalled.wire.state().room = 10;
    let last = bench.publish(&["a"], "last", None);
    let (late, add) = bench.prepare(&request(&["a"]));
    bench.drain(10_000, 1_000);
    bench.settle([&good, &stalled]);
    bench.door.send(add);
    let all = [&good, &stalled, &late];
    bench.pass(1_100, all);
    assert_eq!(
        good.seen().1,
        [Seen::Event(last), Seen::Other("drain".into())]
    );
    assert_eq!(
        late.seen().1,
        [Seen::Other("drain".into())],
        "it came too late"
    );
    assert!(bench.hub.stats().connections == 1, "one is stalled");
    bench.pass(9_000, all);
    bench.check_empty();
    let reports: Vec<Report> = bench.reports.try_iter().map(|it| it.1).collect();
    assert!(reports.iter().all(|it| it.info.reason == EndReason::Drain));
    assert_eq!(reports.iter().filter(|it| it.clean).count(), 2);
    assert!(!stalled.seen().0.ended);
}

#[test]
fn a_stalled_client_that_wakes_up_in_a_drain_gets_everything() {
    let mut bench = bench();
    let client = come(&mut bench, &request(&["a"]));
    client.wire.state().room = 10;
    let mut owed: Vec<Seen> = (0..50)
        .map(|n| Seen::Event(bench.publish(&["a"], &format!("{n}"), None)))
        .collect();
    bench.drain(10_000, 0);
    bench.pass(5_000, [&client]);
    client.wire.state().room = usize::MAX;
    bench.pass(100, [&client]);
    owed.push(Seen::Other("drain".into()));
    assert_eq!(client.seen().1, owed);
    assert!(report(&bench).clean);
}

#[test]
fn one_host_s_streams_end_and_the_others_go_on() {
    let mut bench = bench();
    let [ends, stays, stalled] = [(); 3].map(|()| come(&mut bench, &request(&["a"])));
    stalled.wire.state().room = 10;
    let last = bench.publish(&["a"], "last", None);
    let other = bench.hub.reports(|| {});
    let farewell: Arc<[u8]> = b"event: farewell\ndata: drain\n\n"[..].into();
    let plan = Arc::new(Plan {
        now: bench.now,
        spread: 0,
        deadline: bench.now + 10_000,
        through: last,
        farewells: [farewell].into(),
    });
    let tags = |clients: &[&super::Client]| clients.iter().map(|it| it.token.to_bits()).collect();
    for (inbox, tags) in [
        (Weak::new(), tags(&[&ends, &stalled])),
        // What its numbers mean is another host's business.
        (Arc::downgrade(other.inbox()), tags(&[&stays])),
    ] {
        let group = Arc::new(Group { inbox, tags });
        bench.door.send(Command::Drain(plan.clone(), Some(group)));
    }
    let after = bench.publish(&["a"], "after", None);
    let late = come(&mut bench, &request(&["a"]));
    let all = [&ends, &stays, &stalled, &late];
    bench.pass(100, all);
    let end = Seen::Other("drain".into());
    let [last, after] = [last, after].map(Seen::Event);
    assert_eq!(ends.seen().1, [last.clone(), after.clone(), end]);
    assert_eq!(report(&bench).info.reason, EndReason::Drain);
    bench.pass(10_000, all);
    let cut = report(&bench);
    assert_eq!((cut.info.reason, cut.clean), (EndReason::Drain, false));
    assert_eq!(stays.seen().1, [last, after]);
    assert!(!stays.seen().0.ended && !late.seen().0.ended);
    assert!(bench.reports.try_recv().is_err());
}
