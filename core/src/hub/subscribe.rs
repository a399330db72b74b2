//! Subscribing: what is wanted, checked, and where it begins. Nothing is attached yet.

use std::sync::atomic::Ordering;

use super::{Hub, Topic};
use crate::error::{Error, ErrorKind, Result};
use crate::options::{Start, SubscribeOptions, check_max_lag};
use crate::shared::{State, closed};
use crate::subscription::Subscription;
use crate::topic::cursor::Terms;
use crate::topic::pattern::{check_name, check_pattern};
use crate::topic::table::Name;

impl Hub {
    /// Subscribes to topics. The position is the newest event now; nothing is held until the subscription is read.
    ///
    /// # Errors
    /// `InvalidArgument` for no topics, bad names or patterns; `OutOfRange` for a lag limit below the event size;
    /// `LimitReached` for too many topics; `Closed` after [`Hub::close`].
    pub fn subscribe(&self, topics: &[Topic], options: SubscribeOptions) -> Result<Subscription> {
        let limits = &self.shared.options.limits;
        if topics.is_empty() {
            return Err(Error::invalid(
                "topic",
                "name at least one topic to subscribe to",
            ));
        }
        if topics.len() > limits.topics_per_subscription {
            return Err(Error::new(
                ErrorKind::LimitReached,
                format!(
                    "{} topics in one subscription, the hub takes at most {}: raise limits.topics_per_subscription, or \
                     use a pattern",
                    topics.len(),
                    limits.topics_per_subscription
                ),
            ));
        }
        let mut names: Vec<Name> = Vec::with_capacity(topics.len());
        for topic in topics {
            let (text, is_pattern) = match topic {
                Topic::Name(name) => (name, false),
                Topic::Pattern(pattern) => (pattern, true),
            };
            if is_pattern {
                check_pattern(text)?;
            } else {
                check_name(text)?;
            }
            let name = Name {
                text: text.as_str().into(),
                is_pattern,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let max_lag = options.max_lag.unwrap_or(self.shared.options.max_lag);
        check_max_lag(max_lag, limits.event_size)?;
        if self.shared.state() == State::Closed {
            return Err(closed());
        }
        Ok(Subscription::new(
            self.shared.clone(),
            Terms {
                names: names.into(),
                start: match options.start {
                    // What browsers send when they have no id.
                    Start::After(id) if id.is_empty() => Start::Head,
                    start => start,
                },
                head: self.shared.head.load(Ordering::Acquire),
                on_gap: options.on_gap,
                slow: options.slow.unwrap_or(self.shared.options.slow),
                max_lag: max_lag as u64,
            },
        ))
    }
}

impl Subscription {
    /// The hub it reads.
    pub fn hub(&self) -> Hub {
        Hub {
            shared: self.shared().clone(),
        }
    }
}
