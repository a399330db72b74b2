//! What a reader should have had and cannot get any more, and how it is told.

use super::{Cursor, Gap, GapReason, Look};
use crate::options::{OnGap, Slow};
use crate::topic::log::Log;
use crate::topic::table::Table;

impl Cursor {
    pub(super) fn start_gap(
        &mut self,
        table: &Table,
        reason: GapReason,
        given: Option<&str>,
        lost: u64,
    ) {
        let from = self.position;
        let (lost, to) = match self.on_gap {
            // Whoever comes back with the gap event's id gets all that is left, and is not told again unless one topic
            // still has events from before the loss of another.
            OnGap::Replay => (lost, lost.min(self.first_left(table).saturating_sub(1))),
            OnGap::Live => (table.head(), table.head()),
        };
        if self.on_gap == OnGap::Live {
            self.position = to;
            self.catch_up = None;
        }
        self.told = self.told.max(lost);
        self.gap = Some(Box::new(Gap {
            reason,
            last_event_id: given.map(Into::into),
            from,
            lost,
            to,
        }));
    }

    /// The oldest event that will be read.
    pub(super) fn first_left(&self, table: &Table) -> u64 {
        self.all_logs(table)
            .into_iter()
            .filter_map(|(log, after)| Some(log.get(log.after(after))?.seq))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Whether something after the position has been dropped.
    pub(super) fn find_loss(&mut self, table: &Table, head: u64) -> Option<Look> {
        let known = self.position.max(self.told);
        let outrun = self.is_outrun(table);
        let mut lost = self.newest_loss(table);
        if lost <= known && !outrun {
            return None;
        }
        // Whoever was still replaying has not been slow: the history has moved on.
        let replaying = !self.lagged && self.position < self.mark && lost <= self.mark;
        let reason = match self.slow {
            _ if replaying => GapReason::Expired,
            Slow::Skip => GapReason::Lagged,
            // Within its limit: the common budget of all histories has taken it.
            _ if self.lag(table) <= self.max_lag => GapReason::Expired,
            _ => return Some(Look::Slow),
        };
        if outrun {
            lost = self.look_back(table, None);
        }
        if lost <= known {
            return None;
        }
        self.start_gap(table, reason, None, lost);
        if reason == GapReason::Lagged {
            // Told, and forgiven: lag is counted anew.
            self.mark = head;
            self.lagged = true;
        }
        self.gap.take().map(Look::Gap)
    }

    /// The newest event that a log which is being read has dropped.
    pub(super) fn newest_loss(&self, table: &Table) -> u64 {
        let lost = match &self.catch_up {
            Some(catch_up) => catch_up
                .sources
                .iter()
                .map(|behind| match (table.log(behind.id), &behind.name) {
                    (Some(log), None) => self.missed(log).min(behind.newest),
                    (Some(log), Some(_)) => log.evicted_through().min(behind.newest),
                    (None, Some(name)) => table.evicted_through(name).min(behind.newest),
                    (None, None) => 0,
                })
                .max(),
            None => self
                .sources
                .iter()
                .filter_map(|id| table.log(*id))
                .map(|log| self.missed(log))
                .max(),
        };
        lost.unwrap_or(0)
    }

    /// The newest event that a log has dropped and that this reader cannot do without.
    pub(super) fn missed(&self, log: &Log) -> u64 {
        match self.slow {
            Slow::Conflate => log.owed_through(),
            _ => log.evicted_through(),
        }
    }

    /// Whether a pattern's own log, which has only what readers may be behind, has dropped something that was to be
    /// read from it. The topics may have it still, and are read instead.
    pub(super) fn is_outrun(&self, table: &Table) -> bool {
        self.sources.iter().any(|id| {
            let (Some(name), Some(log)) = (table.name(*id), table.log(*id)) else {
                return false;
            };
            let is_read = match &self.catch_up {
                Some(catch_up) => catch_up.sources.iter().any(|behind| behind.id == *id),
                None => true,
            };
            name.is_pattern && is_read && self.missed(log) > self.position
        })
    }
}
