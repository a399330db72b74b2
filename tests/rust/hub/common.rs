//! A client of a hub, as far as a test needs one: what a stream delivers, parsed.

use std::time::{Duration, Instant};

use ssehub::{
    Delivery, EndReason, Event, Hub, HubOptions, Limits, Parser, Selector, Start, StreamOptions,
    SubscribeOptions, Subscription, Token, Topic,
};

/// What a browser would see of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) id: String,
}

pub(crate) fn hub() -> Hub {
    Hub::new(HubOptions::default()).expect("the defaults are valid")
}

/// A hub with small limits: events of 100 bytes, so many in a history.
pub(crate) fn small_hub(count: usize) -> Hub {
    let mut options = HubOptions {
        limits: Limits {
            event_size: 100,
            ..Limits::default()
        },
        ..HubOptions::default()
    };
    options.history.count = count;
    Hub::new(options).expect("valid")
}

/// Publishes and returns the id as text.
pub(crate) fn publish(hub: &Hub, topics: &[&str], data: &str) -> String {
    hub.publish(topics, &Event::new(data), None)
        .expect("valid")
        .to_string()
}

pub(crate) fn topics(names: &[&str]) -> Vec<Topic> {
    names.iter().map(|name| Topic::from(*name)).collect()
}

pub(crate) fn pattern(text: &str) -> Topic {
    Topic::Pattern(text.into())
}

pub(crate) fn subscribe(hub: &Hub, names: &[&str]) -> Subscription {
    hub.subscribe(&topics(names), SubscribeOptions::default())
        .expect("valid")
}

pub(crate) fn after(id: &str) -> SubscribeOptions {
    SubscribeOptions {
        start: Start::After(id.into()),
        ..SubscribeOptions::default()
    }
}

/// Options of a stream to a client, without anything that happens by itself.
pub(crate) fn connection() -> StreamOptions {
    StreamOptions {
        connection: true,
        ..StreamOptions::default()
    }
}

/// One stream and what came of it.
pub(crate) struct Client {
    pub(crate) selector: Selector,
    pub(crate) token: Token,
    parser: Parser,
    pub(crate) wire: Vec<u8>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) ended: Option<(EndReason, bool)>,
}

impl Client {
    /// With a selector of its own.
    pub(crate) fn open(subscription: &Subscription) -> Self {
        let selector = subscription.hub().selector(|| {});
        Self::on(&selector, subscription, &connection())
    }

    pub(crate) fn on(
        selector: &Selector,
        subscription: &Subscription,
        options: &StreamOptions,
    ) -> Self {
        let token = selector.add(subscription, options).expect("room");
        Self {
            selector: selector.clone(),
            token,
            parser: Parser::new(),
            wire: Vec::new(),
            seen: Vec::new(),
            ended: None,
        }
    }

    /// Takes one delivery.
    pub(crate) fn take(&mut self, delivery: &Delivery) {
        match delivery {
            Delivery::Frames(batch) => self.feed(batch.bytes()),
            Delivery::Bytes(bytes) | Delivery::Gap(bytes) => self.feed(bytes),
            Delivery::End(end) => {
                assert!(self.ended.is_none(), "a stream ends once");
                if let Some(last) = &end.last {
                    self.feed(last);
                }
                self.ended = Some((end.reason, end.clean));
            }
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
        let seen = &mut self.seen;
        self.parser
            .feed(bytes, |event| {
                seen.push(Seen {
                    event: event.event().into(),
                    data: event.data().into(),
                    id: event.id().into(),
                });
            })
            .expect("events are small");
    }

    /// Asks once, and takes what there is.
    pub(crate) fn poll(&mut self) -> Option<Delivery> {
        let delivery = self.selector.poll(self.token)?;
        self.take(&delivery);
        Some(delivery)
    }

    /// Asks until there is nothing more. Returns the data of what came.
    pub(crate) fn read(&mut self) -> Vec<String> {
        let before = self.seen.len();
        while self.ended.is_none() && self.poll().is_some() {}
        self.seen[before..]
            .iter()
            .map(|seen| match seen.event.as_str() {
                "message" => seen.data.clone(),
                event => format!("{event} {}", seen.data),
            })
            .collect()
    }

    /// Serves the stream as a host does, until it ends.
    pub(crate) fn serve(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        self.read();
        while self.ended.is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            let mut ready = Vec::new();
            let wait = self.selector.select(&mut ready);
            for (token, delivery) in &ready {
                if *token == self.token {
                    self.take(delivery);
                    self.read();
                }
            }
            std::thread::sleep(wait.unwrap_or_default().min(Duration::from_millis(5)));
        }
    }

    pub(crate) fn retry(&self) -> Option<u64> {
        self.parser.retry()
    }

    /// What a browser would send when it comes back.
    pub(crate) fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
    }

    pub(crate) fn leave(self) {
        self.selector.remove(self.token, EndReason::Client);
    }
}

/// Words of one event each: `1` to `n`.
pub(crate) fn numbers(range: std::ops::RangeInclusive<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}
