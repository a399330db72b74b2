//! Bytes for many readers at once: one frame as it is, or several joined.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::topic::cursor::Cursor;
use crate::topic::frame::Frame;
use crate::topic::table::TopicId;

/// How many batches a round remembers: streams of one round are at few positions.
const REMEMBERED: usize = 8;

/// What one delivery writes. Shared: every reader at the same position gets the same batch.
#[derive(Debug)]
pub struct Batch {
    // Tells batches apart, so that a host can share its own copy of the bytes.
    serial: u64,
    events: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    One(Arc<Frame>),
    Joined(Box<[u8]>),
}

impl Batch {
    fn new(frames: &[Arc<Frame>]) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let content = match frames {
            [frame] => Content::One(frame.clone()),
            frames => {
                let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.len()).sum());
                for frame in frames {
                    bytes.extend_from_slice(frame.bytes());
                }
                Content::Joined(bytes.into())
            }
        };
        Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            events: frames.len(),
            content,
        }
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::One(frame) => frame.bytes(),
            Content::Joined(bytes) => bytes,
        }
    }

    /// The same for hosts that write `Bytes`, as hyper and axum do. Shared, not copied.
    pub fn shared(self: &Arc<Self>) -> Bytes {
        struct Owner(Arc<Batch>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                self.0.bytes()
            }
        }
        Bytes::from_owner(Owner(self.clone()))
    }

    /// How many events they are.
    pub fn events(&self) -> usize {
        self.events
    }

    /// A number that no other batch of this process has.
    pub fn serial(&self) -> u64 {
        self.serial
    }
}

/// The batches of one round.
#[derive(Default)]
pub(crate) struct BatchCache {
    // What frames were joined to what: the whole list is compared, since two sets of topics may share ends.
    joined: Vec<(Vec<u64>, Arc<Batch>)>,
    // Where a reader of this topic alone, caught up at this position, got to.
    steps: Vec<Step>,
}

struct Step {
    topic: TopicId,
    from: u64,
    to: u64,
    batch: Arc<Batch>,
}

/// A batch, and the position behind it.
pub(crate) struct Next {
    pub(crate) batch: Arc<Batch>,
    pub(crate) position: u64,
}

impl BatchCache {
    pub(crate) fn clear(&mut self) {
        self.joined.clear();
        self.steps.clear();
    }

    /// What another reader at the same position got in this round.
    pub(crate) fn after(&self, cursor: &Cursor) -> Option<Next> {
        if self.steps.is_empty() || !cursor.is_caught_up() {
            return None;
        }
        let topic = cursor.only_source()?;
        self.steps
            .iter()
            .find(|step| {
                step.topic == topic
                    && step.from == cursor.position()
                    && cursor.allows(step.batch.bytes().len())
            })
            .map(|step| Next {
                batch: step.batch.clone(),
                position: step.to,
            })
    }

    /// Remembers a step of a reader that was caught up before and is again. One that was told of a gap at this
    /// position is not: who follows it would lose what was lost, and not hear of it.
    pub(crate) fn remember(&mut self, topic: TopicId, from: u64, to: u64, batch: &Arc<Batch>) {
        if self.steps.len() < REMEMBERED {
            self.steps.push(Step {
                topic,
                from,
                to,
                batch: batch.clone(),
            });
        }
    }

    /// One batch of these frames, the same for the same frames.
    pub(crate) fn join(&mut self, frames: &mut Vec<Arc<Frame>>) -> Arc<Batch> {
        let known = self.joined.iter().find(|(seqs, _)| {
            seqs.len() == frames.len()
                && seqs
                    .iter()
                    .zip(frames.iter())
                    .all(|(seq, frame)| *seq == frame.seq)
        });
        if let Some((_, batch)) = known {
            frames.clear();
            return batch.clone();
        }
        let batch = Arc::new(Batch::new(frames));
        if self.joined.len() < REMEMBERED {
            let seqs = frames.iter().map(|frame| frame.seq).collect();
            self.joined.push((seqs, batch.clone()));
        }
        frames.clear();
        batch
    }
}
