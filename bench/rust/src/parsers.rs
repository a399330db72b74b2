//! The parsers under test, each driven the way its documentation shows.
//!
//! This file is the only place that knows their interfaces.

use std::convert::Infallible;
use std::fmt::Display;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{Stream, stream};

use crate::worker::{Failure, locked_version};

/// Takes the data of every event.
pub trait Sink {
    /// One event's data, as UTF-8.
    fn event(&mut self, data: &[u8]);
}

/// One of the parsers.
#[derive(Clone, Copy)]
pub enum Peer {
    Ssehub,
    Sseer,
    EventsourceStream,
    SseStream,
}

impl Peer {
    /// The parser of that crate.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ssehub" => Self::Ssehub,
            "sseer" => Self::Sseer,
            "eventsource-stream" => Self::EventsourceStream,
            "sse-stream" => Self::SseStream,
            _ => return None,
        })
    }

    /// The crate's version.
    pub fn version(self) -> String {
        locked_version(match self {
            Self::Ssehub => "ssehub",
            Self::Sseer => "sseer",
            Self::EventsourceStream => "eventsource-stream",
            Self::SseStream => "sse-stream",
        })
    }

    /// Parses one whole stream.
    pub fn parse(self, chunks: &[Bytes], sink: &mut impl Sink) -> Result<(), Failure> {
        match self {
            Self::Ssehub => {
                let mut parser = ssehub::Parser::new();
                for chunk in chunks {
                    parser.feed(chunk, |event| sink.event(event.data().as_bytes()))?;
                }
                Ok(())
            }
            Self::Sseer => drain(sseer::EventStream::new(source(chunks)), |event| {
                sink.event(event.data.as_bytes());
            }),
            Self::EventsourceStream => drain(source(chunks).eventsource(), |event| {
                sink.event(event.data.as_bytes());
            }),
            Self::SseStream => drain(sse_stream::SseByteStream::new(source(chunks)), |event| {
                sink.event(event.data.as_deref().unwrap_or_default().as_bytes());
            }),
        }
    }
}

/// The chunks as the byte stream that an HTTP client would give; a clone shares the bytes.
fn source(chunks: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(chunks.iter().cloned().map(Ok))
}

/// Polls a stream that is never pending to its end.
fn drain<T, E: Display>(
    stream: impl Stream<Item = Result<T, E>>,
    mut each: impl FnMut(T),
) -> Result<(), Failure> {
    let mut stream = pin!(stream);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match stream.as_mut().poll_next(&mut context) {
            Poll::Ready(Some(Ok(event))) => each(event),
            Poll::Ready(Some(Err(error))) => return Err(error.to_string().into()),
            Poll::Ready(None) => return Ok(()),
            Poll::Pending => return Err("the parser waits although all input is there".into()),
        }
    }
}
