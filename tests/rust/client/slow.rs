//! Too slow, too much, too long.

use std::time::{Duration, Instant};

use ssehub::{ClientErrorKind, ClientOptions, Notice};

use crate::common::{HEAD, Server, open, open_with, options};

fn watched(idle: u64) -> ClientOptions {
    ClientOptions {
        idle_timeout: Some(idle),
        ..options()
    }
}

#[test]
fn one_byte_at_a_time() {
    let server = Server::new(|conn| {
        conn.request()?;
        for byte in format!("{HEAD}id: 1\r\ndata: \u{e9}\r\n\r\ndata: 2\n\n").bytes() {
            conn.send([byte])?;
            std::thread::sleep(Duration::from_millis(1));
        }
        conn.until_closed();
        Ok(())
    });
    // Any byte feeds the watchdog.
    let client = open_with(&server, watched(5000));
    assert_eq!(client.data(), "\u{e9}");
    assert_eq!(client.data(), "2");
}

#[test]
fn an_event_does_not_wait_for_the_next_byte() {
    for end in ["\n\n", "\r\r", "\r\n\r"] {
        let server = Server::new(move |conn| {
            conn.request()?;
            conn.send(format!("{HEAD}data: now{end}"))?;
            conn.until_closed();
            Ok(())
        });
        assert_eq!(open(&server).data(), "now");
    }
}

#[test]
fn silence_is_noticed_before_and_after_the_head() {
    let server = Server::new(|conn| {
        conn.request()?;
        if conn.index == 1 {
            conn.send(format!("{HEAD}data: hello\n\n"))?;
        }
        conn.until_closed();
        Ok(())
    });
    let client = open_with(&server, watched(150));
    let started = Instant::now();
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("no answer"), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert_eq!(client.data(), "hello");
    let started = Instant::now();
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::Timeout);
    assert!(error.to_string().contains("nothing came"), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_head_that_drips_is_no_silence() {
    // Longer in all than the limit, but never so long without a byte.
    let server = Server::new(|conn| {
        conn.request()?;
        let padding = "x".repeat(90);
        let head = HEAD.replace("\r\n\r\n", &format!("\r\nX: {padding}\r\n\r\n"));
        let most = if conn.index == 0 { head.len() } else { 100 };
        for byte in head.bytes().take(most) {
            conn.send([byte])?;
            std::thread::sleep(Duration::from_millis(10));
        }
        if conn.index == 0 {
            conn.send("data: whole\n\n")?;
            return Ok(());
        }
        conn.until_closed();
        Ok(())
    });
    let client = open_with(&server, watched(700));
    client.opened();
    assert_eq!(client.data(), "whole");
    client.error();
    // One that stops half-way is.
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("no answer"), "{error}");
}

#[test]
fn heartbeats_keep_the_watchdog_quiet() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(HEAD)?;
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(40));
            conn.send(":\n")?;
        }
        conn.send("data: still here\n\n")?;
        conn.until_closed();
        Ok(())
    });
    let client = open_with(&server, watched(400));
    client.opened();
    let Notice::Event(event) = client.next() else {
        panic!("no event")
    };
    assert_eq!(event.fields().data, Some("still here"));
}

#[test]
fn a_slow_host_is_no_silence() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(HEAD)?;
        for n in 0..100 {
            conn.send(format!("data: {n}\n\n"))?;
        }
        // Until the host has slept: there is always something to read, if only somebody would.
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(20));
            conn.send(":\n")?;
        }
        conn.until_closed();
        Ok(())
    });
    let client = open_with(
        &server,
        ClientOptions {
            max_queued_events: 5,
            ..watched(200)
        },
    );
    client.opened();
    std::thread::sleep(Duration::from_millis(600));
    for n in 0..100 {
        let Notice::Event(event) = client.next() else {
            panic!("no event")
        };
        assert_eq!(event.fields().data, Some(n.to_string().as_str()));
    }
}

#[test]
fn a_connection_must_stand_in_time() {
    // The connection is taken, but TLS is never spoken.
    let server = Server::new(|conn| {
        conn.until_closed();
        Ok(())
    });
    let url = format!("https://{}/", server.address());
    let client = crate::common::Client::open(
        &ssehub::ClientRequest::get(url),
        ClientOptions {
            connect_timeout: Some(100),
            ..options()
        },
    );
    let error = client.error();
    assert_eq!(error.kind(), ClientErrorKind::Timeout);
    assert!(
        error
            .to_string()
            .contains("no connection within 100 ms; it waited for 127.0.0.1 to agree on TLS"),
        "{error}"
    );
}

#[test]
fn ten_megabytes_of_comments_are_nothing() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(HEAD)?;
        let line = format!(":{}\n", "c".repeat(99_998));
        for _ in 0..50 {
            conn.send(&line)?;
        }
        // And one that long.
        for _ in 0..50 {
            conn.send(format!(":{}", "c".repeat(99_999)))?;
        }
        conn.send("\ndata: after all that\n\n")?;
        conn.until_closed();
        Ok(())
    });
    let client = open_with(
        &server,
        ClientOptions {
            max_event_size: 1000,
            ..options()
        },
    );
    assert_eq!(client.data(), "after all that");
}

#[test]
fn an_endless_line_is_an_error_and_no_memory() {
    for start in ["data: ", "event: ", "id: "] {
        let server = Server::new(move |conn| {
            conn.request()?;
            conn.send(format!("{HEAD}data: first\n\n{start}"))?;
            let piece = "x".repeat(10_000);
            loop {
                conn.send(&piece)?;
            }
        });
        let client = open_with(
            &server,
            ClientOptions {
                max_event_size: 100_000,
                ..options()
            },
        );
        assert_eq!(client.data(), "first");
        let rest = client.rest();
        let Some(Notice::Failed(error)) = rest.last() else {
            panic!("{rest:?}")
        };
        assert_eq!(error.kind(), ClientErrorKind::EventTooLarge);
        assert!(error.to_string().contains("100000 bytes"), "{error}");
        assert!(!error.is_retryable());
    }
}

#[test]
fn endless_lines_of_data_are_an_error_too() {
    let server = Server::new(move |conn| {
        conn.request()?;
        conn.send(HEAD)?;
        loop {
            conn.send("data: x\n".repeat(1000))?;
        }
    });
    let client = open_with(
        &server,
        ClientOptions {
            max_event_size: 100_000,
            ..options()
        },
    );
    assert_eq!(client.error().kind(), ClientErrorKind::EventTooLarge);
}

#[test]
fn one_source_does_not_hold_up_another() {
    let flood = Server::new(|conn| {
        conn.request()?;
        conn.send(HEAD)?;
        let piece = ": c\n".repeat(25_000);
        loop {
            conn.send(&piece)?;
        }
    });
    let calm = Server::new(|conn| {
        conn.request()?;
        conn.send(HEAD)?;
        for n in 0..20 {
            conn.send(format!("data: {n}\n\n"))?;
            std::thread::sleep(Duration::from_millis(5));
        }
        conn.until_closed();
        Ok(())
    });
    let flooded = open(&flood);
    flooded.opened();
    let started = Instant::now();
    let client = open(&calm);
    for n in 0..20 {
        assert_eq!(client.data(), n.to_string());
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}
