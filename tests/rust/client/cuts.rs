//! Connections that break: at every byte, and where it hurts.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use ssehub::{ClientErrorKind, ClientOptions, ClientRequest, Ended, Notice, When};

use crate::common::{CHUNKED, Client, HEAD, Server, chunk, nobody, open, open_with, options};

/// Five events with ids.
fn events(from: usize) -> String {
    let event = |n| format!("id: {n}\r\nevent: e\ndata: {n}\ndata: \u{e9}\u{1F600}\r\r\n");
    (from..5).map(event).collect::<Vec<_>>().concat()
}

fn answer(chunked: bool, from: usize) -> String {
    if !chunked {
        return format!("{HEAD}{}", events(from));
    }
    let chunks: String = events(from).split_inclusive("\r\r\n").map(chunk).collect();
    format!("{CHUNKED}{chunks}0\r\n\r\n")
}

fn hasty() -> ClientOptions {
    let mut options = options();
    options.reconnect.max_delay = 1;
    options.reconnect.server_delay = 0..=1;
    options
}

/// A server that resumes after the id it is given, and cuts its n-th answer after n bytes: whatever the byte, the
/// client ends up with each event once, in order.
#[test]
fn resumed_after_cuts_at_every_byte() {
    for chunked in [true, false] {
        let length = answer(chunked, 0).len();
        let at = AtomicUsize::new(0);
        let server = Server::new(move |conn| {
            let from = match conn.request()?.header("last-event-id") {
                Some(id) => id.parse::<usize>().map_err(io::Error::other)? + 1,
                None => 0,
            };
            let answer = answer(chunked, from);
            let cut = at.fetch_add(1, Ordering::SeqCst) % (length + 1);
            conn.send(&answer.as_bytes()[..cut.min(answer.len())])
        });
        let client = open_with(&server, hasty());
        let mut next = 0;
        while next < 5 {
            match client.next() {
                Notice::Event(event) => {
                    let fields = event.fields();
                    assert_eq!(
                        fields.data,
                        Some(format!("{next}\n\u{e9}\u{1F600}").as_str())
                    );
                    assert_eq!(fields.id, Some(next.to_string().as_str()));
                    next += 1;
                }
                Notice::Failed(error) => panic!("{error}"),
                _ => {}
            }
        }
    }
}

/// What comes before a cut is a beginning of what there is, and the end is an error exactly where the response was not
/// whole.
#[test]
fn cut_at_every_byte() {
    for chunked in [true, false] {
        let head = if chunked { CHUNKED.len() } else { HEAD.len() };
        let answer = answer(chunked, 0);
        let length = answer.len();
        let mut most = 0;
        for cut in 0..=length {
            let server = Server::saying(&answer.as_bytes()[..cut]);
            let mut once = hasty();
            once.reconnect.when = When::Never;
            let rest = open_with(&server, once).rest();
            let events = rest
                .iter()
                .filter(|notice| matches!(notice, Notice::Event(_)))
                .count();
            assert!((most..=5).contains(&events), "cut at {cut}");
            most = events;
            match rest.last() {
                Some(Notice::Ended(Ended::EndOfStream)) => {
                    let whole = if chunked { cut == length } else { cut >= head };
                    assert!(whole, "cut at {cut}");
                }
                Some(Notice::Failed(error)) => {
                    let kind = if cut < head {
                        ClientErrorKind::Connect
                    } else {
                        ClientErrorKind::Interrupted
                    };
                    assert_eq!(error.kind(), kind, "cut at {cut}: {error}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(most, 5);
    }
}

#[test]
fn what_is_no_http_is_an_error() {
    for answer in [
        "hello\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let server = Server::saying(answer);
        let client = open(&server);
        let error = client.error();
        assert_eq!(
            error.kind(),
            ClientErrorKind::Protocol,
            "{answer:?}: {error}"
        );
        assert!(error.is_retryable());
    }
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let server = Server::saying(long);
    assert_eq!(open(&server).error().kind(), ClientErrorKind::Protocol);
}

#[test]
fn a_broken_chunk_is_an_interruption() {
    for rest in ["xyz\r\n", "ffffffffffffffffff\r\n", "5\r\ndata:_"] {
        let server = Server::saying(format!("{CHUNKED}{}{rest}", chunk("data: 1\n\n")));
        let client = open(&server);
        assert_eq!(client.data(), "1");
        let error = client.error();
        assert_eq!(
            error.kind(),
            ClientErrorKind::Interrupted,
            "{rest:?}: {error}"
        );
    }
}

#[test]
fn a_length_that_is_not_reached_is_an_interruption() {
    let server = Server::saying(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 50\r\n\r\ndata: 1\n\n",
    );
    let client = open(&server);
    assert_eq!(client.data(), "1");
    assert_eq!(client.error().kind(), ClientErrorKind::Interrupted);
}

#[test]
fn nobody_there() {
    let address = nobody();
    let client = Client::open(&ClientRequest::get(format!("http://{address}/")), options());
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::Connect);
    assert!(error.is_retryable());
    let text = error.to_string();
    assert!(
        text.contains("refused") && text.contains(&address.to_string()),
        "{text}"
    );
    let nowhere = ClientRequest::get("http://no-such-host.invalid/");
    let error = Client::open(&nowhere, options()).error();
    assert_eq!(error.kind(), ClientErrorKind::Connect);
}
