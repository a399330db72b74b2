//! `encode <ssehub | format>`: one Rust encoder as a worker.
//!
//! `format` is the code that one writes by hand, a line at a time; it checks nothing.

use std::fmt::Write;
use std::hint::black_box;

use serde::Deserialize;
use serde_json::{Value, json};
use ssehub_bench::timing::seconds_per_pass;
use ssehub_bench::worker::{Failure, locked_version, serve};

#[derive(Deserialize)]
struct Request {
    data: String,
    event: String,
    id: String,
    /// Time it for so long; without it, answer the bytes.
    min_seconds: Option<f64>,
}

/// Encodings per pass: the clock is read between passes only.
const EVENTS_PER_PASS: u32 = 1_000;

fn main() -> Result<(), Failure> {
    let name = std::env::args().nth(1).ok_or("usage: encode <encoder>")?;
    match name.as_str() {
        "ssehub" => serve(&locked_version("ssehub"), |r| answer(&r, with_ssehub))?,
        "format" => serve("std", |r| answer(&r, with_format))?,
        _ => return Err("no such encoder".into()),
    }
    Ok(())
}

type Encoder = fn(&Request) -> Result<Vec<u8>, Failure>;

fn answer(request: &Request, encode: Encoder) -> Result<Value, Failure> {
    let wire = encode(request)?;
    let Some(min_seconds) = request.min_seconds else {
        return Ok(json!({ "wire": String::from_utf8(wire)? }));
    };
    let seconds = seconds_per_pass(min_seconds, || {
        for _ in 0..EVENTS_PER_PASS {
            black_box(encode(black_box(request)).ok());
        }
    });
    Ok(json!({ "seconds": seconds / f64::from(EVENTS_PER_PASS) }))
}

fn with_ssehub(request: &Request) -> Result<Vec<u8>, Failure> {
    let event = ssehub::Event::new(request.data.as_str())
        .with_event(request.event.as_str())?
        .with_id(request.id.as_str())?;
    Ok(event.encode())
}

fn with_format(request: &Request) -> Result<Vec<u8>, Failure> {
    let mut text = String::new();
    writeln!(text, "id: {}", request.id)?;
    writeln!(text, "event: {}", request.event)?;
    for line in request.data.split('\n') {
        writeln!(text, "data: {line}")?;
    }
    text.push('\n');
    Ok(text.into_bytes())
}
