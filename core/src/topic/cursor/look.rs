//! Looking at what comes after the position, and going over it: all of it, or as far as the reader gets.

use std::sync::Arc;

use super::{Cursor, Look, Step};
use crate::options::Slow;
use crate::topic::Millis;
use crate::topic::frame::Frame;
use crate::topic::merge::merge;
use crate::topic::table::{Effects, Table};

impl Cursor {
    /// Finds up to about `max_bytes` of frames after the position, in order, each once. The reader goes over them with
    /// [`Self::take`], as far as it gets rid of them.
    pub(crate) fn look(
        &mut self,
        table: &mut Table,
        now: Millis,
        max_bytes: usize,
        out: &mut Vec<Arc<Frame>>,
        fx: &mut Effects,
    ) -> Look {
        if let Some(gap) = self.gap.take() {
            return Look::Gap(gap);
        }
        let head = table.head();
        if self.position >= head {
            self.mark = head;
            return Look::Idle;
        }
        for id in self.sources.iter() {
            table.expire_topic(*id, now, fx);
        }
        if let Some(loss) = self.find_loss(table, head) {
            return loss;
        }
        let over = self.lag(table) > self.max_lag;
        let replaying = self.position < self.mark || self.catch_up.is_some();
        match self.slow {
            Slow::Disconnect if over => return Look::Slow,
            // What it owes from before it came is no lag, and is not conflated.
            Slow::Conflate if over && !replaying => return self.conflate(table, head, out),
            _ => {}
        }
        let until = self
            .catch_up
            .as_ref()
            .map_or(head, |catch_up| catch_up.until);
        let before = out.len();
        let complete = {
            let logs = self.logs(table);
            merge(&logs, until, max_bytes, out)
        };
        let step = Step {
            through: match out.last() {
                Some(last) if !complete => last.seq,
                _ => until,
            },
            head,
            caught_up: complete,
            skipped: Vec::new(),
        };
        if out.len() > before {
            return Look::Frames(step);
        }
        self.take(&step);
        // A catch-up may end without a frame while the live logs have some.
        if complete && until < head {
            return self.look(table, now, max_bytes, out, fx);
        }
        Look::Idle
    }

    /// Finds all that is owed, less what newer frames of the same topic and key stand in for.
    fn conflate(&mut self, table: &Table, head: u64, out: &mut Vec<Arc<Frame>>) -> Look {
        let logs = self.logs(table);
        let before = out.len();
        let mut all = Vec::new();
        merge(&logs, head, usize::MAX, &mut all);
        let mut skipped = Vec::new();
        all.retain(|frame| {
            let owed = logs.iter().any(|(log, _)| log.owes(frame));
            if !owed {
                skipped.push(frame.seq);
            }
            owed
        });
        let bytes: u64 = all.iter().map(|frame| frame.len() as u64).sum();
        if bytes > self.max_lag {
            return Look::Slow;
        }
        out.append(&mut all);
        let step = Step {
            through: head,
            head,
            caught_up: false,
            skipped,
        };
        if out.len() == before && step.skipped.is_empty() {
            self.take(&step);
            return Look::Idle;
        }
        Look::Frames(step)
    }

    /// Goes over all frames that a look has found. How many conflation left out.
    pub(crate) fn take(&mut self, step: &Step) -> u64 {
        self.position = step.through;
        if step.caught_up {
            self.catch_up = None;
        }
        if self.position >= step.head {
            self.mark = step.head;
        }
        step.skipped.len() as u64
    }

    /// Goes over some of them: as far as this one. How many conflation left out on the way.
    pub(crate) fn take_until(&mut self, step: &Step, seq: u64) -> u64 {
        self.position = seq;
        step.skipped
            .iter()
            .filter(|left_out| **left_out < seq)
            .count() as u64
    }
}
