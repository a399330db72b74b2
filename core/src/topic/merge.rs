//! Frames of several logs in one order, each once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::topic::frame::Frame;
use crate::topic::log::Log;

/// Appends the frames of several logs, each from behind its own position up to `until`. Whether all of them fitted into
/// about `max_bytes`.
pub(crate) fn merge(
    logs: &[(&Log, u64)],
    until: u64,
    max_bytes: usize,
    out: &mut Vec<Arc<Frame>>,
) -> bool {
    let mut bytes = 0;
    let mut take = |frame: &Arc<Frame>| {
        // At least one frame goes, however large.
        if bytes > 0 && bytes + frame.len() > max_bytes {
            return false;
        }
        bytes += frame.len();
        out.push(frame.clone());
        true
    };
    // Most readers read one topic.
    if let [(log, after)] = logs {
        let mut at = log.after(*after);
        while let Some(frame) = log.get(at).filter(|frame| frame.seq <= until) {
            if !take(frame) {
                return false;
            }
            at += 1;
        }
        return true;
    }
    Merged::new(logs)
        .take_while(|frame| frame.seq <= until)
        .all(take)
}

/// The frames of several logs, each from behind its own position.
pub(crate) struct Merged<'l, 't> {
    logs: &'l [(&'t Log, u64)],
    // The next frame of each log, the oldest on top.
    next: BinaryHeap<Reverse<(u64, usize, usize)>>,
    last: u64,
}

impl<'l, 't> Merged<'l, 't> {
    pub(crate) fn new(logs: &'l [(&'t Log, u64)]) -> Self {
        let first = |(at, (log, after)): (usize, &(&Log, u64))| {
            let index = log.after(*after);
            log.get(index).map(|frame| Reverse((frame.seq, at, index)))
        };
        Self {
            logs,
            next: logs.iter().enumerate().filter_map(first).collect(),
            last: 0,
        }
    }
}

impl<'t> Iterator for Merged<'_, 't> {
    type Item = &'t Arc<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(Reverse((seq, log, at))) = self.next.pop() {
            if let Some(frame) = self.logs[log].0.get(at + 1) {
                self.next.push(Reverse((frame.seq, log, at + 1)));
            }
            // One event of several topics stands in several logs.
            if seq > self.last {
                self.last = seq;
                return self.logs[log].0.get(at);
            }
        }
        None
    }
}
