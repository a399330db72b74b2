//! A timer wheel: what is due is found without looking at what is not.

use crate::topic::Millis;

/// The slots of one turn. What is due later goes round again.
const SLOTS: u64 = 1024;
/// How many items an empty slot has room for.
const KEPT_CAPACITY: usize = 16;

/// Items to be looked at again at some time. An item is entered at most once at a time, by its owner's care.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    // One bag of items per tick of the present turn.
    slots: Vec<Vec<(Millis, T)>>,
    // The resolution: how late an item may come out.
    width: Millis,
    // The next tick to look at: everything before it is done.
    tick: u64,
}

impl<T> Wheel<T> {
    pub(crate) fn new(width: Millis) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            width,
            tick: 0,
        }
    }

    /// Enters an item, to be given back by [`Self::pop`] soon after `due`.
    pub(crate) fn insert(&mut self, due: Millis, item: T) {
        // Rounded up: an item never comes out before it is due. One slot less than a turn: what is entered while a
        // slot is being emptied must not land in that slot.
        let tick = due
            .div_ceil(self.width)
            .clamp(self.tick, self.tick + SLOTS - 2);
        let slot = usize::try_from(tick % SLOTS).unwrap_or(0);
        self.slots[slot].push((due, item));
    }

    /// The next item that is due, and when it was; or `None`.
    pub(crate) fn pop(&mut self, now: Millis) -> Option<(Millis, T)> {
        let last = now / self.width;
        // After a long pause one turn of the wheel sees every slot.
        self.tick = self.tick.max((last + 1).saturating_sub(SLOTS));
        while self.tick <= last {
            let slot = usize::try_from(self.tick % SLOTS).unwrap_or(0);
            while let Some((due, item)) = self.slots[slot].pop() {
                if due <= now {
                    return Some((due, item));
                }
                self.tick += 1;
                self.insert(due, item);
                self.tick -= 1;
            }
            // The room that a rush of topics took is not kept.
            self.slots[slot].shrink_to(KEPT_CAPACITY);
            self.tick += 1;
        }
        None
    }
}

impl<T> Wheel<T> {
    /// When to call [`Self::pop`] next: nothing comes out before.
    pub(crate) fn next(&self) -> Option<Millis> {
        (self.tick..self.tick + SLOTS)
            .find(|tick| !self.slots[usize::try_from(tick % SLOTS).unwrap_or(0)].is_empty())
            .map(|tick| tick * self.width)
    }
}

#[cfg(test)]
impl<T> Wheel<T> {
    pub(crate) fn len(&self) -> usize {
        self.slots.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Millis = 256;

    #[test]
    fn items_come_out_once_due_and_not_before() {
        let mut wheel = Wheel::new(TICK);
        for due in [0, 1, 255, 256, 1000, 300_000, 900_000] {
            wheel.insert(due, due);
        }
        let mut seen = Vec::new();
        for now in (0..1_000_000).step_by(97) {
            while let Some((_, due)) = wheel.pop(now) {
                assert!(due <= now && now - due < 2 * TICK, "{due} at {now}");
                seen.push(due);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 255, 256, 1000, 300_000, 900_000]);
    }

    #[test]
    fn a_long_pause_loses_nothing() {
        let mut wheel = Wheel::new(TICK);
        for due in (0..2_000_000).step_by(1000) {
            wheel.insert(due, due);
        }
        let mut count = 0;
        while wheel.pop(10_000_000).is_some() {
            count += 1;
        }
        assert_eq!(count, 2000);
    }
}
