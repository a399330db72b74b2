//! From when things came to whether something on the way holds them back.
//!
//! What a buffer looks like from behind it was found out with nginx. It keeps the head and all that follows until it is
//! full, passes 4096 bytes on (or 8192, or 16384), and begins anew. So there is silence, then many frames at once, cut in
//! the middle of one. A server that publishes in bursts looks similar, but for the cut: what it writes ends with a frame.

use super::watch::{Burst, Watch};

/// A frame that stops in its middle for so long (milliseconds) is held, where the sizes are those of a buffer.
pub(super) const STALL: u64 = 250;
/// So long, where only the frames say it: networks stall, too.
const LONG_STALL: u64 = 1000;
/// What buffers are multiples of.
const PAGE: u64 = 4096;
/// Less than this fills no buffer.
const SMALL: u64 = 1024;
/// Heartbeats are further apart than this.
const BETWEEN_BEATS: u64 = 2000;
/// So many small pieces in a row did not come out of a buffer.
const STEPS: u64 = 10;
/// A stream that was watched for so long, with something coming all the time, has shown what it can.
const BUSY: u64 = 8000;

/// What the arrival times say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Flow {
    /// Nothing came.
    Nothing,
    /// Frames come as they are sent: something small came whole, and was followed by silence.
    Prompt,
    /// Something holds them back.
    Held(Held),
    /// What came proves neither.
    Unclear,
}

/// What shows that frames are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Held {
    /// The stream stopped in the middle of a frame.
    Cut {
        /// How often.
        times: usize,
        /// After how many bytes, the last time.
        bytes: u64,
        /// For how long, at most.
        longest: u64,
    },
    /// The head came when the connection was cut, and not before.
    HeadAtTheEnd {
        /// After what silence.
        silence: u64,
    },
    /// Several heartbeats came at once.
    Bunch {
        /// How many.
        beats: u64,
        /// After what silence.
        silence: u64,
    },
}

/// What the arrivals until `end` say. `head_after`: how long the head took. `was_cut`: watching ended for that.
pub(in crate::cli) fn judge(watch: &Watch, head_after: u64, end: u64, was_cut: bool) -> Flow {
    // Nobody sends a head at the very moment of the cut, but a buffer that is given up.
    if was_cut && head_after >= LONG_STALL && end < STALL {
        return Flow::Held(Held::HeadAtTheEnd {
            silence: head_after,
        });
    }
    if watch.bursts.is_empty() {
        return Flow::Nothing;
    }
    // What a buffer passes on before its end is full, but for the part that the head has of the first.
    let prompt = watch
        .silences(end)
        .enumerate()
        .filter(|(_, (burst, _, after))| burst.whole && burst.bytes % PAGE != 0 && *after >= STALL)
        .map(|(index, (burst, _, _))| index > 0 || burst.bytes < SMALL)
        .max();
    let held = match prompt {
        Some(true) => None,
        _ => cut(watch, end),
    };
    if let Some(held) = held.or_else(|| bunch(watch, head_after, end)) {
        return Flow::Held(held);
    }
    if prompt.is_some() || watch.steps >= STEPS {
        Flow::Prompt
    } else {
        Flow::Unclear
    }
}

/// Whether it is of no use to go on watching.
pub(in crate::cli) fn is_decided(watch: &Watch, now: u64) -> bool {
    match judge(watch, 0, now, false) {
        Flow::Held(Held::Cut { times, .. }) => times >= 2,
        // A heartbeat has come through, by itself: silence does no harm here.
        Flow::Prompt => {
            watch.beats() > 0
                || (now >= BUSY && watch.events >= 3 && watch.longest_silence(now) < BUSY / 4)
        }
        _ => false,
    }
}

fn cut(watch: &Watch, end: u64) -> Option<Held> {
    let cuts: Vec<(&Burst, u64)> = watch
        .silences(end)
        .filter(|(burst, _, after)| !burst.whole && *after >= STALL && burst.bytes >= SMALL)
        .map(|(burst, _, after)| (burst, after))
        .collect();
    let (last, _) = cuts.last()?;
    // One large event that comes slowly has no frame before its cut.
    let is_a_buffer = cuts.iter().any(|(burst, after)| {
        (burst.bytes % PAGE == 0 && burst.frames() >= 1)
            || (*after >= LONG_STALL && burst.frames() >= 2)
    });
    if !is_a_buffer {
        return None;
    }
    Some(Held::Cut {
        times: cuts.len(),
        bytes: last.bytes,
        longest: cuts.iter().map(|(_, after)| *after).max().unwrap_or(0),
    })
}

fn bunch(watch: &Watch, head_after: u64, end: u64) -> Option<Held> {
    watch
        .silences(end)
        .enumerate()
        .map(|(index, (burst, before, _))| match index {
            0 => (burst, before + head_after),
            _ => (burst, before),
        })
        .find(|(burst, before)| burst.beats >= 2 && burst.events == 0 && *before >= BETWEEN_BEATS)
        .map(|(burst, silence)| Held::Bunch {
            beats: burst.beats,
            silence,
        })
}
