use super::super::error::{ClientErrorKind, Refusal};
use super::super::notice::{Ended, Notice, Opened, Question, Retry, Taken};
use super::super::queue::{Outbox, Queue, ReadyState};
use super::lost;
use crate::event::EventRef;

fn event<'a>(data: &'a str, id: &'a str) -> EventRef<'a> {
    EventRef {
        event: "message",
        data,
        id,
    }
}

fn filled() -> Queue {
    let mut queue = Queue::default();
    let mut out = Outbox::default();
    out.event(event("a", ""));
    out.event(event("b", "1"));
    queue.put(&mut out);
    out.position("2");
    out.event(event("c", "2"));
    queue.put(&mut out);
    out.notice(Notice::Failed(lost()));
    out.position("3");
    queue.put(&mut out);
    queue
}

#[test]
fn one_by_one() {
    let mut queue = filled();
    let mut seen = Vec::new();
    while let Some(notice) = queue.next() {
        seen.push((
            match notice {
                Notice::Event(event) => event.fields().data.unwrap_or_default().to_owned(),
                other => format!("{other:?}"),
            },
            queue.last_event_id.clone(),
            queue.len(),
        ));
    }
    let seen: Vec<_> = seen
        .iter()
        .map(|(a, b, c)| (a.as_str(), b.as_str(), *c))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", "", 3),
            ("b", "2", 2),
            ("c", "2", 1),
            ("Failed(Connect: nobody there)", "3", 0),
        ]
    );
    assert_eq!(queue.bytes(), 0);
    assert!(queue.is_ended());
}

#[test]
fn in_batches_and_mixed() {
    let mut queue = filled();
    assert!(matches!(queue.next(), Some(Notice::Event(_))));
    let Some(Taken::Events(batch)) = queue.take() else {
        panic!("no batch")
    };
    let texts: Vec<_> = batch
        .events()
        .map(|event| event.data().to_owned())
        .collect();
    assert_eq!(texts, ["b"]);
    assert_eq!(queue.last_event_id, "2");
    assert_eq!(queue.len(), 2);
    assert!(matches!(queue.take(), Some(Taken::Events(_))));
    assert!(matches!(queue.take(), Some(Taken::Notice(_))));
    assert!(queue.take().is_none());
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
}

#[test]
fn small_batches_are_joined_and_large_ones_are_not() {
    let mut queue = Queue::default();
    let mut out = Outbox::default();
    let text = "x".repeat(1000);
    for n in 0..100 {
        out.event(event(&text, &n.to_string()));
        queue.put(&mut out);
    }
    let mut batches = 0;
    let mut ids = Vec::new();
    while let Some(Taken::Events(batch)) = queue.take() {
        assert!(batch.size() <= 64 * 1024);
        batches += 1;
        ids.extend(batch.events().map(|event| event.id().to_owned()));
    }
    assert_eq!(batches, 2);
    let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(ids, expected);
}

#[test]
fn an_id_or_type_that_repeats_is_kept_once() {
    let mut out = Outbox::default();
    let id = "i".repeat(10_000);
    for _ in 0..100 {
        out.event(event("x", &id));
    }
    let mut queue = Queue::default();
    queue.put(&mut out);
    assert!(queue.bytes() < 20_000, "{}", queue.bytes());
    let Some(Taken::Events(batch)) = queue.take() else {
        panic!("no batch")
    };
    assert!(
        batch
            .events()
            .all(|event| event.id() == id && event.event() == "message")
    );
}

#[test]
fn a_position_with_nothing_before_it_holds_at_once() {
    let mut queue = Queue::default();
    let mut out = Outbox::default();
    out.position("1");
    queue.put(&mut out);
    assert_eq!(queue.last_event_id, "1");
    assert!(queue.is_idle() && queue.bytes() == 0);
    out.event(event("a", "2"));
    out.position("3");
    queue.put(&mut out);
    assert_eq!(queue.last_event_id, "1");
    queue.next();
    assert_eq!(queue.last_event_id, "3");
}

#[test]
fn a_position_replaces_the_one_before_it() {
    let mut queue = Queue::default();
    let mut out = Outbox::default();
    out.event(event("a", "0"));
    queue.put(&mut out);
    let before = queue.bytes();
    for n in 1..=1_000_000_u32 {
        out.position("passed over");
        out.position(&n.to_string());
        queue.put(&mut out);
    }
    // The last, and what an entry weighs.
    let weight = queue.bytes() - before;
    assert!((7..200).contains(&weight), "{weight}");
    queue.next();
    assert_eq!(queue.last_event_id, "1000000");
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn everything_weighs_what_it_refers_to() {
    let refusal = Refusal {
        status: 503,
        headers: vec![("x".repeat(100), vec![b'x'; 900])],
        body: vec![b'x'; 50_000],
        retry_after: None,
    };
    let refused = || lost().with_refusal(refusal.clone()).at(&"u".repeat(1000));
    let opened = Opened {
        status: 200,
        headers: vec![("x".repeat(100), vec![b'x'; 900])],
        url: "u".repeat(1000),
        http: "HTTP/1.1",
        remote: None,
        attempt: 1,
        connected_after: 0,
        answered_after: 0,
    };
    let retry = Retry {
        error: refused(),
        delay: 1,
        attempt: 1,
    };
    let redirect = Question::Redirect {
        from: "f".repeat(1000),
        to: "t".repeat(1000),
        status: 302,
        method: "GET".into(),
    };
    let stopped = Ended::Stopped(event(&"x".repeat(1000), "").to_event());
    for (notice, least) in [
        (Notice::Retrying(Box::new(retry)), 52_000),
        (Notice::Failed(refused()), 52_000),
        (Notice::Open(Box::new(opened)), 2000),
        (Notice::Ask(redirect), 2000),
        (Notice::Ended(stopped), 1000),
        (Notice::Ended(Ended::NoContent), 1),
        (Notice::Bytes(vec![0; 1000].into()), 1000),
    ] {
        let mut queue = Queue::default();
        let mut out = Outbox::default();
        out.notice(notice);
        queue.put(&mut out);
        let weight = queue.bytes();
        assert!((least..least + 1000).contains(&weight), "{weight}");
        assert!(queue.next().is_some());
        assert_eq!(queue.bytes(), 0);
    }
}

#[test]
fn the_state_is_that_of_what_was_taken() {
    let mut queue = Queue::starting_at("0");
    assert_eq!(queue.last_event_id, "0");
    let mut out = Outbox::default();
    out.notice(Notice::Ended(Ended::NoContent));
    queue.put(&mut out);
    assert_eq!(queue.state, ReadyState::Connecting);
    assert!(!queue.is_ended() && !queue.is_idle() && !queue.finished);
    queue.next();
    assert_eq!(queue.state, ReadyState::Closed);
    assert!(queue.is_ended() && queue.finished);
}

#[test]
fn closing_throws_everything_away_but_the_position() {
    let mut queue = filled();
    queue.next();
    queue.next();
    queue.close();
    assert!(queue.is_ended() && !queue.is_idle());
    assert!(queue.next().is_none());
    assert_eq!(queue.last_event_id, "2");
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
}

#[test]
fn the_outbox_knows_its_last_word() {
    let mut out = Outbox::default();
    assert!(!out.is_last());
    out.notice(Notice::Failed(lost()));
    assert!(out.is_last() && out.question().is_none());
    assert_eq!(lost().kind(), ClientErrorKind::Connect);
}
