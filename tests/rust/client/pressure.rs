//! A host that takes nothing: reading stops, and memory with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ssehub::{ClientOptions, Taken};

use crate::common::{CHUNKED, HEAD, Server, chunk, open, open_with, options, settled};

#[test]
fn a_slow_host_stops_the_server() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let total = 30_000;
    let server = Server::new(move |conn| {
        conn.request()?;
        conn.send(HEAD)?;
        for n in 0..total {
            conn.send(format!("data: {n:01000}\n\n"))?;
            counter.store(n + 1, Ordering::SeqCst);
        }
        conn.until_closed();
        Ok(())
    });
    let client = open(&server);
    client.opened();
    // What is sent by then lies in the system's buffers.
    assert!(settled(|| sent.load(Ordering::SeqCst)) < total);
    for n in 0..total {
        assert_eq!(client.data().parse(), Ok(n));
    }
}

#[test]
fn the_queue_is_bounded_by_count_and_by_bytes() {
    let total = 1000;
    for (count, bytes, expected) in [(10, 1 << 30, 10..=10), (total, 10_000, 40..=80)] {
        let server = Server::new(move |conn| {
            conn.request()?;
            conn.send(CHUNKED)?;
            // Chunks are taken one by one, so the limits hold to the event.
            for n in 0..total {
                conn.send(chunk(&format!("data: {n:0100}\n\n")))?;
            }
            conn.until_closed();
            Ok(())
        });
        let client = open_with(
            &server,
            ClientOptions {
                max_queued_events: count,
                max_queued_bytes: bytes,
                ..options()
            },
        );
        client.opened();
        std::thread::sleep(Duration::from_millis(200));
        let Some(Taken::Events(batch)) = client.0.try_take() else {
            panic!("no events")
        };
        assert!(expected.contains(&batch.len()), "{}", batch.len());
        for n in batch.len()..total {
            assert_eq!(client.data().parse(), Ok(n));
        }
    }
}

#[test]
fn a_host_that_does_not_take_is_not_reconnected_for_ever() {
    let server = Server::saying(HEAD);
    let client = open_with(
        &server,
        ClientOptions {
            max_queued_events: 20,
            ..options()
        },
    );
    // Two notices each.
    assert!(settled(|| server.seen().len()) <= 12);
    for _ in 0..40 {
        client.opened();
    }
}
