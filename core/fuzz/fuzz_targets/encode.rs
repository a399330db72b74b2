//! Any fields are refused, or parse back to themselves: one event, and nothing injected.
#![no_main]

#[path = "../../../tests/rust/naive.rs"]
mod naive;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use naive::{Outcome, oracle, parse};
use ssehub::{Event, Fields};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    data: Option<&'a str>,
    event: Option<&'a str>,
    id: Option<&'a str>,
    retry: Option<u64>,
    comment: Option<&'a str>,
}

fuzz_target!(|input: Input<'_>| {
    let fields = Fields {
        data: input.data,
        event: input.event,
        id: input.id,
        retry: input.retry,
        comment: input.comment,
    };
    let encoded = ssehub::encode(&fields);
    assert_eq!(encoded.is_ok(), Event::from_fields(&fields).is_ok());
    let Ok(encoded) = encoded else { return };
    assert_eq!(encoded.capacity(), encoded.len(), "one allocation");

    let event = input.event.filter(|event| !event.is_empty());
    let event = event.unwrap_or("message").to_owned();
    let id = input.id.unwrap_or_default().to_owned();
    let data = input
        .data
        .map(|data| data.replace("\r\n", "\n").replace('\r', "\n"));
    let expected = Outcome {
        events: data
            .map(|data| (event, data, id.clone()))
            .into_iter()
            .collect(),
        last_event_id: id,
        retry: input.retry,
    };
    assert_eq!(oracle(&encoded), expected);

    assert_eq!(parse(encoded.chunks(1)), expected);
});
