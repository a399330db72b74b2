//! Many streams to one server, read by one thread through epoll.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use crate::sse::Decoder;
use crate::timing::{Latencies, monotonic_ns};
use crate::worker::Failure;

/// Connections opened before their heads are awaited: fewer than any server's accept queue.
const WAVE: usize = 100;
/// One read takes all that a socket usually holds.
const READ_SIZE: usize = 256 * 1024;
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
}

/// All streams of one load client.
pub struct Swarm {
    address: SocketAddr,
    poll: Poll,
    ready: Events,
    streams: Vec<Stream>,
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
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            errors: Errors::default(),
        })
    }

    /// Opens so many more streams and waits for their heads.
    pub fn connect(
        &mut self,
        path: &str,
        clients: usize,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            self.address
        );
        let start = Instant::now();
        let wanted = self.streams.len() + clients;
        while self.streams.len() < wanted {
            let first = self.streams.len();
            for _ in 0..WAVE.min(wanted - first) {
                let mut socket = Blocking::connect(self.address)?;
                socket.write_all(request.as_bytes())?;
                self.add(socket)?;
            }
            while !self.streams[first..]
                .iter()
                .all(|stream| stream.decoder.is_open())
            {
                self.round(start + limit, &mut Arrivals::default())?;
                self.check()?;
            }
        }
        Ok(json!({ "streams": self.streams.len(), "seconds": start.elapsed().as_secs_f64() }))
    }

    fn add(&mut self, socket: Blocking) -> io::Result<()> {
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

    /// Closed loop: publishes one event, and the next when every client has it.
    pub fn paced(&mut self, events: u64, size: usize, limit: Duration) -> Result<Value, Failure> {
        let mut publisher = self.publisher()?;
        let mut arrivals = Arrivals::default();
        let start = Instant::now();
        for _ in 0..events {
            let round = monotonic_ns();
            self.publish(&mut publisher, 1, size, start + limit, &mut arrivals)?;
            arrivals.rounds.add(monotonic_ns() - round);
        }
        Ok(self.report(arrivals, start))
    }

    /// Publishes all events with one request and waits until every client has all.
    pub fn burst(&mut self, events: u64, size: usize, limit: Duration) -> Result<Value, Failure> {
        let mut publisher = self.publisher()?;
        let mut arrivals = Arrivals::default();
        let start = Instant::now();
        self.publish(&mut publisher, events, size, start + limit, &mut arrivals)?;
        Ok(self.report(arrivals, start))
    }

    /// Reads for so long without publishing: what an idle server sends and does.
    pub fn hold(&mut self, duration: Duration) -> Result<Value, Failure> {
        let mut arrivals = Arrivals::default();
        let start = Instant::now();
        while let Some(left) = duration.checked_sub(start.elapsed()) {
            self.wait(left, &mut arrivals)?;
        }
        Ok(self.report(arrivals, start))
    }

    fn publisher(&self) -> io::Result<TcpStream> {
        let socket = Blocking::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        self.poll
            .registry()
            .register(&mut socket, PUBLISHER, Interest::READABLE)?;
        Ok(socket)
    }

    /// One publish request; returns when it is answered and every client has its events.
    fn publish(
        &mut self,
        publisher: &mut TcpStream,
        events: u64,
        size: usize,
        deadline: Instant,
        arrivals: &mut Arrivals,
    ) -> Result<(), Failure> {
        write!(
            publisher,
            "POST /publish?n={events}&size={size} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
            self.address
        )?;
        let wanted = arrivals.deliveries + events * self.streams.len() as u64;
        let mut answered = false;
        while arrivals.deliveries < wanted || !answered {
            let readable = self.round(deadline, arrivals)?;
            // Once it has answered, the server may close the connection as idle.
            if readable && !answered {
                answered = self.read_answer(publisher)?;
            }
            self.check()?;
        }
        Ok(())
    }

    fn read_answer(&mut self, publisher: &mut TcpStream) -> Result<bool, Failure> {
        match publisher.read(&mut self.buffer) {
            Ok(0) => Err("the server closed the connection that publishes".into()),
            // 204: no body follows, so this is the whole answer.
            Ok(n) if self.buffer[..n].starts_with(b"HTTP/1.1 204 ") => Ok(true),
            Ok(_) => Err("the server refused to publish".into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
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
            "order_errors": self.errors.order,
            "closed": self.errors.closed,
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
                        let in_order = self.last_seq.is_none_or(|last| stamp.seq == last + 1);
                        errors.order += u64::from(!in_order);
                        self.last_seq = Some(stamp.seq);
                        arrivals.deliveries += 1;
                        arrivals
                            .latencies
                            .add(now.saturating_sub(stamp.published_ns));
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
