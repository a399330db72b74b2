//! Arguments: what they mean, and what is said about those that cannot be used.

use super::super::args::{Command, parse};
use super::run;
use crate::client::{ClientOptions, ClientRequest, Proxy, StopOn, When};

fn tail(args: &[&str]) -> (ClientRequest, ClientOptions) {
    let args = ["tail"].iter().chain(args).map(Into::into);
    match parse(args) {
        Ok(Command::Tail(args)) => args.source().unwrap_or_else(|_| panic!("refused")),
        _ => panic!("not a tail"),
    }
}

#[test]
fn bad_ones_are_named() {
    for (args, word) in [
        (&["tail"][..], "<URL>"),
        (&["tale", "http://x"], "tail"),
        (&["tail", "--heder", "a: b", "http://x"], "--header"),
        (&["tail", "--count", "0", "http://x"], "--count"),
        (&["tail", "--timeout=-1", "http://x"], "--timeout"),
        (&["tail", "--timeout", "nan", "http://x"], "seconds"),
        (
            &["tail", "--max-event-size", "0", "http://x"],
            "max_event_size",
        ),
        (
            &["tail", "--wait", "--no-reconnect", "http://x"],
            "--no-reconnect",
        ),
        (&["tail", "-H", "no colon", "http://x"], "no colon"),
        (&["tail", "-H", "a b: c", "http://x"], "a b"),
        (
            &["tail", "-H", "Content-Length: 3", "http://x"],
            "Content-Length",
        ),
        (&["tail", "-H", "a: b\nc", "http://x"], "control character"),
        (&["tail", "--method", "NO WAY", "http://x"], "method"),
        (
            &["tail", "--data", "@/no/such/file", "http://x"],
            "/no/such/file",
        ),
        (
            &["tail", "--cacert", "/no/such/file", "http://x"],
            "/no/such/file",
        ),
        (&["tail", "--proxy", "gopher://x", "http://x"], "proxy"),
        (&["tail", "ftp://x"], "http: and https:"),
        (&["tail", "http://"], "URL"),
        (&["doctor", "http://"], "URL"),
        (
            &["doctor", "--origin", "https://x\n", "http://x"],
            "--origin",
        ),
        (&["doctor", "--seconds", "0", "http://x"], "--seconds"),
        (&["doctor", "--color", "pink", "http://x"], "always"),
    ] {
        let (status, out, err) = run(args);
        assert_eq!((status, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(word), "{args:?}: {err}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for args in [
        &["--help"][..],
        &["tail", "--help"],
        &["doctor", "-h"],
        &["--version"],
    ] {
        let (status, out, err) = run(args);
        assert_eq!((status, err.as_str()), (0, ""), "{args:?}");
        assert!(out.contains("ssehub"), "{args:?}: {out}");
    }
}

#[test]
fn a_request() {
    let (request, options) = tail(&["localhost:8000/events"]);
    assert_eq!(request.url, "http://localhost:8000/events");
    assert_eq!(request.method, "GET");
    assert!(request.body.is_none());
    assert_eq!(options.reconnect.when, When::IfGet);
    assert!(!options.reconnect.first && !options.comments);
    assert!(matches!(options.proxy, Proxy::Environment));

    let (request, options) = tail(&[
        "https://x/",
        "-d",
        "{\"a\": 1}",
        "-H",
        "X-Empty:",
        "-H",
        "A:  b: c ",
        "--last-event-id",
        "7",
        "--stop-on",
        "[DONE]",
        "--timeout",
        "1.5",
        "--proxy",
        "none",
        "--no-reconnect",
    ]);
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.headers,
        [
            ("X-Empty".to_owned(), b"".to_vec()),
            ("A".to_owned(), b"b: c".to_vec()),
            ("Content-Type".to_owned(), b"application/json".to_vec()),
        ]
    );
    assert_eq!(request.last_event_id.as_deref(), Some("7"));
    assert_eq!(options.stop_on, Some(StopOn::Data("[DONE]".into())));
    assert!(options.needs_finish());
    assert_eq!(options.idle_timeout, Some(1500));
    assert_eq!(options.reconnect.when, When::Never);
    assert!(matches!(options.proxy, Proxy::None));

    let (request, options) = tail(&["x", "-d", "plain", "-X", "PUT", "--stop-on-event", "end"]);
    assert_eq!(request.method, "PUT");
    assert_eq!(request.headers[0].1, b"text/plain; charset=utf-8");
    assert_eq!(options.stop_on, Some(StopOn::Event("end".into())));
    let (request, _) = tail(&["x/?to=http://y"]);
    assert_eq!(request.url, "http://x/?to=http://y");
    let (request, _) = tail(&["x", "-d", "{}", "-H", "content-type: a/b"]);
    assert_eq!(
        request.headers,
        [("content-type".to_owned(), b"a/b".to_vec())]
    );
}
