//! The parts without sockets, in simulated time.
#![expect(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod backoff;
mod comments;
mod connect;
mod decode;
mod policy;
mod queue;
mod redirect;
mod request;
mod session;
mod session_asks;
mod simulated_day;
mod socks;
mod tls;
mod watchdog;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::error::{ClientError, ClientErrorKind};
use super::notice::Notice;
use super::options::{ClientOptions, ClientRequest, Reconnect, When};
use super::policy::Head;
use super::queue::{Outbox, Queue};
use super::request::{Hop, Target};
use super::session::{Do, Moment, Session};

/// Numbers that look random, and are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Whether numbers are spread evenly over a range, its ends included (chi-squared).
fn assert_uniform(numbers: &[u64], range: &RangeInclusive<u64>) {
    assert!(numbers.iter().all(|number| range.contains(number)));
    let values = usize::try_from(range.end() - range.start() + 1).unwrap();
    let mut buckets = [0_u32; 30];
    for number in numbers {
        let offset = usize::try_from(number - range.start()).unwrap();
        buckets[offset * 30 / values] += 1;
    }
    // A range that 30 does not divide has buckets of two sizes.
    let total = u32::try_from(numbers.len()).unwrap();
    let chi: f64 = (0..30)
        .map(|bucket| {
            let size = ((bucket + 1) * values).div_ceil(30) - (bucket * values).div_ceil(30);
            let share =
                f64::from(u32::try_from(size).unwrap()) / f64::from(u32::try_from(values).unwrap());
            let expected = f64::from(total) * share;
            (f64::from(buckets[bucket]) - expected).powi(2) / expected
        })
        .sum();
    // With 29 degrees of freedom, 58.3 is passed once in a thousand.
    assert!(chi < 58.3, "{chi}: {buckets:?}");
    // And no value is where many meet.
    let mut counts = BTreeMap::new();
    for number in numbers {
        *counts.entry(number).or_insert(0_usize) += 1;
    }
    let most = counts.into_values().max().unwrap_or_default();
    assert!(
        most <= 20 + 3 * numbers.len() / values,
        "{most} at one point"
    );
}

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn head(status: u16, pairs: &[(&'static str, &'static str)]) -> Head {
    Head {
        status,
        headers: fields(pairs),
        http: "HTTP/1.1",
        remote: None,
        connected_after: 0,
        answered_after: 0,
    }
}

fn stream_head() -> Head {
    head(200, &[("content-type", "text/event-stream")])
}

fn lost() -> ClientError {
    ClientError::new(ClientErrorKind::Connect, "nobody there")
}

fn options() -> ClientOptions {
    ClientOptions::default()
}

fn when(when: When) -> ClientOptions {
    ClientOptions {
        reconnect: Reconnect {
            when,
            ..Reconnect::default()
        },
        ..options()
    }
}

fn post() -> ClientRequest {
    ClientRequest {
        method: "POST".into(),
        body: Some(Bytes::from_static(b"{}")),
        ..ClientRequest::get("http://a.test/stream")
    }
}

/// A session with a clock, dice and an inbox.
struct Harness {
    session: Session,
    out: Outbox,
    queue: Queue,
    dice: Dice,
    now: u64,
}

impl Harness {
    fn new(request: &ClientRequest, options: ClientOptions) -> Self {
        options.check().expect("options that can work");
        let (target, id) = Target::new(request, options.compression).expect("a request");
        Self {
            session: Session::new(target, Arc::new(options), id),
            out: Outbox::default(),
            queue: Queue::default(),
            dice: Dice(7),
            now: 0,
        }
    }

    fn get(options: ClientOptions) -> Self {
        Self::new(&ClientRequest::get("http://a.test/stream"), options)
    }

    fn moment(&mut self) -> Moment {
        Moment {
            now: self.now,
            random: self.dice.roll(),
            wall: 0,
        }
    }

    fn due(&mut self) -> Do {
        self.session.due(&mut self.out)
    }

    /// Makes the first attempt.
    fn sent(&mut self) -> Hop {
        sent(self.due())
    }

    fn head(&mut self, head: Head) -> Do {
        let moment = self.moment();
        self.session.head(head, moment, &mut self.out)
    }

    /// Makes the first attempt, and opens the stream.
    fn open(&mut self) {
        self.sent();
        assert!(matches!(self.head(stream_head()), Do::Read));
        assert!(matches!(self.told().as_slice(), [Notice::Open(_)]));
    }

    fn refuse(&mut self, head: Head) -> Do {
        assert!(matches!(self.head(head), Do::Collect));
        let moment = self.moment();
        self.session
            .collected(b"why".to_vec(), moment, &mut self.out)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Do {
        self.session.bytes(bytes, &mut self.out)
    }

    fn end(&mut self) -> Do {
        let moment = self.moment();
        self.session.end(moment, &mut self.out)
    }

    fn fail(&mut self, error: ClientError) -> Do {
        let moment = self.moment();
        self.session.failed(error, moment, &mut self.out)
    }

    /// What the host has been told since the last call.
    fn told(&mut self) -> Vec<Notice> {
        self.queue.put(&mut self.out);
        std::iter::from_fn(|| self.queue.next()).collect()
    }

    fn error(&mut self) -> ClientError {
        match self.told().pop() {
            Some(Notice::Failed(error)) => error,
            Some(Notice::Retrying(retry)) => retry.error,
            other => panic!("no error: {other:?}"),
        }
    }
}

fn sent(next: Do) -> Hop {
    match next {
        Do::Send(hop) => *hop,
        other => panic!("no request: {other:?}"),
    }
}

fn delay(next: &Do) -> u64 {
    match next {
        Do::Wait(delay) => *delay,
        other => panic!("no delay: {other:?}"),
    }
}
