//! One round of a shard: what was published since the last one, joined once for all readers of the same topics at the
//! same position.

use std::sync::Arc;

use super::batch::{Batch, pieces};
use super::terms::Framing;
use crate::topic::frame::Frame;
use crate::topic::hash::NumberMap;
use crate::topic::table::TopicId;

/// A frame, and a topic or pattern that has it.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) topic: TopicId,
    pub(crate) frame: Arc<Frame>,
}

/// How many joined batches a round remembers: its connections are at few positions.
const REMEMBERED: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Round {
    // In order, each once.
    frames: Vec<Arc<Frame>>,
    // Which of the frames each topic has.
    topics: NumberMap<TopicId, Vec<u32>>,
    // The topics, in the order in which their readers are served.
    order: Vec<TopicId>,
    made: Vec<Made>,
    // Which of `made` is the next to be replaced.
    oldest: usize,
    // Scratch space.
    active: Vec<TopicId>,
    chosen: Vec<u32>,
}

/// A concatenation, and what it is for.
#[derive(Debug)]
struct Made {
    start: u32,
    topics: Box<[TopicId]>,
    framing: Framing,
    pieces: Arc<[Arc<Batch>]>,
}

impl Round {
    /// Adds mail, which comes in the order of its frames' numbers. Whoever has not had its turn yet gets it in one piece
    /// with what was there before.
    pub(crate) fn add(&mut self, mail: &[Letter]) {
        if mail.is_empty() {
            return;
        }
        self.made.clear();
        self.oldest = 0;
        for Letter { topic, frame } in mail {
            // One event of several topics comes once for each.
            if self.frames.last().is_none_or(|last| last.seq != frame.seq) {
                self.frames.push(frame.clone());
            }
            let index = u32::try_from(self.frames.len() - 1).unwrap_or(u32::MAX);
            self.topics
                .entry(*topic)
                .or_insert_with(|| {
                    self.order.push(*topic);
                    Vec::new()
                })
                .push(index);
        }
    }

    /// Changes the order of the topics, so that these come first.
    pub(crate) fn put_first(&mut self, which: impl Fn(TopicId) -> bool) {
        let others: Vec<TopicId> = self.order.extract_if(.., |it| !which(*it)).collect();
        self.order.extend(others);
    }

    /// Lets go of all mail.
    pub(crate) fn end(&mut self) {
        self.frames.clear();
        self.topics.clear();
        self.order.clear();
        self.made.clear();
    }

    /// The topics that have news.
    pub(crate) fn topics(&self) -> &[TopicId] {
        &self.order
    }

    /// What a reader of these topics at this position gets.
    pub(crate) fn pieces(
        &mut self,
        sources: &[TopicId],
        position: u64,
        framing: Framing,
    ) -> Option<Arc<[Arc<Batch>]>> {
        let start = self.frames.partition_point(|frame| frame.seq <= position);
        if start == self.frames.len() {
            return None;
        }
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        self.active.clear();
        for source in sources {
            if let Some(indices) = self.topics.get(source)
                && indices.last().is_some_and(|last| *last >= start)
            {
                self.active.push(*source);
            }
        }
        let known = self.made.iter().find(|made| {
            made.start == start && made.framing == framing && made.topics[..] == self.active[..]
        });
        if let Some(made) = known {
            return Some(made.pieces.clone());
        }
        self.chosen.clear();
        for topic in &self.active {
            let indices = &self.topics[topic];
            let from = indices.partition_point(|index| *index < start);
            self.chosen.extend_from_slice(&indices[from..]);
        }
        if self.active.len() > 1 {
            self.chosen.sort_unstable();
            self.chosen.dedup();
        }
        if self.chosen.is_empty() {
            return None;
        }
        let frames: Vec<Arc<Frame>> = self
            .chosen
            .iter()
            .map(|index| self.frames[*index as usize].clone())
            .collect();
        let made = Made {
            start,
            topics: self.active.as_slice().into(),
            framing,
            pieces: pieces(&frames, framing).into(),
        };
        let pieces = made.pieces.clone();
        if self.made.len() < REMEMBERED {
            self.made.push(made);
        } else {
            self.made[self.oldest] = made;
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
        Some(pieces)
    }
}
