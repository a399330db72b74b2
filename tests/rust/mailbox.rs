//! The mailbox between publishers and a writer, in every order that its steps can have: a writer that was told that it
//! may sleep is woken for whatever comes after that. A lost wake-up call would be a deadlock here, and loom finds those.

#[expect(
    dead_code,
    reason = "the engine's own file, of which a test needs but a part"
)]
#[path = "../../core/src/engine/mailbox.rs"]
mod mailbox;

/// In place of the standard library's locks.
mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
}

use std::collections::BTreeSet;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use mailbox::{Content, Mailbox};

/// What a poller's waker is: a call that comes before the wait is not lost.
#[derive(Default)]
struct Waker {
    called: Mutex<bool>,
    condvar: Condvar,
}

impl Waker {
    fn wake(&self) {
        *self.called.lock().expect("no panics") = true;
        self.condvar.notify_one();
    }

    fn wait(&self) {
        let mut called = self.called.lock().expect("no panics");
        while !*called {
            called = self.condvar.wait(called).expect("no panics");
        }
        *called = false;
    }
}

struct Door {
    mailbox: Mailbox<u32, u32>,
    waker: Waker,
}

/// What a publisher or a host does.
#[derive(Clone, Copy)]
enum Act {
    /// Mail of so many bytes.
    Push(u32, usize),
    Command(u32),
}

impl Door {
    fn act(&self, act: Act) {
        let asleep = match act {
            Act::Push(mail, bytes) => self.mailbox.push(mail, bytes),
            Act::Command(command) => self.mailbox.command(command),
        };
        if asleep {
            self.waker.wake();
        }
    }
}

/// What the writer found, until all of it was there.
#[derive(Default)]
struct Found {
    mail: Vec<u32>,
    commands: Vec<u32>,
    // How much of the mail came before each.
    places: Vec<usize>,
    overflows: usize,
}

/// The writer's loop, as the engine has it, for as long as `is_all` says that more must come.
fn write(door: &Door, is_all: impl Fn(&Found) -> bool) -> Found {
    let mut found = Found::default();
    let mut content = Content::default();
    loop {
        door.mailbox.wake();
        door.mailbox.take(&mut content);
        for (place, command) in content.commands.drain(..) {
            found.places.push(found.mail.len() + place);
            found.commands.push(command);
        }
        found.mail.append(&mut content.mail);
        found.overflows += usize::from(std::mem::take(&mut content.overflowed));
        if is_all(&found) {
            return found;
        }
        if door.mailbox.sleep() {
            door.waker.wait();
        }
    }
}

/// Runs a writer and others who do these acts, in every order.
fn explore(
    limit: usize,
    others: &'static [&'static [Act]],
    is_all: fn(&Found) -> bool,
    examine: fn(Found),
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let door = Arc::new(Door {
            mailbox: Mailbox::new(limit),
            waker: Waker::default(),
        });
        let threads: Vec<_> = others
            .iter()
            .map(|acts| {
                let door = door.clone();
                thread::spawn(move || acts.iter().for_each(|act| door.act(*act)))
            })
            .collect();
        examine(write(&door, is_all));
        for thread in threads {
            thread.join().expect("no panics");
        }
    });
}

#[test]
fn no_wake_up_call_is_lost() {
    explore(
        100,
        &[
            &[Act::Push(1, 1), Act::Push(2, 1)],
            &[Act::Command(3), Act::Push(4, 1)],
        ],
        |found| found.mail.len() == 3 && found.commands.len() == 1,
        |found| {
            let mail: BTreeSet<u32> = found.mail.iter().copied().collect();
            assert_eq!(mail, BTreeSet::from([1, 2, 4]), "each once");
            let order = |it| found.mail.iter().position(|mail| *mail == it);
            assert!(order(1) < order(2), "in order");
            assert_eq!((&found.commands[..], found.overflows), (&[3][..], 0));
            assert!(
                found.places[0] <= order(4).expect("found"),
                "before what came after it"
            );
        },
    );
}

#[test]
fn whoever_sleeps_is_woken_for_an_overflow() {
    explore(
        10,
        &[&[Act::Push(1, 11)], &[Act::Command(2)]],
        |found| found.overflows == 1 && found.commands.len() == 1,
        |found| assert!(found.mail.is_empty()),
    );
}

#[test]
fn what_is_missing_has_overflowed() {
    // Each mail is as much as there is room for.
    explore(
        10,
        &[
            &[Act::Push(1, 10), Act::Push(2, 10), Act::Command(1)],
            &[Act::Push(3, 10), Act::Command(2)],
        ],
        |found| found.commands.len() == 2,
        |found| assert!(found.mail.len() == 3 || found.overflows > 0),
    );
}
