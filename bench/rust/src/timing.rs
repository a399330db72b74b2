//! Clocks and order statistics.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Runs `pass` until `min_seconds` have gone by and returns the seconds of one pass.
pub fn seconds_per_pass(min_seconds: f64, mut pass: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut passes = 0_u32;
    loop {
        pass();
        passes += 1;
        let elapsed = start.elapsed().as_secs_f64();
        if elapsed >= min_seconds {
            return elapsed / f64::from(passes);
        }
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`: the clock that the servers stamp their events with
/// (`time.monotonic_ns()` in Python, `process.hrtime()` in Node).
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Durations in nanoseconds, summed up as milliseconds at p50, p99 and maximum.
#[derive(Default)]
pub struct Latencies(Vec<u64>);

impl Latencies {
    /// Adds one duration.
    pub fn add(&mut self, nanoseconds: u64) {
        self.0.push(nanoseconds);
    }

    /// How many were added.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The summary; all `null` when nothing was added.
    pub fn summary(mut self) -> Value {
        self.0.sort_unstable();
        let at = |percent: usize| {
            let index = (self.0.len() * percent / 100).min(self.0.len().checked_sub(1)?);
            Some(std::time::Duration::from_nanos(self.0[index]).as_secs_f64() * 1e3)
        };
        json!({ "p50_ms": at(50), "p99_ms": at(99), "max_ms": at(100), "samples": self.0.len() })
    }
}
