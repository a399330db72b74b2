//! The parser and the encoder against a parser that is too simple to be wrong.

mod naive;

use naive::{Dispatched, Outcome, oracle, parse};
use proptest::prelude::*;
use ssehub::{Event, Fields, Parsed, Parser};

/// Cuts the input into pieces of these sizes, over and over.
fn cut<'i>(input: &'i [u8], sizes: &[usize]) -> Vec<&'i [u8]> {
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = input;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
        if chunks.len() > 10_000 {
            chunks.push(rest);
            break;
        }
    }
    chunks
}

/// The comments of a stream, but for those of more bytes than `limit`. Byte by byte: U+FFFD is more than what it
/// stands for.
fn comments_of(input: &[u8], limit: usize) -> Vec<String> {
    let input = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input);
    let mut comments = Vec::new();
    let mut line = Vec::new();
    for byte in input {
        if !matches!(byte, b'\r' | b'\n') {
            line.push(*byte);
            continue;
        }
        if let Some(text) = line.strip_prefix(b":").filter(|_| line.len() <= limit) {
            let text = text.strip_prefix(b" ").unwrap_or(text);
            comments.push(String::from_utf8_lossy(text).into_owned());
        }
        line.clear();
    }
    comments
}

/// Bytes that have a chance to mean something.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "data", "event", "id", "retry", "dat", "datas", "Data", "ids", "\u{feff}", "data: ",
            "data:", "event: ", "id: ", "retry: 12", "retry: 9007199254740993",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        8 => prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
        4 => prop::sample::select(vec![":", " ", "  ", "\0", "0", "x", "message", "\u{e9}\u{1f980}"])
            .prop_map(|text| text.as_bytes().to_vec()),
        // Characters cut short, bytes that are none.
        2 => prop::sample::select(vec![
            &b"\xef\xbb"[..], b"\xef", b"\xf0\x9f\xa6", b"\xe2\x82", b"\xff", b"\x80", b"\xc0\xaf",
            b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
        ]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        " ",
        ":",
        "\n",
        "\r",
        "\r\n",
        "\0",
        "data: ",
        "\u{feff}",
        "\u{2028}",
        "\u{85}",
        "\u{1f980}",
        "\u{fffd}",
        "id: 7",
        "\t",
    ]);
    prop_oneof![
        3 => prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: ProptestConfig::default().cases.max(1000),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_stream_in_any_pieces_means_the_same(
        input in stream(),
        sizes in prop::collection::vec(0..9_usize, 1..8),
    ) {
        let expected = oracle(&input);
        prop_assert_eq!(&parse([&input[..]]), &expected);
        prop_assert_eq!(&parse(cut(&input, &[1])), &expected);
        prop_assert_eq!(&parse(cut(&input, &sizes)), &expected);
    }

    #[test]
    fn any_bytes_at_all(input in prop::collection::vec(any::<u8>(), 0..300)) {
        let expected = oracle(&input);
        prop_assert_eq!(&parse([&input[..]]), &expected);
        prop_assert_eq!(&parse(cut(&input, &[1])), &expected);
    }

    #[test]
    fn comments_are_told_beside_the_events(
        input in stream(),
        sizes in prop::collection::vec(0..9_usize, 1..8),
        limit in prop_oneof![Just(usize::MAX), 0..9_usize],
    ) {
        for chunks in [vec![&input[..]], cut(&input, &[1]), cut(&input, &sizes)] {
            let (mut parser, mut comments) = (Parser::with_max_event_size(limit), Vec::new());
            let mut plain = Parser::with_max_event_size(limit);
            let (mut events, mut expected) = (Vec::new(), Vec::new());
            let mut failed = false;
            for chunk in chunks {
                let result = parser.feed_with_comments(chunk, |found| match found {
                    Parsed::Event(event) => events.push(event.to_event()),
                    Parsed::Comment(text) => comments.push(text.to_owned()),
                });
                let also = plain.feed(chunk, |event| expected.push(event.to_event()));
                prop_assert_eq!(&result, &also);
                failed |= result.is_err();
            }
            prop_assert_eq!(events, expected);
            if !failed {
                prop_assert_eq!(comments, comments_of(&input, limit));
            }
        }
    }

    #[test]
    fn a_size_limit_cuts_no_event_short(input in stream(), limit in 0..40_usize) {
        let all = oracle(&input).events;
        let run = |chunks: Vec<&[u8]>| {
            let mut parser = Parser::with_max_event_size(limit);
            let mut events: Vec<Dispatched> = Vec::new();
            let failed = chunks.into_iter().any(|chunk| {
                parser
                    .feed(chunk, |e| events.push((e.event().into(), e.data().into(), e.id().into())))
                    .is_err()
            });
            (events, failed)
        };
        let (events, failed) = run(vec![&input]);
        prop_assert_eq!(&events[..], &all[..events.len()]);
        prop_assert!(failed || events.len() == all.len());
        // One byte at a time, a line that never ends is refused as well.
        let (bytewise, failed_bytewise) = run(cut(&input, &[1]));
        prop_assert_eq!(bytewise, events);
        prop_assert_eq!(failed_bytewise, failed);
    }

    #[test]
    fn what_is_encoded_parses_back_to_itself(
        data in prop::option::of(text()),
        event in prop::option::of(text()),
        id in prop::option::of(text()),
        retry in prop::option::of(prop_oneof![any::<u64>(), 0..100_u64]),
        comment in prop::option::of(text()),
        sizes in prop::collection::vec(1..9_usize, 1..4),
    ) {
        let fields = Fields {
            data: data.as_deref(),
            event: event.as_deref(),
            id: id.as_deref(),
            retry,
            comment: comment.as_deref(),
        };
        let one_line = |text: &Option<String>, also: char| {
            text.as_ref().is_none_or(|text| !text.contains(['\r', '\n', also]))
        };
        let valid = one_line(&event, '\n')
            && one_line(&id, '\0')
            && event.as_ref().is_none_or(|event| !event.starts_with("ssehub:"))
            && retry.is_none_or(|retry| retry <= ssehub::MAX_RETRY)
            && fields != Fields::default();
        let encoded = ssehub::encode(&fields);
        prop_assert_eq!(encoded.is_ok(), valid);
        prop_assert_eq!(Event::from_fields(&fields).is_ok(), valid);
        let Ok(encoded) = encoded else { return Ok(()) };

        let id = id.unwrap_or_default();
        let lines = |data: &String| data.replace("\r\n", "\n").replace('\r', "\n");
        let event = event.filter(|event| !event.is_empty()).unwrap_or("message".into());
        let expected = Outcome {
            events: data.iter().map(|data| (event.clone(), lines(data), id.clone())).collect(),
            last_event_id: id.clone(),
            retry,
        };
        prop_assert_eq!(&oracle(&encoded), &expected);
        prop_assert_eq!(&parse([&encoded[..]]), &expected);
        prop_assert_eq!(&parse(cut(&encoded, &sizes)), &expected);
        // Also behind another event, which leaves nothing behind but its id.
        let both = [&b"id: before\nevent: x\ndata: y\n\n"[..], &encoded].concat();
        let events = parse([&both[..]]).events;
        prop_assert_eq!(events.len(), 1 + expected.events.len());
        if let Some((event, data, _)) = expected.events.first() {
            prop_assert_eq!((&events[1].0, &events[1].1), (event, data));
        }
    }
}

#[test]
fn nothing_can_be_injected() {
    let tricks = [
        "x\ny",
        "x\ry",
        "x\r\ny",
        "\n",
        "\r",
        "x\n\ndata: y",
        "x\ndata: y",
    ];
    for trick in tricks {
        for fields in [
            Fields {
                data: Some("x"),
                event: Some(trick),
                ..Fields::default()
            },
            Fields {
                data: Some("x"),
                id: Some(trick),
                ..Fields::default()
            },
        ] {
            let error = ssehub::encode(&fields).expect_err(trick);
            assert_eq!(error.kind(), ssehub::ErrorKind::InvalidArgument);
            assert!(Event::from_fields(&fields).is_err());
        }
        assert!(Event::new("x").with_event(trick).is_err());
        assert!(Event::new("x").with_id(trick).is_err());
        // In data and comments line breaks are welcome, and stay there.
        let event = Event::new(trick).with_comment(trick);
        assert_eq!(parse([&event.encode()[..]]).events.len(), 1);
        assert_eq!(
            parse([&Event::comment(trick).encode()[..]]),
            Outcome::default()
        );
    }
    assert!(Event::new("x").with_id("a\0b").is_err());
    assert!(
        Event::new("x").with_event("a\0b").is_ok(),
        "the standard has nothing against it"
    );
}

#[test]
fn a_malformed_id_counts_as_it_came() {
    // Two bytes that decode to six: within the limit, however they arrive.
    let input = b"id: \xc0\xaf\ndata\n\n";
    for size in 1..=input.len() {
        let mut parser = Parser::with_max_event_size(2);
        let mut count = 0;
        for chunk in input.chunks(size) {
            parser
                .feed(chunk, |_| count += 1)
                .expect("within the limit");
        }
        assert_eq!(count, 1);
    }
}

#[test]
fn one_line_of_8_mib_in_small_chunks() {
    // With work for every byte on every chunk, this would be 24 billion steps, and not end.
    const SIZE: usize = 8 << 20;
    for head in ["data: ", "id: ", ": ", "unknown: "] {
        let mut input = head.as_bytes().to_vec();
        input.resize(SIZE, b'x');
        input.extend_from_slice(b"\ndata\n\n");
        let outcome = parse(input.chunks(1460));
        assert_eq!(outcome.events.len(), 1, "{head}");
        let (_, data, id) = &outcome.events[0];
        let kept = SIZE - head.len();
        match head {
            "data: " => assert_eq!(data.len(), kept + 1),
            "id: " => assert_eq!(id.len(), kept),
            _ => assert_eq!(data.len() + id.len(), 0),
        }
    }
}

#[test]
fn many_lines_of_one_event_in_small_chunks() {
    let input = "data: x\n".repeat(1 << 20) + "\n";
    let outcome = parse(input.as_bytes().chunks(1460));
    assert_eq!(outcome.events[0].1.len(), 2 * (1 << 20) - 1);
}
