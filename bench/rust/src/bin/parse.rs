//! `parse <crate>`: one Rust parser as a worker.

use std::fs;
use std::hint::black_box;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::{Value, json};
use ssehub_bench::parsers::{Peer, Sink};
use ssehub_bench::timing::seconds_per_pass;
use ssehub_bench::worker::{Failure, serve};

#[derive(Deserialize)]
struct Request {
    /// A file that holds the stream.
    corpus: String,
    /// Bytes per chunk; 0 is one event per chunk.
    chunk: usize,
    /// Time it for so long; without it, answer what was parsed.
    min_seconds: Option<f64>,
}

/// What was parsed, to compare with what the corpus holds.
#[derive(Default)]
struct Digest {
    events: u64,
    crc: crc32fast::Hasher,
}

impl Sink for Digest {
    fn event(&mut self, data: &[u8]) {
        self.events += 1;
        self.crc.update(data);
    }
}

/// What a program does at the least: look at the data.
#[derive(Default)]
struct Touch(usize);

impl Sink for Touch {
    fn event(&mut self, data: &[u8]) {
        self.0 += black_box(data).len();
    }
}

fn main() -> Result<(), Failure> {
    let name = std::env::args().nth(1).ok_or("usage: parse <crate>")?;
    let peer = Peer::named(&name).ok_or("no such parser")?;
    serve(&peer.version(), |request| answer(peer, &request))?;
    Ok(())
}

fn answer(peer: Peer, request: &Request) -> Result<Value, Failure> {
    let chunks = cut(&fs::read(&request.corpus)?, request.chunk);
    // Also warms up what is timed below.
    let mut digest = Digest::default();
    peer.parse(&chunks, &mut digest)?;
    let Some(min_seconds) = request.min_seconds else {
        return Ok(json!({ "events": digest.events, "crc": digest.crc.finalize() }));
    };
    let mut touch = Touch::default();
    let mut outcome = Ok(());
    let seconds = seconds_per_pass(min_seconds, || {
        outcome = peer.parse(&chunks, &mut touch);
    });
    outcome?;
    Ok(json!({ "seconds": seconds }))
}

/// Each chunk is an allocation of its own, as it is when read from a socket.
fn cut(stream: &[u8], size: usize) -> Vec<Bytes> {
    if size > 0 {
        return stream.chunks(size).map(Bytes::copy_from_slice).collect();
    }
    let mut start = 0;
    memmem::find_iter(stream, b"\n\n")
        .map(|blank| {
            let event = &stream[start..blank + 2];
            start = blank + 2;
            Bytes::copy_from_slice(event)
        })
        .collect()
}
