//! Verdicts on what follows the head: when it comes, how it ends, and how it goes on.

use super::facts::{Answer, End, Resume, Resumed};
use super::findings::{Finding, Verdict};
use super::flow::{Flow, Held, STALL, judge};
use super::wayside::{self, Proxy};
use crate::cli::text::{brief, count, duration, shown};
use crate::topic::cursor::GapReason;

/// A head that takes longer (milliseconds) keeps pages waiting.
const LATE: u64 = 2000;
/// A silent end after less than this has nothing to do with the silence.
const IDLE: u64 = 1000;
/// A hub sends a heartbeat each 15 seconds, give or take one.
const HEARTBEAT: u64 = 17_000;

pub(super) fn of(answer: &Answer) -> Vec<Finding> {
    let flow = judge(
        &answer.watch,
        answer.head.answered_after,
        answer.watched,
        answer.end.is_cut(),
    );
    let held = matches!(flow, Flow::Held(_));
    let mut all = vec![first_byte(answer, held), buffering(answer, &flow)];
    all.push(if held {
        Finding::unknown("heartbeats", "hidden by what holds events back")
    } else {
        heartbeats(answer)
    });
    all.push(if held && answer.end == End::Open {
        Finding::unknown("cuts", "none seen; silences are not those of the server")
    } else {
        end(answer)
    });
    all.push(if held {
        Finding::unknown(
            "resume",
            "not tried: what holds events back would hide the answer",
        )
    } else {
        resume(&answer.resume)
    });
    all
}

fn first_byte(answer: &Answer, held: bool) -> Finding {
    const CHECK: &str = "first byte";
    let after = answer.head.answered_after;
    let body = match answer.watch.bursts.first() {
        Some(burst) => format!("of the body {} later", duration(burst.from)),
        None => "none of the body".into(),
    };
    let found = format!("of the head after {}, {body}", duration(after));
    if after < LATE {
        return Finding::ok(CHECK, found);
    }
    let finding = Finding::note(CHECK, found);
    if held {
        // Said by the next finding.
        return finding;
    }
    finding.advise(
        "Browsers call the stream open only when the head is there: let the server send it at \
         once, before its first event. If it does, something on the way holds it back.",
    )
}

fn buffering(answer: &Answer, flow: &Flow) -> Finding {
    const CHECK: &str = "buffering";
    let headers = &answer.head.headers;
    let on_the_way = wayside::found(headers);
    let compressed = headers.contains_key(hyper::header::CONTENT_ENCODING);
    let watched = duration(answer.watched);
    let finding = match flow {
        Flow::Prompt => return Finding::ok(CHECK, "none: what is sent comes at once"),
        Flow::Unclear if answer.end == End::Complete => {
            return Finding::unknown(CHECK, "the stream was over too soon to say");
        }
        Flow::Unclear if answer.watch.longest_silence(answer.watched) < STALL => {
            return Finding::unknown(CHECK, "the stream never pauses: a buffer would not show");
        }
        Flow::Unclear => {
            return Finding::unknown(
                CHECK,
                "what came proves neither that there is any, nor that there is none",
            )
            .advise("Watch for longer, with --seconds.");
        }
        Flow::Nothing if answer.end.unreadable().is_some() => {
            return Finding::unknown(CHECK, "the body cannot be read");
        }
        Flow::Nothing if compressed => Finding::problem(
            CHECK,
            format!(
                "not a byte within {watched}, and the answer is compressed: a compressor keeps \
                 what is small"
            ),
        )
        .advise("Do not compress the stream, or flush the compressor after each event.")
        .advise_each(&on_the_way, Proxy::uncompressed),
        Flow::Nothing if is_like_ours(answer) && answer.watched >= HEARTBEAT => Finding::problem(
            CHECK,
            format!(
                "not a byte within {watched}, though the head is like that of an ssehub server, \
                 which sends heartbeats"
            ),
        ),
        Flow::Nothing => {
            return Finding::note(
                CHECK,
                format!("cannot be told: not a byte came within {watched}"),
            )
            .advise(
                "A server that is silent and sends no heartbeats looks like this; so does one \
                 whose events are held back. A stream of an ssehub hub begins with an opening \
                 block: if this is one, something holds it back.",
            );
        }
        Flow::Held(held) => Finding::problem(CHECK, evidence(held)),
    };
    if on_the_way.is_empty() {
        finding
            .advise(
                "Whatever stands before the server collects the answer until a buffer is full, \
                 and has to be told not to. It left no name; nginx is told as follows.",
            )
            .advise(Proxy::Nginx.unbuffered())
    } else {
        finding.advise_each(&on_the_way, Proxy::unbuffered)
    }
}

fn evidence(held: &Held) -> String {
    match held {
        Held::Cut {
            times: 1,
            bytes,
            longest,
        } => format!(
            "events are held back until a buffer is full: the stream stopped in the middle of an \
             event, after {bytes} bytes, for {}",
            duration(*longest)
        ),
        Held::Cut {
            times,
            bytes,
            longest,
        } => format!(
            "events are held back until a buffer is full: {times} times the stream stopped in the \
             middle of an event, the last time after {bytes} bytes, for up to {}",
            duration(*longest)
        ),
        Held::HeadAtTheEnd { silence } => format!(
            "the stream is held back: even its head came only after {}, when the connection was \
             cut",
            duration(*silence)
        ),
        Held::Bunch { beats, silence } => format!(
            "heartbeats are held back: {beats} came at once, after {} of silence",
            duration(*silence)
        ),
    }
}

/// Whether the head is as our servers send it, and nothing on the way has changed it.
fn is_like_ours(answer: &Answer) -> bool {
    let says = |name: &str, value: &str| {
        answer
            .head
            .headers
            .get(name)
            .is_some_and(|found| found == value)
    };
    says("cache-control", "no-cache, no-transform") && says("x-accel-buffering", "no")
}

fn heartbeats(answer: &Answer) -> Finding {
    const CHECK: &str = "heartbeats";
    let watch = &answer.watch;
    let silence = watch.longest_silence(answer.watched);
    let beats = watch.beats();
    if beats > 0 {
        let found = format!(
            "{}, longest silence {}",
            count(beats, "heartbeat"),
            duration(silence)
        );
        return Finding::ok(CHECK, found);
    }
    if silence < HEARTBEAT {
        let found = format!(
            "none was due: the longest silence was {}",
            duration(silence)
        );
        return Finding::unknown(CHECK, found);
    }
    Finding::note(
        CHECK,
        format!("none within {} of silence", duration(silence)),
    )
    .advise(
        "Proxies cut a connection that is silent, many after 60 seconds. Send a comment (a line \
         with a colon) at least each 15 seconds, as a hub does by itself; `heartbeat` sets how \
         often.",
    )
}

fn end(answer: &Answer) -> Finding {
    const CHECK: &str = "cuts";
    let watch = &answer.watch;
    // Where nothing came at all, silence began with the request.
    let silence = if watch.bursts.is_empty() {
        answer.watched + answer.head.answered_after
    } else {
        answer.watched.saturating_sub(watch.last_byte())
    };
    let after = duration(silence);
    match &answer.end {
        End::Open => {
            let longest = duration(watch.longest_silence(answer.watched));
            let watched = duration(answer.watched);
            let found = format!("none within {watched}, with silences of up to {longest}");
            if watch.beats() > 0 || watch.events > 0 {
                return Finding::ok(CHECK, found);
            }
            Finding::ok(
                CHECK,
                format!("{found}; --seconds 70 also finds limits of a minute"),
            )
        }
        End::Complete if silence >= IDLE => Finding::note(
            CHECK,
            format!("the stream was ended after {after} of silence"),
        )
        .advise(
            "The end was orderly: the server meant it, or a proxy did that speaks HTTP/1.0 to it. \
             Clients come back.",
        ),
        End::Complete => {
            let found = format!(
                "none: the stream ended by itself, after {}",
                count(watch.events, "event")
            );
            let finding = Finding::note(CHECK, found);
            match &answer.resume {
                Resume::Answered(Resumed { status: 204, .. }) => Finding {
                    verdict: Verdict::Ok,
                    ..finding
                },
                _ => finding.advise(
                    "Browsers come back to a stream that ends, and get it again: answer their \
                     `Last-Event-ID` with what follows, or with status 204 where nothing does.",
                ),
            }
        }
        End::Broken(_) if answer.end.is_cut() && silence >= IDLE => Finding::problem(
            CHECK,
            format!("the connection was cut after {after} of silence"),
        )
        .advise(format!(
            "Something on the way gives up on a silent stream. Send heartbeats more often than \
             that: less than {after} apart (`heartbeat` of a hub or a response)."
        ))
        .advise_each(&who_cuts(answer), Proxy::patient),
        End::Broken(_) if answer.end.unreadable().is_some() => {
            Finding::unknown(CHECK, "the body cannot be read")
        }
        End::Broken(error) => Finding::problem(CHECK, shown(&error.to_string())).advise(
            "It broke in the middle of the stream, and not for its silence: the server's log, or \
             that of a proxy, may say why.",
        ),
    }
}

/// Those whose patience it may have been.
fn who_cuts(answer: &Answer) -> Vec<Proxy> {
    let found = wayside::found(&answer.head.headers);
    if found.is_empty() {
        vec![Proxy::Nginx, Proxy::AwsAlb]
    } else {
        found
    }
}

fn resume(resume: &Resume) -> Finding {
    const CHECK: &str = "resume";
    match resume {
        Resume::NotTried => Finding::unknown(CHECK, "not tried: nothing came to come back to"),
        Resume::NotRepeated => {
            Finding::unknown(CHECK, "not tried: only a GET may be repeated unasked")
        }
        Resume::NoIds => Finding::note(CHECK, "events have no ids").advise(
            "A client that comes back cannot say what it has seen, and misses what is sent \
             meanwhile. Give events an id, and answer `Last-Event-ID`; a hub does both.",
        ),
        Resume::Failed(error) => {
            let found = match error {
                Some(error) => format!(
                    "no answer to a second request: {}",
                    shown(&error.to_string())
                ),
                None => "no answer to a second request".into(),
            };
            Finding::problem(CHECK, found).advise(
                "Clients come back often. Is there a limit on connections, or on their rate?",
            )
        }
        Resume::Answered(resumed) => resumed_with(CHECK, resumed),
    }
}

fn resumed_with(check: &'static str, resumed: &Resumed) -> Finding {
    let from = brief(&resumed.from, 40);
    if resumed.status == 204 {
        return Finding::ok(
            check,
            "the stream is complete, and whoever comes back is told so (204)",
        );
    }
    if resumed.status != 200 {
        return Finding::problem(
            check,
            format!("status {} when coming back after {from}", resumed.status),
        )
        .advise(
            "A client that comes back gives up at that. Is there a limit on connections, or are \
             ids refused?",
        );
    }
    if let Some(reason) = resumed.gap {
        return gap(check, reason, &from);
    }
    let Some(expected) = &resumed.expected else {
        return match &resumed.opening {
            Some(_) => Finding::ok(
                check,
                format!("the stream goes on after {from}, without a gap"),
            ),
            None if resumed.events == 0 => Finding::unknown(
                check,
                format!(
                    "nothing came after {from}, the first time nor the second: there was nothing \
                     to miss"
                ),
            ),
            None => Finding::unknown(
                check,
                format!("events came after {from}; whether all of them is not known"),
            ),
        };
    };
    let expected = brief(expected, 40);
    match resumed.ids.first() {
        Some(first) if Some(first) == resumed.expected.as_ref() => Finding::ok(
            check,
            format!("the stream goes on after {from}, with {expected}"),
        ),
        Some(first) => Finding::problem(
            check,
            format!(
                "coming back after {from}, the next event was {}, and not {expected}",
                brief(first, 40)
            ),
        )
        .advise(
            "`Last-Event-ID` is not heeded, or not passed on by a proxy: what is sent while a \
             client is away is lost to it.",
        ),
        None => Finding::problem(
            check,
            format!("coming back after {from}, {expected} did not come again"),
        )
        .advise(
            "There are ids, and `Last-Event-ID` is not heeded (or not passed on by a proxy): what \
             is sent while a client is away is lost to it.",
        ),
    }
}

fn gap(check: &'static str, reason: GapReason, from: &str) -> Finding {
    let found = format!(
        "the hub says that events after {from} are lost ({})",
        reason.as_str()
    );
    match reason {
        GapReason::Unknown => Finding::problem(check, found).advise(
            "Another hub answered than the one that gave the id: with several worker processes \
             each has a hub of its own. Run one process, or have the proxy send a client to the \
             same one each time.",
        ),
        _ => Finding::problem(check, found).advise(
            "The history is too short for a client to be away even for a moment: raise its \
             `count`, `bytes` or `age`.",
        ),
    }
}
