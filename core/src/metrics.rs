//! A hub's counters in the text format that Prometheus scrapes.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::stats::Stats;

/// The picture as text. No metric has a topic or a key as its label: both are often made of user input, and every value
/// of a label is a time series.
pub(crate) fn text(stats: &Stats) -> String {
    let mut registry = Registry::with_prefix("ssehub");
    for (name, help, value) in [
        ("connections", "Streams to clients", stats.connections),
        (
            "detached",
            "Streams whose sockets the engine owns",
            stats.detached,
        ),
        (
            "held",
            "Streams that the engine writes for a server that keeps their sockets",
            stats.held,
        ),
        (
            "subscriptions",
            "Subscriptions read in code",
            stats.subscriptions,
        ),
        ("topics", "Topics with history or readers", stats.topics),
        (
            "tombstones",
            "Vanished topics remembered by name",
            stats.tombstones,
        ),
        (
            "history_frames",
            "Events in histories",
            stats.history_frames,
        ),
        (
            "history_bytes",
            "Bytes of events in histories",
            stats.history_bytes,
        ),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    }
    for (name, help, value) in [
        ("published", "Events published", stats.published),
        (
            "published_bytes",
            "Bytes of events published",
            stats.published_bytes,
        ),
        ("delivered", "Events handed to readers", stats.delivered),
        (
            "delivered_bytes",
            "Bytes of events handed to readers",
            stats.delivered_bytes,
        ),
        (
            "conflated",
            "Events left out for a newer one of their key",
            stats.conflated,
        ),
        ("opened", "Streams opened", stats.opened),
        (
            "refused",
            "Streams refused by a limit or a drain",
            stats.refused,
        ),
    ] {
        registry.register(name, help, counter(value));
    }
    let refused = stats.handoffs_refused.iter();
    let refused: Vec<(&str, u64)> = refused.map(|(word, n)| (word.as_str(), *n)).collect();
    for (name, help, counts) in [
        ("gaps", "Gap events told", &stats.gaps[..]),
        ("closed", "Streams closed", &stats.closed),
        (
            "handoffs_refused",
            "Streams whose sockets the engine could not take",
            &refused,
        ),
    ] {
        let family = Family::<[(&str, String); 1], Counter>::default();
        for (reason, count) in counts {
            let label = [("reason", (*reason).to_owned())];
            family.get_or_create(&label).inc_by(*count);
        }
        registry.register(name, help, family);
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

fn counter(value: u64) -> Counter {
    let counter: Counter = Counter::default();
    counter.inc_by(value);
    counter
}
