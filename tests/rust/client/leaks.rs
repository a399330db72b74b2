//! What is left of a source that is closed. Each test is in a process of its own: other tests have threads and
//! descriptors, too. The system that tells is Linux.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use ssehub::{ClientOptions, ClientRequest, Ended, Notice};

use crate::common::certificates::{Authority, over_tls};
use crate::common::{Client, HEAD, Server, alone, eventually, open, options};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn no_thread_and_no_descriptor_stays() {
    if !alone("leaks::no_thread_and_no_descriptor_stays", &[]) {
        return;
    }
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("ssehub-client"))
            .count()
    };
    let connected = Arc::new(AtomicUsize::new(0));
    let counter = connected.clone();
    let server = Server::new(move |conn| {
        conn.request()?;
        conn.send(HEAD)?;
        counter.fetch_add(1, Ordering::SeqCst);
        conn.until_closed();
        counter.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    });
    let before = descriptors();
    for round in 0..3 {
        assert_eq!(threads(), 0, "round {round}");
        // By name, so that there are threads that look it up.
        let url = format!("http://localhost:{}/", server.address().port());
        let clients: Vec<_> = (0..100)
            .map(|_| Client::open(&ClientRequest::get(url.as_str()), options()))
            .collect();
        for client in &clients {
            client.opened();
        }
        assert!((1..=9).contains(&threads()));
        let halves = clients.split_at(50);
        halves.0.iter().for_each(|client| client.0.close());
        eventually("half have left", || connected.load(Ordering::SeqCst) == 50);
        assert!(threads() >= 1);
        drop(clients);
        eventually("all have left", || connected.load(Ordering::SeqCst) == 0);
        eventually("no thread", || threads() == 0);
        eventually("no descriptor", || descriptors() <= before);
    }
    // A source that has ended by itself needs no thread, though its handle is there.
    let done = Server::saying("HTTP/1.1 204 No Content\r\n\r\n");
    let client = open(&done);
    assert!(matches!(client.next(), Notice::Ended(Ended::NoContent)));
    eventually("no thread", || threads() == 0);
    drop(client);
}

#[test]
fn a_server_that_reads_nothing_does_not_keep_the_socket() {
    if !alone(
        "leaks::a_server_that_reads_nothing_does_not_keep_the_socket",
        &[],
    ) {
        return;
    }
    let authority = Authority::new();
    let (end, ended) = channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let server = over_tls(authority.config(&["127.0.0.1"], false), move |conn| {
        // The handshake, and no more: TLS would say good-bye, if only somebody read it.
        conn.send("")?;
        ended.lock().unwrap().recv().map_err(std::io::Error::other)
    });
    let other = Server::new(|conn| {
        conn.request()?;
        conn.send(HEAD)?;
        conn.until_closed();
        Ok(())
    });
    // Keeps the thread.
    let kept = open(&other);
    kept.opened();
    let before = descriptors();
    let request = ClientRequest {
        method: "POST".into(),
        body: Some(vec![b'x'; 64 << 20].into()),
        ..ClientRequest::get(format!("https://{}/", server.address()))
    };
    let client = Client::open(
        &request,
        ClientOptions {
            tls: authority.trusted(),
            ..options()
        },
    );
    eventually("a connection", || descriptors() == before + 2);
    std::thread::sleep(Duration::from_millis(300));
    client.0.close();
    eventually("the server's end alone", || descriptors() == before + 1);
    drop(end);
}
