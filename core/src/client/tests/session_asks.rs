//! Questions to the host, redirects, new connections on demand.

use super::super::error::ClientErrorKind;
use super::super::notice::{Answer, Notice, Question};
use super::super::options::{ClientOptions, ClientRequest, Redirects, When};
use super::super::session::Do;
use super::{Harness, delay, head, lost, options, post, sent, stream_head, when};

#[test]
fn headers_are_asked_for_before_each_attempt() {
    let mut client = Harness::get(ClientOptions {
        ask_headers: true,
        ..options()
    });
    for attempt in 1..=3 {
        assert!(matches!(client.due(), Do::Ask));
        let told = client.told();
        let Some(Notice::Ask(Question::Headers {
            attempt: asked,
            status,
        })) = told.last()
        else {
            panic!("{told:?}")
        };
        assert_eq!(*asked, attempt);
        assert_eq!(*status, if attempt == 3 { Some(503) } else { None });
        let token = format!("Bearer {attempt}").into_bytes();
        let answer = Answer::Headers(vec![("Authorization".into(), token.clone())]);
        let hop = sent(client.session.answered(answer, &mut client.out));
        assert_eq!(hop.headers["authorization"].as_bytes(), token);
        let next = match attempt {
            1 => client.fail(lost()),
            _ => client.refuse(head(503, &[])),
        };
        delay(&next);
    }
}

#[test]
fn a_401_gets_a_second_chance_with_new_headers_once() {
    for request in [ClientRequest::get("http://a.test/"), post()] {
        let asking = ClientOptions {
            ask_headers: true,
            ..options()
        };
        let mut client = Harness::new(&request, asking);
        let fresh = || Answer::Headers(Vec::new());
        for round in 0..2 {
            client.due();
            client.session.answered(fresh(), &mut client.out);
            assert_eq!(delay(&client.refuse(head(401, &[]))), 0);
            client.due();
            let told = client.told();
            assert!(matches!(
                told.last(),
                Some(Notice::Ask(Question::Headers {
                    status: Some(401),
                    ..
                }))
            ));
            client.session.answered(fresh(), &mut client.out);
            if round == 0 {
                // An open stream restores the chance.
                client.head(stream_head());
                client.session.restart(&mut client.out);
            }
        }
        assert!(matches!(client.refuse(head(401, &[])), Do::Stop));
    }
    let mut client = Harness::get(options());
    client.sent();
    assert!(matches!(client.refuse(head(401, &[])), Do::Stop));
}

#[test]
fn a_host_that_fails_ends_it() {
    let mut client = Harness::get(ClientOptions {
        ask_headers: true,
        ..options()
    });
    client.due();
    let answer = Answer::Failed("no token".into());
    assert!(matches!(
        client.session.answered(answer, &mut client.out),
        Do::Stop
    ));
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::Callback);
    assert!(error.to_string().contains("no token"));
}

#[test]
fn redirects_are_asked_about() {
    let asking = ClientOptions {
        redirects: Redirects {
            ask: true,
            ..Redirects::default()
        },
        ..options()
    };
    for allowed in [true, false] {
        let mut client = Harness::get(asking.clone());
        client.sent();
        let away = head(307, &[("location", "http://b.test/y")]);
        assert!(matches!(client.head(away), Do::Ask));
        let told = client.told();
        let Some(Notice::Ask(Question::Redirect {
            from,
            to,
            status,
            method,
        })) = told.last()
        else {
            panic!("{told:?}")
        };
        assert_eq!(
            (from.as_str(), to.as_str()),
            ("http://a.test/stream", "http://b.test/y")
        );
        assert_eq!((*status, method.as_str()), (307, "GET"));
        let answer = Answer::Redirect(allowed);
        let next = client.session.answered(answer, &mut client.out);
        if allowed {
            assert_eq!(sent(next).url.as_str(), "http://b.test/y");
        } else {
            assert!(matches!(next, Do::Stop));
            assert_eq!(client.error().kind(), ClientErrorKind::Redirect);
        }
    }
}

#[test]
fn reconnects_start_from_the_first_url() {
    let mut client = Harness::get(options());
    client.sent();
    let hop = sent(client.head(head(301, &[("location", "http://b.test/y")])));
    assert_eq!(hop.url.as_str(), "http://b.test/y");
    client.head(stream_head());
    let told = client.told();
    let Some(Notice::Open(opened)) = told.last() else {
        panic!("{told:?}")
    };
    assert_eq!(opened.url, "http://b.test/y");
    client.end();
    assert_eq!(client.sent().url.as_str(), "http://a.test/stream");
}

#[test]
fn a_redirect_that_must_not_be_followed_ends_it() {
    let mut client = Harness::new(&post(), when(When::Always));
    client.sent();
    let away = head(307, &[("location", "http://b.test/")]);
    assert!(matches!(client.head(away), Do::Stop));
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::Redirect);
    assert_eq!(error.status(), Some(307));
}

#[test]
fn a_new_connection_on_demand() {
    let mut client = Harness::get(options());
    client.open();
    client.bytes(b"id: 5\ndata: x\n\n");
    let hop = sent(client.session.restart(&mut client.out));
    assert_eq!(hop.headers["last-event-id"], "5");
    let told = client.told();
    let Some(Notice::Retrying(retry)) = told.last() else {
        panic!("{told:?}")
    };
    assert_eq!(
        (retry.error.kind(), retry.delay),
        (ClientErrorKind::Restarted, 0)
    );
    // While it waits: at once.
    delay(&client.fail(lost()));
    sent(client.session.restart(&mut client.out));
}
