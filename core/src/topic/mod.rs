//! What a hub remembers, and where its readers are. Without I/O, clocks or locks: time is an argument, in milliseconds
//! since the hub's start.
//!
//! ```text
//! publish -> table/ (number the frame) -> log.rs (append, evict) -+
//!                                                                 +-> cursor/: what comes after my position?
//! subscribe -> table/ (attach) -> cursor/ (gap, replay, live) ----+
//! ```

pub(crate) mod cursor;
pub(crate) mod few;
pub(crate) mod frame;
pub(crate) mod hash;
pub(crate) mod log;
pub(crate) mod merge;
pub(crate) mod pattern;
pub(crate) mod table;
pub(crate) mod tombstones;
pub(crate) mod wheel;

#[cfg(test)]
mod tests;

/// Milliseconds since the hub's start.
pub(crate) type Millis = u64;
