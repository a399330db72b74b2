//! When things came, and how it ended.

use super::super::doctor::facts::{End, Resume, Resumed};
use super::super::doctor::findings::Verdict;
use super::super::doctor::flow::{Flow, Held, is_decided, judge};
use super::super::doctor::watch::{Burst, Watch};
use super::{HUB, NGINX, advice, answer, broken, look, of, verdict, with};

const OPENING: &[u8] = b"retry: 3000\nid: 7-0\n\n";
const EVENT: &[u8] = b"id: 7-1\ndata: 1\n\n";

/// What a buffer of this size passes on of a stream of small events: in pieces, cut wherever it was full.
fn buffered(size: usize, first: usize, count: usize, apart: u64) -> Vec<(u64, Vec<u8>)> {
    let mut text = OPENING.to_vec();
    while text.len() < size * (count + 1) {
        text.extend_from_slice(b"id: 7-1\ndata: some text that is not short\n\n");
    }
    let mut at = 0;
    (0..count as u64)
        .map(|number| {
            let end = if at == 0 { first } else { at + size };
            let piece = text[at..end].to_vec();
            at = end;
            (number * apart, piece)
        })
        .collect()
}

fn watched(pieces: &[(u64, Vec<u8>)]) -> Watch {
    let mut watch = Watch::after("");
    for (at, piece) in pieces {
        watch.feed(*at, piece);
    }
    watch
}

fn flow(pieces: &[(u64, &[u8])], end: u64) -> Flow {
    let pieces: Vec<_> = pieces
        .iter()
        .map(|(at, piece)| (*at, piece.to_vec()))
        .collect();
    judge(&watched(&pieces), 5, end, false)
}

#[test]
fn bursts_and_frames() {
    let mut watch = Watch::after("");
    watch.feed(0, b"\xEF\xBB\xBFretry: 1\r");
    watch.feed(3, b"\nid: a\r\n\r\n");
    watch.feed(1000, b":\n: ping\n\nid: 1\ndata: x\ndata\n\n");
    watch.feed(2000, b": a comment\ndata: y\n\nda");
    assert_eq!(watch.opening.as_deref(), Some("a"));
    assert_eq!(watch.ids, ["1"]);
    let bursts: Vec<_> = watch
        .bursts
        .iter()
        .map(|b| (b.events, b.beats, b.whole))
        .collect();
    assert_eq!(bursts, [(0, 0, true), (1, 2, true), (1, 0, false)]);
    assert_eq!(
        watch.bursts[0],
        Burst {
            from: 0,
            to: 3,
            bytes: 22,
            whole: true,
            ..Burst::default()
        }
    );
    assert_eq!(watch.longest_silence(3500), 1500);
}

#[test]
fn what_is_sent_at_once_is_no_buffer() {
    let giant = [b"data: ".as_slice(), &vec![b'x'; 20_000], b"\n\n"].concat();
    let slow: Vec<_> = [0, 300, 600].into_iter().zip(giant.chunks(8192)).collect();
    let full = [EVENT.repeat(240).as_slice(), b"data: 12345678\n\n"].concat();
    assert_eq!(full.len() % 4096, 0);
    let large = [b"data: ".as_slice(), &vec![b'x'; 200_000], b"\n\n"].concat();
    let (first, second) = large.split_at(65_536);
    for pieces in [
        // A quiet hub.
        vec![(0, OPENING)],
        vec![(0, OPENING), (15_000, b":\n".as_slice())],
        // A server without an opening block, and one that publishes in bursts.
        vec![(9000, EVENT)],
        vec![
            (0, OPENING),
            (5000, &EVENT.repeat(100)),
            (10_000, &EVENT.repeat(300)),
        ],
        // A burst that is as large as a buffer, and whole.
        vec![(0, OPENING), (5000, &full)],
        // A large event that comes slowly, in pieces that are as large as buffers.
        vec![(0, OPENING), (5000, first), (6500, second)],
        // The same, the last piece shorter than a buffer.
        slow,
        // Comments of several lines, and with each event.
        vec![(0, OPENING), (8000, b": a\n: b\n\n".as_slice())],
        vec![
            (0, OPENING),
            (8000, b": a\ndata: 1\n\n: b\ndata: 2\n\n".as_slice()),
        ],
    ] {
        assert_eq!(flow(&pieces, 20_000), Flow::Prompt, "{:?}", pieces.len());
    }
}

#[test]
fn a_busy_stream_is_prompt_by_the_number_of_its_pieces() {
    let pieces: Vec<_> = (0..100).map(|n| (n * 10, EVENT)).collect();
    assert_eq!(flow(&pieces, 1000), Flow::Prompt);
    // All out of one buffer.
    let pieces: Vec<_> = (0..100).map(|_| (0, EVENT)).collect();
    assert_eq!(flow(&pieces, 10), Flow::Unclear);
}

#[test]
fn full_buffers_are_seen() {
    // As nginx does it: the head counts for the first piece.
    for (size, first) in [(4096, 3909), (8192, 8005), (16_384, 16_384)] {
        let pieces = buffered(size, first, 3, 700);
        let Flow::Held(Held::Cut {
            times,
            bytes,
            longest,
        }) = judge(&watched(&pieces), 700, 1800, false)
        else {
            panic!("{size}")
        };
        assert_eq!((times, bytes, longest), (3, size as u64, 700));
        assert!(is_decided(&watched(&pieces), 1800));
    }
    // One of them, and a long silence.
    let pieces = buffered(4096, 3909, 1, 0);
    assert!(matches!(
        judge(&watched(&pieces), 700, 1500, false),
        Flow::Held(_)
    ));
    assert!(!is_decided(&watched(&pieces), 1500));
    // Too early to say.
    assert_eq!(judge(&watched(&pieces), 700, 200, false), Flow::Unclear);
}

#[test]
fn heartbeats_in_a_bunch_are_seen() {
    let held = Flow::Held(Held::Bunch {
        beats: 3,
        silence: 16_000,
    });
    assert_eq!(flow(&[(0, OPENING), (16_000, b":\n:\n:\n")], 20_000), held);
    // The silence before the first byte counts from the request.
    let mut watch = Watch::after("");
    watch.feed(0, b":\n:\n");
    assert!(matches!(judge(&watch, 31_000, 500, false), Flow::Held(_)));
    // A greeting is no heartbeat that was late.
    assert_eq!(
        flow(&[(0, b":\n:\n:\n"), (5000, EVENT)], 20_000),
        Flow::Prompt
    );
}

#[test]
fn the_verdict_names_the_directive() {
    let pieces = buffered(4096, 3909, 3, 700);
    let pieces: Vec<_> = pieces
        .iter()
        .map(|(at, piece)| (*at, piece.as_slice()))
        .collect();
    let found = of(answer(&NGINX, &pieces));
    assert_eq!(with(&found, Verdict::Problem), ["buffering"]);
    assert!(advice(&found, "buffering").contains("`proxy_buffering off;`"));
    assert_eq!(verdict(&found, "resume"), Verdict::Unknown);
    // Where nobody left a name, nginx is a guess.
    let found = of(answer(&HUB, &pieces));
    assert!(advice(&found, "buffering").contains("left no name"));
}

#[test]
fn a_head_that_comes_with_the_cut_was_held() {
    let mut late = answer(&NGINX, &[]);
    (late.head.answered_after, late.watched, late.end) = (60_000, 2, broken());
    assert_eq!(with(&of(late), Verdict::Problem), ["buffering", "cuts"]);
    // A slow server that then sends its stream, whole.
    let mut slow = answer(&NGINX, &[(0, EVENT)]);
    (slow.head.answered_after, slow.watched, slow.end) = (4000, 2, End::Complete);
    let found = of(slow);
    assert_eq!(with(&found, Verdict::Problem), Vec::<&str>::new());
    assert_eq!(verdict(&found, "first byte"), Verdict::Note);
    assert_eq!(verdict(&found, "buffering"), Verdict::Unknown);
}

#[test]
fn silence_alone_is_a_problem_only_where_something_had_to_come() {
    let silent =
        |fields: &[(&'static str, &'static str)]| verdict(&of(answer(fields, &[])), "buffering");
    assert_eq!(silent(&NGINX), Verdict::Note);
    assert_eq!(silent(&HUB[..1]), Verdict::Note);
    // A server of ours, whose heartbeats are due after 15 seconds.
    assert_eq!(silent(&HUB), Verdict::Problem);
    let mut short = answer(&HUB, &[]);
    short.watched = 5000;
    assert_eq!(verdict(&of(short), "buffering"), Verdict::Note);
    // A compressor that is never flushed.
    let compressed = [&NGINX[..], &[("content-encoding", "gzip")]].concat();
    assert_eq!(silent(&compressed), Verdict::Problem);
    assert!(advice(&of(answer(&compressed, &[])), "buffering").contains("gzip off;"));
}

#[test]
fn heartbeats() {
    let beats = |pieces: &[(u64, &[u8])], watched| {
        let mut answer = answer(&HUB, pieces);
        answer.watched = watched;
        verdict(&of(answer), "heartbeats")
    };
    assert_eq!(
        beats(&[(0, OPENING), (15_000, b":\n")], 16_000),
        Verdict::Ok
    );
    assert_eq!(
        beats(&[(0, OPENING), (15_000, b": ping\n\n")], 16_000),
        Verdict::Ok
    );
    assert_eq!(beats(&[(0, OPENING)], 20_000), Verdict::Note);
    // None was due yet.
    assert_eq!(beats(&[(0, OPENING)], 10_000), Verdict::Unknown);
    assert_eq!(
        beats(&[(0, OPENING), (10_000, EVENT)], 20_000),
        Verdict::Unknown
    );
}

#[test]
fn cuts() {
    let ended = |end: End, watched, resume| {
        let mut answer = answer(&NGINX, &[(0, OPENING), (1000, EVENT)]);
        (answer.end, answer.watched, answer.resume) = (end, watched, resume);
        of(answer)
    };
    let idle = ended(broken(), 11_000, Resume::NotTried);
    assert!(
        look(&idle, "cuts")
            .found
            .contains("after 10.0 s of silence")
    );
    assert!(advice(&idle, "cuts").contains("`proxy_read_timeout 1h;`"));
    let sudden = ended(broken(), 1100, Resume::NotTried);
    assert_eq!(verdict(&sudden, "cuts"), Verdict::Problem);
    assert!(!advice(&sudden, "cuts").contains("proxy_read_timeout"));
    assert_eq!(
        verdict(&ended(End::Complete, 9000, Resume::NotTried), "cuts"),
        Verdict::Note
    );
    assert_eq!(
        verdict(&ended(End::Complete, 1000, Resume::NotTried), "cuts"),
        Verdict::Note
    );
    let told = Resume::Answered(Resumed {
        status: 204,
        ..Resumed::default()
    });
    assert_eq!(
        verdict(&ended(End::Complete, 1000, told), "cuts"),
        Verdict::Ok
    );
    assert_eq!(
        verdict(&ended(End::Open, 11_000, Resume::NotTried), "cuts"),
        Verdict::Ok
    );
}

#[test]
fn watching_ends_early_only_when_all_is_known() {
    let decided = |pieces: &[(u64, &[u8])], now| {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|(at, piece)| (*at, piece.to_vec()))
            .collect();
        is_decided(&watched(&pieces), now)
    };
    assert!(!decided(&[(0, OPENING)], 14_000));
    assert!(decided(&[(0, OPENING), (15_000, b":\n")], 15_100));
    let busy: Vec<_> = (0..90).map(|n| (n * 100, EVENT)).collect();
    assert!(decided(&busy, 9000));
    assert!(!decided(&busy[..20], 2000));
    // Nor does a greeting tell of heartbeats.
    assert!(!decided(&[(0, b": padding\n\n"), (2000, EVENT)], 5000));
    // A heartbeat that came at the end of a full buffer proves nothing.
    assert!(!decided(&[(0, b":\ndata: x")], 5000));
}

#[test]
fn an_event_without_an_end() {
    let line = [b"data: ".as_slice(), &vec![b'x'; 17 << 20]].concat();
    let found = of(answer(&HUB, &[(0, OPENING), (5000, &line)]));
    assert_eq!(verdict(&found, "event size"), Verdict::Problem);
}

#[test]
fn a_stream_is_a_small_thing_to_watch() {
    let mut watch = Watch::after("");
    for n in 0..10_000_u64 {
        watch.feed(n, format!("id: {n}\ndata: x\n\n").as_bytes());
    }
    assert_eq!(
        (watch.events, watch.bursts.len(), watch.ids.len()),
        (10_000, 1, 64)
    );
}
