use super::super::error::ClientErrorKind;
use super::super::options::Reconnect;
use super::super::policy::{Verdict, refused, verdict};
use super::head;

#[test]
fn only_200_opens_a_stream() {
    let kind = [("content-type", "text/event-stream")];
    assert_eq!(verdict(&head(200, &kind), true), Verdict::Stream);
    assert_eq!(verdict(&head(204, &kind), true), Verdict::NoContent);
    for status in [
        201, 205, 206, 210, 299, 304, 400, 401, 404, 410, 429, 500, 503,
    ] {
        assert_eq!(
            verdict(&head(status, &kind), true),
            Verdict::Status,
            "{status}"
        );
    }
}

#[test]
fn a_redirect_needs_a_place() {
    for status in [301, 302, 303, 307, 308] {
        let there = head(status, &[("location", "/there")]);
        assert_eq!(verdict(&there, true), Verdict::Redirect, "{status}");
        assert_eq!(
            verdict(&head(status, &[]), true),
            Verdict::Status,
            "{status}"
        );
    }
    for status in [300, 304, 305, 306] {
        let there = head(status, &[("location", "/there")]);
        assert_eq!(verdict(&there, true), Verdict::Status, "{status}");
    }
}

#[test]
fn the_type_is_compared_by_its_essence() {
    for good in [
        "text/event-stream",
        "TEXT/Event-Stream",
        "text/event-stream;",
        "text/event-stream; charset=utf-8",
        "text/event-stream;charset=windows-1252",
        " text/event-stream ;x=\"text/html\"",
    ] {
        let head = head(200, &[("content-type", good)]);
        assert_eq!(verdict(&head, true), Verdict::Stream, "{good}");
    }
    for bad in [
        "",
        "text/html",
        "text/event-streams",
        "text/plain;text/event-stream",
        "text event-stream",
    ] {
        let head = head(200, &[("content-type", bad)]);
        assert_eq!(verdict(&head, true), Verdict::ContentType, "{bad}");
        assert_eq!(verdict(&head, false), Verdict::Stream, "{bad}");
    }
    assert_eq!(verdict(&head(200, &[]), true), Verdict::ContentType);
}

#[test]
fn which_statuses_are_worth_another_try() {
    let rules = Reconnect::default();
    for (status, retryable) in [
        (400, false),
        (401, false),
        (403, false),
        (404, false),
        (410, false),
        (428, false),
        (429, true),
        (430, false),
        (500, true),
        (503, true),
        (599, true),
    ] {
        let error = refused(Verdict::Status, &head(status, &[]), Vec::new(), &rules, 0);
        assert_eq!(error.kind(), ClientErrorKind::Status);
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.is_retryable(), retryable, "{status}");
    }
    let never = refused(Verdict::ContentType, &head(200, &[]), Vec::new(), &rules, 0);
    assert!(!never.is_retryable());
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let rules = Reconnect::default();
    // 784111777 is the date that RFC 9110 has in its examples.
    let at = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (fields, wall, expected) in [
        (vec![("retry-after", "120")], 0, Some(120_000)),
        (vec![("retry-after", " 0 ")], 0, Some(0)),
        (
            vec![("retry-after", "99999999999999999999")],
            0,
            Some(u64::MAX),
        ),
        (vec![("retry-after", at)], 784_111_717, Some(60_000)),
        (vec![("retry-after", at)], 784_999_999, Some(0)),
        // The server's clock, where it shows it, and not ours.
        (
            vec![
                ("retry-after", at),
                ("date", "Sun, 06 Nov 1994 08:49:30 GMT"),
            ],
            0,
            Some(7000),
        ),
        (vec![("retry-after", "soon")], 0, None),
        (vec![("retry-after", "-1")], 0, None),
        (vec![("retry-after", "1.5")], 0, None),
        (vec![("retry-after", "")], 0, None),
        (vec![], 0, None),
    ] {
        let error = refused(
            Verdict::Status,
            &head(503, &fields),
            Vec::new(),
            &rules,
            wall,
        );
        let refusal = error.refusal().expect("an answer");
        assert_eq!(refusal.retry_after, expected, "{fields:?}");
    }
}
