use super::super::error::{ClientError, ClientErrorKind};
use super::super::notice::{Ended, Notice};
use super::super::options::{ClientOptions, ClientRequest, StopOn, When};
use super::super::session::Do;
use super::{Harness, delay, head, lost, options, post, stream_head, when};
use crate::topic::cursor::GapReason;

fn texts(told: &[Notice]) -> Vec<String> {
    told.iter()
        .filter_map(|notice| match notice {
            Notice::Event(event) => Some(event.fields().data.unwrap_or_default().to_owned()),
            _ => None,
        })
        .collect()
}

#[test]
fn events_come_and_a_get_comes_back_with_its_id() {
    let mut client = Harness::get(options());
    client.open();
    client.bytes(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: unfinished\n");
    assert_eq!(texts(&client.told()), ["a", "b"]);
    let next = client.end();
    assert_eq!(client.error().kind(), ClientErrorKind::Ended);
    assert!(delay(&next) <= 1000);
    let hop = client.sent();
    assert_eq!(hop.headers["last-event-id"], "2");
    // The next connection starts with a fresh parser that knows the id.
    client.head(stream_head());
    client.bytes(b"\xEF\xBB\xBFdata: c\n\n");
    let told = client.told();
    let Some(Notice::Event(event)) = told.last() else {
        panic!("{told:?}")
    };
    assert_eq!(event.fields().id, Some("2"));
}

#[test]
fn an_id_without_data_counts_and_an_empty_one_resets() {
    let mut client = Harness::get(options());
    client.open();
    client.bytes(b"retry: 5000\nid: start\n\n");
    client.told();
    assert_eq!(client.queue.last_event_id, "start");
    assert!(delay(&client.fail(lost())) >= 5000);
    assert_eq!(client.sent().headers["last-event-id"], "start");
    client.head(stream_head());
    client.bytes(b"id\n\n");
    client.told();
    assert_eq!(client.queue.last_event_id, "");
    client.end();
    assert!(!client.sent().headers.contains_key("last-event-id"));
}

#[test]
fn other_methods_than_get_come_back_only_when_asked() {
    let mut client = Harness::new(&post(), options());
    client.open();
    assert!(matches!(client.fail(lost()), Do::Stop));
    assert_eq!(client.error().kind(), ClientErrorKind::Connect);

    let mut client = Harness::new(&post(), options());
    client.open();
    assert!(matches!(client.end(), Do::Stop));
    assert!(matches!(
        client.told().as_slice(),
        [Notice::Ended(Ended::EndOfStream)]
    ));

    let mut client = Harness::new(&post(), when(When::Always));
    client.open();
    delay(&client.end());
    let hop = client.sent();
    assert_eq!(hop.method, "POST");
    assert_eq!(hop.body.as_deref(), Some(b"{}".as_slice()));
}

#[test]
fn after_errors_only() {
    let mut client = Harness::get(when(When::OnError));
    client.open();
    delay(&client.fail(lost()));
    client.sent();
    client.head(stream_head());
    assert!(matches!(client.end(), Do::Stop));
    assert!(matches!(
        client.told().last(),
        Some(Notice::Ended(Ended::EndOfStream))
    ));
}

#[test]
fn never_means_never() {
    let mut client = Harness::get(when(When::Never));
    client.open();
    assert!(matches!(client.fail(lost()), Do::Stop));
}

#[test]
fn a_first_attempt_may_be_the_last() {
    let mut options = options();
    options.reconnect.first = false;
    let mut client = Harness::get(options.clone());
    client.sent();
    assert!(matches!(client.fail(lost()), Do::Stop));
    // Once a stream was open, later attempts are repeated.
    let mut client = Harness::get(options);
    client.open();
    delay(&client.fail(lost()));
    client.sent();
    delay(&client.fail(lost()));
}

#[test]
fn no_content_ends_it() {
    let mut client = Harness::get(options());
    client.open();
    client.end();
    client.sent();
    assert!(matches!(client.head(head(204, &[])), Do::Stop));
    assert!(matches!(
        client.told().last(),
        Some(Notice::Ended(Ended::NoContent))
    ));
    assert!(client.queue.finished);
}

#[test]
fn refusals_end_it_unless_they_are_worth_another_try() {
    let mut client = Harness::get(options());
    client.sent();
    assert!(matches!(client.refuse(head(404, &[])), Do::Stop));
    let error = client.error();
    assert_eq!(error.status(), Some(404));
    assert_eq!(error.refusal().unwrap().body, b"why");
    assert_eq!(error.url(), Some("http://a.test/stream"));
    assert_eq!(
        error.to_string(),
        "the server answered with status 404 (http://a.test/stream)"
    );

    let mut client = Harness::get(options());
    client.sent();
    let next = client.refuse(head(503, &[("retry-after", "20")]));
    assert!((20_000..=22_000).contains(&delay(&next)));
    assert_eq!(client.error().status(), Some(503));

    let mut strict = options();
    strict.reconnect.statuses.clear();
    let mut client = Harness::get(strict);
    client.sent();
    assert!(matches!(client.refuse(head(503, &[])), Do::Stop));
}

#[test]
fn messages_do_not_show_queries() {
    let request = ClientRequest::get("http://user:pw@a.test/stream?token=secret");
    let mut client = Harness::new(&request, options());
    client.sent();
    client.refuse(head(404, &[]));
    let text = client.error().to_string();
    assert!(text.ends_with("(http://a.test/stream?...)"), "{text}");
}

#[test]
fn a_wrong_type_ends_it() {
    let mut client = Harness::get(options());
    client.sent();
    let html = head(200, &[("content-type", "text/html")]);
    assert!(matches!(client.refuse(html), Do::Stop));
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::ContentType);
    assert!(error.to_string().contains("text/html"));
}

#[test]
fn the_stop_mark_ends_it_and_is_told_apart() {
    for (mark, stream) in [
        (
            StopOn::Data("[DONE]".into()),
            "data: 1\n\nid: 9\ndata: [DONE]\n\nid: 10\ndata: 2\n\n",
        ),
        (
            StopOn::Event("message_stop".into()),
            "data: 1\n\nid: 9\nevent: message_stop\ndata: [DONE]\n\nid: 10\ndata: 2\n\n",
        ),
    ] {
        let mut client = Harness::get(ClientOptions {
            stop_on: Some(mark),
            ..options()
        });
        client.open();
        assert!(matches!(client.bytes(stream.as_bytes()), Do::Stop));
        let told = client.told();
        assert_eq!(texts(&told), ["1"]);
        let Some(Notice::Ended(Ended::Stopped(event))) = told.last() else {
            panic!("{told:?}")
        };
        assert_eq!(event.fields().data, Some("[DONE]"));
        assert!(client.queue.finished);
        assert_eq!(client.queue.last_event_id, "9");
    }
}

#[test]
fn too_large_an_event_ends_it() {
    let mut client = Harness::get(ClientOptions {
        max_event_size: 10,
        ..options()
    });
    client.open();
    assert!(matches!(
        client.bytes(b"data: ok\n\ndata: 12345678901\n\n"),
        Do::Stop
    ));
    let told = client.told();
    assert_eq!(texts(&told), ["ok"]);
    let Some(Notice::Failed(error)) = told.last() else {
        panic!("{told:?}")
    };
    assert_eq!(error.kind(), ClientErrorKind::EventTooLarge);
}

#[test]
fn it_gives_up_when_told_to() {
    let mut options = options();
    options.reconnect.max_retries = Some(2);
    let mut client = Harness::get(options);
    client.sent();
    for _ in 0..2 {
        delay(&client.fail(lost()));
        client.sent();
    }
    assert!(matches!(client.fail(lost()), Do::Stop));
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::Connect);
    assert!(
        error.to_string().contains("as many tries as allowed"),
        "{error}"
    );
}

#[test]
fn good_connections_make_delays_short_again() {
    let growth = |lasted: u64, stream: &[u8], clean: bool| {
        let mut options = options();
        options.reconnect.server_delay = 1..=1;
        options.comments = true;
        let mut client = Harness::get(options);
        client.open();
        client.bytes(b"retry: 1\n\n");
        for _ in 0..12 {
            client.fail(lost());
            client.sent();
        }
        client.head(stream_head());
        client.bytes(stream);
        client.now += lasted;
        let next = if clean {
            client.end()
        } else {
            client.fail(lost())
        };
        delay(&next) > 1
    };
    assert!(growth(0, b"", true));
    assert!(growth(0, b": beat\n", true));
    assert!(growth(0, b"data: x\n\n", false));
    assert!(!growth(0, b"data: x\n\n", true));
    assert!(!growth(5000, b"", false));
    assert!(growth(4999, b"", false));
}

#[test]
fn a_hubs_gap_is_understood() {
    let mut client = Harness::get(options());
    client.open();
    let stream: &[u8] = b"data: 1\n\nid: e-7\nevent: ssehub:gap\n\
        data: {\"last_event_id\":\"e-3\",\"reason\":\"expired\"}\n\ndata: 2\n\n";
    client.bytes(stream);
    let told = client.told();
    let [Notice::Event(_), Notice::Gap(gap), Notice::Event(after)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(gap.last_event_id, "e-3");
    assert_eq!(gap.reason, GapReason::Expired);
    assert_eq!(gap.event.fields().id, Some("e-7"));
    assert_eq!(after.fields().id, Some("e-7"));
    // What only looks like it is an event like any other.
    client.bytes(b"event: ssehub:gap\ndata: {}\n\nevent: ssehub:gap\ndata: lost\n\n");
    assert_eq!(texts(&client.told()), ["{}", "lost"]);
}

#[test]
fn raw_bytes_come_before_their_events() {
    let mut client = Harness::get(ClientOptions {
        raw: true,
        ..options()
    });
    client.open();
    client.bytes(b": beat\n");
    client.bytes(b"data: 1\n\n");
    let told = client.told();
    let [
        Notice::Bytes(first),
        Notice::Bytes(second),
        Notice::Event(_),
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!(
        (&first[..], &second[..]),
        (&b": beat\n"[..], &b"data: 1\n\n"[..])
    );
}

#[test]
fn certificates_do_not_get_better_by_trying_again() {
    let mut client = Harness::get(options());
    client.sent();
    let error = ClientError::new(ClientErrorKind::Tls, "expired");
    assert!(matches!(client.fail(error), Do::Stop));
}

mod properties {
    use proptest::prelude::*;

    use super::super::{Harness, options};
    use crate::client::notice::Notice;

    proptest! {
        /// However a stream is cut into pieces and connections, what comes of it is the same, except for the block
        /// that the cut went through.
        #[test]
        fn pieces_do_not_matter(
            stream in "((data|id|event|retry|x)(: ?[a-z0-9\u{e9}]{0,4})?\n|:c\n|\n){0,40}",
            cuts in proptest::collection::vec(1_usize..9, 0..60),
        ) {
            let mut whole = Harness::get(options());
            whole.open();
            whole.bytes(stream.as_bytes());
            let mut pieces = Harness::get(options());
            pieces.open();
            let mut rest = stream.as_bytes();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.bytes(piece);
                rest = after;
            }
            pieces.bytes(rest);
            let (one, other) = (whole.told(), pieces.told());
            prop_assert_eq!(events(&one), events(&other));
            prop_assert_eq!(whole.queue.last_event_id, pieces.queue.last_event_id);
        }
    }

    fn events(told: &[Notice]) -> Vec<String> {
        told.iter().map(|notice| format!("{notice:?}")).collect()
    }
}
