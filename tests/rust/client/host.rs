//! What hosts rely on: waking, waiting, closing, bounded memory, no thread that stays.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ssehub::{
    ClientErrorKind, ClientOptions, ClientRequest, Ended, ErrorKind, EventSource, Notice,
    ReadyState, Taken,
};

use crate::common::{Client, HEAD, LONG, Server, eventually, open, open_with, options};

#[test]
fn a_stream_from_its_head_to_its_end() {
    let server = Server::saying(format!("{HEAD}retry: 1\nid: 1\nevent: tick\ndata: a\n\n"));
    let mut once = options();
    once.reconnect.when = ssehub::When::Never;
    let client = open_with(&server, once);
    assert_eq!(client.0.ready_state(), ReadyState::Connecting);
    let opened = client.opened();
    assert_eq!(client.0.ready_state(), ReadyState::Open);
    assert_eq!(
        (opened.status, opened.http, opened.attempt),
        (200, "HTTP/1.1", 1)
    );
    assert_eq!(opened.url, server.url("/"));
    assert_eq!(opened.remote, Some(server.address()));
    let kind = ("content-type".to_owned(), b"text/event-stream".to_vec());
    assert!(opened.headers.contains(&kind));
    let Notice::Event(event) = client.next() else {
        panic!("no event")
    };
    let fields = event.fields();
    assert_eq!(
        (fields.event, fields.data, fields.id),
        (Some("tick"), Some("a"), Some("1"))
    );
    assert_eq!(client.0.last_event_id(), "1");
    assert!(matches!(client.next(), Notice::Ended(Ended::EndOfStream)));
    assert_eq!(client.0.ready_state(), ReadyState::Closed);
    assert!(client.0.is_ended() && !client.0.is_finished());
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/"));
    assert_eq!(seen.header("host"), Some(server.address().to_string()));
    assert_eq!(seen.header("accept").as_deref(), Some("text/event-stream"));
    assert_eq!(seen.header("cache-control").as_deref(), Some("no-cache"));
    assert_eq!(seen.header("content-length"), None);
}

#[test]
fn closing_frees_the_socket_and_wakes_who_waits() {
    let (left, has_left) = channel();
    let server = Server::new(move |conn| {
        conn.request()?;
        conn.send(HEAD)?;
        conn.until_closed();
        left.send(Instant::now()).map_err(io::Error::other)
    });
    let client = open(&server);
    client.opened();
    let source = Arc::new(client);
    let waiting = {
        let source = source.clone();
        std::thread::spawn(move || (source.0.next_blocking(None), Instant::now()))
    };
    std::thread::sleep(Duration::from_millis(50));
    let closed = Instant::now();
    source.0.close();
    let (found, woken) = waiting.join().unwrap();
    assert!(found.is_none() && source.0.is_ended());
    assert!(woken - closed < Duration::from_secs(1));
    let seen = has_left.recv_timeout(LONG).unwrap();
    assert!(seen - closed < Duration::from_secs(1));
}

#[test]
fn closing_cuts_every_wait_short() {
    // While the name is looked up or the connection made, while the head is awaited, while the next attempt is.
    let silent = Server::new(|conn| {
        conn.request()?;
        conn.until_closed();
        Ok(())
    });
    let refusing =
        Server::saying("HTTP/1.1 503 No\r\nRetry-After: 200\r\nContent-Length: 0\r\n\r\n");
    for url in [
        silent.url("/"),
        refusing.url("/"),
        "http://192.0.2.1/".into(),
    ] {
        let client = Client::open(&ClientRequest::get(url), options());
        std::thread::sleep(Duration::from_millis(50));
        let started = Instant::now();
        client.0.close();
        while client.0.try_next().is_some() {}
        assert!(client.0.is_ended());
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn closing_ends_a_request_that_is_being_sent() {
    let (go, gone) = channel();
    let gone = Mutex::new(gone);
    let (total, has_total) = channel();
    let size = 64 << 20;
    let server = Server::over(
        move |mut stream| {
            // Nothing is read until the client has closed; then everything that it still sends.
            gone.lock().unwrap().recv().map_err(io::Error::other)?;
            let read = io::copy(&mut stream, &mut io::sink());
            total.send(read.unwrap_or(0)).map_err(io::Error::other)?;
            Err(io::ErrorKind::NotConnected.into())
        },
        |_| Ok(()),
    );
    let request = ClientRequest {
        method: "POST".into(),
        body: Some(vec![b'x'; size].into()),
        ..ClientRequest::get(server.url("/"))
    };
    let client = Client::open(&request, options());
    std::thread::sleep(Duration::from_millis(100));
    client.0.close();
    std::thread::sleep(Duration::from_millis(50));
    go.send(()).unwrap();
    let read = has_total.recv_timeout(LONG).unwrap();
    assert!(read < size as u64 / 2, "{read}");
}

#[test]
fn finishing_is_closing_with_success() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(format!("{HEAD}data: done\n\n"))?;
        conn.until_closed();
        Ok(())
    });
    let client = open(&server);
    assert_eq!(client.data(), "done");
    client.0.finish();
    assert!(client.0.is_finished() && client.0.is_ended());
    assert_eq!(client.0.ready_state(), ReadyState::Closed);
    client.0.close();
    assert!(client.0.is_finished());
}

#[test]
fn a_wait_ends_with_its_time() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(HEAD)?;
        conn.until_closed();
        Ok(())
    });
    let client = open(&server);
    client.opened();
    let started = Instant::now();
    let limit = Duration::from_millis(50);
    assert!(client.0.next_blocking(Some(limit)).is_none());
    assert!(started.elapsed() >= limit);
    assert!(!client.0.is_ended());
    assert!(client.0.next_blocking(Some(Duration::ZERO)).is_none());
}

#[test]
fn one_wake_per_burst() {
    let (go, gone) = channel();
    let gone = Mutex::new(gone);
    let server = Server::new(move |conn| {
        conn.request()?;
        conn.send(HEAD)?;
        for round in 0..3 {
            gone.lock().unwrap().recv().map_err(io::Error::other)?;
            for n in 0..10 {
                conn.send(format!("data: {round}.{n}\n\n"))?;
            }
        }
        conn.until_closed();
        Ok(())
    });
    let client = open(&server);
    client.opened();
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = wakes.clone();
    client.0.on_ready(Some(Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    })));
    assert!(client.0.try_next().is_none());
    for round in 1..=3 {
        go.send(()).unwrap();
        eventually("a wake", || wakes.load(Ordering::SeqCst) == round);
        // Who looks between two pieces of a burst may be woken again. So this looks once, when all is there.
        std::thread::sleep(Duration::from_millis(100));
        let mut taken = 0;
        while let Some(found) = client.0.try_take() {
            let Taken::Events(batch) = found else {
                panic!("no events: {found:?}")
            };
            taken += batch.len();
        }
        assert_eq!(taken, 10);
        assert_eq!(wakes.load(Ordering::SeqCst), round);
    }
    // What is there already wakes whoever comes to listen; the end does, too.
    client.0.close();
    assert_eq!(wakes.load(Ordering::SeqCst), 4);
    let counter = wakes.clone();
    client.0.on_ready(Some(Arc::new(move || {
        counter.fetch_add(10, Ordering::SeqCst);
    })));
    assert_eq!(wakes.load(Ordering::SeqCst), 14);
}

#[test]
fn a_host_may_close_where_it_is_woken() {
    let (go, gone) = channel();
    let gone = Mutex::new(gone);
    let server = Server::new(move |conn| {
        gone.lock().unwrap().recv().map_err(io::Error::other)?;
        conn.send(HEAD)
    });
    let source = EventSource::open(&ClientRequest::get(server.url("/")), options()).unwrap();
    let slot = Arc::new(Mutex::new(None));
    let (closed, has_closed) = channel();
    let inner = slot.clone();
    source.on_ready(Some(Arc::new(move || {
        // On the client's thread, which ends with this.
        drop(inner.lock().unwrap().take());
        closed.send(()).unwrap();
    })));
    *slot.lock().unwrap() = Some(source);
    go.send(()).unwrap();
    has_closed.recv_timeout(LONG).unwrap();
    assert!(slot.lock().unwrap().is_none());
}

#[tokio::test]
async fn awaited() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(HEAD)?;
        for n in 0..3 {
            std::thread::sleep(Duration::from_millis(20));
            conn.send(format!("data: {n}\n\n"))?;
        }
        Ok(())
    });
    let mut once = options();
    once.reconnect.when = ssehub::When::OnError;
    let source = EventSource::open(&ClientRequest::get(server.url("/")), once).unwrap();
    let mut seen = Vec::new();
    while let Some(notice) = source.next().await {
        match notice {
            Notice::Open(_) => seen.push("open".to_owned()),
            Notice::Event(event) => seen.extend(event.fields().data.map(str::to_owned)),
            Notice::Ended(_) => seen.push("end".to_owned()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["open", "0", "1", "2", "end"]);
}

#[test]
fn a_new_connection_on_demand() {
    let server = Server::new(|conn| {
        conn.request()?;
        conn.send(format!("{HEAD}id: {0}\ndata: {0}\n\n", conn.index))?;
        conn.until_closed();
        Ok(())
    });
    let client = open(&server);
    assert_eq!(client.data(), "0");
    client.0.restart();
    assert_eq!(client.error().kind(), ClientErrorKind::Restarted);
    assert_eq!(client.data(), "1");
    assert_eq!(
        server.seen()[1].header("last-event-id").as_deref(),
        Some("0")
    );
}

#[test]
fn a_delay_can_be_cut_short() {
    let server = Server::new(|conn| {
        conn.request()?;
        if conn.index == 0 {
            return conn.send("HTTP/1.1 503 No\r\nRetry-After: 200\r\nContent-Length: 0\r\n\r\n");
        }
        conn.send(format!("{HEAD}data: back\n\n"))?;
        conn.until_closed();
        Ok(())
    });
    let client = open(&server);
    assert_eq!(client.error().status(), Some(503));
    client.0.restart();
    assert_eq!(client.data(), "back");
}

#[test]
fn a_connection_that_is_being_made_is_a_new_one() {
    let (go, gone) = channel();
    let gone = Mutex::new(gone);
    let server = Server::new(move |conn| {
        conn.request()?;
        gone.lock().unwrap().recv().map_err(io::Error::other)?;
        conn.send(format!("{HEAD}data: 1\n\n"))?;
        std::thread::sleep(Duration::from_millis(50));
        conn.send("data: 2\n\n")?;
        conn.until_closed();
        Ok(())
    });
    let client = open(&server);
    eventually("a request", || !server.seen().is_empty());
    client.0.restart();
    go.send(()).unwrap();
    assert_eq!(client.data(), "1");
    assert_eq!(client.data(), "2");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn mistakes_are_found_at_once() {
    let wrong_url = EventSource::open(&ClientRequest::get("/x"), options()).unwrap_err();
    assert_eq!(wrong_url.kind(), ErrorKind::InvalidArgument);
    assert_eq!(wrong_url.field(), Some("url"));
    let tls = |ca: &[u8]| ClientOptions {
        tls: ssehub::TlsOptions {
            ca: Some(ca.to_vec()),
            ..ssehub::TlsOptions::default()
        },
        ..options()
    };
    let get = ClientRequest::get("https://a.test/");
    for ca in [
        &b""[..],
        b"no PEM",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let error = EventSource::open(&get, tls(ca)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    for proxy in ["", "ftp://x:1", "socks4://x:1", "http://"] {
        let proxy = ClientOptions {
            proxy: ssehub::Proxy::Url(proxy.into()),
            ..options()
        };
        let error = EventSource::open(&get, proxy).unwrap_err();
        assert_eq!(error.field(), Some("proxy"), "{error}");
    }
}

#[test]
fn an_answer_needs_a_question() {
    let server = Server::saying(HEAD);
    let client = open(&server);
    let error = client.0.answer(ssehub::Answer::Redirect(true)).unwrap_err();
    assert_eq!(error.field(), Some("answer"));
    let error = client
        .0
        .answer(ssehub::Answer::Headers(vec![("a b".into(), Vec::new())]));
    assert_eq!(error.unwrap_err().field(), Some("headers"));
}
