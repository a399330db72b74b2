//! A subscription read in code: blocking, awaited, dropped.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use ssehub::{Event, EventId, Slow, SubscribeOptions};

use crate::common::{hub, numbers, publish, small_hub, subscribe, topics};

const LONG: Option<Duration> = Some(Duration::from_secs(20));

/// The smallest executor there is.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn data(event: &Event) -> &str {
    event.fields().data.expect("published events have data")
}

#[test]
fn blocks_until_there_is_something() {
    let hub = hub();
    let mut reader = subscribe(&hub, &["t"]).reader().expect("open");
    assert_eq!(reader.next_event(Some(Duration::ZERO)), Ok(None));
    assert_eq!(reader.next_event(Some(Duration::from_millis(5))), Ok(None));
    assert!(!reader.is_ended());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            publish(&hub, &["t"], "x");
        });
        let event = reader.next_event(None).expect("open").expect("it comes");
        assert_eq!(data(&event), "x");
        assert_eq!(event.fields().id, Some(&*hub.last_event_id().to_string()));
    });
    publish(&hub, &["t"], "y");
    let event = reader.next_event(Some(Duration::MAX)).expect("open");
    assert_eq!(event.as_ref().map(data), Some("y"));
}

#[test]
fn awaited_without_a_runtime() {
    let hub = hub();
    let mut reader = subscribe(&hub, &["t"]).reader().expect("open");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in numbers(1..=1000) {
                publish(&hub, &["t"], &n);
                if n.ends_with('7') {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            hub.close();
        });
        let mut seen = Vec::new();
        block_on(async {
            while let Some(event) = reader.next().await {
                seen.push(data(&event).to_owned());
            }
        });
        // A close is at once: what was read is a beginning.
        assert_eq!(seen, numbers(1..=seen.len()));
        assert!(reader.is_ended());
        assert_eq!(block_on(reader.next()), None);
    });
}

#[test]
fn a_future_that_is_dropped_loses_nothing() {
    let hub = hub();
    let mut reader = subscribe(&hub, &["t"]).reader().expect("open");
    for n in numbers(1..=50) {
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut future = pin!(reader.next());
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        publish(&hub, &["t"], &n);
        assert_eq!(block_on(reader.next()).as_ref().map(data), Some(&*n));
    }
}

#[test]
fn tells_of_gaps_and_of_its_end() {
    let hub = small_hub(2);
    let id = publish(&hub, &["t"], "1");
    for n in numbers(2..=5) {
        publish(&hub, &["t"], &n);
    }
    let mut reader = subscribe(&hub, &["t"]).resume(&id).reader().expect("open");
    let gap = reader.next_event(LONG).expect("open").expect("a gap");
    assert_eq!(gap.fields().event, Some("ssehub:gap"));
    let seq = EventId::parse(gap.fields().id.expect("it has one")).map(|id| id.seq);
    assert_eq!(seq, Some(3));
    drop(reader);
    let options = SubscribeOptions {
        slow: Some(Slow::Disconnect),
        max_lag: Some(100),
        ..SubscribeOptions::default()
    };
    let subscription = hub.subscribe(&topics(&["t"]), options).expect("valid");
    let mut reader = subscription.reader().expect("open");
    for n in numbers(6..=20) {
        publish(&hub, &["t"], &n);
    }
    assert_eq!(reader.next_event(LONG), Ok(None));
    assert!(reader.is_ended());
    assert_eq!(hub.stats().subscriptions, 0);
}

#[test]
fn a_reader_that_is_dropped_gives_everything_back() {
    let hub = hub();
    let reader = subscribe(&hub, &["t"]).reader().expect("open");
    assert_eq!(hub.stats().subscriptions, 1);
    assert_eq!(hub.subscribers("t"), 1);
    drop(reader);
    assert_eq!(hub.stats().subscriptions, 0);
    assert_eq!(hub.stats().topics, 0);
}

#[test]
fn a_large_event_comes_whole() {
    let hub = hub();
    let mut reader = subscribe(&hub, &["t"]).reader().expect("open");
    let large = "\u{e9}\n".repeat(60_000 / 3);
    for _ in 0..3 {
        publish(&hub, &["t"], &large);
    }
    for _ in 0..3 {
        let event = reader.next_event(LONG).expect("open").expect("an event");
        assert_eq!(data(&event), large);
    }
}
