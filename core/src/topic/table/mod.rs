//! All topics of a hub: names, numbers, budgets, and what is remembered of topics that are gone.
//!
//! Active patterns stand in the same table as topics do: a pattern has a log of its own that gets every frame of every
//! topic it matches, for as long as it has readers. So a pattern reader costs one log to read, whatever it matches,
//! and keeps no topic alive.
//!
//! ```text
//! append ------+                                            +-> evictions.rs: what they drop
//!              +-> places.rs: topics, new or known -> logs -+
//! readers.rs --+                                            +-> queries.rs: what they hold
//! ```

mod evictions;
mod places;
mod queries;
mod readers;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use self::evictions::EXPIRY_TICK;
use crate::id::EventId;
use crate::options::HubOptions;
use crate::topic::Millis;
use crate::topic::frame::Frame;
use crate::topic::log::Log;
use crate::topic::tombstones::Tombstones;
use crate::topic::wheel::Wheel;

/// How many topics one call looks at for expired frames besides its own.
const EXPIRE_PER_CALL: usize = 8;

/// A place in the table. A topic that vanishes frees its place; `life` tells its former from its next tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TopicId {
    index: u32,
    life: u32,
}

/// Someone to tell about new frames: one per event loop, thread or shard, not one per reader.
pub(crate) type ListenerId = usize;

/// Where a listener gets the frames themselves, and not only word of the topics that have some.
pub(crate) trait Mail: Send + Sync {
    /// Takes a frame. Whether its owner has to be woken up for it.
    fn push(&self, topic: TopicId, frame: &Arc<Frame>) -> bool;
}

/// Called, outside all locks, when a listener that has nothing to do gets something to do.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

/// A name as a subscription gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: Arc<str>,
    pub(crate) is_pattern: bool,
}

#[derive(Debug)]
struct Topic {
    name: Name,
    log: Log,
    // The active patterns that the name matches, as of `patterns_version`.
    patterns: Vec<TopicId>,
    patterns_version: u64,
    // Attached readers; while there are any, the topic stays and its log keeps `keep` bytes for them.
    readers: u32,
    keep: u64,
    // Whom to tell. A short list (event loops, not readers), so a vector.
    listeners: Vec<Attached>,
    // Whether the topic is in the wheel, where it is at most once.
    in_wheel: bool,
    // The number by which it is in the list of oldest frames.
    listed: Option<u64>,
}

#[derive(Debug)]
struct Attached {
    listener: ListenerId,
    readers: u32,
    // The listener has been told of this topic and has not come yet.
    told: bool,
}

/// One place of the table.
#[derive(Debug, Default)]
struct Place {
    life: u32,
    topic: Option<Topic>,
}

struct Listener {
    // Topics with news.
    dirty: Vec<TopicId>,
    // The wake-up call has been made and not yet answered.
    woken: bool,
    wake: Wake,
    // Where frames go instead of `dirty`.
    mail: Option<Arc<dyn Mail>>,
}

/// What a call leaves to be done once the hub's lock is released: wake-up calls, and frames to free.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) wakes: Vec<Wake>,
    pub(crate) garbage: Vec<Arc<Frame>>,
}

impl Effects {
    /// Does it. Never call it with a lock held: a wake-up call may run code of the host.
    pub(crate) fn run(self) {
        drop(self.garbage);
        for wake in self.wakes {
            wake();
        }
    }
}

/// The topics of one hub.
pub(crate) struct Table {
    epoch: u64,
    // The newest event. The next one is `head + 1`: numbers have no holes.
    head: u64,
    names: HashMap<Arc<str>, TopicId>,
    patterns: HashMap<Arc<str>, TopicId>,
    // Grows with each pattern that comes or goes; topics compare before they use their own list.
    patterns_version: u64,
    places: Vec<Place>,
    free: Vec<u32>,
    listeners: Vec<Option<Listener>>,
    tombstones: Tombstones,
    // Ids that publishers chose, as long as their event is retained.
    custom_ids: HashMap<Box<str>, u64>,
    // Which topic to look at for expired frames, and when.
    wheel: Wheel<TopicId>,
    // Which topic holds the oldest frame. An entry may be out of date; it is put right when its turn comes. It leaves
    // with its topic: short-lived ones would fill the list.
    oldest: BTreeSet<(u64, TopicId)>,
    // Frames and bytes in logs, each frame counted once.
    frames: usize,
    bytes: usize,
    options: Arc<HubOptions>,
}

impl Table {
    pub(crate) fn new(epoch: u64, options: Arc<HubOptions>) -> Self {
        Self {
            epoch,
            head: 0,
            names: HashMap::new(),
            patterns: HashMap::new(),
            patterns_version: 0,
            places: Vec::new(),
            free: Vec::new(),
            listeners: Vec::new(),
            tombstones: Tombstones::new(options.limits.tombstones),
            custom_ids: HashMap::new(),
            wheel: Wheel::new(EXPIRY_TICK),
            oldest: BTreeSet::new(),
            frames: 0,
            bytes: 0,
            options,
        }
    }

    /// Numbers a frame and appends it to its topics. Taking the number and appending are one step. Returns the id, and
    /// the frame's bytes on the wire.
    pub(crate) fn append(
        &mut self,
        names: &[&str],
        mut frame: Arc<Frame>,
        now: Millis,
        fx: &mut Effects,
    ) -> (EventId, usize) {
        self.head += 1;
        let id = EventId {
            epoch: self.epoch,
            seq: self.head,
        };
        if let Some(frame) = Arc::get_mut(&mut frame) {
            frame.number(id, now);
        }
        for name in names {
            let topic = self.topic_or_new(name);
            self.push(topic, &frame, frame.key.clone(), now, fx);
            let matching = self.matching_patterns(topic);
            // Under a pattern a key is one topic's still. No name has a NUL.
            let key = match &frame.key {
                Some(key) if !matching.is_empty() => Some(format!("{name}\0{key}").into()),
                _ => None,
            };
            for pattern in &matching {
                self.push(*pattern, &frame, key.clone(), now, fx);
            }
            self.give_back(topic, matching);
            self.vanish_if_idle(topic);
        }
        if let Some(custom) = &frame.custom_id {
            // An older event of the same id is no longer what it names, whether or not this one is retained.
            if frame.in_logs() {
                self.custom_ids.insert(custom.clone(), id.seq);
            } else {
                self.custom_ids.remove(custom);
            }
        }
        let size = frame.len();
        self.enforce_budget(fx);
        self.expire(now, EXPIRE_PER_CALL, fx);
        (id, size)
    }

    fn push(
        &mut self,
        id: TopicId,
        frame: &Arc<Frame>,
        key: Option<Arc<str>>,
        now: Millis,
        fx: &mut Effects,
    ) {
        let Some(topic) = self.places[id.index as usize].topic.as_mut() else {
            return;
        };
        // The event names a topic twice, or two of its topics match one pattern.
        if topic.log.head() == frame.seq {
            if topic.name.is_pattern {
                topic.log.unkey_newest();
            }
            return;
        }
        topic.log.append(frame.clone(), key);
        if frame.enter_log() {
            self.frames += 1;
            self.bytes += frame.len();
        }
        for attached in &mut topic.listeners {
            let Some(listener) = &mut self.listeners[attached.listener] else {
                continue;
            };
            if let Some(mail) = &listener.mail {
                if mail.push(id, frame) {
                    fx.wakes.push(listener.wake.clone());
                }
            } else if !attached.told {
                attached.told = true;
                listener.dirty.push(id);
                if !listener.woken {
                    listener.woken = true;
                    fx.wakes.push(listener.wake.clone());
                }
            }
        }
        self.evict(id, now, fx);
    }
}
