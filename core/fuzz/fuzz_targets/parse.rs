//! Any bytes in any pieces are parsed as the naive parser parses the whole. The first bytes of the input say how the
//! rest is cut.
#![no_main]

#[path = "../../../tests/rust/naive.rs"]
mod naive;

use libfuzzer_sys::fuzz_target;
use naive::{oracle, parse};
use ssehub::Parser;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (sizes, stream) = input;
    let expected = oracle(stream);
    assert_eq!(parse([stream]), expected, "whole");
    assert_eq!(parse(stream.chunks(1)), expected, "byte by byte");

    let mut rest = stream;
    let mut chunks = Vec::new();
    for size in sizes {
        let (chunk, tail) = rest.split_at(usize::from(size).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
    }
    chunks.push(rest);
    assert_eq!(parse(chunks), expected, "in pieces");

    // Whatever the limit, what comes out before it is right.
    let mut parser = Parser::with_max_event_size(stream.len() / 4);
    let mut count = 0;
    let _ = parser.feed(stream, |event| {
        let (kind, data, id) = &expected.events[count];
        assert_eq!(
            (event.event(), event.data(), event.id()),
            (&**kind, &**data, &**id)
        );
        count += 1;
    });
});
