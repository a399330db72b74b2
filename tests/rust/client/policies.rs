//! What is done about what the server answers. The rules themselves are tested beside them, in `core/src/client/tests`.

use std::time::{Duration, Instant};

use ssehub::{
    Answer, ClientErrorKind, ClientOptions, ClientRequest, GapReason, Notice, Question, When,
};

use crate::common::{CHUNKED, Client, HEAD, Server, chunk, open, open_with, options, post};

#[test]
fn statuses_that_end_it() {
    for status in [201, 205, 210, 299, 304, 400, 401, 403, 404, 410] {
        let server = Server::saying(format!(
            "HTTP/1.1 {status} Something\r\nContent-Type: text/plain\r\nX-Why: because\r\nContent-Length: 4\r\n\r\nno.\n"
        ));
        let rest = open(&server).rest();
        let [Notice::Failed(error)] = rest.as_slice() else {
            panic!("{status}: {rest:?}")
        };
        assert_eq!(error.kind(), ClientErrorKind::Status);
        let refusal = error.refusal().unwrap();
        assert_eq!(refusal.status, status);
        let why = ("x-why".to_owned(), b"because".to_vec());
        assert!(refusal.headers.contains(&why));
        // These have no body, whatever they say.
        let body: &[u8] = if matches!(status, 304) { b"" } else { b"no.\n" };
        assert_eq!(refusal.body, body, "{status}");
        assert!(error.to_string().contains(&status.to_string()));
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn statuses_that_are_tried_again() {
    let server = Server::new(|conn| {
        conn.request()?;
        match conn.index {
            0 => conn.send("HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
            1 => conn.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
            2 => conn.send("HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n"),
            _ => conn.send(format!("{HEAD}data: at last\n\n")),
        }
    });
    let started = Instant::now();
    let client = open(&server);
    assert_eq!(client.error().status(), Some(503));
    assert_eq!(client.error().status(), Some(500));
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(client.error().status(), Some(429));
    assert_eq!(client.data(), "at last");
}

#[test]
fn a_page_is_no_stream() {
    let page = "<html>sign in</html>";
    let server = Server::saying(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    ));
    let error = open(&server).error();
    assert_eq!(error.kind(), ClientErrorKind::ContentType);
    assert_eq!(error.refusal().unwrap().body, page.as_bytes());
    assert!(!error.is_retryable());
    let unchecked = ClientOptions {
        check_content_type: false,
        ..options()
    };
    open_with(&server, unchecked).opened();
}

#[test]
fn no_more_than_64_kib_of_a_refusal_are_kept() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 404 No\r\n\r\n")?;
        loop {
            conn.send("x".repeat(10_000))?;
        }
    });
    let error = open(&server).error();
    assert_eq!(error.refusal().unwrap().body.len(), 64 * 1024);
}

#[test]
fn a_refusal_that_does_not_end_is_not_waited_for() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send("HTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\nsorry")?;
        conn.until_closed();
        Ok(())
    });
    let hasty = ClientOptions {
        idle_timeout: Some(100),
        ..options()
    };
    for options in [hasty, options()] {
        let error = open_with(&server, options).error();
        assert_eq!(error.refusal().unwrap().body, b"sorry");
    }
}

#[test]
fn a_post_is_sent_once() {
    let server = Server::saying(format!("{CHUNKED}{}", chunk("data: half\n\n")));
    let client = Client::open(&post(&server), options());
    let rest = client.rest();
    let Some(Notice::Failed(error)) = rest.last() else {
        panic!("{rest:?}")
    };
    assert_eq!(error.kind(), ClientErrorKind::Interrupted);
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        ("POST", "/v1/chat?x=1")
    );
    assert_eq!(seen[0].body, b"{\"q\":1}");
    assert_eq!(
        seen[0].header("content-type").as_deref(),
        Some("application/json")
    );
}

#[test]
fn a_post_is_sent_again_when_asked() {
    let server = Server::saying(format!("{HEAD}id: 7\ndata: x\n\n"));
    let mut again = options();
    again.reconnect.when = When::Always;
    let client = Client::open(&post(&server), again);
    client.data();
    client.data();
    let seen = server.seen();
    assert_eq!(seen[1].body, b"{\"q\":1}");
    assert_eq!(seen[1].header("last-event-id").as_deref(), Some("7"));
}

#[test]
fn any_method() {
    let server = Server::saying(HEAD);
    for method in ["REPORT", "PUT", "OPTIONS"] {
        let request = ClientRequest {
            method: method.into(),
            ..ClientRequest::get(server.url("/"))
        };
        Client::open(&request, options()).opened();
        assert_eq!(server.seen().last().unwrap().method, method);
    }
}

#[test]
fn a_token_is_refreshed_on_401() {
    let server = Server::new(|conn| {
        let token = conn.request()?.header("authorization");
        if token.as_deref() == Some("Bearer fresh") {
            conn.send(format!("{HEAD}data: in\n\n"))?;
            conn.until_closed();
            return Ok(());
        }
        conn.send("HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n")
    });
    let asking = ClientOptions {
        ask_headers: true,
        ..options()
    };
    let client = Client::open(&post(&server), asking.clone());
    let mut asked = Vec::new();
    let data = loop {
        match client.next() {
            Notice::Ask(Question::Headers { attempt, status }) => {
                asked.push((attempt, status));
                let token: &[u8] = if status == Some(401) {
                    b"Bearer fresh"
                } else {
                    b"Bearer old"
                };
                let headers = vec![("Authorization".into(), token.to_vec())];
                client.0.answer(Answer::Headers(headers)).unwrap();
            }
            Notice::Retrying(retry) => {
                assert_eq!((retry.error.status(), retry.delay), (Some(401), 0));
            }
            Notice::Open(_) => {}
            Notice::Event(event) => break event.fields().data.map(str::to_owned),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(data.as_deref(), Some("in"));
    assert_eq!(asked, [(1, None), (2, Some(401))]);

    // A token that stays bad is not tried for ever.
    let client = Client::open(&post(&server), asking);
    let error = loop {
        match client.next() {
            Notice::Ask(_) => client.0.answer(Answer::Headers(Vec::new())).unwrap(),
            Notice::Failed(error) => break error,
            _ => {}
        }
    };
    assert_eq!(error.status(), Some(401));
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn nothing_is_sent_before_the_answer_and_a_failed_one_ends_it() {
    let server = Server::saying(HEAD);
    let client = open_with(
        &server,
        ClientOptions {
            ask_headers: true,
            ..options()
        },
    );
    assert!(matches!(client.next(), Notice::Ask(_)));
    std::thread::sleep(Duration::from_millis(50));
    assert!(server.seen().is_empty());
    client
        .0
        .answer(Answer::Failed("the vault is closed".into()))
        .unwrap();
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::Callback);
    assert!(error.to_string().contains("the vault is closed"));
    assert!(client.0.answer(Answer::Headers(Vec::new())).is_err());
}

#[test]
fn ids_travel_as_utf_8() {
    let server = Server::new(|conn| {
        let id = conn.request()?.headers.remove("last-event-id");
        let id = id.unwrap_or_default();
        conn.send(HEAD)?;
        match conn.index {
            0 => conn.send("id: \u{2026}\nretry: 1\ndata: hello\n\n"),
            1 => conn.send([b"id: a\x01b\ndata: ", id.as_slice(), b"\n\n"].concat()),
            _ => conn.send([b"data: [", id.as_slice(), b"]\n\n"].concat()),
        }
    });
    let client = open(&server);
    assert_eq!(client.data(), "hello");
    assert_eq!(client.data(), "\u{2026}");
    assert_eq!(client.0.last_event_id(), "a\u{1}b");
    // One that cannot be sent is left out.
    assert_eq!(client.data(), "[]");
}

#[test]
fn a_hubs_opening_block_and_gap() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(HEAD)?;
        if conn.index == 0 {
            return conn.send("retry: 1\nid: 00000000000000aa-5\n\n");
        }
        conn.send(concat!(
            "id: 00000000000000aa-9\nevent: ssehub:gap\n",
            "data: {\"last_event_id\":\"00000000000000aa-5\",\"reason\":\"lagged\"}\n\n",
            "data: after\n\n"
        ))?;
        conn.until_closed();
        Ok(())
    });
    let client = open(&server);
    assert_eq!(client.error().kind(), ClientErrorKind::Ended);
    assert_eq!(client.0.last_event_id(), "00000000000000aa-5");
    client.opened();
    let seen = server.seen()[1].header("last-event-id");
    assert_eq!(seen.as_deref(), Some("00000000000000aa-5"));
    let Notice::Gap(gap) = client.next() else {
        panic!("no gap")
    };
    assert_eq!(gap.last_event_id, "00000000000000aa-5");
    assert_eq!(gap.reason, GapReason::Lagged);
    assert_eq!(client.0.last_event_id(), "00000000000000aa-9");
    assert_eq!(client.data(), "after");
}

#[test]
fn raw_pieces_for_whoever_measures() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(CHUNKED)?;
        for text in [": beat\n", "data: 1\n\n"] {
            conn.send(chunk(text))?;
        }
        conn.until_closed();
        Ok(())
    });
    let client = open_with(
        &server,
        ClientOptions {
            raw: true,
            ..options()
        },
    );
    client.opened();
    let (Notice::Bytes(first), Notice::Bytes(second)) = (client.next(), client.next()) else {
        panic!("no bytes")
    };
    assert_eq!(
        (&first[..], &second[..]),
        (&b": beat\n"[..], &b"data: 1\n\n"[..])
    );
    assert_eq!(client.data(), "1");
}
