//! Redirects between servers that are there. The rules are tested beside them, in `core/src/client/tests/redirect.rs`.

use bytes::Bytes;
use ssehub::{Answer, ClientErrorKind, ClientOptions, ClientRequest, Notice, Question, Redirects};

use crate::common::{Client, HEAD, Server, open, options};

fn to(status: u16, place: &str) -> Server {
    Server::saying(format!(
        "HTTP/1.1 {status} There\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn stream() -> Server {
    Server::saying(format!("{HEAD}data: here\n\n"))
}

#[test]
fn all_five_are_followed_and_reconnects_start_at_the_beginning() {
    for status in [301, 302, 303, 307, 308] {
        let there = stream();
        let here = to(status, &there.url("/there"));
        let client = open(&here);
        let opened = client.opened();
        assert_eq!(opened.url, there.url("/there"));
        assert_eq!(opened.attempt, 1);
        assert_eq!(client.data(), "here");
        client.opened();
        assert!(here.seen().len() >= 2, "{status}");
    }
}

#[test]
fn within_one_server_by_a_relative_place() {
    let server = Server::new(|conn| match conn.request()?.target.as_str() {
        "/a/b" => conn.send(
            "HTTP/1.1 302 There\r\nLocation: ../c?d=%20\u{e9}#f\r\nContent-Length: 0\r\n\r\n",
        ),
        _ => conn.send(format!("{HEAD}data: here\n\n")),
    });
    let request = ClientRequest {
        headers: vec![("Authorization".into(), b"Bearer x".to_vec())],
        last_event_id: Some("3".into()),
        ..ClientRequest::get(server.url("/a/b"))
    };
    let client = Client::open(&request, options());
    assert_eq!(client.data(), "here");
    let seen = &server.seen()[1];
    assert_eq!(seen.target, "/c?d=%20%C3%A9");
    assert_eq!(seen.header("authorization").as_deref(), Some("Bearer x"));
    assert_eq!(seen.header("last-event-id").as_deref(), Some("3"));
}

#[test]
fn what_is_meant_for_one_server_is_not_shown_to_another() {
    let there = stream();
    let here = to(302, &there.url("/"));
    let asking = ClientOptions {
        ask_headers: true,
        ..options()
    };
    let request = ClientRequest {
        headers: vec![
            ("Authorization".into(), b"Bearer secret".to_vec()),
            ("Cookie".into(), b"a=b".to_vec()),
            ("X-Key".into(), b"k".to_vec()),
        ],
        last_event_id: Some("3".into()),
        ..ClientRequest::get(here.url("/").replace("http://", "http://user:pw@"))
    };
    let client = Client::open(&request, asking);
    assert!(matches!(client.next(), Notice::Ask(_)));
    let fresh = vec![("X-Fresh".to_owned(), b"f".to_vec())];
    client.0.answer(Answer::Headers(fresh)).unwrap();
    assert_eq!(client.data(), "here");
    let first = &here.seen()[0];
    for name in [
        "authorization",
        "cookie",
        "x-key",
        "x-fresh",
        "last-event-id",
    ] {
        assert!(first.headers.contains_key(name), "{name}");
    }
    let mut second: Vec<String> = there.seen()[0].headers.keys().cloned().collect();
    second.sort();
    assert_eq!(
        second,
        [
            "accept",
            "accept-encoding",
            "cache-control",
            "host",
            "user-agent"
        ]
    );
}

#[test]
fn a_body_goes_elsewhere_only_when_allowed() {
    let there = stream();
    let here = to(307, &there.url("/"));
    let request = ClientRequest {
        method: "POST".into(),
        body: Some(Bytes::from_static(b"prompt")),
        ..ClientRequest::get(here.url("/"))
    };
    let error = Client::open(&request, options()).error();
    assert_eq!(error.kind(), ClientErrorKind::Redirect);
    assert_eq!(error.status(), Some(307));
    assert!(there.seen().is_empty());
    let allowed = ClientOptions {
        redirects: Redirects {
            foreign_body: true,
            ..Redirects::default()
        },
        ..options()
    };
    assert_eq!(Client::open(&request, allowed).data(), "here");
    assert_eq!(there.seen()[0].body, b"prompt");
}

#[test]
fn a_loop_ends() {
    let server = to(302, "/again");
    let error = open(&server).error();
    assert_eq!(error.kind(), ClientErrorKind::Redirect);
    assert_eq!(server.seen().len(), 11);
}

#[test]
fn without_a_place_it_is_a_status() {
    let server = Server::saying("HTTP/1.1 301 Where\r\nContent-Length: 0\r\n\r\n");
    let error = open(&server).error();
    assert_eq!(
        (error.kind(), error.status()),
        (ClientErrorKind::Status, Some(301))
    );
    let server = to(301, "");
    assert_eq!(open(&server).error().kind(), ClientErrorKind::Redirect);
}

#[test]
fn the_host_may_say_no() {
    let there = stream();
    let here = to(302, &there.url("/x"));
    let asking = ClientOptions {
        redirects: Redirects {
            ask: true,
            ..Redirects::default()
        },
        ..options()
    };
    for allowed in [false, true] {
        let request = ClientRequest::get(here.url("/"));
        let client = Client::open(&request, asking.clone());
        let Notice::Ask(Question::Redirect { from, to, .. }) = client.next() else {
            panic!("not asked")
        };
        assert_eq!((from, to), (here.url("/"), there.url("/x")));
        assert!(there.seen().is_empty());
        client.0.answer(Answer::Redirect(allowed)).unwrap();
        if allowed {
            assert_eq!(client.data(), "here");
        } else {
            assert_eq!(client.error().kind(), ClientErrorKind::Redirect);
        }
    }
}
