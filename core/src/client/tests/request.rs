use hyper::header::HeaderValue;

use super::super::options::{ClientOptions, ClientRequest, Reconnect};
use super::super::request::{Hop, Target};
use super::fields;
use crate::error::ErrorKind;

fn with_headers(headers: &[(&str, &[u8])]) -> ClientRequest {
    ClientRequest {
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
            .collect(),
        ..ClientRequest::get("http://a.test/")
    }
}

fn hop(request: &ClientRequest) -> Hop {
    let (target, id) = Target::new(request, false).expect("a request");
    target.hop(&fields(&[]), &id)
}

#[test]
fn what_is_sent_when_nothing_is_said() {
    let hop = hop(&ClientRequest::get("http://a.test/x"));
    assert_eq!(hop.method, "GET");
    assert_eq!(hop.headers["accept"], "text/event-stream");
    assert_eq!(hop.headers["cache-control"], "no-cache");
    assert_eq!(hop.headers["accept-encoding"], "identity");
    assert!(!hop.headers.contains_key("last-event-id"));
}

#[test]
fn the_callers_fields_replace_ours() {
    let request = with_headers(&[
        ("Accept", b"text/event-stream, application/json"),
        ("X-Twice", b"1"),
        ("x-twice", b"2"),
        ("X-Text", "\u{e9}".as_bytes()),
    ]);
    let hop = hop(&request);
    assert_eq!(hop.headers.get_all("accept").iter().count(), 1);
    assert_eq!(hop.headers.get_all("x-twice").iter().count(), 2);
    assert_eq!(hop.headers["x-text"].as_bytes(), b"\xC3\xA9");
}

#[test]
fn fields_of_an_attempt_replace_those_of_the_request() {
    let request = with_headers(&[("Authorization", b"Bearer old"), ("X-Kept", b"1")]);
    let (target, id) = Target::new(&request, false).unwrap();
    let hop = target.hop(&fields(&[("authorization", "Bearer new")]), &id);
    assert_eq!(hop.headers["authorization"], "Bearer new");
    assert_eq!(hop.headers["x-kept"], "1");
}

#[test]
fn credentials_become_a_field_and_leave_the_url() {
    let one = hop(&ClientRequest::get("http://us%40er:p%3Aw@a.test/#part"));
    assert_eq!(one.url.as_str(), "http://a.test/");
    assert_eq!(one.headers["authorization"], "Basic dXNAZXI6cDp3");
    let own = ClientRequest {
        headers: vec![("Authorization".into(), b"Bearer x".to_vec())],
        ..ClientRequest::get("http://user:pw@a.test/")
    };
    assert_eq!(hop(&own).headers["authorization"], "Bearer x");
}

#[test]
fn ids_that_can_be_sent_are_and_others_are_left_out() {
    let long = "x".repeat(5000);
    for (id, sent) in [
        ("17", Some("17".as_bytes())),
        ("\u{2026}", Some("\u{2026}".as_bytes())),
        ("a b\tc", Some(b"a b\tc")),
        ("", None),
        ("a\0b", None),
        ("a\nb", None),
        ("a\rb", None),
        ("a\x7fb", None),
        (long.as_str(), None),
    ] {
        let request = ClientRequest {
            last_event_id: Some(id.into()),
            ..ClientRequest::get("http://a.test/")
        };
        let hop = hop(&request);
        let value = hop.headers.get("last-event-id");
        assert_eq!(value.map(HeaderValue::as_bytes), sent, "{id:?}");
    }
}

#[test]
fn an_id_among_the_fields_is_where_to_start() {
    let request = with_headers(&[("Last-Event-ID", b"9")]);
    let (target, id) = Target::new(&request, false).unwrap();
    assert_eq!(id, "9");
    // It is not stuck to the request: a later id replaces it.
    let later = target.hop(&fields(&[]), "10");
    assert_eq!(later.headers.get_all("last-event-id").iter().count(), 1);
    assert_eq!(later.headers["last-event-id"], "10");
}

#[test]
fn what_cannot_work_is_refused_with_its_name() {
    let get = ClientRequest::get;
    let with_method = |method: &str| ClientRequest {
        method: method.into(),
        ..get("http://a.test/")
    };
    for (request, field) in [
        (get("/relative"), "url"),
        (get("ws://a.test/"), "url"),
        (get("http://"), "url"),
        (get("http://a.test:99999/"), "url"),
        (with_method("G T"), "method"),
        (with_method(""), "method"),
        (with_method("CONNECT"), "method"),
        (with_headers(&[("a b", b"")]), "headers"),
        (with_headers(&[("a", b"x\r\ny: z")]), "headers"),
        (with_headers(&[("a", b"\0")]), "headers"),
        (with_headers(&[("Content-Length", b"5")]), "headers"),
        (
            with_headers(&[("transfer-encoding", b"chunked")]),
            "headers",
        ),
        (with_headers(&[("Connection", b"close")]), "headers"),
        (
            with_headers(&[("Proxy-Authorization", b"Basic eDp5")]),
            "headers",
        ),
    ] {
        let error = Target::new(&request, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert_eq!(error.field(), Some(field), "{error}");
    }
}

#[test]
fn the_proxys_password_has_its_place() {
    let request = with_headers(&[("proxy-authorization", b"Basic eDp5")]);
    let message = Target::new(&request, false).unwrap_err().to_string();
    assert!(
        message.contains("http://user:password@host:port"),
        "{message}"
    );
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
fn options_are_checked() {
    let options = ClientOptions::default;
    assert!(options().check().is_ok());
    for (wrong, field) in [
        (
            ClientOptions {
                max_event_size: 0,
                ..options()
            },
            "max_event_size",
        ),
        (
            ClientOptions {
                max_queued_events: 0,
                ..options()
            },
            "max_queued_events",
        ),
        (
            ClientOptions {
                max_queued_bytes: 0,
                ..options()
            },
            "max_queued_bytes",
        ),
        (
            ClientOptions {
                idle_timeout: Some(0),
                ..options()
            },
            "idle_timeout",
        ),
        (
            ClientOptions {
                connect_timeout: Some(0),
                ..options()
            },
            "connect_timeout",
        ),
        (
            ClientOptions {
                reconnect: Reconnect {
                    server_delay: 2..=1,
                    ..Reconnect::default()
                },
                ..options()
            },
            "server_delay",
        ),
    ] {
        let error = wrong.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
        assert_eq!(error.field(), Some(field));
    }
}
