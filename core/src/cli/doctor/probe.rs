//! The sockets of the doctor: one connection to watch, one to come back, with the client's own transport.

use std::pin::pin;
use std::sync::mpsc::Sender;
use std::time::Duration;

use hyper::Method;
use hyper::header::{HeaderMap, HeaderValue, ORIGIN};
use tokio::time::timeout;

use super::facts::{Answer, End, Facts, NoHead, Outcome, Resume, Resumed};
use super::flow;
use super::watch::Watch;
use crate::client::policy::{Head, Verdict, verdict};
use crate::client::request::{Hop, Target};
use crate::client::runtime::process;
use crate::client::transport::{Body, Exchange, Transport};
use crate::client::{ClientError, ClientOptions, redirect};

/// How often to look at the time while nothing comes.
const TICK: Duration = Duration::from_millis(100);
/// How long a second request may take. Streams begin at once, or have nothing to say.
const SECOND_LOOK: u64 = 3000;
/// How long a gap event may come after the opening block.
const GAP: u64 = 300;
/// How long what a refusal has to say may take.
const REFUSAL: Duration = Duration::from_secs(1);
/// How much of it is wanted.
const MAX_SAID: usize = 1000;

/// What to examine.
pub(super) struct Case {
    pub(super) target: Target,
    pub(super) transport: Transport,
    pub(super) options: ClientOptions,
    /// Where to start, if not at the beginning.
    pub(super) last_event_id: String,
    /// The origin to claim.
    pub(super) origin: Option<HeaderValue>,
    /// How long to watch, in milliseconds.
    pub(super) limit: u64,
}

/// What to tell meanwhile.
pub(super) enum Step {
    Connecting,
    /// For the head of the answer, for so many milliseconds.
    Waiting(u64),
    /// Milliseconds so far, bytes, events.
    Watching(u64, u64, u64),
    Resuming,
}

/// Where a request led.
enum Led {
    NoConnection(ClientError),
    NoHead(NoHead),
    Answer {
        exchange: Box<Exchange>,
        hop: Box<Hop>,
        not_followed: Option<ClientError>,
    },
}

/// Looks at everything there is to see.
pub(super) async fn examine(case: Case, steps: Sender<Step>) -> Facts {
    let tell = |step| {
        // Whoever showed it has left: nobody needs it.
        let _ = steps.send(step);
    };
    tell(Step::Connecting);
    let hop = case.target.hop(&case.more(), &case.last_event_id);
    let outcome = match case.lead(hop.clone(), case.limit, &tell).await {
        Led::NoConnection(error) => Outcome::NoConnection(error),
        Led::NoHead(mut none) => {
            none.head = case.head_of(hop).await;
            Outcome::NoHead(Box::new(none))
        }
        Led::Answer {
            exchange,
            hop,
            not_followed,
        } => {
            let answer = case.answer(*exchange, &hop, not_followed, &tell).await;
            Outcome::Answer(Box::new(answer))
        }
    };
    Facts {
        url: case.target.url.to_string(),
        origin: case
            .origin
            .map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned()),
        outcome,
    }
}

impl Case {
    /// Fields beside those of the request.
    fn more(&self) -> HeaderMap {
        let origin = self.origin.clone();
        origin.map(|origin| (ORIGIN, origin)).into_iter().collect()
    }

    /// Makes the request, and follows redirects, for at most `limit` milliseconds.
    async fn lead(&self, mut hop: Hop, limit: u64, tell: &impl Fn(Step)) -> Led {
        let started = process().now();
        loop {
            let standing = match self.transport.stand(&hop).await {
                Ok(standing) => standing,
                Err(error) => return Led::NoConnection(error.at(hop.url.as_str())),
            };
            let none = NoHead {
                remote: standing.connected.remote,
                connected_after: standing.after,
                waited: 0,
                broke: None,
                head: None,
            };
            let stands = process().now();
            let left = limit.saturating_sub(stands.saturating_sub(started));
            let asked = patiently(left, self.transport.ask(&hop, standing), |now| {
                tell(Step::Waiting(now));
            });
            let broke = match asked.await {
                Some(Ok(exchange)) => match self.redirected(&hop, &exchange.head) {
                    Ok(Some(next)) => {
                        hop = next;
                        continue;
                    }
                    found => {
                        return Led::Answer {
                            exchange: Box::new(exchange),
                            hop: Box::new(hop),
                            not_followed: found.err(),
                        };
                    }
                },
                Some(Err(error)) => Some(error),
                None => None,
            };
            let waited = process().now().saturating_sub(stands);
            return Led::NoHead(NoHead {
                waited,
                broke,
                ..none
            });
        }
    }

    fn redirected(&self, hop: &Hop, head: &Head) -> Result<Option<Hop>, ClientError> {
        if verdict(head, false) != Verdict::Redirect {
            return Ok(None);
        }
        redirect::follow(&self.target, hop, head, &self.options.redirects, false).map(Some)
    }

    /// Who answers there, when nothing comes of a GET: a buffer holds no answer that has no body.
    async fn head_of(&self, mut hop: Hop) -> Option<Head> {
        if hop.method != Method::GET {
            return None;
        }
        hop.method = Method::HEAD;
        hop.body = None;
        match self.lead(hop, SECOND_LOOK, &|_| {}).await {
            Led::Answer { exchange, .. } => Some(exchange.head),
            _ => None,
        }
    }

    async fn answer(
        &self,
        exchange: Exchange,
        hop: &Hop,
        not_followed: Option<ClientError>,
        tell: &impl Fn(Step),
    ) -> Answer {
        let Exchange { head, mut body } = exchange;
        let is_stream = verdict(&head, false) == Verdict::Stream;
        let mut answer = Answer {
            url: hop.url.to_string(),
            redirects: hop.redirects,
            not_followed,
            is_stream,
            said: String::new(),
            watch: Watch::after(&self.last_event_id),
            watched: 0,
            end: End::Open,
            resume: Resume::NotTried,
            head,
        };
        if !is_stream {
            answer.said = said(&mut body).await;
            return answer;
        }
        // Something else than a stream is as long as it is: there is nothing to watch for.
        if !super::findings::is_event_stream(&answer.head.headers) {
            return answer;
        }
        self.watch(&mut body, &mut answer, tell).await;
        // Closed, as when a client is cut: a server may allow one connection per client.
        drop(body);
        tell(Step::Resuming);
        answer.resume = self.resume(&answer).await;
        answer
    }

    async fn watch(&self, body: &mut Body, answer: &mut Answer, tell: &impl Fn(Step)) {
        let head_came = process().now();
        let now = || process().now().saturating_sub(head_came);
        let limit = self.limit.saturating_sub(answer.head.answered_after);
        let watch = &mut answer.watch;
        let mut bytes = 0;
        answer.end = 'watching: loop {
            let mut next = pin!(body.next());
            let piece = loop {
                if now() >= limit || flow::is_decided(watch, now()) {
                    break 'watching End::Open;
                }
                tell(Step::Watching(now(), bytes, watch.events));
                if let Ok(piece) = timeout(TICK, &mut next).await {
                    break piece;
                }
            };
            match piece {
                Ok(Some(piece)) => {
                    bytes += piece.len() as u64;
                    watch.feed(now(), &piece);
                }
                Ok(None) => break End::Complete,
                Err(error) => break End::Broken(error),
            }
        };
        answer.watched = now();
    }

    /// Comes back as a client that has seen as little as possible, so that there is something to send again.
    async fn resume(&self, seen: &Answer) -> Resume {
        let ids = &seen.watch.ids;
        let (from, expected) = match (&seen.watch.opening, ids.as_slice()) {
            (Some(opening), ids) if !opening.is_empty() => (opening, ids.first()),
            (_, [first, rest @ ..]) if !first.is_empty() => (first, rest.first()),
            _ if seen.watch.bursts.is_empty() => return Resume::NotTried,
            _ => return Resume::NoIds,
        };
        if self.target.method != Method::GET {
            return Resume::NotRepeated;
        }
        let hop = self.target.hop(&self.more(), from);
        let exchange = match self.lead(hop, SECOND_LOOK, &|_| {}).await {
            Led::Answer { exchange, .. } => exchange,
            Led::NoConnection(error) => return Resume::Failed(Some(error)),
            Led::NoHead(none) => return Resume::Failed(none.broke),
        };
        let Exchange { head, mut body } = *exchange;
        let mut watch = Watch::after(from);
        if verdict(&head, false) == Verdict::Stream {
            read_on(&mut body, &mut watch, expected.is_some()).await;
        }
        Resume::Answered(Resumed {
            from: from.clone(),
            expected: expected.cloned(),
            status: head.status,
            ids: watch.ids,
            events: watch.events,
            opening: watch.opening,
            gap: watch.gap,
        })
    }
}

/// Awaits it for at most so many milliseconds, and tells meanwhile how many there were.
async fn patiently<T>(limit: u64, work: impl Future<Output = T>, tell: impl Fn(u64)) -> Option<T> {
    let started = process().now();
    let mut work = pin!(work);
    loop {
        let now = process().now().saturating_sub(started);
        if now >= limit {
            return None;
        }
        tell(now);
        let tick = TICK.min(Duration::from_millis(limit - now));
        if let Ok(done) = timeout(tick, &mut work).await {
            return Some(done);
        }
    }
}

/// Reads until it is known how the stream goes on, or time is up: what came then is what there is.
async fn read_on(body: &mut Body, watch: &mut Watch, expects_events: bool) {
    let started = process().now();
    while watch.gap.is_none() && watch.events == 0 {
        let left = if !expects_events && watch.opening.is_some() {
            // A gap, if there is one, comes right behind the opening block.
            GAP
        } else {
            SECOND_LOOK.saturating_sub(process().now().saturating_sub(started))
        };
        match timeout(Duration::from_millis(left), body.next()).await {
            Ok(Ok(Some(piece))) => watch.feed(0, &piece),
            _ => return,
        }
    }
}

/// The start of what a refusal says. It may break off: what it says is a courtesy.
async fn said(body: &mut Body) -> String {
    let mut text = Vec::new();
    let reading = async {
        while text.len() < MAX_SAID
            && let Ok(Some(piece)) = body.next().await
        {
            text.extend_from_slice(&piece);
        }
    };
    let _ = timeout(REFUSAL, reading).await;
    text.truncate(MAX_SAID);
    String::from_utf8_lossy(&text).into_owned()
}
