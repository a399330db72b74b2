//! The way from the writers to the hosts, on a thread of its own: a writer must not wait for a host's lock.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};

use super::reports::{Inbox, Report};

/// Takes reports, for the hosts that are still there.
pub(crate) type Outbox = Sender<(Weak<Inbox>, Report)>;

/// Starts the thread that calls hosts. It ends with the last writer.
pub(crate) fn start() -> io::Result<Outbox> {
    let (outbox, reports) = channel();
    crate::thread::spawn("ssehub-reports", move || run(&reports))?;
    Ok(outbox)
}

fn run(reports: &Receiver<(Weak<Inbox>, Report)>) {
    while let Ok(first) = reports.recv() {
        let mut calls: Vec<Arc<Inbox>> = Vec::new();
        for (inbox, report) in std::iter::once(first).chain(reports.try_iter()) {
            if let Some(inbox) = inbox.upgrade()
                && inbox.put(report)
            {
                calls.push(inbox);
            }
        }
        for inbox in calls {
            // A fault of one host's, which the panic hook has told of, is not to silence the others.
            let _ = catch_unwind(AssertUnwindSafe(|| inbox.wake()));
        }
    }
}
