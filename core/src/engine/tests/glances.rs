//! What comes while a broadcast to thousands is under way: private messages, commands, more than the mailbox takes.

use std::sync::{Arc, Mutex};

use super::oracle::{Owed, Seen, check};
use super::{Bench, Client, GIVEN_WAY, Request, publish, request};
use crate::hub::Hub;
use crate::options::HubOptions;

const CROWD: usize = 5_000;

fn bench(mail: usize) -> Bench {
    let mut options = HubOptions {
        heartbeat: None,
        ..HubOptions::default()
    };
    options.history.bytes = 8 << 20;
    options.max_lag = 8 << 20;
    Bench::new(options, mail)
}

/// So many clients of a topic, all of them live.
fn crowd(bench: &mut Bench, count: usize, asks: &[Request]) -> Vec<Client> {
    let clients: Vec<Client> = (0..count)
        .map(|at| bench.open(&asks[at % asks.len()]))
        .collect();
    bench.settle([]);
    clients
}

fn sent(client: &Client) -> Vec<u64> {
    let (_, seen, _) = client.seen();
    seen.iter()
        .filter_map(|it| match it {
            Seen::Event(seq) => Some(*seq),
            _ => None,
        })
        .collect()
}

/// Publishes before the n-th send from now. The event's number, once it has one.
fn publish_during(
    bench: &Bench,
    sends: usize,
    topic: &'static str,
    data: String,
) -> Arc<Mutex<Option<u64>>> {
    let seq = Arc::new(Mutex::new(None));
    let (hub, told): (Hub, _) = (bench.hub.clone(), seq.clone());
    bench.during.plan(sends, move || {
        *told.lock().expect("no panics") = Some(publish(&hub, &[topic], &data, None));
    });
    seq
}

#[test]
fn a_private_message_does_not_wait_for_a_broadcast_to_end() {
    let mut bench = bench(1 << 20);
    let clients = crowd(&mut bench, CROWD, &[request(&["all"])]);
    let private = crowd(&mut bench, 1, &[request(&["me"])]).remove(0);
    let both = crowd(&mut bench, 1, &[request(&["all", "me"])]).remove(0);
    bench.during.start();
    let all = bench.publish(&["all"], "everybody", None);
    let message = publish_during(&bench, 100, "me", "you".into());
    bench.settle(&clients);
    let message = message.lock().expect("no panics").expect("published");
    assert_eq!(sent(&private), [message]);
    assert_eq!(sent(&both), [all, message], "in order");
    for client in [&private, &both] {
        let after = client.wire.state().last_send;
        assert!(after < 100 + 100, "after {after} sends");
    }
    assert!(bench.during.sends() > CROWD);
    assert!(clients.iter().all(|client| sent(client) == [all]));
}

#[test]
fn other_threads_need_not_wait_for_a_broadcast_to_end() {
    let mut bench = bench(1 << 20);
    let clients = crowd(&mut bench, CROWD, &[request(&["all"])]);
    let before = GIVEN_WAY.get();
    bench.publish(&["all"], "everybody", None);
    bench.settle(&clients);
    let given = GIVEN_WAY.get() - before;
    assert!(given >= CROWD / 100, "{given} times");
    // A few sends are no work that others would notice.
    let before = GIVEN_WAY.get();
    let few = crowd(&mut bench, 10, &[request(&["few"])]);
    bench.publish(&["few"], "somebody", None);
    bench.settle(&few);
    assert_eq!(GIVEN_WAY.get(), before);
}

#[test]
fn the_second_private_message_does_not_wait_either() {
    let mut bench = bench(1 << 20);
    let clients = crowd(&mut bench, CROWD, &[request(&["all"])]);
    let private = crowd(&mut bench, 1, &[request(&["me"])]).remove(0);
    let both = crowd(&mut bench, 1, &[request(&["all", "me"])]).remove(0);
    bench.during.start();
    bench.publish(&["all"], "everybody", None);
    for sends in [100, 1_000, 2_000] {
        publish_during(&bench, sends, "me", format!("{sends}"));
    }
    bench.settle(&clients);
    for client in [&private, &both] {
        let after = client.wire.state().last_send;
        assert!(after < 2_000 + 100, "after {after} sends");
    }
    assert_eq!(sent(&private).len(), 3);
    assert!(bench.during.sends() > CROWD);
}

#[test]
fn a_private_message_does_not_wait_for_a_broadcast_to_begin() {
    let mut bench = bench(1 << 20);
    let clients = crowd(&mut bench, CROWD, &[request(&["all"])]);
    let private = crowd(&mut bench, 1, &[request(&["me"])]).remove(0);
    bench.during.start();
    bench.publish(&["all"], "everybody", None);
    bench.publish(&["me"], "you", None);
    bench.settle(&clients);
    let after = private.wire.state().last_send;
    assert!(after < 200, "after {after} sends");
}

#[test]
fn what_comes_after_an_overflow_does_not_overtake_what_was_in_it() {
    let mut bench = bench(1_000);
    let clients = crowd(
        &mut bench,
        1_000,
        &[request(&["all"]), request(&["all", "me"])],
    );
    let mut owed = vec![bench.publish(&["all"], "first", None)];
    bench.during.start();
    let mut more = vec![publish_during(&bench, 10, "all", "before".into())];
    for _ in 0..12 {
        more.push(publish_during(&bench, 300, "all", "x".repeat(100)));
    }
    more.push(publish_during(&bench, 600, "all", "after".into()));
    bench.settle(&clients);
    owed.extend(
        more.iter()
            .map(|seq| seq.lock().expect("no panics").expect("published")),
    );
    for client in &clients {
        let (_, seen, _) = client.seen();
        let owed: Vec<Owed> = owed.iter().map(|seq| Owed::new(*seq)).collect();
        check(&seen, &owed, u64::MAX);
    }
}

#[test]
fn a_drain_that_begins_in_a_broadcast_waits_for_what_was_published_before_it() {
    let mut bench = bench(1 << 20);
    let clients = crowd(&mut bench, 1_000, &[request(&["all"])]);
    let mut owed = vec![bench.publish(&["all"], "first", None)];
    bench.during.start();
    let last = publish_during(&bench, 10, "all", "last".into());
    let (door, shared) = (bench.door.clone(), bench.shared.clone());
    bench
        .during
        .plan(20, move || super::drain(&door, &shared, 0, 60_000, 0));
    bench.settle(&clients);
    bench.pass(100, &clients);
    owed.push(last.lock().expect("no panics").expect("published"));
    for client in &clients {
        let (body, seen, _) = client.seen();
        let owed: Vec<Owed> = owed.iter().map(|seq| Owed::new(*seq)).collect();
        check(&seen, &owed, u64::MAX);
        assert!(body.ended);
    }
    bench.check_empty();
}

#[test]
fn a_heartbeat_that_is_due_then_does_not_end_anybody_sooner() {
    let mut bench = bench(1 << 20);
    let mut ask = request(&["all"]);
    ask.stream.heartbeat = Some(1_000);
    let clients = crowd(&mut bench, 600, &[ask]);
    let first = bench.publish(&["all"], "first", None);
    bench.now += 2_000;
    bench.during.start();
    let last = publish_during(&bench, 300, "all", "last".into());
    let (door, shared, now) = (bench.door.clone(), bench.shared.clone(), bench.now);
    bench
        .during
        .plan(310, move || super::drain(&door, &shared, now, 60_000, 0));
    bench.settle(&clients);
    bench.pass(100, &clients);
    let last = last.lock().expect("no panics").expect("published");
    for client in &clients {
        assert_eq!(sent(client), [first, last]);
    }
    bench.check_empty();
}

#[test]
fn the_mail_that_waits_for_a_broadcast_is_bounded() {
    let mut bench = bench(10_000);
    let clients = crowd(&mut bench, 3_000, &[request(&["all"])]);
    let first = bench.publish(&["all"], "first", None);
    bench.during.start();
    let mut owed = vec![first];
    let mut more = Vec::new();
    for sends in (200..2_900).step_by(20) {
        more.push(publish_during(&bench, sends, "all", "x".repeat(1_000)));
    }
    bench.turn();
    let waiting: usize = bench
        .connections
        .next
        .mail
        .iter()
        .map(|it| it.frame.len())
        .sum();
    assert!(waiting <= 20_000, "{waiting} bytes");
    bench.settle(&clients);
    owed.extend(
        more.iter()
            .map(|seq| seq.lock().expect("no panics").expect("published")),
    );
    for client in &clients {
        let (_, seen, _) = client.seen();
        let owed: Vec<Owed> = owed.iter().map(|seq| Owed::new(*seq)).collect();
        check(&seen, &owed, u64::MAX);
    }
}

#[test]
fn commands_are_obeyed_in_the_middle_of_a_broadcast() {
    let mut bench = bench(1 << 20);
    let clients = crowd(&mut bench, CROWD, &[request(&["all"])]);
    let all = bench.publish(&["all"], "everybody", None);
    bench.during.start();
    let last = &clients[CROWD - 1];
    let (hub, door, key) = (bench.hub.clone(), bench.door.clone(), last.key.clone());
    bench.during.plan(100, move || {
        super::kick(&hub, &door, &key, Some("bye"));
    });
    bench.settle(&clients);
    let (body, seen, _) = last.seen();
    assert!(body.ended);
    assert_eq!(seen, [Seen::Event(all), Seen::Other("bye".into())]);
    let after = last.wire.state().last_send;
    assert!(after < 100 + 100, "after {after} sends");
    bench.drain(1_000, 0);
    bench.pass(100, &clients);
    bench.check_empty();
}
