//! One Server-Sent Events engine: an exact wire format, one bounded log with cursors, one hub.
//!
//! The two flows, in the order of the code:
//!
//! ```text
//! publish   event -> wire/encode -> topic/log -> hub -+-> engine -> sockets that hosts have handed over
//!                                      ^              +-> selector -> an event loop's streams
//!                                      |              +-> subscription -> your code
//!                                      +-- topic/cursor <- Last-Event-ID (replay is the same read as live)
//! receive   socket -> client -> wire/parse -> event -> you
//! ```
//!
//! `event`, `id`, `error` and `options` use nothing; `wire` uses those; `topic` uses `wire`. None of these knows a
//! clock, a lock, a thread or a socket: time is an argument. `hub`, `selector`, `subscription` and `engine` add those.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `hub` | yes | [`Hub`] and all that needs a clock or a lock. Without it: events, encoder, parser, with `memchr` alone |
//! | `client` | yes | [`EventSource`] and all that makes HTTP requests: see [`client`] |
//! | `cli` | no | the command line, `ssehub tail` and `ssehub doctor`: see `cli` |
#![cfg_attr(
    not(all(feature = "hub", unix)),
    allow(
        dead_code,
        reason = "the log and its cursors are built, and used by the hub and its engine only"
    )
)]

mod error;
mod event;
mod id;
mod options;
mod topic;
mod wire;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;

#[cfg(any(feature = "hub", feature = "client"))]
mod thread;

#[cfg(feature = "hub")]
mod batch;
#[cfg(feature = "hub")]
mod clock;
#[cfg(feature = "hub")]
mod delivery;
#[cfg(all(feature = "hub", unix))]
mod engine;
#[cfg(all(feature = "hub", not(unix)))]
#[path = "engine_none.rs"]
mod engine;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
mod metrics;
#[cfg(feature = "hub")]
mod reader;
#[cfg(feature = "hub")]
mod registry;
#[cfg(feature = "hub")]
mod selector;
#[cfg(feature = "hub")]
mod shared;
#[cfg(feature = "hub")]
mod stats;
#[cfg(feature = "hub")]
mod stream;
#[cfg(feature = "hub")]
mod streams;
#[cfg(feature = "hub")]
mod subscription;

pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventRef, Fields, MAX_RETRY, RESERVED_PREFIX};
pub use id::{EventId, MAX_CUSTOM_ID};
pub use options::{
    History, HubOptions, Limits, OnGap, Slow, Start, StreamOptions, SubscribeOptions,
};
pub use topic::cursor::GapReason;
pub use wire::encode::encode;
pub use wire::parse::{DEFAULT_MAX_EVENT_SIZE, Parsed, Parser};

#[cfg(feature = "hub")]
pub use batch::Batch;
#[cfg(feature = "hub")]
pub use delivery::{Delivery, End, EndReason, Mode, StreamInfo, Token};
#[cfg(feature = "hub")]
pub use engine::{Framing, HandOff, Report, Reports, Slot};
#[cfg(feature = "hub")]
pub use hub::{Hub, Topic};
#[cfg(feature = "hub")]
pub use reader::Reader;
#[cfg(feature = "hub")]
pub use selector::Selector;
#[cfg(feature = "hub")]
pub use stats::{Stats, TopicStats};
#[cfg(feature = "hub")]
pub use subscription::Subscription;

#[cfg(feature = "client")]
#[doc(no_inline)]
pub use client::{
    Answer, ClientError, ClientErrorKind, ClientOptions, ClientRequest, Ended, EventBatch,
    EventSource, Gap, Headers, HttpVersion, Notice, OnReady, Opened, Proxy, Question, ReadyState,
    Reconnect, Redirects, Refusal, Retry, StopOn, Taken, TlsOptions, When,
};
