//! The places of the table: topics settle at first use, know the patterns that they match, and vanish when idle.

use std::sync::Arc;

use super::{Name, Place, Table, Topic, TopicId};
use crate::options::History;
use crate::topic::log::Log;
use crate::topic::pattern;

impl Table {
    pub(super) fn topic_or_new(&mut self, name: &str) -> TopicId {
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

    pub(super) fn pattern_or_new(&mut self, text: &Arc<str>) -> TopicId {
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
    pub(super) fn matching_patterns(&mut self, id: TopicId) -> Vec<TopicId> {
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

    pub(super) fn give_back(&mut self, id: TopicId, list: Vec<TopicId>) {
        if let Some(topic) = self.get_mut(id) {
            topic.patterns = list;
        }
    }

    /// Topics without history and readers vanish.
    pub(super) fn vanish_if_idle(&mut self, id: TopicId) {
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

    pub(super) fn get(&self, id: TopicId) -> Option<&Topic> {
        let place = self.places.get(id.index as usize)?;
        place.topic.as_ref().filter(|_| place.life == id.life)
    }

    pub(super) fn get_mut(&mut self, id: TopicId) -> Option<&mut Topic> {
        let place = self.places.get_mut(id.index as usize)?;
        place.topic.as_mut().filter(|_| place.life == id.life)
    }
}
