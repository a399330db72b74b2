//! A server, as far as the engine sees one, and its clients at the other ends of real sockets.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;
use ssehub::{
    Delivery, Event, Framing, HandOff, Hub, HubOptions, Parser, Report, Reports, Selector, Slot,
    StreamOptions, SubscribeOptions, Token, Topic,
};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Which sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Tcp,
    Unix,
}

/// One end of a connection.
pub(crate) enum End {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub(crate) fn pair(via: Via) -> (End, End) {
    match via {
        Via::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let client = TcpStream::connect(listener.local_addr().expect("bound"));
            let (server, _) = listener.accept().expect("it has connected");
            (End::Tcp(server), End::Tcp(client.expect("it listens")))
        }
        Via::Unix => {
            let (server, client) = UnixStream::pair().expect("descriptors");
            (End::Unix(server), End::Unix(client))
        }
    }
}

impl End {
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        }
    }

    pub(crate) fn options(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
        }
    }
}

impl AsRawFd for End {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

impl Read for End {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a stream is opened.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) via: Via,
    pub(crate) framing: Framing,
    pub(crate) held: bool,
    pub(crate) dummy: bool,
    pub(crate) topics: Vec<Topic>,
    pub(crate) subscribe: SubscribeOptions,
    pub(crate) stream: StreamOptions,
}

pub(crate) fn ask(topics: &[&str]) -> Ask {
    Ask {
        via: Via::Tcp,
        framing: Framing::Chunked,
        held: false,
        dummy: false,
        topics: topics.iter().map(|name| Topic::from(*name)).collect(),
        subscribe: SubscribeOptions::default(),
        stream: StreamOptions {
            retry: Some(3000),
            announce_position: true,
            connection: true,
            ..StreamOptions::default()
        },
    }
}

/// A hub, and one event loop's worth of streams.
pub(crate) struct Server {
    pub(crate) hub: Hub,
    pub(crate) selector: Selector,
    pub(crate) reports: Reports,
    calls: Arc<(Mutex<usize>, Condvar)>,
    ended: Vec<Report>,
    tags: u64,
}

impl Server {
    pub(crate) fn new(options: HubOptions) -> Self {
        Self::of(&Hub::new(options).expect("valid"))
    }

    /// Another loop of the same hub.
    pub(crate) fn of(hub: &Hub) -> Self {
        let calls = Arc::new((Mutex::new(0), Condvar::new()));
        let called = calls.clone();
        let reports = hub.reports(move || {
            *called.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            called.1.notify_all();
        });
        Self {
            selector: hub.selector(|| {}),
            hub: hub.clone(),
            reports,
            calls,
            ended: Vec::new(),
            tags: 0,
        }
    }

    /// A stream that is still the server's, with its first delivery sent, as hosts do: the opening block, where there is
    /// one. The server's end, and the client.
    pub(crate) fn begin(&self, ask: &Ask) -> (Token, End, Client) {
        let subscription = self.hub.subscribe(&ask.topics, ask.subscribe.clone());
        let token = self
            .selector
            .add(&subscription.expect("valid"), &ask.stream);
        let token = token.expect("room");
        let (mut server, client) = pair(ask.via);
        // A test that fills it is to fail, not to hang.
        let options = server.options().set_write_timeout(Some(PATIENCE));
        options.expect("a socket");
        // Not more: what is published meanwhile would fill the socket, which nobody reads yet.
        if let Some(delivery) = self.selector.poll(token) {
            let bytes = match &delivery {
                Delivery::Bytes(bytes) | Delivery::Gap(bytes) => bytes.to_vec(),
                Delivery::Frames(batch) => batch.bytes().to_vec(),
                Delivery::End(end) => panic!("{end:?}"),
            };
            if ask.framing == Framing::Chunked {
                write!(server, "{:x}\r\n", bytes.len()).expect("room");
            }
            server.write_all(&bytes).expect("room");
            if ask.framing == Framing::Chunked {
                server.write_all(b"\r\n").expect("room");
            }
        }
        (token, server, Client::new(client, ask.framing))
    }

    /// Gives a stream to the engine. Its tag.
    pub(crate) fn hand_off(&mut self, ask: &Ask, token: Token, server: &End) -> io::Result<u64> {
        self.tags += 1;
        let how = HandOff {
            framing: ask.framing,
            held: ask.held,
            snapshot: false,
            tag: self.tags,
            label: "/events".into(),
        };
        let slot = Slot::reserve(ask.dummy)?;
        let fd = server.as_raw_fd();
        self.selector
            .hand_off(token, slot, fd, how, &self.reports)?;
        Ok(self.tags)
    }

    /// A stream that is the engine's. The server's end of a stream that it does not hold is closed.
    pub(crate) fn open(&mut self, ask: &Ask) -> (u64, Option<End>, Client) {
        let (token, server, client) = self.begin(ask);
        let tag = self.hand_off(ask, token, &server).expect("a good socket");
        (tag, ask.held.then_some(server), client)
    }

    pub(crate) fn publish(&self, topic: &str, data: &str) {
        let event = Event::new(data);
        self.hub.publish(&[topic], &event, None).expect("valid");
    }

    /// The report on a stream. Waits for it.
    pub(crate) fn report(&mut self, tag: u64) -> Report {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.ended.iter().position(|report| report.tag == tag) {
                return self.ended.swap_remove(at);
            }
            // As hosts do: nothing is taken before the call.
            self.wait(deadline);
            self.ended.extend(self.reports.take());
        }
    }

    /// Reports that nobody has asked for.
    pub(crate) fn others(&mut self) -> usize {
        self.ended.extend(self.reports.take());
        self.ended.len()
    }

    fn wait(&self, deadline: Instant) {
        let (count, called) = &*self.calls;
        let left = deadline.saturating_duration_since(Instant::now());
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut count, late) = called
            .wait_timeout_while(count, left, |count| *count == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *count = 0;
        drop(count);
        assert!(!late.timed_out(), "nobody has called");
    }

    /// Waits until the hub has so many connections.
    pub(crate) fn wait_for(&self, connections: u64) {
        wait_until(|| self.hub.stats().connections == connections);
    }
}

pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never comes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A client: it takes the framing off by itself and parses what there is.
pub(crate) struct Client {
    pub(crate) end: End,
    framing: Framing,
    parser: Parser,
    raw: Vec<u8>,
    /// Everything that came, without its framing.
    pub(crate) body: Vec<u8>,
    data: VecDeque<String>,
    /// The body has been ended as its framing says.
    pub(crate) terminated: bool,
    /// The connection has been closed or broken.
    pub(crate) closed: bool,
}

impl Client {
    fn new(end: End, framing: Framing) -> Self {
        end.options()
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket");
        Self {
            end,
            framing,
            parser: Parser::new(),
            raw: Vec::new(),
            body: Vec::new(),
            data: VecDeque::new(),
            terminated: false,
            closed: false,
        }
    }

    /// Reads once, at most so many bytes.
    pub(crate) fn read(&mut self, most: usize) {
        let mut scratch = vec![0; most];
        match self.end.read(&mut scratch) {
            Ok(0) => self.closed = true,
            Ok(n) => self.take(&scratch[..n]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.closed = true,
            Err(error) => panic!("{error}"),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.framing == Framing::Plain {
            self.feed(bytes);
            return;
        }
        self.raw.extend_from_slice(bytes);
        while let Some(line) = self.raw.windows(2).position(|two| two == b"\r\n") {
            assert!(!self.terminated, "bytes after the terminator");
            let size = std::str::from_utf8(&self.raw[..line]).expect("a chunk's size");
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            let end = line + 2 + size;
            if self.raw.len() < end + 2 {
                return;
            }
            assert_eq!(
                &self.raw[end..end + 2],
                b"\r\n",
                "a chunk ends with its line"
            );
            let chunk: Vec<u8> = self.raw.drain(..end + 2).collect();
            self.terminated = size == 0;
            self.feed(&chunk[line + 2..end]);
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
        let data = &mut self.data;
        self.parser
            .feed(bytes, |event| data.push_back(event.data().into()))
            .expect("events are small");
    }

    /// The data of the next event. None where there will be none.
    pub(crate) fn next(&mut self) -> Option<String> {
        while self.data.is_empty() && !self.closed {
            self.read(64 * 1024);
        }
        self.data.pop_front()
    }

    /// The data of all events until the connection is closed.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).collect()
    }

    pub(crate) fn last_event_id(&self) -> String {
        self.parser.last_event_id().to_owned()
    }

    /// Whether the body ended as a body should: with its terminator, or with a whole event.
    pub(crate) fn is_whole(&self) -> bool {
        match self.framing {
            Framing::Chunked => self.terminated && self.raw.is_empty(),
            Framing::Plain => self.body.ends_with(b"\n"),
        }
    }
}

/// Settings in which nothing happens by itself.
pub(crate) fn quiet() -> HubOptions {
    HubOptions {
        heartbeat: None,
        ..HubOptions::default()
    }
}
