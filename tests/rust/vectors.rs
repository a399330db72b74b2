//! The vectors of `tests/vectors`, run by the Rust parser and encoder: whole, byte by byte, and by their own chunks.

use serde_json::Value;
use ssehub::{Event, Fields, Parser};

fn load(name: &str) -> Vec<Value> {
    let path = format!("{}/../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the vectors are in the repository");
    let mut file: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    match file["cases"].take() {
        Value::Array(cases) => cases,
        other => panic!("cases is a list, not {other}"),
    }
}

/// The text field `name`, given whole or as `[[text, times], ...]`.
fn text(value: &Value, name: &str) -> Option<String> {
    if let Some(text) = value[name].as_str() {
        return Some(text.to_owned());
    }
    let parts = value[format!("{name}_parts")].as_array()?;
    Some(
        parts
            .iter()
            .map(|part| {
                let times = usize::try_from(part[1].as_u64().expect("times")).expect("times");
                part[0].as_str().expect("text").repeat(times)
            })
            .collect(),
    )
}

fn input(case: &Value) -> Vec<u8> {
    match case["input_hex"].as_str() {
        Some(hex) => hex
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).expect("hex"))
            .collect(),
        None => text(case, "input").expect("input").into_bytes(),
    }
}

/// What one run of the parser gave, in the words of the vectors.
#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<(String, String, String)>,
    counts: Vec<usize>,
    last_event_id: String,
    retry: Option<u64>,
    failed: bool,
}

fn run(case: &Value, input: &[u8], sizes: &[usize]) -> Outcome {
    let mut parser = match case["max_event_size"].as_u64() {
        Some(limit) => Parser::with_max_event_size(usize::try_from(limit).expect("a size")),
        None => Parser::new(),
    };
    let mut events = Vec::new();
    let (mut counts, mut failed, mut rest) = (Vec::new(), false, input);
    for size in sizes {
        let (chunk, tail) = rest.split_at(*size);
        rest = tail;
        let result = parser.feed(chunk, |event| {
            events.push((
                event.event().to_owned(),
                event.data().to_owned(),
                event.id().to_owned(),
            ));
        });
        failed |= result.is_err();
        counts.push(events.len());
    }
    assert!(rest.is_empty(), "the chunks are the whole input");
    Outcome {
        events,
        counts,
        last_event_id: parser.last_event_id().to_owned(),
        retry: parser.retry(),
        failed,
    }
}

#[test]
fn parse() {
    let cases = load("parse.json");
    assert!(cases.len() > 300, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().expect("name");
        let input = input(case);
        let mut expected = Outcome {
            events: case["events"]
                .as_array()
                .expect("events")
                .iter()
                .map(|event| {
                    (
                        text(event, "event").unwrap_or_else(|| "message".into()),
                        text(event, "data").unwrap_or_default(),
                        text(event, "id").unwrap_or_default(),
                    )
                })
                .collect(),
            counts: Vec::new(),
            last_event_id: text(case, "last_event_id").unwrap_or_default(),
            retry: case["retry"].as_u64(),
            failed: case["error"] == "event_too_large",
        };
        let mut chunkings = vec![
            ("whole", vec![input.len()]),
            ("byte by byte", vec![1; input.len()]),
        ];
        if let Some(chunks) = case["chunks"].as_array() {
            let sizes = chunks
                .iter()
                .map(|size| usize::try_from(size.as_u64().expect("size")).expect("size"))
                .collect();
            chunkings.push(("chunks", sizes));
        }
        for (how, sizes) in chunkings {
            let mut got = run(case, &input, &sizes);
            if how == "chunks"
                && let Some(counts) = case["events_after_chunk"].as_array()
            {
                let counts: Vec<u64> = counts.iter().filter_map(Value::as_u64).collect();
                let had: Vec<u64> = got.counts.iter().map(|n| *n as u64).collect();
                if counts != had {
                    wrong.push(format!(
                        "{name}, {how}: after each chunk {had:?}, expected {counts:?}"
                    ));
                }
            }
            got.counts.clear();
            expected.counts.clear();
            if got != expected {
                wrong.push(format!("{name}, {how}: {got:?}, expected {expected:?}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n").chars().take(4000).collect::<String>()
    );
}

#[test]
fn encode() {
    let cases = load("encode.json");
    assert!(cases.len() > 100, "only {} cases", cases.len());
    for case in &cases {
        let name = case["name"].as_str().expect("name");
        let event = &case["event"];
        let [data, kind, id, comment] =
            ["data", "event", "id", "comment"].map(|field| text(event, field));
        let retry = &event["retry"];
        if !retry.is_null() && retry.as_u64().is_none() {
            assert_eq!(
                case["field"], "retry",
                "{name}: a retry that no u64 holds is refused by the type"
            );
            continue;
        }
        let fields = Fields {
            data: data.as_deref(),
            event: kind.as_deref(),
            id: id.as_deref(),
            retry: retry.as_u64(),
            comment: comment.as_deref(),
        };
        let encoded = ssehub::encode(&fields);
        let Some(wire) = text(case, "wire") else {
            let error = encoded.expect_err(name);
            assert_eq!(error.field(), case["field"].as_str(), "{name}: {error}");
            continue;
        };
        let bytes = encoded.expect(name);
        assert_eq!(
            String::from_utf8(bytes.clone()).expect("text"),
            wire,
            "{name}"
        );
        assert_eq!(
            bytes.capacity(),
            bytes.len(),
            "{name}: the size is known beforehand"
        );
        assert_eq!(
            Event::from_fields(&fields).expect(name).encode(),
            bytes,
            "{name}"
        );
    }
}
