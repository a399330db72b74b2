//! How long to wait before the next attempt. No clock and no dice: time and random numbers are arguments.

use super::options::Reconnect;

/// A delay of our own is not shorter, so that nobody hammers a server that comes right back; nor is it a point where
/// many meet: the draw is from here on.
const FLOOR: u64 = 100;

/// Delays in a row: each may be twice the last, and each is drawn from all that it may be ("full jitter"), so that a
/// thousand clients that lost the same server do not come back at the same moment.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    // Tries since the last good connection.
    retries: u32,
    // When that connection was lost.
    since: Option<u64>,
    // What the stream's `retry:` says, for the rest of its life.
    server: Option<u64>,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self {
            retries: 0,
            since: None,
            server: None,
        }
    }

    /// The connection was a good one.
    pub(crate) fn reset(&mut self) {
        self.retries = 0;
        self.since = None;
    }

    /// The stream has set its reconnection time.
    pub(crate) fn set_server_delay(&mut self, retry: u64, rules: &Reconnect) {
        self.server = Some(within(retry, rules));
    }

    /// The delay before the next attempt, in milliseconds; `None` to give up. `retry_after` is what the last answer
    /// asks for.
    pub(crate) fn next(
        &mut self,
        rules: &Reconnect,
        now: u64,
        random: u64,
        retry_after: Option<u64>,
    ) -> Option<u64> {
        if rules.max_retries.is_some_and(|max| self.retries >= max) {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let base = self.server.unwrap_or(rules.delay);
        let ceiling = base
            .saturating_mul(1_u64.checked_shl(self.retries).unwrap_or(u64::MAX))
            .min(rules.max_delay);
        let (floor, spread) = match (retry_after, self.server) {
            // Who names a time means "not before". Some more, since all that were told the same come together: those
            // that a hub has lost, all of them at once; those that it has sent away, one by one.
            (Some(asked), _) => {
                let asked = within(asked, rules);
                (asked, asked / 10)
            }
            (None, Some(asked)) => (asked, asked / 4),
            (None, None) => (FLOOR.min(ceiling / 10), 0),
        };
        let spread = ceiling.saturating_sub(floor).max(spread);
        let delay = floor.saturating_add(draw(spread, random));
        let elapsed = now.saturating_sub(since).saturating_add(delay);
        if rules.max_elapsed.is_some_and(|max| elapsed > max) {
            return None;
        }
        self.retries += 1;
        Some(delay)
    }
}

fn within(value: u64, rules: &Reconnect) -> u64 {
    value.clamp(*rules.server_delay.start(), *rules.server_delay.end())
}

/// A number from 0 to `most`, each as likely as any other as far as 64 bits can say.
fn draw(most: u64, random: u64) -> u64 {
    let product = u128::from(random) * (u128::from(most) + 1);
    u64::try_from(product >> 64).unwrap_or(most)
}
