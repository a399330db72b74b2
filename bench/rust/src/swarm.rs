//! Many streams to one server, read by one thread through epoll.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::http::dial;
use crate::publisher::Publisher;
use crate::sse::{Decoder, Stamp};
use crate::timing::{Latencies, monotonic_ns};
use crate::worker::Failure;

/// No phase lasts longer.
const LIMIT: Duration = Duration::from_secs(120);
/// Connections opened before their heads are awaited: fewer than any server's accept queue.
const WAVE: usize = 100;
/// Streams per source address, of which 127.0.0.0/8 has many: fewer than there are free ports.
const PER_SOURCE: usize = 10_000;
/// The receive buffer of a client that stalls: it shall be full soon.
const STALLED_BUFFER: usize = 4096;
/// One read takes all that a socket usually holds.
const READ_SIZE: usize = 256 * 1024;
/// A paced phase publishes as many even if its time is up.
const FEWEST_EVENTS: u64 = 5;
/// The token of the connection that publishes; streams count from 0.
const PUBLISHER: Token = Token(usize::MAX - 1);

struct Stream {
    socket: TcpStream,
    decoder: Decoder,
    last_seq: Option<u64>,
}

/// What went wrong since the swarm began.
#[derive(Default)]
struct Errors {
    /// Streams that ended or broke.
    closed: u64,
    /// Events that were missing, doubled or out of order.
    order: u64,
}

/// What arrived during one measurement.
#[derive(Default)]
struct Arrivals {
    deliveries: u64,
    latencies: Latencies,
    /// From each publish request until the last client had the event.
    rounds: Latencies,
    /// Private messages: they are no deliveries, and outside the order of the others.
    private: Latencies,
    /// What the publish calls took, as the server measured it.
    calls: Latencies,
}

/// All streams of one load client.
pub struct Swarm {
    address: SocketAddr,
    poll: Poll,
    ready: Events,
    streams: Vec<Stream>,
    /// Open, and never read again.
    stalled: Vec<TcpStream>,
    buffer: Box<[u8]>,
    errors: Errors,
}

impl Swarm {
    /// A swarm without streams.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            address,
            poll: Poll::new()?,
            ready: Events::with_capacity(1024),
            streams: Vec::new(),
            stalled: Vec::new(),
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            errors: Errors::default(),
        })
    }

    /// Opens so many more streams and waits for their heads. `{n}` in the path becomes the
    /// stream's number.
    pub fn connect(&mut self, path: &str, clients: usize) -> Result<Value, Failure> {
        self.open(path, clients, None)
    }

    /// Opens streams whose clients then read no more.
    pub fn stall(&mut self, path: &str, clients: usize) -> Result<Value, Failure> {
        let first = self.streams.len();
        let report = self.open(path, clients, Some(STALLED_BUFFER))?;
        for mut stream in self.streams.drain(first..) {
            self.poll.registry().deregister(&mut stream.socket)?;
            self.stalled.push(stream.socket);
        }
        Ok(report)
    }

    fn open(
        &mut self,
        path: &str,
        clients: usize,
        receive_buffer: Option<usize>,
    ) -> Result<Value, Failure> {
        let start = Instant::now();
        let wanted = self.streams.len() + clients;
        while self.streams.len() < wanted {
            let first = self.streams.len();
            for number in first..wanted.min(first + WAVE) {
                self.add(&path.replace("{n}", &number.to_string()), receive_buffer)?;
            }
            while !self.streams[first..]
                .iter()
                .all(|stream| stream.decoder.is_open())
            {
                self.round(start + LIMIT, &mut Arrivals::default())?;
                self.check()?;
            }
        }
        Ok(json!({ "streams": self.streams.len(), "seconds": start.elapsed().as_secs_f64() }))
    }

    fn add(&mut self, path: &str, receive_buffer: Option<usize>) -> Result<(), Failure> {
        let source = match u8::try_from(self.streams.len() / PER_SOURCE)? {
            0 => None,
            more => Some(Ipv4Addr::new(127, 0, 0, 1 + more)),
        };
        let mut socket = dial(self.address, source, receive_buffer)?;
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            self.address
        )?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        let token = Token(self.streams.len());
        self.poll
            .registry()
            .register(&mut socket, token, Interest::READABLE)?;
        self.streams.push(Stream {
            socket,
            decoder: Decoder::default(),
            last_seq: None,
        });
        Ok(())
    }

    /// Closed loop: publishes one event, and the next when every client has it, and when it is
    /// due. Ends after so many events or so much time.
    pub fn paced(
        &mut self,
        events: u64,
        size: usize,
        time: Duration,
        every: Duration,
    ) -> Result<Value, Failure> {
        let mut publisher = Publisher::new(self.address);
        let mut arrivals = Arrivals::default();
        let target = format!("/publish?n=1&size={size}");
        let start = Instant::now();
        let mut due = start;
        for event in 0..events {
            if event >= FEWEST_EVENTS && start.elapsed() >= time {
                break;
            }
            self.read_until(due, &mut arrivals)?;
            due += every;
            let round = monotonic_ns();
            self.publish(&mut publisher, &target, 1, start + LIMIT, &mut arrivals)?;
            arrivals.rounds.add(monotonic_ns() - round);
        }
        Ok(self.report(arrivals, start))
    }

    /// Publishes all events with one request and waits until every client has all; again and
    /// again, so many times or until the time is up. With a pause, the server waits so long
    /// between two calls.
    pub fn burst(
        &mut self,
        events: u64,
        size: usize,
        pause_ms: u64,
        repeat: u64,
        time: Duration,
    ) -> Result<Value, Failure> {
        let mut publisher = Publisher::new(self.address);
        let mut arrivals = Arrivals::default();
        let target = format!("/publish?n={events}&size={size}&pause_ms={pause_ms}");
        let start = Instant::now();
        for turn in 0..repeat {
            if turn > 0 && start.elapsed() >= time {
                break;
            }
            self.publish(
                &mut publisher,
                &target,
                events,
                start + LIMIT,
                &mut arrivals,
            )?;
        }
        Ok(self.report(arrivals, start))
    }

    /// Reads for so long without publishing: what an idle server sends and does.
    pub fn hold(&mut self, duration: Duration) -> Result<Value, Failure> {
        let mut arrivals = Arrivals::default();
        let start = Instant::now();
        self.read_until(start + duration, &mut arrivals)?;
        Ok(self.report(arrivals, start))
    }

    /// Sends each stream in turn a message of its own, over and over, until it is done.
    pub fn private_messages(
        &mut self,
        topic: &str,
        size: usize,
        pause: Duration,
        done: &AtomicBool,
    ) -> Result<Latencies, Failure> {
        let mut publisher = Publisher::new(self.address);
        let mut arrivals = Arrivals::default();
        for number in (0..self.streams.len()).cycle() {
            if done.load(Ordering::Relaxed) {
                break;
            }
            let target = format!("/private?topic={topic}-{number}&size={size}");
            let deadline = Instant::now() + LIMIT;
            publisher.post(&target, self.poll.registry(), PUBLISHER)?;
            let wanted = arrivals.private.len() + 1;
            self.read_while(&mut publisher, deadline, &mut arrivals, |arrivals| {
                arrivals.private.len() < wanted
            })?;
            self.read_until(Instant::now() + pause, &mut arrivals)?;
        }
        Ok(arrivals.private)
    }

    /// One publish request; returns when it is answered and every client has its events.
    fn publish(
        &mut self,
        publisher: &mut Publisher,
        target: &str,
        events: u64,
        deadline: Instant,
        arrivals: &mut Arrivals,
    ) -> Result<(), Failure> {
        publisher.post(target, self.poll.registry(), PUBLISHER)?;
        let wanted = arrivals.deliveries + events * self.streams.len() as u64;
        self.read_while(publisher, deadline, arrivals, |arrivals| {
            arrivals.deliveries < wanted
        })
    }

    /// Reads all until the publisher has its answer and nothing is missing.
    fn read_while(
        &mut self,
        publisher: &mut Publisher,
        deadline: Instant,
        arrivals: &mut Arrivals,
        missing: impl Fn(&Arrivals) -> bool,
    ) -> Result<(), Failure> {
        let mut answered = false;
        while missing(arrivals) || !answered {
            let readable = self.round(deadline, arrivals)?;
            // Once it has answered, the server may close the connection as idle.
            if readable
                && !answered
                && let Some(published) = publisher.answer(&mut self.buffer)?
            {
                answered = true;
                published
                    .calls
                    .iter()
                    .for_each(|&call| arrivals.calls.add(call));
            }
            self.check()?;
        }
        Ok(())
    }

    fn read_until(&mut self, end: Instant, arrivals: &mut Arrivals) -> Result<(), Failure> {
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.wait(left, arrivals)?;
            self.check()?;
        }
        Ok(())
    }

    /// One wake-up; true when the publisher's connection can be read.
    fn round(&mut self, deadline: Instant, arrivals: &mut Arrivals) -> Result<bool, Failure> {
        let left = deadline
            .checked_duration_since(Instant::now())
            .ok_or_else(|| format!("too slow: {} deliveries arrived", arrivals.deliveries))?;
        Ok(self.wait(left, arrivals)?)
    }

    fn wait(&mut self, timeout: Duration, arrivals: &mut Arrivals) -> io::Result<bool> {
        match self.poll.poll(&mut self.ready, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            outcome => outcome?,
        }
        let mut answer = false;
        for event in &self.ready {
            match event.token() {
                PUBLISHER => answer = true,
                Token(index) => {
                    self.streams[index].read(&mut self.buffer, arrivals, &mut self.errors);
                }
            }
        }
        Ok(answer)
    }

    fn check(&self) -> Result<(), Failure> {
        match self.errors.closed {
            0 => Ok(()),
            closed => Err(format!("{closed} streams ended or broke").into()),
        }
    }

    fn report(&self, arrivals: Arrivals, start: Instant) -> Value {
        json!({
            "deliveries": arrivals.deliveries,
            "seconds": start.elapsed().as_secs_f64(),
            "latency": arrivals.latencies.summary(),
            "round": arrivals.rounds.summary(),
            "calls": arrivals.calls.summary(),
            "order_errors": self.errors.order,
        })
    }
}

impl Stream {
    /// Reads what is there. The poller is edge-triggered; a short read has drained the socket.
    fn read(&mut self, buffer: &mut [u8], arrivals: &mut Arrivals, errors: &mut Errors) {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return errors.closed += 1,
                Ok(n) => {
                    let now = monotonic_ns();
                    let outcome = self.decoder.push(&buffer[..n], |stamp| {
                        take(stamp, now, &mut self.last_seq, arrivals, errors);
                    });
                    if outcome.is_err() {
                        return errors.closed += 1;
                    }
                    if n < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return errors.closed += 1,
            }
        }
    }
}

/// Counts one event of a stream.
fn take(
    stamp: Stamp,
    now: u64,
    last_seq: &mut Option<u64>,
    arrivals: &mut Arrivals,
    errors: &mut Errors,
) {
    let latency = now.saturating_sub(stamp.published_ns);
    if stamp.is_private() {
        return arrivals.private.add(latency);
    }
    let in_order = last_seq.is_none_or(|last| stamp.seq == last + 1);
    errors.order += u64::from(!in_order);
    *last_seq = Some(stamp.seq);
    arrivals.deliveries += 1;
    arrivals.latencies.add(latency);
}
