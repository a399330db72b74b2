//! What `tail` prints.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::args::{Command, TailArgs, parse};
use super::super::console::{Color, Console};
use super::super::tail::Tail;
use crate::client::{ClientError, ClientErrorKind, Ended, Gap, Notice, Opened, Refusal, Retry};
use crate::event::{Event, Fields};
use crate::topic::cursor::GapReason;

fn arguments(args: &[&str]) -> TailArgs {
    let args = ["tail", "http://x/"].iter().chain(args).map(Into::into);
    match parse(args) {
        Ok(Command::Tail(args)) => args,
        _ => panic!("not a tail"),
    }
}

fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(12 * 3600)
}

fn event(name: &str, id: &str, data: &str) -> Notice {
    let fields = Fields {
        event: Some(name),
        id: Some(id),
        data: Some(data),
        ..Fields::default()
    };
    Notice::Event(Event::from_fields(&fields).unwrap())
}

fn gap() -> Notice {
    Notice::Gap(Box::new(Gap {
        last_event_id: "7".into(),
        reason: GapReason::Expired,
        event: Event::new("{}"),
    }))
}

fn retry() -> Notice {
    Notice::Retrying(Box::new(Retry {
        error: ClientError::new(ClientErrorKind::Interrupted, "cut\x1b[2J"),
        delay: 1200,
        attempt: 2,
    }))
}

fn open() -> Notice {
    Notice::Open(Box::new(Opened {
        status: 200,
        headers: Vec::new(),
        url: "http://x/".into(),
        http: "HTTP/2",
        remote: None,
        attempt: 1,
        connected_after: 2,
        answered_after: 3,
    }))
}

/// Output, errors and the last status of a tail that gets these notices.
fn printed(args: &[&str], terminal: bool, notices: Vec<Notice>) -> (String, String, Option<u8>) {
    let args = arguments(args);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console::new(&mut out, &mut err).out_is_terminal(terminal);
    console.set_color(args.request.color);
    let mut tail = Tail::new(&args);
    let mut status = None;
    for notice in notices {
        status = status.or(tail.notice(notice, noon(), &mut console).unwrap());
    }
    let [out, err] = [out, err].map(|text| String::from_utf8(text).unwrap());
    (out, err, status)
}

#[test]
fn events_for_people() {
    let notices = vec![event("message", "", "one"), event("note", "7", "a\nb\n")];
    let (out, err, status) = printed(&[], false, notices.clone());
    assert_eq!(
        out,
        "12:00:00.000Z message one\n12:00:00.000Z note [7]\n    a\n    b\n    \n"
    );
    assert_eq!((err.as_str(), status), ("", None));
    let (out, _, _) = printed(&["--color", "always"], false, notices);
    assert!(
        out.contains("\x1b[1;36mnote\x1b[0m \x1b[2m[7]\x1b[0m\n"),
        "{out:?}"
    );
}

#[test]
fn colours_are_for_terminals() {
    let lines = |args: &[&str], terminal| printed(args, terminal, vec![event("a", "", "b")]).0;
    assert!(lines(&[], true).contains('\x1b'));
    assert!(!lines(&["--color", "never"], true).contains('\x1b'));
    assert!(!lines(&[], false).contains('\x1b'));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let console = Console::new(&mut out, &mut err)
        .out_is_terminal(true)
        .no_color(true);
    assert_eq!(console.paint(super::super::console::Style::Good, "x"), "x");
    assert_eq!(Color::default(), Color::Auto);
}

#[test]
fn a_stream_cannot_drive_the_terminal() {
    let hostile = || {
        vec![
            event("\x1b[31m", "\x07", "\x1b]0;x\x07\r\u{9b}2J\u{202e}\nnext"),
            retry(),
        ]
    };
    let (out, _, _) = printed(&["--color", "never"], true, hostile());
    assert!(
        !out.contains(['\x1b', '\x07', '\r', '\u{9b}', '\u{202e}']),
        "{out:?}"
    );
    // A file gets the data as it is, and a type and an id that are one word each.
    let (out, _, _) = printed(&[], false, hostile());
    assert!(
        out.contains("    \x1b]0;x\x07\r\u{9b}2J\u{202e}\n"),
        "{out:?}"
    );
    let (out, _, _) = printed(&["--json"], true, hostile());
    assert!(
        !out.contains(['\x1b', '\x07', '\r', '\u{9b}', '\u{202e}']),
        "{out:?}"
    );
}

#[test]
fn json_is_one_event_per_line_and_nothing_else() {
    let notices = vec![open(), event("note", "7", "a\n\"b\""), retry(), gap()];
    let (out, err, _) = printed(&["--json"], false, notices);
    assert_eq!(
        out,
        "{\"event\":\"note\",\"id\":\"7\",\"data\":\"a\\n\\\"b\\\"\"}\n\
         {\"event\":\"\",\"id\":\"\",\"data\":\"{}\"}\n"
    );
    assert!(err.contains("open: http://x/, HTTP/2, after 5 ms"), "{err}");
    assert!(
        err.contains("attempt 2: cut\\u{1b}[2J; again in 1.2 s"),
        "{err}"
    );
    assert!(
        err.contains("gap: events after 7 are lost (expired)"),
        "{err}"
    );
}

#[test]
fn only_some_types_and_only_so_many() {
    let notices = vec![
        event("a", "", "1"),
        event("b", "", "2"),
        event("a", "", "3"),
    ];
    let (out, _, status) = printed(&["-e", "a", "--json", "-n", "2"], false, notices.clone());
    assert_eq!((out.lines().count(), status), (2, Some(0)));
    let (out, _, status) = printed(&["-e", "c"], false, notices);
    assert_eq!((out.as_str(), status), ("", None));
}

#[test]
fn quiet_tells_of_gaps_but_not_of_connections() {
    let (out, err, _) = printed(&["-q"], false, vec![open(), retry(), gap()]);
    assert_eq!(out.lines().count(), 1);
    assert!(out.contains("gap"));
    assert_eq!(err, "");
}

#[test]
fn ends() {
    for (ended, word) in [
        (Ended::EndOfStream, "the stream has ended, 0 events"),
        (Ended::NoContent, "204"),
        (
            Ended::Stopped(Event::new("[DONE]")),
            "complete: message [DONE]",
        ),
    ] {
        let (out, _, status) = printed(&[], false, vec![Notice::Ended(ended)]);
        assert_eq!(status, Some(0));
        assert!(out.contains(word), "{out}");
    }
    let error = ClientError::new(ClientErrorKind::Status, "status 404").with_refusal(Refusal {
        status: 404,
        headers: Vec::new(),
        body: b"no such\x1b thing\n".to_vec(),
        retry_after: None,
    });
    let (out, err, status) = printed(&[], false, vec![Notice::Failed(error)]);
    assert_eq!((out.as_str(), status), ("", Some(1)));
    assert_eq!(err, "ssehub: status 404: no such\\u{1b} thing\n");
}

#[test]
fn comments_are_not_events() {
    let comments = || {
        vec![
            Notice::Comment("".into()),
            Notice::Comment("ping\x1b".into()),
        ]
    };
    let (out, _, status) = printed(&["-q", "-n", "1"], false, comments());
    assert_eq!(
        out,
        "12:00:00.000Z -- comment:\n12:00:00.000Z -- comment: ping\\u{1b}\n"
    );
    assert_eq!(status, None);
    assert_eq!(printed(&["--json"], false, comments()).0, "");
}

/// A pipe that is full every other time, and takes a byte at once otherwise.
struct Full {
    taken: Vec<u8>,
    full: bool,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.full = !self.full;
        if self.full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.taken.push(bytes[0]);
        Ok(1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_pipe_gets_everything_and_a_closed_one_ends_it() {
    let mut out = Full {
        taken: Vec::new(),
        full: false,
    };
    let mut err = Vec::new();
    Console::new(&mut out, &mut err).print("a text").unwrap();
    assert_eq!(out.taken, b"a text");

    let mut closed: &mut [u8] = &mut [];
    let mut console = Console::new(&mut closed, &mut err);
    let args = arguments(&[]);
    let mut tail = Tail::new(&args);
    assert!(
        tail.notice(event("a", "", "b"), noon(), &mut console)
            .is_err()
    );
}
