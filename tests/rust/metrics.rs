//! The counters as Prometheus reads them.

use ssehub::{Event, Hub, HubOptions};

#[test]
fn every_counter_is_in_the_text_once() {
    let hub = Hub::new(HubOptions::default()).expect("defaults are valid");
    hub.publish(&["news"], &Event::new("hello"), None)
        .expect("it is valid");
    let text = hub.metrics();
    for line in [
        "ssehub_published_total 1",
        "ssehub_topics 1",
        "ssehub_connections 0",
        "ssehub_gaps_total{reason=\"expired\"} 0",
        "ssehub_closed_total{reason=\"max_age\"} 0",
    ] {
        assert_eq!(
            text.lines().filter(|found| *found == line).count(),
            1,
            "{line} in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("news"), "no topic is a label");
}
