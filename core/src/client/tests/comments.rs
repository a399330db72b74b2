use super::super::error::ClientErrorKind;
use super::super::notice::{Ended, Notice};
use super::super::options::{ClientOptions, StopOn};
use super::super::session::Do;
use super::{Harness, options, post};

fn talkative() -> Harness {
    Harness::get(ClientOptions {
        comments: true,
        ..options()
    })
}

fn words(told: &[Notice]) -> Vec<String> {
    told.iter()
        .map(|notice| match notice {
            Notice::Comment(text) => format!(":{text}"),
            Notice::Event(event) => event.fields().data.unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn comments_are_told_where_they_are_asked_for() {
    let stream = b": one\nid: 7\ndata: a\n:two\n\n:\ndata: b\n\n:half".as_slice();
    let mut client = talkative();
    client.open();
    client.bytes(stream);
    // Among the lines of an event they come first: it is not complete.
    assert_eq!(words(&client.told()), [":one", ":two", "a", ":", "b"]);
    client.bytes(b" a comment\n");
    assert_eq!(words(&client.told()), [":half a comment"]);
    assert_eq!(client.queue.last_event_id, "7");

    let mut silent = Harness::get(options());
    silent.open();
    silent.bytes(stream);
    assert_eq!(words(&silent.told()), ["a", "b"]);
}

#[test]
fn comments_that_wait_count_like_events() {
    let mut client = talkative();
    client.open();
    client.bytes(b": 12345\n: 123\n");
    client.queue.put(&mut client.out);
    let both = (client.queue.len(), client.queue.bytes());
    client.told();
    client.bytes(b":\n:\n");
    client.queue.put(&mut client.out);
    assert_eq!(both, (2, client.queue.bytes() + 8), "as much as they are");
    client.told();
    assert_eq!((client.queue.len(), client.queue.bytes()), (0, 0));
}

#[test]
fn no_comment_follows_the_end_mark() {
    let mut client = Harness::get(ClientOptions {
        comments: true,
        stop_on: Some(StopOn::Data("[DONE]".into())),
        ..options()
    });
    client.open();
    assert!(matches!(
        client.bytes(b": a\ndata: [DONE]\n\n: b\n"),
        Do::Stop
    ));
    assert!(matches!(
        client.told().as_slice(),
        [Notice::Comment(_), Notice::Ended(Ended::Stopped(_))]
    ));
}

#[test]
fn an_end_mark_that_is_named_is_asked_for() {
    for (stop_on, require_finish, fails) in [
        (true, None, true),
        (true, Some(false), false),
        (false, None, false),
        (false, Some(true), true),
    ] {
        let options = ClientOptions {
            stop_on: stop_on.then(|| StopOn::Data("[DONE]".into())),
            require_finish,
            ..options()
        };
        let mut client = Harness::new(&post(), options);
        client.open();
        client.bytes(b"data: half\n\n");
        assert!(matches!(client.end(), Do::Stop));
        let told = client.told();
        let failed = matches!(
            told.last(),
            Some(Notice::Failed(error)) if error.kind() == ClientErrorKind::Unfinished
        );
        assert_eq!(failed, fails, "{told:?}");
    }
}
