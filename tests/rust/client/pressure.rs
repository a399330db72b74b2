//! A host that takes nothing: reading stops, and memory with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ssehub::{ClientOptions, Notice, Taken};

use crate::common::{CHUNKED, HEAD, Server, chunk, eventually, open, open_with, options, settled};

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

#[test]
fn refusals_that_nobody_takes_are_bounded_by_their_bytes() {
    // Each as large as is kept of one, for ever.
    let body = "x".repeat(64 * 1024);
    let server = Server::saying(format!(
        "HTTP/1.1 503 Busy\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let client = open_with(
        &server,
        ClientOptions {
            max_queued_bytes: 512 * 1024,
            ..options()
        },
    );
    // Eight fill the queue; the next attempt waits for room.
    let paused = settled(|| server.seen().len());
    assert!((8..=9).contains(&paused), "{paused}");
    // Taken, each is told in its turn, and it goes on where it was.
    for attempt in 1..=20 {
        let Notice::Retrying(retry) = client.next() else {
            panic!("something else")
        };
        assert_eq!(retry.attempt, attempt);
        assert_eq!(retry.error.refusal().unwrap().body.len(), body.len());
    }
}

#[test]
fn ids_without_events_are_no_memory() {
    let total = 1_000_000;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let server = Server::new(move |conn| {
        conn.request()?;
        conn.send(format!("{HEAD}data: first\n\n"))?;
        for thousand in 0..total / 1000 {
            let ids: Vec<String> = (1..=1000)
                .map(|n| format!("id: {}\n\n", thousand * 1000 + n))
                .collect();
            conn.send(ids.concat())?;
            counter.fetch_add(1000, Ordering::SeqCst);
        }
        conn.send("data: last\n\n")?;
        conn.until_closed();
        Ok(())
    });
    let client = open_with(
        &server,
        ClientOptions {
            // Room for the head, the first event and one position: however many come, reading does not stop.
            max_queued_bytes: 1000,
            ..options()
        },
    );
    eventually("all ids", || sent.load(Ordering::SeqCst) == total);
    client.opened();
    assert_eq!(client.data(), "first");
    assert_eq!(client.data(), "last");
    assert_eq!(client.0.last_event_id(), total.to_string());
}
