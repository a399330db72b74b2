//! A parser that is too simple to be wrong: it has the whole input, decodes it, splits it into lines and follows the
//! standard's sentences one by one. The tests and the fuzz targets compare with it.

/// One event as dispatched: type, data, id.
pub(crate) type Dispatched = (String, String, String);

/// All that a stream does.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<Dispatched>,
    pub(crate) last_event_id: String,
    pub(crate) retry: Option<u64>,
}

/// WHATWG HTML, "Parsing an event stream" and "Interpreting an event stream".
pub(crate) fn oracle(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    // What follows the last line end is no line yet.
    lines.pop();

    let mut outcome = Outcome::default();
    let (mut data, mut event, mut id) = (String::new(), String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            outcome.last_event_id.clone_from(&id);
            if let Some(data) = data.strip_suffix('\n') {
                let kind = if event.is_empty() { "message" } else { &event };
                outcome.events.push((kind.into(), data.into(), id.clone()));
            }
            data.clear();
            event.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data.extend([value, "\n"]),
            "event" => value.clone_into(&mut event),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                // A number of any length, and the largest that all languages hold.
                let number = value.parse().unwrap_or(u64::MAX);
                outcome.retry = Some(number.min(ssehub::MAX_RETRY));
            }
            _ => {}
        }
    }
    outcome
}

/// What the parser of the crate makes of a stream that comes in these pieces, in the same words.
pub(crate) fn parse<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Outcome {
    let mut parser = ssehub::Parser::new();
    let mut events = Vec::new();
    for chunk in chunks {
        parser
            .feed(chunk, |event| {
                events.push((event.event().into(), event.data().into(), event.id().into()));
            })
            .expect("no input here is larger than the limit");
    }
    Outcome {
        events,
        last_event_id: parser.last_event_id().into(),
        retry: parser.retry(),
    }
}
