//! All topics of a hub: names, numbers, budgets, and what is remembered of topics that are gone.
//!
//! Active patterns stand in the same table as topics do: a pattern has a log of its own that gets every frame of every
//! topic it matches, for as long as it has readers. So a pattern reader costs one log to read, whatever it matches,
//! and keeps no topic alive.

mod queries;
mod readers;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::id::EventId;
use crate::options::{History, HubOptions};
use crate::topic::Millis;
use crate::topic::frame::Frame;
use crate::topic::log::Log;
use crate::topic::pattern;
use crate::topic::tombstones::Tombstones;
use crate::topic::wheel::Wheel;

/// How many topics one call looks at for expired frames besides its own.
const EXPIRE_PER_CALL: usize = 8;
/// How late a history's oldest frame may be dropped, in milliseconds.
const EXPIRY_TICK: Millis = 256;
/// A topic whose expired frames are held by readers is not looked at again sooner, in milliseconds.
const EXPIRY_PAUSE: Millis = 1000;
/// However long its history, a topic is looked at after so long: one that has vanished leaves its entry in the wheel
/// until then.
const EXPIRY_LOOK: Millis = 60_000;

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

    // Publishing.

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

    /// Brings one log within its limits, and sees to it that somebody looks at it again.
    fn evict(&mut self, id: TopicId, now: Millis, fx: &mut Effects) {
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
    fn enforce_budget(&mut self, fx: &mut Effects) {
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

    // Topics.

    fn topic_or_new(&mut self, name: &str) -> TopicId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let text: Arc<str> = name.into();
        let evicted_through = self.tombstones.exhume(&text);
        let log = Log::new(self.options.history_of(name), evicted_through);
        let id = self.settle(
            Name {
                text: text.clone(),
                is_pattern: false,
            },
            log,
        );
        self.names.insert(text, id);
        id
    }

    fn pattern_or_new(&mut self, text: &Arc<str>) -> TopicId {
        if let Some(id) = self.patterns.get(text) {
            return *id;
        }
        let log = Log::new(History::NONE, self.head);
        let id = self.settle(
            Name {
                text: text.clone(),
                is_pattern: true,
            },
            log,
        );
        self.patterns.insert(text.clone(), id);
        self.patterns_version += 1;
        id
    }

    fn settle(&mut self, name: Name, log: Log) -> TopicId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.places[index as usize];
        place.topic = Some(Topic {
            name,
            log,
            patterns: Vec::new(),
            patterns_version: 0,
            readers: 0,
            keep: 0,
            listeners: Vec::new(),
            in_wheel: false,
            listed: None,
        });
        TopicId {
            index,
            life: place.life,
        }
    }

    /// The active patterns that a topic matches. The list is lent: [`Self::give_back`] returns it.
    fn matching_patterns(&mut self, id: TopicId) -> Vec<TopicId> {
        let version = self.patterns_version;
        let Some(topic) = self.places[id.index as usize].topic.as_mut() else {
            return Vec::new();
        };
        let mut list = std::mem::take(&mut topic.patterns);
        if topic.patterns_version != version {
            topic.patterns_version = version;
            list.clear();
            let name = &topic.name.text;
            list.extend(
                self.patterns
                    .iter()
                    .filter(|(text, _)| pattern::matches(text, name))
                    .map(|(_, id)| *id),
            );
        }
        list
    }

    fn give_back(&mut self, id: TopicId, list: Vec<TopicId>) {
        if let Some(topic) = self.get_mut(id) {
            topic.patterns = list;
        }
    }

    /// Topics without history and readers vanish.
    fn vanish_if_idle(&mut self, id: TopicId) {
        let Some(topic) = self.get(id) else { return };
        if topic.readers > 0 || !topic.log.is_empty() {
            return;
        }
        let place = &mut self.places[id.index as usize];
        place.life = place.life.wrapping_add(1);
        let Some(topic) = place.topic.take() else {
            return;
        };
        self.free.push(id.index);
        if let Some(seq) = topic.listed {
            self.oldest.remove(&(seq, id));
        }
        if topic.name.is_pattern {
            self.patterns.remove(&topic.name.text);
            self.patterns_version += 1;
        } else {
            self.names.remove(&topic.name.text);
            self.tombstones
                .bury(topic.name.text, topic.log.evicted_through());
        }
    }

    fn get(&self, id: TopicId) -> Option<&Topic> {
        let place = self.places.get(id.index as usize)?;
        place.topic.as_ref().filter(|_| place.life == id.life)
    }

    fn get_mut(&mut self, id: TopicId) -> Option<&mut Topic> {
        let place = self.places.get_mut(id.index as usize)?;
        place.topic.as_mut().filter(|_| place.life == id.life)
    }
}

fn forget_custom_id(custom_ids: &mut HashMap<Box<str>, u64>, frame: &Frame) {
    if let Some(id) = &frame.custom_id
        && custom_ids.get(id) == Some(&frame.seq)
    {
        custom_ids.remove(id);
    }
}
