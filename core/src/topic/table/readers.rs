//! Readers, and whom to tell of what is new to them.

use std::sync::Arc;

use super::{Attached, Effects, Listener, ListenerId, Mail, Name, Table, Topic, TopicId, Wake};
use crate::topic::Millis;

impl Table {
    pub(crate) fn add_listener(&mut self, wake: Wake, mail: Option<Arc<dyn Mail>>) -> ListenerId {
        let listener = Some(Listener {
            dirty: Vec::new(),
            woken: false,
            wake,
            mail,
        });
        if let Some(free) = self.listeners.iter().position(Option::is_none) {
            self.listeners[free] = listener;
            return free;
        }
        self.listeners.push(listener);
        self.listeners.len() - 1
    }

    /// The listener's readers must be detached before. Its wake-up call is given back, to be dropped outside the lock:
    /// it may be the last to hold something of the host's.
    pub(crate) fn remove_listener(&mut self, id: ListenerId) -> Option<Wake> {
        self.listeners[id].take().map(|listener| listener.wake)
    }

    /// Wakes a listener for a reason other than a frame.
    pub(crate) fn wake(&mut self, id: ListenerId, fx: &mut Effects) {
        if let Some(Some(listener)) = self.listeners.get_mut(id)
            && !listener.woken
        {
            listener.woken = true;
            fx.wakes.push(listener.wake.clone());
        }
    }

    /// The topics that have news for a listener, which is asleep again from now on.
    pub(crate) fn take_dirty(&mut self, id: ListenerId, into: &mut Vec<TopicId>) {
        into.clear();
        let Some(Some(listener)) = self.listeners.get_mut(id) else {
            return;
        };
        listener.woken = false;
        std::mem::swap(&mut listener.dirty, into);
        for topic in into.iter() {
            if let Some(topic) = self.get_mut(*topic)
                && let Some(attached) = topic.listeners.iter_mut().find(|a| a.listener == id)
            {
                attached.told = false;
            }
        }
    }

    /// Attaches a reader: from here on the topic exists, keeps frames for it, and tells its listener.
    pub(crate) fn attach(&mut self, name: &Name, listener: ListenerId, keep: u64) -> TopicId {
        let id = if name.is_pattern {
            self.pattern_or_new(&name.text)
        } else {
            self.topic_or_new(&name.text)
        };
        if let Some(topic) = self.get_mut(id) {
            topic.readers += 1;
            topic.keep = topic.keep.max(keep);
            topic.add_reader(listener);
        }
        id
    }

    /// Tells another listener of what is new for a reader.
    pub(crate) fn switch(&mut self, id: TopicId, from: ListenerId, to: ListenerId) {
        if let Some(topic) = self.get_mut(id) {
            topic.remove_reader(from);
            topic.add_reader(to);
        }
    }

    pub(crate) fn detach(
        &mut self,
        id: TopicId,
        listener: ListenerId,
        now: Millis,
        fx: &mut Effects,
    ) {
        let Some(topic) = self.get_mut(id) else {
            return;
        };
        topic.readers -= 1;
        topic.remove_reader(listener);
        if topic.readers == 0 {
            topic.keep = 0;
            self.expire_topic(id, now, fx);
        }
    }
}

impl Topic {
    fn add_reader(&mut self, listener: ListenerId) {
        match self.listeners.iter_mut().find(|a| a.listener == listener) {
            Some(attached) => attached.readers += 1,
            None => self.listeners.push(Attached {
                listener,
                readers: 1,
                told: false,
            }),
        }
    }

    fn remove_reader(&mut self, listener: ListenerId) {
        if let Some(at) = self.listeners.iter().position(|a| a.listener == listener) {
            self.listeners[at].readers -= 1;
            if self.listeners[at].readers == 0 {
                self.listeners.swap_remove(at);
            }
        }
    }
}
