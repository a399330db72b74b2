//! Frames as they go to sockets: joined once for all connections that send the same, framed for HTTP/1.

use std::fmt::Write as _;
use std::sync::Arc;

use super::terms::Framing;
use crate::topic::frame::Frame;

/// The most that one send is given, in bytes, unless a single frame is larger.
pub(crate) const MAX_BATCH: usize = 64 * 1024;

/// Frames, one behind the other. Each is a chunk of its own, so that a connection may stop behind any of them.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Box<[u8]>,
    parts: Box<[Part]>,
}

/// One frame of a batch.
#[derive(Debug)]
struct Part {
    end: usize,
    // The bytes of the frames up to here, without their framing.
    size: u64,
    frame: Arc<Frame>,
}

/// Where in a batch a send has stopped.
#[derive(Debug)]
pub(crate) struct Stop {
    /// How many frames are sent whole.
    pub(crate) whole: usize,
    /// The one that is sent in part, and how many of its bytes on the wire are.
    pub(crate) partial: Option<(Arc<Frame>, usize)>,
}

impl Batch {
    pub(crate) fn new(frames: &[Arc<Frame>], framing: Framing) -> Self {
        // A chunk's head has at most 8 digits here, and two line ends go with it.
        let room: usize = frames.iter().map(|frame| frame.len() + 12).sum();
        let mut bytes = Vec::with_capacity(room);
        let mut size = 0;
        let parts = frames
            .iter()
            .map(|frame| {
                append(&mut bytes, frame.bytes(), framing);
                size += frame.len() as u64;
                Part {
                    end: bytes.len(),
                    size,
                    frame: frame.clone(),
                }
            })
            .collect();
        Self {
            bytes: bytes.into(),
            parts,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many frames there are.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The number of a frame.
    pub(crate) fn seq(&self, index: usize) -> u64 {
        self.parts[index].frame.seq
    }

    /// The number of the last frame.
    pub(crate) fn last(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.frame.seq)
    }

    /// How many of the frames are not newer than this.
    pub(crate) fn count_through(&self, seq: u64) -> usize {
        self.parts.partition_point(|part| part.frame.seq <= seq)
    }

    /// So many of the frames.
    pub(crate) fn first(&self, count: usize, framing: Framing) -> Self {
        let frames: Vec<Arc<Frame>> = self.parts[..count]
            .iter()
            .map(|part| part.frame.clone())
            .collect();
        Self::new(&frames, framing)
    }

    /// The bytes of so many frames, without their framing.
    pub(crate) fn size(&self, frames: usize) -> u64 {
        frames
            .checked_sub(1)
            .map_or(0, |last| self.parts[last].size)
    }

    /// Where so many bytes end.
    pub(crate) fn stop(&self, sent: usize) -> Stop {
        let whole = self.parts.partition_point(|part| part.end <= sent);
        let start = whole.checked_sub(1).map_or(0, |last| self.parts[last].end);
        let partial = (sent > start).then(|| (self.parts[whole].frame.clone(), sent - start));
        Stop { whole, partial }
    }
}

/// Frames in pieces that a send can be given.
pub(crate) fn pieces(frames: &[Arc<Frame>], framing: Framing) -> Vec<Arc<Batch>> {
    let mut pieces = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, frame) in frames.iter().enumerate() {
        if at > start && size + frame.len() > MAX_BATCH {
            pieces.push(Arc::new(Batch::new(&frames[start..at], framing)));
            (start, size) = (at, 0);
        }
        size += frame.len();
    }
    if start < frames.len() {
        pieces.push(Arc::new(Batch::new(&frames[start..], framing)));
    }
    pieces
}

/// One frame, or other bytes of the body, as they stand on the wire.
pub(crate) fn framed(bytes: &[u8], framing: Framing) -> Vec<u8> {
    let mut wire = Vec::with_capacity(bytes.len() + 12);
    append(&mut wire, bytes, framing);
    wire
}

/// What ends a body that is followed by nothing.
pub(crate) fn terminator(framing: Framing) -> &'static [u8] {
    match framing {
        Framing::Chunked => b"0\r\n\r\n",
        Framing::Plain => b"",
    }
}

fn append(wire: &mut Vec<u8>, bytes: &[u8], framing: Framing) {
    match framing {
        Framing::Plain => wire.extend_from_slice(bytes),
        // An empty chunk would end the body.
        Framing::Chunked if bytes.is_empty() => {}
        Framing::Chunked => {
            wire.extend_from_slice(hex(bytes.len()).as_bytes());
            wire.extend_from_slice(b"\r\n");
            wire.extend_from_slice(bytes);
            wire.extend_from_slice(b"\r\n");
        }
    }
}

fn hex(size: usize) -> String {
    let mut text = String::with_capacity(8);
    // Writing to a String cannot fail.
    let _ = write!(text, "{size:x}");
    text
}
