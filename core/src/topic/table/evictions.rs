//! What the logs drop: over a history's limits, over the budget that all share, or too old.

use std::collections::HashMap;

use super::{Effects, Table, TopicId};
use crate::topic::Millis;
use crate::topic::frame::Frame;

/// How late a history's oldest frame may be dropped, in milliseconds.
pub(super) const EXPIRY_TICK: Millis = 256;
/// A topic whose expired frames are held by readers is not looked at again sooner, in milliseconds.
const EXPIRY_PAUSE: Millis = 1000;
/// However long its history, a topic is looked at after so long: one that has vanished leaves its entry in the wheel
/// until then.
const EXPIRY_LOOK: Millis = 60_000;

impl Table {
    /// Brings one log within its limits, and sees to it that somebody looks at it again.
    pub(super) fn evict(&mut self, id: TopicId, now: Millis, fx: &mut Effects) {
        let Some(topic) = self.places[id.index as usize].topic.as_mut() else {
            return;
        };
        while let Some(frame) = topic.log.evict(now, topic.keep) {
            if frame.leave_log() {
                self.frames -= 1;
                self.bytes -= frame.len();
                forget_custom_id(&mut self.custom_ids, &frame);
            }
            fx.garbage.push(frame);
        }
        if !topic.in_wheel
            && let Some(expiry) = topic.log.expiry()
        {
            topic.in_wheel = true;
            let due = if expiry <= now {
                now + EXPIRY_PAUSE
            } else {
                expiry.min(now + EXPIRY_LOOK)
            };
            self.wheel.insert(due, id);
        }
        if topic.listed.is_none()
            && let Some(oldest) = topic.log.oldest()
        {
            topic.listed = Some(oldest);
            self.oldest.insert((oldest, id));
        }
    }

    /// Drops the oldest frames of all until the histories are within their common budget.
    pub(super) fn enforce_budget(&mut self, fx: &mut Effects) {
        while self.bytes > self.options.limits.history_bytes {
            let Some((seq, id)) = self.oldest.pop_first() else {
                return;
            };
            let Some(topic) = self.get_mut(id) else {
                continue;
            };
            topic.listed = None;
            if topic.log.oldest() == Some(seq)
                && let Some(frame) = topic.log.evict_oldest()
            {
                if frame.leave_log() {
                    self.frames -= 1;
                    self.bytes -= frame.len();
                    forget_custom_id(&mut self.custom_ids, &frame);
                }
                fx.garbage.push(frame);
            }
            if let Some(topic) = self.get_mut(id)
                && let Some(oldest) = topic.log.oldest()
            {
                topic.listed = Some(oldest);
                self.oldest.insert((oldest, id));
            }
            self.vanish_if_idle(id);
        }
    }

    /// Drops expired frames of at most so many topics. Whether some may be left.
    pub(crate) fn expire(&mut self, now: Millis, mut topics: usize, fx: &mut Effects) -> bool {
        while topics > 0 {
            let Some((_, id)) = self.wheel.pop(now) else {
                return false;
            };
            topics -= 1;
            if let Some(topic) = self.get_mut(id) {
                topic.in_wheel = false;
                self.expire_topic(id, now, fx);
            }
        }
        true
    }

    /// Drops expired frames of one topic.
    pub(crate) fn expire_topic(&mut self, id: TopicId, now: Millis, fx: &mut Effects) {
        if self.get(id).is_some() {
            self.evict(id, now, fx);
            self.vanish_if_idle(id);
        }
    }
}

fn forget_custom_id(custom_ids: &mut HashMap<Box<str>, u64>, frame: &Frame) {
    if let Some(id) = &frame.custom_id
        && custom_ids.get(id) == Some(&frame.seq)
    {
        custom_ids.remove(id);
    }
}
