//! What the engine takes of its process, and gives back: descriptors and threads. In a process of its own, where nobody
//! else opens any, and one test after the other.
#![cfg(target_os = "linux")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod common;

use std::fs;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ssehub::{EndReason, Slot};

use common::{Ask, Client, PATIENCE, Server, Via, ask, quiet, wait_until};

/// Waits until no other test runs, and nothing of one is left.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    wait_until(|| threads().is_empty());
    alone
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("Linux").count()
}

fn highest() -> u64 {
    let all = fs::read_dir("/proc/self/fd").expect("Linux");
    let numbers = all.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    numbers.max().expect("there are some")
}

/// The number that the next descriptor gets.
fn lowest_free() -> u64 {
    let next = fs::File::open("/dev/null").expect("there is one");
    std::os::fd::AsRawFd::as_raw_fd(&next).unsigned_abs().into()
}

/// How many descriptors all pollers of this process watch.
fn watched() -> usize {
    let infos = fs::read_dir("/proc/self/fdinfo").expect("Linux");
    infos
        .filter_map(|info| fs::read_to_string(info.ok()?.path()).ok())
        .map(|info| info.lines().filter(|line| line.starts_with("tfd:")).count())
        .sum()
}

/// The engine's threads, by name.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let mut names: Vec<String> = tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with("ssehub-") && name != "ssehub-clock")
        .collect();
    names.sort();
    names
}

#[test]
fn descriptors_come_back() {
    let _alone = alone();
    let mut server = Server::new(quiet());
    let (_, _, first) = server.open(&ask(&["a"]));
    drop(first);
    server.wait_for(0);
    let before = descriptors();
    for cycle in 0..2_000_u32 {
        let kind = Ask {
            via: if cycle % 2 == 0 { Via::Tcp } else { Via::Unix },
            held: cycle % 3 == 1,
            dummy: cycle % 3 == 2,
            ..ask(&["a"])
        };
        let (token, mut end, client) = server.begin(&kind);
        let tag = server.hand_off(&kind, token, &end).expect("a good socket");
        if kind.dummy {
            end.write_all(b"0\r\n\r\n").expect("nobody minds");
        }
        if cycle % 5 == 0 {
            drop(client);
        }
        if cycle % 7 == 0 {
            let kicked = server.hub.disconnect(None, Some("a"), None);
            kicked.expect("valid");
        }
        let held = kind.held.then_some(end);
        if held.is_some() {
            server.reports.remove(tag, EndReason::Client);
        } else if cycle % 5 != 0 {
            server.hub.disconnect(None, Some("a"), None).expect("valid");
        }
        server.report(tag);
    }
    assert_eq!(server.others(), 1, "the first");
    server.wait_for(0);
    wait_until(|| descriptors() <= before);
    assert_eq!(descriptors(), before);
}

#[test]
fn a_connection_that_its_server_keeps_is_not_watched_any_more() {
    let _alone = alone();
    let mut server = Server::new(quiet());
    let kind = Ask {
        held: true,
        ..ask(&["a"])
    };
    let (tag, first, _client) = server.open(&kind);
    let with_one = watched();
    let (other, second, _other_client) = server.open(&kind);
    assert!(watched() > with_one);
    server.reports.remove(other, EndReason::Client);
    server.report(other);
    wait_until(|| watched() == with_one);
    server.reports.remove(tag, EndReason::Client);
    wait_until(|| watched() < with_one);
    drop((first, second));
}

#[test]
fn with_the_hub_its_writers_go_and_their_sockets() {
    let _alone = alone();
    let before = descriptors();
    let mut options = quiet();
    options.shards = 2;
    let mut server = Server::new(options);
    assert!(threads().is_empty(), "nothing starts before it is needed");
    let mut clients: Vec<Client> = (0..20).map(|_| server.open(&ask(&["a"])).2).collect();
    // The server goes on to hold these.
    let kind = Ask {
        held: true,
        ..ask(&["a"])
    };
    let (_, held, mut holding) = server.open(&kind);
    // A thread names itself.
    wait_until(|| threads() == ["ssehub-reports", "ssehub-writer-0", "ssehub-writer-1"]);
    // One that has perhaps not reached its writer yet.
    let (token, end, mut late) = server.begin(&ask(&["a"]));
    server
        .hand_off(&ask(&["a"]), token, &end)
        .expect("a good socket");
    drop(end);
    drop(server);
    for client in clients.iter_mut().chain([&mut holding, &mut late]) {
        assert!(client.rest().is_empty());
        assert!(client.closed && !client.terminated);
    }
    drop((clients, holding, late, held));
    wait_until(|| threads().is_empty());
    assert_eq!(descriptors(), before);
}

#[test]
fn an_engine_that_cannot_start_whole_leaves_nothing() {
    let _alone = alone();
    let mut options = quiet();
    options.shards = 4;
    let mut server = Server::new(options);
    let (token, end, mut client) = server.begin(&ask(&["a"]));
    // The first one makes what all others are copies of.
    drop(Slot::reserve(false).expect("there is one"));
    let before = descriptors();
    let former = getrlimit(Resource::Nofile);
    for more in 3..9 {
        let how = ssehub::HandOff {
            framing: ssehub::Framing::Chunked,
            held: false,
            snapshot: false,
            tag: 1,
            label: "/".into(),
        };
        let slot = Slot::reserve(false).expect("there is one");
        // Enough for some of the writers, each of which has a poller and a waker.
        let few = Rlimit {
            current: Some(lowest_free() + more),
            ..former
        };
        setrlimit(Resource::Nofile, few).expect("less is allowed");
        let fd = std::os::fd::AsRawFd::as_raw_fd(&end);
        let refused = server
            .selector
            .hand_off(token, slot, fd, how, &server.reports);
        setrlimit(Resource::Nofile, former).expect("back to what it was");
        assert!(refused.is_err(), "with {more} descriptors");
        wait_until(|| threads().is_empty() && descriptors() == before);
    }
    server
        .hand_off(&ask(&["a"]), token, &end)
        .expect("there are enough now");
    server.publish("a", "x");
    assert_eq!(client.next().as_deref(), Some("x"));
}

#[test]
fn a_reserved_slot_is_enough_when_descriptors_run_out() {
    let _alone = alone();
    let mut server = Server::new(quiet());
    let (_, _, first) = server.open(&ask(&["a"]));
    let (token, end, mut client) = server.begin(&ask(&["a"]));
    let slots = [false, true].map(|dummy| Slot::reserve(dummy).expect("there are some"));
    let former = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(highest() + 1),
        ..former
    };
    setrlimit(Resource::Nofile, few).expect("less is allowed");
    let all: Vec<fs::File> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    let reserved = [false, true].map(Slot::reserve);
    let held_back = {
        let [_, slot] = slots;
        let how = ssehub::HandOff {
            framing: ssehub::Framing::Chunked,
            held: false,
            snapshot: false,
            tag: 100,
            label: "/".into(),
        };
        let fd = std::os::fd::AsRawFd::as_raw_fd(&end);
        server
            .selector
            .hand_off(token, slot, fd, how, &server.reports)
    };
    drop(all);
    setrlimit(Resource::Nofile, former).expect("back to what it was");
    assert!(reserved.iter().all(Result::is_err), "none is free");
    held_back.expect("it has its own");
    server.publish("a", "x");
    assert_eq!(client.next().as_deref(), Some("x"));
    server
        .hub
        .drain(Duration::from_secs(5), Duration::ZERO, None);
    assert!(server.hub.wait_drained(PATIENCE));
    drop(first);
}
