//! The stretch of a session's life in which a stream is open: what its bytes bring.

use bytes::Bytes;

use super::{Do, Moment, Session, State};
use crate::client::error::{ClientError, ClientErrorKind};
use crate::client::notice::{Ended, Gap, Notice, Opened};
use crate::client::options::StopOn;
use crate::client::policy::{Head, plain};
use crate::client::queue::Outbox;
use crate::event::EventRef;
use crate::wire::parse::{Parsed, Parser};

/// A stream that is being read.
#[derive(Debug)]
pub(super) struct Open {
    parser: Parser,
    pub(super) since: u64,
    // Whether anything was dispatched.
    pub(super) fruitful: bool,
}

impl Session {
    pub(super) fn open(&mut self, head: &Head, moment: Moment, out: &mut Outbox) -> Do {
        let mut parser = Parser::with_max_event_size(self.options.max_event_size);
        parser.set_last_event_id(&self.last_event_id);
        self.state = State::Open(Box::new(Open {
            parser,
            since: moment.now,
            fruitful: false,
        }));
        self.status = None;
        self.opened = true;
        self.refreshed = false;
        out.notice(Notice::Open(Box::new(Opened {
            status: head.status,
            headers: plain(&head.headers),
            url: self.url.clone(),
            http: head.http,
            remote: head.remote,
            attempt: self.attempts,
            connected_after: head.connected_after,
            answered_after: head.answered_after,
        })));
        Do::Read
    }

    /// A piece of the stream has come, decompressed.
    pub(crate) fn bytes(&mut self, chunk: &[u8], out: &mut Outbox) -> Do {
        let State::Open(open) = &mut self.state else {
            return Do::Stop;
        };
        if self.options.raw {
            out.notice(Notice::Bytes(Bytes::copy_from_slice(chunk)));
        }
        let stop_on = self.options.stop_on.as_ref();
        let mut stop = None;
        out.expect(chunk.len());
        let parser = &mut open.parser;
        let mut found = |part: Parsed<'_>| {
            let event = match part {
                _ if stop.is_some() => return,
                Parsed::Comment(text) => return out.notice(Notice::Comment(text.into())),
                Parsed::Event(event) => event,
            };
            open.fruitful = true;
            if is_stop(stop_on, event) {
                stop = Some(event.to_event());
            } else if let Some(gap) = Gap::read(event) {
                out.notice(Notice::Gap(Box::new(gap)));
            } else {
                out.event(event);
            }
        };
        let fed = if self.options.comments {
            parser.feed_with_comments(chunk, found)
        } else {
            parser.feed(chunk, |event| found(Parsed::Event(event)))
        };
        // Ids of blocks without data count, too: a hub's streams begin with one.
        let id = match &stop {
            Some(event) => event.fields().id.unwrap_or_default(),
            None => open.parser.last_event_id(),
        };
        if out.last_event_id().unwrap_or(&self.last_event_id) != id {
            out.position(id);
        }
        if self.last_event_id != id {
            id.clone_into(&mut self.last_event_id);
        }
        if let Some(retry) = open.parser.retry() {
            self.backoff
                .set_server_delay(retry, &self.options.reconnect);
        }
        if let Some(event) = stop {
            return self.conclude(Ended::Stopped(event), out);
        }
        match fed {
            Ok(()) => Do::Read,
            Err(error) => {
                let error = ClientError::new(ClientErrorKind::EventTooLarge, error.to_string());
                self.fail(error, out)
            }
        }
    }
}

fn is_stop(stop_on: Option<&StopOn>, event: EventRef<'_>) -> bool {
    match stop_on {
        Some(StopOn::Data(data)) => event.data == data,
        Some(StopOn::Event(name)) => event.event == name,
        None => false,
    }
}
