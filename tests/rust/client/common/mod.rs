//! A scripted server, and short forms of what tests say most.

pub(crate) mod certificates;
pub(crate) mod relay;
pub(crate) mod server;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ssehub::{
    ClientError, ClientOptions, ClientRequest, EventSource, Notice, Opened, Proxy, Reconnect,
};

pub(crate) use server::{Conn, Server};

/// Longer than anything here takes; shorter than anybody's patience.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A head and nothing else: the body lasts until the connection ends.
pub(crate) const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
pub(crate) const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

pub(crate) fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// An order: what is not repeated unasked.
pub(crate) fn post(server: &Server) -> ClientRequest {
    ClientRequest {
        method: "POST".into(),
        headers: vec![("Content-Type".into(), b"application/json".to_vec())],
        body: Some(Bytes::from_static(b"{\"q\":1}")),
        ..ClientRequest::get(server.url("/v1/chat?x=1"))
    }
}

/// The defaults, but for haste.
pub(crate) fn options() -> ClientOptions {
    ClientOptions {
        reconnect: Reconnect {
            delay: 1,
            max_delay: 20,
            server_delay: 1..=300_000,
            ..Reconnect::default()
        },
        proxy: Proxy::None,
        ..ClientOptions::default()
    }
}

pub(crate) fn open(server: &Server) -> Client {
    open_with(server, options())
}

pub(crate) fn open_with(server: &Server, options: ClientOptions) -> Client {
    Client::open(&ClientRequest::get(server.url("/")), options)
}

/// A source that is read by a test: what it waits for comes soon, or the test fails.
pub(crate) struct Client(pub(crate) EventSource);

impl Client {
    pub(crate) fn open(request: &ClientRequest, options: ClientOptions) -> Self {
        Self(EventSource::open(request, options).expect("a request that can be made"))
    }

    pub(crate) fn next(&self) -> Notice {
        let notice = self.0.next_blocking(Some(LONG));
        notice.expect("a notice in time")
    }

    pub(crate) fn opened(&self) -> Opened {
        loop {
            match self.next() {
                Notice::Open(opened) => return *opened,
                Notice::Retrying(_) => {}
                other => panic!("not open: {other:?}"),
            }
        }
    }

    /// The data of the next event, whatever happens before it; unless it is the end.
    pub(crate) fn data(&self) -> String {
        loop {
            match self.next() {
                Notice::Event(event) => return event.fields().data.unwrap_or_default().to_owned(),
                Notice::Ended(_) | Notice::Failed(_) => panic!("it has ended"),
                _ => {}
            }
        }
    }

    /// The next error, whether it is the last or not.
    pub(crate) fn error(&self) -> ClientError {
        loop {
            match self.next() {
                Notice::Retrying(retry) => return retry.error,
                Notice::Failed(error) => return error,
                Notice::Ended(ended) => panic!("it has ended well: {ended:?}"),
                _ => {}
            }
        }
    }

    /// Everything up to the end.
    pub(crate) fn rest(&self) -> Vec<Notice> {
        let mut all = Vec::new();
        loop {
            let notice = self.next();
            let last = matches!(notice, Notice::Ended(_) | Notice::Failed(_));
            all.push(notice);
            if last {
                assert!(self.0.is_ended());
                assert!(self.0.next_blocking(Some(LONG)).is_none());
                return all;
            }
        }
    }
}

pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let started = Instant::now();
    while !check() {
        assert!(started.elapsed() < LONG, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether this is a process with this test alone. If not, the test has just been run in one.
pub(crate) fn alone(test: &str, variables: &[(&str, String)]) -> bool {
    if std::env::var_os("ALONE").is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("this program");
    let output = std::process::Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env("ALONE", "1")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    false
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// The number that something grows to and stays at.
pub(crate) fn settled(read: impl Fn() -> usize) -> usize {
    let started = Instant::now();
    loop {
        let before = read();
        std::thread::sleep(Duration::from_millis(300));
        if before > 0 && read() == before {
            return before;
        }
        assert!(started.elapsed() < LONG, "it does not settle");
    }
}
