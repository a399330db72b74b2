//! When a source has ended, and whether that is well.

use std::time::{Duration, Instant};

use ssehub::{ClientErrorKind, ClientOptions, Ended, Notice, StopOn};

use crate::common::{CHUNKED, Client, HEAD, Server, chunk, open, open_with, options, post};

#[test]
fn the_end_mark() {
    let llm = |end: &str| format!("{CHUNKED}{}{end}", chunk("data: {\"a\":1}\n\n"));
    let done = format!("{}0\r\n\r\n", chunk("data: [DONE]\n\n"));
    let wanted = || ClientOptions {
        stop_on: Some(StopOn::Data("[DONE]".into())),
        ..options()
    };
    let server = Server::saying(llm(&done));
    let client = Client::open(&post(&server), wanted());
    let rest = client.rest();
    assert!(
        matches!(rest.last(), Some(Notice::Ended(Ended::Stopped(_)))),
        "{rest:?}"
    );
    assert!(client.0.is_finished());

    for (end, kind) in [
        ("0\r\n\r\n", ClientErrorKind::Unfinished),
        ("", ClientErrorKind::Interrupted),
        ("8\r\ndata: [D", ClientErrorKind::Interrupted),
    ] {
        let server = Server::saying(llm(end));
        let client = Client::open(&post(&server), wanted());
        let rest = client.rest();
        let Some(Notice::Failed(error)) = rest.last() else {
            panic!("{rest:?}")
        };
        assert_eq!(error.kind(), kind);
        assert!(!client.0.is_finished());
    }
}

#[test]
fn a_get_with_an_end_mark_reconnects_until_it_comes() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(format!("{HEAD}id: {0}\ndata: {0}\n\n", conn.index))?;
        if conn.index == 2 {
            conn.send("data: [DONE]\n\ndata: never\n\n")?;
            conn.until_closed();
        }
        Ok(())
    });
    let client = open_with(
        &server,
        ClientOptions {
            stop_on: Some(StopOn::Data("[DONE]".into())),
            ..options()
        },
    );
    for n in ["0", "1", "2"] {
        assert_eq!(client.data(), n);
    }
    assert!(matches!(client.next(), Notice::Ended(Ended::Stopped(_))));
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn no_content_means_do_not_come_back() {
    let server = Server::new(|conn| {
        conn.request()?;
        match conn.index {
            0 => conn.send(HEAD),
            _ => conn.send("HTTP/1.1 204 No Content\r\n\r\n"),
        }
    });
    let client = open(&server);
    assert!(matches!(
        client.rest().last(),
        Some(Notice::Ended(Ended::NoContent))
    ));
    assert!(client.0.is_finished());
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn as_many_tries_as_allowed() {
    let server = Server::saying("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    let mut few = options();
    few.reconnect.max_retries = Some(3);
    let rest = open_with(&server, few).rest();
    assert_eq!(rest.len(), 4);
    assert_eq!(server.seen().len(), 4);
    let mut short = options();
    short.reconnect.max_elapsed = Some(200);
    let started = Instant::now();
    open_with(&server, short).rest();
    assert!(started.elapsed() < Duration::from_secs(5));
}
