//! A writer's turns on the processor. A broadcast takes many milliseconds, and systems let a thread that has begun to
//! work go on for several: so long would the host's own threads wait, where processors are scarce.

use std::cell::Cell;
use std::thread::yield_now;
use std::time::Instant;

/// When to give way to others.
#[derive(Debug)]
pub(crate) struct Turns {
    // Until then it is not given away: others have just had it for as long. Where they want it all the time, each gets
    // half.
    kept_until: Cell<Instant>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self {
            kept_until: Cell::new(Instant::now()),
        }
    }

    /// In the middle of long work: lets whoever waits for the processor have it, unless that was for long only just now.
    pub(crate) fn give_way(&self) {
        self.give(Instant::now, yield_now);
    }

    fn give(&self, now: impl Fn() -> Instant, give_way: impl FnOnce()) {
        let given = now();
        if given < self.kept_until.get() {
            return;
        }
        give_way();
        let back = now();
        self.kept_until.set(back + (back - given));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn whoever_takes_long_gets_no_more_than_half() {
        let clock = Cell::new(Instant::now());
        let pass = |time| clock.set(clock.get() + Duration::from_micros(time));
        let turns = Turns::new();
        pass(1);
        let (mut ours, mut others) = (0, 0);
        for _ in 0..1000 {
            turns.give(
                || clock.get(),
                || {
                    pass(4000);
                    others += 4000;
                },
            );
            pass(200);
            ours += 200;
        }
        assert!(ours >= others - 4000, "{ours} and {others}");
        assert!(ours <= others + 4200, "{ours} and {others}");
    }

    #[test]
    fn where_nobody_waits_it_is_asked_each_time() {
        let clock = Cell::new(Instant::now());
        let turns = Turns::new();
        let mut asked = 0;
        for _ in 0..10 {
            clock.set(clock.get() + Duration::from_micros(200));
            turns.give(|| clock.get(), || asked += 1);
        }
        assert_eq!(asked, 10);
    }
}
