//! The life of a source without its sockets: told what came and what time it is, it says what to do next.
//!
//! ```text
//!            +---------------------- due, restart ----------------------+
//!            v                                                          |
//! due --> asking --> connecting --> open ----- cut, end, silence --> waiting
//!            ^         |   |          |
//!            +redirect-+   +----------+-- 204, stop_on, refused, no more tries --> closed
//! ```

mod open;

use std::sync::Arc;

use hyper::{HeaderMap, Method};

use self::open::Open;
use super::backoff::Backoff;
use super::decode::Coding;
use super::error::{ClientError, ClientErrorKind};
use super::notice::{Answer, Ended, Notice, Question, Retry};
use super::options::{ClientOptions, When};
use super::policy::{Head, Verdict, refusal, refused, verdict};
use super::queue::Outbox;
use super::redirect;
use super::request::{Hop, Target, fields};

/// What is to be done next, and which input answers it.
#[derive(Debug)]
pub(crate) enum Do {
    /// Wait for the host's answer: [`Session::answered`].
    Ask,
    /// Make this request: [`Session::head`] or [`Session::failed`].
    Send(Box<Hop>),
    /// Read a piece of the stream: [`Session::bytes`], [`Session::end`] or [`Session::failed`].
    Read,
    /// Read what a refusal has to say: [`Session::collected`].
    Collect,
    /// Wait so many milliseconds: [`Session::due`].
    Wait(u64),
    /// Nothing: it is over.
    Stop,
}

/// When something happened: milliseconds of a clock that only goes forward, and a random number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) now: u64,
    pub(crate) random: u64,
    /// Seconds since 1970.
    pub(crate) wall: u64,
}

/// See the module's picture.
#[derive(Debug)]
enum State {
    Asking,
    AskingRedirect(Box<Hop>),
    Connecting(Box<Hop>),
    Refused(Verdict, Box<Head>),
    Open(Box<Open>),
    /// Also before the first attempt.
    Waiting,
    Closed,
}

/// One source, whatever becomes of its connections.
#[derive(Debug)]
pub(crate) struct Session {
    target: Target,
    options: Arc<ClientOptions>,
    state: State,
    backoff: Backoff,
    last_event_id: String,
    attempts: u64,
    // The URL of the request at hand.
    url: String,
    // The status of the last answer, if it opened no stream.
    status: Option<u16>,
    // Whether a stream was ever open.
    opened: bool,
    // The second chance after a 401 is spent.
    refreshed: bool,
}

impl Session {
    pub(crate) fn new(target: Target, options: Arc<ClientOptions>, last_event_id: String) -> Self {
        Self {
            url: target.url.to_string(),
            target,
            options,
            state: State::Waiting,
            backoff: Backoff::new(),
            last_event_id,
            attempts: 0,
            status: None,
            opened: false,
            refreshed: false,
        }
    }

    /// Begins the first attempt, or the next one when its time has come.
    pub(crate) fn due(&mut self, out: &mut Outbox) -> Do {
        self.attempts += 1;
        if !self.options.ask_headers {
            return self.connect(&HeaderMap::new());
        }
        out.notice(Notice::Ask(Question::Headers {
            attempt: self.attempts,
            status: self.status,
        }));
        self.state = State::Asking;
        Do::Ask
    }

    /// The host has answered what it was asked last.
    pub(crate) fn answered(&mut self, answer: Answer, out: &mut Outbox) -> Do {
        let state = std::mem::replace(&mut self.state, State::Closed);
        let why = match (state, answer) {
            (State::Asking, Answer::Headers(headers)) => match fields(&headers) {
                Ok(headers) => return self.connect(&headers),
                Err(error) => error.to_string(),
            },
            (State::AskingRedirect(hop), Answer::Redirect(true)) => return self.send(hop),
            (State::AskingRedirect(hop), Answer::Redirect(false)) => {
                let message = format!("the redirect to {} was refused by the caller", hop.url);
                let error = ClientError::new(ClientErrorKind::Redirect, message);
                return self.fail(error, out);
            }
            (_, Answer::Failed(why)) => why,
            _ => "the answer does not fit the question".into(),
        };
        self.fail(ClientError::new(ClientErrorKind::Callback, why), out)
    }

    /// The head of an answer has come.
    pub(crate) fn head(&mut self, head: Head, moment: Moment, out: &mut Outbox) -> Do {
        let State::Connecting(hop) = std::mem::replace(&mut self.state, State::Closed) else {
            return Do::Stop;
        };
        match verdict(&head, self.options.check_content_type) {
            Verdict::Stream => match Coding::of(&head.headers).check() {
                Ok(()) => self.open(&head, moment, out),
                Err(error) => {
                    let error = error.with_refusal(refusal(&head, Vec::new(), moment.wall));
                    self.fail(error, out)
                }
            },
            Verdict::NoContent => self.conclude(Ended::NoContent, out),
            Verdict::Redirect => self.redirect(&hop, &head, moment, out),
            verdict => {
                self.state = State::Refused(verdict, Box::new(head));
                Do::Collect
            }
        }
    }

    /// The body of a refusal has come, as far as anybody wants it.
    pub(crate) fn collected(&mut self, body: Vec<u8>, moment: Moment, out: &mut Outbox) -> Do {
        let State::Refused(verdict, head) = std::mem::replace(&mut self.state, State::Closed)
        else {
            return Do::Stop;
        };
        let error = refused(verdict, &head, body, &self.options.reconnect, moment.wall);
        self.failed(error, moment, out)
    }

    /// The stream has ended in an orderly way.
    pub(crate) fn end(&mut self, moment: Moment, out: &mut Outbox) -> Do {
        let error = ClientError::new(ClientErrorKind::Ended, "the stream has ended");
        self.failed(error, moment, out)
    }

    /// The attempt has failed, or the open stream broke off.
    pub(crate) fn failed(&mut self, error: ClientError, moment: Moment, out: &mut Outbox) -> Do {
        let clean = error.kind() == ClientErrorKind::Ended;
        if let State::Open(open) = &self.state {
            let lasted = moment.now.saturating_sub(open.since);
            if lasted >= self.options.reconnect.reset_after || (clean && open.fruitful) {
                self.backoff.reset();
            }
        }
        self.status = error.status();
        if self.status == Some(401) && self.options.ask_headers && !self.refreshed {
            // The request was not carried out, so this holds for every method.
            self.refreshed = true;
            return self.wait(error, 0, out);
        }
        if !clean && !error.is_retryable() {
            return self.fail(error, out);
        }
        if !self.may_reconnect(clean) {
            return self.give_up(error, "", out);
        }
        let asked = error.refusal().and_then(|refusal| refusal.retry_after);
        match self
            .backoff
            .next(&self.options.reconnect, moment.now, moment.random, asked)
        {
            Some(delay) => self.wait(error, delay, out),
            None => self.give_up(error, "there were as many tries as allowed", out),
        }
    }

    /// The host wants a new connection, now.
    pub(crate) fn restart(&mut self, out: &mut Outbox) -> Do {
        if matches!(self.state, State::Open(_)) {
            let error = ClientError::new(
                ClientErrorKind::Restarted,
                "the caller asked for a new connection",
            );
            self.wait(error, 0, out);
        }
        self.backoff.reset();
        self.due(out)
    }

    fn connect(&mut self, more: &HeaderMap) -> Do {
        let hop = self.target.hop(more, &self.last_event_id);
        self.send(Box::new(hop))
    }

    fn send(&mut self, hop: Box<Hop>) -> Do {
        self.url = hop.url.to_string();
        self.state = State::Connecting(hop.clone());
        Do::Send(hop)
    }

    fn redirect(&mut self, hop: &Hop, head: &Head, moment: Moment, out: &mut Outbox) -> Do {
        let rules = &self.options.redirects;
        let on_unix_socket = self.options.unix_socket.is_some();
        let next = match redirect::follow(&self.target, hop, head, rules, on_unix_socket) {
            Ok(next) => Box::new(next),
            Err(error) => {
                let error = error.with_refusal(refusal(head, Vec::new(), moment.wall));
                return self.fail(error, out);
            }
        };
        if !rules.ask {
            return self.send(next);
        }
        out.notice(Notice::Ask(Question::Redirect {
            from: hop.url.to_string(),
            to: next.url.to_string(),
            status: head.status,
            method: next.method.to_string(),
        }));
        self.state = State::AskingRedirect(next);
        Do::Ask
    }

    fn may_reconnect(&self, clean: bool) -> bool {
        let rules = &self.options.reconnect;
        let wanted = match rules.when {
            When::IfGet => self.target.method == Method::GET,
            When::Always => true,
            When::OnError => !clean,
            When::Never => false,
        };
        wanted && (self.opened || rules.first)
    }

    fn wait(&mut self, error: ClientError, delay: u64, out: &mut Outbox) -> Do {
        out.notice(Notice::Retrying(Box::new(Retry {
            error: error.at(&self.url),
            delay,
            attempt: self.attempts,
        })));
        self.state = State::Waiting;
        Do::Wait(delay)
    }

    /// There will be no other attempt. What that means depends on how the last one ended.
    fn give_up(&mut self, error: ClientError, why: &str, out: &mut Outbox) -> Do {
        if error.kind() != ClientErrorKind::Ended {
            let error = if why.is_empty() {
                error
            } else {
                error.explain(why)
            };
            return self.fail(error, out);
        }
        if self.options.needs_finish() {
            let error = ClientError::new(
                ClientErrorKind::Unfinished,
                "the stream has ended without its end mark: what came may be incomplete",
            );
            return self.fail(error, out);
        }
        self.conclude(Ended::EndOfStream, out)
    }

    fn conclude(&mut self, ended: Ended, out: &mut Outbox) -> Do {
        out.notice(Notice::Ended(ended));
        self.state = State::Closed;
        Do::Stop
    }

    fn fail(&mut self, error: ClientError, out: &mut Outbox) -> Do {
        out.notice(Notice::Failed(error.at(&self.url)));
        self.state = State::Closed;
        Do::Stop
    }
}
