//! What a host sees of a stream: its token, what it has to send, how and why it ends.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::Batch;

/// One stream of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub(crate) index: u32,
    // A place is used again; a token never means two streams.
    pub(crate) life: u32,
}

impl Token {
    /// The token as one number, for hosts that keep it so.
    pub fn to_bits(self) -> u64 {
        u64::from(self.life) << 32 | u64::from(self.index)
    }

    /// The reverse of [`Token::to_bits`].
    pub fn from_bits(bits: u64) -> Self {
        Self {
            index: u32::try_from(bits & 0xffff_ffff).unwrap_or(u32::MAX),
            life: u32::try_from(bits >> 32).unwrap_or(u32::MAX),
        }
    }
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client, or whoever read the subscription, left.
    Client,
    /// It was too slow.
    Slow,
    /// The hub was drained or closed.
    Drain,
    /// [`crate::Hub::disconnect`], or a newer stream of the same key.
    Kick,
    /// The client's right to the stream ran out.
    Expired,
    /// The stream reached its maximum age.
    MaxAge,
    /// The host failed.
    Error,
}

impl EndReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Client,
        Self::Slow,
        Self::Drain,
        Self::Kick,
        Self::Expired,
        Self::MaxAge,
        Self::Error,
    ];

    /// The word for it in all three languages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Slow => "slow",
            Self::Drain => "drain",
            Self::Kick => "kick",
            Self::Expired => "expired",
            Self::MaxAge => "max_age",
            Self::Error => "error",
        }
    }
}

/// Who writes a stream to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The host: its event loop, its thread.
    InLoop,
    /// The engine, which alone owns the socket.
    Detached,
    /// The engine, through a duplicate of a socket that the server keeps.
    Held,
}

impl Mode {
    /// The word for it in all three languages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InLoop => "in-loop",
            Self::Detached => "detached",
            Self::Held => "held",
        }
    }
}

/// What a stream has to send.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Events.
    Frames(Arc<Batch>),
    /// Bytes of this stream alone: the opening block, a heartbeat.
    Bytes(Arc<[u8]>),
    /// The event that tells of a gap. A snapshot may follow.
    Gap(Arc<[u8]>),
    /// The stream is over.
    End(End),
}

impl Delivery {
    /// What to write, for hosts that write `Bytes`, as hyper and axum do. Frames are shared by all their readers, not
    /// copied. Nothing for an end without a farewell.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Frames(batch) => batch.shared(),
            Self::Bytes(bytes) | Self::Gap(bytes) => Bytes::from_owner(bytes),
            Self::End(end) => end.last.map(Bytes::from_owner).unwrap_or_default(),
        }
    }
}

/// How a stream ends.
#[derive(Clone, Debug)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// Bytes to send before the end: a farewell.
    pub last: Option<Arc<[u8]>>,
    /// Whether the host is to end the response. Otherwise the client takes nothing, and is to be cut.
    pub clean: bool,
}

/// What is known of a stream when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Whose it was.
    pub key: Option<String>,
    /// What it read: topic names and patterns.
    pub topics: Vec<String>,
    /// Why it ended.
    pub reason: EndReason,
    /// Who wrote it to its client.
    pub mode: Mode,
    /// How long it lasted, in milliseconds.
    pub duration: u64,
    /// Events handed to it.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its position.
    pub last_event_id: String,
}
