//! One connection: a stream, and the socket that the engine writes for it. What a client has not taken is a position in
//! the log and, at most, the rest of one frame.

use std::io::ErrorKind;
use std::sync::{Arc, Weak};

use super::batch::{Batch, Stop, framed, terminator};
use super::reports::Inbox;
use super::socket::{Input, Socket};
use super::terms::{Framing, HandOff};
use crate::delivery::{EndReason, Mode};
use crate::stream::Stream;
use crate::topic::frame::Frame;

/// What a client may send within a minute, in bytes. It has nothing to say.
const MAX_INPUT: u32 = 1024 * 1024;
const MINUTE: u64 = 60_000;

#[derive(Debug)]
pub(crate) struct Connection<S> {
    pub(crate) stream: Stream,
    pub(crate) socket: S,
    pub(crate) how: HandOff,
    // Whom to tell of the end. Weak: a host may go before its streams do.
    pub(crate) inbox: Weak<Inbox>,
    // What is left of something that was sent in part. Boxed: few connections have it.
    pending: Option<Box<Pending>>,
    // The socket has taken all it can, and says when it can take more.
    pub(crate) blocked: bool,
    /// It has all that was published, and gets what is new from the rounds.
    pub(crate) live: bool,
    /// It is in the queue of those that read the log.
    pub(crate) queued: bool,
    /// The last bytes are on their way.
    pub(crate) finishing: Option<EndReason>,
    /// It is over, and gone after this round: nothing is sent any more.
    pub(crate) over: Option<Over>,
    /// When the wheel brings it up. An entry of another time is out of date.
    pub(crate) timer: u64,
    // What the client has sent in this minute since the stream began.
    input: (u32, u32),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over {
    pub(crate) reason: EndReason,
    /// Its last frame is whole.
    pub(crate) clean: bool,
}

/// Something that was sent in part: as it stands on the wire, and how much of it is sent.
#[derive(Debug)]
enum Pending {
    // The log may drop it meanwhile.
    Frame(Arc<Frame>, usize),
    Bytes(Box<[u8]>, usize),
}

/// How far a send got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All is sent.
    Done,
    /// The socket takes no more for now.
    Blocked,
    /// The client has gone.
    Gone,
}

impl<S: Socket> Connection<S> {
    pub(crate) fn new(stream: Stream, socket: S, how: HandOff, inbox: Weak<Inbox>) -> Self {
        Self {
            stream,
            socket,
            how,
            inbox,
            pending: None,
            blocked: false,
            live: false,
            queued: false,
            finishing: None,
            over: None,
            timer: u64::MAX,
            input: (0, 0),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        if self.how.held {
            Mode::Held
        } else {
            Mode::Detached
        }
    }

    pub(crate) fn framing(&self) -> Framing {
        self.how.framing
    }

    /// The frame that is sent in part.
    pub(crate) fn pinned(&self) -> Option<&Arc<Frame>> {
        match self.pending.as_deref() {
            Some(Pending::Frame(frame, _)) => Some(frame),
            _ => None,
        }
    }

    /// Whether everything that was begun is sent whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.pending.is_none()
    }

    /// Sends a batch, and says where it stopped. Nothing else may be pending.
    pub(crate) fn send_batch(&mut self, batch: &Batch, now: u64) -> (Progress, Stop) {
        let (progress, sent) = self.send(batch.bytes(), now);
        let stop = batch.stop(sent);
        if progress == Progress::Blocked
            && let Some((frame, sent)) = &stop.partial
        {
            self.pending = Some(Box::new(Pending::Frame(frame.clone(), *sent)));
        }
        (progress, stop)
    }

    /// Sends bytes of this stream alone, which are framed already. Nothing else may be pending.
    fn send_bytes(&mut self, bytes: Vec<u8>, now: u64) -> Progress {
        let (progress, sent) = self.send(&bytes, now);
        if progress == Progress::Blocked {
            self.pending = Some(Box::new(Pending::Bytes(bytes.into(), sent)));
        }
        progress
    }

    /// Sends bytes of this stream alone: an opening block, a gap event, a heartbeat.
    pub(crate) fn send_own(&mut self, bytes: &[u8], now: u64) -> Progress {
        self.send_bytes(framed(bytes, self.framing()), now)
    }

    /// Sends what comes last. The server of a held stream ends the body itself.
    pub(crate) fn send_end(&mut self, reason: EndReason, last: &[u8], now: u64) -> Progress {
        self.finishing = Some(reason);
        let mut bytes = framed(last, self.framing());
        if !self.how.held {
            bytes.extend_from_slice(terminator(self.framing()));
        }
        self.send_bytes(bytes, now)
    }

    /// Sends the rest of what was sent in part.
    pub(crate) fn flush(&mut self, now: u64) -> Progress {
        let Some(mut pending) = self.pending.take() else {
            return Progress::Done;
        };
        let (progress, sent) = match &*pending {
            Pending::Bytes(bytes, from) => self.send(&bytes[*from..], now),
            Pending::Frame(frame, from) => {
                self.send(&framed(frame.bytes(), self.framing())[*from..], now)
            }
        };
        if progress == Progress::Blocked {
            let (Pending::Bytes(_, from) | Pending::Frame(_, from)) = &mut *pending;
            *from += sent;
            self.pending = Some(pending);
        }
        progress
    }

    fn send(&mut self, bytes: &[u8], now: u64) -> (Progress, usize) {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.send(&bytes[sent..]) {
                // A socket that takes nothing and says nothing: not one of ours.
                Ok(0) => return (Progress::Gone, sent),
                Ok(n) => sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if sent > 0 || self.stream.waiting {
                        self.stream.busy_since = now;
                    }
                    self.stream.waiting = false;
                    self.blocked = true;
                    // Rounds must not write into what is pending.
                    self.live = false;
                    return (Progress::Blocked, sent);
                }
                Err(_) => return (Progress::Gone, sent),
            }
        }
        self.stream.last_sent = now;
        self.stream.busy_since = now;
        self.stream.waiting = true;
        (Progress::Done, sent)
    }

    /// Reads and forgets what the client has sent. `None`: there may be more; `Some` with a reason: that was the end.
    pub(crate) fn discard(&mut self, most: usize, now: u64) -> Option<Result<(), EndReason>> {
        let (bytes, more) = match self.socket.discard(most) {
            Input::End => return Some(Err(EndReason::Client)),
            Input::Some(bytes) => (bytes, false),
            Input::More(bytes) => (bytes, true),
        };
        let minute = u32::try_from(now / MINUTE).unwrap_or(u32::MAX);
        if self.input.0 != minute {
            self.input = (minute, 0);
        }
        self.input.1 = self
            .input
            .1
            .saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.input.1 > MAX_INPUT {
            return Some(Err(EndReason::Error));
        }
        (!more).then_some(Ok(()))
    }

    /// Nothing is sent from here on.
    pub(crate) fn end(&mut self, reason: EndReason, clean: bool) {
        self.over = Some(Over { reason, clean });
        if self.how.held && clean {
            self.socket.give_back();
            return;
        }
        if clean {
            // With input left unread the system would break the connection, and what is under way be lost. More than
            // this it has no right to send.
            self.socket.discard(MAX_INPUT as usize);
        }
        self.socket.shut();
    }
}
