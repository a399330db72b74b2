//! A thread that drops what has expired while nobody calls.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::shared::Shared;
use crate::topic::table::Effects;

/// How often an idle hub drops what has expired.
const PERIOD: Duration = Duration::from_millis(500);
/// How many topics one such round looks at per turn of the lock.
const TOPICS: usize = 256;

/// Starts the thread, unless it runs. It ends by itself when nothing is retained, or the hub is gone.
pub(crate) fn start(shared: &Arc<Shared>) {
    if shared.clock.swap(true, Ordering::AcqRel) {
        return;
    }
    let hub = Arc::downgrade(shared);
    if crate::thread::spawn("ssehub-clock", move || run(&hub)).is_err() {
        // No thread to be had: each call still drops a few. Try again with a later one.
        shared.clock.store(false, Ordering::Release);
    }
}

fn run(hub: &Weak<Shared>) {
    loop {
        std::thread::sleep(PERIOD);
        let Some(hub) = hub.upgrade() else { return };
        loop {
            let mut fx = Effects::default();
            let more = hub.table().expire(hub.now(), TOPICS, &mut fx);
            fx.run();
            if !more {
                break;
            }
        }
        if hub.table().sizes().frames == 0 {
            hub.clock.store(false, Ordering::Release);
            // Unless something was published while the clock seemed to run, and nobody has started another since.
            if hub.table().sizes().frames == 0 || hub.clock.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}
